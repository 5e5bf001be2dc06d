"""Numbers at the ends of float32: variances from 1e-30, weights to 1e30, data of 1e-15.

Each image lands on the frame pixel by pixel, so that what is expected can be written down in float64.
"""

from __future__ import annotations

import contextlib
import itertools

import numpy as np
import oracle
import pytest
import scenes
import tolerances as tol

import gpures
from gpures.arguments.values import LARGEST_SIDE
from gpures.backend.base import MosaicLayout
from gpures.backend.choice import make_accumulators
from gpures.exposure.drops import KERNELS
from gpures.exposure.weights import Weight

SHAPE, MARGIN = (24, 22), 4
INSIDE = np.s_[MARGIN + 1 : -MARGIN - 1, MARGIN + 1 : -MARGIN - 1]  # without the exposure's outermost pixels
INNER = np.s_[1:-1, 1:-1]
VARIANCES = ("var_rnoise", "var_poisson", "var_flat")

#: Orders of magnitude of the variances; "mixed" spreads them over the pixels of one image.
MAGNITUDES = (1e-30, 1e-24, 1e-18, 1e-12, 1e-6, 1.0, 1e6)
MIXED = "mixed"


def model_of_magnitude(magnitude, seed, data=1.0):
    """Model whose variances have a magnitude; its pixels are those of the frame."""
    rng = np.random.default_rng([seed, 11])
    size = 10.0 ** rng.uniform(-30, 6, SHAPE) if magnitude == MIXED else np.full(SHAPE, magnitude)
    changes = {name: (size * rng.uniform(0.5, 2.0, SHAPE)).astype(np.float32) for name in (*VARIANCES, "var_sky")}
    changes["data"] = (data * rng.uniform(0.5, 1.5, SHAPE)).astype(np.float32)
    changes["err"] = np.sqrt(changes["var_rnoise"])
    changes["dq"] = np.zeros(SHAPE, np.uint32)
    return scenes.model_of(scenes.imaging_wcs(SHAPE), SHAPE, seed=seed, **changes)


def frame():
    return scenes.imaging_wcs(tuple(n + 2 * MARGIN for n in SHAPE))


def run(backend, models, **options):
    """The mosaic's images, without the margin and the outermost pixels."""
    options = {"kernel": "point", "compute_err": "from_var", "fillval": "NaN"} | options
    output = scenes.mosaic(
        gpures.Resample, models, frame(), {"backend": backend, **options}, pixel_scale=scenes.SCALE
    ).output_model
    return {key: image[..., *INSIDE] for key, image in output.items() if isinstance(image, np.ndarray)}


def truth(models, weight_type):
    """Images in float64: each output pixel holds one pixel of each exposure."""
    weight_name = {"ivm": "var_rnoise", "ivm-sky": "var_sky"}.get(weight_type)
    wide = {
        key: np.array([np.broadcast_to(model[key], SHAPE)[INNER] for model in models], float)
        for key in ("data", "err", "var_sky", "measurement_time", *VARIANCES)
    }
    weights = 1.0 / wide[weight_name] if weight_name else wide["measurement_time"]
    # What float32 can't hold as a weight is no weight.
    weights[weights > np.finfo(np.float32).max] = 0.0
    t = wide["measurement_time"] if weight_type == "exptime" else 1.0 / wide["var_rnoise"]
    images = {"wht": weights.sum(0)}
    images["data"] = (wide["data"] * weights).sum(0) / images["wht"]
    images["averaged err"] = (wide["err"] * weights).sum(0) / images["wht"]
    for name in VARIANCES:
        images[name] = (wide[name] * t / t.sum(0) * t / t.sum(0)).sum(0)
    images["err"] = np.sqrt(sum(images[name] for name in VARIANCES))
    return images


def assert_images(got, expected, exposures):
    """Every pixel has its value, to the roundings of float32."""
    bound = 20 * tol.PER_CONTRIBUTION * exposures * tol.EPS32
    for name in ("data", "wht", "err", *VARIANCES):
        assert np.all(np.isfinite(got[name])), f"{name}: {np.count_nonzero(~np.isfinite(got[name]))} pixels lost"
        worst = np.max(np.abs(got[name] - expected[name]) / expected[name])
        assert worst < bound, f"{name}: relative error {worst:.1e}"
    assert np.all(got["con"][0] == 2**exposures - 1)


@pytest.mark.parametrize("weight_type", ["ivm", "exptime", "ivm-sky"])
@pytest.mark.parametrize("magnitude", [*MAGNITUDES, MIXED])
def test_variances_of_any_magnitude(backend, magnitude, weight_type):
    """Weights, variances and errors hold for variances from 1e-30 to 1e6, alone or mixed in one image."""
    models = [model_of_magnitude(magnitude, seed) for seed in range(3)]
    assert_images(run(backend, models, weight_type=weight_type), truth(models, weight_type), 3)


@pytest.mark.parametrize("weight_type", ["ivm", "exptime"])
@pytest.mark.parametrize(
    "pair", list(itertools.permutations((1e-30, 1e-15, 1.0, 1e6), 2)), ids=lambda p: f"{p[0]}-{p[1]}"
)
def test_exposures_of_different_magnitudes(backend, pair, weight_type):
    """Exposures whose variances differ by up to 36 orders of magnitude are combined without loss, in any order."""
    models = [model_of_magnitude(magnitude, seed) for seed, magnitude in enumerate(pair)]
    assert_images(run(backend, models, weight_type=weight_type), truth(models, weight_type), 2)


@pytest.mark.filterwarnings("ignore:Kernel 'gaussian' is not a flux-conserving kernel")
@pytest.mark.parametrize("kernel", ["square", "turbo", "gaussian"])
@pytest.mark.parametrize("magnitude", [1e-30, 1e-20, 1e6])
def test_scale_of_the_variances(backend, kernel, magnitude):
    """Scaling all variances scales errors by the root and leaves the data: no kernel leaves the range on the way."""
    made = []
    for factor in (1.0, magnitude):
        models = scenes.dithered_models(SHAPE, n=2)
        for model in models:
            for name in VARIANCES:
                model[name] = (model[name] * factor).astype(np.float32)
        options = {"backend": backend, "kernel": kernel, "compute_err": "from_var", "fillval": "NaN"}
        output_wcs = scenes.frame_around(SHAPE)
        made.append(scenes.mosaic(gpures.Resample, models, output_wcs, options, pixel_scale=scenes.SCALE).output_model)
    one, other = made
    np.testing.assert_array_equal(other["con"], one["con"])
    for name, factor in (("data", 1.0), ("wht", 1 / magnitude), ("err", magnitude**0.5), ("var_flat", magnitude)):
        np.testing.assert_allclose(other[name], factor * one[name].astype(float), rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("data", [1e-15, 1e-30, 1e15, 1e30])
def test_data_of_any_magnitude(backend, data):
    """Data from 1e-30 to 1e30 are averaged without loss, under small and large weights."""
    if backend == "drizzle" and data > 1.0:
        pytest.xfail("the drizzle package multiplies data with weights in float32: 1e15 with 1e30 is infinite")
    for magnitude in (1e-30, 1.0):
        models = [model_of_magnitude(magnitude, seed, data=data) for seed in range(3)]
        got, expected = run(backend, models), truth(models, "ivm")
        np.testing.assert_allclose(got["data"], expected["data"], rtol=20 * 3 * tol.EPS32)


@pytest.mark.also_on_ptx
@pytest.mark.parametrize("magnitude", [1e-30, 1e6, MIXED])
def test_averaged_errors(backend, magnitude):
    """Averaged errors hold at all magnitudes of the weights."""
    models = [model_of_magnitude(magnitude, seed) for seed in range(3)]
    got = run(backend, models, compute_err="driz_err")
    np.testing.assert_allclose(got["err"], truth(models, "ivm")["averaged err"], rtol=40 * 3 * tol.EPS32)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_variances_that_have_no_inverse(backend, dtype):
    """Where 1 / variance is beyond float32 the weight is 0: such a pixel is as if it were not there."""
    models = [model_of_magnitude(1.0, seed) for seed in range(2)]
    tiny = models[0]["var_rnoise"].astype(dtype)
    tiny[5:9] = 1e-42 if dtype == "f4" else 1e-60
    tiny[12] = 0.0
    models[0]["var_rnoise"] = tiny
    got = run(backend, models)
    gone = np.zeros(SHAPE, bool)
    gone[5:9] = gone[12] = True
    gone = gone[INNER]
    for name in ("data", "wht", "err", *VARIANCES):
        assert np.all(np.isfinite(got[name])), name
    np.testing.assert_array_equal(got["con"][0] & 1 == 0, gone)
    np.testing.assert_allclose(got["data"][gone], models[1]["data"][INNER][gone], rtol=1e-6)
    np.testing.assert_allclose(got["var_poisson"][gone], models[1]["var_poisson"][INNER][gone], rtol=1e-5)


@pytest.mark.parametrize("time", [1e-10, 1e10, 1e30])
def test_exposure_times_of_any_magnitude(backend, time):
    """Times as weights cancel from the mean and from its error, however large or small."""
    models = [model_of_magnitude(1.0, seed) for seed in range(2)]
    for model in models:
        model["measurement_time"] *= time
    assert_images(run(backend, models, weight_type="exptime"), truth(models, "exptime"), 2)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_data(backend, value):
    """Infinite data under zero weight do not reach the output; under weight they do, in their own pixel only."""
    model = model_of_magnitude(1.0, 0)
    model["data"][4, 4] = model["data"][9, 9] = value
    model["dq"][4, 4] = 1
    got = run(backend, [model])
    assert np.isnan(got["data"][3, 3])
    assert got["data"][8, 8] == value
    others = np.ones(got["data"].shape, bool)
    others[3, 3] = others[8, 8] = False
    assert np.isfinite(got["data"][others]).all()


# ---- sums of weights beyond float32 ----------------------------------------------------------------------------------

#: What a sum beyond float32 is kept to: 19 digits of its mantissa.
BEYOND = 2.0**-20

IS_INFINITE = "'wht' is infinite where it is beyond 3.4e\\+38"


def weighted(weights, seed=0, **settings):
    """An exposure whose pixels are those of a frame, with a map of weights, an error and variances."""
    rng = np.random.default_rng([seed, 12])
    shape = weights.shape
    values = {name: rng.uniform(0.5, 2.0, shape).astype("f4") for name in ("data", "err", *VARIANCES)}
    pixmap = oracle.pixel_map(shape, ((shape[1] - 1) / 2, (shape[0] - 1) / 2))
    return oracle.exposure(
        values["data"],
        pixmap,
        err=values["err"],
        variances={name: values[name] for name in VARIANCES},
        weight=Weight(weight_map=weights),
        context_id=seed,
        **settings,
    )


def mean_of(exposures, name):
    """Weighted mean in float64 of an array of exposures that lie pixel on pixel, and the sum of weights."""
    arrays = [getattr(e, name, None) if name in ("data", "err") else e.variances[name] for e in exposures]
    weights = np.array([e.weight.weight_map for e in exposures], float)
    total = weights.sum(0)
    return (np.array(arrays, float) * (weights / total)).sum(0), total


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("kernel", ["point", "square", "turbo"])
@pytest.mark.parametrize("count", [3, 40])
def test_sums_of_weights_beyond_float32(own_backend, kernel, dtype, count):
    """Weights up to the largest float32 are summed up beyond it: means hold, and their sum is shown as infinite."""
    rng = np.random.default_rng(8)
    largest = np.finfo(np.float32).max
    size = np.array([1e-40, 1e-30, 1.0, 1e30, 0.1 * largest, 0.6 * largest, 0.99 * largest])
    weights = rng.choice(size, (count, 6, 21)) * rng.uniform(0.5, 1.0, (count, 6, 21))
    weights[:, :3] = weights[0, :3] * rng.uniform(0.5, 1.0, (count, 3, 21))  # of one size
    exposures = [weighted(w.astype("f4"), k, variance_weight=1.0) for k, w in enumerate(weights)]
    frame = MosaicLayout((6, 21), kernel, None, VARIANCES, has_err=True, context_planes=2, dtype=np.dtype(dtype))
    if dtype == "f4":
        with pytest.warns(RuntimeWarning, match=IS_INFINITE):
            got = oracle.run(own_backend, frame, exposures)
    else:
        got = oracle.run(own_backend, frame, exposures)
    bound = 4 * count * max(BEYOND, tol.EPS32)
    for name in ("data", "err"):
        expected, total = mean_of(exposures, name)
        assert np.isfinite(got[name]).all()
        np.testing.assert_allclose(got[name], expected, rtol=bound)
    # The smallest are few times the smallest number, and rounded with each sum.
    total[np.abs(total) < 1e-36] = got["wht"][np.abs(total) < 1e-36]
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(got["wht"], total.astype(dtype), rtol=bound)
    assert (total > largest).any()
    assert (total < 1e38).any()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_sums_of_the_variances_weights_beyond_float32(own_backend, dtype):
    """Inverse variances as large as float32 has them weight variances without loss, however many exposures."""
    count, shape = 12, (5, 19)
    rng = np.random.default_rng(9)
    exposures = []
    for k in range(count):
        exposure = weighted(np.ones(shape, "f4"), k, variance_weight=None)
        exposure.variances["var_rnoise"] = rng.uniform(3e-39, 9e-39, shape)
        exposures.append(exposure)
    frame = MosaicLayout(shape, "point", None, VARIANCES, dtype=np.dtype(dtype))
    got = oracle.run(own_backend, frame, exposures)
    t = np.array([1.0 / e.variances["var_rnoise"] for e in exposures])
    shares = t / t.sum(0)
    for name in VARIANCES:
        expected = (np.array([e.variances[name] for e in exposures], float) * shares**2).sum(0)
        # Variances next to the smallest number of float32 have fewer digits.
        rounding = count * 1.5e-45 if dtype == "f4" else 0.0
        np.testing.assert_allclose(got[name], expected, rtol=8 * count * BEYOND, atol=rounding)


def test_inverse_variances_beyond_float32_are_the_largest(backend):
    """A read noise whose inverse is beyond float32 weights variances with the largest float32, and is not left out."""
    shape, largest = (4, 9), float(np.finfo(np.float32).max)
    exposures = []
    for k, rnoise in enumerate((1e-45, 2e-39, 1.0 / (0.5 * largest))):
        exposure = weighted(np.ones(shape, "f4"), k, variance_weight=None)
        exposure.variances["var_rnoise"] = np.full(shape, rnoise)
        exposures.append(exposure)
    got = oracle.run(backend, MosaicLayout(shape, "point", None, VARIANCES), exposures)
    shares = np.array([1.0, 1.0, 0.5]) / 2.5
    for name in ("var_poisson", "var_flat"):
        v = np.array([e.variances[name] for e in exposures], float)
        np.testing.assert_allclose(got[name], (v * shares[:, None, None] ** 2).sum(0), rtol=1e-5)


@pytest.mark.filterwarnings("ignore:'wht' is infinite")
@pytest.mark.parametrize("angle", [0.0, 30.0])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_pixel_takes_more_than_float32_from_one_exposure(own_backend, kernel, angle):
    """Means are those of small weights where the sums within a pixel are beyond float32, whatever the drop."""
    shape, psr = (20, 22), 2.5
    side = oracle.frame_side(shape, psr, kernel)
    made = []
    for scale in (1.0, 2.0**127):
        accumulators = make_accumulators(own_backend, MosaicLayout((side, side), kernel, None))
        accumulators.take({"squared": [np.zeros((side, side), "f4")]})
        for k in range(3):
            rng = np.random.default_rng(k)
            exposure = oracle.exposure(
                rng.normal(size=shape).astype("f4"),
                oracle.pixel_map(shape, (side / 2 + 0.3 * k, side / 2), psr, angle + 5 * k),
                context_id=k,
                weight=Weight(weight_map=rng.uniform(0.5, 1.0, shape).astype("f4") * np.float32(scale)),
                squared=[rng.uniform(1, 2, shape)],
            )
            exposure.pixel_scale_ratio = psr
            accumulators.add(exposure)
        squared = accumulators.image("squared")[0]
        squared = squared if isinstance(squared, np.ndarray) else squared.get()
        made.append(accumulators.images() | {"squared": squared})
    small, large = made
    np.testing.assert_array_equal(large["con"], small["con"])
    # Means of weights of both signs are as sensitive as their sum is small.
    sure = np.abs(small["wht"]) > 0.1
    assert np.isinf(large["wht"][sure]).any()
    for name in ("data", "squared"):
        np.testing.assert_allclose(large[name][sure], small[name][sure], rtol=2e-5, atol=2e-5, err_msg=name)
    within = np.isfinite(large["wht"])
    np.testing.assert_allclose(large["wht"][within] / 2.0**127, small["wht"][within], rtol=1e-5, atol=1e-20)


def test_weights_beyond_float32_in_a_mosaic(own_backend):
    """`Resample` hands on data, error and variances as of smaller weights, and infinite weights; so does f8."""
    for dtype in ("f4", "f8"):
        images = []
        for variance in (1.0, 6.5e-39):
            models = [model_of_magnitude(1.0, seed) for seed in range(4)]
            for model in models:
                model["var_rnoise"] = model["var_rnoise"].astype("f8") * variance
            settings = {"backend": own_backend, "accumulator_dtype": dtype, "kernel": "point"}
            resample = gpures.Resample(
                {"wcs": frame(), "pixel_scale": scenes.SCALE}, compute_err="driz_err", **settings
            )
            resample.add_models(models)
            if variance == 1.0:
                resample.finalize()
            else:
                with pytest.warns(RuntimeWarning, match=IS_INFINITE):
                    resample.finalize()
            images.append({key: resample.output_model[key][..., *INSIDE] for key in ("data", "wht", "err", "var_flat")})
        small, large = images
        for name in ("data", "err", "var_flat"):
            np.testing.assert_allclose(large[name], small[name], rtol=40 * BEYOND, err_msg=name)
        assert large["wht"].dtype == np.float32
        assert np.isinf(large["wht"]).any()
        within = np.isfinite(large["wht"])
        np.testing.assert_allclose(large["wht"][within] * 6.5e-39, small["wht"][within], rtol=1e-5)


def test_weights_beyond_float32_in_arrays_of_the_caller(own_backend):
    """`Drizzle` shows them as infinite in an array that it was given, and goes on with what they are."""
    shape = (8, 9)
    pixmap = oracle.pixel_map(shape, (4.0, 3.5))
    given = {"out_img": np.zeros(shape, "f4"), "out_wht": np.zeros(shape, "f4"), "out_ctx": np.zeros(shape, "i4")}
    driz = gpures.Drizzle(**given, kernel="point", fillval="INDEF", backend=own_backend)
    rng = np.random.default_rng(3)
    images = rng.normal(size=(5, *shape)).astype("f4")
    weights = rng.uniform(1e38, 3e38, (5, *shape)).astype("f4")
    for k in range(5):
        context = pytest.warns(RuntimeWarning, match=IS_INFINITE) if k else contextlib.nullcontext()
        with context:
            driz.add_image(images[k], exptime=1.0, pixmap=pixmap, weight_map=weights[k])
        total = weights[: k + 1].sum(0, dtype=float)
        expected = (images[: k + 1] * (weights[: k + 1] / total)).sum(0)
        np.testing.assert_allclose(given["out_img"], expected, rtol=1e-4, atol=20 * BEYOND)
        with np.errstate(over="ignore"):
            np.testing.assert_allclose(given["out_wht"], total.astype("f4"), rtol=1e-6)
        assert driz.out_wht is given["out_wht"]
    assert np.isinf(given["out_wht"]).all()
    # What goes on with infinite weights takes them for the least that is.
    settings = {"kernel": "point", "fillval": "INDEF", "backend": own_backend}
    more = gpures.Drizzle(**given, exptime=5.0, begin_ctx_id=5, **settings)
    before = given["out_img"].copy()
    with pytest.warns(RuntimeWarning, match=IS_INFINITE):
        more.add_image(images[0], exptime=1.0, pixmap=pixmap, weight_map=np.full(shape, 2.0**127, "f4"))
    np.testing.assert_allclose(given["out_img"], (2 * before + images[0]) / 3, rtol=1e-4, atol=20 * BEYOND)


def test_scaled_weights_are_no_larger_than_float32(backend):
    """A map of weights times a factor gives the largest weight where it is beyond float32."""
    weight = Weight(weight_map=np.array([[1e30, 3e38], [1.0, -3e38]], "f4"), constant=1e3)
    exposure = oracle.exposure(np.ones((2, 2), "f4"), oracle.pixel_map((2, 2), (4.5, 4.5)), weight=weight)
    got = make_accumulators(backend, MosaicLayout((9, 9))).weight_map(exposure)
    largest = np.finfo(np.float32).max
    np.testing.assert_allclose(got, [[1e33, largest], [1e3, -largest]], rtol=1e-6)


# ---- long sides ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", ["square", "point", "turbo"])
def test_the_longest_sides(kernel):
    """On the longest frame there may be, each pixel of an exposure arrives at either end, whichever way it lies."""
    for along in (0, 1):
        shape = tuple(LARGEST_SIDE if axis == along else 2 for axis in range(2))
        accumulators = make_accumulators("cpu", MosaicLayout(shape, kernel, context_planes=0))
        for begin in (0, LARGEST_SIDE - 2):
            at = [0.5, 0.5]
            at[1 - along] = begin + 0.5
            accumulators.add(oracle.exposure(np.ones((2, 2)), oracle.pixel_map((2, 2), at)))
            end = np.take(accumulators.image("wht"), range(begin, begin + 2), axis=along)
            np.testing.assert_array_equal(end, np.ones((2, 2)))


LONGER = LARGEST_SIDE + 1


@pytest.mark.parametrize("shape", [(2, LONGER), (LONGER, 2), (2**31, 3), (3, 2**31 - 1), (2**63, 2)])
def test_longer_sides_are_refused(backend, shape):
    """Longer sides raise an error that gives the bound, before any memory is asked for."""
    message = "may have sides of at most 100,000,000 pixels, got the shape "
    wcs = frame()
    wcs.array_shape = shape
    with pytest.raises(ValueError, match=rf"The output frame {message}\({shape[0]}, {shape[1]}\)"):
        gpures.Resample({"wcs": wcs, "pixel_scale": scenes.SCALE}, backend=backend)
    with pytest.raises(ValueError, match=f"The output frame {message}"):
        gpures.Drizzle(out_shape=shape, backend=backend)
    if max(shape) < 2**40:
        data = np.broadcast_to(np.float32(1), shape)
        with pytest.raises(ValueError, match=f"'data' {message}"):
            gpures.blot_image(data, np.zeros((2, 2, 2)), interp="linear", backend=backend)
        pixmap = np.broadcast_to(np.float64(1), (*shape, 2))
        with pytest.raises(ValueError, match=f"The image that 'pixmap' asks for {message}"):
            gpures.blot_image(np.ones((9, 9), "f4"), pixmap, backend=backend)


def test_a_frame_around_an_image_that_reaches_too_far_is_refused(backend):
    """A frame that is to hold the first image has the same bound."""
    pixmap = oracle.pixel_map((3, 3), (1.0, 1.0))
    pixmap[2, 2] = 3e9
    with pytest.raises(ValueError, match=r"'pixmap' must lie within 100000000 pixels of \(0, 0\) to begin a frame"):
        gpures.Drizzle(backend=backend).add_image(np.ones((3, 3), "f4"), exptime=1.0, pixmap=pixmap)

"""Parity with `stcal.resample.Resample`: the same arguments and models give the same mosaic.

Output frames contain their exposures with a margin, where the reference is right; what it does at borders is compared
on a padded frame. Pixel scales are given, as the reference's own estimate of the area of a small frame is good to 1e-5
only, and of 8 x 8 pixels to 1e-2 (see test_wcs.py).
"""

from __future__ import annotations

import functools
import itertools
import math
import warnings

import numpy as np
import pytest
import scenes
import stcal.resample
import tolerances as tol

import gpures

pytestmark = [
    pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel"),
    pytest.mark.filterwarnings("ignore:In lanczos kernel, pixfrac is ignored"),
]

SHAPE = (34, 29)
IMAGES = ("data", "wht", "con", "dq", "err", "var_rnoise", "var_flat", "var_poisson")

#: Sum of |profile| that the input pixels of one exposure have in an output pixel, for psr <= 1; psr^2 times as much
#: above. 1 for a partition of unity; distortion and the sampling of a drop add to it. A Lanczos window's magnitudes
#: sum to less than 1.5 along each axis.
SHARES = {"square": 1.5, "turbo": 1.5, "gaussian": 2.0, "point": 4.0, "lanczos2": 2.5, "lanczos3": 2.5}

#: How far a drop reaches (input pixels), for the number of contributions to an output pixel.
REACH = {"square": 1.0, "turbo": 1.0, "gaussian": 1.5, "point": 0.5, "lanczos2": 2.0, "lanczos3": 3.0}


def reference(models, output_wcs, options, **output):
    """Output model of stcal, whose warnings about numbers are its own affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        resampler = scenes.mosaic(stcal.resample.Resample, models, output_wcs, options, **output)
    return as_float32(resampler.output_model)


def as_float32(output_model):
    """Output model whose error has the type that `output_array_types` says.

    The reference divides an averaged error by the pixel scale ratio, which makes it float64 if that is a numpy float64.
    """
    model = dict(output_model)
    if model.get("err") is not None:
        model["err"] = model["err"].astype(np.float32)
    return model


def ours(models, output_wcs, options, backend, **output):
    """Output model of gpures, with the WCS evaluated at every pixel as stcal does."""
    options = {"pixmap_tolerance": 0, "backend": backend} | options
    return scenes.mosaic(gpures.Resample, models, output_wcs, options, **output).output_model


def contributions(kernel, pixfrac, ratio, exposures):
    """Upper bound of the number of contributions to an output pixel."""
    reach = REACH[kernel] * max(pixfrac, 1.0) + ratio
    return exposures * math.ceil(2 * reach + 1) ** 2


def assert_parity(got, expected, models, kernel="square", pixfrac=1.0, ratio=1.0, flipped=0.0, averaged_err=False):
    """Equal keys, types, shapes, NaN, context, DQ, times and counts; sums to their roundings.

    A sum of n terms is uncertain by n roundings of the sum of their magnitudes, which is the sum itself for weights of
    one sign, and else up to as many times larger as `condition` says. See `tolerances.Precision.bounds` for the factor
    of variances.
    """
    assert list(got) == list(expected)
    for key, value in expected.items():
        if not isinstance(value, np.ndarray):
            assert key == "wcs" or got[key] == value, key
    n = contributions(kernel, pixfrac, ratio, len(models))
    rounding = tol.PER_CONTRIBUTION * n * tol.EPS32
    weights = _largest_weight(models, expected["weight_type"])
    magnitude = SHARES[kernel] * max(1.0, ratio**2) * len(models) * weights[1]
    mixed = kernel.startswith("lanczos") or weights[0] < 0
    condition = magnitude / np.maximum(np.abs(expected["wht"]), 1e-12 * magnitude) if mixed else 1.0
    largest = {key: max(_largest(model[key]) for model in models) for key in ("data", "err")}
    scale = 1.0 if expected["pixel_scale_ratio"] is None else max(1.0, 1.0 / expected["pixel_scale_ratio"])
    for key in IMAGES:
        if not isinstance(expected.get(key), np.ndarray):
            continue
        assert isinstance(got[key], np.ndarray), key
        assert got[key].dtype == expected[key].dtype, key
        assert got[key].flags.writeable, key
        if key in ("con", "dq"):
            tol.assert_same_bits(got[key], expected[key], key, flipped)
            continue
        if key == "wht":
            bound = rounding * condition * np.abs(expected[key]) + tol.GEOMETRY * tol.EPS64 * 1e3 * magnitude
        elif key == "data" or (key == "err" and averaged_err):
            bound = 2 * rounding * condition * largest[key] * scale
        else:
            bound = 20.0 * rounding * condition * np.nan_to_num(np.abs(expected[key]))
        tol.assert_close(got[key], expected[key], bound, key, flipped)


def _largest(array):
    """Largest finite magnitude of an array."""
    array = np.abs(np.asarray(array, float))
    return float(np.max(array[np.isfinite(array)], initial=0.0))


def _largest_weight(models, weight_type):
    """Smallest weight and largest magnitude of a weight."""
    if weight_type == "exptime":
        times = [model["measurement_time"] or model["exposure_time"] for model in models]
        return min(times), max(times)
    smallest, largest = np.inf, 0.0
    for model in models:
        variance = model.get("var_rnoise" if weight_type == "ivm" else "var_sky")
        if variance is None or np.shape(variance) != np.shape(model["data"]):
            weight = np.ones(1)
        else:
            with np.errstate(divide="ignore", invalid="ignore"):
                weight = 1.0 / np.asarray(variance, float)
            weight = weight[np.isfinite(weight)]
        smallest, largest = (
            min(smallest, weight.min(initial=np.inf)),
            max(largest, np.abs(weight).max(initial=0.0)),
        )
    return smallest, largest


# ---- geometry ------------------------------------------------------------------------------------------------------

DROPS = [(k, p) for k in ("square", "turbo", "gaussian") for p in (0.5, 1.0)]
DROPS += [("square", 1.6), ("point", 1.0), ("lanczos2", 1.0), ("lanczos3", 1.0), ("square", 0.0005)]
RATIOS = (0.55, 1.0, 1.7)
ORIENTATIONS = {
    "aligned": (0.0, False),
    "mirrored": (0.0, True),
    "turned": (37.0, False),
    "both": (200.0, True),
}
EVERYTHING = {"compute_err": "from_var", "propagate_dq": True, "good_bits": 1024, "fillval": "NaN"}


@functools.cache
def geometry_scene(kernel, pixfrac, ratio, orientation):
    """Models, frame, options and the reference's mosaic of them."""
    rotation, flip = ORIENTATIONS[orientation]
    models = scenes.dithered_models(SHAPE, n=3, rotation=rotation, flip=flip, distortion=0.4)
    frame = scenes.frame_around(SHAPE, ratio)
    number = list(itertools.product(DROPS, RATIOS, ORIENTATIONS)).index(((kernel, pixfrac), ratio, orientation))
    weight_type = ("ivm", "exptime", "ivm-sky")[number % 3]
    options = EVERYTHING | {"kernel": kernel, "pixfrac": pixfrac, "weight_type": weight_type}
    scale = {"pixel_scale": scenes.SCALE * ratio}
    return models, frame, options, scale, reference(models, frame, options, **scale)


@pytest.mark.filterwarnings("ignore:Kernel reset to 'point'")
@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize(("kernel", "pixfrac"), DROPS)
def test_geometry(backend, kernel, pixfrac, ratio, orientation):
    """Kernel, pixfrac, scale, rotation and parity give the reference's images, all planes of them."""
    models, frame, options, scale, expected = geometry_scene(kernel, pixfrac, ratio, orientation)
    if kernel.startswith("lanczos"):
        # Variances of dithered exposures are ill-conditioned one by one; see the next test.
        options = options | {"enable_var": False, "compute_err": None}
        expected = {k: v for k, v in expected.items() if k != "err" and not k.startswith("var_")}
    got = ours(models, frame, options, backend, **scale)
    assert_parity(got, expected, models, kernel, pixfrac, ratio)


@pytest.mark.parametrize("kernel", ["lanczos2", "lanczos3"])
def test_lanczos_variances(backend, kernel):
    """Variances under weights of both signs are the reference's, as far as they are well-conditioned."""
    models = scenes.dithered_models(SHAPE, n=1)
    frame, options = scenes.frame_around(SHAPE), EVERYTHING | {"kernel": kernel}
    expected = reference(models, frame, options, pixel_scale=scenes.SCALE)
    assert_parity(ours(models, frame, options, backend, pixel_scale=scenes.SCALE), expected, models, kernel)


def test_default_options(backend):
    """With no options at all the output is the reference's."""
    models, frame = scenes.dithered_models(SHAPE), scenes.frame_around(SHAPE)
    expected = reference(models, frame, {}, pixel_scale=scenes.SCALE)
    assert_parity(ours(models, frame, {}, backend, pixel_scale=scenes.SCALE), expected, models)


def test_pixel_edges_that_coincide(backend):
    """Where all pixel edges of input and output coincide, the mosaic is the image, and the reference's."""
    shape, margin = (20, 26), 8
    model = scenes.model_of(scenes.imaging_wcs(shape), shape, dq=np.zeros(shape, np.uint32))
    frame = scenes.imaging_wcs(tuple(n + 2 * margin for n in shape))
    options = EVERYTHING | {"fillval": 0.0}
    expected = reference([model], frame, options, pixel_scale=scenes.SCALE)
    got = ours([model], frame, options, backend, pixel_scale=scenes.SCALE)
    inside = np.s_[margin:-margin, margin:-margin]
    np.testing.assert_allclose(got["data"][inside], model["data"], rtol=1e-5, atol=1e-5)
    assert np.all(got["con"][0][inside] == 1)
    # Coordinates are good to 1e-11 pixels, so a sliver of that width falls on a neighbour, or not.
    assert np.all(np.abs(got["wht"] - expected["wht"]) < 1e-6 * expected["wht"].max())
    tol.assert_close(got["data"][inside], expected["data"][inside], 1e-6 * np.abs(model["data"]).max(), "data")


def test_small_bounding_box(backend):
    """A bounding box, also one that ends at fractions of a pixel, gives what the array cut to it gives the reference.

    Which itself loses the pixels along the box, whose square drops have corners without coordinates.
    """
    models = scenes.dithered_models(SHAPE, n=2)
    boxes = [((2.6, 20.2), (5.5, 30.5)), ((-3.0, 17.0), (3.49, 50.0))]
    cut = [scenes.cut(model, part) for model, part in zip(models, [(3, 20, 6, 30), (0, 17, 4, 33)], strict=True)]
    for model, box in zip(models, boxes, strict=True):
        model["wcs"].bounding_box = box
    frame, options = scenes.frame_around(SHAPE), EVERYTHING
    for kernel in ("square", "turbo", "point"):
        options = options | {"kernel": kernel}
        expected = reference(cut, frame, options, pixel_scale=scenes.SCALE)
        assert_parity(ours(models, frame, options, backend, pixel_scale=scenes.SCALE), expected, models, kernel)
    lost = reference(models, frame, EVERYTHING, pixel_scale=scenes.SCALE)["wht"].sum()
    expected = reference(cut, frame, EVERYTHING, pixel_scale=scenes.SCALE)["wht"].sum()
    assert lost < 0.95 * expected


def test_exposure_beyond_the_frame(backend):
    """On a frame smaller than its exposures all pixels get what the reference gives them on a padded frame."""
    shape, pad = (30, 34), 40
    models = scenes.dithered_models(SHAPE, n=2, rotation=30.0)
    small = scenes.imaging_wcs(shape)
    padded = scenes.imaging_wcs(tuple(n + 2 * pad for n in shape))
    options = EVERYTHING | {"fillval": "NaN"}
    expected = reference(models, padded, options, pixel_scale=scenes.SCALE)
    crop = np.s_[..., pad:-pad, pad:-pad]
    expected = {k: v[crop] if isinstance(v, np.ndarray) else v for k, v in expected.items()}
    if backend == "drizzle":
        pytest.xfail("the drizzle package drops contributions at borders")
    assert_parity(ours(models, small, options, backend, pixel_scale=scenes.SCALE), expected, models)


def test_exposure_outside_the_frame(backend):
    """An exposure that misses the frame adds nothing but counts, as in the reference."""
    models = scenes.dithered_models(SHAPE, n=1)
    models.append(scenes.model_of(scenes.imaging_wcs(SHAPE, shift=(500.0, 0.0)), SHAPE, seed=7))
    frame, options = scenes.frame_around(SHAPE), EVERYTHING
    expected = reference(models, frame, options, pixel_scale=scenes.SCALE)
    got = ours(models, frame, options, backend, pixel_scale=scenes.SCALE)
    assert got["pointings"] == 2
    assert_parity(got, expected, models)


# ---- weights, variances, DQ ----------------------------------------------------------------------------------------


def spoiled_models(n=3):
    """Models with NaN data under zero weight, and NaN, negative, zero and infinite variances here and there."""
    rng = np.random.default_rng(5)
    models = scenes.dithered_models(SHAPE, n=n)
    for model in models:
        for name in ("var_rnoise", "var_poisson", "var_flat", "var_sky"):
            place = rng.random(SHAPE)
            for k, value in enumerate((-1.0, np.nan, 0.0, np.inf)):
                model[name][(place > 0.03 * k) & (place < 0.03 * k + 0.03)] = value
        model["data"][model["dq"] == 1] = np.nan
        model["err"][model["dq"] == 2] = np.nan
    return models


@functools.cache
def spoiled_reference(weight_type, compute_err, kernel):
    """The reference's mosaic of spoiled models."""
    options = EVERYTHING | {"weight_type": weight_type, "compute_err": compute_err, "kernel": kernel}
    models, frame = spoiled_models(), scenes.frame_around(SHAPE, 1.2)
    return options, models, frame, reference(models, frame, options, pixel_scale=scenes.SCALE * 1.2)


@pytest.mark.parametrize("kernel", ["square", "gaussian", "point"])
@pytest.mark.parametrize("compute_err", ["from_var", "driz_err"])
@pytest.mark.parametrize("weight_type", ["ivm", "exptime", "ivm-sky"])
def test_spoiled_pixels(backend, weight_type, compute_err, kernel):
    """NaN, infinite, zero and negative variances, and NaN under zero weight, give the reference's images."""
    options, models, frame, expected = spoiled_reference(weight_type, compute_err, kernel)
    got = ours(models, frame, options, backend, pixel_scale=scenes.SCALE * 1.2)
    assert np.isfinite(got["data"]).any()
    assert_parity(got, expected, models, kernel, ratio=1.2, averaged_err=compute_err == "driz_err")


VARIANCE_CASES = {
    "all None": {"var_rnoise": None, "var_poisson": None, "var_flat": None, "var_sky": None},
    "poisson None": {"var_poisson": None},
    "flat empty": {"var_flat": np.zeros((0, 0), np.float32)},
    "flat mis-shaped": {"var_flat": np.ones((3, 4), np.float32)},
    "rnoise mis-shaped": {"var_rnoise": np.ones((3, 4), np.float32)},
    "sky missing": {"var_sky": None},
    "all zero": {"var_rnoise": np.zeros(SHAPE, np.float32)},
    "all NaN": {"var_poisson": np.full(SHAPE, np.nan, np.float32)},
}


@pytest.mark.parametrize("weight_type", ["exptime", "ivm", "ivm-sky"])
@pytest.mark.parametrize("case", VARIANCE_CASES)
def test_absent_variances(backend, case, weight_type):
    """Variance arrays that are None, empty or of another shape are passed over, as by the reference."""
    changes = VARIANCE_CASES[case]
    models = [model | changes for model in scenes.dithered_models(SHAPE, n=2)]
    options, frame = EVERYTHING | {"weight_type": weight_type}, scenes.frame_around(SHAPE)
    if case == "rnoise mis-shaped" and weight_type != "exptime":
        with pytest.raises(UnboundLocalError):  # the reference needs 'var_rnoise' with ivm
            reference(models, frame, options, pixel_scale=scenes.SCALE)
        got = ours(models, frame, options, backend, pixel_scale=scenes.SCALE)
        assert np.isfinite(got["var_poisson"]).any()
        assert np.isnan(got["var_rnoise"]).all()
        return
    expected = reference(models, frame, options, pixel_scale=scenes.SCALE)
    assert_parity(ours(models, frame, options, backend, pixel_scale=scenes.SCALE), expected, models)


def test_exposure_without_read_noise_weights_its_variances_with_1(backend):
    """With ivm weights an exposure without 'var_rnoise' weights its other variances with 1: a written-out mean."""
    shape, margin = (16, 18), 4
    frame = scenes.imaging_wcs(tuple(n + 2 * margin for n in shape))
    models = [scenes.model_of(scenes.imaging_wcs(shape), shape, seed=k, dq=np.zeros(shape, int)) for k in range(2)]
    models[1]["var_rnoise"] = None
    got = ours(models, frame, {"compute_err": "from_var"}, backend, pixel_scale=scenes.SCALE)
    inside = np.s_[margin + 1 : -margin - 1, margin + 1 : -margin - 1]
    inner = np.s_[1:-1, 1:-1]
    t = 1.0 / models[0]["var_rnoise"][inner].astype(float)
    for name in ("var_poisson", "var_flat"):
        v = [model[name][inner].astype(float) for model in models]
        np.testing.assert_allclose(got[name][inside], (v[0] * t**2 + v[1]) / (t + 1.0) ** 2, rtol=2e-5)
    np.testing.assert_allclose(got["var_rnoise"][inside], models[0]["var_rnoise"][inner], rtol=2e-5)


@pytest.mark.parametrize("good_bits", [0, None, 6, "4,2", "4+2", "~4", "~2,1", [2, 4], "~0", 1024 + 7])
def test_good_bits(backend, good_bits):
    """Flags named good are ignored, all others take a pixel's weight: in every notation, as in the reference."""
    models, frame = scenes.dithered_models(SHAPE, n=2), scenes.frame_around(SHAPE)
    options = {"good_bits": good_bits, "propagate_dq": True, "weight_type": "exptime", "enable_var": False}
    expected = reference(models, frame, options, pixel_scale=scenes.SCALE)
    assert_parity(ours(models, frame, options, backend, pixel_scale=scenes.SCALE), expected, models)


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", ">i2", "u2", "i4", ">u4", "u4"])
def test_dq_types(backend, dtype):
    """DQ of any integer type of up to 32 bits give the reference's DQ and weights; of signed ones, as unsigned."""
    models, frame = scenes.dithered_models(SHAPE, n=2), scenes.frame_around(SHAPE)
    for model in models:
        sign = -1 if "i" in dtype else 1
        model["dq"] = (sign * (model["dq"] & 127).astype(np.int64)).astype(dtype)
    for good_bits in (0, "~4"):
        options = {"good_bits": good_bits, "propagate_dq": True, "enable_var": False}
        # There the sign of 8 and 16 bits becomes that of 32, and all bits above it.
        unsigned = [model | {"dq": model["dq"].view(dtype.replace("i", "u"))} for model in models]
        expected = reference(unsigned, frame, options, pixel_scale=scenes.SCALE)
        assert_parity(ours(models, frame, options, backend, pixel_scale=scenes.SCALE), expected, models)


@pytest.mark.parametrize("dtype", ["f4", ">f4", "f8", ">f8", "f2", "i2", ">i4", "u1"])
def test_data_types_and_layouts(backend, dtype):
    """Arrays of any real type and byte order, strided, reversed, read-only or broadcast, are read as they are."""
    models, frame = scenes.dithered_models(SHAPE, n=2), scenes.frame_around(SHAPE)
    for model in models:
        model["data"] = np.abs(np.round(model["data"] * 4)).astype(dtype)
        wide = np.zeros((SHAPE[0] * 2, SHAPE[1] * 3), model["var_rnoise"].dtype)
        wide[::2, ::3] = model["var_rnoise"]
        model["var_rnoise"] = wide[::2, ::3]
        model["var_poisson"] = np.ascontiguousarray(model["var_poisson"][::-1, ::-1])[::-1, ::-1]
        model["var_flat"] = np.broadcast_to(np.float32(0.02), SHAPE)
        model["err"] = np.asfortranarray(model["err"])
        model["data"].flags.writeable = False
    options = EVERYTHING | {"compute_err": "driz_err"}
    expected = reference(models, frame, options, pixel_scale=scenes.SCALE)
    got = ours(models, frame, options, backend, pixel_scale=scenes.SCALE)
    assert_parity(got, expected, models, averaged_err=True)


@pytest.mark.parametrize("dtype", ["f2", "f8", ">f4", "g", "i4"])
@pytest.mark.parametrize(("weight_type", "name"), [("ivm", "var_rnoise"), ("ivm-sky", "var_sky")])
def test_weight_types_and_layouts(backend, weight_type, name, dtype):
    """The variance that weights are made of may have any real type, as in the reference."""
    models, frame = scenes.dithered_models(SHAPE, n=2), scenes.frame_around(SHAPE)
    for model in models:
        model[name] = np.round(8 * model[name]).astype(dtype)
    options = {"weight_type": weight_type, "enable_var": False, "compute_err": None}
    expected = reference(models, frame, options, pixel_scale=scenes.SCALE)
    # The reference divides in the array's own type: half precision there.
    got = ours(models, frame, options, backend, pixel_scale=scenes.SCALE)
    if dtype == "f2":
        np.testing.assert_allclose(got["wht"], expected["wht"], rtol=2.0**-10, atol=1e-6)
    else:
        assert_parity(got, expected, models)


# ---- fill value, levels, switches ----------------------------------------------------------------------------------


@pytest.mark.parametrize("compute_err", [None, "driz_err"])
@pytest.mark.parametrize("fillval", [0, -1, 2.5, "NaN", "INDEF", "indef", None, "-1e3", " nan ", "", np.float32(3)])
def test_fill_values(backend, fillval, compute_err):
    """Pixels without contributions hold the fill value between two models and at the end, as in the reference."""
    models, frame = scenes.dithered_models(SHAPE, n=2), scenes.frame_around(SHAPE)
    options = {"fillval": fillval, "enable_var": False, "compute_err": compute_err}
    made = [
        scenes.mosaic(cls, models[:1], frame, options | extra, finalize=False, pixel_scale=scenes.SCALE)
        for cls, extra in (
            (stcal.resample.Resample, {}),
            (gpures.Resample, {"backend": backend, "pixmap_tolerance": 0}),
        )
    ]
    for finish in (False, True):
        expected, got = (resampler.output_model for resampler in made)
        assert_parity(got, as_float32(expected), models, averaged_err=True)
        assert np.any(expected["wht"] == 0)
        for resampler in made:
            if not finish:
                resampler.add_model(models[1])
                resampler.finalize()


def test_images_between_two_models(backend):
    """After each model data, weight, context, DQ and error are the reference's, though models follow."""
    models, frame = scenes.dithered_models(SHAPE, n=4), scenes.frame_around(SHAPE)
    options = EVERYTHING | {"compute_err": "driz_err", "fillval": -7.0}
    theirs = stcal.resample.Resample({"wcs": frame, "pixel_scale": scenes.SCALE}, n_input_models=4, **options)
    mine = gpures.Resample(
        {"wcs": frame, "pixel_scale": scenes.SCALE},
        n_input_models=4,
        backend=backend,
        pixmap_tolerance=0,
        **options,
    )
    for k, model in enumerate(models):
        theirs.add_model(model)
        mine.add_model(model)
        if k != 1:  # not read, for once
            assert_parity(mine.output_model, theirs.output_model, models[: k + 1], averaged_err=True)
    theirs.finalize()
    mine.finalize()
    assert_parity(mine.output_model, as_float32(theirs.output_model), models, averaged_err=True)


@pytest.mark.parametrize("subtracted", [False, True])
@pytest.mark.parametrize("level", [None, 0, 2.5, -1.0, np.float32(0.7)])
def test_sky_level(backend, level, subtracted):
    """The sky level is subtracted where it has not been, to the reference's data."""
    models = scenes.dithered_models(SHAPE, n=2, level=level, subtracted=subtracted)
    frame, options = scenes.frame_around(SHAPE), {"enable_var": False}
    expected = reference(models, frame, options, pixel_scale=scenes.SCALE)
    assert_parity(ours(models, frame, options, backend, pixel_scale=scenes.SCALE), expected, models)


SWITCHES = [
    dict(zip(("enable_ctx", "enable_var", "compute_err", "propagate_dq"), values, strict=True))
    for values in itertools.product((True, False), (True, False), (None, "from_var", "driz_err", False), (True, False))
]


@pytest.mark.parametrize("switches", SWITCHES, ids=lambda s: "-".join(map(str, s.values())))
def test_switches(backend, switches):
    """Each combination of context, variances, error and DQ makes the keys and images that the reference makes."""
    models, frame = scenes.dithered_models((20, 18), n=2), scenes.frame_around((20, 18))
    expected = reference(models, frame, switches, pixel_scale=scenes.SCALE)
    got = ours(models, frame, switches, backend, pixel_scale=scenes.SCALE)
    assert_parity(got, expected, models, averaged_err=switches["compute_err"] == "driz_err")


@pytest.mark.parametrize("n_input_models", [None, 1, 33, 100])
def test_more_than_32_exposures(backend, n_input_models):
    """Context planes are as many as the reference makes, whatever was announced, and say who contributed."""
    shape, n = (8, 9), 70
    models, frame = scenes.dithered_models(shape, n=n), scenes.frame_around(shape)
    options = {"n_input_models": n_input_models, "compute_err": "from_var"}
    output = {"wcs": frame, "pixel_scale": scenes.SCALE}
    theirs = stcal.resample.Resample(output, **options)
    mine = gpures.Resample(output, backend=backend, pixmap_tolerance=0, **options)
    for model in models:
        theirs.add_model(model)
        mine.add_model(model)
    theirs.finalize()
    mine.finalize()
    assert mine.output_model["con"].shape[0] == max(3, ((n_input_models or 1) - 1) // 32 + 1)
    assert_parity(mine.output_model, theirs.output_model, models)


@pytest.mark.parametrize("area", [None, "nominal"])
def test_no_scale_given(backend, area):
    """With neither pixel scale nor ratio given both come out as the reference's, from the WCS and the first model."""
    changes = {} if area else {"pixelarea_steradians": None}
    models, frame = scenes.dithered_models((80, 70), n=2, **changes), scenes.frame_around((80, 70), 0.8)
    expected, got = reference(models, frame, {}), ours(models, frame, {}, backend)
    for key in ("pixel_scale_ratio", "pixelarea_steradians", "pixelarea_arcsecsq"):
        # Of solid angles of 5e-10 sr, each good to 1e-14 (see test_wcs.py).
        assert got[key] == pytest.approx(expected[key], rel=1e-4, abs=0)
    np.testing.assert_allclose(got["data"], expected["data"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("area", [None, 0.0, -1.0, (scenes.SCALE / 206264.8) ** 2 * 1.7])
def test_pixel_scale_ratio(backend, area):
    """The ratio of pixel scales comes from the first model's nominal area, else from its mean area."""
    models = scenes.dithered_models((80, 70), n=2, pixelarea_steradians=area)
    frame, options = scenes.frame_around((80, 70), 0.8), {"compute_err": "driz_err"}
    expected = reference(models, frame, options, pixel_scale=scenes.SCALE * 0.8)
    got = ours(models, frame, options, backend, pixel_scale=scenes.SCALE * 0.8)
    # Of a mean area of the reference, a solid angle of 5e-10 sr that is good to 1e-14, and half a pixel narrower.
    rtol = 1e-12 if area and area > 0 else 2e-5
    assert got["pixel_scale_ratio"] == pytest.approx(expected["pixel_scale_ratio"], rel=rtol)
    np.testing.assert_allclose(got["err"], expected["err"], rtol=max(rtol, 1e-6) * 2)


def test_scale_of_the_reference(backend):
    """Told the scales that the reference estimates of small frames, drops have its very size."""
    shape = (12, 11)
    models = scenes.dithered_models(shape, n=2, pixelarea_steradians=None)
    frame, options = scenes.frame_around(shape, 0.8), EVERYTHING | {"kernel": "turbo"}
    expected = reference(models, frame, options)
    ratio, scale = expected["pixel_scale_ratio"], math.sqrt(expected["pixelarea_arcsecsq"])
    own = ours(models, frame, options, backend)
    assert own["pixel_scale_ratio"] == pytest.approx(0.8, rel=1e-2)
    assert abs(own["pixel_scale_ratio"] - ratio) > 1e-5
    got = ours(models, frame, options, backend, pixel_scale=scale, pixel_scale_ratio=ratio)
    assert got["pixelarea_arcsecsq"] == pytest.approx(expected["pixelarea_arcsecsq"], rel=1e-14)
    same = {key: expected[key] for key in ("pixelarea_steradians", "pixelarea_arcsecsq")}
    assert_parity(got | same, expected, models, "turbo")


@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_pixel_scale_ratio_given(backend, ratio):
    """A given ratio is kept and sizes the drops, whatever the models say."""
    models, frame = scenes.dithered_models(SHAPE, n=2), scenes.frame_around(SHAPE)
    options = EVERYTHING | {"kernel": "turbo"}
    scale = {"pixel_scale": scenes.SCALE, "pixel_scale_ratio": ratio}
    expected = reference(models, frame, options, **scale)
    got = ours(models, frame, options, backend, **scale)
    assert got["pixel_scale_ratio"] == ratio
    assert_parity(got, expected, models, "turbo", ratio=1.0 / ratio if ratio < 1 else ratio)


# ---- spectra -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bunit", ["MJy", "MJy/sr", "Jy", "", None, "nonsense", "mJy/arcsec2"])
@pytest.mark.parametrize("compute_err", ["from_var", "driz_err"])
@pytest.mark.parametrize("kernel", ["square", "turbo"])
def test_spectra(backend, kernel, compute_err, bunit):
    """Spectral frames with a given ratio: flux densities are scaled, errors follow, as in the reference."""
    shape, ratio = (20, 31), 1.4
    models = scenes.spectral_models(shape, bunit_data=bunit)
    frame = scenes.spectral_frame(shape, ratio)
    options = EVERYTHING | {"kernel": kernel, "compute_err": compute_err}
    scale = {"pixel_scale": 0.1 * ratio, "pixel_scale_ratio": ratio}
    expected = reference(models, frame, options, **scale)
    got = ours(models, frame, options, backend, **scale)
    assert_parity(got, expected, models, kernel, ratio=ratio, averaged_err=compute_err == "driz_err")


@pytest.mark.parametrize("ratio", [0.7, 1.0, 1.4])
def test_spectra_without_ratio(backend, ratio):
    """Without a ratio a spectral mosaic of surface brightness is neither scaled nor refused."""
    shape = (20, 31)
    models, frame = scenes.spectral_models(shape), scenes.spectral_frame(shape, ratio)
    expected = reference(models, frame, EVERYTHING, pixel_scale=0.1 * ratio)
    got = ours(models, frame, EVERYTHING, backend, pixel_scale=0.1 * ratio)
    assert got["pixel_scale_ratio"] is None
    assert_parity(got, expected, models, ratio=ratio)


@pytest.mark.parametrize("ratio", [0.7, 1.0, 1.4])
@pytest.mark.parametrize("kernel", ["turbo", "gaussian"])
def test_ratio_estimated_from_the_pixel_map(backend, kernel, ratio):
    """Without a ratio drops are sized by the pixel map: output over input scale, where the reference inverts it."""
    shape = (20, 31)
    models, frame = scenes.spectral_models(shape, n=1), scenes.spectral_frame(shape, ratio)
    options = EVERYTHING | {"kernel": kernel, "enable_var": False, "compute_err": None}
    got = ours(models, frame, options, backend, pixel_scale=0.1 * ratio)
    # Told what it should have found, the reference agrees: only the slit's axis is coarser, so the root of the ratio.
    expected = reference(models, frame, options, pixel_scale=0.1 * ratio, pixel_scale_ratio=math.sqrt(ratio))
    expected = expected | {"pixel_scale_ratio": None}
    tol.assert_same_bits(got["con"], expected["con"], flipped=tol.FLIPPED)
    np.testing.assert_allclose(got["wht"], expected["wht"], rtol=1e-4, atol=1e-5 * expected["wht"].max())

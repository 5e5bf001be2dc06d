"""Variances that are propagated: those of the output's data, where the noise of the input pixels is independent."""

from __future__ import annotations

import copy
import logging
import pickle
from dataclasses import replace

import numpy as np
import oracle
import pytest
import scenes
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EPS32, PRECISION, assert_close

import gpures
from gpures.backend import MosaicLayout, make_accumulators
from gpures.exposure.drops import KERNELS
from gpures.exposure.weights import Weight

pytestmark = [
    pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel"),
    pytest.mark.filterwarnings("ignore:In lanczos kernel, pix"),
]

SHAPE = (13, 16)
NAMES = ("var_rnoise", "var_flat")


# ---- the definition ------------------------------------------------------------------------------------------------


def spoiled(rng, values, share=0.02):
    """Values of which some are not known, or infinite, or 0."""
    damage = rng.choice([np.nan, -1.0, np.inf, 0.0, -0.0], values.shape)
    return np.where(rng.random(values.shape) < share, damage, values).astype("f4")


def exposures_of(rng, kernel, pixfrac, ratio, angle, count=3, shape=SHAPE, size=1.0, bad=0.02):
    """Exposures that overlap, of unequal weights, variances and scales, and a frame for them."""
    side = oracle.frame_side(shape, ratio, kernel, pixfrac)
    made = []
    for k in range(count):
        at = side / 2 + rng.uniform(-2, 2, 2)
        weight = np.where(rng.random(shape) < 0.1, 0.0, rng.uniform(0.3, 3.0, shape)) * size
        one = oracle.exposure(
            rng.normal(size=shape).astype("f4"),
            oracle.pixel_map(shape, at, ratio, angle + 7.0 * k, flip=k == 1, warp=0.02),
            weight=Weight(weight_map=weight.astype("f4"), bad_bits=1),
            dq=(rng.random(shape) < 0.1).astype("u2"),
            err=spoiled(rng, rng.uniform(0.1, 2.0, shape), bad),
            iscale=[1.0, 0.3, 2.5][k % 3],
            pixfrac=pixfrac,
            pixel_scale_ratio=float(np.float32(ratio)),
            context_id=k,
            variance_weight=1.0,
        )
        one.variances = {name: spoiled(rng, rng.uniform(0.1, 9.0, shape), bad) for name in NAMES}
        made.append(one)
    return made, MosaicLayout((side, side), kernel, np.nan, NAMES, has_err=True, has_dq=True, propagates=True)


def truth_of(exposures, frame):
    """The definition's weights and the like, and its variances."""
    plain = [replace(exposure, err=None, variances={}) for exposure in exposures]
    truth = oracle.coadd(plain, replace(frame, variance_names=(), has_err=False))
    return truth, oracle.propagated(exposures, frame)


def assert_variance(backend, dtype, got, exposures, frame, names):
    """Variances are those of the definition, to the roundings of a sum; NaN and infinite where they are."""
    truth, expected = truth_of(exposures, frame)
    for name in names:
        bound = PRECISION[backend, dtype].squared_bound(truth, expected[name], len(exposures))
        image, mean = (np.where(truth.unsure, 0, each) for each in (got[name], expected[name][0]))
        np.testing.assert_array_equal(np.isinf(image), np.isinf(mean), name)
        assert_close(image, mean, bound, name)
    return truth, expected


def assert_definition(backend, dtype, got, exposures, frame):
    """Variances and error are those of the definition."""
    truth, expected = assert_variance(backend, dtype, got, exposures, frame, NAMES)
    precision, sure = PRECISION[backend, dtype], ~truth.unsure
    variance, bound = expected["err"][0], precision.squared_bound(truth, expected["err"], len(exposures))
    with np.errstate(invalid="ignore"):
        error = np.sqrt(variance)
        of_root = error - np.sqrt(np.maximum(variance - bound, 0)) + 2 * EPS32 * error
    assert_close(np.where(sure, got["err"], 0), np.where(sure, error, 0), of_root, "err")
    for name in (*NAMES, "err"):  # or nothing has been tested
        assert (np.isfinite(got[name]) & sure).sum() > 0.1 * (truth.count > 0).sum()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("pixfrac", "ratio", "angle"), [(1.0, 1.0, 0.0), (0.3, 0.4, 31.0), (0.7, 2.0, 90.0)])
def test_definition(backend, kernel, pixfrac, ratio, angle):
    """Every kernel, on every backend, with weights, scales, bad pixels and unknown variances of all kinds."""
    exposures, frame = exposures_of(np.random.default_rng(1), kernel, pixfrac, ratio, angle)
    assert_definition(backend, "f4", oracle.run(backend, frame, exposures), exposures, frame)


@given(
    kernel=st.sampled_from(KERNELS),
    pixfrac=st.floats(0.3, 1.0),
    ratio=st.floats(0.4, 2.0),
    angle=st.floats(0.0, 360.0),
    count=st.integers(1, 4),
    bad=st.sampled_from([0.0, 0.02, 0.5]),
    dtype=st.sampled_from(["f4", "f8"]),
    seed=st.integers(0, 1 << 20),
)
def test_definition_anywhere(kernel, pixfrac, ratio, angle, count, bad, dtype, seed):
    """Any drop at any scale and angle, any number of exposures."""
    exposures, frame = exposures_of(np.random.default_rng(seed), kernel, pixfrac, ratio, angle, count, (7, 9), bad=bad)
    frame = replace(frame, dtype=np.dtype(dtype))
    assert_variance("cpu", dtype, oracle.run("cpu", frame, exposures), exposures, frame, NAMES)


@pytest.mark.parametrize("angle", [0.0, 30.0])
@pytest.mark.parametrize("names", [1, 2, 3, 4, 6, 8, 12])
def test_number_of_variances(angle, names):
    """However many there are, over many tiles, side by side and turned."""
    rng = np.random.default_rng(names)
    shape, all_names = (40, 150), tuple(f"var_{k}" for k in range(names))
    frame = MosaicLayout((170, 170), "square", np.nan, all_names, propagates=True)
    one = oracle.exposure(np.ones(shape, "f4"), oracle.pixel_map(shape, (83.2, 81.7), 1.0, angle), variance_weight=1.0)
    one.variances = {name: rng.uniform(1, 2, shape).astype("f4") for name in all_names}
    exposures = [one, replace(one, context_id=1)]
    assert_variance("cpu", "f4", oracle.run("cpu", frame, exposures), exposures, frame, all_names)


@pytest.mark.parametrize("size", [1e-30, 1e-19, 1e18, 1e30, 3e37])
def test_weights_of_any_size(backend, size):
    """The size of all weights is no matter, up to where their sums leave float32, and beyond it with our kernels."""
    exposures, frame = exposures_of(np.random.default_rng(4), "square", 0.9, 1.1, 20.0, size=size, bad=0.0)
    with np.errstate(over="ignore"):
        got = oracle.run(backend, frame, exposures)
    plain, _ = exposures_of(np.random.default_rng(4), "square", 0.9, 1.1, 20.0, bad=0.0)
    expected = oracle.run(backend, frame, plain)
    there = np.isfinite(got["wht"]) if backend == "drizzle" else np.ones(frame.shape, bool)
    assert there.mean() > 0.9
    for name in (*NAMES, "err"):
        bound = 40 * EPS32 * np.abs(expected[name])
        assert_close(np.where(there, got[name], 0), np.where(there, expected[name], 0), bound, name)


def test_variances_under_infinite_weights(own_backend):
    """Where the sum of weights is infinite, the variance is that of the definition all the same."""
    ones, frame = np.ones((4, 5), "f4"), MosaicLayout((4, 5), "square", 0.0, ("v",), propagates=True)
    y, x = np.mgrid[:4, :5].astype(float)
    one = oracle.exposure(ones, np.stack([x, y], -1), weight=Weight(constant=3e38), variance_weight=1.0)
    one.variances = {"v": 7 * ones}
    with pytest.warns(RuntimeWarning, match="'wht' is infinite"):
        got = oracle.run(own_backend, frame, [one] * 5)
    assert np.isinf(got["wht"]).all()
    np.testing.assert_allclose(got["v"], 7 / 5, rtol=20 * EPS32)


@pytest.mark.parametrize("size", [1e-30, 1e-22, 1e20, 1e30])
def test_errors_of_any_size(backend, size):
    """Errors whose squares leave float32 are propagated as those of size 1 are."""
    exposures, frame = exposures_of(np.random.default_rng(4), "turbo", 0.9, 1.1, 20.0, bad=0.0)
    expected = oracle.run(backend, frame, exposures)["err"]
    for exposure in exposures:
        exposure.err = exposure.err.astype("f8") * size
    got = oracle.run(backend, frame, exposures)["err"].astype("f8") / size
    assert_close(got, expected, 40 * EPS32 * np.abs(expected), "err")


# ---- closed form, and the package ----------------------------------------------------------------------------------


def added(backend, pixmaps, variance, weights=None, **settings):
    """Images of exposures of one variance at some places."""
    shape = pixmaps[0].shape[:2]
    frame = MosaicLayout(shape, variance_names=("v",), has_err=True, propagates=True, **settings)
    made = []
    for k, pixmap in enumerate(pixmaps):
        weight = Weight(constant=1.0 if weights is None else weights[k])
        one = oracle.exposure(np.zeros(shape, "f4"), pixmap, weight=weight, variance_weight=1.0, context_id=k)
        one.variances, one.err = {"v": np.full(shape, variance, "f4")}, np.full(shape, np.sqrt(variance))
        made.append(one)
    return oracle.run(backend, frame, made)


def shifted(dx, dy, shape=(12, 14)):
    """A pixel map that only shifts."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    return np.stack([x + dx, y + dy], -1)


def test_half_a_pixel(backend):
    """Moved by half a pixel both ways, four pixels share each output pixel: a fourth of the variance."""
    got = added(backend, [shifted(0.5, 0.5)], 3.0)
    np.testing.assert_allclose(got["v"][1:, 1:], 0.75, rtol=8 * EPS32)
    np.testing.assert_allclose(got["err"][1:, 1:], np.sqrt(0.75), rtol=8 * EPS32)
    np.testing.assert_allclose(got["v"][0, 1:], 1.5, rtol=8 * EPS32)  # two at the edge
    np.testing.assert_allclose(got["v"][0, 0], 3.0, rtol=8 * EPS32)


def test_whole_pixels(backend):
    """Of n exposures on whole pixels an n-th; with unequal weights the sum of their squares over that squared."""
    for weights in (None, [1.0, 2.0, 5.0, 0.25]):
        got = added(backend, [shifted(k, -k) for k in range(4)], 3.0, weights)
        w = np.array(weights or [1.0] * 4)
        inner = np.s_[: 12 - 3, 3:]
        np.testing.assert_allclose(got["v"][inner], 3 * (w**2).sum() / w.sum() ** 2, rtol=20 * EPS32)
        np.testing.assert_allclose(got["err"][inner] ** 2, got["v"][inner], rtol=20 * EPS32)


def test_drizzles_own(own_backend):
    """The drizzle package's data2 is the same, to its float32."""
    from gpures.backend.reference import drizzle_class

    exposures, frame = exposures_of(np.random.default_rng(2), "square", 0.8, 0.9, 25.0, bad=0.0)
    got = oracle.run(own_backend, frame, exposures)
    driz = drizzle_class()(kernel="square", fillval=np.nan, fillval2=np.nan, out_shape=frame.shape)
    for e in exposures:
        driz.add_image(
            e.data,
            1.0,
            e.pixmap.array(),
            data2=[e.variances[name] for name in NAMES] + [e.err**2],
            weight_map=np.where(e.dq & 1, 0, e.weight.weight_map),
            iscale=e.iscale,
            pixfrac=e.pixfrac,
            pixel_scale_ratio=e.pixel_scale_ratio,
        )
    truth, expected = truth_of(exposures, frame)
    images = [*(got[name] for name in NAMES), got["err"].astype(float) ** 2]
    for image, theirs, name in zip(images, driz.out_img2, (*NAMES, "err"), strict=True):
        bound = 2 * PRECISION["drizzle", "f4"].squared_bound(truth, expected[name], 3)
        sure = ~truth.unsure
        assert_close(np.where(sure, image, 0), np.where(sure, theirs, 0), bound, name)


# ---- scatter -------------------------------------------------------------------------------------------------------

REALIZATIONS, AT_ONCE = 2080, 26


def scatter(rng, exposures, frame):
    """What the mosaic's data are, in the very same pass, for realizations of the noise: (realizations, Ny, Nx)."""
    names = tuple(f"noise{k}" for k in range(AT_ONCE))
    images = []
    for _ in range(REALIZATIONS // AT_ONCE):
        accumulators = make_accumulators("cpu", replace(frame, variance_names=(), has_err=False, extra_names=names))
        for exposure in exposures:
            sigma = np.sqrt(np.maximum(sum(exposure.variances.values()), 0))
            noise = rng.normal(size=(AT_ONCE, *exposure.shape)) * sigma * exposure.iscale
            accumulators.add(replace(exposure, variances={}, err=None, extras=dict(zip(names, noise, strict=True))))
        made = accumulators.images()
        images += [made[name] for name in names]
    return np.array(images, float)


def assert_scatter(images, variance):
    """The scatter is that of a variance, in each pixel and in all, within what so many realizations can tell."""
    there = np.isfinite(variance)
    ratio = images[:, there] ** 2 / variance[there]
    of_pixels, of_realizations = ratio.mean(axis=0), ratio.mean(axis=1)
    assert np.abs(of_pixels - 1).max() < 6 * np.sqrt(2 / len(images))
    uncertain = of_realizations.std() / np.sqrt(len(images))
    assert uncertain < 0.004  # or a factor of 1.02 would not be seen
    assert abs(of_realizations.mean() - 1) < 4.5 * uncertain


@pytest.mark.parametrize(
    ("kernel", "pixfrac", "ratio", "angle"),
    [
        ("square", 1.0, 1.0, 0.0),
        ("square", 0.6, 0.7, 33.0),
        ("turbo", 0.8, 1.3, 12.0),
        ("gaussian", 1.0, 0.9, 20.0),
        ("point", 1.0, 1.6, 5.0),
        ("lanczos3", 1.0, 1.0, 28.0),
    ],
)
def test_scatter_of_noise(kernel, pixfrac, ratio, angle):
    """The output scatters as its variances say, of unequal noise and weights; 1.02 times as much is told apart."""
    rng = np.random.default_rng(9)
    exposures, frame = exposures_of(rng, kernel, pixfrac, ratio, angle, shape=(18, 20), bad=0.0)
    got = oracle.run("cpu", replace(frame, dtype=np.dtype("f8")), exposures)
    variance = sum(got[name].astype(float) for name in NAMES)
    weight = np.abs(got["wht"])
    variance[weight < 0.05 * np.median(weight[weight > 0])] = np.nan  # where Lanczos' weights all but cancel
    images = scatter(rng, exposures, frame)
    assert_scatter(images, variance)
    for factor in (1.02, 1 / 1.02):
        with pytest.raises(AssertionError):
            assert_scatter(images, variance * factor)


# ---- of a resampler ------------------------------------------------------------------------------------------------

FRAME = scenes.frame_around(SHAPE)


def resampled(models, backend="cpu", output=None, base=gpures.Resample, **options):
    """The output model of a mosaic whose variances are propagated."""
    options = {"variance_method": "propagated", "good_bits": None} | options
    return scenes.mosaic(base, models, FRAME, {"backend": backend, **options}, **(output or {})).output_model


def exposures_in(models, **options):
    """What the resampler makes of models, and its layout."""
    resample = gpures.Resample(
        {"wcs": FRAME}, backend="cpu", variance_method="propagated", **{"good_bits": None} | options
    )
    exposures = []
    for k, model in enumerate(models):
        exposures.append(resample._checked_exposure(model))
        exposures[k].context_id = k
    return exposures, resample._accumulators.layout


@pytest.mark.parametrize("weight_type", ["ivm", "ivm-sky", "exptime"])
@pytest.mark.parametrize("compute_err", ["from_var", "driz_err"])
def test_resample(backend, weight_type, compute_err):
    """Variances and error of a mosaic are those of the definition, whatever weights are made of, flags and all."""
    models = scenes.dithered_models(SHAPE, n=3)
    models[1]["var_flat"][3:5, 4] = np.nan
    models[2]["var_rnoise"][6, 7] = -2.0
    options = {"weight_type": weight_type, "compute_err": compute_err, "good_bits": "~1", "fillval": -7.0}
    got = resampled(models, backend, **options)
    exposures, layout = exposures_in(models, **options)
    names = gpures.Resample.variance_array_names
    truth, expected = assert_variance(backend, "f4", got, exposures, layout, names)
    variance = expected["err"][0] if compute_err == "driz_err" else sum(expected[name][0] for name in names)
    if compute_err == "driz_err":
        variance = np.where(truth.count > 0, variance, 49.0)  # fill values, as ever
        np.testing.assert_array_equal(got["err"][truth.count == 0], -7.0)
    assert_close(np.abs(got["err"]), np.sqrt(variance), 40 * EPS32 * np.sqrt(variance), "err")
    assert got["variance_method"] == "propagated"


def test_units_of_propagated_variances(backend):
    """They are those of the data: no power of the pixel scale ratio comes in but by the data's own factor."""
    models = [scenes.model_of(FRAME, FRAME.array_shape, seed=k) for k in range(2)]
    variances = {"var_rnoise": 2.0, "var_poisson": 3.0, "var_flat": 4.0}
    for model in models:
        model |= {name: np.full(FRAME.array_shape, v, "f4") for name, v in variances.items()}
    for ratio in (1.0, 2.0):
        options = {"weight_type": "exptime", "kernel": "point", "compute_err": "from_var"}
        got = resampled(models, backend, {"pixel_scale_ratio": ratio}, **options)
        t = np.array([model["measurement_time"] for model in models])
        share = (t**2).sum() / t.sum() ** 2
        for name, v in variances.items():
            np.testing.assert_allclose(got[name], v * share, rtol=20 * EPS32)
        np.testing.assert_allclose(got["err"], np.sqrt(9 * share), rtol=20 * EPS32)
        # As stcal has them, for comparison: over the square of the ratio.
        stcal = resampled(models, backend, {"pixel_scale_ratio": ratio}, variance_method="stcal", **options)
        np.testing.assert_allclose(stcal["var_flat"], 4.0 * share / ratio**2, rtol=20 * EPS32)


@pytest.mark.parametrize(("unit", "power"), [("MJy/sr", 0), ("MJy", 2)])
@pytest.mark.parametrize("compute_err", ["from_var", "driz_err"])
def test_units_of_spectra(backend, unit, power, compute_err):
    """Spectral flux densities are multiplied by 1 / ratio, so their variances by its square; nothing else is."""
    frame = scenes.spectral_frame(SHAPE)
    model = scenes.model_of(frame, frame.array_shape, bunit_data=unit)
    model |= {name: np.full(frame.array_shape, 3.0, "f4") for name in gpures.Resample.variance_array_names}
    model["err"] = np.full(frame.array_shape, 3.0)
    options = {"kernel": "point", "good_bits": None, "backend": backend, "variance_method": "propagated"}
    output = {"pixel_scale_ratio": 1.5, "pixel_scale": 0.15}
    got = scenes.mosaic(gpures.Resample, [model], frame, options | {"compute_err": compute_err}, **output).output_model
    there = got["wht"] > 0
    np.testing.assert_allclose(got["data"][there], model["data"][there] / 1.5 ** (power / 2), rtol=20 * EPS32)
    np.testing.assert_allclose(got["var_flat"][there], 3.0 / 1.5**power, rtol=20 * EPS32)
    np.testing.assert_allclose(got["err"][there], 3.0 / 1.5 ** (power / 2), rtol=20 * EPS32)


@pytest.mark.parametrize("fillval", ["NaN", 0.0, None, 5.0])
def test_nothing_there(backend, fillval):
    """Where there are no data, variances are NaN, and so is an error made of them, whatever the fill value."""
    got = resampled(scenes.dithered_models(SHAPE, n=1), backend, fillval=fillval, compute_err="from_var")
    there = got["wht"] != 0
    assert 0 < there.sum() < there.size
    for name in (*gpures.Resample.variance_array_names, "err"):
        np.testing.assert_array_equal(np.isfinite(got[name]), there, name)


def unknown(backend, make, **options):
    """Whether mosaics of two models, the second of which is changed, know variance and error; where it contributes."""
    first, second = scenes.dithered_models(SHAPE, n=2)
    one = resampled([first, second], backend, compute_err="from_var", **options)
    other = resampled([second], backend)["wht"] != 0
    got = resampled([first, make(second)], backend, compute_err="from_var", **options)
    for name in ("data", "wht", "con", "var_rnoise", "var_poisson"):
        np.testing.assert_array_equal(got[name], one[name], name)
    return got, one, other


@pytest.mark.parametrize(
    "make",
    [
        lambda v: None,
        lambda v: np.array([]),
        lambda v: v[:3],
        lambda v: np.full(SHAPE, np.nan),
        lambda v: -v,
        lambda v: np.ma.masked_array(v, np.ones(SHAPE, bool)),
    ],
)
def test_a_variance_that_is_not_known(backend, make):
    """What it was made of is not known where that exposure contributes: neither is its error; the rest stays."""
    got, one, other = unknown(backend, lambda model: model | {"var_flat": make(model["var_flat"])})
    for name in ("var_flat", "err"):
        assert np.isnan(got[name][other]).all()
        np.testing.assert_array_equal(got[name][~other], one[name][~other], name)
    assert np.isfinite(got["err"]).any()


def test_a_variance_that_no_exposure_has(backend):
    """It is no part of the noise: NaN, and the error is made of the others."""
    models = scenes.dithered_models(SHAPE, n=2)
    without = [model | {"var_flat": None} for model in models]
    got = resampled(without, backend, compute_err="from_var")
    assert np.isnan(got["var_flat"]).all()
    there = got["wht"] != 0
    expected = np.sqrt(got["var_rnoise"].astype(float) + got["var_poisson"])
    np.testing.assert_allclose(got["err"][there], expected[there], rtol=8 * EPS32)


def test_variances_without_weight(own_backend):
    """A pixel that does not contribute may have any variance."""
    models = scenes.dithered_models(SHAPE, n=2)
    models[0]["dq"][4:6, 3:9] = 1
    expected = resampled(models, own_backend, good_bits=0, compute_err="driz_err")
    for name in ("var_rnoise", "var_flat", "err"):
        models[0][name][4:6, 3:9] = np.nan
    got = resampled(models, own_backend, good_bits=0, compute_err="driz_err")
    for name in ("data", "err", *gpures.Resample.variance_array_names):
        np.testing.assert_array_equal(got[name], expected[name], name)


def test_map_of_the_exposure_time(backend):
    """And context, flags, data and weights are as with the other method, to the last bit."""
    models = scenes.dithered_models(SHAPE, n=3)
    options = {"enable_exptime_map": True, "propagate_dq": True, "good_bits": "~1", "compute_err": "driz_err"}
    one, other = (resampled(models, backend, variance_method=method, **options) for method in ("stcal", "propagated"))
    for name in ("data", "wht", "con", "dq", "exptime_map"):
        np.testing.assert_array_equal(other[name], one[name], name)


def test_an_error_at_any_time(backend):
    """One by the errors of the models is current after each exposure; the same after all."""
    models = scenes.dithered_models(SHAPE, n=2)
    resample = gpures.Resample({"wcs": FRAME}, backend=backend, variance_method="propagated", compute_err="driz_err")
    resample.add_model(models[0])
    (exposure, *_), layout = exposures_in(models[:1], compute_err="driz_err", good_bits=0)
    variance = oracle.propagated([exposure], layout)["err"][0]
    there = np.isfinite(variance)
    np.testing.assert_allclose(resample.output_model["err"][there] ** 2, variance[there], rtol=100 * EPS32)
    resample.add_model(models[1])
    before = resample.output_model["err"].copy()
    resample.finalize()
    np.testing.assert_array_equal(resample.output_model["err"], before)


# ---- subclasses ----------------------------------------------------------------------------------------------------


class Handed(gpures.Resample):
    """A class whose hook hands everything on."""

    def resample_variance_arrays(self, **kwargs):
        super().resample_variance_arrays(**kwargs)


class Reweighted(gpures.Resample):
    """A class whose hook has other weights, and an array of its own making."""

    variance_array_names = ["var_rnoise", "var_dark"]

    def resample_variance_arrays(self, model, weight_map, **kwargs):
        weights = np.where(weight_map > 0, weight_map**2, 0).astype("f4")
        dark = model["var_rnoise"] * 2
        super().resample_variance_arrays(model=model | {"var_dark": dark}, weight_map=weights, **kwargs)

    def finalize_resample_variance(self, output_model):
        super().finalize_resample_variance(output_model)
        output_model["var_dark"] = output_model["var_dark"] + 1


def test_a_hook_that_hands_on(backend):
    """A class that overrides the hook gets the same variances as one that does not."""
    models = scenes.dithered_models(SHAPE, n=3)
    models[2]["var_flat"] = None
    plain, handed = (
        resampled(models, backend, base=base, compute_err="from_var") for base in (gpures.Resample, Handed)
    )
    for name in ("err", *gpures.Resample.variance_array_names):
        bound = 100 * EPS32 * np.abs(plain[name])
        assert_close(handed[name], plain[name], bound, name)


def test_a_hook_with_weights_of_its_own(backend):
    """Variances have the weights that the hook gives, and are those of data with such weights."""
    models = [model | {"var_dark": None} for model in scenes.dithered_models(SHAPE, n=3)]
    got = resampled(models, backend, base=Reweighted, compute_err="from_var")
    exposures, layout = exposures_in(models)
    reweighted = []
    for exposure in exposures:
        weights = oracle.weights_of(exposure) ** 2
        rnoise = exposure.variances["var_rnoise"]
        reweighted.append(replace(exposure, weight=Weight(weight_map=weights.astype("f4")), variances={"v": rnoise}))
    layout = replace(layout, variance_names=("v",))
    named = {"v": got["var_rnoise"]}
    assert_variance(backend, "f4", named, reweighted, layout, ["v"])
    np.testing.assert_allclose(got["var_dark"], got["var_rnoise"] * 2 + 1, rtol=20 * EPS32)
    np.testing.assert_allclose(got["err"], np.sqrt(got["var_rnoise"] + got["var_dark"]), rtol=20 * EPS32)


def test_a_hook_that_adds_nothing(backend):
    """Then there are no variances, and an error of them is not known."""

    class Nothing(gpures.Resample):
        def resample_variance_arrays(self, **kwargs):
            pass

    got = resampled(scenes.dithered_models(SHAPE, n=2), backend, base=Nothing, compute_err="from_var")
    assert np.isnan(got["var_rnoise"]).all()
    assert np.isnan(got["err"]).all()


def test_variances_twice():
    """Who adds variances beside those that go with the data is refused, and nothing is added."""
    (model,) = scenes.dithered_models(SHAPE, n=1)
    resample = gpures.Resample({"wcs": FRAME}, backend="cpu", variance_method="propagated")
    resample.add_model(model)
    arguments = {"pixel_scale_ratio": 1.0, "iscale": 1.0, "weight_map": None}
    with pytest.raises(RuntimeError, match=r"'resample_variance_arrays' adds variances .* got Resample"):
        resample.resample_variance_arrays(
            model, np.zeros((*SHAPE, 2)), **arguments, xmin=None, xmax=None, ymin=None, ymax=None
        )
    assert resample._accumulators.passes == 1


def test_fewer_names_on_the_way(own_backend):
    """A variance that is not resampled any more is not known from then on."""
    models = scenes.dithered_models(SHAPE, n=2)
    resample = gpures.Resample({"wcs": FRAME}, backend=own_backend, variance_method="propagated", good_bits=None)
    resample.add_model(models[0])
    resample.variance_array_names = ["var_rnoise", "var_poisson"]
    resample.add_model(models[1] | {"var_flat": None})
    resample.finalize()
    second = resampled(models[1:], own_backend)["wht"] != 0
    assert np.isnan(resample.output_model["var_flat"][second]).all()
    assert np.isfinite(resample.output_model["var_rnoise"][second]).all()


# ---- what is kept, merged and refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
@pytest.mark.parametrize("base", [gpures.Resample, Handed])
def test_copies(backend, way, base):
    """A copy goes on as the first would, and knows which variances there are."""
    models = [model | {"var_flat": None} for model in scenes.dithered_models(SHAPE, n=3)]
    options = {"backend": backend, "variance_method": "propagated", "compute_err": "from_var"}
    whole, begun = (base({"wcs": FRAME}, **options) for _ in range(2))
    for model in models:
        whole.add_model(model)
    begun.add_model(models[0])
    begun = way(begun)
    for model in models[1:]:
        begun.add_model(model)
    for resample in (whole, begun):
        resample.finalize()
    for name in ("data", "err", *gpures.Resample.variance_array_names):
        np.testing.assert_array_equal(begun.output_model[name], whole.output_model[name], name)
    assert np.isfinite(whole.output_model["err"]).any()


@pytest.mark.parametrize("other", ["cpu", "drizzle"])
@pytest.mark.parametrize(("base", "compute_err"), [(gpures.Resample, "driz_err"), (Handed, "from_var")])
def test_merged(backend, other, base, compute_err):
    """Parts of a mosaic, of any two backends, are merged to that of one go."""
    models = scenes.dithered_models(SHAPE, n=4)
    models[3]["var_flat"] = None
    options = {"variance_method": "propagated", "compute_err": compute_err}
    whole = scenes.mosaic(base, models, FRAME, options | {"backend": "cpu"}).output_model
    parts = [
        scenes.mosaic(base, chosen, FRAME, options | {"backend": each}, finalize=False)
        for each, chosen in ((backend, models[:1]), (other, models[1:]))
    ]
    parts[0].merge(parts[1])
    parts[0].finalize()
    got = parts[0].output_model
    for name in ("data", "wht", "err", *gpures.Resample.variance_array_names):
        assert_close(got[name], whole[name], 200 * EPS32 * np.abs(whole[name]), name)
    assert np.isnan(got["var_flat"][got["wht"] != 0]).any()


def test_merging_is_refused():
    """Mosaics whose variances mean something else are not merged."""
    models = scenes.dithered_models(SHAPE, n=2)

    def part(k, base=gpures.Resample, **options):
        return scenes.mosaic(base, models[k : k + 1], FRAME, {"backend": "cpu", **options}, finalize=False)

    one, method = part(0), {"variance_method": "propagated"}
    with pytest.raises(ValueError, match="the 'variance_method' of this mosaic, 'stcal', got 'propagated'"):
        one.merge(part(1, **method))
    with pytest.raises(ValueError, match="the 'resample_variance_arrays' of this mosaic, 'as it is', got 'overridden'"):
        part(0, **method).merge(part(1, Handed, **method))
    assert one._accumulators.passes == 1


def test_accelerated(caplog):
    """`gpures.accelerate` hands the method on to stcal's class."""
    stcal = pytest.importorskip("stcal.resample")
    models = scenes.dithered_models(SHAPE, n=2)
    with gpures.accelerate("cpu", variance_method="propagated"), caplog.at_level(logging.WARNING):
        got = scenes.mosaic(stcal.Resample, models, FRAME, {"good_bits": None}).output_model
    np.testing.assert_array_equal(got["var_flat"], resampled(models)["var_flat"])


def test_the_attribute():
    """It says what was asked for, and can't be changed."""
    for method in ("stcal", "propagated"):
        resample = gpures.Resample({"wcs": FRAME}, backend="cpu", variance_method=method)
        assert resample.variance_method == resample.output_model.get("variance_method", "stcal") == method
    with pytest.raises(AttributeError, match="'variance_method' of a Resample can't be changed"):
        resample.variance_method = "stcal"
    with pytest.raises(ValueError, match="'variance_method' must be 'stcal' or 'propagated', got 'both'"):
        gpures.Resample({"wcs": FRAME}, variance_method="both")

"""Numbers at the ends of float32: variances from 1e-30, weights to 1e30, data of 1e-15.

Each image lands on the frame pixel by pixel, so that what is expected can be written down in float64.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scenes
import tolerances as tol

import gpures

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

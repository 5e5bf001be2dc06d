"""Further arrays ride along with the data: in the same pass, with the same weights."""

from __future__ import annotations

import numpy as np
import pytest
import scenes
from tolerances import EPS32, assert_close, assert_same_nan

import gpures

SHAPE = (30, 34)


@pytest.fixture
def frame():
    return {"wcs": scenes.frame_around(SHAPE)}


def models_with(**arrays):
    """Dithered models with further arrays, of which each is a function of the model's number."""
    models = scenes.dithered_models(SHAPE, 3)
    return [model | {name: make(k) for name, make in arrays.items()} for k, model in enumerate(models)]


def noise(seed):
    return np.random.default_rng(seed).uniform(1, 2, SHAPE).astype("f4")


@pytest.mark.parametrize("kernel", ["square", "turbo", "point"])
def test_an_extra_array_is_averaged_like_the_data(backend, frame, kernel):
    """The image of an extra array is that of a mosaic whose data it is, fill values included."""
    options = {"backend": backend, "kernel": kernel, "fillval": -7.0, "propagate_dq": True}
    models = models_with(moon=lambda k: noise(k).astype(">f8"), mask=lambda k: noise(10 + k))
    both = gpures.Resample(frame, extra_array_names=["moon", "mask"], compute_err="from_var", **options)
    both.add_models(models)
    both.finalize()
    assert both.extra_array_names == ("moon", "mask")
    for name in ("moon", "mask"):
        alone = gpures.Resample(frame, **options)
        alone.add_models([model | {"data": model[name], "level": None} for model in models])
        assert both.output_model[name].dtype == np.float32
        bound = 4 * len(models) * EPS32 * np.abs(alone.output_model["data"])
        assert_close(both.output_model[name], alone.output_model["data"], bound, name)
        np.testing.assert_array_equal(both.output_model["wht"], alone.output_model["wht"])


def test_everything_else_is_as_without(backend, frame):
    """Extra arrays change nothing else, variances and errors included."""
    models = models_with(moon=noise)
    mosaics = []
    for names in ((), ("moon",)):
        resample = gpures.Resample(frame, extra_array_names=names, backend=backend, compute_err="driz_err")
        resample.add_models([model | {"err": noise(9)} for model in models])
        resample.finalize()
        mosaics.append(resample.output_model)
    for name in ("data", "wht", "con", "err", "var_rnoise", "var_flat"):
        np.testing.assert_array_equal(mosaics[1][name], mosaics[0][name], name)


def test_an_image_in_between(backend, frame):
    """Extra arrays can be looked at any time, and begin anew with a new mosaic."""
    models = models_with(moon=lambda k: np.full(SHAPE, 3.0 + k))
    resample = gpures.Resample(frame, extra_array_names="moon", backend=backend, fillval="NaN")
    assert resample.output_model["moon"] is None
    resample.add_model(models[0])
    image = resample.output_model["moon"]
    assert_same_nan(image, resample.output_model["data"])
    np.testing.assert_allclose(image[np.isfinite(image)], 3.0, rtol=4 * EPS32)
    resample.reset_arrays()
    resample.add_model(models[2])
    image = resample.output_model["moon"]
    np.testing.assert_allclose(image[np.isfinite(image)], 5.0, rtol=4 * EPS32)


def test_neither_sky_nor_flux_scale(backend, frame):
    """The data's sky level is theirs alone."""
    models = [model | {"level": 5.0, "subtracted": False} for model in models_with(moon=lambda k: np.full(SHAPE, 2.0))]
    resample = gpures.Resample(frame, extra_array_names=["moon"], backend=backend)
    resample.add_models(models)
    image, weight = resample.output_model["moon"], resample.output_model["wht"]
    np.testing.assert_allclose(image[weight > 0], 2.0, rtol=12 * EPS32)


@pytest.mark.parametrize("name", ["weight", "full", "lanczos", "first_row"])
def test_any_name_will_do(backend, frame, name):
    """A name that means something inside is as good as another."""
    resample = gpures.Resample(frame, extra_array_names=[name], backend=backend, fillval="NaN", enable_var=False)
    resample.add_models(models_with(**{name: lambda k: np.full(SHAPE, 3.0)}))
    image = resample.output_model[name]
    assert_same_nan(image, resample.output_model["data"])
    np.testing.assert_allclose(image[np.isfinite(image)], 3.0, rtol=12 * EPS32)


@pytest.mark.parametrize("names", [["data"], ["var_rnoise"], ["a", "a"], [3], "wht"])
def test_bad_names(frame, names):
    """A name is a string, and its own."""
    with pytest.raises(ValueError, match="'extra_array_names' must be distinct names"):
        gpures.Resample(frame, extra_array_names=names, backend="cpu")


def test_bad_arrays(backend, frame):
    """An extra array that is missing, misshapen or no array of numbers is named, and nothing is added."""
    model = models_with(moon=noise)[0]
    resample = gpures.Resample(frame, extra_array_names=["moon"], backend=backend)
    with pytest.raises(KeyError, match="moon"):
        resample.add_model({key: value for key, value in model.items() if key != "moon"})
    with pytest.raises(ValueError, match=r"'moon' of model .* must have the shape of its data, \(30, 34\), got \(3,\)"):
        resample.add_model(model | {"moon": np.ones(3)})
    with pytest.raises(TypeError, match=r"'moon' of model .* must hold real numbers"):
        resample.add_model(model | {"moon": np.full(SHAPE, "x")})
    assert not resample.group_ids
    resample.add_model(model)
    assert np.isfinite(resample.output_model["moon"]).all()

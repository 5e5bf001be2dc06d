"""Attributes of a `gpures.Resample` between two exposures: each acts on what comes next, or refuses with a reason."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scenes
import stcal.resample
from test_parity_stcal import as_float32, assert_parity

import gpures

SHAPE = (26, 31)


def output():
    """Argument `output_wcs`."""
    return {"wcs": scenes.frame_around(SHAPE), "pixel_scale": scenes.SCALE}


def alone(model, backend, **options):
    """Images of a mosaic of one model."""
    resample = gpures.Resample(output(), backend=backend, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        resample.add_model(model)
    return {name: np.array(resample.output_model[name]) for name in ("data", "wht", "con")}


CHANGES = {
    "to a point": ({"pixfrac": 1.0}, {"pixfrac": 0.0}),
    "from a point": ({"pixfrac": 0.0}, {"pixfrac": 0.5}),
    "pixfrac": ({"pixfrac": 1.0}, {"pixfrac": 0.4}),
    "kernel": ({"kernel": "square"}, {"kernel": "turbo"}),
    "to lanczos": ({"kernel": "point"}, {"kernel": "lanczos3"}),
    "kernel and pixfrac": ({"kernel": "gaussian", "pixfrac": 0.0}, {"pixfrac": 0.7}),
    "good_bits": ({"good_bits": None}, {"good_bits": 0}),
    "weight_type": ({"weight_type": "ivm"}, {"weight_type": "exptime"}),
    "pixmap_stepsize": ({}, {"pixmap_stepsize": 4}),
    "pixmap_order": ({"pixmap_stepsize": 4}, {"pixmap_order": 3}),
}


@pytest.mark.filterwarnings("ignore:Kernel", "ignore:In lanczos")
@pytest.mark.parametrize("change", CHANGES)
def test_a_setting_acts_on_the_next_exposure(backend, change):
    """The second exposure is weighted and dropped as it is alone with what was set in between."""
    first, second = scenes.dithered_models(SHAPE, n=2)
    second["dq"][3:9, 4:8] = 1
    before, after = CHANGES[change]
    resample = gpures.Resample(output(), backend=backend, **before)
    resample.add_model(first)
    for name, value in after.items():
        setattr(resample, name, value)
        assert getattr(resample, name) == value
    resample.add_model(second)
    alone_before, alone_after = alone(first, backend, **before), alone(second, backend, **before | after)
    wht = alone_before["wht"].astype(float) + alone_after["wht"]
    np.testing.assert_allclose(resample.output_model["wht"], wht, rtol=1e-6, atol=1e-30)
    np.testing.assert_array_equal((resample.output_model["con"] & 2) != 0, (alone_after["con"] & 1) != 0)
    total = sum(np.nan_to_num(one["data"].astype(float)) * one["wht"] for one in (alone_before, alone_after))
    seen = wht != 0
    np.testing.assert_allclose(
        np.asarray(resample.output_model["data"])[seen] * wht[seen],
        total[seen],
        rtol=1e-5,
        atol=1e-5 * abs(total).max(),
    )


def test_pixfrac_as_in_the_reference():
    """A pixfrac that changes between two exposures does what it does in the reference."""
    models = scenes.dithered_models(SHAPE, n=2)
    mosaics = []
    for kind, options in ((stcal.resample.Resample, {}), (gpures.Resample, {"backend": "cpu", "pixmap_tolerance": 0})):
        resample = kind(output(), pixfrac=1.0, compute_err="from_var", **options)
        resample.add_model(models[0])
        resample.pixfrac = 0.6
        resample.add_model(models[1])
        resample.finalize()
        mosaics.append(resample.output_model)
    assert_parity(mosaics[1], as_float32(mosaics[0]), models)


@pytest.mark.parametrize("values", [(0.0, -7.5), (np.nan, 0.0), ("NaN", "3"), (None, 0.0), (2.0, None)])
def test_fillval_acts_on_the_images_made_from_then_on(backend, values):
    """Pixels without contributions have the fill value that was set last, whether or not images were looked at."""
    (model,) = scenes.dithered_models(SHAPE, n=1)
    for looks in (True, False):
        resample = gpures.Resample(output(), fillval=values[0], backend=backend)
        resample.add_model(model)
        empty = np.asarray(resample.output_model["wht"]) == 0 if looks else None
        resample.fillval = values[1]
        data = np.asarray(resample.output_model["data"])
        empty = np.asarray(resample.output_model["wht"]) == 0
        assert empty.any()
        if values[1] is not None:
            np.testing.assert_array_equal(data[empty], np.float32(values[1]))
        resample.finalize()
        if values[1] is not None:
            np.testing.assert_array_equal(np.asarray(resample.output_model["data"])[empty], np.float32(values[1]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pixfrac", -1),
        ("pixfrac", "wide"),
        ("kernel", "round"),
        ("kernel", None),
        ("fillval", "empty"),
        ("weight_type", "best"),
        ("pixmap_stepsize", 0),
    ],
)
def test_a_wrong_setting_is_refused_when_it_is_set(name, value):
    """What the constructor refuses an attribute refuses, with its name, and keeps what it was."""
    resample = gpures.Resample(output(), backend="cpu")
    before = getattr(resample, name)
    with pytest.raises((ValueError, TypeError), match=name):
        setattr(resample, name, value)
    assert getattr(resample, name) == before


@pytest.mark.parametrize(
    "name",
    [
        "backend",
        "compute_err",
        "enable_ctx",
        "enable_exptime_map",
        "enable_var",
        "extra_array_names",
        "group_ids",
        "output_array_shape",
        "output_model",
        "output_pixel_scale",
        "output_wcs",
        "pixel_scale_ratio",
        "propagate_dq",
    ],
)
def test_what_is_settled_says_so(name):
    """Attributes that the mosaic is made with refuse to be set, say why, and keep their values."""
    resample = gpures.Resample(output(), backend="cpu")
    before = getattr(resample, name)
    with pytest.raises(AttributeError, match=f"'{name}' of a Resample can't be changed"):
        setattr(resample, name, 5)
    assert getattr(resample, name) is before


def test_variance_names(backend):
    """A mosaic goes on with fewer variances than it was begun with, and refuses further ones, with nothing added."""
    models = scenes.dithered_models(SHAPE, n=3)
    for model in models:
        model["var_dark"] = model["var_flat"]
    resample = gpures.Resample(output(), backend=backend, compute_err="from_var")
    resample.add_model(models[0])
    resample.variance_array_names = ["var_rnoise", "var_dark"]
    weight = np.array(resample.output_model["wht"])
    with pytest.raises(ValueError, match=r"'variance_array_names' must be among .* got 'var_dark'.*reset_arrays"):
        resample.add_model(models[1])
    np.testing.assert_array_equal(resample.output_model["wht"], weight)
    resample.variance_array_names = ["var_rnoise"]
    resample.add_model(models[2])
    resample.error_from_variances = ["var_dark"]
    with pytest.raises(ValueError, match="'error_from_variances' must be among"):
        resample.finalize()
    resample.error_from_variances = None
    resample.finalize()
    assert np.isfinite(resample.output_model["err"]).any()

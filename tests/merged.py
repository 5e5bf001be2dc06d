"""Parts of mosaics, and what they are compared by when they are merged."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import scenes
import tolerances as tol

import gpures
from gpures.arguments.arrays import as_host
from gpures.box import Box

SHAPE = (15, 18)

WAYS = {
    "itself": lambda thing: thing,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
}

ALL_PLANES = {
    "compute_err": "driz_err",
    "propagate_dq": True,
    "enable_exptime_map": True,
    "extra_array_names": ["sky"],
    "fillval": "NaN",
}

FRAME = scenes.frame_around(SHAPE, margin=8)


def make_models(n, **changes):
    """Exposures of one field, of which two by two are of one group."""
    models = scenes.dithered_models(SHAPE, n=n, **changes)
    for k, model in enumerate(models):
        model["sky"] = np.full(SHAPE, k + 0.5, np.float32)
        model["dq"][k % SHAPE[0], 5] = 1 << (k % 20)
        model["group_id"] = f"visit {k // 2}"
    return models


MODELS = make_models(40)


def made(models, backend="cpu", frame=FRAME, base=gpures.Resample, ratio=1.0, **options):
    """A mosaic that has been begun with some models."""
    resample = base({"wcs": frame, "pixel_scale": scenes.SCALE, "pixel_scale_ratio": ratio}, backend=backend, **options)
    for model in models:
        resample.add_model(model)
    return resample


def finished(resample):
    """Its output model, with numpy arrays."""
    resample.finalize()
    return {k: np.array(v) if hasattr(v, "shape") else v for k, v in dict(resample.output_model).items()}


def assert_accumulated(resample, expected, bound):
    """What was accumulated by two mosaics agrees, in the accumulators' own precision."""
    window = Box.whole(FRAME.array_shape)
    (got, got_variances), (images, variances) = (
        each._accumulators.contents_on_host(window) for each in (resample, expected)
    )
    got, images = ({k: v for k, v in each.items() if v.dtype.kind == "f"} for each in (got, images))
    there = images["wht"] != 0
    got = {name: np.where(there, image, 0) for name, image in got.items()}
    images = {name: np.where(there, image, 0) for name, image in images.items()}
    for name, both in variances.items():
        images |= {f"{name} {k}": image for k, image in enumerate(both)}
        got |= {f"{name} {k}": image for k, image in enumerate(got_variances[name])}
    for name, image in images.items():
        tol.assert_close(got[name], image, bound * np.abs(image), name)


def assert_one_go(resample, expected, eps=tol.EPS32, per_exposure=1.0):
    """A merged mosaic is that of one go: to a few roundings an exposure, and exactly where nothing is rounded."""
    names = [exposure.name for exposure in resample.exposures]
    assert names == [exposure.name for exposure in expected.exposures]
    assert resample.group_ids == expected.group_ids
    for name in ("_n_res_models", "_measurement_time_success"):
        assert getattr(resample, name) == getattr(expected, name)
    bound = tol.PER_EXPOSURE * per_exposure * (len(names) + 1) * eps
    if eps == tol.EPS64:
        assert_accumulated(resample, expected, 10 * bound)
        bound = tol.EPS32  # of the images
    got, expected = finished(resample), finished(expected)
    assert list(got) == list(expected)
    for name, value in expected.items():
        if name == "wcs":
            continue
        if not isinstance(value, np.ndarray):
            assert got[name] == (pytest.approx(value, rel=1e-13) if isinstance(value, float) else value), name
        elif value.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                tol.assert_close(got[name], value, bound * np.abs(value), name)
        else:
            assert got[name].dtype == value.dtype
            np.testing.assert_array_equal(got[name], value, err_msg=name)


def state(resample):
    """All that a mosaic accumulates and counts."""
    accumulators = resample._accumulators
    held = accumulators.part(Box.whole(accumulators.layout.shape)).images
    counts = {name: copy.copy(getattr(resample, name)) for name in gpures.resample.resampler.COUNTS}
    return {name: as_host(array) for name, array in held.items()} | counts


def assert_same_state(got, expected):
    """Two such are equal; planes of the context that nobody has used do not count."""
    for name, value in expected.items():
        if isinstance(value, np.ndarray):
            found = got[name]
            if name.endswith(("_context", "out_ctx")):
                assert not found[len(value) :].any()
                found = found[: len(value)]
            np.testing.assert_array_equal(found, value, err_msg=name)
        else:
            assert got[name] == value, name

"""The door: each value of a model is asked for once, each array converted once, and all that follows sees that one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest
import scenes
from astropy.modeling import Model

import gpures
from gpures.exposure.input_model import InputModel

SHAPE = (20, 18)
ARRAYS = ("data", "dq", "err", "var_rnoise", "var_poisson", "var_flat", "extra")


class Once:
    """An array to those who ask first, and one of another shape to those who ask again."""

    def __init__(self, array):
        self.array, self.asked = array, 0

    def __array__(self, dtype=None, copy=None):
        self.asked += 1
        return self.array if self.asked == 1 else self.array[:2, :2].copy()


class Changing(Mapping):
    """A mapping that counts what it is asked for, and gives small arrays and other numbers from the second time on."""

    def __init__(self, model):
        self.model, self.asked = model, Counter()

    def __getitem__(self, key):
        value = self.model[key]
        self.asked[key] += 1
        if self.asked[key] == 1:
            return value
        if isinstance(value, np.ndarray):
            return value[:3, :3].copy()
        return 3 * value if isinstance(value, (int, float)) else value

    def __contains__(self, key):
        return key in self.model

    def __iter__(self):
        return iter(self.model)

    def __len__(self):
        return len(self.model)


def good(seed=0):
    """A model that any resampler takes."""
    wcs = scenes.imaging_wcs(SHAPE, rotation=20.0 + seed)
    return scenes.model_of(wcs, SHAPE, seed=seed, extra=np.full(SHAPE, 2.0 + seed))


def begun(backend="cpu", **options):
    """A resampler that wants all there is of a model."""
    options = {"compute_err": "driz_err", "propagate_dq": True, "enable_exptime_map": True} | options
    output = {"wcs": scenes.frame_around(SHAPE), "pixel_scale": scenes.SCALE}
    return gpures.Resample(output, backend=backend, extra_array_names=["extra"], **options)


def finished(resampler, models):
    """Images and numbers of the finished mosaic of models."""
    for model in models:
        resampler.add_model(model)
    resampler.finalize()
    return {key: value for key, value in resampler.output_model.items() if key != "wcs"}


def assert_same(got, expected):
    """Same keys and values, images bit by bit."""
    assert got.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(got[key], value, err_msg=key, strict=isinstance(value, np.ndarray))


@pytest.mark.parametrize("weight_type", ["ivm", "exptime"])
def test_arrays_are_converted_once(backend, weight_type):
    """What an array's object says the second time is asked by nobody: it is converted once, whatever it serves for."""
    expected = finished(begun(backend, weight_type=weight_type), [good()])
    hostile = good() | {key: Once(good()[key]) for key in ARRAYS}
    assert_same(finished(begun(backend, weight_type=weight_type), [hostile]), expected)
    assert [hostile[key].asked for key in ARRAYS] == [1] * len(ARRAYS)


def test_values_are_asked_for_once(backend):
    """A mapping that gives other arrays and numbers each time is asked for each of them once."""
    expected = finished(begun(backend), [good(0), good(1)])
    changing = Changing(good(1))
    assert_same(finished(begun(backend), [good(0), changing]), expected)
    assert max(changing.asked[key] for key in (*ARRAYS, "duration", "start_time", "pixelarea_steradians")) == 1


def test_a_model_is_a_mapping():
    """An InputModel has the keys and values of the model, also those that nobody has asked for."""
    model = good()
    taken = InputModel(model)
    assert dict(taken) == model
    assert len(taken) == len(model)
    assert "err" in taken
    assert "sky" not in taken
    with pytest.raises(KeyError, match="sky"):
        taken["sky"]
    assert taken.name == "exposure0.fits"
    assert InputModel({"filename": None}).name == "Unknown"


@pytest.mark.parametrize("name", ["data", "pixmap", "data2", "dq", "weight_map"])
def test_arguments_of_add_image_are_converted_once(backend, name):
    """An argument of add_image whose object changes its answer is what it was the first time."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    image = {
        "data": rows,
        "pixmap": np.stack([columns * 0.9 + 2.0, rows * 1.1 + 1.0], axis=-1),
        "data2": columns,
        "dq": np.ones(SHAPE, "u1"),
        "weight_map": 1.0 + rows,
    }
    images = []
    for value in (image[name], Once(image[name])):
        mosaic = gpures.Drizzle(out_shape=(25, 22), backend=backend)
        mosaic.add_image(exptime=1.0, **(image | {name: value}))
        images.append([mosaic.out_img, mosaic.out_wht, mosaic.out_dq, *mosaic.out_img2])
    for got, expected in zip(*images[::-1], strict=True):
        np.testing.assert_array_equal(got, expected, strict=True)


@pytest.mark.parametrize("name", ["out_img", "out_wht", "out_ctx", "out_dq", "out_img2"])
def test_output_arrays_are_converted_once(name):
    """An output array whose object changes its answer is what it was the first time."""
    once = Once(np.zeros((25, 22), np.int32 if name in ("out_ctx", "out_dq") else np.float32))
    mosaic = gpures.Drizzle(**{name: once}, backend="cpu")
    assert np.shape(getattr(mosaic, name))[-2:] == (25, 22)
    assert once.asked == 1


class Resizing(Model):
    """A transform that resizes an array while it is evaluated."""

    n_inputs = n_outputs = 2
    victim = None

    def evaluate(self, x, y):
        self.victim.resize((4, 4), refcheck=False)
        return x, y


@pytest.mark.parametrize("name", ARRAYS)
def test_a_wcs_that_resizes_an_array(own_backend, name):
    """An array that has another shape when the kernels are to read it is refused, and the mosaic is as before."""
    transform = Resizing()
    transform.inverse = Resizing()
    bad = good(1) | {"wcs": scenes.wcs_of(transform | scenes.sky_transform(SHAPE), SHAPE)}
    Resizing.victim = bad[name]
    resampler = begun(own_backend, weight_type="exptime")
    resampler.add_model(good(0))
    with pytest.raises(RuntimeError, match=r"\(20, 18\) has become one of \(4, 4\)"):
        resampler.add_model(bad)
    assert_same(finished(resampler, [good(2)]), finished(begun(own_backend, weight_type="exptime"), [good(0), good(2)]))

"""Arrays as callers have them: of any layout and type, read as they lie, or converted where they can't be."""

from __future__ import annotations

import numpy as np
import pytest
import scenes

import gpures
from gpures.arguments.arrays import converted, got, readable

SHAPE = (6, 9)
FAR = 3 << 30  # bytes between rows


def unaligned(array):
    """The array, one byte beside where it should be."""
    there = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    there[...] = array
    assert not there.flags.aligned
    return there


def far_apart(array, path):
    """The array in a file with holes, its rows gigabytes apart."""
    columns = FAR // array.dtype.itemsize
    there = np.memmap(path / "far", array.dtype, "w+", shape=(array.shape[0], columns))[:, : array.shape[1]]
    there[...] = array
    return there


def field(array):
    """The array as a field of a structured one."""
    records = np.zeros(array.shape, [("before", "i2"), ("field", array.dtype), ("after", "u1")])
    records["field"] = array
    return records["field"]


LAYOUTS = {
    "columns first": lambda array, _: np.asfortranarray(array),
    "backwards": lambda array, _: np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1],
    "every third": lambda array, _: np.repeat(np.repeat(array, 3, axis=0), 3, axis=1)[::3, ::3],
    "big-endian": lambda array, _: array.astype(array.dtype.newbyteorder(">")),
    "unaligned": lambda array, _: unaligned(array),
    "field": lambda array, _: field(array),
    "subclass": lambda array, _: array.view(np.recarray),
    "far apart": far_apart,
    "lists": lambda array, _: array.tolist(),
}


def model():
    """A model of small integers, which all types hold."""
    rng = np.random.default_rng(8)
    made = scenes.model_of(scenes.imaging_wcs(SHAPE, rotation=20.0), SHAPE)
    arrays = {key: rng.integers(1, 100, SHAPE).astype("f4") for key, array in made.items() if np.ndim(array) == 2}
    return made | arrays | {"dq": rng.integers(0, 4, SHAPE, dtype="i4")}


def mosaic_of(model, backend="cpu"):
    """Images of the finished mosaic of a model."""
    output = {"wcs": scenes.frame_around(SHAPE), "pixel_scale": scenes.SCALE}
    made = gpures.Resample(output, backend=backend, compute_err="driz_err", propagate_dq=True, good_bits=1)
    made.add_model(model)
    made.finalize()
    return {key: image for key, image in made.output_model.items() if isinstance(image, np.ndarray)}


def assert_same(got_images, expected):
    """The same images, bit by bit."""
    assert got_images.keys() == expected.keys()
    for key, image in expected.items():
        np.testing.assert_array_equal(got_images[key], image, err_msg=key, strict=True)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(backend, tmp_path, layout):
    """The layout of an array makes no difference, and whatever has no need of it is not copied."""
    plain = model()
    made = dict(plain)
    for key, array in plain.items():
        if isinstance(array, np.ndarray):
            made[key] = LAYOUTS[layout](array, tmp_path)
            assert layout == "lists" or np.shares_memory(converted(made[key], key)[0], made[key])
            if layout == "far apart":  # of one file, for its size; the others as they are
                break
    assert_same(mosaic_of(made, backend), mosaic_of(plain, backend))


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", ">i2", "u2", "i4", ">u4", "i8", "u8", "f2", ">f2", ">f8", "g"])
def test_types(backend, dtype):
    """Every type of real numbers is read as the numbers that it holds."""
    plain = model()
    for key in ("data", "err", "var_rnoise", "var_poisson", "var_flat"):
        plain[key] = plain[key].astype(dtype)
    numbers = {key: array.astype("f8") for key, array in plain.items() if isinstance(array, np.ndarray) and key != "dq"}
    got_images, expected = mosaic_of(plain, backend), mosaic_of(plain | numbers, backend)
    if backend == "drizzle":  # which takes the root of half a byte's variances in single precision
        for key, image in expected.items():
            np.testing.assert_allclose(got_images[key], image, rtol=1e-6, err_msg=key)
    else:
        assert_same(got_images, expected)


@pytest.mark.parametrize("dtype", ["c8", "O", "M8[s]", "m8[s]", "U3", "S3", "V3", [("a", "f4")]], ids=str)
def test_types_that_are_no_numbers(dtype):
    """What holds no real numbers is refused with its type."""
    with pytest.raises(TypeError, match=r"'sky' of model 'm\.fits' must hold real numbers, got"):
        readable(np.zeros(SHAPE, dtype), "sky", {"filename": "m.fits"})


def test_wide_doubles_keep_their_digits():
    """Long doubles become float64, half ones float32, and nothing else is converted."""
    for dtype, becomes in {"g": "f8", "f2": "f4", "f4": "f4", "f8": "f8", ">f2": "f4", ">i8": ">i8", "?": "?"}.items():
        assert readable(np.ones(SHAPE, dtype), "data").dtype == np.dtype(becomes)


class Long:
    """An object of many words."""

    def __repr__(self):
        return 1000 * "word "


def test_words_for_values():
    """An error shows a value as it is, if that is short, and anything else in a few words."""
    for value in (1.5, "text", None, [1, 2], (3, 4), float("nan")):
        assert got(value) == repr(value)
    for value in (Long(), "a" * 1000, 10**9000, np.ones((100, 100)), list(range(1000)), {k: k for k in range(1000)}):
        assert len(got(value)) < 200

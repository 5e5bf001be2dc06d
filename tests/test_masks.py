"""Masked arrays: a masked pixel of data or flags has weight 0, and what is masked elsewhere is NaN."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import scenes
from astropy import units
from astropy.nddata import CCDData, NDData
from astropy.utils.masked import Masked

import gpures
from gpures.exposure.input_model import InputModel
from gpures.exposure.weights import LEFT_OUT, left_out

SHAPE = (20, 18)
MASK = np.random.default_rng(10).random(SHAPE) < 0.3

# Ways to give an array with a mask.
MASKED = {
    "numpy": np.ma.MaskedArray,
    "NDData": lambda array, mask: NDData(np.asarray(array), mask=mask),
    "CCDData": lambda array, mask: CCDData(np.asarray(array), mask=mask, unit="MJy/sr"),
    "Masked": Masked,
    "Masked quantity": lambda array, mask: Masked(array * units.s, mask),
}


def good(seed=0, **changes):
    """A model without flags."""
    wcs = scenes.imaging_wcs(SHAPE, rotation=20.0 + seed)
    return scenes.model_of(wcs, SHAPE, seed=seed, extra=np.full(SHAPE, 2.0), dq=np.zeros(SHAPE, "u4"), **changes)


def mosaic_of(models, backend="cpu", **options):
    """Images of the finished mosaic of models, all there are."""
    options = {"compute_err": "driz_err", "propagate_dq": True, "enable_exptime_map": True} | options
    output = {"wcs": scenes.frame_around(SHAPE), "pixel_scale": scenes.SCALE}
    resampler = gpures.Resample(output, backend=backend, extra_array_names=["extra"], **options)
    for model in models:
        resampler.add_model(model)
    resampler.finalize()
    return {key: image for key, image in resampler.output_model.items() if isinstance(image, np.ndarray)}


def assert_same(got, expected):
    """The same images, bit by bit."""
    assert got.keys() == expected.keys()
    for key, image in expected.items():
        np.testing.assert_array_equal(got[key], image, err_msg=key, strict=True)


# ---- models --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("good_bits", [0, None, "~1"])
@pytest.mark.parametrize("weight_type", ["ivm", "exptime"])
@pytest.mark.parametrize("name", ["data", "dq"])
def test_masked_pixels_have_no_weight(backend, name, weight_type, good_bits):
    """A masked pixel of data or DQ counts as a bad one in every image, whatever makes the weights and good bits say."""
    flagged, masked = good(), good()
    flagged["dq"] = np.where(MASK, np.uint32(1), np.uint32(0))
    masked[name] = np.ma.MaskedArray(masked[name], MASK)
    if name == "data":
        masked["data"].data[MASK] = np.nan  # and what lies under a mask is never looked at
    expected = mosaic_of([flagged, good(1)], backend, weight_type=weight_type, good_bits=0)
    got = mosaic_of([masked, good(1)], backend, weight_type=weight_type, good_bits=good_bits)
    assert_same(got, expected)
    plain = mosaic_of([good(), good(1)], backend, weight_type=weight_type)
    assert (got["wht"] < plain["wht"]).any()


@pytest.mark.parametrize("kernel", ["point", "turbo", "gaussian", "lanczos3"])
@pytest.mark.filterwarnings("ignore:Kernel '")
def test_masks_with_every_kernel(own_backend, kernel):
    """A masked pixel is left out by every kernel."""
    flagged = good() | {"dq": np.where(MASK, np.uint32(1), np.uint32(0))}
    masked = good() | {"data": np.ma.MaskedArray(good()["data"], MASK)}
    assert_same(*(mosaic_of([model], own_backend, kernel=kernel) for model in (masked, flagged)))


@pytest.mark.parametrize("way", MASKED)
def test_ways_to_mask(way):
    """The mask of an astropy image counts as numpy's does."""
    model = good()
    expected = mosaic_of([model | {"data": np.ma.MaskedArray(model["data"], MASK)}])
    assert_same(mosaic_of([model | {"data": MASKED[way](model["data"], MASK)}]), expected)


@pytest.mark.parametrize("dtype", ["i1", "u1", ">i2", "i4", "i8", "f2", ">f4", "g", "?"])
@pytest.mark.parametrize("name", ["data", "err", "var_rnoise", "var_flat", "extra"])
def test_masks_of_any_type(name, dtype):
    """An array of any type can be masked: what is masked in an array other than the data is NaN."""
    values = (1 + np.arange(360).reshape(SHAPE) % 100).astype(dtype)
    model = good() | {name: np.ma.MaskedArray(values, MASK)}
    nan = good() | {name: np.where(MASK, np.nan, values.astype(np.float64))}
    if name == "data":
        nan["dq"] = np.where(MASK, np.uint32(1), np.uint32(0))
    assert_same(mosaic_of([model]), mosaic_of([nan]))


@pytest.mark.parametrize("name", ["data", "dq", "var_rnoise", "extra"])
def test_nothing_masked(name):
    """A masked array in which nothing is masked is as good as its data, and not even copied."""
    plain = good()
    for mask in (np.ma.nomask, np.zeros(SHAPE, bool), False):
        model = plain | {name: np.ma.MaskedArray(plain[name], mask)}
        assert_same(mosaic_of([model]), mosaic_of([plain]))
        taken = InputModel(model)
        assert np.shares_memory(taken.converted(name), plain[name])
        assert taken.mask(name) is None


def test_all_masked():
    """An exposure that is masked altogether leaves nothing in the images."""
    images = mosaic_of([good() | {"data": np.ma.masked_all(SHAPE)}], fillval="NaN")
    assert not images["wht"].any()
    assert not images["con"].any()
    assert np.isnan(images["data"]).all()


def test_masks_are_not_changed():
    """Neither the data under a mask nor the mask is changed."""
    model = good() | {"data": np.ma.MaskedArray(good()["data"], MASK)}
    model["var_flat"] = np.ma.MaskedArray(model["var_flat"], MASK)
    mosaic_of([model])
    np.testing.assert_array_equal(model["data"].data, good()["data"])
    np.testing.assert_array_equal(model["var_flat"].data, good()["var_flat"])
    assert (model["data"].mask == MASK).all()


@pytest.mark.parametrize("dtype", ["i1", "u1", ">i2", "u4", "i8", "u8"])
def test_flags_beside_a_mask(dtype):
    """Pixels that were bad and those that are masked are bad, all flags stay, and no other pixel becomes bad."""
    width = 8 * np.dtype(dtype).itemsize
    values = [0, 1, 4, 5, 1 << (width - 1), (1 << width) - 1]
    dq = np.array(values, f"u{width // 8}").view(f"{np.dtype(dtype).kind}{width // 8}").astype(dtype)[None]
    for mask in (np.zeros((1, 6), bool), np.array([[1, 0, 0, 0, 1, 0]], bool)):
        flags, bad = left_out(dq, 4, mask)
        assert [int(f) % 2**32 for f in flags[0]] == [value % 2**32 for value in values]
        np.testing.assert_array_equal((flags & np.uint64(bad)) != 0, mask | [[False, False, True, True, False, True]])
    assert bad == LEFT_OUT


def test_quantities_are_taken_with_a_word(caplog):
    """Of a quantity the value is taken, and the log says which array has which unit."""
    model = good()
    with caplog.at_level(logging.WARNING):
        assert_same(mosaic_of([model | {"data": model["data"] * units.MJy}]), mosaic_of([model]))
    assert "'data' of model 'exposure0.fits' has the unit MJy: its values are taken" in caplog.text


# ---- Drizzle -------------------------------------------------------------------------------------------------------

ROWS, COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)


def image(**changes):
    """Arguments of an image."""
    pixmap = np.stack([COLUMNS * 0.9 + 2.0, ROWS * 1.1 + 1.0], axis=-1)
    good = {"data": 1.0 + ROWS, "exptime": 1.0, "pixmap": pixmap, "weight_map": 1.0 + COLUMNS}
    return good | {"data2": [ROWS + COLUMNS], "dq": np.ones(SHAPE, "u1")} | changes


def drizzled(backend, **changes):
    """Images of a mosaic of one image."""
    mosaic = gpures.Drizzle(out_shape=(25, 22), backend=backend, fillval="NaN")
    mosaic.add_image(**image(**changes))
    images = {"data": mosaic.out_img, "wht": mosaic.out_wht, "con": mosaic.out_ctx, "squared": mosaic.out_img2[0]}
    return images if mosaic.out_dq is None else images | {"dq": mosaic.out_dq}


@pytest.mark.parametrize("others", [{}, {"weight_map": None}, {"dq": None}, {"weight_map": None, "dq": None}], ids=str)
@pytest.mark.parametrize("name", ["data", "dq", "weight_map"])
def test_masked_pixels_of_an_image(backend, name, others):
    """A masked pixel of data, flags or weights has weight 0, with and without the other arrays."""
    if name in others:
        pytest.skip("there is nothing to be masked")
    weights = np.ones(SHAPE) if "weight_map" in others else image()["weight_map"]
    expected = drizzled(backend, **(others | {"weight_map": np.where(MASK, 0.0, weights)}))
    assert_same(drizzled(backend, **(others | {name: np.ma.MaskedArray(image()[name], MASK)})), expected)


def test_masked_places_and_variances(backend):
    """What is masked in a pixel map or in data2 is NaN."""
    places = image()["pixmap"]
    both = np.stack([MASK, MASK], axis=-1)
    expected = drizzled(backend, pixmap=np.where(both, np.nan, places))
    assert_same(drizzled(backend, pixmap=np.ma.MaskedArray(places, both)), expected)
    squared = image()["data2"][0]
    expected = drizzled(backend, data2=[np.where(MASK, np.nan, squared)])
    assert_same(drizzled(backend, data2=[np.ma.MaskedArray(squared, MASK)]), expected)


@pytest.mark.parametrize("name", ["out_img", "out_wht", "out_ctx", "out_img2", "out_dq"])
def test_masked_output_arrays(name):
    """An output array in which something is masked is refused, as its mask would be wrong with the first image."""
    array = np.ma.MaskedArray(np.zeros(SHAPE, np.int32 if name in ("out_ctx", "out_dq") else np.float32), MASK)
    with pytest.raises(ValueError, match=f"'{name}' must not be masked"):
        gpures.Drizzle(**{name: array}, backend="cpu")
    gpures.Drizzle(**{name: np.ma.MaskedArray(array.data, np.ma.nomask)}, backend="cpu")


def test_masked_image_to_blot():
    """A masked pixel that is read makes NaN."""
    places = np.stack([COLUMNS, ROWS], axis=-1)
    got = gpures.blot_image(np.ma.MaskedArray(ROWS, MASK), places, interp="nearest", backend="cpu")
    np.testing.assert_array_equal(got, np.where(MASK, np.nan, ROWS).astype("f4"))

"""stcal's outlier detection under acceleration: the same medians, flags and thresholds, and what is left to it."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from scenes import imaging_wcs
from scipy import ndimage

import gpures
from gpures.acceleration.switch import original, used

pytest.importorskip("stcal")

from stcal.outlier_detection import median as medians
from stcal.outlier_detection import utils

NAME = "stcal.outlier_detection"
RNG = np.random.default_rng(5)


def cube(n, dtype="f4", shape=(31, 43)):
    images = RNG.normal(size=(n, *shape)).astype(dtype)
    images[RNG.random(images.shape) < 0.3] = np.nan
    images[:, 3, 3] = np.nan
    return images.round(1)


@pytest.fixture(autouse=True)
def accelerated():
    used.clear()
    with gpures.accelerate("cpu"):
        yield


@pytest.mark.parametrize("n", [1, 2, 5, 8, 33])
def test_medians_of_stcal(n):
    """It is the original's, to the bit; and the cube stays as it was."""
    images = cube(n)
    before = images.copy()
    found = medians.nanmedian3D(images)
    np.testing.assert_array_equal(found, original(medians.nanmedian3D)(before.copy()))
    np.testing.assert_array_equal(images, before)
    assert used[f"{NAME}.median.nanmedian3D"] == 1


class Lazy:
    """An array that is read when it is asked for, as those of an ASDF file."""

    def __init__(self, values):
        self._values, self.dtype, self.shape, self.ndim = values, values.dtype, values.shape, values.ndim

    def __array__(self, dtype=None, copy=None):
        return np.array(self._values, dtype)

    def __getattr__(self, name):
        return getattr(self._values, name)


@pytest.mark.parametrize("as_read", [lambda image: image.astype(">f4"), Lazy], ids=["FITS", "ASDF"])
def test_arrays_as_they_come_from_files(as_read):
    """Files of FITS have the bytes of a number in their own order, and those of ASDF are read when asked for."""
    images, (data, err, blot) = cube(4), (image.astype(np.float32) for image in cube(3))
    found = medians.nanmedian3D(as_read(images.copy()))
    np.testing.assert_array_equal(found, original(medians.nanmedian3D)(images.copy()))
    assert found.dtype == as_read(images).dtype
    thresholds = 3.0, 2.0, 1.2, 0.7, 0.1
    flagged = utils.flag_resampled_crs(*map(as_read, (8 * data, np.abs(err), blot)), *thresholds)
    np.testing.assert_array_equal(flagged, original(utils.flag_resampled_crs)(8 * data, np.abs(err), blot, *thresholds))
    assert utils.compute_weight_threshold(as_read(np.abs(data)), 0.7) == utils.compute_weight_threshold(
        np.abs(data), 0.7
    )
    assert (used[f"{NAME}.median.nanmedian3D"], used[f"{NAME}.utils.flag_resampled_crs"]) == (1, 1)
    assert used[f"{NAME}.utils.compute_weight_threshold"] == 2


def test_errors_of_few_digits():
    """Flags by errors of float16, as Roman's are, differ only where these digits decide."""
    data, err = (RNG.normal(size=(300, 300)).astype(np.float32) for _ in range(2))
    err, blot = (0.3 + np.abs(err)).astype(np.float16), np.zeros_like(data)
    arguments = data, err, blot, 3.0, 2.0, 1.2, 0.7, 0.0
    found, wanted = utils.flag_resampled_crs(*arguments), original(utils.flag_resampled_crs)(*arguments)
    assert used[f"{NAME}.utils.flag_resampled_crs"] == 1
    assert wanted.sum() > 1000
    assert (found != wanted).sum() < 2e-3 * wanted.sum()
    nearly = np.abs(np.abs(data) / err.astype(float) - 2.0) < 2e-3
    nearly |= np.abs(np.abs(data) / err.astype(float) - 3.0) < 3e-3
    assert not (found != wanted)[~ndimage.binary_dilation(nearly, np.ones((3, 3)))].any()


@pytest.mark.parametrize(
    "images",
    [cube(3, "f8"), np.ma.masked_invalid(cube(3)), cube(3).tolist(), cube(1)[0]],
    ids=["f8", "masked", "list", "image"],
)
def test_what_is_left_to_the_original(images):
    """Other types and shapes are, with its results and its errors."""
    ours, theirs = [], []
    for function, told in (
        (medians.nanmedian3D, ours),
        (original(medians.nanmedian3D), theirs),
    ):
        try:
            told.append(function(copy.deepcopy(images)))
        except Exception as error:
            told.append(type(error))
    np.testing.assert_array_equal(ours[0], theirs[0])
    assert not used[f"{NAME}.median.nanmedian3D"]


@pytest.mark.parametrize("in_memory", [True, False])
def test_median_computer(tmp_path, in_memory):
    """It computes with our median, of images in memory and on the disk."""
    images = cube(4)
    computer = medians.MedianComputer(images.shape, in_memory, buffer_size=0, tempdir=str(tmp_path))
    for k, image in enumerate(images):
        computer.append(image, k if in_memory else None)
    np.testing.assert_array_equal(computer.evaluate(), original(medians.nanmedian3D)(images))
    assert used[f"{NAME}.median.nanmedian3D"] >= 1


@pytest.mark.parametrize(
    ("sides", "is_ours"), [([7, 7], True), ((1, 3), True), (np.array([5, 3]), True), ([4, 4], False), ([61, 3], True)]
)
def test_median_filter_of_stcal(sides, is_ours):
    """It is the original's, to the bit, with NaN and infinities and at the borders."""
    image = cube(1)[0]
    image[2:20, 2:20], image[5, 30], image[6, 31:34] = np.nan, -np.inf, np.inf
    for given in (image, image.astype(">f4")):
        found, wanted = utils.medfilt(given, sides), original(utils.medfilt)(given, sides)
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)
    assert used[f"{NAME}.utils.medfilt"] == 2 * is_ours


@pytest.mark.parametrize("infinite", [False, True])
def test_flags_of_stcal(infinite):
    """They are the original's, with NaN in all that is given; what has infinities is left to it."""
    data, err, blot = (image.astype(np.float32) for image in cube(3))
    data *= 8
    if infinite:
        blot[7, 7] = np.inf
    arguments = data, np.abs(err), blot, 3.0, 2.0, 1.2, 0.7, 0.1
    found = utils.flag_resampled_crs(*arguments)
    wanted = original(utils.flag_resampled_crs)(*arguments)
    assert wanted.any()
    assert found.dtype == bool
    np.testing.assert_array_equal(found, wanted)
    assert used[f"{NAME}.utils.flag_resampled_crs"] == (not infinite)


def test_threshold_of_stcal():
    """It is the original's to the last digits; of no weight it is NaN."""
    weight = RNG.normal(10, 2, (50, 60)).astype(np.float32)
    weight[:5] = 0
    weight[9, 9], weight[10, 10] = np.nan, 1e6
    wanted = original(utils.compute_weight_threshold)(weight.copy(), 0.7)
    assert utils.compute_weight_threshold(weight, 0.7) == pytest.approx(wanted, rel=1e-12)
    assert np.isnan(utils.compute_weight_threshold(np.zeros((3, 3), np.float32), 0.7))
    assert used[f"{NAME}.utils.compute_weight_threshold"] == 2


def test_it_ends():
    """The originals are back afterwards."""
    stand_in = utils.flag_resampled_crs
    gpures.restore()
    assert utils.flag_resampled_crs is not stand_in
    assert utils.flag_resampled_crs is original(stand_in)


def test_blotting_is_by_gpures_too():
    """The module of these functions uses drizzle's blotting and stcal's pixel map, which are at home elsewhere."""
    wcs = imaging_wcs((40, 50))
    image = np.arange(2000.0, dtype=np.float32).reshape(40, 50)
    found = utils.gwcs_blot(image, wcs, image.shape, wcs, fillval=np.nan)
    np.testing.assert_allclose(found[1:-1, 1:-1], image[1:-1, 1:-1], rtol=0, atol=1e-2)
    assert used["drizzle.resample.blot_image"] == 1

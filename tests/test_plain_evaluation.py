"""A WCS at many pixels, evaluated without astropy's ways around each part: the same to the last bit, or not at all."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import scenes
from astropy.modeling import models

from gpures.exposure.pixmap import calc_pixmap
from gpures.wcs.plain import plain_evaluation
from gpures.wcs.transforms import pixel_to_world, world_to_pixel

SHAPE = (40, 50)


def arithmetic():
    """A model that adds, takes away, multiplies and divides."""
    one, other = models.Polynomial2D(1, c0_0=3.0, c1_0=1.0), models.Polynomial2D(2, c0_0=2.0, c0_1=1.0, c1_1=1e-3)
    return models.Mapping((0, 1, 0, 1)) | (one + other - one) & (other * one / one)


class Moved(models.Shift):
    """A model whose call does something else than its evaluate."""

    def prepare_inputs(self, *inputs, **kwargs):
        inputs, shapes = super().prepare_inputs(*inputs, **kwargs)
        return (inputs[0] + 1.0,), shapes


class Called(models.Shift):
    """A model whose call does something else than its evaluate where few look."""

    def __call__(self, *inputs, **kwargs):
        (moved,) = np.atleast_1d(super().__call__(*inputs, **kwargs))[None]
        return np.where(np.abs(moved - 20.0) < 0.25, moved + 1.0, moved)


def pixels():
    return (axis.ravel() for axis in np.meshgrid(np.linspace(0, 49, 37), np.linspace(0, 39, 23)))


WCS = {
    "distorted": lambda: scenes.imaging_wcs(SHAPE, distortion=3.0),
    "arithmetic": lambda: scenes.wcs_of(arithmetic() | scenes.sky_transform(SHAPE), SHAPE),
    "latitude first": lambda: scenes.latitude_first(scenes.imaging_wcs(SHAPE, distortion=3.0)),
}


@pytest.mark.parametrize("name", WCS)
def test_same_to_the_last_bit(name):
    """It is faster, and gives the same numbers, there and back."""
    for transform in (pixel_to_world(WCS[name]()), world_to_pixel(scenes.imaging_wcs(SHAPE, distortion=0.0))):
        places = list(pixels()) if transform.to_world else pixel_to_world(WCS[name]())(*pixels())
        faster = transform.plain(*places)
        assert faster is not transform
        for got, expected in zip(faster(*places), transform(*places), strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("part", [Moved(0.5) & models.Identity(1), models.Shift([0.5, 1.0], n_models=2)])
def test_what_is_not_the_same_is_not_taken(part):
    """A part that is evaluated in another way is left to astropy."""
    if len(part) > 1:
        assert plain_evaluation(part) is None
        return
    wcs = scenes.wcs_of(part | scenes.sky_transform(SHAPE), SHAPE)
    transform = pixel_to_world(wcs)
    assert transform.plain(*pixels()) is transform
    every = calc_pixmap(wcs, scenes.imaging_wcs((60, 60)), SHAPE, tolerance=0).array()
    coarse = calc_pixmap(wcs, scenes.imaging_wcs((60, 60)), SHAPE).array()
    np.testing.assert_allclose(every, coarse, atol=1e-6)


def test_a_call_of_its_own():
    """Neither is a part that is asked in a way of its own, though most pixels would not show it."""
    assert plain_evaluation(partial(models.Shift(0.5), with_bounding_box=False)) is not None
    assert plain_evaluation(partial(Called(0.5), with_bounding_box=False)) is None
    assert plain_evaluation(partial(Moved(0.5) & models.Identity(1), with_bounding_box=False)) is None


def test_transforms_of_others():
    """What is no model of astropy is left as it is."""
    fits = pixel_to_world(scenes.fits_wcs(SHAPE, sip=1.0))
    assert fits.plain(*pixels()) is fits

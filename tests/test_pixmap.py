"""Pixel maps: within their tolerance of the WCS, or the WCS itself, or what stcal's own knobs give."""

from __future__ import annotations

import numpy as np
import pytest
import scenes
from astropy.modeling import models as astropy_models
from stcal.resample.utils import calc_pixmap as reference_pixmap
from stcal.resample.utils import resample_range as reference_range

from gpures.pixmap import PixelMap, calc_pixmap
from gpures.wcs import resample_range

#: Sky coordinates are in degrees, good to one unit in the last place of 150: in output pixels, two of them, as the same
#: transforms are evaluated in the same order.
ROUNDING = 2 * float(np.spacing(scenes.RA)) * 3600 / scenes.SCALE


def truth_at(wcs_from, wcs_to, x, y):
    """Output pixels of input pixels by the high-level calls of both WCS, bounding boxes ignored."""
    world = wcs_from(x, y, with_bounding_box=False)
    return np.stack(wcs_to.invert(*world, with_bounding_box=False), axis=-1)


def worst_error(pixmap, wcs_from, wcs_to, seed=0, n=4000):
    """Largest error of a pixel map at random pixels and along the edges."""
    rng = np.random.default_rng(seed)
    ny, nx = pixmap.shape
    x, y = rng.integers(0, nx, n), rng.integers(0, ny, n)
    x[: n // 4], y[n // 4 : n // 2] = rng.choice([0, 1, nx - 2, nx - 1], n // 4), rng.choice([0, ny - 1], n // 4)
    got = pixmap.array()[y, x]
    truth = truth_at(wcs_from, wcs_to, x.astype(float), y.astype(float))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(truth))
    return np.nanmax(np.abs(got - truth))


def full_reference(wcs_from, wcs_to, shape):
    return reference_pixmap(wcs_from, wcs_to, shape)


def table_wcs(shape):
    """WCS with a lookup table in it."""
    points = np.arange(-1.0, shape[1] + 1.0)
    rng = np.random.default_rng(1)
    table = astropy_models.Tabular1D(points, points + rng.uniform(-0.1, 0.1, points.size), bounds_error=False)
    return scenes.wcs_of(table & astropy_models.Identity(1) | scenes.sky_transform(shape), shape)


@astropy_models.custom_model
def step(x, at=50.25, height=0.3):
    """Adds a step: a crack between two parts of a detector."""
    return x + np.where(x > at, height, 0.0)


def step_wcs(shape, height=0.3, at=50.25):
    """WCS with a step in it, which no type of model gives away."""
    transform = step(height=height, at=at) & astropy_models.Identity(1) | scenes.sky_transform(shape)
    return scenes.wcs_of(transform, shape)


# ---- by tolerance --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tolerance", [1e-3, 1e-5, 1e-6, 1e-7, 1e-9])
@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((512, 512), {"distortion": 0.0}),
        ((512, 512), {"distortion": 15.0, "seed": 3}),
        ((512, 512), {"distortion": 15.0, "seed": 4, "flip": True, "rotation": 70.0}),
        ((300, 700), {"distortion": 40.0, "seed": 5, "rotation": -30.0}),
        ((700, 300), {"distortion": 100.0, "seed": 6}),
        ((2048, 2048), {"distortion": scenes.CAMERA_DISTORTION, "seed": 3}),
        ((512, 512), {"distortion": 5.0, "dec": 89.99, "ra": 10.0}),
        ((512, 512), {"distortion": 5.0, "scale": 5.0, "ra": 359.9}),
    ],
    ids=lambda v: str(v).replace(" ", ""),
)
def test_tolerance_holds(shape, settings, tolerance):
    """No pixel is farther from the WCS than the tolerance, whatever the distortion."""
    wcs_from = scenes.imaging_wcs(shape, **settings)
    sky = {k: settings[k] for k in ("ra", "dec", "scale") if k in settings}
    wcs_to = scenes.imaging_wcs((900, 900), **sky)
    pixmap = calc_pixmap(wcs_from, wcs_to, shape, tolerance=tolerance)
    assert worst_error(pixmap, wcs_from, wcs_to) <= tolerance + ROUNDING


def test_camera_takes_a_coarse_grid():
    """For a camera's smooth distortion the default tolerance is met by a spline, not by every pixel."""
    wcs_from, wcs_to = scenes.camera_wcs(), scenes.imaging_wcs((2100, 2100))
    pixmap = calc_pixmap(wcs_from, wcs_to, (2048, 2048))
    assert pixmap.full is None
    assert pixmap.spline["coefficients_x"].size < 140**2


@pytest.mark.parametrize("box", [((10.3, 250.8), (-0.5, 200.49)), ((-50.0, 400.0), (3.0, 290.0)), None])
def test_tolerance_holds_in_a_bounding_box(box):
    """With a bounding box the map holds inside of it and is NaN outside, where the reference's is."""
    shape = (300, 280)
    wcs_from, wcs_to = scenes.camera_wcs(shape, box=box), scenes.imaging_wcs((340, 320))
    got, expected = calc_pixmap(wcs_from, wcs_to, shape).array(), full_reference(wcs_from, wcs_to, shape)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    assert np.nanmax(np.abs(got - expected)) <= 1e-6


@pytest.mark.parametrize("which", ["table as input", "table as output", "step"])
def test_tables_and_steps_go_to_every_pixel(which):
    """Lookup tables, of the input or the output WCS, and steps are evaluated at every pixel."""
    shape = (240, 300)
    wcs_from, wcs_to = scenes.imaging_wcs(shape, rotation=10.0), scenes.imaging_wcs((400, 400))
    if which == "table as input":
        wcs_from = table_wcs(shape)
    elif which == "table as output":
        wcs_to = table_wcs((400, 400))
    else:
        wcs_from = step_wcs(shape)
    pixmap = calc_pixmap(wcs_from, wcs_to, shape, tolerance=1e-2)
    assert pixmap.full is not None
    assert worst_error(pixmap, wcs_from, wcs_to) <= ROUNDING


@pytest.mark.parametrize("at", [3.5, 37.2, 100.1, 255.9, 296.4])
def test_a_step_is_found_wherever_it_is(at):
    """A step of 0.01 pixels is noticed, wherever it lies between the points of the grid."""
    shape = (240, 300)
    wcs_from, wcs_to = step_wcs(shape, height=0.01, at=at), scenes.imaging_wcs((330, 330), rotation=10.0)
    pixmap = calc_pixmap(wcs_from, wcs_to, shape, tolerance=1e-4)
    assert worst_error(pixmap, wcs_from, wcs_to) <= 1e-4


@pytest.mark.parametrize("shape", [(2, 2), (2, 7), (9, 3), (40, 11), (33, 34), (90, 100)])
def test_small_images(shape):
    """Small images, down to 2 x 2 pixels, have the reference's pixel map."""
    wcs_from, wcs_to = scenes.imaging_wcs(shape, distortion=0.3), scenes.imaging_wcs((50, 50), rotation=33.0)
    got = calc_pixmap(wcs_from, wcs_to, shape).array()
    np.testing.assert_allclose(got, full_reference(wcs_from, wcs_to, shape), rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 30), (30, 1), (1, 1)])
def test_images_of_one_row(shape):
    """One row or column has no pixel size: a ValueError, as in the reference's drizzling."""
    with pytest.raises(ValueError, match="too few valid pixels"):
        calc_pixmap(scenes.imaging_wcs(shape), scenes.imaging_wcs((50, 50)), shape)


# ---- every pixel ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("box", ["array", None, ((4.5, 60.2), (0.5, 33.0)), ((30.0, 200.0), (-20.0, 41.7))])
@pytest.mark.parametrize("shape", [(70, 90), (90, 64)])
def test_every_pixel_is_the_reference(shape, box):
    """With a tolerance of 0 the map is the reference's full map, NaN outside the bounding box."""
    wcs_from = scenes.imaging_wcs(shape, distortion=1.0, rotation=20.0, box=box)
    wcs_to = scenes.imaging_wcs((80, 70), box=((10.0, 20.0), (10.0, 20.0)))
    pixmap = calc_pixmap(wcs_from, wcs_to, shape, tolerance=0)
    assert pixmap.full is not None
    expected = full_reference(wcs_from, wcs_to, shape)
    np.testing.assert_array_equal(np.isnan(pixmap.array()), np.isnan(expected))
    np.testing.assert_allclose(pixmap.array(), expected, rtol=0, atol=ROUNDING)


def test_row_blocks_join(monkeypatch):
    """The map does not depend on the size of the blocks that are evaluated at a time, nor on the threads."""
    shape = (61, 83)
    wcs_from, wcs_to = scenes.imaging_wcs(shape, distortion=1.0), scenes.imaging_wcs((80, 70), rotation=45.0)
    expected = calc_pixmap(wcs_from, wcs_to, shape, tolerance=0).array()
    for size, threads in ((1, "1"), (500, "3"), (83 * 60, "2"), (10**9, "5")):
        monkeypatch.setattr("gpures.pixmap.PIXELS_AT_ONCE", size)
        monkeypatch.setenv("GPURES_NUM_THREADS", threads)
        # Vectorised functions round differently in the tail of an array.
        np.testing.assert_allclose(
            calc_pixmap(wcs_from, wcs_to, shape, tolerance=0).array(), expected, rtol=0, atol=ROUNDING
        )


def test_output_wcs_without_an_analytic_inverse():
    """An output WCS that is inverted by iteration gives the reference's map."""
    shape = (24, 26)
    wcs_from, wcs_to = scenes.imaging_wcs(shape, rotation=5.0), scenes.imaging_wcs((30, 30), None, distortion=0.3)
    got = calc_pixmap(wcs_from, wcs_to, shape).array()
    world = wcs_from(*np.meshgrid(np.arange(26.0), np.arange(24.0)), with_bounding_box=False)
    back = np.stack(wcs_to(got[..., 0], got[..., 1], with_bounding_box=False))
    # The iteration stops at 1e-5 pixels, by gwcs's default.
    assert np.abs(back - np.stack(world)).max() < 1e-4 * scenes.SCALE / 3600
    np.testing.assert_allclose(got, full_reference(wcs_from, wcs_to, shape), rtol=0, atol=1e-4)


def quantity_wcs(shape, scale=1.0):
    """WCS whose transforms work on quantities with units."""
    pixel, degree = scenes.units.pix, scenes.units.deg
    factor = astropy_models.Multiply(scale * scenes.SCALE / 3600 * degree / pixel)
    shifts = [astropy_models.Shift(-(n - 1) / 2 * pixel) for n in shape[::-1]]
    pole = [angle * degree for angle in (scenes.RA, scenes.DEC, 180.0)]
    transform = shifts[0] & shifts[1] | factor & factor | astropy_models.Pix2Sky_TAN()
    return scenes.wcs_of(transform | astropy_models.RotateNative2Celestial(*pole), shape, None)


def test_quantities():
    """WCS whose transforms carry units give the reference's map."""
    shape = (40, 44)
    wcs_from, wcs_to = quantity_wcs(shape, 1.1), quantity_wcs((60, 60))
    expected = full_reference(wcs_from, wcs_to, shape)
    for settings in ({"tolerance": 0}, {"tolerance": 1e-6}, {"stepsize": 3, "order": 3}):
        got = calc_pixmap(wcs_from, wcs_to, shape, **settings).array()
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)


# ---- stcal's stepsize ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("stepsize", [2, 7, 10.5, 40, 1000])
@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ((64, 64), "array"),
        ((50, 120), "array"),
        ((120, 50), None),
        ((60, 90), ((4.5, 60.2), (10.5, 33.0))),
        ((90, 60), ((30.0, 200.0), (-20.0, 41.7))),
        ((12, 9), "array"),
        ((10, 10), "array"),
        ((30, 7), "array"),
        ((80, 70), ((5.0, 12.0), (6.0, 70.0))),
        ((80, 70), ((5.0, 12.0), (6.0, 13.0))),
    ],
)
def test_stepsize_gives_the_reference(shape, box, stepsize, order):
    """With a stepsize above 1 the map is that of the reference's grid and spline, to 1e-10 pixels."""
    wcs_from = scenes.imaging_wcs(shape, distortion=2.0, rotation=20.0, box=box)
    wcs_to = scenes.imaging_wcs((80, 70))
    expected = reference_pixmap(wcs_from, wcs_to, shape, stepsize=stepsize, order=order)
    got = calc_pixmap(wcs_from, wcs_to, shape, stepsize=stepsize, order=order).array()
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10)


def test_stepsize_falls_back_where_the_wcs_is_not_finite():
    """Where a point of the coarse grid is not finite both fall back to every pixel."""
    shape = (40, 44)

    @astropy_models.custom_model
    def partly(x):
        return np.where(x < 5, np.nan, x)

    transform = partly() & astropy_models.Identity(1) | scenes.sky_transform(shape)
    wcs_from, wcs_to = scenes.wcs_of(transform, shape), scenes.imaging_wcs((50, 50))
    expected = reference_pixmap(wcs_from, wcs_to, shape, stepsize=4)
    for settings in ({"stepsize": 4}, {"tolerance": 1e-3}):
        got = calc_pixmap(wcs_from, wcs_to, shape, **settings).array()
        np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
        np.testing.assert_allclose(got, expected, rtol=0, atol=ROUNDING)


# ---- limits, bounding boxes, arrays --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(10, 20), (20, 10), (1, 1)])
@pytest.mark.parametrize(
    "box",
    [
        None,
        ((-0.5, 9.5), (-0.5, 19.5)),
        ((0.4, 7.5), (2.5, 6.49)),
        ((-7.0, -3.0), (-0.6, 100.0)),
        ((3.0, 3.0), (15.0, 18.0)),
        ((25.0, 30.0), (0.0, 5.0)),
    ],
)
def test_resample_range_is_the_reference(shape, box):
    """The range of input pixels is the reference's, for boxes inside, across and outside the array."""
    wcs = scenes.imaging_wcs(shape, box=box)
    assert resample_range(shape, wcs) == reference_range(shape, None if box is None else wcs.bounding_box)


@pytest.mark.parametrize("settings", [{}, {"tolerance": 0}, {"stepsize": 3, "order": 3}], ids=str)
def test_wcs_stay_as_they_were(settings):
    """Neither bounding box, array shape nor transform of the caller's WCS changes."""
    shape = (90, 100)
    wcs_from = scenes.imaging_wcs(shape, distortion=1.0, box=((3.0, 70.5), (-0.5, 80.0)))
    wcs_to = scenes.imaging_wcs((110, 120), box=((0.0, 50.0), (1.0, 60.0)))
    before = [(w.bounding_box, w.array_shape, w.forward_transform, w.available_frames) for w in (wcs_from, wcs_to)]
    inside = wcs_from(10.0, 10.0), wcs_to.invert(*wcs_to(10.0, 10.0))
    calc_pixmap(wcs_from, wcs_to, shape, **settings)
    for wcs, (box, array_shape, transform, frames) in zip((wcs_from, wcs_to), before, strict=True):
        assert wcs.bounding_box == box
        assert wcs.array_shape == array_shape
        assert wcs.available_frames == frames
        assert wcs.forward_transform(5.0, 6.0) == transform(5.0, 6.0)
    assert np.isnan(wcs_from(80.0, 10.0)).all()
    assert (wcs_from(10.0, 10.0), wcs_to.invert(*wcs_to(10.0, 10.0))) == inside


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 3), (5,), (2, 5, 6)])
def test_arrays_of_another_shape(shape):
    """A full pixel map of another shape is refused."""
    with pytest.raises(ValueError, match=r"'pixmap' must have the shape \(Ny, Nx, 2\), got"):
        PixelMap.from_array(np.zeros(shape))


def test_arrays_of_any_layout():
    """Full maps are taken in any type and layout, without changing them."""
    pixmap = np.random.default_rng(0).uniform(0, 10, (6, 8, 2))
    for array in (pixmap, pixmap.astype(">f8"), np.asfortranarray(pixmap), pixmap.tolist()):
        np.testing.assert_array_equal(PixelMap.from_array(array).array(), pixmap)


@pytest.mark.parametrize(("sx", "sy"), [(1.0, 1.0), (1.3, 1.3), (0.5, 1.0), (2.0, 0.7)])
def test_mean_scale_ratio(sx, sy):
    """The ratio of scales is the root of input over output pixel area: output over input scale."""
    y, x = np.indices((40, 50), float)
    pixmap = PixelMap.from_array(np.dstack([sx * x, sy * y]))
    assert pixmap.mean_scale_ratio((100, 100), (0, 49, 0, 39)) == pytest.approx(1 / np.sqrt(sx * sy), rel=1e-12)


def test_mean_scale_ratio_of_nothing():
    """A map with no finite cell, or outside the frame, has no scale."""
    for value in (np.nan, 1e6):
        with pytest.raises(ValueError, match="'pixel_scale_ratio' is not given and can't be estimated"):
            PixelMap.from_array(np.full((5, 6, 2), value)).mean_scale_ratio((10, 10), (0, 5, 0, 4))

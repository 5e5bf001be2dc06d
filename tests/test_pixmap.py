"""Pixel maps: within their tolerance of the WCS, or the WCS itself, or what stcal's own knobs give."""

from __future__ import annotations

import functools
import math
import threading
import warnings

import numpy as np
import pytest
import scenes
from astropy.modeling import Model
from astropy.modeling import models as astropy_models
from astropy.wcs import WCS as FITSWCS
from astropy.wcs import DistortionLookupTable
from stcal.resample.utils import calc_pixmap as reference_pixmap
from stcal.resample.utils import resample_range as reference_range

import gpures
from gpures.exposure.pixmap import PixelMap, calc_pixmap
from gpures.wcs.transforms import pixel_to_world, resample_range, world_to_pixel

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


@pytest.mark.parametrize("which", ["table as output", "step"])
def test_tables_and_steps_go_to_every_pixel(which):
    """Lookup tables of the output WCS and steps are evaluated at every pixel; those of the input: test_pieces.py."""
    shape = (240, 300)
    wcs_from, wcs_to = scenes.imaging_wcs(shape, rotation=10.0), scenes.imaging_wcs((400, 400))
    if which == "table as output":
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
        monkeypatch.setattr("gpures.exposure.pixmap.PIXELS_AT_ONCE", size)
        monkeypatch.setenv("GPURES_NUM_THREADS", threads)
        # Vectorised functions round differently in the tail of an array.
        np.testing.assert_allclose(
            calc_pixmap(wcs_from, wcs_to, shape, tolerance=0).array(), expected, rtol=0, atol=ROUNDING
        )


def pixels_of(shape):
    """Coordinates x and y of an image's pixels, (Ny, Nx, 2)."""
    y, x = np.indices(shape, float)
    return np.dstack([x, y])


def straightened(x):
    """What x + 1e-4 x^2, of `scenes.without_inverse`, is inverted by."""
    return (np.sqrt(1.0 + 4e-4 * x) - 1.0) / 2e-4


@pytest.mark.parametrize("settings", [{}, {"tolerance": 0}, {"stepsize": 3, "order": 3}], ids=str)
@pytest.mark.parametrize("quantities", [False, True])
@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("box", ["array", None, ((2.5, 30.2), (-0.5, 21.0))])
def test_wcs_without_an_analytic_inverse(box, steps, quantities, settings):
    """Of one and two steps, with and without a bounding box or units, it is inverted, and is as good as an input."""
    shape = (40, 44)
    curved, plain = scenes.without_inverse(shape, box, steps, quantities), scenes.imaging_wcs(shape)
    there = pixels_of(shape)
    x, y = there[..., 0], there[..., 1]
    # A cubic spline through steps of 3 pixels is off by (6e-8 3^4 / 384), and the tolerance is 1e-6.
    got = calc_pixmap(plain, curved, shape, **settings).array()
    np.testing.assert_allclose(got, np.dstack([straightened(x), y]), rtol=0, atol=1e-6)
    if settings == {"tolerance": 0}:
        np.testing.assert_allclose(got, np.dstack([straightened(x), y]), rtol=0, atol=4 * ROUNDING)
        np.testing.assert_allclose(got, full_reference(plain, curved, shape), rtol=0, atol=1e-5)  # gwcs stops there
    forward = calc_pixmap(curved, plain, shape, **settings).array()
    inside = np.isfinite(forward[..., 0])
    (x0, x1), (y0, y1) = ((-1, 99), (-1, 99)) if box in ("array", None) else box
    np.testing.assert_array_equal(inside, (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))
    np.testing.assert_allclose(forward[inside], np.dstack([x + 1e-4 * x**2, y])[inside], rtol=0, atol=1e-6)


class Straight(Model):
    """The inverse of the first step of `scenes.without_inverse`."""

    n_inputs = n_outputs = 2

    @staticmethod
    def evaluate(x, y):
        return straightened(x), y


@pytest.mark.parametrize("steps", [1, 2])
def test_mosaic_onto_a_wcs_without_an_analytic_inverse(backend, steps):
    """A mosaic on such a frame is that on the same frame whose inverse is given."""
    shape = (40, 44)
    curved, given = scenes.without_inverse(shape, steps=steps), scenes.without_inverse(shape, steps=2)
    given.pipeline[0].transform.inverse = Straight()
    models = [
        scenes.model_of(scenes.imaging_wcs((30, 31), rotation=10.0 + 40.0 * k), (30, 31), seed=k) for k in range(2)
    ]
    options = {"backend": backend, "pixmap_tolerance": 0, "compute_err": "from_var", "fillval": "NaN"}
    got, expected = (scenes.mosaic(gpures.Resample, models, wcs, options).output_model for wcs in (curved, given))
    np.testing.assert_array_equal(got["con"], expected["con"])
    for key in ("data", "wht", "err"):
        np.testing.assert_allclose(got[key], expected[key], rtol=1e-5, atol=1e-6, err_msg=key)


def test_mosaic_of_models_onto_a_wcs_without_an_analytic_inverse(tmp_path):
    """gpures.mosaic takes such a frame, and one far inside an exposure is not taken for being beside it."""
    frame = scenes.without_inverse((40, 44))
    inside = scenes.wcs_of(scenes.models.Shift(18.0) & scenes.models.Shift(17.0) | frame.forward_transform, (5, 6))
    model = scenes.model_of(scenes.imaging_wcs((400, 440)), (400, 440), dq=np.zeros((400, 440), np.uint32))
    for wcs, shape in ((frame, (40, 44)), (inside, (5, 6))):
        made = gpures.mosaic([model], tmp_path / "m.fits", output_wcs=wcs, overwrite=True, backend="cpu")
        assert made.model["data"].shape == shape
        assert np.all(made.model["wht"] > 0)


def test_the_transform_of_pipelines():
    """A frame made of gwcs's own transform for FITS, whose inverse is a method, goes as that of its steps does."""
    parts = {"crpix": (21.0, 17.0), "crval": (scenes.RA, scenes.DEC), "cdelt": (2e-5, 2e-5), "pc": np.eye(2)}
    transform = scenes.gwcs.FITSImagingWCSTransform(astropy_models.Pix2Sky_TAN(), **parts)
    shape = (40, 44)
    wcs_from = scenes.imaging_wcs(shape, rotation=12.0)
    expected = calc_pixmap(wcs_from, scenes.wcs_of(transform.forward.copy(), shape), shape, tolerance=0).array()
    for frame in (transform, scenes.Curved(0.0) & astropy_models.Identity(1) | transform):
        got = calc_pixmap(wcs_from, scenes.wcs_of(frame, shape), shape, tolerance=0).array()
        np.testing.assert_allclose(got, expected, rtol=0, atol=4 * ROUNDING)


@pytest.mark.parametrize("reach", [0.0, 300.0, 1000.0])
@pytest.mark.parametrize("kind", ["SIP", "strong SIP", "gwcs", "latitude first", "TPV", "tables"])
def test_inverse_is_exact(kind, reach):
    """Pixels go to the sky and come back to 1e-7 pixels, also from beside the image, however it is distorted."""
    shape = (512, 600)
    if kind == "TPV":
        wcs = scenes.fits_wcs(shape)
        wcs.wcs.ctype = "RA---TPV", "DEC--TPV"
        wcs.wcs.set_pv([(1, 1, 1.0), (1, 4, 3.0), (1, 7, 200.0), (2, 1, 1.0), (2, 4, -2.0), (2, 7, 300.0)])
        wcs.wcs.set()
    elif kind == "tables":
        wcs = table_fits(shape)
    elif kind == "gwcs":
        wcs = scenes.imaging_wcs(shape, distortion=15.0, rotation=120.0)
    else:
        wcs = scenes.fits_wcs(shape, sip=30.0 if kind == "strong SIP" else 3.0)
        wcs.pixel_bounds = (100.0, 200.0), (0.0, 50.0)  # which bounds an input alone
    if kind == "latitude first":
        wcs = scenes.latitude_first(wcs)
    x, y = np.random.default_rng(4).uniform(-reach, np.array(shape[::-1])[:, None] + reach, (2, 3000))
    world = pixel_to_world(wcs)(x, y)
    got = np.stack(world_to_pixel(wcs)(*world))
    back = np.stack(pixel_to_world(wcs)(*got))
    inside = slice(None) if kind != "strong SIP" or reach < 500 else np.isfinite(got[0])
    assert np.isfinite(got[:, inside]).all()
    # In pixels, of which the coordinates' last digits are some 1e-9.
    missed = np.hypot((back[0] - world[0]) * math.cos(math.radians(scenes.DEC)), back[1] - world[1])[inside] * 3600
    assert missed.max() < 1e-7 * scenes.SCALE
    if kind not in ("strong SIP", "gwcs") or reach < 500:  # which are folded out there
        assert np.abs(got - (x, y)).max() < 1e-7


def table_fits(shape):
    """FITS WCS with SIP and lookup tables."""
    fits = scenes.fits_wcs(shape, sip=3.0)
    rng = np.random.default_rng(3)
    steps = [(n - 1) / 8.0 for n in shape[::-1]]
    tables = [
        DistortionLookupTable(rng.uniform(-0.3, 0.3, (9, 9)).astype("f4"), (1.0, 1.0), (1.0, 1.0), tuple(steps))
        for _ in range(4)
    ]
    fits.cpdis1, fits.cpdis2, fits.det2im1, fits.det2im2 = tables
    fits.wcs.set()
    return fits


@pytest.mark.parametrize("kind", ["SIP", "gwcs"])
def test_no_pixel(kind):
    """Positions that no pixel has are NaN, without a word: another side of the sky, beyond a fold, and NaN."""
    shape = (512, 600)
    wcs = scenes.fits_wcs(shape, sip=30.0) if kind == "SIP" else scenes.imaging_wcs(shape, distortion=15.0)
    lon = np.array([scenes.RA + 180.0, scenes.RA + 60.0, np.nan, scenes.RA])
    lat = np.array([-scenes.DEC, 70.0, 2.2, scenes.DEC])
    x, y = world_to_pixel(wcs)(lon, lat)
    np.testing.assert_array_equal(np.isnan(x), [True, True, True, False])
    np.testing.assert_array_equal(np.isnan(y), np.isnan(x))


def test_inverse_of_a_whole_sky():
    """A frame of the whole sky without an inverse is inverted everywhere, at the seam and the poles, too."""
    models = scenes.models
    turned = models.RotateNative2Celestial(10.0, 20.0, 180.0)
    transform = scenes.Curved(1e-6) & models.Identity(1) | models.Shift(-180.0) & models.Shift(-90.0)
    wcs = scenes.wcs_of(transform | models.Pix2Sky_CAR() | turned, (180, 360))
    x, y = np.random.default_rng(5).uniform(0, ((358.0,), (179.0,)), (2, 3000))
    got = world_to_pixel(wcs)(*pixel_to_world(wcs)(x, y))
    # Near the poles a degree of longitude is small.
    np.testing.assert_allclose(got, (x, y), rtol=0, atol=1e-6)


def test_no_inverse_of_a_spectrum():
    """A spectral frame whose transform has no inverse is refused, with the reason."""
    frame = scenes.spectral_wcs((20, 30))
    curved = scenes.Curved() & scenes.models.Identity(1) | frame.forward_transform.copy()
    frame = scenes.gwcs.WCS([(frame.input_frame, curved), (frame.output_frame, None)])
    frame.array_shape = (20, 30)
    with pytest.raises(gpures.UnsupportedWCSError, match=r"has no inverse, and the axes .*SPECTRAL"):
        gpures.Resample({"wcs": frame, "pixel_scale": 0.1})


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("kind", ["one step", "two steps", "quantities", "SIP"])
def test_wcs_stay_as_they_were_in_threads(kind, raises):
    """WCS that are inverted by iteration are untouched while others use them, and after an error."""
    shape = (40, 44)
    make = {
        "one step": scenes.without_inverse,
        "two steps": functools.partial(scenes.without_inverse, steps=2),
        "quantities": functools.partial(scenes.without_inverse, quantities=True),
        "SIP": functools.partial(scenes.fits_wcs, sip=2.0),
    }[kind]
    curved, plain = make(shape), scenes.imaging_wcs(shape)
    state = state_of(curved), state_of(plain)
    inside = pixel_to_world(curved)(3.0, 4.0)
    expected = calc_pixmap(plain, make(shape), shape, tolerance=0).array()
    stop, seen = threading.Event(), []

    def look():
        while not stop.wait(0.005):  # so that the work beside it gets its turns
            seen.append(state_of(curved) == state[0])
            seen.append(pixel_to_world(curved)(3.0, 4.0) == inside)

    watch = threading.Thread(target=look)
    if kind != "SIP":  # astropy's WCS is for one thread at a time
        watch.start()
    try:
        for _ in range(3):
            if raises:
                bad = scenes.Duck(shape, world=lambda x, y: (x, y[:1]))
                with pytest.raises(ValueError, match="'wcs' must give world coordinates"):
                    calc_pixmap(bad, curved, shape)
            else:
                maps = [calc_pixmap(curved, plain, shape), calc_pixmap(plain, curved, shape, tolerance=0)]
                np.testing.assert_array_equal(maps[1].array(), expected)
    finally:
        stop.set()
        if watch.ident:
            watch.join()
    assert all(seen)
    assert (state_of(curved), state_of(plain)) == state


def state_of(wcs):
    """All that tells a WCS: bounding box, shape, steps, parameters, keywords."""
    if isinstance(wcs, FITSWCS):
        return wcs.to_header_string(relax=True), wcs.array_shape, wcs.pixel_bounds
    steps = [(step.frame.name, repr(step.transform)) for step in wcs.pipeline]
    inner = {key: repr(value) for key, value in vars(wcs).items() if key.startswith("_approx")}
    return repr(wcs.bounding_box), wcs.array_shape, steps, inner


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


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("stepsize", [2, 5, 100])
@pytest.mark.parametrize("shape", [(2, 30), (30, 2), (3, 40), (40, 3), (4, 25), (2, 2), (3, 3), (11, 2)])
def test_stepsize_on_thin_images(shape, stepsize, order):
    """A side of two or three pixels, less than a spline needs, gives the map of every pixel along it."""
    wcs_from, wcs_to = scenes.imaging_wcs(shape, distortion=0.1, rotation=20.0), scenes.imaging_wcs((50, 50))
    got = calc_pixmap(wcs_from, wcs_to, shape, stepsize=stepsize, order=order).array()
    expected = full_reference(wcs_from, wcs_to, shape)
    if order == 1 or min(shape) > 3:
        reference = reference_pixmap(wcs_from, wcs_to, shape, stepsize=stepsize, order=order)
        np.testing.assert_allclose(got, reference, rtol=0, atol=1e-10)
    # What a distortion of 0.1 pixels at the edges leaves between 10 points.
    np.testing.assert_allclose(got, expected, rtol=0, atol=5e-3)
    np.testing.assert_allclose(calc_pixmap(wcs_from, wcs_to, shape).array(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 9), (40, 50)])
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"stepsize": 3, "order": 2}, "'pixmap_order' should be either 1 or 3, got 2"),
        ({"stepsize": 3, "order": 0}, "'pixmap_order' should be either 1 or 3, got 0"),
        ({"stepsize": 3, "order": None}, "'pixmap_order' should be either 1 or 3, got None"),
        ({"stepsize": 0}, "'stepsize' must be a number at least 1, got 0"),
        ({"stepsize": -2, "order": 3}, "'stepsize' must be a number at least 1, got -2"),
        ({"stepsize": np.nan}, "'stepsize' must be a number at least 1, got nan"),
    ],
)
def test_steps_are_checked(shape, settings, words):
    """A step or order that can't be is named, whatever the size of the image."""
    with pytest.raises(ValueError, match=words):
        calc_pixmap(scenes.imaging_wcs(shape), scenes.imaging_wcs((50, 50)), shape, **settings)


# ---- WCS that give something else ----------------------------------------------------------------------------------


RESULTS = {
    "a scalar": (lambda x, y: (x, 1.0), ValueError, "of the shape of its input, .* got a single number"),
    "scalars": (lambda x, y: (1.0, 1.0), ValueError, "got a single number"),
    "a shorter array": (lambda x, y: (x, y[:1]), ValueError, r"got one of the shape \(1,"),
    "transposed": (lambda x, y: (np.zeros((3, 7)), y), ValueError, r"got one of the shape \(3, 7\)"),
    "complex numbers": (lambda x, y: (x + 0j, y), TypeError, "real numbers .* got complex128"),
    "objects": (lambda x, y: (x.astype(object), y), TypeError, "real numbers .* got object"),
    "text": (lambda x, y: (x.astype(str), y), TypeError, "real numbers .* got <U"),
    "None": (lambda x, y: (None, None), TypeError, "real numbers .* got object"),
    "one output": (lambda x, y: x, ValueError, "2 .* coordinates, got 1"),
    "one in a tuple": (lambda x, y: (x,), ValueError, "2 .* coordinates, got 1"),
    "nothing": (lambda x, y: None, ValueError, "2 .* coordinates, got 1"),
}


@pytest.mark.parametrize("tolerance", [0, 1e-6])
@pytest.mark.parametrize("which", ["input", "output"])
@pytest.mark.parametrize("result", RESULTS)
def test_results_are_checked(result, which, tolerance):
    """A WCS that gives anything but a real number for each position is refused, before anything is added."""
    shape, (change, error, words) = (120, 100), RESULTS[result]
    bad, good = (scenes.Duck(shape, **{"world" if which == "input" else "pixel": change}), scenes.Duck(shape))
    whose = "'wcs'" if which == "input" else "The output WCS"
    models = [scenes.model_of(good, shape), scenes.model_of(bad, shape, seed=1)]
    output = {"wcs": scenes.Duck(shape), "pixel_scale": scenes.SCALE}
    if which == "output":
        output, models = output | {"wcs": bad}, models[:1]
    resampler = gpures.Resample(output, backend="cpu", pixmap_tolerance=tolerance)
    for model in models[:-1]:
        resampler.add_model(model)
    before = resampler.output_model["wht"].copy() if models[1:] else None
    with pytest.raises(error, match=f"{whose} must give .*{words}"):
        resampler.add_model(models[-1])
    assert resampler.output_model["pointings"] == len(models) - 1
    np.testing.assert_array_equal(resampler.output_model["wht"], before)


@pytest.mark.parametrize("dtype", ["f4", ">f8", "i4", "list", "stack", "masked"])
def test_results_of_any_real_type(dtype):
    """Real numbers of any type are taken; what is masked is not there."""
    shape = (12, 10)

    def pixel(x, y):
        x, y = np.round(x), np.round(y)
        if dtype == "masked":
            return np.ma.masked_equal(x, 3.0), y
        if dtype == "stack":
            return np.stack([x, y])
        return (x.tolist(), y.tolist()) if dtype == "list" else (x.astype(dtype), y.astype(dtype))

    got = calc_pixmap(scenes.Duck(shape), scenes.Duck(shape, pixel=pixel), shape).array()
    expected = pixels_of(shape)
    if dtype == "masked":
        expected[:, 3, 0] = np.nan
    np.testing.assert_array_equal(got, expected)


def test_further_results_are_handed_on():
    """What a WCS gives beside coordinates goes to the other as it is, and is no coordinate."""
    shape = (12, 10)
    seen = []

    def pixel(x, y):
        return x, y, np.ones_like(x)

    class More(scenes.Duck):
        def world_to_pixel_values(self, lon, lat, order):
            seen.append(order)
            return super().world_to_pixel_values(lon, lat)

    source = scenes.Duck(shape, world=lambda x, y: (x, y, np.full_like(x, 7.0)))
    got = calc_pixmap(source, More(shape, pixel=pixel), shape).array()
    np.testing.assert_allclose(got, pixels_of(shape), rtol=0, atol=1e-6)
    assert np.all(np.concatenate([np.ravel(order) for order in seen]) == 7.0)


@pytest.mark.parametrize(
    ("kind_in", "kind_out"), [("imaging", "spectral"), ("spectral", "imaging"), ("spectral", "FITS")]
)
def test_axes_of_different_types(kind_in, kind_out):
    """An image does not go onto a spectral frame, nor the other way: both are named."""
    make = {"imaging": scenes.imaging_wcs, "spectral": scenes.spectral_wcs, "FITS": scenes.fits_wcs}
    with pytest.raises(ValueError, match=r"'wcs' must have the output WCS's world axes, \(.*SPATIAL.*\), got \("):
        calc_pixmap(make[kind_in]((20, 30)), make[kind_out]((20, 30)), (20, 30))


@pytest.mark.parametrize("wcs", ["image.fits", 5, scenes.types_frame(("SPATIAL",) * 2), np.eye(3)], ids=repr)
def test_no_wcs(wcs):
    """Something else than a WCS is told so."""
    words = r"'{}' must be a gwcs\.wcs\.WCS or an astropy\.wcs\.WCS, got"
    with pytest.raises(TypeError, match=words.format("output_wcs")):
        gpures.Resample({"wcs": wcs, "pixel_scale": 0.1})
    resampler = gpures.Resample({"wcs": scenes.fits_wcs((20, 20)), "pixel_scale": 0.1})
    with pytest.raises(TypeError, match=words.format("wcs").replace("' must", "' of model .* must")):
        resampler.add_model(scenes.model_of(wcs, (20, 20)))


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


BOXES = {
    "infinite": ((-math.inf, math.inf), (-math.inf, math.inf)),
    "half infinite": ((3.0, math.inf), (-math.inf, 20.2)),
    "far beyond": ((-1e300, 1e300), (-1e18, 1e18)),
    "reversed": ((20.2, 2.5), (30.0, 4.0)),
    "reversed and infinite": ((math.inf, 2.5), (30.0, -math.inf)),
}


@pytest.mark.parametrize("kind", ["gwcs", "duck", "FITS"])
@pytest.mark.parametrize("box", BOXES)
def test_boxes_without_an_end(box, kind):
    """Infinite bounds are none, and reversed ones are put right, for the pixel map, the limits and the mean area."""
    shape, given = (40, 30), BOXES[box]
    wcs = {"gwcs": scenes.imaging_wcs, "duck": scenes.Duck, "FITS": scenes.fits_wcs}[kind](shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy's models say it of reversed ones
        setattr(wcs, "pixel_bounds" if kind == "FITS" else "bounding_box", given)
    x, y = np.moveaxis(pixels_of(shape), -1, 0)
    inside = (x >= min(given[0])) & (x <= max(given[0])) & (y >= min(given[1])) & (y <= max(given[1]))
    got = calc_pixmap(wcs, scenes.Duck(shape) if kind == "duck" else scenes.imaging_wcs((60, 60)), shape).array()
    np.testing.assert_array_equal(np.isfinite(got[..., 0]), inside)
    rows, columns = np.nonzero(inside)
    assert resample_range(shape, wcs) == (columns.min(), columns.max(), rows.min(), rows.max())
    assert gpures.compute_mean_pixel_area(wcs) == pytest.approx((scenes.SCALE / 206264.806) ** 2, rel=1e-3)


@pytest.mark.parametrize(
    "box",
    [(3.0, 20.0), ((3.0, 20.0),), ((1, 2), (3, 4), (5, 6)), ((1, np.nan), (3, 4)), ("ab", "cd"), ((1, 2, 3), 4), 7],
)
def test_boxes_that_are_none(box):
    """A bounding box of one axis, of three, with NaN or of something else is refused by what it is."""
    shape = (40, 30)
    with pytest.raises(ValueError, match=r"bounding box of a 'wcs' must be \(\(xmin, xmax\), \(ymin, ymax\)\).*got"):
        calc_pixmap(scenes.Duck(shape, box=box), scenes.Duck(shape), shape)
    resampler = gpures.Resample({"wcs": scenes.Duck(shape), "pixel_scale": scenes.SCALE}, backend="cpu")
    with pytest.raises(ValueError, match="bounding box of a 'wcs' must be"):
        resampler.add_model(scenes.model_of(scenes.Duck(shape, box=box), shape))
    assert resampler.output_model["pointings"] == 0


def test_shape_from_an_infinite_box():
    """A frame without a shape can't have that of an infinite bounding box."""
    frame = scenes.imaging_wcs((20, 20), box=((-0.5, math.inf), (-0.5, 19.5)))
    frame.array_shape = None
    with pytest.raises(ValueError, match=r"Unable to infer output image size: .*bounding_box.*inf"):
        gpures.Resample({"wcs": frame, "pixel_scale": 0.1})


def test_one_bound_of_a_fits_wcs():
    """Where only one axis of a FITS WCS has bounds, the other has none."""
    fits = scenes.fits_wcs((40, 30))
    fits.pixel_bounds = [None, (3.0, 20.5)]
    got = calc_pixmap(fits, scenes.imaging_wcs((60, 60)), (40, 30)).array()
    assert np.isfinite(got[3:21]).all()
    assert np.isnan(got[:3]).all()
    assert np.isnan(got[21:]).all()


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

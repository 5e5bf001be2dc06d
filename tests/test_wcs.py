"""WCS of both kinds, gwcs and FITS, and the area of their pixels."""

from __future__ import annotations

import copy
import math
import pickle
import subprocess
import sys
import types

import numpy as np
import pytest
import scenes
import stcal.resample
from astropy.wcs import WCS as FITSWCS
from astropy.wcs import DistortionLookupTable
from stcal.resample.utils import compute_mean_pixel_area as reference_area
from stcal.resample.utils import is_imaging_wcs as reference_is_imaging

import gpures
from gpures.exposure.pixmap import calc_pixmap
from gpures.wcs.transforms import (
    as_wcs,
    axes_type,
    bounding_box,
    compute_mean_pixel_area,
    is_imaging,
    pixel_to_world,
    world_to_pixel,
)

SHAPE = (60, 52)
ARCSEC = math.radians(1 / 3600)


def equivalent(fits, box=None):
    """The gwcs that maps as a FITS WCS does."""
    return scenes.wcs_of(scenes.sip_transform(fits), fits.array_shape, box)


# ---- FITS ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tolerance", [0, 1e-6])
@pytest.mark.parametrize(("sip_in", "sip_out"), [(0.0, 0.0), (3.0, 0.0), (0.0, 1.5), (3.0, 1.5)])
def test_fits_wcs_maps_as_its_gwcs(sip_in, sip_out, tolerance):
    """A FITS WCS with SIP gives the pixel map of the same polynomials in a gwcs, as input and as output."""
    shape, out_shape = (150, 140), (180, 190)
    fits = scenes.fits_wcs(shape, rotation=25.0, flip=True, sip=sip_in)
    output = scenes.fits_wcs(out_shape, sip=sip_out)
    got = calc_pixmap(fits, output, shape, tolerance=tolerance).array()
    x, y = np.meshgrid(np.arange(float(shape[1])), np.arange(float(shape[0])))
    world = equivalent(fits)(x, y)
    if sip_out:  # by going back to the sky
        back = equivalent(output)(got[..., 0], got[..., 1])
        error = np.hypot((back[0] - world[0]) * math.cos(math.radians(scenes.DEC)), back[1] - world[1]) * 3600
        assert error.max() / scenes.SCALE < tolerance + scenes.ROUNDING
    else:
        expected = np.stack(equivalent(output).invert(*world, with_bounding_box=False), axis=-1)
        assert np.abs(got - expected).max() <= tolerance + scenes.ROUNDING


@pytest.mark.parametrize("kinds", ["fits fits", "fits gwcs", "gwcs fits"])
def test_mosaic_of_fits_wcs(backend, kinds):
    """Mosaics of FITS WCS, alone or together with gwcs, are those of the same gwcs."""
    fits = [scenes.fits_wcs(SHAPE, rotation=10.0 * k, sip=0.5, shift=(k, 0.3)) for k in range(2)]
    frame = scenes.fits_wcs((90, 94))
    made = []
    for wcs_in, wcs_out in (kinds.split(), ("gwcs", "gwcs")):
        models = [scenes.model_of(w if wcs_in == "fits" else equivalent(w), SHAPE, seed=k) for k, w in enumerate(fits)]
        output = frame if wcs_out == "fits" else equivalent(frame)
        options = {"backend": backend, "compute_err": "from_var", "pixmap_tolerance": 0}
        made.append(scenes.mosaic(gpures.Resample, models, output, options).output_model)
    got, expected = made
    np.testing.assert_array_equal(got["con"], expected["con"])
    assert got["pixel_scale_ratio"] == pytest.approx(expected["pixel_scale_ratio"], rel=1e-9, abs=0)
    for key in ("data", "wht", "err"):
        np.testing.assert_allclose(got[key], expected[key], rtol=1e-5, atol=1e-6, err_msg=key)


def with_tables(fits, seed=1):
    """The FITS WCS with lookup tables of noise."""
    rng = np.random.default_rng(seed)
    ny, nx = fits.array_shape
    tables = []
    for _ in range(2):
        table = rng.uniform(-0.2, 0.2, (9, 8)).astype(np.float32)
        tables.append(DistortionLookupTable(table, (1.0, 1.0), (1.0, 1.0), ((nx - 1) / 7.0, (ny - 1) / 8.0)))
    fits.cpdis1, fits.cpdis2 = tables
    fits.wcs.set()
    return fits


def test_fits_wcs_with_lookup_tables():
    """The tables of a FITS WCS count in its pixel map."""
    shape = (200, 180)
    fits = with_tables(scenes.fits_wcs(shape))
    output = scenes.fits_wcs((220, 220), rotation=30.0)
    pixmap = calc_pixmap(fits, output, shape)
    x, y = np.meshgrid(np.arange(180.0), np.arange(200.0))
    expected = np.stack(output.wcs_world2pix(*fits.all_pix2world(x, y, 0), 0), axis=-1)
    np.testing.assert_allclose(pixmap.array(), expected, rtol=0, atol=1e-6)
    plain = calc_pixmap(scenes.fits_wcs(shape), output, shape).array()
    assert np.abs(pixmap.array() - plain).max() > 0.1


@pytest.mark.parametrize("ctype", [("RA---TAN", "DEC--TAN", "WAVE"), ("RA---TAN", "DEC--TAN", "STOKES")])
def test_fits_wcs_of_a_cube(ctype):
    """A FITS WCS of three axes is refused, with the way out."""
    cube = FITSWCS(naxis=3)
    cube.wcs.ctype = ctype
    cube.wcs.cdelt = [-1e-5, 1e-5, 1.0]
    cube.array_shape = (4, 60, 52)
    with pytest.raises(gpures.UnsupportedWCSError, match=r"2 celestial axes, got 3.*WCS\.celestial"):
        gpures.Resample({"wcs": cube, "pixel_scale": 0.1})
    resampler = gpures.Resample({"wcs": scenes.fits_wcs((70, 70)), "pixel_scale": scenes.SCALE})
    with pytest.raises(gpures.UnsupportedWCSError, match="2 celestial axes"):
        resampler.add_model(scenes.model_of(cube, SHAPE))
    gpures.Resample({"wcs": cube.celestial, "pixel_scale": 0.1})


def test_fits_wcs_without_sky():
    """A linear FITS WCS is refused."""
    linear = FITSWCS(naxis=2)
    linear.array_shape = SHAPE
    with pytest.raises(gpures.UnsupportedWCSError, match="2 celestial axes"):
        gpures.Resample({"wcs": linear, "pixel_scale": 0.1})


def test_fits_wcs_without_shape():
    """A FITS WCS as output needs its array_shape."""
    fits = scenes.fits_wcs(SHAPE)
    fits.array_shape = None
    with pytest.raises(ValueError, match="infer output image size"):
        gpures.Resample({"wcs": fits, "pixel_scale": 0.1})


def test_bounds_of_a_fits_wcs(backend):
    """pixel_bounds of a FITS WCS work as a bounding box: pixels outside do not contribute."""
    box = ((4.5, 30.2), (10.0, 41.5))
    fits = scenes.fits_wcs(SHAPE, rotation=10.0)
    output = scenes.frame_around(SHAPE)
    made = []
    for wcs in (fits, equivalent(fits, box)):
        if wcs is fits:
            wcs.pixel_bounds = box
        options = {"backend": backend, "good_bits": None}
        model = scenes.model_of(wcs, SHAPE)
        made.append(scenes.mosaic(gpures.Resample, [model], output, options, pixel_scale=scenes.SCALE).output_model)
    assert fits.pixel_bounds == [tuple(b) for b in box] or tuple(fits.pixel_bounds) == box
    np.testing.assert_array_equal(made[0]["con"], made[1]["con"])
    np.testing.assert_allclose(made[0]["wht"], made[1]["wht"], rtol=1e-5, atol=1e-6)
    assert 0 < np.count_nonzero(made[0]["wht"]) < 28 * 34


def test_fits_wcs_stays_as_it_was():
    """A FITS WCS is not changed by being used."""
    fits, output = scenes.fits_wcs(SHAPE, sip=1.0), scenes.fits_wcs((80, 80))
    fits.pixel_bounds = ((1.0, 40.0), (0.0, 50.0))
    before = [(w.to_header_string(relax=True), w.array_shape, w.pixel_bounds) for w in (fits, output)]
    scenes.mosaic(gpures.Resample, [scenes.model_of(fits, SHAPE)], output, pixel_scale=scenes.SCALE)
    assert [(w.to_header_string(relax=True), w.array_shape, w.pixel_bounds) for w in (fits, output)] == before


# ---- what is asked of a WCS ----------------------------------------------------------------------------------------


def test_kinds_of_axes():
    """Imaging and spectral WCS are told apart as by the reference."""
    imaging, spectral, fits = scenes.imaging_wcs(SHAPE), scenes.spectral_wcs(SHAPE), scenes.fits_wcs(SHAPE)
    assert is_imaging(imaging) == reference_is_imaging(imaging) is True
    assert is_imaging(spectral) == reference_is_imaging(spectral) is False
    assert is_imaging(fits) is True
    assert axes_type(spectral) == ("SPATIAL", "SPATIAL", "SPECTRAL")
    assert as_wcs(imaging) is imaging


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        (((-0.5, 51.5), (-0.5, 59.5)), ((-0.5, 51.5), (-0.5, 59.5))),
        (((3, 20), (4, 30)), ((3.0, 20.0), (4.0, 30.0))),
    ],
)
def test_bounding_boxes(given, expected):
    """Bounding boxes come in the order x, y."""
    assert bounding_box(scenes.imaging_wcs(SHAPE, box=given)) == expected


def test_bounding_box_in_descending_order():
    """Bounds in descending order are put right."""
    fits = scenes.fits_wcs(SHAPE)
    fits.pixel_bounds = ((20, 3), (30.0, 4.0))
    assert bounding_box(fits) == ((3.0, 20.0), (4.0, 30.0))


# ---- longitude and latitude ------------------------------------------------------------------------------------------


ORDERS = {
    "FITS": lambda wcs: wcs,
    "FITS, latitude first": scenes.latitude_first,
    "gwcs": equivalent,
    "axes_order": lambda wcs: scenes.latitude_first(equivalent(wcs)),
    "axes_names": lambda wcs: scenes.latitude_first(equivalent(wcs), "axes_names"),
    "physical types": lambda wcs: scenes.latitude_first(equivalent(wcs), "physical types"),
    "radians": lambda wcs: scenes.latitude_first(equivalent(wcs), unit=scenes.units.rad),
}


@pytest.mark.parametrize("sip", [0.0, 2.0])
@pytest.mark.parametrize("order", ORDERS)
def test_world_coordinates_have_one_order(order, sip):
    """Longitude comes first, in degrees, whatever the WCS's own order and unit, and goes back to the pixel."""
    fits = scenes.fits_wcs(SHAPE, rotation=25.0, flip=True, sip=sip)
    x, y = np.meshgrid(np.linspace(-3.0, 55.0, 7), np.linspace(-2.0, 61.0, 6))
    wcs = ORDERS[order](fits)
    world = pixel_to_world(wcs)(x, y)
    np.testing.assert_allclose(world, fits.all_pix2world(x, y, 0), rtol=0, atol=4 * np.spacing(scenes.RA))
    np.testing.assert_allclose(world_to_pixel(wcs)(*world), (x, y), rtol=0, atol=scenes.ROUNDING)
    if order not in ("axes_names", "physical types"):  # of which gwcs's own coordinates know nothing
        sky = wcs.pixel_to_world(x, y)
        np.testing.assert_allclose(world, (sky.ra.deg, sky.dec.deg), rtol=0, atol=4 * np.spacing(scenes.RA))


@pytest.mark.parametrize("ctype", [("GLON-TAN", "GLAT-TAN"), ("ELON-SIN", "ELAT-SIN"), ("RA---ZEA", "DEC--ZEA")])
def test_other_systems_with_latitude_first(ctype):
    """In any system the first axis may be the latitude, with PC and CDELT as with CD."""
    fits = FITSWCS(naxis=2)
    fits.wcs.ctype, fits.wcs.crval, fits.wcs.crpix = ctype, (200.0, -50.0), (30.0, 20.0)
    fits.wcs.pc, fits.wcs.cdelt = [[0.8, -0.6], [0.6, 0.8]], (-2e-5, 1e-5)
    fits.array_shape = SHAPE
    x, y = np.random.default_rng(1).uniform(0, 50, (2, 30))
    expected = fits.wcs_pix2world(x, y, 0)
    got = pixel_to_world(scenes.latitude_first(fits))(x, y)
    np.testing.assert_allclose(got, expected, rtol=0, atol=4 * np.spacing(200.0))


def test_celestial_part_of_a_cube_with_latitude_first():
    """The celestial part of a cube keeps the order of its axes, and is read by their meaning."""
    cube = FITSWCS(naxis=3)
    cube.wcs.ctype, cube.wcs.crval, cube.wcs.crpix = ("DEC--TAN", "WAVE", "RA---TAN"), (2.2, 1e-6, 150.1), (9, 1, 5)
    cube.wcs.cdelt, cube.wcs.cunit = (1e-5, 1e-9, -1e-5), ("deg", "m", "deg")
    lon, lat = pixel_to_world(cube.celestial)(np.array([8.0, 10.0]), np.array([4.0, 4.0]))
    np.testing.assert_allclose(lon, 150.1, rtol=0, atol=1e-12)
    np.testing.assert_allclose(lat, (2.2, 2.2 + 2e-5), rtol=0, atol=1e-12)


@pytest.mark.parametrize("sky_axes", [(0, 1), (1, 0), (1, 2), (2, 0)])
def test_spectra_in_any_order(sky_axes):
    """Of a spectral gwcs the sky comes first, and the wavelength in micrometres last."""
    plain = scenes.spectral_wcs(SHAPE, tilt=3.0)
    (other,) = {0, 1, 2} - set(sky_axes)
    sky = scenes.coordinate_frames.CelestialFrame(axes_order=sky_axes, reference_frame=scenes.coordinates.ICRS())
    spectrum = scenes.coordinate_frames.SpectralFrame(axes_order=(other,), unit=(scenes.units.nm,))
    order = [0, 0, 0]
    order[sky_axes[0]], order[sky_axes[1]], order[other] = 0, 1, 2
    models = scenes.models
    to_nanometres = models.Identity(2) & models.Scale(1000.0)
    moved = plain.forward_transform.copy()
    inverse = moved.inverse
    transform = moved | to_nanometres | models.Mapping(tuple(order))
    transform.inverse = models.Mapping((*sky_axes, other)) | to_nanometres.inverse | inverse
    frames = scenes.coordinate_frames.CompositeFrame([sky, spectrum])
    wcs = scenes.gwcs.WCS([(scenes.sky_frames()[0], transform), (frames, None)])
    wcs.array_shape = SHAPE
    assert axes_type(wcs) == ("SPATIAL", "SPATIAL", "SPECTRAL")
    for wcs_from, wcs_to in ((wcs, plain), (plain, wcs), (wcs, wcs)):
        pixmap = calc_pixmap(wcs_from, wcs_to, SHAPE).array()
        y, x = np.indices(SHAPE)
        # Micrometres of 2 nm a pixel, in 16 digits, and degrees of 0.1 arcsec.
        np.testing.assert_allclose(pixmap, np.dstack([x, y]), rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "orders",
    [
        "FITS, latitude first>FITS",
        "FITS>FITS, latitude first",
        "axes_order>axes_order",
        "axes_names>FITS, latitude first",
        "radians>gwcs",
    ],
)
def test_mosaic_in_any_order(backend, orders):
    """A mosaic does not depend on the order of the world axes: neither its scale, nor its weights and errors."""
    fits = [scenes.fits_wcs(SHAPE, rotation=10.0 * k, sip=0.5, shift=(k, 0.3)) for k in range(2)]
    frame = scenes.fits_wcs((90, 94), scale=1.4 * scenes.SCALE)
    made = []
    for of_input, of_output in (orders.split(">"), ("FITS", "FITS")):
        models = [
            scenes.model_of(ORDERS[of_input](w), SHAPE, seed=k, pixelarea_steradians=None) for k, w in enumerate(fits)
        ]
        options = {"backend": backend, "compute_err": "from_var", "kernel": "turbo", "pixmap_tolerance": 0}
        made.append(scenes.mosaic(gpures.Resample, models, ORDERS[of_output](frame), options).output_model)
    got, expected = made
    assert got["pixel_scale_ratio"] == pytest.approx(expected["pixel_scale_ratio"], rel=1e-9, abs=0)
    np.testing.assert_array_equal(got["con"], expected["con"])
    for key in ("data", "wht", "err"):
        np.testing.assert_allclose(got[key], expected[key], rtol=1e-5, atol=1e-6, err_msg=key)


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ("ICRS", "FK5", "in FK5 (J2000), and those of the output in ICRS"),
        ("FK5", "ICRS", "in ICRS, and those of the output in FK5 (J2000)"),
        ("FK5", "FK5", None),
        ("ICRS", "ICRS", None),
    ],
)
@pytest.mark.parametrize("kinds", ["gwcs gwcs", "FITS gwcs", "gwcs FITS"])
def test_sky_coordinates_that_differ(caplog, one, other, words, kinds):
    """ICRS and FK5 of J2000, which are often confused, are taken as the same, and a warning says so once."""

    def in_system(system, kind):
        if kind == "gwcs":
            wcs = scenes.imaging_wcs(SHAPE)
            frame = getattr(scenes.coordinates, system)()
            sky = scenes.coordinate_frames.CelestialFrame(reference_frame=frame)
            result = scenes.gwcs.WCS([(wcs.input_frame, wcs.forward_transform), (sky, None)])
            result.array_shape = SHAPE
            return result
        fits = scenes.fits_wcs(SHAPE)
        fits.wcs.radesys = system
        fits.wcs.set()
        return fits

    kind_in, kind_out = kinds.split()
    models = [scenes.model_of(in_system(other, kind_in), SHAPE, seed=k) for k in range(2)]
    scenes.mosaic(gpures.Resample, models, in_system(one, kind_out), pixel_scale=scenes.SCALE)
    assert caplog.text.count("nothing is converted") == (words is not None)
    assert words is None or words in caplog.text


# ---- as objects ------------------------------------------------------------------------------------------------------


OBJECTS = {
    "gwcs": lambda: scenes.imaging_wcs(SHAPE, distortion=0.0),
    "no inverse": lambda: scenes.without_inverse(SHAPE),
    "two steps": lambda: scenes.without_inverse(SHAPE, steps=2),
    "quantities": lambda: scenes.without_inverse(SHAPE, quantities=True),
    "latitude first": lambda: scenes.latitude_first(scenes.imaging_wcs(SHAPE)),
    "spectral": lambda: scenes.spectral_wcs(SHAPE),
    "FITS": lambda: scenes.fits_wcs(SHAPE),
    "SIP": lambda: scenes.fits_wcs(SHAPE, sip=2.0),
    "tables": lambda: with_tables(scenes.fits_wcs(SHAPE)),
}
COPIES = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda thing: pickle.loads(pickle.dumps(thing))}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("kind", OBJECTS)
def test_transforms_and_pixel_maps_are_copied(kind, how):
    """What a resampler holds of a WCS is copied and pickled, and gives the same coordinates."""
    wcs = OBJECTS[kind]()
    x, y = np.random.default_rng(2).uniform(0, 50, (2, 40))
    there, back = pixel_to_world(wcs), world_to_pixel(wcs)
    # The keywords that a FITS WCS is pickled as have 12 decimals.
    atol = 1e-12 * 3600 / scenes.SCALE if how == "pickle" else 0.0
    world = there(x, y)
    np.testing.assert_allclose(COPIES[how](there)(x, y), world, rtol=0, atol=1e-12 if how == "pickle" else 0.0)
    np.testing.assert_allclose(COPIES[how](back)(*world), back(*world), rtol=0, atol=atol)
    pixmap = calc_pixmap(wcs, scenes.spectral_wcs(SHAPE) if kind == "spectral" else scenes.imaging_wcs(SHAPE), SHAPE)
    np.testing.assert_array_equal(COPIES[how](pixmap).array(), pixmap.array())


def test_a_module_that_is_just_imported(monkeypatch):
    """While another thread imports astropy.wcs, nobody has a FITS WCS yet."""
    monkeypatch.setitem(sys.modules, "astropy.wcs", types.ModuleType("astropy.wcs"))
    duck = scenes.Duck(SHAPE)
    assert as_wcs(duck) is duck
    assert calc_pixmap(duck, duck, SHAPE).array()[3, 4] == pytest.approx((4.0, 3.0), abs=1e-6)


def test_first_use_in_threads(tmp_path):
    """Ten threads that begin at once, with a WCS that is known by its methods, all get their mosaic."""
    program = (
        "import threading, time, numpy as np, gpures\n"
        "from types import SimpleNamespace\n"
        "class Duck:\n"
        "    array_shape, bounding_box = (20, 20), None\n"
        "    output_frame = SimpleNamespace(axes_type=('SPATIAL', 'SPATIAL'))\n"
        "    def pixel_to_world_values(self, x, y): return x * 1e-5, y * 1e-5\n"
        "    def world_to_pixel_values(self, lon, lat): return lon * 1e5, lat * 1e5\n"
        "model = dict.fromkeys(['start_time', 'end_time', 'duration', 'measurement_time', 'level'], None)\n"
        "model |= {'wcs': Duck(), 'exposure_time': 1.0, 'pixelarea_steradians': 3e-14, 'subtracted': False}\n"
        "model |= {'data': np.ones((20, 20)), 'dq': np.zeros((20, 20), int), 'filename': 'a', 'group_id': 'a'}\n"
        "model |= {'var_rnoise': np.ones((20, 20)), 'duration': 1.0, 'start_time': 1.0, 'end_time': 2.0}\n"
        "start, good = threading.Barrier(10), []\n"
        "def run(k):\n"
        "    start.wait()\n"
        "    time.sleep(0.04 * k)\n"
        "    resample = gpures.Resample({'wcs': Duck(), 'pixel_scale': 0.036}, backend='cpu', enable_var=False)\n"
        "    resample.add_model(model)\n"
        "    good.append(bool(resample.output_model['data'][10, 10] == 1.0))\n"
        "threads = [threading.Thread(target=run, args=(k,)) for k in range(10)]\n"
        "[thread.start() for thread in threads], [thread.join() for thread in threads]\n"
        "print(sum(good))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["10"], done.stderr


def test_unsupported_is_stcals(tmp_path):
    """The error for a WCS that is not supported is stcal's where that is loaded, ours in any case, and is pickled."""
    error = gpures.UnsupportedWCSError("three axes")
    assert isinstance(error, stcal.resample.UnsupportedWCSError)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.args) == (type(error), error.args)
    with pytest.raises(stcal.resample.UnsupportedWCSError, match="needs 2 coordinate axes"):
        gpures.Resample({"wcs": scenes.Duck(SHAPE, types=("SPATIAL",) * 3), "pixel_scale": 0.1})
    program = (
        "import sys, gpures\n"
        "error = gpures.UnsupportedWCSError('three')\n"
        "print(type(error) is gpures.UnsupportedWCSError, 'stcal' in sys.modules)\n"
        "import stcal.resample\n"
        "print(isinstance(gpures.UnsupportedWCSError('three'), stcal.resample.UnsupportedWCSError))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "True"]


# ---- areas -----------------------------------------------------------------------------------------------------------


def tan_area(shape, scale, columns=None):
    """Mean solid angle of the pixels of an undistorted gnomonic image, or of some of its columns, exactly.

    A rectangle on the tangent plane from its point of contact to a, b has atan(ab / sqrt(1 + a^2 + b^2)) steradians.
    """
    ny, nx = shape
    first, last = columns or (0, nx - 1)
    unit = math.radians(scale / 3600)
    x = [unit * (edge - nx / 2) for edge in (first, last + 1)]
    y = [-unit * ny / 2, unit * ny / 2]

    def corner(a, b):
        return math.atan(a * b / math.sqrt(1 + a * a + b * b))

    solid = corner(x[1], y[1]) - corner(x[0], y[1]) - corner(x[1], y[0]) + corner(x[0], y[0])
    return solid / ((last - first + 1) * ny)


def of_degrees(shape, scale):
    """Relative error of the area of an image whose coordinates are degrees of up to 360, each rounded twice."""
    return 4 * float(np.spacing(360.0)) * 3600 / (scale * min(shape)) + 1e-13


#: Error (sr) of a solid angle that is a sum of angles minus (n - 2) pi, as in the reference: a hundred points, 2 pi eps
#: each, and as much again for the sum.
SOLID_ANGLE = 2 * 100 * 2 * math.pi * np.finfo(float).eps


@pytest.mark.parametrize("scale", [1e-4, 4e-3, 0.03, 0.063, 1.0, 100.0, 7200.0])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (8, 8), (64, 64), (20, 30), (500, 300), (2048, 2048)])
def test_area_of_a_gnomonic_image(shape, scale):
    """The mean pixel area is the analytic one, at any scale and size, as far as coordinates in degrees tell it."""
    if scale * max(shape) > 3600 * 140:
        pytest.skip("nothing of a tangent plane")
    for kind in (scenes.imaging_wcs(shape, scale=scale, rotation=20.0, box=None), scenes.fits_wcs(shape, scale=scale)):
        assert compute_mean_pixel_area(kind) == pytest.approx(
            tan_area(shape, scale), rel=of_degrees(shape, scale), abs=0
        )


@pytest.mark.parametrize("scale", [1e-4, 0.01, 0.11, 20.0])
@pytest.mark.parametrize("shape", [(1024, 1024), (2048, 2048), (4088, 4088)])
def test_area_of_a_detector(shape, scale):
    """Of a detector, with distortion and without, it is good to 1e-9: an area is the sum of its quarters' areas."""
    wcs = scenes.camera_wcs(shape, scale=scale, box=None)
    whole = compute_mean_pixel_area(wcs)
    ny, nx = shape
    halves = [((x - 0.5, x + nx / 2 - 0.5), (y - 0.5, y + ny / 2 - 0.5)) for x in (0, nx // 2) for y in (0, ny // 2)]
    quarters = [compute_mean_pixel_area(scenes.camera_wcs(shape, scale=scale, box=box)) for box in halves]
    assert whole == pytest.approx(np.mean(quarters), rel=1e-9, abs=0)


def own_areas(wcs, shape, parts):
    """Solid angles of pixels, each the sum of those of parts x parts of it, two triangles each, by L'Huilier."""
    ny, nx = shape
    x, y = np.meshgrid(np.arange(nx * parts + 1) / parts - 0.5, np.arange(ny * parts + 1) / parts - 0.5)
    lon, lat = np.radians(pixel_to_world(wcs)(x, y)[:2])

    def side(one, other):
        by = np.sin((lat[one] - lat[other]) / 2) ** 2
        return 2 * np.arcsin(
            np.sqrt(by + np.cos(lat[one]) * np.cos(lat[other]) * np.sin((lon[one] - lon[other]) / 2) ** 2)
        )

    def triangle(a, b, c):
        sides = side(a, b), side(b, c), side(c, a)
        half = sum(sides) / 2
        return 4 * np.arctan(np.sqrt(np.tan(half / 2) * np.prod([np.tan((half - s) / 2) for s in sides], axis=0)))

    low, high = slice(None, -1), slice(1, None)
    a, b, c, d = (low, low), (low, high), (high, high), (high, low)
    return (triangle(a, b, c) + triangle(a, c, d)).reshape(ny, parts, nx, parts).sum(axis=(1, 3))


@pytest.mark.parametrize("box", ["array", None, ((10.5, 40.5), (-3.0, 33.0)), ((10.4, 40.2), (2.3, 700.0))])
@pytest.mark.parametrize("kind", ["gwcs", "FITS"])
def test_area_is_the_mean_of_the_pixels_own(kind, box):
    """With distortion it is the mean of the solid angles of those pixels whose centres lie in the bounding box."""
    shape = (50, 60)
    if kind == "gwcs":
        wcs = scenes.imaging_wcs(shape, scale=30.0, distortion=2.0, flip=True, box=box)
    else:
        wcs = scenes.fits_wcs(shape, scale=30.0, sip=2.0)
        wcs.pixel_bounds = ((-0.5, 59.5), (-0.5, 49.5)) if box == "array" else box
    ((x0, x1), (y0, y1)) = ((-0.5, 59.5), (-0.5, 49.5)) if box in ("array", None) else box
    y, x = np.indices(shape)
    inside = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
    # Parts have great circles as edges, and pixels have not; what that makes falls with the square of their size.
    coarse, fine = (own_areas(wcs, shape, parts)[inside].mean() for parts in (2, 4))
    assert fine == pytest.approx(coarse, rel=1e-6, abs=0)
    assert compute_mean_pixel_area(wcs) == pytest.approx(fine + (fine - coarse) / 3, rel=1e-10, abs=0)


@pytest.mark.parametrize("box", [None, ((10.5, 300.5), (-3.0, 200.0))])
@pytest.mark.parametrize("shape", [(400, 500), (512, 380)])
def test_area_inside_the_reference_s_outline(shape, box):
    """The reference's outline, through the outermost pixels' centres, holds the area that ours has there."""
    settings = {"scale": 30.0, "distortion": 20.0, "flip": True}
    wcs = scenes.imaging_wcs(shape, box=box, **settings)
    first = (0, 0) if box is None else (11, 0)
    ny, nx = (shape[0] - 1, shape[1] - 1) if box is None else (200, 289)
    moved = scenes.models.Shift(0.5 + first[0]) & scenes.models.Shift(0.5 + first[1])
    inner = scenes.wcs_of(moved | scenes.sky_transform(shape, **settings), (ny, nx), None)
    # Its edges are straight for 15 pixels, and the image's bend by up to 12 * 20 / 15 / 190**2 a pixel: 15**2 / 12
    # times that along four edges.
    bend = 12 * 20 / 15 / 190**2
    within = 15**2 / 12 * bend * 4 / 380
    assert compute_mean_pixel_area(inner) == pytest.approx(reference_area(wcs), rel=within, abs=0)
    # Our mean is that of half a pixel more on each side.
    assert compute_mean_pixel_area(wcs) == pytest.approx(reference_area(wcs), rel=1e-3, abs=0)


@pytest.mark.parametrize("where", [(0.0, 0.0), (359.9999, 10.0), (150.0, 89.9), (150.0, -90.0), (0.0, 90.0)])
def test_area_anywhere_on_the_sky(where):
    """Neither the poles nor the meridian of 0 make a difference."""
    wcs = scenes.imaging_wcs((100, 100), scale=5.0, ra=where[0], dec=where[1], box=None)
    assert compute_mean_pixel_area(wcs) == pytest.approx(tan_area((100, 100), 5.0), rel=1e-12, abs=0)


def whole_sky(code, shape, step):
    """FITS WCS of a projection around (0, 0), with square pixels of some degrees."""
    fits = FITSWCS(naxis=2)
    fits.wcs.ctype, fits.wcs.cdelt = [f"RA---{code}", f"DEC--{code}"], (-step, step)
    fits.wcs.crpix = (shape[1] + 1) / 2, (shape[0] + 1) / 2
    fits.array_shape = shape
    return fits


@pytest.mark.parametrize("step", [10.0, 1.0, 0.05])
@pytest.mark.parametrize(("width", "height"), [(360, 180), (250, 120), (360, 40), (20, 180)])
def test_area_of_much_of_the_sky(width, height, step):
    """Frames larger than a hemisphere, poles and the seam included, have their zones' area."""
    shape = round(height / step), round(width / step)
    solid = math.radians(width) * 2 * math.sin(math.radians(height / 2))
    for wcs in (whole_sky("CAR", shape, step), scenes.latitude_first(whole_sky("CAR", shape, step))):
        area = compute_mean_pixel_area(wcs)
        assert area == pytest.approx(solid / (shape[0] * shape[1]), rel=1e-12, abs=0)


@pytest.mark.parametrize("code", ["AIT", "MOL", "SFL", "ZEA"])
@pytest.mark.parametrize("step", [2.0, 0.5])
def test_area_of_equal_area_projections(code, step):
    """Where only a part of an image is on the sky, it is that part's; all pixels of these projections have one area."""
    wcs = whole_sky(code, (round(240 / step), round(360 / step)), step)
    assert np.isnan(pixel_to_world(wcs)(np.zeros(1), np.zeros(1))).all()
    # The pixels at the edge, cut by great circles, are what is left.
    assert compute_mean_pixel_area(wcs) == pytest.approx(math.radians(step) ** 2, rel=5e-4, abs=0)


def test_area_of_a_fits_wcs():
    """A FITS WCS has the area of the same gwcs."""
    fits = scenes.fits_wcs((200, 300), rotation=40.0, sip=4.0)
    assert compute_mean_pixel_area(fits) == pytest.approx(compute_mean_pixel_area(equivalent(fits)), rel=1e-10, abs=0)


def test_area_with_lookup_tables():
    """With lookup tables it is the mean of the pixels' own, too: tables of noise do not hide between points."""
    shape = (40, 36)
    fits = with_tables(scenes.fits_wcs(shape))
    expected = own_areas(fits, shape, 2).mean()
    assert compute_mean_pixel_area(fits) == pytest.approx(expected, rel=1e-5, abs=0)
    assert expected != pytest.approx(tan_area(shape, scenes.SCALE), rel=1e-4, abs=0)


@pytest.mark.parametrize("columns", [(5, 109), (40, 41), (0, 119)])
def test_area_of_what_is_finite(columns):
    """Columns that are not finite are left out; where nothing is, there is no area."""
    shape = (100, 120)

    def part(first, last):
        models = scenes.models
        cut = models.custom_model(lambda x: np.where((x >= first) & (x <= last), x, np.nan))
        return scenes.wcs_of(cut() & models.Identity(1) | scenes.sky_transform(shape, scale=100.0), shape, None)

    wcs = part(columns[0] - 0.5, columns[1] + 0.5)
    assert compute_mean_pixel_area(wcs) == pytest.approx(tan_area(shape, 100.0, columns), rel=1e-12, abs=0)
    assert compute_mean_pixel_area(part(200, 300)) is reference_area(part(200, 300)) is None
    # One that ends at the centres of pixels has less than half a pixel more than the reference takes.
    centres = part(4, 110)
    assert compute_mean_pixel_area(centres) == pytest.approx(reference_area(centres), rel=1e-3, abs=0)


def test_area_of_two_columns_that_end_at_their_centres():
    """Where no pixel is whole, the area between their centres is taken."""
    ends = scenes.models.Tabular1D(np.arange(2), np.arange(2.0), bounds_error=False, fill_value=np.nan)
    wcs = scenes.wcs_of(ends & scenes.models.Identity(1) | scenes.sky_transform((50, 2), scale=1.0), (50, 2), None)
    assert compute_mean_pixel_area(wcs) == pytest.approx(tan_area((50, 2), 1.0), rel=1e-8, abs=0)


def test_a_cutout_onto_itself(backend):
    """A small image resampled onto its own grid keeps its variances: both scales are one."""
    for shape, scale in (((8, 8), 0.03), ((64, 64), 0.004)):
        wcs = scenes.imaging_wcs(shape, scale=scale)
        model = scenes.model_of(wcs, shape, dq=np.zeros(shape, np.uint32), pixelarea_steradians=None)
        made = scenes.mosaic(gpures.Resample, [model], wcs, {"backend": backend}).output_model
        inside = np.s_[2:-2, 2:-2]
        np.testing.assert_allclose(made["var_rnoise"][inside], model["var_rnoise"][inside], rtol=1e-5)
        assert made["pixel_scale_ratio"] == pytest.approx(1.0, abs=1e-9)
        assert made["pixelarea_arcsecsq"] == pytest.approx(scale**2, rel=1e-8)


def test_area_without_a_shape():
    """Without a shape of any kind there is an error, as in the reference."""
    wcs = scenes.imaging_wcs(SHAPE, box=None)
    wcs.array_shape = None
    with pytest.raises(ValueError, match="'shape' is needed"):
        compute_mean_pixel_area(wcs)
    with pytest.raises(ValueError, match="shape"):
        reference_area(wcs)


def test_area_of_a_spectral_wcs():
    """The area of a spectrum is taken in its spatial axes: none, for a slit without width."""
    for wcs in (scenes.spectral_wcs(SHAPE), scenes.spectral_wcs(SHAPE, tilt=20.0)):
        assert compute_mean_pixel_area(wcs) is None
        with pytest.raises(ValueError, match="'pixel_scale'"):
            gpures.Resample({"wcs": wcs})


def test_area_needs_no_spherical_geometry(tmp_path):
    """Pixel areas, and with them everything but the demo, do without the package spherical-geometry."""
    program = (
        "import sys\n"
        "sys.modules['spherical_geometry'] = None\n"
        "import gpures\n"
        "from astropy.wcs import WCS\n"
        "wcs = WCS({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN', 'CDELT1': -1e-5, 'CDELT2': 1e-5})\n"
        "print(gpures.compute_mean_pixel_area(wcs, (10, 10)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(math.radians(1e-5) ** 2, rel=1e-9)

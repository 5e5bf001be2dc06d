"""WCS of both kinds, gwcs and FITS, and the area of their pixels."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import scenes
from astropy.wcs import WCS as FITSWCS
from astropy.wcs import DistortionLookupTable
from stcal.resample.utils import compute_mean_pixel_area as reference_area
from stcal.resample.utils import is_imaging_wcs as reference_is_imaging

import gpures
from gpures.pixmap import calc_pixmap
from gpures.wcs import as_wcs, axes_type, bounding_box, compute_mean_pixel_area, is_imaging

SHAPE = (60, 52)
ARCSEC = math.radians(1 / 3600)

#: Sky coordinates are in degrees, good to one unit in the last place of 150 each: in output pixels, 8 of them.
ROUNDING = 8 * float(np.spacing(scenes.RA)) * 3600 / scenes.SCALE


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
        assert error.max() / scenes.SCALE < tolerance + 1e-6  # all_world2pix stops at 1e-6 pixels
    else:
        expected = np.stack(equivalent(output).invert(*world, with_bounding_box=False), axis=-1)
        assert np.abs(got - expected).max() <= tolerance + ROUNDING


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
    """A FITS WCS with lookup tables is evaluated at every pixel, tables included."""
    shape = (200, 180)
    fits = with_tables(scenes.fits_wcs(shape))
    output = scenes.fits_wcs((220, 220), rotation=30.0)
    pixmap = calc_pixmap(fits, output, shape, tolerance=0.1)
    assert pixmap.full is not None
    x, y = np.meshgrid(np.arange(180.0), np.arange(200.0))
    expected = np.stack(output.wcs_world2pix(*fits.all_pix2world(x, y, 0), 0), axis=-1)
    np.testing.assert_allclose(pixmap.array(), expected, rtol=0, atol=ROUNDING)
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


# ---- areas ---------------------------------------------------------------------------------------------------------


def tan_area(shape, scale, box=None):
    """Mean solid angle of the pixels between the outermost centres of an undistorted gnomonic image, exactly.

    A rectangle of half-sides a, b on the tangent plane, centred, has 4 asin(ab / sqrt((1 + a^2)(1 + b^2))) steradians.
    """
    a, b = (math.radians(scale / 3600) * (n - 1) / 2 for n in shape)
    solid = 4 * math.asin(a * b / math.sqrt((1 + a * a) * (1 + b * b)))
    return solid / ((shape[0] - 1) * (shape[1] - 1))


#: Error (sr) of a solid angle that is a sum of angles minus (n - 2) pi: a hundred points, 2 pi eps each, and as much
#: again for the sum.
SOLID_ANGLE = 2 * 100 * 2 * math.pi * np.finfo(float).eps


@pytest.mark.parametrize("scale", [0.01, 0.063, 1.0, 10.0, 100.0])
@pytest.mark.parametrize("shape", [(20, 30), (100, 100), (500, 300), (2048, 2048)])
def test_area_of_a_gnomonic_image(shape, scale):
    """The mean pixel area is the analytic one and the reference's, as far as a sum of angles tells the frame's area."""
    wcs = scenes.imaging_wcs(shape, scale=scale, rotation=20.0, box=None)
    got, expected = compute_mean_pixel_area(wcs), tan_area(shape, scale)
    pixels = (shape[0] - 1) * (shape[1] - 1)
    # The WCS's own coordinates are rounded to 1 unit in the last place of 360 degrees.
    of_degrees = 4 * 360 * np.finfo(float).eps / (scale / 3600 * min(shape))
    assert abs(got - expected) * pixels <= SOLID_ANGLE + of_degrees * expected * pixels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = reference_area(wcs)
    assert abs(got - theirs) * pixels <= SOLID_ANGLE


@pytest.mark.parametrize("box", ["array", None, ((10.5, 300.5), (-3.0, 200.0)), ((10.4, 300.2), (2.3, 700.0))])
@pytest.mark.parametrize("shape", [(400, 500), (512, 380)])
def test_area_agrees_with_the_reference(shape, box):
    """With distortion and bounding boxes the area is that of the reference's outline."""
    wcs = scenes.imaging_wcs(shape, scale=30.0, distortion=20.0, flip=True, box=box)
    assert compute_mean_pixel_area(wcs) == pytest.approx(reference_area(wcs), rel=1e-9, abs=0)
    assert compute_mean_pixel_area(wcs, shape=(200, 200)) == pytest.approx(
        reference_area(wcs, (200, 200)), rel=1e-8, abs=0
    )


@pytest.mark.parametrize("where", [(0.0, 0.0), (359.9999, 10.0), (150.0, 89.9), (150.0, -90.0), (0.0, 90.0)])
def test_area_anywhere_on_the_sky(where):
    """Neither the poles nor the meridian of 0 make a difference."""
    wcs = scenes.imaging_wcs((100, 100), scale=5.0, ra=where[0], dec=where[1], box=None)
    assert compute_mean_pixel_area(wcs) == pytest.approx(tan_area((100, 100), 5.0), rel=1e-8, abs=0)


def test_area_of_a_fits_wcs():
    """A FITS WCS has the area of the same gwcs."""
    fits = scenes.fits_wcs((200, 300), rotation=40.0, sip=4.0)
    # A solid angle is a sum of angles, good to 1e-14 sr or a few times that.
    noise = 1e-13 / (200 * 300)
    assert compute_mean_pixel_area(fits) == pytest.approx(compute_mean_pixel_area(equivalent(fits)), abs=noise)


def test_area_of_what_is_finite():
    """Edges that are not finite are left out; where nothing is, there is no area."""
    shape = (100, 120)

    def part(first, last):
        models = scenes.models
        cut = models.custom_model(lambda x: np.where((x >= first) & (x <= last), x, np.nan))
        return scenes.wcs_of(cut() & models.Identity(1) | scenes.sky_transform(shape, scale=10.0), shape, None)

    wcs = part(4, 110)
    assert compute_mean_pixel_area(wcs) == pytest.approx(reference_area(wcs), rel=1e-8, abs=0)
    assert compute_mean_pixel_area(wcs) == pytest.approx(tan_area(shape, 10.0), rel=1e-3, abs=0)
    assert compute_mean_pixel_area(part(200, 300)) is reference_area(part(200, 300)) is None


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
    wcs = scenes.spectral_wcs(SHAPE)
    area = compute_mean_pixel_area(wcs)
    assert area is None or area < 1e-6 * (0.1 * ARCSEC) ** 2
    with pytest.raises(ValueError, match="'pixel_scale'"):
        gpures.Resample({"wcs": wcs})

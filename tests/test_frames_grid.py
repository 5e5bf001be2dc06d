"""Where the pixels of a frame lie: an exposure that is on a grid of its kind and scale keeps its own."""

from __future__ import annotations

import asdf
import numpy as np
import pytest
import starfield
from astropy.io import fits
from astropy.wcs import WCS
from starfield import gwcs_in

import gpures
from gpures.exposure.pixmap import calc_pixmap
from gpures.io import read_wcs
from gpures.mosaicking.plan import make_plan
from gpures.wcs.frame import FAR
from gpures.wcs.tangent_plane import tangent_plane_of

QUIET = {"progress": False, "backend": "cpu", "weight_type": "exptime", "enable_var": False, "compute_err": None}
SHAPES = [(70, 80), (300, 310)]  # with every pixel evaluated, and with a spline


def noise(shape, seed=0):
    """Noise with a bright pixel, and without data in some places and along one edge."""
    rng = np.random.default_rng([seed, *shape])
    image = rng.normal(10.0, 1.0, shape).astype(np.float32)
    image[20, 30] = 1e6
    image[rng.random(shape) < 0.02] = np.nan
    image[20:23, 31:33] = np.nan
    image[:, 0] = np.nan
    return image


def exposure(path, shape=SHAPES[0], seed=0, image=None, **options):
    """A FITS file of `starfield.header_in`'s options."""
    image = noise(shape, seed) if image is None else image
    fits.writeto(path, image, starfield.header_in(shape=shape, **options), overwrite=True)
    return path


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rotation", [0.0, 33.3, -120.0])
@pytest.mark.parametrize("kind", ["own", "none", "scale"])
def test_an_aligned_exposure_is_kept(tmp_path, backend, shape, rotation, kind):
    """Every pixel, those without data too, is in the mosaic as it was, and in the mosaic of that, to the bit."""
    if backend != "cpu" and kind != "own":
        pytest.skip("as on the CPU")
    one = exposure(tmp_path / "one.fits", shape, rotation=rotation)
    how = {"own": {"rotation": rotation}, "none": {"rotation": None}}.get(kind)
    how = {"rotation": rotation, "pixel_scale": starfield.SCALE} if how is None else how
    options = QUIET | {"backend": backend} | how
    made = gpures.mosaic(one, tmp_path / "m.fits", **options)
    np.testing.assert_array_equal(made.model["data"], fits.getdata(one))
    again = gpures.mosaic(tmp_path / "m.fits", tmp_path / "again.fits", **options)
    np.testing.assert_array_equal(again.model["data"], fits.getdata(one))
    np.testing.assert_array_equal(np.asarray(again.model["wht"]) > 0, np.isfinite(fits.getdata(one)))
    # Also for who reads the FITS keywords alone.
    with fits.open(tmp_path / "again.fits") as hdus:
        plain = fits.PrimaryHDU(hdus["SCI"].data, hdus["SCI"].header)
        plain.header["EXPTIME"] = 10.0
        plain.writeto(tmp_path / "plain.fits")
    third = gpures.mosaic(tmp_path / "plain.fits", **options)
    np.testing.assert_array_equal(third.model["data"], fits.getdata(one))


def test_one_bright_pixel():
    """It stays one pixel; a frame that begins with the footprint makes four of it."""
    image = np.zeros(starfield.SHAPE, np.float32)
    image[40, 30] = 100.0
    wcs = gwcs_in("ICRS")
    model = {"data": image, "dq": np.zeros(image.shape, int), "wcs": wcs, "exposure_time": 1.0, "filename": "one.fits"}
    model |= dict.fromkeys(("err", "var_rnoise", "var_poisson", "var_flat", "measurement_time", "start_time"))
    model |= dict.fromkeys(("end_time", "duration", "pixelarea_steradians", "bunit_data", "level", "subtracted"))
    model |= {"group_id": "1", "measurement_time": 1.0, "duration": 1.0}
    for align, expected in (("first", [100.0]), ("footprint", [25.0] * 4)):
        made = gpures.mosaic([model], align=align, **QUIET)
        np.testing.assert_allclose(made.model["data"][made.model["data"] > 1e-3], expected, rtol=1e-4)


@pytest.mark.parametrize("kind", ["FITS", "gwcs"])
def test_several_on_one_grid(tmp_path, kind):
    """Exposures of one tangent point, whole pixels apart, are co-added pixel by pixel, wherever they lie."""
    shape = SHAPES[0]
    shifts = [(0, 0), (30, -20), (-4000, 3001)]
    paths = []
    for k, shift in enumerate(shifts):
        header = starfield.header_in(shape=shape, shift=shift, rotation=20.0)
        if kind == "FITS":
            paths.append(exposure(tmp_path / f"{k}.fits", shape, k, shift=shift, rotation=20.0))
        else:
            wcs = gwcs_in("ICRS", 20.0, shape)
            wcs = gpures.wcs.frame.tangent_wcs(
                (header["CRVAL1"], header["CRVAL2"]),
                (header["CRPIX1"] - 1, header["CRPIX2"] - 1),
                tangent_plane_of(wcs, shape).matrix,
                shape,
                wcs.output_frame.reference_frame,
            )
            paths.append(tmp_path / f"{k}.asdf")
            asdf.AsdfFile({"data": noise(shape, k), "wcs": wcs, "exposure_time": 10.0, "unit": "ct/s"}).write_to(
                paths[-1]
            )
    made = gpures.mosaic(paths, rotation=None, **QUIET)
    # The reference pixel moves against the sky by as much as the exposure does.
    at = np.array([(-dx, -dy) for dx, dy in shifts])
    first = at.min(axis=0)
    total, weight = np.zeros(made.model["data"].shape), np.zeros(made.model["data"].shape)
    for k, (x, y) in enumerate(at - first):
        image = noise(shape, k)
        place = slice(y, y + shape[0]), slice(x, x + shape[1])
        total[place] += np.nan_to_num(image)
        weight[place] += np.isfinite(image)
    with np.errstate(invalid="ignore"):
        expected = total / weight
    np.testing.assert_allclose(made.model["data"], expected, rtol=2e-7)
    assert made.model["data"].shape == (shape[0] + 3021, shape[1] + 4030)


def phases(plan):
    """Parts of pixels by which the tangent point lies beside one's middle."""
    plane = tangent_plane_of(plan.output_wcs["wcs"], plan.shape)
    return [value - round(value) for value in plane.crpix]


@pytest.mark.parametrize(
    "options",
    [{"rotation": 20.0}, {"scale": 0.51}, {"projection": "SIN"}, {"system": "Galactic", "rotation": 20.0}],
    ids=str,
)
def test_others_have_whole_pixels_around_the_tangent_point(tmp_path, options):
    """What is turned, of another scale or projection makes a grid with the tangent point in the middle of a pixel."""
    one = exposure(tmp_path / "one.fits", **options)
    plan = make_plan([one], pixel_scale=starfield.SCALE)
    np.testing.assert_allclose(phases(plan), 0.0, atol=1e-9)
    assert max(plan.shape) < 120


def test_with_whole_pixels_around_the_tangent_point_on_request(tmp_path):
    """What would be kept makes such a grid, too, if that is asked for."""
    one = exposure(tmp_path / "one.fits")
    kept = make_plan([one], pixel_scale=starfield.SCALE)
    np.testing.assert_allclose(np.abs(phases(kept)), 0.5, atol=1e-9)
    np.testing.assert_allclose(phases(make_plan([one], align="tangent")), 0.0, atol=1e-9)


def test_exposures_far_from_the_first_ones_tangent_point(tmp_path):
    """Where its plane does not hold all of them the frame has its tangent point in the middle."""
    paths = []
    for k, away in enumerate((-0.6 * FAR, 0.6 * FAR)):
        header = starfield.header_in(scale=600.0)
        header["CRVAL1"], header["CRVAL2"] = 180.0 + away, 0.0
        paths.append(tmp_path / f"{k}.fits")
        fits.writeto(paths[-1], np.ones(starfield.SHAPE, np.float32), header)
    plan = make_plan(paths)
    plane = tangent_plane_of(plan.output_wcs["wcs"], plan.shape)
    np.testing.assert_allclose(plane.crval, (180.0, 0.0), rtol=0, atol=1e-6)


def test_with_a_tangent_point_and_its_pixel(tmp_path):
    """A tangent point that is given has whole pixels around it, or the exposure's, if it is its own; a pixel stays."""
    one = exposure(tmp_path / "one.fits")
    np.testing.assert_allclose(phases(make_plan([one], crval=(150.1001, 2.2))), 0.0, atol=1e-9)
    own = make_plan([one], crval=(starfield.CENTRE.ra.deg, starfield.CENTRE.dec.deg))
    np.testing.assert_allclose(np.abs(phases(own)), 0.5, atol=1e-9)
    plan = make_plan([one], crval=(starfield.CENTRE.ra.deg, starfield.CENTRE.dec.deg), crpix=(40.25, 35.0))
    np.testing.assert_allclose(phases(plan), (0.25, 0.0), atol=1e-9)
    aside = exposure(tmp_path / "aside.fits", shift=(30, 0))
    plan = make_plan([aside], crpix=(40.25, 35.0))
    middle = WCS(fits.getheader(aside)).wcs_pix2world(39.5, 34.5, 0)
    np.testing.assert_allclose(tangent_plane_of(plan.output_wcs["wcs"], plan.shape).crval, middle, rtol=0, atol=1e-7)
    shaped = make_plan([one], output_shape=(90, 75))
    assert shaped.shape == (75, 90)
    np.testing.assert_allclose(np.abs(phases(shaped)), 0.5, atol=1e-9)


def test_two_mosaics_of_one_tangent_point(tmp_path):
    """Mosaics made with one crval and scale are on one grid, whatever is in them."""
    paths = [exposure(tmp_path / f"{k}.fits", rotation=17.0 * k, shift=(40 * k, 0)) for k in (1, 2)]
    plans = [make_plan([path], crval=(150.1, 2.2), pixel_scale=0.4) for path in paths]
    pixmap = calc_pixmap(plans[0].output_wcs["wcs"], plans[1].output_wcs["wcs"], plans[0].shape)
    steps = pixmap.array()[0, 0]
    assert steps.tolist() == np.round(steps).tolist()


def test_no_row_for_rounding(tmp_path):
    """A frame has no row or column that only rounding reaches into, at any scale and place."""
    for k, (scale, shape) in enumerate([(0.5, (70, 80)), (0.003, (71, 81)), (60.0, (64, 64)), (0.031, (2048, 30))]):
        header = starfield.header_in(scale=scale, shape=shape)
        header["CRVAL1"], header["CRVAL2"] = (0.0, 359.99999, 45.0, 12.3)[k], (-89.0, 60.0, 0.0, 89.9)[k]
        fits.writeto(tmp_path / f"{k}.fits", np.ones(shape, np.float32), header)
        assert make_plan([tmp_path / f"{k}.fits"]).shape == shape


def test_shifts_are_exact_within_the_tolerance():
    """A map that is a shift by whole pixels, but for less than the tolerance, is exactly that; others are not."""
    one = WCS(starfield.header_in())
    one.array_shape = starfield.SHAPE
    for off, expected in ((0.0, True), (4e-7, True), (3e-6, False)):
        header = starfield.header_in(shift=(7, -3))
        header["CRPIX1"] += off
        onto = WCS(header)
        onto.array_shape = starfield.SHAPE
        x = calc_pixmap(one, onto, starfield.SHAPE).array()[..., 0]
        assert (x == np.round(x)).all() == expected
        exact = calc_pixmap(one, onto, starfield.SHAPE, tolerance=0).array()[..., 0]
        np.testing.assert_allclose(x, exact, rtol=0, atol=1e-6)
        assert not (exact == np.round(exact)).all()


@pytest.mark.parametrize("kind", ["FITS", "gwcs", "latitude first", "written"])
def test_tangent_planes_are_told(tmp_path, kind):
    """The tangent point, its pixel and the matrix of a tangent plane are its own, to rounding."""
    header = starfield.header_in(rotation=25.0, swapped=kind == "latitude first", shift=(0, 12))
    wcs = WCS(header)
    if kind == "gwcs":
        wcs = gwcs_in("ICRS", 25.0)
        header = starfield.header_in(rotation=25.0)
    elif kind == "written":
        path = exposure(tmp_path / "one.fits", rotation=25.0, shift=(0, 12))
        gpures.mosaic(path, tmp_path / "m.fits", rotation=None, **QUIET)
        wcs = read_wcs(tmp_path / "m.fits")
    plane = tangent_plane_of(wcs, starfield.SHAPE)
    row = {"latitude first": (2, 1)}.get(kind, (1, 2))
    np.testing.assert_allclose(plane.crval, [header[f"CRVAL{k}"] for k in row], rtol=0, atol=1e-12)
    np.testing.assert_allclose(plane.crpix, (header["CRPIX1"] - 1, header["CRPIX2"] - 1), rtol=0, atol=1e-9)
    expected = [[header[f"CD{k}_1"], header[f"CD{k}_2"]] for k in row]
    np.testing.assert_allclose(plane.matrix, expected, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize(
    "cards",
    [
        {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"},
        {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-6},
        {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "PV1_4": 1e-3, "PV1_1": 1.0, "PV2_1": 1.0},
    ],
    ids=["SIN", "SIP", "TPV"],
)
def test_what_is_no_tangent_plane(cards):
    """Another projection and distortions are told, even where they are small."""
    header = starfield.header_in()
    header.update(cards)
    assert tangent_plane_of(WCS(header), starfield.SHAPE) is None


@pytest.mark.parametrize("latitude", [90.0, -90.0, 35.0])
@pytest.mark.parametrize("longitude_of_pole", [None, 20.0])
def test_planes_around_a_pole(tmp_path, latitude, longitude_of_pole):
    """An exposure in the middle of which the pole lies, or one with another LONPOLE, is kept along its own axes."""
    header = starfield.header_in()
    header["CRVAL1"], header["CRVAL2"] = 77.0, latitude
    if longitude_of_pole is not None:
        header["LONPOLE"] = longitude_of_pole
    image = noise(starfield.SHAPE)
    fits.writeto(tmp_path / "one.fits", image, header)
    made = gpures.mosaic(tmp_path / "one.fits", tmp_path / "m.fits", rotation=None, **QUIET)
    np.testing.assert_array_equal(made.model["data"], image)
    again = gpures.mosaic(tmp_path / "m.fits", rotation=None, **QUIET)
    np.testing.assert_array_equal(again.model["data"], image)


@pytest.mark.parametrize("kernel", ["square", "turbo"])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0.0, 90.0, 180.0, -90.0])
def test_right_angles_and_mirrors(tmp_path, own_backend, rotation, mirrored, kernel):
    """An exposure that is turned by right angles, or with east to the right, keeps its pixels on a north-up frame."""
    if own_backend != "cpu" and rotation != 90.0:
        pytest.skip("as on the CPU")
    for k, shape in enumerate(SHAPES):
        header, image = starfield.header_in(rotation=rotation, shape=shape), noise(shape)
        if mirrored:
            header["CD1_1"], header["CD2_1"] = -header["CD1_1"], -header["CD2_1"]
        fits.writeto(tmp_path / f"{k}.fits", image, header)
        made = gpures.mosaic(tmp_path / f"{k}.fits", **QUIET | {"backend": own_backend, "kernel": kernel})
        upright = np.rot90(image[:, ::-1] if mirrored else image, {90.0: -1, 180.0: 2, -90.0: 1}.get(rotation, 0))
        np.testing.assert_array_equal(made.model["data"], upright)

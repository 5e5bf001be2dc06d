"""Values per pixel: a star keeps its flux in a mosaic, whatever the pixels are that it was taken with."""

from __future__ import annotations

import files
import numpy as np
import pytest
import scenes
import stars
from astropy.io import fits
from astropy.wcs import WCS
from photutils.aperture import CircularAperture, aperture_photometry
from reproject import reproject_exact
from stars import QUIET, total

import gpures
from gpures import io
from gpures.box import Box
from gpures.demo.hst import find_exposure
from gpures.io.input import DO_NOT_USE
from gpures.mosaicking.plan import make_plan
from gpures.mosaicking.report import plan_text
from gpures.mosaicking.scale import Scale
from gpures.wcs.area_ratio import area_ratio
from gpures.wcs.transforms import pixel_to_world, world_to_pixel

FLUX = 1000.0


def mosaic(*inputs, **options):
    return gpures.mosaic(list(inputs), **QUIET | options)


def flux_at(made, ra, dec, radius=1.8):
    """Flux within a radius (arcsec) of a place; of a mosaic of surface brightness per arcsec2, as well."""
    x, y = made.wcs.invert(ra, dec, with_bounding_box=False)
    aperture = CircularAperture([float(x), float(y)], radius / made.plan.pixel_scale)
    table = aperture_photometry(np.nan_to_num(made.model["data"]).astype(float), aperture)
    return float(table["aperture_sum"][0])


# Stars

UNITS = ("adu/s", "adu", "ELECTRONS/S", "nJy", "uJy/pixel", "nanomaggy", "10**(-20) erg s-1 cm-2")


@pytest.mark.parametrize("unit", UNITS)
def test_two_scales(tmp_path, unit):
    """A star of 1000 in pixels of 0.05 and 0.1 arcsec has 1000 in the mosaic, in whichever order they come."""
    fine = stars.star_file(tmp_path / "fine.fits", stars.tan_wcs(128, 0.05), unit)
    coarse = stars.star_file(tmp_path / "coarse.fits", stars.tan_wcs(64, 0.1), unit)
    for inputs in ((fine, coarse), (coarse, fine), (coarse,)):
        assert total(mosaic(*inputs)) == pytest.approx(FLUX, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "to"),
    [
        ({"pixel_scale_ratio": 0.5}, 1e-4),
        ({"pixel_scale_ratio": 2.0}, 1e-4),
        ({"pixel_scale_ratio": 0.7, "rotation": 31.0}, 1e-4),
        # What drops leave uncovered is taken for what is beside it.
        ({"pixel_scale": 0.13, "pixfrac": 0.8}, 1e-3),
        ({"kernel": "turbo", "pixel_scale_ratio": 1.3}, 1e-3),
        ({"kernel": "point", "pixel_scale_ratio": 1.5}, 5e-3),
    ],
    ids=str,
)
def test_scales_and_drops(tmp_path, options, to):
    """The flux does not depend on the output's pixels, nor on the drops."""
    path = stars.star_file(tmp_path / "a.fits", stars.tan_wcs(rotation=12.0))
    assert total(mosaic(path, **options)) == pytest.approx(FLUX, rel=to)


PLACES = ((-7.0, 3.0), (0.0, 0.0), (6.0, 6.5), (5.0, -7.0))


@pytest.mark.parametrize("sip", [0.1, 0.0])
@pytest.mark.parametrize("ratio", [0.6, 1.0])
def test_local_areas(tmp_path, sip, ratio):
    """Stars in a distorted image, where pixels' areas differ by per cents, have their fluxes, each at its place."""
    wcs = stars.tan_wcs(240, 0.1, 20.0, sip)
    if sip:
        areas = stars.pixel_areas(wcs)
        assert areas.max() / areas.min() > 1.05
    path = stars.star_file(tmp_path / "a.fits", wcs, at=PLACES)
    made = mosaic(path, pixel_scale_ratio=ratio)
    for east, north in PLACES:
        dec = stars.DEC + north / 3600.0
        ra = stars.RA + east / 3600.0 / np.cos(np.radians(dec))
        assert flux_at(made, ra, dec) == pytest.approx(FLUX, rel=1e-4), (east, north)


def test_surface_brightness_is_averaged_as_it_is(tmp_path):
    """Values per area on the sky are what `reproject` makes of them, in any unit of their kind."""
    wcs = stars.tan_wcs(96, 0.1, 20.0, 0.06)
    path = stars.star_file(tmp_path / "a.fits", wcs, "MJy/sr", per_pixel=False)
    frame = stars.tan_wcs(60, 0.12)
    made = mosaic(path, output_wcs=frame)
    expected, covered = reproject_exact((fits.getdata(path), wcs), frame, shape_out=(60, 60))
    inner = covered > 0.999
    assert inner.sum() > 3000
    np.testing.assert_allclose(made.model["data"][inner], expected[inner], rtol=2e-3, atol=1e-4 * expected[inner].max())
    other = stars.star_file(tmp_path / "b.fits", stars.tan_wcs(140, 0.05), "Jy/sr", 1e6 * FLUX, per_pixel=False)
    both = mosaic(path, other, output_wcs=frame)
    assert both.unit == "MJy/sr"
    ours = total(both) * 0.12**2
    assert ours == pytest.approx(FLUX, rel=2e-4)


def test_what_values_are_can_be_told(tmp_path):
    """``values`` has the last word on whether values are per pixel."""
    per_pixel = stars.star_file(tmp_path / "p.fits", unit="adu/s")
    per_area = stars.star_file(tmp_path / "a.fits", unit="MJy/sr")
    unknown = stars.star_file(tmp_path / "u.fits", unit="furlong")
    blank = stars.star_file(tmp_path / "b.fits", unit=None)
    half = {"pixel_scale_ratio": 0.5}
    for path in (per_area, unknown, blank):
        assert total(mosaic(path, **half)) == pytest.approx(4 * FLUX, rel=1e-4)
    for path in (per_pixel, per_area, unknown, blank):
        assert total(mosaic(path, values="per-pixel", **half)) == pytest.approx(FLUX, rel=1e-4)
        assert total(mosaic(path, values="surface-brightness", **half)) == pytest.approx(4 * FLUX, rel=1e-4)
    with pytest.raises(ValueError, match="'values' must be one of 'auto', 'per-pixel', 'surface-brightness', got 'x'"):
        mosaic(per_pixel, values="x")


@pytest.mark.parametrize(
    ("unit", "words"), [(None, "has no unit"), ("furlong", "has the unit 'furlong', which nobody")]
)
def test_unknown_units_are_said_once(tmp_path, caplog, unit, words):
    """What values without a known unit are taken for is said, once."""
    paths = [stars.star_file(tmp_path / f"{k}.fits", unit=unit) for k in range(3)]
    mosaic(*paths)
    assert caplog.text.count(words) == 1
    assert "0.fits" in caplog.text


# What else is scaled, and what is not


def test_variances_and_weights(tmp_path):
    """Errors go with the data, variances with the square, weights with its inverse; flags and extra arrays stay."""
    planes = {"ERR": np.full((64, 64), 2.0, "f4"), "DQ": np.zeros((64, 64), "i2")}
    wcs = stars.tan_wcs()
    path = stars.star_file(tmp_path / "a.fits", wcs, planes=planes)
    (model,) = io.read(path)
    model["dq"][3, 4] = 4
    model["extra"] = np.full((64, 64), 7.0)
    options = {"pixel_scale_ratio": 0.5, "compute_err": "driz_err", "propagate_dq": True, "good_bits": None}
    options |= {"extra_array_names": ["extra"]}
    as_they_are = mosaic(model, values="surface-brightness", **options).model
    scaled = mosaic(model, **options).model
    good = np.isfinite(as_they_are["data"]) & (as_they_are["wht"] > 0)
    for name, factor in {"data": 0.25, "err": 0.25, "var_rnoise": 0.0625, "wht": 16.0, "extra": 1.0}.items():
        np.testing.assert_allclose(scaled[name][good], factor * as_they_are[name][good], 1e-6, 1e-30, err_msg=name)
    np.testing.assert_array_equal(scaled["dq"], as_they_are["dq"])
    assert model["data"].sum() == pytest.approx(FLUX, rel=1e-4)  # the caller's is as it was


def test_weights_of_two_scales(tmp_path):
    """Two exposures of one depth, in pixels of two sizes, have the same weight, in whichever order they come."""
    fine = stars.tan_wcs(128, 0.05)
    inputs = [
        stars.star_file(tmp_path / "c.fits", flux=0.0, planes={"ERR": np.full((64, 64), 2.0)}),
        stars.star_file(tmp_path / "f.fits", fine, flux=0.0, planes={"ERR": np.full((128, 128), 1.0)}),
    ]
    for path, value in zip(inputs, (4.0, 2.0), strict=True):  # of four fine pixels 8, and their variance is 4 as well
        with fits.open(path, mode="update") as hdus:
            hdus[0].data += value
    for first in (0, 1):
        data = mosaic(inputs[first], inputs[1 - first], pixel_scale=0.1).model["data"]
        np.testing.assert_allclose(data[10:50, 10:50], 6.0, rtol=1e-5)


def test_sky_level(tmp_path):
    """A sky level that is to be subtracted is one of the exposure's own pixels."""
    wcs = stars.tan_wcs(sip=0.1)
    path = stars.star_file(tmp_path / "a.fits", wcs, BKGLEVEL=5.0, BKGSUB=False)
    with fits.open(path, mode="update") as hdus:
        hdus[0].data += 5.0
    assert total(mosaic(path, pixel_scale_ratio=0.8)) == pytest.approx(FLUX, rel=2e-4)


@pytest.mark.parametrize("dtype", [">i2", "u2", "<i4", ">f4", "f8", "f2"])
def test_types(tmp_path, dtype):
    """Integers, half and double numbers, of any byte order, and masked arrays are scaled in the precision they need."""
    wcs = stars.tan_wcs()
    (model,) = io.read(stars.star_file(tmp_path / "a.fits", wcs))
    values = np.round(40.0 * model["data"]).astype(dtype)
    made = mosaic(model | {"data": values}, pixel_scale_ratio=0.5)
    assert total(made) == pytest.approx(float(values.sum(dtype=float)), rel=1e-5)
    masked = np.ma.MaskedArray(values.copy(), np.zeros(values.shape, bool))
    masked[:, 55:] = 100
    masked[:, 55:] = np.ma.masked
    left = mosaic(model | {"data": masked}, pixel_scale_ratio=0.5)
    assert total(left) == pytest.approx(float(values.sum(dtype=float)), rel=1e-5)


def test_arrays_on_a_gpu(tmp_path, cuda):
    """Arrays that lie on a GPU stay there."""
    (model,) = io.read(stars.star_file(tmp_path / "a.fits", planes={"ERR": np.full((64, 64), 2.0, "f4")}))
    there = {name: cuda.asarray(model[name]) for name in ("data", "dq", "var_rnoise", "err")}
    options = {"pixel_scale_ratio": 0.5, "good_bits": None, "progress": False}
    expected = gpures.mosaic(model, backend="cuda", **options).model
    made = gpures.mosaic(model | there, backend="cuda", **options).model
    for name in ("data", "wht", "var_rnoise"):
        np.testing.assert_array_equal(made[name], expected[name], err_msg=name)
    assert float(np.nansum(made["data"])) == pytest.approx(FLUX, rel=1e-4)


def test_models_as_files(tmp_path, caplog):
    """Models in memory are what files are, from a list and from a generator; without a unit they stay as they are."""
    path = stars.star_file(tmp_path / "a.fits", stars.tan_wcs(sip=0.1))
    made = mosaic(path, pixel_scale_ratio=0.8)
    for inputs in (io.read(path), (model for model in io.read(path))):
        again = gpures.mosaic(inputs, output_wcs=made.wcs, **QUIET)
        np.testing.assert_array_equal(again.model["data"], made.model["data"])
        assert "per pixel, scaled by the ratio" in again.report
    (model,) = io.read(path)
    bare = model | {"bunit_data": None}
    alone = mosaic(bare, output_wcs=made.wcs)
    assert "has no unit: its values are averaged as they are" in caplog.text
    resample = gpures.Resample({"wcs": made.wcs}, fillval="NaN", backend="cpu")
    resample.add_model(bare | dict.fromkeys(("var_rnoise", "var_flat", "var_poisson")))
    resample.finalize()
    np.testing.assert_array_equal(alone.model["data"], resample.output_model["data"])
    assert total(mosaic(bare, output_wcs=made.wcs, values="per-pixel")) == pytest.approx(FLUX, rel=1e-4)


def test_reports(tmp_path):
    """The plan, which reads no pixel, and the report say by what values are scaled."""
    fine = stars.star_file(tmp_path / "fine.fits", stars.tan_wcs(128, 0.05))
    coarse = stars.star_file(tmp_path / "coarse.fits", stars.tan_wcs(64, 0.1))
    words = "values          per pixel, scaled by the ratio of the pixels' areas, 0.25 to 1"
    assert words in plan_text(make_plan([fine, coarse], backend="cpu"))
    assert words in mosaic(fine, coarse).report
    sky = stars.star_file(tmp_path / "sky.fits", unit="MJy/sr")
    assert "values          per area on the sky, as they are" in mosaic(sky).report


def test_again_and_again(tmp_path):
    """A mosaic of a mosaic of a mosaic has the flux that the exposure had, and a header that tells the pixels' area."""
    path = stars.star_file(tmp_path / "0.fits", stars.tan_wcs(sip=0.1))
    for k, ratio in enumerate((0.7, 1.6, 1.0)):
        made = mosaic(path, output=tmp_path / f"{k + 1}.fits", pixel_scale_ratio=ratio)
        path = made.path
        assert total(made) == pytest.approx(FLUX, rel=2e-4)
        area = fits.getheader(path)["PIXAR_A2"]
        assert area == pytest.approx(made.plan.pixel_scale**2, rel=1e-6)


# Missions, whose flat fields make values those of one area


@pytest.mark.parametrize("scale", [0.05, None])
def test_hst(tmp_path, scale):
    """HST's values are scaled as drizzlepac does it: by the square of output over nominal input scale."""
    hdus = files.hst_hdus(chips=1, tables=False)
    if scale is not None:
        hdus["SCI"].header["IDCSCALE"] = scale
    hdus["SCI"].header["MDRIZSKY"] = 0.0
    hdus["SCI"].data[:] = 250.0 * 3.0  # 3 electrons per second
    path = tmp_path / "j_flt.fits"
    hdus.writeto(path)
    made = mosaic(path, pixel_scale=0.04, good_bits=None)
    nominal = scale or 3600.0 * np.sqrt(abs(np.linalg.det(WCS(hdus["SCI"].header).pixel_scale_matrix)))
    data = made.model["data"]
    np.testing.assert_allclose(data[np.isfinite(data)], 3.0 * (0.04 / nominal) ** 2, rtol=3e-6)
    assert made.unit == "electron/s"
    models = gpures.mosaic(io.read(path), pixel_scale=0.04, good_bits=None, **QUIET)
    np.testing.assert_array_equal(models.model["data"], data)


def test_an_old_file_of_hst():
    """The exposure of 47 Tuc, whose header has no IDCSCALE, is of squares of 0.025 arcsec, and keeps its flux."""
    (image,) = io.inputs(find_exposure())
    assert image.values_area == pytest.approx(np.radians(0.025 / 3600) ** 2)
    options = {"good_bits": None, "weight_type": "exptime"}
    made = mosaic(image, pixel_scale=0.025, **options)
    assert "scaled by the ratio of the pixels' areas, 1\n" in made.report
    total_of_25 = total(made)
    assert total(mosaic(image, pixel_scale=0.03, **options)) == pytest.approx(total_of_25, rel=2e-3)


@pytest.mark.parametrize(("mission", "is_calibrated"), [("jwst", True), ("jwst", False), ("roman", False)])
def test_jwst_and_roman(tmp_path, mission, is_calibrated):
    """MJy/sr stay what they are; DN/s are those of the nominal area of a pixel, whatever the distortion."""
    model = {"jwst": files.jwst_model, "roman": files.roman_model}[mission]()
    model.data = np.full_like(model.data, 3.0)
    if mission == "jwst":
        model.meta.bunit_data = "MJy/sr" if is_calibrated else "DN/s"
        model.meta.background.subtracted = True
    else:
        model.meta.background["subtracted"] = True
    path = tmp_path / f"x_cal.{'fits' if mission == 'jwst' else 'asdf'}"
    model.save(path)
    made = mosaic(path, pixel_scale=0.5 * scenes.SCALE)
    data = made.model["data"]
    np.testing.assert_allclose(data[np.isfinite(data)], 3.0 if is_calibrated else 0.75, rtol=3e-6)


# The ratio


def ratio_of(wcs, frame, shape):
    """Ratio of the areas at all pixels."""
    found = area_ratio(pixel_to_world(wcs), pixel_to_world(frame), world_to_pixel(frame), shape, Box.whole(shape))
    return found, np.concatenate([rows for _, rows in found.rows()])


def whole_sky(projection, cdelt=2.0):
    wcs = WCS(naxis=2)
    nx, ny = round(360 / cdelt), round(180 / cdelt)
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.cdelt, wcs.wcs.crpix, wcs.wcs.crval = [-cdelt, cdelt], [(nx + 1) / 2, (ny + 1) / 2], [0.0, 0.0]
    wcs.array_shape = (ny, nx)
    return wcs


def test_ratio_of_tangent_planes():
    """Far from its tangent point a plane has pixels of less sky, by the cube of the cosine."""
    wide, narrow = stars.tan_wcs(101, 3600.0 * 0.4), stars.tan_wcs(101, 0.1)
    x, y = np.meshgrid(np.arange(101.0) - 50, np.arange(101.0) - 50)
    cosine = 1.0 / np.sqrt(1.0 + np.radians(0.4) ** 2 * (x**2 + y**2))
    found, ratio = ratio_of(wide, narrow, (101, 101))
    # In the narrow plane, which is that of the same tangent point, it is as much less.
    np.testing.assert_allclose(ratio, (0.1 / 1440.0) ** 2, rtol=1e-6)
    sky = whole_sky("CEA", 1.0)  # of equal areas
    found, ratio = ratio_of(wide, sky, (101, 101))
    middle = ratio[50, 50]
    np.testing.assert_allclose(ratio, middle / cosine**3, rtol=1e-6)
    assert found.range() == (pytest.approx(middle), pytest.approx(middle / cosine.min() ** 3))


def test_ratio_of_distortions():
    """Of SIP and TPV it is the Jacobian of their polynomials."""
    n = 512
    wcs = stars.tan_wcs(n, 0.2, 20.0, 0.1)
    a, b = wcs.sip.a, wcs.sip.b
    x, y = np.meshgrid(np.arange(n) - (n - 1) / 2, np.arange(n) - (n - 1) / 2)
    du_dx, du_dy = 1 + 2 * a[2, 0] * x, 3 * a[0, 3] * y**2
    dv_dx, dv_dy = b[1, 1] * y + 2 * b[2, 1] * x * y, 1 + b[1, 1] * x + b[2, 1] * x**2
    _, ratio = ratio_of(wcs, stars.tan_wcs(n, 0.1), (n, n))
    np.testing.assert_allclose(ratio, 0.25 / (du_dx * dv_dy - du_dy * dv_dx), rtol=1e-6)

    header = stars.tan_wcs(n, 0.2).to_header()
    header.update({"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "PV1_1": 1.0, "PV2_1": 1.0, "PV1_4": 2.0, "PV1_9": 40.0})
    u, v = -x * 0.2 / 3600, y * 0.2 / 3600
    jacobian = 1 + 2 * 2.0 * u + 40.0 * v**2
    _, ratio = ratio_of(WCS(header), stars.tan_wcs(n, 0.2), (n, n))
    assert np.ptp(jacobian) > 0.05
    np.testing.assert_allclose(ratio, 1 / jacobian, rtol=1e-6)


@pytest.mark.parametrize("projection", ["CAR", "AIT", "MOL", "HPX", "SIN"])
def test_whole_sky(projection):
    """Poles, seams, and pixels that lie nowhere are in nobody's way, from a map of the sky onto another and a plane."""
    sky, car = whole_sky(projection), whole_sky("CAR")
    ny, nx = sky.array_shape
    cosine = np.cos(np.radians(np.clip(car.all_pix2world(0, np.arange(ny), 0)[1], -90, 90)))
    for wcs, frame in ((sky, car), (car, sky), (stars.tan_wcs(64, 600.0, centre=(180.0, 80.0)), sky)):
        shape = wcs.array_shape
        _, ratio = ratio_of(wcs, frame, shape)
        world = np.array(wcs.all_pix2world(*np.meshgrid(np.arange(shape[1]), np.arange(shape[0])), 0))
        there = np.isfinite(world).all(axis=0)
        there[there] = np.isfinite(world_to_pixel(frame)(*world[:, there])).all(axis=0)
        assert np.count_nonzero(np.isfinite(ratio[there])) >= 0.95 * np.count_nonzero(there)
        assert not np.isfinite(ratio[~there]).any()
        assert (ratio[np.isfinite(ratio)] > 0).all()
    if projection in ("AIT", "MOL"):  # of equal areas
        _, ratio = ratio_of(car, sky, (ny, nx))
        np.testing.assert_allclose(ratio[3:-3, 3:-3] * cosine[3:-3, None], ratio[ny // 2, nx // 2], rtol=2e-3)


def test_ratio_of_large_images(monkeypatch):
    """Where it is no polynomial, as at the pole of a map of the sky, that of large images is linear between points."""
    wcs = stars.tan_wcs(101, 600.0, centre=(0.0, 89.0))
    car = whole_sky("CAR", 1.0)
    _, everywhere = ratio_of(wcs, car, (101, 101))
    monkeypatch.setattr("gpures.wcs.area_ratio.AFFORDABLE", 1000)
    _, linear = ratio_of(wcs, car, (101, 101))
    assert (linear != everywhere).mean() > 0.8
    far = everywhere > 0.1 * everywhere.max()
    np.testing.assert_allclose(linear[far], everywhere[far], rtol=0.01)


def test_whole_sky_of_counts(tmp_path):
    """Counts of a map of the sky that are brought to another projection add up to what they were."""
    rng = np.random.default_rng(1)
    car = whole_sky("CAR")
    y, x = np.mgrid[:90, :180]
    data = np.zeros((90, 180))
    for x0, y0 in rng.uniform((10, 20), (170, 70), (30, 2)):
        data += np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 12.0)
    header = car.to_header()
    header["BUNIT"], header["EXPTIME"] = "photon", 1.0
    fits.writeto(tmp_path / "car.fits", data.astype("f4"), header)
    made = mosaic(tmp_path / "car.fits", output_wcs=whole_sky("AIT", 1.0))
    assert total(made) == pytest.approx(data.sum(), rel=1e-3)


def test_pixels_without_a_ratio_are_flagged():
    """Where no output pixel lies under a pixel it is left out, and what is beside it counts as ever."""
    plane = stars.tan_wcs(60, 3600.0 * 2.0, centre=(0.0, 90.0))
    wcs = whole_sky("CAR")
    model = scenes.dithered_models((90, 180), 1)[0] | {"wcs": wcs, "bunit_data": "adu/s", "data": np.ones((90, 180))}
    found, ratio = ratio_of(wcs, plane, (90, 180))
    lost = np.isnan(ratio)
    assert lost[:44].all()  # the south
    assert not lost[46:].any()
    before = model["dq"].copy()
    scaled = Scale(areas=found).applied(model, ["data"])
    np.testing.assert_array_equal(scaled["dq"], np.where(lost, before | DO_NOT_USE, before))
    np.testing.assert_allclose(scaled["data"], np.where(lost, 1.0, ratio), rtol=1e-6)
    np.testing.assert_array_equal(model["dq"], before)
    made = mosaic(model, output_wcs=plane)
    assert np.isfinite(made.model["data"]).sum() > 1000
    assert np.nanmax(made.model["data"]) < 1e3

"""Properties of the demo's simulation, comparison, files and command line."""

import importlib.resources
import math
import re

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from matplotlib.figure import Figure
from scipy.special import erf

from gpures import Resample, cli, demo, io, plot
from gpures.demo import compare, cosmic_rays, hst, nircam, pictures, scene, sky
from gpures.extras import install
from gpures.wcs.footprint import outline

FIELD = (nircam.NRCB5["CRVAL1"], nircam.NRCB5["CRVAL2"])


def hst_keywords():
    """WCS keywords of the HST exposure."""
    header = fits.getheader(hst.find_exposure(), "SCI")
    return {key: header[key] for key in header if re.fullmatch(r"CR(PIX|VAL)\d|CD\d_\d|[AB]_(ORDER|\d_\d)", key)}


@pytest.fixture(scope="module")
def two_stars():
    draft = scene.Draft()
    standards = np.array([(-1.2, 0.9, 4e-12), (1.3, -0.8, 6e-12)])
    for xi, eta, flux in standards:
        draft.add(xi, eta, flux)
    return draft.scene(*FIELD, standards, np.empty((0, 3)))


@pytest.fixture(scope="module")
def exposures(two_stars):
    return nircam.make_exposures(two_stars, shape=(112, 112))


@pytest.fixture(scope="module")
def frame(exposures):
    return sky.frame_around(exposures, 0.0315, 8)


def combine(models, frame, pixfrac=1.0):
    resample = Resample(
        {"wcs": frame},
        n_input_models=len(models),
        pixfrac=pixfrac,
        fillval="NaN",
        good_bits=nircam.GOOD_BITS,
        compute_err="from_var",
        propagate_dq=True,
    )
    for model in models:
        resample.add_model(model)
    resample.finalize()
    return resample.output_model


@pytest.fixture(scope="module")
def mosaic(exposures, frame):
    return combine(exposures, frame)


# World coordinates


@pytest.mark.parametrize(("keywords", "size"), [(nircam.NRCB5, 2048), (hst_keywords(), 200)])
def test_tan_sip_equals_astropy(keywords, size):
    shape = (size, size)
    x, y = np.random.default_rng(1).uniform(0, size - 1, (2, 500))
    got = sky.tan_sip_gwcs(keywords, shape)(x, y)
    expected = sky.fits_wcs(keywords, shape).all_pix2world(x, y, 0)
    # 1e-11 deg is a millionth of the smaller pixel's thousandth part, and float64 resolves 6e-14 deg.
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-11)


def test_sip_terms_matter():
    # Guards the test above: without SIP the corner of the detector would be pixels away.
    linear = {k: v for k, v in nircam.NRCB5.items() if not k.startswith(("A_", "B_"))}
    corner = sky.tan_sip_gwcs(nircam.NRCB5, (2048, 2048))(0.0, 0.0)
    moved = sky.tan_sip_gwcs(linear, (2048, 2048))(0.0, 0.0)
    assert np.hypot(corner[0] - moved[0], corner[1] - moved[1]) * 3600 > 5 * nircam.NATIVE_SCALE


@pytest.mark.parametrize("margin", [8, 0, -20])
def test_frame_has_the_margin(exposures, margin):
    """The exposures reach to the margin and no farther; the frame is north up, and has the scale that was asked for."""
    frame = sky.frame_around(exposures, 0.0315, margin)
    edges = [model["fits_wcs"].all_pix2world(*outline(0, 111, 0, 111, 16), 0) for model in exposures]
    ny, nx = frame.array_shape
    for v, n in zip(frame.invert(*np.hstack(edges), with_bounding_box=False), (nx, ny), strict=True):
        # A frame begins and ends where pixels do.
        assert -0.5 - 1e-6 < v.min() - margin < 0.5 + 1e-6
        assert n - 1.5 - 1e-6 < v.max() + margin < n - 0.5 + 1e-6
    (ra, dec), (ra_east, dec_east), (ra_north, dec_north) = (frame(x, y) for x, y in ((50, 50), (49, 50), (50, 51)))
    assert (dec_north - dec) * 3600 == pytest.approx(0.0315, rel=1e-6)
    assert (ra_east - ra) * 3600 * math.cos(math.radians(dec)) == pytest.approx(0.0315, rel=1e-6)
    np.testing.assert_allclose([ra_north, dec_east], [ra, dec], rtol=0, atol=1e-8)


def test_pixel_area_of_undistorted_frame():
    """Undistorted pixels have the area that their sides make."""
    scale = 0.0315 / 3600
    keywords = {"CRPIX1": 50.0, "CRPIX2": 40.0, "CRVAL1": 34.0, "CRVAL2": -5.0}
    wcs = sky.fits_wcs(keywords | {"CD1_1": -scale, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": scale}, (90, 110))
    area = sky.pixel_area_map(wcs, (90, 110))
    assert area.shape == (90, 110)
    np.testing.assert_allclose(area, 0.0315**2, rtol=1e-6)


def test_tangent_offsets_are_those_of_a_tangent_plane():
    """Offsets are a TAN WCS's, and their positions are those they were made of."""
    xi, eta = np.random.default_rng(3).uniform(-60, 60, (2, 50))
    ra, dec = sky.tangent_positions(xi, eta, *FIELD)
    np.testing.assert_allclose(sky.tangent_offsets(ra, dec, *FIELD), (xi, eta), rtol=0, atol=1e-6)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = FIELD
    wcs.wcs.cdelt = [1 / 3600, 1 / 3600]
    np.testing.assert_allclose((ra, dec), wcs.wcs_pix2world(xi, eta, 1), rtol=0, atol=1e-11)


# Scene and exposures


def test_render_equals_analytic_pixel_integrals():
    draft = scene.Draft()
    draft.add(0.02, -0.03, 1.0)
    scale = nircam.NATIVE_SCALE
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = FIELD
    wcs.wcs.crpix = [33.0, 33.0]
    wcs.wcs.cdelt = [scale / 3600, scale / 3600]
    image = scene.render(draft.scene(*FIELD, np.empty((0, 3)), np.empty((0, 3))), wcs, (65, 65))

    edges = scale * (np.arange(66) - 32.5)
    expected = np.zeros((65, 65))
    halo = scene.HALO_FRACTION
    for fwhm, share in ((scene.PSF_FWHM, 1 - halo), (scene.HALO_FWHM, halo)):
        sigma = fwhm * scene.SIGMA_PER_FWHM
        x = np.diff(0.5 * erf((edges - 0.02) / (math.sqrt(2) * sigma)))
        y = np.diff(0.5 * erf((edges + 0.03) / (math.sqrt(2) * sigma)))
        expected += share * np.outer(y, x)
    # The accuracy stated beside the number of nodes.
    np.testing.assert_allclose(image, expected, rtol=0, atol=1e-5)
    assert image.sum() == pytest.approx(1.0, abs=2e-5)


def test_dithers_sample_every_third_of_a_pixel(two_stars, exposures):
    ra, dec = sky.tangent_positions(np.zeros(1), np.zeros(1), *FIELD)
    phases = np.array([model["fits_wcs"].all_world2pix(ra, dec, 0) for model in exposures])[:, :, 0] % 1.0
    # Distortion and roll move the pattern by hundredths of a pixel.
    for axis in range(2):
        thirds = np.sort(np.round(3 * (phases[:, axis] - phases[4, axis])) % 3)
        np.testing.assert_array_equal(thirds, np.repeat([0, 1, 2], 3))


def test_exposure_arrays(exposures):
    for model in exposures:
        dq = model["dq"]
        assert model["data"].dtype == np.float32
        assert dq.dtype == np.uint32
        hot = (dq & nircam.HOT) != 0
        assert hot.any()
        np.testing.assert_array_equal(np.isnan(model["data"]), hot)
        assert np.all(dq[hot] & nircam.DO_NOT_USE)
        for name in ("var_rnoise", "var_poisson", "var_flat"):
            assert np.all(model[name][~hot] > 0)
    rays = [np.mean((m["dq"] & 5) == 5) for m in exposures]
    assert 0.0 < min(rays) < max(rays) < 0.2


def test_noise_has_the_stated_variance(exposures):
    for model in exposures[:3]:
        # Pixels that see hardly more than sky, with no flag.
        sky = (model["dq"] == 0) & (model["data"] < 0.2)
        variance = model["var_rnoise"] + model["var_poisson"] + 0 * model["data"]
        pull = (model["data"][sky] - nircam.SKY) / np.sqrt(variance[sky])
        n = sky.sum()
        # The stars' halos add a little signal on top; four standard errors for the scatter.
        assert abs(np.median(pull)) < 0.1
        robust = 0.7413 * np.subtract(*np.percentile(pull, (75, 25)))
        assert abs(robust - 1.0) < 4 * 1.2 / math.sqrt(n) + 0.02


def test_number_of_exposures_is_checked(two_stars):
    with pytest.raises(ValueError, match=r"expected 1 to 9, .* got 10"):
        nircam.make_exposures(two_stars, n_exposures=10)


# Mosaic against the sky


def test_noise_free_flux_is_conserved(two_stars, exposures, frame):
    # With full drops and no masks every photon arrives: the only errors left are the aperture's rim and its
    # share of the blur by drop and pixel.
    clean = []
    for model in exposures:
        wcs, shape = model["fits_wcs"], model["data"].shape
        area = sky.pixel_area_map(wcs, shape) / nircam.NATIVE_SCALE**2
        signal = scene.render(two_stars, wcs, shape) / nircam.NATIVE_SR / area + nircam.SKY
        ones = np.ones(shape, dtype=np.float32)
        clean.append(
            {
                **model,
                "data": signal.astype(np.float32),
                "dq": np.zeros(shape, dtype=np.uint32),
                **dict.fromkeys(("var_rnoise", "var_poisson", "var_flat"), ones),
            }
        )
    data = combine(clean, frame)["data"]
    ratio, _ = nircam.measure_standards(two_stars, data, frame, 0.0315, len(clean))
    np.testing.assert_allclose(ratio, 1.0, rtol=0, atol=1e-3)


def test_noisy_flux_is_recovered_within_the_noise(two_stars, exposures, mosaic, frame):
    ratio, sigma = nircam.measure_standards(two_stars, mosaic["data"], frame, 0.0315, len(exposures))
    # Masked pixels in an undersampled star's core cost another half per cent.
    assert np.all(np.abs(ratio - 1.0) < 4 * sigma + 5e-3)


def test_cosmic_rays_do_not_reach_the_mosaic(exposures, mosaic):
    rays = max(np.nanmax(model["data"][(model["dq"] & 5) == 5]) for model in exposures)
    stars = max(np.nanmax(model["data"][(model["dq"] & 1) == 0]) for model in exposures)
    assert np.nanmax(mosaic["data"]) <= stars
    assert rays > 1.0
    assert not np.any(mosaic["dq"] & nircam.DO_NOT_USE)


# Comparison


def rounded(model, seed=0):
    """Copy of a model with float32 rounding noise in every floating-point plane."""
    rng = np.random.default_rng(seed)
    new = dict(model)
    for name in (*compare.DATA_PLANES, *compare.VARIANCE_PLANES, "err"):
        noise = compare.EPS32 * rng.uniform(-1, 1, model[name].shape)
        new[name] = (model[name] * (1.0 + noise)).astype(np.float32)
    return new


def check(new, reference):
    return compare.compare_models(new, reference, 9, compare.contributions(0.5, 1.0))


@pytest.mark.parametrize(("scale_ratio", "pixfrac", "expected"), [(1.0, 0.0, 4), (1.0, 1.0, 16), (0.5, 0.7, 9)])
def test_contributions(scale_ratio, pixfrac, expected):
    assert compare.contributions(scale_ratio, pixfrac) == expected


def test_equal_models_agree_exactly(mosaic):
    agreement = check(mosaic, mosaic)
    assert agreement.ok
    assert agreement.worst == 0.0
    assert agreement.equal == {"con": 1.0, "dq": 1.0, "nan": 1.0}


def test_rounding_is_accepted(mosaic):
    agreement = check(rounded(mosaic), mosaic)
    assert agreement.ok
    assert 0.0 < agreement.worst < 1e-6


@pytest.mark.parametrize("name", ["data", "wht", "err", "var_rnoise", "var_poisson", "var_flat"])
def test_planted_difference_is_found(mosaic, name):
    new = rounded(mosaic)
    y, x = np.argwhere(np.isfinite(mosaic["data"]) & (mosaic["wht"] > np.nanmedian(mosaic["wht"])))[1000]
    new[name][y, x] *= 1.0001
    if name == "data":
        # Data are compared on the scale of their error where that is greater.
        new[name][y, x] += 1e-4 * mosaic["err"][y, x]
    agreement = check(new, mosaic)
    assert not agreement.ok
    assert [plane.name for plane in agreement.planes if not plane.ok] == [name]
    assert sum("out of bounds" in line for line in agreement.lines()) == 1


def test_widespread_small_difference_is_found(mosaic):
    # Below the bound of the maximum, above that of the 99.9th percentile.
    new = rounded(mosaic)
    new["data"] = (new["data"] * (1.0 + 8e-6)).astype(np.float32)
    plane = check(new, mosaic).planes[0]
    assert plane.maximum < plane.bound_maximum
    assert not plane.ok


@pytest.mark.parametrize(("key", "pattern"), [("con", "con"), ("dq", "dq"), ("data", "nan")])
def test_flipped_pixels_are_capped(mosaic, key, pattern):
    total = mosaic["data"].size
    places = np.argwhere(np.isfinite(mosaic["data"]))
    for fraction, ok in ((0.3 * compare.FLIPPED, True), (3 * compare.FLIPPED, False)):
        new = rounded(mosaic)
        new[key] = new[key].copy()
        for y, x in places[:: len(places) // math.ceil(fraction * total)][: math.ceil(fraction * total)]:
            if key == "data":
                new[key][y, x] = np.nan
            else:
                new[key][..., y, x] ^= 1
        agreement = check(new, mosaic)
        assert agreement.ok is ok
        assert agreement.equal[pattern] == pytest.approx(1 - fraction, abs=2 / total)


def test_slivers_are_compared_on_an_absolute_scale(mosaic):
    # A drop's corner of 1e-4 pixel**2 that moved by 1e-9 pixel: no fault of either program.
    reference, new = dict(mosaic), dict(mosaic)
    y, x = np.argwhere(np.isfinite(mosaic["data"]))[500]
    for model, overlap in ((reference, 1e-4), (new, 1e-4 + 2e-9)):
        model["wht"] = mosaic["wht"].copy()
        model["wht"][y, x] = overlap * np.median(mosaic["wht"][mosaic["wht"] > 0])
    assert check(new, reference).ok
    new["wht"][y, x] *= 1.1
    assert not check(new, reference).ok


def test_compare_wants_equal_planes(mosaic):
    with pytest.raises(ValueError, match="dq: expected an array in both models, got None in the new one"):
        check({**mosaic, "dq": None}, mosaic)
    with pytest.raises(ValueError, match="wht: expected the reference's shape"):
        check({**mosaic, "wht": mosaic["wht"][1:]}, mosaic)


# Files and pictures


def test_the_hst_mosaic_file_is_read_as_it_was_made(tmp_path):
    """The file tells how the mosaic was made, and weights of exposure times are drawn as seconds."""
    lines = []
    assert demo.run(tmp_path, ["hst"], lines.append)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hst_mosaic.fits", "hst_mosaic.png", "hst_planes.png"]
    path = tmp_path / "hst_mosaic.fits"
    model = io.read_mosaic(path)
    assert (model["weight_type"], model["exposure_time"], model["kernel"]) == ("exptime", 60.0, "square")
    assert model["bunit_data"] == "electron/s"
    (bar,) = plot.plane(path, "wht", Figure().add_subplot(projection=model["wcs"])).child_axes
    assert bar.get_ylabel() == "Weight ($\\mathrm{s}$)"
    with fits.open(path) as hdus:
        header = hdus[0].header
        assert (header["INSTRUME"], header["GOODBITS"], header["PIXSCALE"]) == ("ACS", hst.GOOD_BITS, 0.025)
        assert "sky has not been subtracted" in str(header["HISTORY"])
        assert hdus["INPUTS"].data["FILENAME"].tolist() == [hst.EXPOSURE]
        assert (hdus["WHT"].header["BUNIT"], hdus["VAR_FLAT"].header["BUNIT"]) == ("s", "electron2 s-2")


def test_cosmic_rays_are_cleaned(tmp_path, monkeypatch):
    """Few exposures of a small field: the demo tells how well, and draws the mosaic before and after."""
    whole = cosmic_rays.make_ray_exposures
    monkeypatch.setattr(cosmic_rays, "make_ray_exposures", lambda scene, n_exposures: whole(scene, 5, (192, 192)))
    lines = []
    assert demo.run(tmp_path, ["rays"], lines.append)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rays_mosaic.fits", "rays_mosaic.png"]
    (remark,) = (line for line in lines if "cosmic rays" in line)
    found, false, wrong = (float(number) for number in re.findall(r"\d+\.\d+", remark))
    assert found > 95.0
    assert false < 0.1
    assert wrong < 0.002
    model = io.read_mosaic(tmp_path / "rays_mosaic.fits")
    assert np.nanpercentile(model["data"], 50) == pytest.approx(0.0, abs=0.003)


def test_planes_picture(tmp_path, mosaic):
    style = pictures.Style("A test", "MJy", 0.1, 1.0, 0.1, (0.1, 1.0), {4: "jump"})
    path = tmp_path / "planes.png"
    pictures.planes_picture(path, mosaic, style, ("var_rnoise", "var_flat"))
    assert path.read_bytes().startswith(b"\x89PNG")


# HST


def test_hst_exposure():
    """The model has the file's pixels, and variances that make up its errors."""
    exposure = hst.load_exposure()
    with fits.open(hst.find_exposure()) as hdus:
        electrons = hdus["SCI"].data
    assert exposure["data"].shape == (200, 200)
    assert exposure["exposure_time"] == 60.0
    np.testing.assert_allclose(exposure["data"], electrons / 60.0, rtol=1e-6)
    # READNSEC, the amplifier that was read, states 4.71 electrons.
    np.testing.assert_allclose(exposure["var_rnoise"], (4.71 / 60.0) ** 2, rtol=1e-6)
    # The three parts make up ERR, except where the parts alone already exceed it.
    total = sum(exposure[name].astype(float) for name in ("var_rnoise", "var_poisson", "var_flat"))
    short = total > 1.0001 * exposure["err"].astype(float) ** 2
    assert short.mean() < 0.01
    np.testing.assert_allclose(np.sqrt(total[~short]), exposure["err"][~short], rtol=1e-4)
    scale = math.degrees(math.sqrt(exposure["pixelarea_steradians"])) * 3600
    # 0.0284 x 0.0248 arcsec along the axes, sheared.
    assert 0.0255 < scale < 0.0275


def test_hst_units_are_checked(tmp_path):
    with fits.open(hst.find_exposure()) as hdus:
        hdus["SCI"].header["BUNIT"] = "COUNTS"
        hdus.writeto(tmp_path / "counts.fits")
    with pytest.raises(ValueError, match="expected SCI in ELECTRONS, got BUNIT = 'COUNTS'"):
        hst.load_exposure(tmp_path / "counts.fits")


def test_hst_exposure_is_a_part_of_the_original():
    """Its pixels are those of the file that spherical-geometry has, at the place that LTV says, to the last bit."""
    package = importlib.resources.files("spherical_geometry")
    with (
        fits.open(str(package / "tests" / "data" / "j8bt06nyq_flt.fits")) as whole,
        fits.open(hst.find_exposure()) as part,
    ):
        x, y = (round(-part["SCI"].header[name]) for name in ("LTV1", "LTV2"))
        for name in ("SCI", "ERR", "DQ"):
            np.testing.assert_array_equal(part[name].data, whole[name].data[y : y + 200, x : x + 200])
        assert part[0].header["ROOTNAME"] == whole[0].header["ROOTNAME"]


# Command line


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("gpures ")


def test_missing_dependency_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(demo.REQUIRED, "no_such_module", "no-such-package")
    assert cli.main(["demo", "-o", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "no-such-package" in message
    assert install("demo") in message


def test_disagreement_sets_the_exit_status(monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "run", lambda outdir, datasets, echo: False)
    assert cli.main(["demo", "-o", str(tmp_path)]) == 1


def test_unknown_data_set(tmp_path):
    with pytest.raises(ValueError, match="expected data sets among hst, nircam, rays, got spitzer"):
        demo.run(tmp_path, ["spitzer"])

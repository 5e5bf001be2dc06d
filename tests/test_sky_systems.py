"""Systems of sky coordinates: exposures of one onto frames of another, by the command line, with FITS and gwcs."""

from __future__ import annotations

import asdf
import numpy as np
import pytest
import scenes
import starfield
from astropy import coordinates, units
from astropy.coordinates import SkyCoord, UnitSphericalRepresentation
from astropy.io import fits
from astropy.wcs import WCS
from starfield import gwcs_in, image_in, run

import gpures
from gpures import cli, io
from gpures.errors import UnsupportedWCSError
from gpures.exposure.pixmap import calc_pixmap
from gpures.wcs import celestial_frame
from gpures.wcs.sky_systems import SkySystem, conversion_between, system_of_frame
from gpures.wcs.sphere import separation, vectors

SYSTEMS = list(starfield.SYSTEMS)
OTHERS = [system for system in SYSTEMS if system not in ("ICRS", "FK5")]


def asdf_file(path, system, rotation=0.0):
    """The field with a gwcs, in ASDF."""
    image = image_in(system, rotation)
    tree = {"data": image, "wcs": gwcs_in(system, rotation), "exposure_time": 10.0, "unit": "ct/s"}
    asdf.AsdfFile(tree).write_to(path)
    return path


@pytest.mark.parametrize("system", OTHERS)
def test_onto_a_frame_in_icrs_and_back(tmp_path, system):
    """Stars of an exposure in any system are where the frame of another file, in another system, has them."""
    icrs = starfield.star_file(tmp_path / "icrs.fits")
    other = starfield.star_file(tmp_path / "other.fits", system, rotation=25.0)
    run(other, "-o", tmp_path / "onto_icrs.fits", "--like", icrs)
    starfield.assert_stars(tmp_path / "onto_icrs.fits")
    run(icrs, "-o", tmp_path / "onto_other.fits", "--like", other)
    starfield.assert_stars(tmp_path / "onto_other.fits", system)


# Systems that asdf has no words for.
NOT_IN_ASDF = ("Supergalactic", "Ecliptic")


@pytest.mark.parametrize("system", [system for system in OTHERS if system not in NOT_IN_ASDF])
def test_gwcs_by_its_reference_frame(tmp_path, system):
    """So it is with gwcs, in both roles, and what is written has FITS keywords of its system."""
    icrs = starfield.star_file(tmp_path / "icrs.fits")
    other = asdf_file(tmp_path / "other.asdf", system, 25.0)
    run(other, "-o", tmp_path / "onto_icrs.fits", "--like", icrs)
    starfield.assert_stars(tmp_path / "onto_icrs.fits")
    run(icrs, "-o", tmp_path / "onto_other.fits", "--like", other)
    starfield.assert_stars(tmp_path / "onto_other.fits", system)
    frame, axes, words = starfield.SYSTEMS[system]
    header = fits.getheader(tmp_path / "onto_other.fits", "SCI")
    assert (header["CTYPE1"][:4], header["CTYPE2"][:4]) == axes
    assert header.get("RADESYS") == {"FK5 by equinox": "FK5", "FK4 by equinox": "FK4"}.get(system, words.get("RADESYS"))
    (back,) = io.inputs(tmp_path / "onto_other.fits")
    assert system_of_frame(celestial_frame(back.wcs)) == system_of_frame(frame)
    if "FK4" in system:
        assert abs(celestial_frame(back.wcs).obstime.mjd - frame.obstime.mjd) < 0.01
    for name in ("onto_other.fits", "onto_icrs.fits"):  # a mosaic is an exposure
        run(tmp_path / name, "-o", tmp_path / f"again_{name}", "--like", icrs)
        starfield.assert_stars(tmp_path / f"again_{name}")


@pytest.mark.parametrize("system", NOT_IN_ASDF)
def test_gwcs_that_asdf_has_no_words_for(tmp_path, system):
    """A model with such a gwcs is co-added, in both roles; the FITS file has its keywords, and no gwcs."""
    icrs = starfield.star_file(tmp_path / "icrs.fits")
    model = scenes.model_of(gwcs_in(system, 25.0), starfield.SHAPE, data=image_in(system, 25.0))
    model |= {"dq": np.zeros(starfield.SHAPE, np.uint32), "var_rnoise": np.ones(starfield.SHAPE, np.float32)}
    gpures.mosaic(model, tmp_path / "a.fits", output_wcs=icrs, progress=False, backend="cpu")
    starfield.assert_stars(tmp_path / "a.fits")
    gpures.mosaic(icrs, tmp_path / "b.fits", output_wcs=model["wcs"], progress=False, backend="cpu")
    starfield.assert_stars(tmp_path / "b.fits", system)
    with fits.open(tmp_path / "b.fits") as hdus:
        assert "ASDF" not in hdus
    with pytest.raises(ValueError, match="ASDF has no words for"):
        gpures.mosaic(icrs, tmp_path / "b.asdf", output_wcs=model["wcs"], progress=False, backend="cpu")


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_frame_of_its_own(tmp_path, system):
    """Exposures of one system make a frame in it; those of several, in whichever order, one in ICRS."""
    one = starfield.star_file(tmp_path / "one.fits", system)
    two = starfield.star_file(tmp_path / "two.fits", system, rotation=70.0)
    run(one, two, "-o", tmp_path / "own.fits")
    starfield.assert_stars(tmp_path / "own.fits", system)
    if system in OTHERS:
        icrs = starfield.star_file(tmp_path / "icrs.fits", rotation=40.0)
        for name, files in (("first.fits", (one, icrs)), ("last.fits", (icrs, one, two))):
            run(*files, "-o", tmp_path / name)
            starfield.assert_stars(tmp_path / name)
            assert fits.getheader(tmp_path / name, "SCI")["RADESYS"] == "ICRS"
            # What is in one place covers no more than that.
            assert max(fits.getdata(tmp_path / name, "SCI").shape) < 1.5 * max(starfield.SHAPE)


def test_what_is_said_of_mixtures(tmp_path, caplog):
    """A mixture is said once, with two of the files; ICRS and FK5 of J2000 stay as they are."""
    files = [
        starfield.star_file(tmp_path / f"{k}.fits", system)
        for k, system in enumerate(("ICRS", "Galactic", "FK4", "FK5"))
    ]
    plan = gpures.mosaicking.plan.make_plan(files)
    assert caplog.text.count("all are converted") == 1
    assert "0.fits[PRIMARY] has sky coordinates in ICRS, and 1.fits[PRIMARY] in GALACTIC" in caplog.text
    assert len(plan.footprints) == 4
    caplog.clear()
    gpures.mosaicking.plan.make_plan([files[0], files[3]])
    assert "taken as the same" in caplog.text


def test_the_date_may_stand_in_the_primary_header(tmp_path):
    """FK4 turns with the date of observation, which multi-extension files have in the primary header."""
    header = starfield.header_in("FK4 of a date")
    pixels = starfield.pixels_of(WCS(header), starfield.SYSTEMS["FK4 of a date"][0])
    date = header.pop("DATE-OBS")
    header.pop("MJD-OBS")
    primary = fits.PrimaryHDU(header=fits.Header({"DATE-OBS": date}))
    fits.HDUList([primary, fits.ImageHDU(starfield.image_of(pixels), header, name="SCI")]).writeto(tmp_path / "x.fits")
    (image,) = io.inputs(tmp_path / "x.fits")
    assert celestial_frame(image.wcs).obstime.mjd == pytest.approx(starfield.EPOCH.mjd, abs=0.01)


def test_the_way_of_the_pixel_map(caplog):
    """`calc_pixmap` converts, whatever it is given, and changes none of the WCS."""
    onto = WCS(starfield.header_in("Galactic"))
    onto.array_shape = starfield.SHAPE
    for wcs in (gwcs_in("FK4 of a date"), WCS(starfield.header_in("FK4 of a date"))):
        wcs.array_shape = starfield.SHAPE
        before = celestial_frame(wcs)
        got = calc_pixmap(wcs, onto, starfield.SHAPE, tolerance=0).array()
        y, x = np.indices(starfield.SHAPE)
        lon, lat = (wcs if hasattr(wcs, "forward_transform") else wcs.wcs_pix2world)(
            *((x, y) if hasattr(wcs, "forward_transform") else (x.ravel(), y.ravel(), 0))
        )
        there = SkyCoord(lon * units.deg, lat * units.deg, frame=before).galactic
        expected = onto.wcs_world2pix(there.l.deg.ravel(), there.b.deg.ravel(), 0)
        np.testing.assert_allclose(got.reshape(-1, 2), np.transpose(expected), rtol=0, atol=1e-8)
        assert celestial_frame(wcs).is_equivalent_frame(before)
    spline = calc_pixmap(gwcs_in("FK4", shape=(300, 300)), onto, (300, 300))
    full = calc_pixmap(gwcs_in("FK4", shape=(300, 300)), onto, (300, 300), tolerance=0)
    assert spline.full is None
    np.testing.assert_allclose(spline.array(), full.array(), rtol=0, atol=1e-6)


FRAMES = [
    coordinates.ICRS(),
    coordinates.FK5(equinox="J1950"),
    coordinates.FK4(),
    coordinates.FK4(equinox="B1900", obstime="J1980"),
    coordinates.FK4NoETerms(),
    coordinates.Galactic(),
    coordinates.Supergalactic(),
    coordinates.BarycentricMeanEcliptic(),
    coordinates.GeocentricTrueEcliptic(obstime="J2010"),
]


@pytest.mark.filterwarnings("ignore:ERFA function:erfa.core.ErfaWarning")
@pytest.mark.parametrize("begin", FRAMES, ids=lambda frame: frame.name)
@pytest.mark.parametrize("end", FRAMES, ids=lambda frame: frame.name)
def test_conversions_are_astropys(begin, end):
    """Between any two, poles and the edge of longitude included, directions are where astropy has them."""
    convert = conversion_between(system_of_frame(begin), system_of_frame(end))
    rng = np.random.default_rng(1)
    lon = np.concatenate([rng.uniform(0, 360, 50), [0.0, 360.0, -10.0, 370.0, 12.0]])
    lat = np.concatenate([np.degrees(np.arcsin(rng.uniform(-1, 1, 50))), [90.0, 0.0, -90.0, 5.0, np.nan]])
    if convert is None:
        assert begin.is_equivalent_frame(end)
        return
    got = convert(lon, lat)
    given = UnitSphericalRepresentation(lon[:-1] * units.deg, lat[:-1] * units.deg)
    expected = begin.realize_frame(given).transform_to(end).spherical
    apart = separation(vectors(got[0][:-1], got[1][:-1]), vectors(expected.lon.deg, expected.lat.deg))
    assert apart.max() * 3600 < 2e-9
    assert np.isnan(got[0][-1])
    assert np.isnan(got[1][-1])


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        ({"CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN"}, "HPLN"),
        ({"CTYPE1": "HLON-TAN", "CTYPE2": "HLAT-TAN"}, "HLON"),
        ({"CTYPE1": "ELON-TAN", "CTYPE2": "ELAT-TAN", "RADESYS": "FK4"}, "ECLIPTIC of FK4 (B1950)"),
    ],
    ids=["helioprojective", "helioecliptic", "old ecliptic"],
)
def test_systems_that_cannot_be_converted(tmp_path, capsys, cards, words):
    """What astropy can't convert is an error that names the file and both systems; alone it is one, too."""
    icrs = starfield.star_file(tmp_path / "icrs.fits")
    other = tmp_path / "other.fits"
    header = starfield.header_in()
    header.update(cards)
    fits.writeto(other, np.ones(starfield.SHAPE, "f4"), header)
    output = tmp_path / "m.fits"
    from_other = f"other.fits[PRIMARY]: Sky coordinates in {words}"
    for files, begin, end in (
        ([other, "--like", icrs], from_other, "ICRS"),
        ([icrs, "--like", other], "icrs.fits[PRIMARY]: Sky coordinates in ICRS", words),
        ([icrs, other], from_other, "ICRS"),
        ([other, icrs], from_other, "ICRS"),
    ):
        assert cli.main(["mosaic", *map(str, files), "-o", str(output), "-q", "--backend", "cpu"]) == 2
        assert f"{begin} can't be converted to {end}." in capsys.readouterr().err
    assert cli.main(["mosaic", str(other), "-o", str(output), "-q", "--backend", "cpu"]) == 2
    assert f"other.fits[PRIMARY]: no frame can be made in {words}. Give --like." in capsys.readouterr().err
    run(other, "--like", other, "-o", output)  # as it is
    assert np.nanmax(fits.getdata(output, "SCI")) == 1.0
    run(icrs, other, "--skip-bad", "-o", tmp_path / "skipped.fits")
    starfield.assert_stars(tmp_path / "skipped.fits")


def test_a_frame_that_needs_a_distance():
    """A heliocentric frame has directions only of things at a distance."""
    helio = system_of_frame(coordinates.HeliocentricMeanEcliptic())
    with pytest.raises(UnsupportedWCSError, match=r"can't be converted to ICRS: .*distance"):
        conversion_between(helio, system_of_frame(coordinates.ICRS()))
    with pytest.raises(UnsupportedWCSError, match=r"in MOON can't be converted to ICRS\.$"):
        conversion_between(SkySystem("MOON"), system_of_frame(coordinates.ICRS()))

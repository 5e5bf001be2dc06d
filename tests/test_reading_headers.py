"""Headers as they come: WCS of odd forms, cubes, dates, and files in which something is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from fits_forms import QUIET, flux_at, full, hdu, header, star, write

import gpures
from gpures import io
from gpures.cli import main

# A card behind EXPTIME, as it lies in a file.
CARDS = {
    "CONTINUE  'stray'": None,
    "CONTINUE": None,
    "CONTINUE  no text": None,
    "FOO     = 'unclosed": None,
    "FOO     = 1.0.0": None,
    "BAD KEY = 3": None,
    "lower   = 3": None,
    "DATE-OBS= 2020-01-01": None,
}

# The axes of a cube.
AXES = {
    "ra": ("RA---TAN", 150.0, 32.5, -0.5 / 3600, "deg"),
    "dec": ("DEC--TAN", 2.0, 32.5, 0.5 / 3600, "deg"),
    "freq": ("FREQ", 1e9, 1.0, 1e6, "Hz"),
    "stokes": ("STOKES", 1.0, 1.0, 1.0, ""),
}


def plain(path, data=None, **keywords):
    return write(path, primary=star() if data is None else data, head=header(**keywords))


def cube(path, order, shape):
    """A cube whose axes are named in FITS' order, of pixels that are all different."""
    head = fits.Header({"EXPTIME": 30.0, "BUNIT": "adu/s"})
    for k, axis in enumerate(order, 1):
        for keyword, value in zip(("CTYPE", "CRVAL", "CRPIX", "CDELT", "CUNIT"), AXES[axis], strict=True):
            head[f"{keyword}{k}"] = value
    data = np.arange(np.prod(shape), dtype="f4").reshape(shape)
    fits.writeto(path, data, head)
    return data


# WCS


@pytest.mark.parametrize("card", CARDS)
def test_odd_cards(tmp_path, card):
    """A card that is no FITS does no harm to the WCS, nor to the rest."""
    content = plain(tmp_path / "x.fits").read_bytes()
    begin = content.index(b"EXPTIME") + 80
    end = content.index(b"END".ljust(80))
    head = content[:begin] + card.encode().ljust(80) + content[begin:end] + b"END"
    (tmp_path / "y.fits").write_bytes(head.ljust(2880) + content[2880:])
    (image,) = io.inputs(tmp_path / "y.fits")
    assert image.exposure_time == 30.0
    np.testing.assert_allclose(image.wcs.wcs_pix2world(3, 4, 0), WCS(header()).wcs_pix2world(3, 4, 0), rtol=1e-13)
    assert "CONTINUE" not in image.header
    np.testing.assert_array_equal(image.read()["data"], star())


@pytest.mark.parametrize(
    ("given", "name", "equinox"),
    [
        ("J2000", "FK5", 2000),
        ("J2000.0", "FK5", 2000),
        ("FK5/J2000", "FK5", 2000),
        ("fk5 ", "FK5", 2000),
        ("B1950", "FK4", 1950),
        ("fk4-no-e", "FK4-NO-E", 1950),
        ("icrs", "ICRS", np.nan),
        ("ICRS", "ICRS", np.nan),
        ("whatever", "ICRS", np.nan),
    ],
)
def test_names_of_frames(tmp_path, caplog, given, name, equinox):
    """RADESYS is what it means; where it means nothing, that is said."""
    (image,) = io.inputs(plain(tmp_path / "x.fits", RADESYS=given))
    assert image.wcs.wcs.radesys == name
    assert image.wcs.wcs.equinox == pytest.approx(equinox, nan_ok=True)
    assert (f"RADESYS is {given.strip()!r}" in caplog.text) == (given.strip().upper() != name)
    made = gpures.mosaic(tmp_path / "x.fits", **QUIET)
    assert np.nansum(made.model["data"]) == pytest.approx(1000, rel=1e-4)


def test_apparent_places(tmp_path):
    """Apparent places are refused."""
    with pytest.raises(io.FileError, match=r"x\.fits: the WCS of \[PRIMARY\] can't be used: .*GAPPT"):
        io.inputs(plain(tmp_path / "x.fits", RADESYS="GAPPT"))


@pytest.mark.parametrize(
    ("keyword", "text"),
    [("CRVAL1", "150.0"), ("CRPIX2", "32.5 "), ("CDELT1", f"{-0.5 / 3600:.12E}".replace("E", "D")), ("LONPOLE", "180")],
)
def test_numbers_as_text(tmp_path, caplog, keyword, text):
    """A number of the WCS that is written as text is a number; wcslib would take its default without a word."""
    (image,) = io.inputs(plain(tmp_path / "x.fits", **{keyword: text}))
    np.testing.assert_allclose(image.wcs.wcs_pix2world(3, 4, 0), WCS(header()).wcs_pix2world(3, 4, 0), rtol=1e-11)
    assert f"x.fits: [PRIMARY] has numbers written as text, read as numbers: {keyword}" in caplog.text


@pytest.mark.parametrize(
    ("keyword", "value"), [("CRVAL1", "150 d"), ("CRPIX1", True), ("CRVAL2", None), ("CD1_1", "x")]
)
def test_no_numbers(tmp_path, keyword, value):
    """What is no number there is refused, with the keyword."""
    with pytest.raises(
        io.FileError, match=rf"x\.fits: the WCS of \[PRIMARY\] is damaged: {keyword} is .*expected a num"
    ):
        io.inputs(plain(tmp_path / "x.fits", **{keyword: value}))


@pytest.mark.parametrize(("text", "frame"), [("2000.0", "FK5"), ("B1950", "FK4"), ("J2000", "FK5")])
def test_equinox_as_text(tmp_path, text, frame):
    """An equinox that is written as text is one."""
    (image,) = io.inputs(plain(tmp_path / "x.fits", EQUINOX=text))
    assert image.wcs.wcs.radesys == frame


@pytest.mark.parametrize("keyword", ["RADESYS", "RADECSYS"])
def test_inherited_frame(tmp_path, keyword):
    """A frame that stands in the primary header is that of an image which inherits it, its equinox included."""
    path = tmp_path / "x.fits"
    for inherits, frame, equinox in ((True, "FK4-NO-E", 1975.0), (None, "ICRS", np.nan)):
        head = header() if inherits is None else header(INHERIT=True)
        write(path, hdu(star(), "a1", head), head=fits.Header({keyword: "FK4-NO-E", "EQUINOX": 1975.0}))
        wcs = io.inputs(path)[0].wcs.wcs
        assert (wcs.radesys, wcs.equinox) == (frame, pytest.approx(equinox, nan_ok=True))


@pytest.mark.parametrize("primary", [None, "LINEAR"])
def test_alternate_wcs(tmp_path, caplog, primary):
    """Where the primary WCS is none of the sky, an alternate one is taken, which is said."""
    head = header()
    for keyword in list(head):
        if keyword[:2] in ("CT", "CR", "CD", "CU"):
            head[f"{keyword}B"] = head.pop(keyword)
    if primary is not None:
        head.update({"CTYPE1": primary, "CTYPE2": primary})
    path = write(tmp_path / "x.fits", primary=star(), head=head)
    made = gpures.mosaic(path, tmp_path / "m.fits", output_wcs=path, **QUIET)
    flux, off = flux_at(made, *WCS(header()).wcs_pix2world(31, 31, 0))
    assert flux == pytest.approx(1000, rel=1e-4)
    assert off == pytest.approx((0, 0), abs=0.01)
    assert "[PRIMARY] has no WCS of the sky but under the letter B" in caplog.text
    assert {"CTYPE1", "CTYPE2"} <= set(fits.getheader(tmp_path / "m.fits", 1))
    assert len(io.inputs(tmp_path / "m.fits")) == 1


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"CTYPE1": ""}, "has no WCS: its header has no CTYPE1 and CTYPE2"),
        ({"CTYPE1": "LINEAR"}, "the WCS of .* is damaged"),
        ({"CTYPE1": "RA---XYZ"}, "the WCS of .* is damaged"),
        ({"CUNIT1": "furlong"}, "the WCS of .* is damaged"),
        ({"CDELT1": 0.0}, "the WCS of .* is damaged"),
        ({"CTYPE1": "WAVE", "CTYPE2": "LINEAR", "CUNIT1": "m"}, "the WCS of .* can't be used"),
        ({"CTYPE3": "FREQ", "WCSAXES": 3, "PC1_3": 0.5, "PC3_1": 0.5}, "the WCS of .* is damaged"),
    ],
)
def test_wcs_that_are_none(tmp_path, keywords, words, capsys):
    """What is no WCS of the sky is an error that names file and extension, and is skipped where that is wished."""
    path = plain(tmp_path / "x.fits", **keywords)
    with pytest.raises(io.FileError, match=rf"x\.fits: .*{words}"):
        io.inputs(path)
    good = plain(tmp_path / "y.fits")
    assert main(["mosaic", str(path), str(good), "-q", "--skip-bad", "-o", str(tmp_path / "m.fits")]) == 0
    assert "x.fits" in capsys.readouterr().err
    with pytest.raises(io.FileError, match=r"x\.fits"):
        io.read_wcs(path)


# Cubes


@pytest.mark.parametrize(
    ("order", "shape"),
    [
        (["ra", "dec", "freq", "stokes"], (1, 1, 64, 60)),
        (["ra", "dec", "freq"], (1, 64, 60)),
        (["freq", "ra", "dec"], (64, 60, 1)),
        (["ra", "freq", "dec"], (64, 1, 60)),
        (["dec", "ra", "freq"], (1, 64, 60)),
    ],
)
def test_cubes_of_one_plane(tmp_path, order, shape):
    """Axes of one pixel do not count, wherever they stand; the sky is that of the two others."""
    data = cube(tmp_path / "x.fits", order, shape)
    (image,) = io.inputs(tmp_path / "x.fits")
    assert image.shape == tuple(image.wcs.array_shape) == (64, 60)
    np.testing.assert_array_equal(image.read()["data"], data.reshape(64, 60))
    assert io.read_wcs(tmp_path / "x.fits").array_shape == (64, 60)
    np.testing.assert_array_equal(io.read_mosaic(tmp_path / "x.fits")["data"], data.reshape(64, 60))
    i, j = (3, 5)
    sky = dict(zip([axis for axis in order if axis in ("ra", "dec")], image.wcs.wcs_pix2world(i, j, 0), strict=True))
    x, y = (i, j) if order.index("ra") < order.index("dec") else (j, i)
    assert [sky["ra"], sky["dec"]] == pytest.approx(list(map(float, WCS(header()).wcs_pix2world(x, y, 0))), abs=1e-12)


def test_wcs_of_more_axes_than_the_image(tmp_path):
    """WCSAXES=4 of an image of two axes, with distortions or without."""
    more = {"CTYPE3": "FREQ", "CTYPE4": "STOKES", "WCSAXES": 4, "CRVAL3": 1e9}
    sip = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-4}
    for keywords in ({}, sip):
        (image,) = io.inputs(plain(tmp_path / "x.fits", **keywords, **more))
        expected = WCS(header(**keywords)).all_pix2world(3, 4, 0)
        np.testing.assert_allclose(image.wcs.all_pix2world(3, 4, 0), expected, rtol=1e-13)


@pytest.mark.parametrize(
    ("order", "shape"), [(["ra", "dec", "freq"], (3, 64, 60)), (["freq", "ra", "dec"], (64, 60, 3))]
)
def test_planes_of_cubes(tmp_path, order, shape):
    """Of a cube the plane that the user says is an image; without that it is an error which says so."""
    path = tmp_path / "x.fits"
    data = cube(path, order, shape)
    data = data if order[0] == "ra" else np.moveaxis(data, -1, 0)
    for plane in range(3):
        (image,) = io.inputs(path, reading=io.Reading(plane=plane))
        np.testing.assert_array_equal(image.read()["data"], data[plane])
        assert image.nbytes == 5 * 64 * 60
    made = gpures.mosaic(path, plane=2, output_wcs=path, **QUIET)
    np.testing.assert_array_equal(made.model["data"], data[2])
    with pytest.raises(io.FileError, match=r"x\.fits: .*\[PRIMARY\] is a cube: 'plane' says which, from 0 to 2"):
        io.inputs(path)
    with pytest.raises(io.FileError, match=r"x\.fits: \[PRIMARY\] has the planes 0 to 2, and 'plane' is 3"):
        io.inputs(path, reading=io.Reading(plane=3))


def test_companions_of_cubes(tmp_path):
    """Errors and masks of a cube are of the same plane."""
    head = header(CTYPE3="FREQ", CRVAL3=1e9)
    planes = np.arange(3, dtype="f4")[:, None, None] * np.ones((1, 64, 64), "f4")
    path = write(tmp_path / "x.fits", hdu(planes + 1, "SCI", head), hdu(planes + 5, "ERR"), hdu(full(0, "u1"), "MASK"))
    (model,) = io.read(path, reading=io.Reading(plane=1))
    assert (model["data"][0, 0], model["err"][0, 0]) == (2, 6)


def test_more_than_one_plane(tmp_path, capsys):
    """A cube of which a number tells no plane is an error without a traceback, also on the command line."""
    cube(tmp_path / "x.fits", ["ra", "dec", "freq", "stokes"], (2, 3, 64, 60))
    assert main(["mosaic", str(tmp_path / "x.fits"), "--plane", "1", "-q", "-o", str(tmp_path / "m.fits")]) == 2
    assert "a number tells no plane of it" in capsys.readouterr().err
    cube(tmp_path / "y.fits", ["ra", "dec", "freq"], (2, 64, 60))
    assert main(["mosaic", str(tmp_path / "y.fits"), "-q", "-o", str(tmp_path / "m.fits")]) == 2
    assert "[PRIMARY] is a cube: --plane says which, from 0 to 1" in capsys.readouterr().err


# Dates and times


@pytest.mark.parametrize(
    "starts",
    [
        ({"EXPSTART": 57000.7}, {"EXPSTART": "57000.5"}),
        ({"EXPSTART": 57000.7}, {"DATE-OBS": "2014-12-09T12:00:00Z"}),
        ({"MJD-OBS": 57000.5}, {"MJD-OBS": "unknown"}),
        ({"DATE-OBS": "2014-12-09T12:00:00"}, {"DATE-OBS": "2014-12-08"}),
        ({"EXPSTART": 57000.5}, {"EXPSTART": True}),
    ],
)
def test_dates_of_two_types(tmp_path, starts):
    """The first start is that of the mosaic, however it is written and where it stands; what is none does not count."""
    paths = [plain(tmp_path / f"{k}.fits", **keywords) for k, keywords in enumerate(starts)]
    for order in (paths, paths[::-1]):
        assert gpures.mosaic(order, **QUIET).model["start_time"] == 57000.5


# Files in which something is wrong


def test_whatever_is_wrong(tmp_path, caplog, capsys):
    """Files of which each is bad in its own way are skipped, with the reason of each, and without any traceback."""
    good = plain(tmp_path / "good.fits")
    bad = {
        "text.fits": lambda path: path.write_text("Dear reader"),
        "empty.fits": lambda path: path.touch(),
        "cut.fits": lambda path: path.write_bytes(good.read_bytes()[:9000]),
        "table.fits": lambda path: fits.BinTableHDU(np.zeros(3, [("a", "f4")])).writeto(path),
        "blind.fits": lambda path: fits.writeto(path, full(1)),
        "cube.fits": lambda path: cube(path, ["ra", "dec", "freq"], (2, 64, 60)),
        "two.fits": lambda path: write(path, hdu(star(), None, header()), primary=star(), head=header()),
        "complex.fits": lambda path: plain(path, CTYPE1="RA---XXX"),
        "shape.fits": lambda path: write(path, hdu(full(1)[:9], "ERR"), primary=full(1), head=header()),
        "float.fits": lambda path: write(path, hdu(full(0.5), "DQ"), primary=full(1), head=header()),
        "words.asdf": lambda path: path.write_text("#ASDF 1.0.0\n"),
    }
    for name, make in bad.items():
        make(tmp_path / name)
    late = {"float.fits"}  # which shows when its pixels are read
    names = [str(tmp_path / name) for name in bad]
    made = gpures.mosaic([*names, str(good), str(tmp_path / "none.fits")], skip_bad=True, **QUIET)
    assert made.added == ["good.fits[PRIMARY]"]
    assert len(made.skipped) == len(bad) + 1
    for name in bad:
        assert f"Skipped: {tmp_path / name}" in caplog.text
        status = main(["mosaic", str(tmp_path / name), "-q", "-o", str(tmp_path / "m.fits")])
        assert status == (1 if name in late else 2)
        assert name in capsys.readouterr().err


def test_long_texts(tmp_path):
    """Texts that go on over several cards stay as they are."""
    text = "a long text " * 20
    try:
        path = plain(tmp_path / "x.fits", LONG=text, **{"HIERARCH ESO LONG": text})
    except ValueError:
        pytest.skip("this astropy does not write long texts under long keywords")
    header_of = io.inputs(path)[0].header
    assert header_of["LONG"].strip() == header_of["ESO LONG"].strip() == text.strip()

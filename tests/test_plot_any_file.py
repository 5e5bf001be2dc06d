"""``gpures plot`` of any FITS image: whatever its extensions, its type, its WCS, or that it has none."""

from __future__ import annotations

import numpy as np
import pytest
import starfield
from astropy.io import fits
from matplotlib.figure import Figure

from gpures import cli, plot

IMAGE = starfield.image_of([(10.0, 10.0), (20.0, 25.0), (40.0, 30.0), (55.0, 40.0), (60.0, 60.0)])
HEADER = starfield.header_in()


def with_cards(**cards):
    """The field's header with other cards."""
    header = HEADER.copy()
    header.update(cards)
    return header


def extensions(**images):
    """An image SCI, and others by their names."""
    others = [fits.ImageHDU(image, name=name) for name, image in images.items()]
    return [fits.PrimaryHDU(), fits.ImageHDU(IMAGE, HEADER, name="SCI"), *others]


NAN = np.where(IMAGE > 5, np.nan, IMAGE)
FILES = {
    "plain": [fits.PrimaryHDU(IMAGE, HEADER)],
    "no WCS": [fits.PrimaryHDU(IMAGE)],
    "integers": [fits.PrimaryHDU(IMAGE.astype(np.int16), HEADER)],
    "bytes": [fits.PrimaryHDU(IMAGE.astype(np.uint8))],
    "BLANK": [fits.PrimaryHDU(IMAGE.astype(np.int16), with_cards(BLANK=0))],
    "NaN": [fits.PrimaryHDU(NAN, HEADER)],
    "nothing but NaN": [fits.PrimaryHDU(np.full_like(IMAGE, np.nan), HEADER)],
    "constant": [fits.PrimaryHDU(np.ones_like(IMAGE), HEADER)],
    "infinite": [fits.PrimaryHDU(np.where(IMAGE > 5, np.inf, IMAGE), HEADER)],
    "cube": [fits.PrimaryHDU(np.stack([IMAGE, 2 * IMAGE]), HEADER)],
    "cube without a WCS": [fits.PrimaryHDU(np.stack([IMAGE, 2 * IMAGE]))],
    "four axes": [fits.PrimaryHDU(IMAGE[None, None], HEADER)],
    "chips": [fits.PrimaryHDU(), *(fits.ImageHDU(IMAGE, HEADER, name=f"ccd{k:02d}") for k in range(3))],
    "packed": [fits.PrimaryHDU(), fits.CompImageHDU(IMAGE, HEADER)],
    "a row": [fits.PrimaryHDU(IMAGE[:1])],
    "no projection": [fits.PrimaryHDU(IMAGE, with_cards(CTYPE1="RA---XXX", CTYPE2="DEC--XXX"))],
    "no sky": [fits.PrimaryHDU(IMAGE, with_cards(CTYPE1="LINEAR", CTYPE2="LINEAR"))],
    "no unit": [fits.PrimaryHDU(IMAGE, with_cards(BUNIT="weird // unit"))],
    "flags": extensions(ERR=IMAGE, DQ=(IMAGE > 1).astype(np.int16)),
    "flags of floats": extensions(DQ=IMAGE),
    "another CON": extensions(CON=IMAGE),
    "no weight": extensions(WHT=0 * IMAGE),
}
# Drawn on pixels, and why.
WITHOUT = {"no WCS", "bytes", "cube without a WCS", "a row", "no projection", "no sky"}


@pytest.mark.parametrize("kind", FILES)
def test_any_image(tmp_path, capsys, kind):
    """It is drawn; where there is no WCS that can be used, on pixels, and with a word of it."""
    path, picture = tmp_path / "x.fits", tmp_path / "x.png"
    fits.HDUList([hdu.copy() for hdu in FILES[kind]]).writeto(path)
    assert cli.main(["plot", str(path), "-o", str(picture), "--dpi", "30"]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    told = capsys.readouterr().err
    assert ("Axes are numbered in pixels." in told) == (kind in WITHOUT)
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("system", "words"),
    [
        ("Galactic", ("Galactic longitude", "Galactic latitude")),
        ("Ecliptic", ("Ecliptic longitude", "Ecliptic latitude")),
        ("FK4", ("Right ascension (FK4)", "Declination (FK4)")),
        ("ICRS", ("Right ascension (ICRS)", "Declination (ICRS)")),
    ],
)
def test_axes_have_the_names_of_their_system(tmp_path, system, words):
    """Axes are called after the system of sky coordinates."""
    path = starfield.star_file(tmp_path / "x.fits", system)
    figure = plot.overview(path, Figure(), planes=["data"])
    axes = figure.axes[0]
    assert tuple(axes.coords[k].get_axislabel() for k in (0, 1)) == words


def test_around_a_position(tmp_path, capsys):
    """A part around a position, in degrees or hours; without a WCS there is none, nor a plane that is not there."""
    path = starfield.star_file(tmp_path / "x.fits")
    picture = str(tmp_path / "x.png")
    for around in (("150.1", "2.2"), ("10:00:24", "+02:12:00")):
        arguments = [str(path), "-o", picture, "--dpi", "30", "--around", *around, "--size", "5"]
        assert cli.main(["plot", *arguments]) == 0
    assert cli.main(["plot", str(path), "-o", picture, "--around", "150.1", "-2.2"]) == 2
    fits.writeto(tmp_path / "y.fits", IMAGE)
    capsys.readouterr()
    assert cli.main(["plot", str(tmp_path / "y.fits"), "-o", picture, "--around", "1", "2"]) == 2
    assert "gpures plot: --around needs a WCS, and the image has none." in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"a text\n", None])
def test_what_is_no_image(tmp_path, capsys, content):
    """What holds no image is an error of one line."""
    path = tmp_path / "x.fits"
    if content is None:
        fits.HDUList([fits.PrimaryHDU()]).writeto(path)
    else:
        path.write_bytes(content)
    assert cli.main(["plot", str(path), "-o", str(tmp_path / "x.png")]) == 2
    assert capsys.readouterr().err.startswith("gpures plot: ")
    assert not (tmp_path / "x.png").exists()

"""Maps of the whole sky on the command line, from a header alone, beside what the package reproject makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from reproject import reproject_exact
from starfield import run

from gpures import cli

pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")

SHAPE = (180, 360)
CYLINDRICAL = "CAR", "MER"
EQUATORIAL, GALACTIC = ("RA---", "DEC--"), ("GLON-", "GLAT-")


def sky_header(projection, axes=EQUATORIAL, scale=1.0, **cards):
    """Header of a map of the whole sky with its middle at (0, 0)."""
    header = fits.Header({"SIMPLE": True, "BITPIX": -32, "NAXIS": 2, "NAXIS1": SHAPE[1], "NAXIS2": SHAPE[0]})
    for k, sign in ((1, -1), (2, 1)):
        header[f"CTYPE{k}"], header[f"CRVAL{k}"] = axes[k - 1] + projection, 0.0
        header[f"CRPIX{k}"], header[f"CDELT{k}"] = (SHAPE[2 - k] + 1) / 2, sign * scale
    header.update(cards)
    return header


def exposure(path, at, axes=EQUATORIAL, side=30, scale=0.4, turn=20.0):
    """A turned gnomonic exposure of a smooth sky; data and header."""
    c, s = scale * np.cos(np.radians(turn)), scale * np.sin(np.radians(turn))
    header = fits.Header({"EXPTIME": 1.0, "BUNIT": "MJy/sr"})
    for k, row in ((1, (-c, s)), (2, (s, c))):
        header[f"CTYPE{k}"], header[f"CRVAL{k}"], header[f"CRPIX{k}"] = axes[k - 1] + "TAN", at[k - 1], (side + 1) / 2
        header[f"CD{k}_1"], header[f"CD{k}_2"] = row
    y, x = np.indices((side, side))
    data = (2.0 + 0.02 * x - 0.03 * y).astype(np.float32)
    fits.writeto(path, data, header)
    return data, header


def made(tmp_path, header, at, axes=EQUATORIAL, text=False):
    """Mosaic of an exposure at a place on a frame that is given by a header alone, and reproject's image and weight."""
    data, own = exposure(tmp_path / "one.fits", at, axes)
    like = tmp_path / ("like.hdr" if text else "like.fits")
    if text:
        like.write_text(header.tostring(sep="\n"))
    else:
        like.write_bytes(header.tostring().encode())
    run(tmp_path / "one.fits", "--like", like, "-o", tmp_path / "m.fits")
    image = fits.getdata(tmp_path / "m.fits", "SCI")
    return image, *reproject_exact((data, own), WCS(header), shape_out=SHAPE)


def assert_same_columns(image, weight, more):
    """A mosaic has the columns that reproject's image has, and on each side of them at most some more."""
    ours, theirs = (np.flatnonzero(there.any(axis=0)) for there in (np.isfinite(image), weight > 0))
    assert np.abs(ours[:, None] - theirs).min(axis=1).max() <= more
    assert len(ours) - len(theirs) <= 2 * more


@pytest.mark.parametrize("at", [(180.0, 0.0), (180.0, 47.0), (0.0, -20.0), (179.0, 80.0)])
@pytest.mark.parametrize("projection", ["CAR", "MER", "AIT", "MOL", "SFL", "HPX"])
def test_on_the_seam(tmp_path, projection, at):
    """An exposure on the seam reaches the pixels that reproject's does, with their values, and those on the edge."""
    if projection == "MER" and at[1] > 75:
        pytest.skip("the map ends before")
    image, expected, weight = made(tmp_path, sky_header(projection), at, text=projection == "AIT")
    whole = weight > 0.99
    assert whole.any()
    # From one pixel to the next it is some 0.05; at the edge of the sky pixels are long and bent.
    atol = 1e-3 if projection in CYLINDRICAL else 0.01 if at[1] < 75 else 0.02
    np.testing.assert_allclose(image[whole], expected[whole], rtol=0, atol=atol)
    # Pixels that are cut by the edge of the sky are none of reproject's.
    assert_same_columns(image, weight, 4 * (projection not in CYLINDRICAL))


@pytest.mark.parametrize("projection", ["CAR", "MOL"])
@pytest.mark.parametrize("axes", [EQUATORIAL, GALACTIC], ids=["equatorial", "galactic"])
def test_galactic_maps(tmp_path, projection, axes):
    """So it is on a map in galactic coordinates, where the exposure is in these or in others."""
    at = (180.0, 10.0) if axes is GALACTIC else (86.4, 28.9)
    image, expected, weight = made(tmp_path, sky_header(projection, GALACTIC), at, axes)
    whole = weight > 0.99
    assert whole.sum() > 50
    atol = 1e-3 if projection in CYLINDRICAL else 3e-3
    np.testing.assert_allclose(image[whole], expected[whole], rtol=0, atol=atol)
    assert_same_columns(image, weight, 4 * (projection not in CYLINDRICAL))
    header = fits.getheader(tmp_path / "m.fits", "SCI")
    assert header["CTYPE1"] == f"GLON-{projection}"


def test_where_facets_meet_in_a_corner(tmp_path, capsys):
    """At the pole of HPX, where four facets end, nothing lies between them."""
    image, expected, weight = made(tmp_path, sky_header("HPX"), (10.0, 89.93))
    whole = weight > 0.99
    np.testing.assert_allclose(image[whole], expected[whole], rtol=0, atol=0.02)
    assert_same_columns(image, weight, 4)
    assert "projection tears apart" in capsys.readouterr().err


@pytest.mark.parametrize("projection", ["ZEA", "ARC"])
def test_opposite_to_the_middle(tmp_path, projection):
    """Around the point that is the rim of the map, pixels reach along the rim, and none of them through the middle."""
    image, _, _ = made(tmp_path, sky_header(projection, scale=2.0), (180.0, 0.0))
    y, x = np.indices(SHAPE)
    radius = np.hypot(x - (SHAPE[1] - 1) / 2, y - (SHAPE[0] - 1) / 2)
    rim = {"ZEA": 2.0 * np.degrees(1.0), "ARC": 180.0}[projection] / 2.0
    assert np.isfinite(image[(radius > rim - 2) & (radius < rim)]).mean() > 0.5
    # The exposure reaches to 8.5 degrees from that point.
    inner = {"ZEA": rim * np.cos(np.radians(8.5 / 2)), "ARC": rim - 8.5 / 2}[projection]
    assert not np.isfinite(image[radius < inner - 2.5]).any()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("CTYPE1  = 'RA---CAR'\nCTYPE2  = 'DEC--CAR'\nNAXIS1  = 40\nEND\n", "needs NAXIS1 and NAXIS2, got 40 and None"),
        ("CTYPE1  = 'RA---CAR'\nCTYPE2  = 'DEC--CAR'\nNAXIS1  = 40\nNAXIS2  = -3\n", "got 40 and -3"),
        ("a text\nof two lines\n", "neither FITS nor ASDF"),
        ("NAXIS1  = 40\nNAXIS2  = 40\nEND\n", "a header without CTYPE1 and CTYPE2"),
    ],
)
def test_headers_that_are_no_frame(tmp_path, capsys, content, words):
    """A header alone needs a WCS and a size."""
    exposure(tmp_path / "one.fits", (10.0, 10.0))
    (tmp_path / "like.hdr").write_text(content)
    arguments = [str(tmp_path / "one.fits"), "--like", str(tmp_path / "like.hdr"), "-o", str(tmp_path / "m.fits"), "-q"]
    assert cli.main(["mosaic", *arguments]) == 2
    assert words in capsys.readouterr().err

"""Files whose first axis is the declination, or another latitude, in all roles that a file can have."""

from __future__ import annotations

import gzip

import asdf
import numpy as np
import pytest
import scenes
import starfield
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales
from starfield import gwcs_in, image_in, run

from gpures.wcs import pixel_to_world, world_to_pixel

# Who comes first, and whose frame is taken: the file with the latitude first (s) and a normal one (n).
ROLES = {
    "alone": ("s", None),
    "before": ("sn", None),
    "after": ("ns", None),
    "as frame": ("n", "s"),
    "onto another": ("s", "n"),
}


def check(output, system="ICRS"):
    """Stars are in their places, pixels have their size, and the frame is no larger than it must be."""
    starfield.assert_stars(output, system)
    header = fits.getheader(output, "SCI")
    np.testing.assert_allclose(proj_plane_pixel_scales(WCS(header)) * 3600, starfield.SCALE, rtol=1e-3)
    assert max(header["NAXIS1"], header["NAXIS2"]) < 1.6 * max(starfield.SHAPE)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("system", "rotation"), [("ICRS", 0.0), ("ICRS", 115.0), ("Galactic", 25.0)])
def test_fits_files(tmp_path, system, rotation, role):
    """Mosaics have their stars in place, whichever file has the latitude first, and whatever is done with it."""
    inputs, like = ROLES[role]
    files = {
        "s": starfield.star_file(tmp_path / "s.fits", system, swapped=True, rotation=rotation),
        "n": starfield.star_file(tmp_path / "n.fits", system, rotation=10.0),
    }
    arguments = [files[name] for name in inputs] + (["--like", files[like]] if like else [])
    run(*arguments, "-o", tmp_path / "m.fits")
    check(tmp_path / "m.fits", system)
    run(tmp_path / "m.fits", "-o", tmp_path / "again.fits")
    check(tmp_path / "again.fits", system)


@pytest.mark.parametrize("role", ["alone", "as frame"])
@pytest.mark.parametrize("kind", ["gzip", "tiles"])
def test_packed(tmp_path, kind, role):
    """So it is with packed files."""
    plain = starfield.star_file(tmp_path / "plain.fits", swapped=True, rotation=25.0)
    packed = tmp_path / "s.fits.gz"
    if kind == "gzip":
        packed.write_bytes(gzip.compress(plain.read_bytes()))
    else:
        packed = tmp_path / "s.fits.fz"
        with fits.open(plain) as hdus:
            image = fits.CompImageHDU(hdus[0].data, hdus[0].header, compression_type="GZIP_2")
            fits.HDUList([fits.PrimaryHDU(), image]).writeto(packed)
    other = starfield.star_file(tmp_path / "n.fits", rotation=10.0)
    run(*([packed] if role == "alone" else [other, "--like", packed]), "-o", tmp_path / "m.fits")
    check(tmp_path / "m.fits")


def distorted(kind):
    """Header with the latitude first, and what else headers have."""
    header = starfield.header_in(
        swapped=True, rotation=25.0, projection={"SIP": "TAN-SIP", "TPV": "TPV"}.get(kind, "TAN")
    )
    if kind in ("PC", "CROTA2"):
        for i, size in ((1, 1.0), (2, -1.0)):
            for j in (1, 2):
                value = header.pop(f"CD{i}_{j}") * 3600 / starfield.SCALE * size
                if kind == "PC":
                    header[f"PC{i}_{j}"] = value
            header[f"CDELT{i}"] = starfield.SCALE / 3600 * size
        if kind == "CROTA2":
            header["CROTA2"] = 33.0
    if kind == "SIP":
        header.update({"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-4, "B_1_1": -1e-4, "B_0_2": 2e-4})
    if kind == "TPV":  # of the right ascension, which is the second axis, and of the declination
        header.update({"PV2_0": 1e-5, "PV2_1": 0.999, "PV2_2": 1e-3, "PV2_5": 0.3, "PV1_1": 1.001, "PV1_4": 0.5})
    return header


@pytest.mark.parametrize("role", ["alone", "before", "as frame"])
@pytest.mark.parametrize("kind", ["PC", "CROTA2", "SIP", "TPV"])
def test_what_else_headers_have(tmp_path, kind, role):
    """Matrices of all kinds, and distortions, belong to the axes in the header's order."""
    header = distorted(kind)
    wcs = WCS(header)
    # By gpures, as wcslib's own inverse of TPV does not converge in this order; its forward transform does.
    pixels = np.transpose(world_to_pixel(wcs)(starfield.STARS.ra.deg, starfield.STARS.dec.deg))
    back = wcs.all_pix2world(pixels, 0)
    np.testing.assert_allclose(back, np.stack([starfield.STARS.dec.deg, starfield.STARS.ra.deg], axis=1), atol=1e-9)
    swapped = tmp_path / "s.fits"
    fits.writeto(swapped, starfield.image_of(pixels), header)
    other = starfield.star_file(tmp_path / "n.fits", rotation=10.0)
    arguments = {"alone": [swapped], "before": [swapped, other], "as frame": [other, "--like", swapped]}[role]
    run(*arguments, "-o", tmp_path / "m.fits")
    if role != "as frame":
        starfield.assert_stars(tmp_path / "m.fits")
        return
    found = starfield.measured(fits.getdata(tmp_path / "m.fits", "SCI"), pixels)
    np.testing.assert_allclose(found, pixels, rtol=0, atol=0.01)


@pytest.mark.parametrize("how", ["axes_order", "axes_names"])
@pytest.mark.parametrize("role", ROLES)
def test_gwcs(tmp_path, how, role):
    """So it is with a gwcs in ASDF whose celestial frame has the latitude first."""
    inputs, like = ROLES[role]
    swapped = tmp_path / "s.asdf"
    wcs = scenes.latitude_first(gwcs_in("ICRS", 25.0), how=how)
    tree = {"data": image_in("ICRS", 25.0), "wcs": wcs, "exposure_time": 10.0, "unit": "ct/s"}
    asdf.AsdfFile(tree).write_to(swapped)
    files = {"s": swapped, "n": starfield.star_file(tmp_path / "n.fits", rotation=10.0)}
    arguments = [files[name] for name in inputs] + (["--like", files[like]] if like else [])
    run(*arguments, "-o", tmp_path / "m.fits")
    check(tmp_path / "m.fits")
    lon, lat = pixel_to_world(wcs)(np.array([39.5]), np.array([34.5]))
    np.testing.assert_allclose((lon[0], lat[0]), (starfield.CENTRE.ra.deg, starfield.CENTRE.dec.deg), atol=1e-9)

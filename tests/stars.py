"""Files with stars of known flux at known places, in pixels of any size and shape and in any unit."""

from __future__ import annotations

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, Sip

QUIET = {"backend": "cpu", "progress": False}

RA, DEC = 150.0, 2.0
SIGMA = 0.3  # arcsec, so that a pixel of 0.1 samples a star well


def tan_wcs(n=64, scale=0.1, rotation=0.0, sip=0.0, centre=(RA, DEC)):
    """A tangential WCS, of `n` pixels along each side; with `sip`, pixel areas differ by about that part."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"] if sip else ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = centre, [(n + 1) / 2.0] * 2
    c, s = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    wcs.wcs.cd = scale / 3600.0 * np.array([[-c, s], [s, c]])
    if sip:
        a, b = np.zeros((4, 4)), np.zeros((4, 4))
        a[2, 0], a[0, 3], b[1, 1], b[2, 1] = sip / (2 * n), sip / n**2, sip / (4 * n), -sip / n**2
        wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    wcs.array_shape = (n, n)
    return wcs


def directions(wcs, x, y):
    """Unit vectors (3, ...) of pixel coordinates."""
    ra, dec = np.radians(wcs.all_pix2world(x, y, 0))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])


def pixel_areas(wcs):
    """Area of each pixel, arcsec2, by the diagonals between its corners."""
    ny, nx = wcs.array_shape
    corners = directions(wcs, *np.meshgrid(np.arange(nx + 1) - 0.5, np.arange(ny + 1) - 0.5))
    one, other = corners[:, 1:, 1:] - corners[:, :-1, :-1], corners[:, 1:, :-1] - corners[:, :-1, 1:]
    return 0.5 * np.linalg.norm(np.cross(one, other, axis=0), axis=0) * np.degrees(3600.0) ** 2


def surface_brightness(wcs, flux=1000.0, at=((0.0, 0.0),)):
    """Stars of a flux each as surface brightness per arcsec2; places are arcsec east and north of the centre."""
    ny, nx = wcs.array_shape
    sky = directions(wcs, *np.meshgrid(np.arange(nx, dtype=float), np.arange(ny, dtype=float)))
    image = np.zeros((ny, nx))
    for east, north in at:
        dec = np.radians(DEC + north / 3600.0)
        ra = np.radians(RA + east / 3600.0 / np.cos(dec))
        star = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
        distance = np.linalg.norm(sky - star[:, None, None], axis=0) * np.degrees(3600.0)
        image += flux / (2.0 * np.pi * SIGMA**2) * np.exp(-0.5 * (distance / SIGMA) ** 2)
    return image


def star_file(path, wcs=None, unit="adu/s", flux=1000.0, at=((0.0, 0.0),), per_pixel=True, planes=None, **keywords):
    """A FITS image of stars, per pixel or per arcsec2; further images by name, and keywords, None for none."""
    wcs = tan_wcs() if wcs is None else wcs
    image = surface_brightness(wcs, flux, at) * (pixel_areas(wcs) if per_pixel else 1.0)
    header = wcs.to_header(relax=True)
    header.update(
        {key: value for key, value in ({"BUNIT": unit, "EXPTIME": 30.0} | keywords).items() if value is not None}
    )
    hdus = [fits.PrimaryHDU(image.astype("f4"), header)]
    hdus += [fits.ImageHDU(np.asarray(array), name=name) for name, array in (planes or {}).items()]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def total(made):
    """Sum of a mosaic's pixels."""
    return float(np.nansum(made.model["data"], dtype=float))

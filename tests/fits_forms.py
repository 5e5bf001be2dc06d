"""FITS files in the forms that archives deliver: small images of a sky with stars, and what lies beside them."""

from __future__ import annotations

import numpy as np
from astropy.io import fits

SHAPE = (64, 64)
SCALE = 0.5  # arcsec
QUIET = {"backend": "cpu", "progress": False}


def header(x=0.0, y=0.0, **keywords):
    """North-up TAN header around (150, 2), of pixels that begin so far from the first chip's."""
    made = fits.Header()
    made.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0})
    made.update({"CRPIX1": 32.5 - x, "CRPIX2": 32.5 - y, "CDELT1": -SCALE / 3600, "CDELT2": SCALE / 3600})
    made.update({"CUNIT1": "deg", "CUNIT2": "deg", "EXPTIME": 30.0, "BUNIT": "adu/s"} | keywords)
    return made


def full(value, dtype="f4", shape=SHAPE):
    """An image of one value."""
    return np.full(shape, value, dtype)


def star(x=31, y=31, flux=1000.0, level=0.0):
    """An image with one star, whose light lies within 5 x 5 pixels around (x, y)."""
    image = full(level)
    profile = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0
    image[y - 2 : y + 3, x - 2 : x + 3] += flux * np.outer(profile, profile)
    return image


def spotted(value=8, dtype="u1", where=(3, 4)):
    """Zeros with one other pixel."""
    image = full(0, dtype)
    image[where] = value
    return image


def hdu(data, name=None, head=None, ver=None, packed=False, **keywords):
    """An extension; packed in tiles without loss."""
    lossless = {"compression_type": "GZIP_1", "quantize_level": 0} if packed else {}
    made = (fits.CompImageHDU if packed else fits.ImageHDU)(data, head, name=name, **lossless)
    if ver is not None:
        made.ver = ver
    made.header.update(keywords)
    return made


def write(path, *extensions, primary=None, head=None):
    """A file of a primary image, or none, and extensions."""
    fits.HDUList([fits.PrimaryHDU(primary, head), *extensions]).writeto(path, overwrite=True)
    return path


def masked(model):
    """Number of a model's pixels that are left out."""
    return int(np.ma.getmaskarray(model["data"]).sum())


def flux_at(made, lon, lat, radius=4):
    """Sum of a mosaic's data, above its median, in a box around a place on the sky; and the centroid's place there."""
    data = np.asarray(made.model["data"], float)
    x, y = made.wcs.world_to_pixel_values(lon, lat)
    i, j = round(float(x)), round(float(y))
    box = data[j - radius : j + radius + 1, i - radius : i + radius + 1] - np.nanmedian(data)
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    total = np.nansum(box)
    return total, (np.nansum(box * columns) / total + i - float(x), np.nansum(box * rows) / total + j - float(y))

"""Files of one field of stars, in any system of sky coordinates, order of axes and projection; and stars found again.

Where a star is, astropy says: its coordinates are converted by `astropy.coordinates`, and its pixel by `astropy.wcs`.
"""

from __future__ import annotations

import numpy as np
from astropy import coordinates, units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS

from gpures import cli
from gpures.wcs.frame import tangent_wcs

CENTRE = SkyCoord(150.1, 2.2, unit="deg")
SCALE = 0.5  # arcsec
SHAPE = (70, 80)
WIDTH = 1.6  # of a star, pixels

# East and north of the centre, arcsec; each star has another flux.
OFFSETS = np.array([(-11.0, -9.0), (9.0, -8.0), (1.0, 1.0), (-9.0, 10.0), (12.0, 8.0)])
STARS = CENTRE.spherical_offsets_by(*(OFFSETS.T * units.arcsec))
FLUXES = np.array([300.0, 500.0, 700.0, 900.0, 1100.0])

EPOCH = Time("1985-03-01T00:00:00", scale="utc")

# Frames of astropy's, and what FITS keywords say of them.
SYSTEMS = {
    "ICRS": (coordinates.ICRS(), ("RA--", "DEC-"), {"RADESYS": "ICRS"}),
    "FK5": (coordinates.FK5(), ("RA--", "DEC-"), {"RADESYS": "FK5", "EQUINOX": 2000.0}),
    "FK5 1975": (coordinates.FK5(equinox="J1975"), ("RA--", "DEC-"), {"RADESYS": "FK5", "EQUINOX": 1975.0}),
    "FK5 by equinox": (coordinates.FK5(equinox="J1990"), ("RA--", "DEC-"), {"EQUINOX": 1990.0}),
    "FK4": (coordinates.FK4(), ("RA--", "DEC-"), {"RADESYS": "FK4"}),
    "FK4 by equinox": (coordinates.FK4(equinox="B1950"), ("RA--", "DEC-"), {"EQUINOX": 1950.0}),
    "FK4 of a date": (
        coordinates.FK4(equinox="B1950", obstime=EPOCH),
        ("RA--", "DEC-"),
        {"RADESYS": "FK4", "EQUINOX": 1950.0, "DATE-OBS": EPOCH.isot, "MJD-OBS": EPOCH.mjd},
    ),
    "FK4-NO-E": (coordinates.FK4NoETerms(), ("RA--", "DEC-"), {"RADESYS": "FK4-NO-E", "EQUINOX": 1950.0}),
    "Galactic": (coordinates.Galactic(), ("GLON", "GLAT"), {}),
    "Supergalactic": (coordinates.Supergalactic(), ("SLON", "SLAT"), {}),
    "Ecliptic": (coordinates.BarycentricMeanEcliptic(), ("ELON", "ELAT"), {"EQUINOX": 2000.0}),
}


def header_in(system="ICRS", *, swapped=False, rotation=0.0, shape=SHAPE, scale=SCALE, projection="TAN", shift=(0, 0)):
    """FITS header of the field; the centre lies in the middle of the image, or `shift` pixels beside it."""
    frame, (longitude, latitude), words = SYSTEMS[system]
    centre = CENTRE.transform_to(frame).spherical
    c, s = scale / 3600 * np.cos(np.radians(rotation)), scale / 3600 * np.sin(np.radians(rotation))
    axes = [
        (f"{longitude}-{projection}", centre.lon.deg, (-c, s)),
        (f"{latitude}-{projection}", centre.lat.deg, (s, c)),
    ]
    header = fits.Header()
    for k, (kind, value, row) in enumerate(axes[::-1] if swapped else axes, 1):
        header[f"CTYPE{k}"], header[f"CRVAL{k}"], header[f"CUNIT{k}"] = kind, value, "deg"
        header[f"CRPIX{k}"] = (shape[2 - k] + 1) / 2 + shift[k - 1]
        header[f"CD{k}_1"], header[f"CD{k}_2"] = row
    header.update(words)
    header["EXPTIME"], header["BUNIT"] = 10.0, "ct/s"
    return header


def pixels_of(wcs, frame):
    """Pixels of the stars, from 0, in a FITS WCS with coordinates in a frame."""
    there = STARS.transform_to(frame).spherical
    world = np.empty((len(STARS), 2))
    world[:, wcs.wcs.lng], world[:, wcs.wcs.lat] = there.lon.deg, there.lat.deg
    return wcs.all_world2pix(world, 0)


def image_of(pixels, shape=SHAPE):
    """Stars at pixels, each of its flux."""
    y, x = np.indices(shape)
    image = np.zeros(shape)
    for (at_x, at_y), flux in zip(pixels, FLUXES, strict=True):
        image += flux * np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / (2 * WIDTH**2)) / (2 * np.pi * WIDTH**2)
    return image.astype(np.float32)


def star_file(path, system="ICRS", *, cards=None, **options):
    """A FITS file of the field, options as of `header_in`; `cards` are set in the header last."""
    header = header_in(system, **options)
    header.update(cards or {})
    shape = options.get("shape", SHAPE)
    pixels = pixels_of(WCS(header), SYSTEMS[system][0])
    fits.writeto(path, image_of(pixels, shape), header, overwrite=True)
    return path


def gwcs_in(system, rotation=0.0, shape=SHAPE):
    """The field's tangent plane as a gwcs."""
    frame = SYSTEMS[system][0]
    centre = CENTRE.transform_to(frame).spherical
    c, s = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    matrix = np.array([[-c, s], [s, c]]) * SCALE / 3600
    crpix = (shape[1] - 1) / 2, (shape[0] - 1) / 2
    return tangent_wcs((centre.lon.deg, centre.lat.deg), crpix, matrix, shape, frame)


def image_in(system, rotation):
    """The field as a gwcs of `gwcs_in` sees it."""
    header = header_in(system, rotation=rotation)
    return image_of(pixels_of(WCS(header), SYSTEMS[system][0]))


def measured(image, pixels, radius=7):
    """Centroids near pixels."""
    y, x = np.indices(image.shape)
    found = []
    for at_x, at_y in pixels:
        light = np.where(np.hypot(x - at_x, y - at_y) < radius, np.nan_to_num(image), 0.0)
        found.append((np.sum(light * x) / light.sum(), np.sum(light * y) / light.sum()))
    return np.array(found)


def assert_stars(path, system="ICRS", atol=0.01):
    """The stars of a mosaic's file are where its FITS keywords, as astropy reads them, have them."""
    with fits.open(path) as hdus:
        wcs, image = WCS(hdus["SCI"].header), hdus["SCI"].data
    expected = pixels_of(wcs, SYSTEMS[system][0])
    ny, nx = image.shape
    assert ((expected > 5) & (expected < (nx - 6, ny - 6))).all()
    np.testing.assert_allclose(measured(image, expected), expected, rtol=0, atol=atol)


def run(*arguments):
    """``gpures mosaic``, which must succeed."""
    assert cli.main(["mosaic", *map(str, arguments), "-q", "--backend", "cpu"]) == 0

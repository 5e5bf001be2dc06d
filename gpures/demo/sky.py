"""World coordinates of the demo: WCS from the keywords of TAN-SIP solutions, and a frame around exposures.

Every exposure is described once, by FITS keywords, which astropy reads; the gWCS that the resampler evaluates is made
of what it has read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import erfa
import gwcs
import numpy as np
from astropy.coordinates import ICRS
from astropy.io import fits
from astropy.modeling import models
from astropy.wcs import WCS

from gpures.wcs.footprint import footprint_of
from gpures.wcs.frame import FrameOptions, grid_around, tangent_wcs
from gpures.wcs.sphere import quadrilateral_areas, vectors

__all__ = [
    "ARCSEC",
    "fits_wcs",
    "frame_around",
    "pixel_area_map",
    "tan_sip_gwcs",
    "tangent_offsets",
    "tangent_positions",
]

# arcsec per degree
ARCSEC = 3600.0


def fits_wcs(keywords: Mapping[str, Any], shape: tuple[int, int]) -> WCS:
    """FITS WCS of a TAN or TAN-SIP image in ICRS.

    Parameters
    ----------
    keywords : mapping
        FITS keywords ``CRPIXi`` (1-based pixels), ``CRVALi`` (deg), ``CDi_j`` (deg/pixel) and, for a
        distorted image, ``A_ORDER``, ``B_ORDER``, ``A_p_q``, ``B_p_q`` (pixels).
    shape : tuple of int
        ``(Ny, Nx)`` of the image, pixels.

    Returns
    -------
    astropy.wcs.WCS
        With its ``array_shape``.
    """
    suffix = "-SIP" if "A_ORDER" in keywords else ""
    header = fits.Header()
    header["NAXIS"], header["NAXIS1"], header["NAXIS2"] = 2, shape[1], shape[0]
    header["CTYPE1"], header["CTYPE2"] = f"RA---TAN{suffix}", f"DEC--TAN{suffix}"
    header["CUNIT1"] = header["CUNIT2"] = "deg"
    header["RADESYS"] = "ICRS"
    header.update(keywords)
    return WCS(header)


def tan_sip_gwcs(keywords: Mapping[str, Any], shape: tuple[int, int]) -> gwcs.WCS:
    """GWCS of a TAN or TAN-SIP image in ICRS.

    Parameters
    ----------
    keywords, shape
        As for `fits_wcs`.

    Returns
    -------
    gwcs.WCS
        0-based pixels to right ascension and declination in deg, with ``array_shape`` and ``bounding_box`` set.
        With no SIP terms the inverse is analytic.
    """
    wcs = fits_wcs(keywords, shape)
    distortion = None
    if wcs.sip is not None:
        # SIP's terms are added to the pixel's own coordinates.
        distortion = models.Mapping((0, 1, 0, 1)) | _polynomial(wcs.sip.a, "c1_0") & _polynomial(wcs.sip.b, "c0_1")
    return tangent_wcs(wcs.wcs.crval, wcs.wcs.crpix - 1.0, wcs.pixel_scale_matrix, shape, ICRS(), distortion)


def _polynomial(terms: np.ndarray, identity: str) -> models.Polynomial2D:
    """The polynomial of coefficients [p, q] as astropy has those of SIP, with the identity added."""
    coefficients = {f"c{p}_{q}": value for (p, q), value in np.ndenumerate(terms) if value}
    coefficients[identity] = coefficients.get(identity, 0.0) + 1.0
    return models.Polynomial2D(len(terms) - 1, **coefficients)


def frame_around(exposures: Sequence[Mapping[str, Any]], pixel_scale: float, margin: int = 0) -> gwcs.WCS:
    """Undistorted, north-up, east-left frame that contains whole exposures: that of `gpures.mosaic`, and a margin.

    Parameters
    ----------
    exposures : sequence of mapping
        Input models, of which ``filename``, ``wcs`` and the shape of ``data`` count.
    pixel_scale : float
        Side of an output pixel, arcsec.
    margin : int, optional
        Empty output pixels left around the exposures' joint outline; below 0, so many are cut off.

    Returns
    -------
    gwcs.WCS
        With its ``array_shape``.
    """
    footprints = [footprint_of(model["filename"], model["wcs"], model["data"].shape) for model in exposures]
    grid = grid_around(footprints, pixel_scale, FrameOptions(), ICRS())
    wider = FrameOptions(
        crval=grid.crval,
        crpix=tuple(pixel + margin for pixel in grid.crpix),
        output_shape=tuple(n + 2 * margin for n in reversed(grid.shape)),
    )
    return grid_around(footprints, pixel_scale, wider, ICRS()).wcs


def pixel_area_map(wcs: WCS, shape: tuple[int, int]) -> np.ndarray:
    """Area of each pixel on the sky.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        FITS WCS, distortion included.
    shape : tuple of int
        ``(Ny, Nx)``, pixels.

    Returns
    -------
    ndarray of float64, shape (Ny, Nx)
        Pixel areas, arcsec**2.
    """
    y, x = np.indices((shape[0] + 1, shape[1] + 1)) - 0.5
    corners = vectors(*wcs.all_pix2world(x.ravel(), y.ravel(), 0)).reshape(*x.shape, 3)
    return np.abs(quadrilateral_areas(corners)) * np.degrees(ARCSEC) ** 2


def tangent_offsets(ra: np.ndarray, dec: np.ndarray, ra0: float, dec0: float) -> tuple[np.ndarray, np.ndarray]:
    """Gnomonic coordinates about a point.

    Parameters
    ----------
    ra, dec : ndarray
        Positions, deg.
    ra0, dec0 : float
        Tangent point, deg.

    Returns
    -------
    xi, eta : ndarray
        Offsets towards east and north in the tangent plane, arcsec.
    """
    xi, eta = erfa.tpxes(np.radians(ra), np.radians(dec), np.radians(ra0), np.radians(dec0))
    return ARCSEC * np.degrees(xi), ARCSEC * np.degrees(eta)


def tangent_positions(xi: np.ndarray, eta: np.ndarray, ra0: float, dec0: float) -> tuple[np.ndarray, np.ndarray]:
    """Inverse of `tangent_offsets`: offsets in arcsec to positions in deg."""
    xi, eta = np.radians(xi) / ARCSEC, np.radians(eta) / ARCSEC
    ra, dec = erfa.tpsts(xi, eta, np.radians(ra0), np.radians(dec0))
    return np.degrees(ra), np.degrees(dec)

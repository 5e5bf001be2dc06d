"""World coordinates of the demo: TAN and TAN-SIP as gWCS, and the mosaic's frame.

Every exposure and every mosaic of the demo is described once by FITS keywords.  The gWCS that the
resampler evaluates is built from those keywords, so that the FITS header written with a mosaic and the
transformation that made the mosaic cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gwcs
import numpy as np
from astropy.coordinates import ICRS
from astropy.io import fits
from astropy.modeling import models
from astropy.wcs import WCS

from gpures.mosaicking import footprint
from gpures.mosaicking.frame import tangent_wcs

__all__ = [
    "Frame",
    "fits_header",
    "north_up_frame",
    "outline",
    "pixel_area_map",
    "tan_sip_gwcs",
    "tangent_offsets",
    "tangent_positions",
]

# arcsec per degree
ARCSEC = 3600.0


@dataclass(frozen=True)
class Frame:
    """Output frame of a mosaic.

    Attributes
    ----------
    fits_wcs : astropy.wcs.WCS
        The frame as FITS WCS (TAN, no distortion); goes into the headers and the pictures.
    wcs : gwcs.WCS
        The same frame as gWCS; goes into the resampler.
    shape : tuple of int
        ``(Ny, Nx)``, pixels.
    pixel_scale : float
        Side of a pixel, arcsec.
    """

    fits_wcs: WCS
    wcs: gwcs.WCS
    shape: tuple[int, int]
    pixel_scale: float


def _sip_polynomial(header: Mapping[str, Any], letter: str, identity: str) -> models.Polynomial2D:
    """SIP polynomial ``A`` or ``B`` with the identity added, so that it maps (u, v) to u + A or v + B."""
    order = int(header[f"{letter}_ORDER"])
    coefficients = {identity: 1.0}
    for p in range(order + 1):
        for q in range(order + 1 - p):
            value = float(header.get(f"{letter}_{p}_{q}", 0.0))
            if value:
                name = f"c{p}_{q}"
                coefficients[name] = coefficients.get(name, 0.0) + value
    return models.Polynomial2D(order, **coefficients)


def tan_sip_gwcs(header: Mapping[str, Any], shape: tuple[int, int]) -> gwcs.WCS:
    """Build the gWCS of a TAN or TAN-SIP FITS solution.

    Parameters
    ----------
    header : mapping
        FITS keywords ``CRPIXi`` (1-based pixels), ``CRVALi`` (deg), ``CDi_j`` (deg/pixel) and, for a
        distorted image, ``A_ORDER``, ``B_ORDER``, ``A_p_q``, ``B_p_q`` (pixels).
    shape : tuple of int
        ``(Ny, Nx)`` of the image, pixels.

    Returns
    -------
    gwcs.WCS
        0-based pixels to ICRS right ascension and declination in deg, with ``array_shape`` and
        ``bounding_box`` set.  With no SIP terms the inverse is analytic.
    """
    distortion = None
    if "A_ORDER" in header:
        sip_x = _sip_polynomial(header, "A", "c1_0")
        sip_y = _sip_polynomial(header, "B", "c0_1")
        distortion = models.Mapping((0, 1, 0, 1)) | sip_x & sip_y
    matrix = [[header["CD1_1"], header["CD1_2"]], [header["CD2_1"], header["CD2_2"]]]
    crval = header["CRVAL1"], header["CRVAL2"]
    crpix = header["CRPIX1"] - 1.0, header["CRPIX2"] - 1.0
    return tangent_wcs(crval, crpix, np.array(matrix, dtype=float), shape, ICRS(), distortion)


def outline(shape: tuple[int, int], step: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Points along the outer edge of an image's outermost pixels.

    Parameters
    ----------
    shape : tuple of int
        ``(Ny, Nx)``, pixels.
    step : int, optional
        Greatest distance of neighbouring points, pixels.  16 follows a distortion of some pixels per
        thousand to well below a tenth of a pixel.

    Returns
    -------
    x, y : ndarray of float64, shape (n,)
        0-based pixel coordinates.
    """
    return footprint.outline(0, shape[1] - 1, 0, shape[0] - 1, step)


def north_up_frame(wcses: Sequence[WCS], shapes: Sequence[tuple[int, int]], scale: float, margin: int) -> Frame:
    """Undistorted, north-up, east-left TAN frame that contains whole exposures.

    Parameters
    ----------
    wcses : sequence of astropy.wcs.WCS
        The exposures' FITS WCS, distortion included.
    shapes : sequence of tuple of int
        ``(Ny, Nx)`` of each exposure, pixels.
    scale : float
        Side of an output pixel, arcsec.
    margin : int
        Empty output pixels left around the exposures' joint outline.

    Returns
    -------
    Frame
        The output frame.
    """
    if not wcses or len(wcses) != len(shapes):
        raise ValueError(
            f"expected at least one WCS and a shape for each, got {len(wcses)} WCS and {len(shapes)} shapes"
        )
    edges = [wcs.all_pix2world(*outline(shape), 0) for wcs, shape in zip(wcses, shapes, strict=True)]
    ra = np.concatenate([edge[0] for edge in edges])
    dec = np.concatenate([edge[1] for edge in edges])
    # The demo's fields are arcseconds wide and far from the poles and from right ascension 0, so that
    # the middle of the coordinates is a good tangent point; it need not be the exact centre.
    centre = (0.5 * (ra.min() + ra.max()), 0.5 * (dec.min() + dec.max()))

    fits_wcs = WCS(naxis=2)
    fits_wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    fits_wcs.wcs.cunit = ["deg", "deg"]
    fits_wcs.wcs.radesys = "ICRS"
    fits_wcs.wcs.crval = centre
    fits_wcs.wcs.crpix = [1.0, 1.0]
    fits_wcs.wcs.cdelt = [-scale / ARCSEC, scale / ARCSEC]
    x, y = fits_wcs.wcs_world2pix(ra, dec, 0)
    # Outermost edge to outermost edge, plus the margin on either side; the reference pixel is put on a
    # whole pixel, for the reader of the header.
    x0, y0 = math.floor(x.min() + 0.5) - margin, math.floor(y.min() + 0.5) - margin
    nx, ny = math.ceil(x.max() + 0.5) + margin - x0, math.ceil(y.max() + 0.5) + margin - y0
    fits_wcs.wcs.crpix = [1.0 - x0, 1.0 - y0]
    fits_wcs.wcs.set()
    fits_wcs.array_shape = (ny, nx)

    keywords = {
        "CRPIX1": 1.0 - x0,
        "CRPIX2": 1.0 - y0,
        "CRVAL1": centre[0],
        "CRVAL2": centre[1],
        "CD1_1": -scale / ARCSEC,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": scale / ARCSEC,
    }
    return Frame(fits_wcs, tan_sip_gwcs(keywords, (ny, nx)), (ny, nx), scale)


def pixel_area_map(wcs: WCS, shape: tuple[int, int]) -> np.ndarray:
    """Area of each pixel on the sky.

    The corners of the pixels are taken to the tangent plane at the image's middle, where the area of a
    quadrilateral is exact; across the demo's half arcminute the plane differs from the sphere by 1e-8.

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
    ny, nx = shape
    y, x = np.mgrid[0 : ny + 1, 0 : nx + 1] - 0.5
    middle = wcs.all_pix2world([[0.5 * (nx - 1), 0.5 * (ny - 1)]], 0)[0]
    xi, eta = tangent_offsets(*wcs.all_pix2world(x.ravel(), y.ravel(), 0), *middle)
    xi, eta = xi.reshape(x.shape), eta.reshape(x.shape)
    # Half the cross product of a quadrilateral's diagonals is its area.
    dx1, dy1 = xi[1:, 1:] - xi[:-1, :-1], eta[1:, 1:] - eta[:-1, :-1]
    dx2, dy2 = xi[1:, :-1] - xi[:-1, 1:], eta[1:, :-1] - eta[:-1, 1:]
    return np.abs(0.5 * (dx1 * dy2 - dx2 * dy1))


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
    d_ra = np.deg2rad(np.asarray(ra) - ra0)
    sin, cos = np.sin(np.deg2rad(dec)), np.cos(np.deg2rad(dec))
    sin0, cos0 = math.sin(math.radians(dec0)), math.cos(math.radians(dec0))
    depth = sin0 * sin + cos0 * cos * np.cos(d_ra)
    arcsec = ARCSEC * 180.0 / math.pi
    return arcsec * cos * np.sin(d_ra) / depth, arcsec * (cos0 * sin - sin0 * cos * np.cos(d_ra)) / depth


def tangent_positions(xi: np.ndarray, eta: np.ndarray, ra0: float, dec0: float) -> tuple[np.ndarray, np.ndarray]:
    """Inverse of `tangent_offsets`: offsets in arcsec to positions in deg."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra0, dec0]
    wcs.wcs.crpix = [0.0, 0.0]
    wcs.wcs.cdelt = [1.0 / ARCSEC, 1.0 / ARCSEC]
    ra, dec = wcs.wcs_pix2world(np.asarray(xi, dtype=float), np.asarray(eta, dtype=float), 1)
    return ra, dec


def fits_header(keywords: Mapping[str, Any], shape: tuple[int, int]) -> fits.Header:
    """FITS header of a TAN-SIP image.

    Parameters
    ----------
    keywords : mapping
        As for `tan_sip_gwcs`.
    shape : tuple of int
        ``(Ny, Nx)``, pixels.

    Returns
    -------
    astropy.io.fits.Header
        The keywords with ``NAXISi``, ``CTYPEi``, ``CUNITi`` and ``RADESYS`` added.
    """
    suffix = "-SIP" if "A_ORDER" in keywords else ""
    header = fits.Header()
    header["NAXIS"], header["NAXIS1"], header["NAXIS2"] = 2, shape[1], shape[0]
    header["CTYPE1"], header["CTYPE2"] = f"RA---TAN{suffix}", f"DEC--TAN{suffix}"
    header["CUNIT1"] = header["CUNIT2"] = "deg"
    header["RADESYS"] = "ICRS"
    header.update(keywords)
    return header

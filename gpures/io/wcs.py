"""WCS on their way into a file: a gwcs as FITS keywords, and the keywords of a FITS WCS as a gwcs."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from gpures.wcs.sphere import separation, vectors
from gpures.wcs.transforms import celestial_frame, pixel_to_world, world_axes

__all__ = ["as_gwcs", "header_of"]

log = logging.getLogger(__name__)

# Differences (pixels) of a gwcs and its FITS keywords. The first is met by a frame without distortions, in practice
# with 1e-8; up to the second, SIP polynomials serve to look things up.
EXACT, USEFUL = 1e-6, 0.1

# Largest difference (degrees) of a FITS WCS and its gwcs: 1e-6 of a pixel of 0.01 arcsec, and some ten times the
# rounding of the transforms.
SAME_PLACE = 3e-12


def header_of(wcs: Any, shape: tuple[int, int]) -> tuple[fits.Header, list[Any]]:
    """FITS keywords of a WCS.

    Parameters
    ----------
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        WCS of an image.
    shape : (int, int)
        Its shape (Ny, Nx).

    Returns
    -------
    header : astropy.io.fits.Header
        Keywords; none, with a warning, where FITS can't express the WCS.
    tables : list of ImageHDU
        Lookup tables that the keywords refer to.
    """
    if isinstance(wcs, WCS):
        first, *tables = wcs.to_fits(relax=True)
        return _keywords(first.header), tables
    box = ((-0.5, shape[1] - 0.5), (-0.5, shape[0] - 0.5))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is said of the accuracy stands in the header
            header = _longitude_first(wcs).to_fits_sip(
                bounding_box=box, max_pix_error=EXACT, projection=_projection(wcs)
            )
    except (ValueError, RuntimeError, NotImplementedError) as error:
        log.warning("FITS keywords can't express the output WCS, the file has the gwcs alone: %s", error)
        return fits.Header(), []
    difference = header.get("SIPMXERR", 0.0)
    if not difference <= USEFUL:
        log.warning("FITS keywords would be off by %.2g pixel: the file has the gwcs alone.", difference)
        return fits.Header(), []
    if difference > EXACT:
        log.warning("FITS keywords stand for the output WCS within %.1g pixel; the gwcs is exact.", difference)
    return _keywords(header), []


def _longitude_first(wcs: Any) -> Any:
    """A gwcs itself, or, if its world coordinates are in another order or not in degrees, one where they are."""
    axes = world_axes(wcs)
    if len(axes.order) != 2 or (axes.order == (0, 1) and axes.factors == (1.0, 1.0)):
        return wcs
    import gwcs
    from astropy import units
    from astropy.modeling import models
    from gwcs import coordinate_frames

    factors = models.Scale(axes.factors[0]) & models.Scale(axes.factors[1])
    sky = coordinate_frames.CelestialFrame(
        name="world", reference_frame=celestial_frame(wcs), unit=(units.deg, units.deg)
    )
    transform = wcs.forward_transform | models.Mapping(axes.order) | factors
    return gwcs.WCS([(wcs.input_frame, transform), (sky, None)])


def _keywords(header: fits.Header) -> fits.Header:
    """The keywords of a WCS, without those that describe an array."""
    structure = ("SIMPLE", "BITPIX", "EXTEND", "NAXIS", "NAXIS1", "NAXIS2")
    return fits.Header([card for card in header.cards if card.keyword not in structure])


def _projection(wcs: Any) -> str:
    """Code of a gwcs's projection, the gnomonic one where it has none."""
    from astropy.modeling.projections import Projection

    transform = wcs.forward_transform
    transform = getattr(transform, "forward", transform)  # of gwcs's FITSImagingWCSTransform
    leaves = transform.traverse_postorder() if hasattr(transform, "traverse_postorder") else [transform]
    return next((leaf.prjprm.code for leaf in leaves if isinstance(leaf, Projection)), "TAN")


def as_gwcs(wcs: Any) -> Any:
    """The gwcs, longitude first, of a celestial FITS WCS without distortions, or `wcs` itself if it is a gwcs.

    Parameters
    ----------
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        With its ``array_shape``.

    Returns
    -------
    gwcs.wcs.WCS or None
        None of a WCS that has distortions, or a projection with parameters. The two are compared over the frame.
    """
    if not isinstance(wcs, WCS):
        return wcs
    import gwcs
    from astropy import units
    from astropy.modeling import models
    from gwcs import coordinate_frames

    projection = getattr(models, f"Pix2Sky_{wcs.wcs.ctype[0][5:8]}", None)
    frame = celestial_frame(wcs)
    if wcs.has_distortion or projection is None or frame is None:
        return None
    order = [wcs.wcs.lng, wcs.wcs.lat]
    transform = (
        models.Shift(1.0 - wcs.wcs.crpix[0]) & models.Shift(1.0 - wcs.wcs.crpix[1])
        | models.AffineTransformation2D(matrix=wcs.pixel_scale_matrix[order])
        | projection()
        | models.RotateNative2Celestial(*wcs.wcs.crval[order], wcs.wcs.lonpole)
    )
    detector = coordinate_frames.Frame2D(name="detector", axes_order=(0, 1), unit=(units.pix, units.pix))
    sky = coordinate_frames.CelestialFrame(name="world", reference_frame=frame, unit=(units.deg, units.deg))
    result = gwcs.WCS([(detector, transform), (sky, None)])
    ny, nx = result.array_shape = tuple(wcs.array_shape)
    result.bounding_box = ((-0.5, nx - 0.5), (-0.5, ny - 0.5))
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(0, nx - 1, 9), np.linspace(0, ny - 1, 9)))
    apart = separation(vectors(*pixel_to_world(wcs)(x, y)), vectors(*pixel_to_world(result)(x, y)))
    return result if np.all(apart < SAME_PLACE) else None

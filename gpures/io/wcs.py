"""WCS on their way into a file: a gwcs as FITS keywords, and the keywords of a FITS WCS as a gwcs."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from gpures.wcs.sphere import separation, vectors
from gpures.wcs.tangent_plane import TangentPlane, tangent_plane_of
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
    frame = celestial_frame(wcs)
    if frame is not None and (plane := tangent_plane_of(wcs, shape)) is not None:
        return _of_plane(plane, frame), []
    box = ((-0.5, shape[1] - 0.5), (-0.5, shape[0] - 0.5))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is said of the accuracy stands in the header
            header = _plainly(wcs).to_fits_sip(bounding_box=box, max_pix_error=EXACT, projection=_projection(wcs))
    except (ValueError, RuntimeError, NotImplementedError) as error:
        log.warning("FITS keywords can't express the output WCS, the file has the gwcs alone: %s", error)
        return fits.Header(), []
    difference = header.get("SIPMXERR", 0.0)
    if not difference <= USEFUL:
        log.warning("FITS keywords would be off by %.2g pixel: the file has the gwcs alone.", difference)
        return fits.Header(), []
    if difference > EXACT:
        log.warning("FITS keywords stand for the output WCS within %.1g pixel; the gwcs is exact.", difference)
    _name_sky(header, frame)
    return _keywords(header), []


# Of the sky coordinates that FITS has, by the names of astropy's frames: the kind of axes, and RADESYS.
AXES = {"galactic": ("GLON", "GLAT"), "supergalactic": ("SLON", "SLAT"), "barycentricmeanecliptic": ("ELON", "ELAT")}
SYSTEMS = {"icrs": "ICRS", "fk5": "FK5", "fk4": "FK4", "fk4noeterms": "FK4-NO-E", "barycentricmeanecliptic": "FK5"}


def _of_plane(plane: TangentPlane, frame: Any) -> fits.Header:
    """Keywords of a tangent plane: its own numbers, so that its pixels are told for those of a grid."""
    header = fits.Header()
    header["WCSAXES"] = (2, "axes of the sky")
    for k in (0, 1):
        header[f"CRPIX{k + 1}"] = (plane.crpix[k] + 1.0, "pixel of the tangent point, from 1")
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        header[f"CD{row + 1}_{column + 1}"] = (float(plane.matrix[row, column]), "[deg] from pixels")
    for k, name in enumerate(("RA---TAN", "DEC--TAN")):
        header[f"CTYPE{k + 1}"] = (name, "gnomonic projection")
        header[f"CUNIT{k + 1}"] = "deg"
        header[f"CRVAL{k + 1}"] = (plane.crval[k], "[deg] tangent point")
    header["LONPOLE"] = (180.0, "[deg]")
    header["LATPOLE"] = (plane.crval[1], "[deg]")
    _name_sky(header, frame)
    return header


def _name_sky(header: fits.Header, frame: Any) -> None:
    """Say in which coordinates a WCS is."""
    for k, axis in enumerate(AXES.get(frame.name, ())):
        header[f"CTYPE{k + 1}"] = axis + header[f"CTYPE{k + 1}"][4:].rjust(4, "-")
        header.comments[f"CTYPE{k + 1}"] = f"{frame.name} coordinates"
    for keyword in ("RADESYS", "EQUINOX"):
        header.remove(keyword, ignore_missing=True)
    if (system := SYSTEMS.get(frame.name)) is not None:
        header["RADESYS"] = (system, "system of the coordinates")
    if (equinox := getattr(frame, "equinox", None)) is not None:
        header["EQUINOX"] = (equinox.byear if frame.name.startswith("fk4") else equinox.jyear, "[yr]")
    if frame.name.startswith("fk4") and abs(frame.obstime.jd - frame.equinox.jd) > 1.0:
        header["DATE-OBS"] = (frame.obstime.isot, "of the FK4 system, which turns")
        header["MJD-OBS"] = (frame.obstime.mjd, "[d] the same")


def _plainly(wcs: Any) -> Any:
    """A gwcs with the same numbers, but longitude first, in degrees, and as if it were in ICRS, which FITS has.

    Raises
    ------
    ValueError
        FITS has no keywords for its sky coordinates.
    """
    axes, frame = world_axes(wcs), celestial_frame(wcs)
    if frame is None or frame.name not in {**AXES, **SYSTEMS}:
        raise ValueError(f"FITS has no sky coordinates in {'unknown' if axes.sky is None else axes.sky.name}.")
    if len(axes.order) != 2 or (axes.order == (0, 1) and axes.factors == (1.0, 1.0) and frame.name == "icrs"):
        return wcs
    import gwcs
    from astropy import units
    from astropy.coordinates import ICRS
    from astropy.modeling import models
    from gwcs import coordinate_frames

    factors = models.Scale(axes.factors[0]) & models.Scale(axes.factors[1])
    sky = coordinate_frames.CelestialFrame(name="world", reference_frame=ICRS(), unit=(units.deg, units.deg))
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

"""Tangent planes: which WCS are one, and nothing else, and with what tangent point, pixel, and matrix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import numpy as np

from gpures.wcs.sphere import separation, vectors
from gpures.wcs.transforms import as_wcs, pixel_to_world

__all__ = ["TURNS", "TangentPlane", "tangent_plane_of"]

# Points per axis at which a plane is compared with its WCS, and how far apart they may be: pixels, and the rounding of
# positions in degrees.
POINTS = 9
SAME_PIXEL, ROUNDING = 1e-7, 3e-12

# Turns by right angles, and mirrored ones, which lead from pixels of a grid to pixels of it; none comes first.
_QUARTERS = [
    np.array(turn, float) for turn in ([[1, 0], [0, 1]], [[-1, 0], [0, -1]], [[0, -1], [1, 0]], [[0, 1], [-1, 0]])
]
TURNS = [*_QUARTERS, *(turn @ np.diag([-1.0, 1.0]) for turn in _QUARTERS)]

# Pixels between the places from which a gwcs's matrix is taken: rounding falls with it.
APART = 4096.0


@dataclass(frozen=True)
class TangentPlane:
    """An image in the gnomonic projection, without distortions.

    Attributes
    ----------
    crval : (float, float)
        Tangent point, longitude and latitude in degrees.
    crpix : (float, float)
        Its pixel, x and y from 0.
    matrix : ndarray (2, 2)
        Pixels to degrees east and north in the plane.
    """

    crval: tuple[float, float]
    crpix: tuple[float, float]
    matrix: np.ndarray

    @property
    def scale(self) -> float:
        """Root of the area of the pixel at the tangent point, degrees."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))

    def turned(self, turn: np.ndarray) -> TangentPlane:
        """The same grid, with pixels that are counted in other directions: ``turn @ (x, y)``."""
        x, y = turn @ np.array(self.crpix)
        return TangentPlane(self.crval, (float(x), float(y)), self.matrix @ turn.T)

    def directions(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Vectors (..., 3), of any length, towards pixels."""
        point, east, north = _axes(*self.crval)
        offsets = np.stack([x - self.crpix[0], y - self.crpix[1]], axis=-1)
        return point + np.radians(offsets @ self.matrix.T) @ np.stack([east, north])


def _axes(lon: float, lat: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors to a point of the sky, and to the east and the north there."""
    a, d = np.radians((lon, lat))
    east = np.array([-np.sin(a), np.cos(a), 0.0])
    north = np.array([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)])
    return np.cross(east, north), east, north


def tangent_plane_of(wcs: Any, shape: tuple[int, int]) -> TangentPlane | None:
    """The tangent plane that a WCS is, as far as an image reaches.

    Parameters
    ----------
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        WCS of an image.
    shape : (int, int)
        Its shape (Ny, Nx).

    Returns
    -------
    TangentPlane or None
        None of a WCS that is another projection, or has distortions.
    """
    adapted = as_wcs(wcs)
    try:
        plane = _of_keywords(wcs) if adapted is not wcs else _of_models(wcs)
    except (AttributeError, NotImplementedError, TypeError, ValueError, np.linalg.LinAlgError):
        return None  # it does not tell
    if plane is None or not plane.scale > 0:
        return None
    x, y = (grid.ravel() for grid in np.meshgrid(*(np.linspace(-0.5, n - 0.5, POINTS) for n in shape[::-1])))
    x, y = x[1:-1], y[1:-1]  # at the outermost corners some WCS end
    with np.errstate(invalid="ignore"):
        apart = separation(vectors(*pixel_to_world(wcs)(x, y)[:2]), plane.directions(x, y))
    return plane if np.all(apart <= SAME_PIXEL * plane.scale + ROUNDING) else None


def _of_keywords(wcs: Any) -> TangentPlane | None:
    """What the keywords of a FITS WCS say, as if they were all."""
    header = wcs.wcs
    if not all(kind[4:].startswith("-TAN") for kind in header.ctype):
        return None
    order = [header.lng, header.lat]
    factors = np.array(as_wcs(wcs).axes.factors)
    lon, lat = np.asarray(header.crval)[order] * factors
    crpix = header.crpix - 1.0
    matrix = _north_up(header.lonpole) @ (wcs.pixel_scale_matrix[order] * factors[:, None])
    return TangentPlane((lon % 360.0, lat), tuple(crpix.tolist()), matrix)


def _north_up(lonpole: float) -> np.ndarray:
    """From a plane whose native longitude of the pole is any, such as 0 at the pole itself, to one of 180 degrees."""
    if lonpole == 180.0:
        return np.eye(2)
    c, s = np.cos(np.radians(180.0 - lonpole)), np.sin(np.radians(180.0 - lonpole))
    return np.array([[c, -s], [s, c]])


def _of_models(wcs: Any) -> TangentPlane | None:
    """What the transform of a gwcs says, where it is an affine one, the projection, and its place on the sky."""
    from astropy.modeling import models

    transform = wcs.forward_transform
    steps = _chain(getattr(transform, "forward", transform))  # of gwcs's FITSImagingWCSTransform
    projections = [k for k, step in enumerate(steps) if isinstance(step, models.Pix2Sky_TAN)]
    if len(projections) != 1 or not 0 < projections[0] < len(steps) - 1:
        return None
    at = projections[0]
    rotation = steps[at + 1]
    if not isinstance(rotation, models.RotateNative2Celestial):
        return None
    places = np.array([[0.0, 0.0], [APART, 0.0], [0.0, APART]])
    plane = np.stack(reduce(or_, steps[:at])(*places.T, with_bounding_box=False), axis=-1)
    matrix = (plane[1:] - plane[0]).T / APART
    crpix = -np.linalg.solve(matrix, plane[0])
    matrix = _north_up(float(rotation.lon_pole.value)) @ matrix
    return TangentPlane((float(rotation.lon.value) % 360.0, float(rotation.lat.value)), tuple(crpix.tolist()), matrix)


def _chain(model: Any) -> list[Any]:
    """Models of which one is what goes through one after the other."""
    if getattr(model, "op", None) == "|":
        return [*_chain(model.left), *_chain(model.right)]
    return [model]

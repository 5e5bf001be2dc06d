"""Where an exposure lies on the sky: the outline of its pixels, as unit vectors, which know no pole and no RA of 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpures.box import Box
from gpures.errors import UnsupportedWCSError
from gpures.wcs.sky_systems import SkySystem
from gpures.wcs.sphere import angles, separation, vectors
from gpures.wcs.transforms import Transform, axes_type, pixel_to_world, resample_range

__all__ = ["Footprint", "Way", "angles", "footprint_by", "footprint_of", "outline", "separation", "vectors"]

# Pixel coordinates to longitude and latitude in degrees.
Way = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

# Pixels between the points of an outline. Between two of them an edge of a strongly distorted detector (60 pixels at
# the corners of 2048 x 2048) leaves the straight line by 0.005 pixels.
SPACING = 8


@dataclass(frozen=True)
class Footprint:
    """An exposure on the sky.

    Attributes
    ----------
    name : str
        The exposure's.
    edge : ndarray of float64 (n, 3)
        Unit vectors along the outer edges of those of its pixels that are used, once around, in the system of the
        output frame.
    centre, above : ndarray of float64 (3,)
        Unit vectors of its middle, and of what lies half a pixel further along +y.
    """

    name: str
    edge: np.ndarray
    centre: np.ndarray
    above: np.ndarray

    @property
    def radius(self) -> float:
        """Degrees from the middle to the farthest corner."""
        return float(separation(self.edge, self.centre).max())


def outline(xmin: float, xmax: float, ymin: float, ymax: float, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Points along the outer edges of the outermost pixels, once around; corners come twice.

    Parameters
    ----------
    xmin, xmax, ymin, ymax : float
        First and last pixels.
    step : float
        Greatest distance of neighbouring points, pixels.

    Returns
    -------
    x, y : ndarray of float64 (n,)
        Pixel coordinates.
    """
    x = np.linspace(xmin - 0.5, xmax + 0.5, math.ceil((xmax - xmin + 1) / step) + 1)
    y = np.linspace(ymin - 0.5, ymax + 0.5, math.ceil((ymax - ymin + 1) / step) + 1)
    low, left = np.full_like(x, y[0]), np.full_like(y, x[0])
    high, right = np.full_like(x, y[-1]), np.full_like(y, x[-1])
    return np.concatenate([x, right, x[::-1], left]), np.concatenate([low, y, high, y[::-1]])


def footprint_of(name: str, wcs: Any, shape: tuple[int, int], sky: SkySystem | None = None) -> Footprint:
    """Footprint of an exposure.

    Parameters
    ----------
    name : str
        What it is called in errors.
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        Its WCS; of an array with a bounding box only what is inside counts, as for `gpures.Resample`.
    shape : (int, int)
        Shape (Ny, Nx) of its array.
    sky : SkySystem, optional
        System of the vectors; by default that of the WCS.

    Raises
    ------
    ValueError
        The WCS is not one of an image, finite nowhere along the edges, or in a system that can't be converted.
    """
    axes = axes_type(wcs)
    if axes.count("SPATIAL") != 2 or len(axes) != 2:
        raise ValueError(
            f"{name}: a frame is made of WCS with two celestial axes, and this one has axes of the types {axes}. "
            "Give 'output_wcs'."
        )
    try:
        forward = pixel_to_world(wcs, sky)
    except UnsupportedWCSError as error:
        raise ValueError(f"{name}: {error}") from error
    return footprint_by(name, forward, resample_range(shape, wcs))


def footprint_by(name: str, forward: Transform | Way, limits: Box) -> Footprint:
    """Footprint of an exposure of which only the way to the sky is known.

    Parameters
    ----------
    name : str
        What it is called in errors.
    forward : callable
        Pixels to longitude and latitude in degrees.
    limits : Box
        Pixels that are used.

    Raises
    ------
    ValueError
        It is finite nowhere along the edges.
    """
    edge = _edge(forward, *limits)
    x, y = 0.5 * (limits[0] + limits[1]), 0.5 * (limits[2] + limits[3])
    centre, above = vectors(*forward(np.array([x, x]), np.array([y - 0.5, y + 0.5])))
    middle = centre + above
    if not len(edge) or not np.isfinite(middle).all():
        where = "in its middle" if len(edge) else "along the edges"
        raise ValueError(f"{name}: its WCS gives no finite coordinates {where}.")
    return Footprint(name, edge, middle / np.linalg.norm(middle), above)


def _edge(forward: Transform | Way, xmin: int, xmax: int, ymin: int, ymax: int) -> np.ndarray:
    """Unit vectors along the outer edges, as far as they are finite.

    Some WCS end at the centres of the outermost pixels; from there the last half pixel is extrapolated.
    """
    x, y = outline(xmin, xmax, ymin, ymax, SPACING)
    edge = vectors(*forward(x, y))
    lost = ~np.isfinite(edge).all(axis=1)
    if lost.any():
        x, y = x[lost], y[lost]
        last, inner = (
            vectors(*forward(np.clip(x, xmin + k, xmax - k), np.clip(y, ymin + k, ymax - k))) for k in (0, 1)
        )
        edge[lost] = 1.5 * last - 0.5 * inner
    return edge[np.isfinite(edge).all(axis=1)]

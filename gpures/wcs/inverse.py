"""World to pixel coordinates where a WCS can only be evaluated the other way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpures.wcs.sphere import vectors

__all__ = ["NumericalInverse", "roots"]

# Pixels. Steps get smaller by a factor of 1e-3 or less near a root, so that what is left after one this small is
# rounding; where rounding is larger, since pixels are of some microarcsec, steps stop to get smaller below ENOUGH.
TOLERANCE = 1e-7
ENOUGH = 1e-5
STEPS = 30

# Distance (pixels) of the points between which a derivative is taken; how many steps are taken with the same ones.
APART = 1.0 / 64.0
WITH_THE_SAME = 6

# Samples per axis of the area whose inverse is wanted. From the nearest one, Newton's method begins.
SAMPLES = 33

# Of so many samples nearby, one may lie on the other side of the area, where that ends at a seam of the sky.
NEARBY = 8


def roots(function: Callable[..., Any], x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where two functions of two coordinates vanish, by Newton's method.

    Parameters
    ----------
    function : callable
        Coordinates, and the numbers of the points that they belong to, to the two values there.
    x, y : ndarray of float64 (n,)
        Where to begin, pixels.

    Returns
    -------
    x, y : ndarray of float64 (n,)
        NaN where it does not converge.
    """
    found = np.full((2, x.size), np.nan)
    of = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    at, step = np.stack([x[of], y[of]]), np.zeros((2, of.size))
    inverse = np.full((2, 2, of.size), np.nan)
    for number in range(STEPS):
        if not of.size:
            break
        if number % WITH_THE_SAME == 0:
            # All in one call, as most of its cost does not depend on the number of points.
            aside = at[:, None] + APART * np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])[:, :, None]
            values = np.reshape(function(*aside.reshape(2, -1), np.tile(of, 3)), aside.shape)
            value = values[:, 0]
            (a, b), (c, d) = (values[:, 1:] - values[:, :1]) / APART
            new = np.array([[d, -b], [-c, a]]) / (a * d - b * c)
            inverse = np.where(np.isfinite(new).all(axis=(0, 1)), new, inverse)
        else:
            value = np.asarray(function(*at, of))
        last = np.hypot(*step)
        new = -np.einsum("ijk,jk->ik", inverse, value)
        # A step to where there is no value is halved.
        step = np.where(np.isfinite(new), new, -0.5 * step)
        at = at + step
        size = np.hypot(*step)
        done = np.isfinite(new).all(axis=0) & (
            (size <= TOLERANCE) | ((size <= ENOUGH) & ((size >= last) & (last > 0) | (number == STEPS - 1)))
        )
        found[:, of[done]] = at[:, done]
        going = ~done & np.isfinite(at).all(axis=0) & (size > 0)
        of, at, step, inverse = of[going], at[:, going], step[:, going], inverse[..., going]
    return found[0], found[1]


class NumericalInverse:
    """World to pixel coordinates of a WCS, by Newton's method on its pixel to world coordinates.

    Parameters
    ----------
    forward : callable
        Pixel coordinates to longitude and latitude in degrees.
    area : ((float, float), (float, float))
        ((xmin, xmax), (ymin, ymax)) in which, or near which, results are expected, pixels.
    """

    def __init__(self, forward: Callable[..., Any], area: tuple[tuple[float, float], tuple[float, float]]):
        from scipy.spatial import cKDTree  # which few need

        # In the middles of cells: at a pole, which may be an edge, all pixels are in one place.
        middles = (np.arange(SAMPLES) + 0.5) / SAMPLES
        x, y = (grid.ravel() for grid in np.meshgrid(*(low + (high - low) * middles for low, high in area)))
        with np.errstate(invalid="ignore"):
            directions = vectors(*forward(x, y)[:2])
        good = np.isfinite(directions).all(axis=-1)
        self._forward = forward
        self._limits = np.array(area)
        self._samples = np.stack([x[good], y[good]])
        self._tree = cKDTree(directions[good])

    def __call__(self, lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixel coordinates of longitudes and latitudes in degrees; NaN where there are none."""
        shape = np.shape(lon)
        lon, lat = np.ravel(lon), np.ravel(lat)
        known = np.flatnonzero(np.isfinite(lon) & np.isfinite(lat))
        result = np.full((2, lon.size), np.nan)
        if known.size and self._tree.n:
            target = vectors(lon[known], lat[known])
            result[:, known] = self._inverted(target, np.radians(lon[known]), np.radians(lat[known]))
        return result[0].reshape(shape), result[1].reshape(shape)

    def _inverted(self, target: np.ndarray, lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        east = np.stack([-np.sin(lon), np.cos(lon), np.zeros_like(lon)], axis=-1)
        north = np.cross(target, east)

        def offset(x: np.ndarray, y: np.ndarray, of: np.ndarray) -> np.ndarray:
            """Offsets to the east and to the north, radians along the great circle."""
            there = vectors(*self._forward(x, y)[:2])
            plane = np.stack([np.sum(axis[of] * there, axis=-1) for axis in (east, north)])
            sine = np.hypot(*plane)
            angle = np.arctan2(sine, np.sum(target[of] * there, axis=-1))
            return plane * np.where(sine > 0, angle / np.where(sine > 0, sine, 1.0), 1.0)

        nearest = self._samples[:, self._tree.query(target)[1]]
        with np.errstate(all="ignore"):  # far from the detector a distortion may be anything
            found = np.stack(roots(offset, *nearest))
            beside = np.flatnonzero(~self._holds(found))
            seam, start = self._other_side(target[beside], nearest[:, beside])
            again = beside[seam]
            other = np.stack(roots(lambda x, y, of: offset(x, y, again[of]), *start))
        better = self._holds(other)
        found[:, again[better]] = other[:, better]
        return found[0], found[1]

    def _holds(self, pixels: np.ndarray) -> np.ndarray:
        """Whether pixels lie in the area, or on its edge."""
        low, high = self._limits.T[:, :, None]
        return ((pixels >= low - 1.0) & (pixels <= high + 1.0)).all(axis=0)

    def _other_side(self, target: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Those directions that have a sample nearby far from where it was begun, and that sample."""
        if not len(target):
            return np.zeros(0, int), np.zeros((2, 0))
        _, nearby = self._tree.query(target, k=min(NEARBY, self._tree.n))
        samples = self._samples[:, nearby.reshape(len(target), -1)]
        size = np.ptp(self._limits, axis=1)[:, None, None]
        far = (np.abs(samples - start[:, :, None]) > 0.5 * size).any(axis=0)
        seam = np.flatnonzero(far.any(axis=1))
        return seam, samples[:, seam, far[seam].argmax(axis=1)]

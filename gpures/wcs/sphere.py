"""Directions on the sky as unit vectors, which know no pole and no longitude of 0."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["angles", "separation", "triangle_areas", "vectors"]


def vectors(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Unit vectors (..., 3) of longitudes and latitudes in degrees."""
    lon, lat = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def angles(directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes (0 to 360) and latitudes, in degrees, of vectors (..., 3) of any length."""
    x, y, z = np.moveaxis(np.asarray(directions), -1, 0)
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


def separation(first: np.ndarray, second: np.ndarray) -> Any:
    """Angle between unit vectors (..., 3), in degrees; exact for small angles, too."""
    return np.degrees(2.0 * np.arcsin(np.clip(0.5 * np.linalg.norm(first - second, axis=-1), 0.0, 1.0)))


def triangle_areas(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Solid angles (sr) of spherical triangles between unit vectors (..., 3), positive where a, b, c turn to the left.

    The formula of Van Oosterom & Strackee (1983, IEEE Trans. Biomed. Eng. 30, 125). The differences of near vectors are
    exact, so that the smallest triangles are as good as the vectors themselves.

    Parameters
    ----------
    a, b, c : ndarray of float64 (..., 3)
        Unit vectors to the corners.
    """
    volume = np.sum(a * np.cross(b - a, c - a), axis=-1)
    return 2.0 * np.arctan2(volume, 1.0 + np.sum(a * b, axis=-1) + np.sum(b * c, axis=-1) + np.sum(c * a, axis=-1))

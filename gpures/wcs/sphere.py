"""Directions on the sky as unit vectors, which know no pole and no longitude of 0.

The formulas are those of ERFA, which comes with astropy. It is imported by what needs it: that takes longer than the
rest of gpures. Its longitudes and latitudes are radians, these are degrees.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["angles", "quadrilateral_areas", "separation", "triangle_areas", "turned", "vectors"]


def vectors(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Unit vectors (..., 3) of longitudes and latitudes in degrees."""
    import erfa

    return erfa.s2c(np.radians(lon), np.radians(lat))


def angles(directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes (0 to 360) and latitudes, in degrees, of vectors (..., 3) of any length; NaN where one has a NaN."""
    import erfa

    lon, lat = erfa.c2s(directions)
    # Where z is 0 ERFA's latitude is 0, whatever x and y.
    return np.degrees(lon) % 360.0, np.degrees(np.where(np.isnan(lon), np.nan, lat))


def separation(first: np.ndarray, second: np.ndarray) -> Any:
    """Angle between vectors (..., 3), in degrees; exact for small angles, and for those near 180."""
    import erfa

    return np.degrees(erfa.sepp(first, second))


def turned(directions: np.ndarray, pole: np.ndarray, angle: float) -> np.ndarray:
    """Directions turned about a pole, anticlockwise as seen from its end.

    Parameters
    ----------
    directions : ndarray of float64 (..., 3)
        Unit vectors.
    pole : ndarray of float64 (3,)
        Unit vector.
    angle : float
        Radians.
    """
    import erfa

    # ERFA's matrix turns the axes, and its transpose what they hold.
    return erfa.trxp(erfa.rv2m(angle * pole), directions)


def triangle_areas(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Solid angles (sr) of spherical triangles between unit vectors (..., 3), positive where a, b, c turn to the left.

    The formula of Van Oosterom & Strackee (1983, IEEE Trans. Biomed. Eng. 30, 125). The differences of near vectors are
    exact, so that the smallest triangles are as good as the vectors themselves.

    Parameters
    ----------
    a, b, c : ndarray of float64 (..., 3)
        Unit vectors to the corners.
    """
    import erfa

    volume = erfa.pdp(a, erfa.pxp(b - a, c - a))
    return 2.0 * np.arctan2(volume, 1.0 + erfa.pdp(a, b) + erfa.pdp(b, c) + erfa.pdp(c, a))


def quadrilateral_areas(corners: np.ndarray) -> np.ndarray:
    """Solid angles (ny, nx, ...), sr, between great circles through a grid of unit vectors (ny + 1, nx + 1, ..., 3)."""
    a, b, c, d = corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1]
    return triangle_areas(a, b, c) + triangle_areas(a, c, d)

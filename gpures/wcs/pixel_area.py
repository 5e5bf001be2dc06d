"""The mean area of pixels on the sky: the integral of a WCS's Jacobian over them.

A WCS that is smooth is evaluated at some thousand points, and the integral is good to the rounding of its coordinates.
Of others, those with lookup tables or parts that are not finite, small cells are taken one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.polynomial import chebyshev

from gpures.box import Box
from gpures.wcs.sphere import quadrilateral_areas, vectors

__all__ = ["mean_area"]

# Intervals per axis between the points at which a smooth WCS is evaluated, tried in turn; every second point makes an
# integral of its own, to compare with. The first is enough for the distortions of a detector, the last for the sky.
INTERVALS = (32, 64, 128)

# Relative difference of the two. What converges as that of a smooth function does is then good to 1e-12.
CONVERGED = 1e-8

# Cells per axis that others are divided into, and how many are divided further where a part of them is not finite.
CELLS = 64
MOST = 1 << 16

# An area below this fraction of the squared extent is rounding: pixels that lie on a line, such as those of a slit.
FLAT = 1e-8

_Forward = Callable[..., tuple[np.ndarray, ...]]


def mean_area(forward: _Forward, limits: Box, is_smooth: bool) -> float | None:
    """Mean solid angle of pixels.

    Parameters
    ----------
    forward : callable
        Pixel coordinates, arrays of one shape, to longitude and latitude in degrees.
    limits : (int, int, int, int)
        xmin, xmax, ymin, ymax of the pixels, the last ones included.
    is_smooth : bool
        Whether it is known to be free of lookup tables.

    Returns
    -------
    float or None
        Steradians. Pixels that are not finite are left out; None where all are, or where pixels have no area.
    """
    xmin, xmax, ymin, ymax = limits
    if xmax < xmin or ymax < ymin:
        return None
    if is_smooth and (area := _integral(forward, limits)):
        return area / ((xmax - xmin + 1) * (ymax - ymin + 1))
    area = _of_cells(forward, Box(xmin, xmax + 1, ymin, ymax + 1), -0.5)
    # Some WCS end at the centres of the outermost pixels, which of small images leaves no pixel whole.
    return area if area is not None else _of_cells(forward, limits, 0.0)


def _directions(forward: _Forward, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Unit vectors (..., 3) at pixel coordinates."""
    lon, lat = forward(x.ravel(), y.ravel())[:2]
    with np.errstate(invalid="ignore"):
        return vectors(lon, lat).reshape(*x.shape, 3)


# ---- smooth ----------------------------------------------------------------------------------------------------------


def _integral(forward: _Forward, limits: Box) -> float | None:
    """Solid angle of pixels by Clenshaw & Curtis's quadrature; None where it does not converge."""
    xmin, xmax, ymin, ymax = limits
    for n in INTERVALS:
        nodes = 0.5 * (1.0 - np.cos(np.pi * np.arange(n + 1) / n))
        x, y = xmin - 0.5 + (xmax - xmin + 1) * nodes, ymin - 0.5 + (ymax - ymin + 1) * nodes
        points = _directions(forward, *np.meshgrid(x, y))
        if not np.isfinite(points).all():
            return None
        fine, coarse = _solid_angle(points), _solid_angle(points[::2, ::2])
        if fine and coarse and abs(fine - coarse) <= CONVERGED * fine:
            return fine
    return None


def _solid_angle(points: np.ndarray) -> float | None:
    """Integral of the Jacobian between Chebyshev points (n, n, 3); None where it has both signs."""
    weights, derivative = _quadrature(len(points) - 1)
    moved = points - points[len(points) // 2, len(points) // 2]  # which leaves the digits to the differences
    along_x, along_y = np.einsum("ij,ajk->aik", derivative, moved), np.einsum("ij,jbk->ibk", derivative, moved)
    jacobian = np.sum(points * np.cross(along_x, along_y), axis=-1)
    total = float(weights @ jacobian @ weights)
    jacobian *= np.sign(total)
    # At a pole, where it is 0, it is rounding.
    return abs(total) if jacobian.min() >= -CONVERGED * jacobian.max() else None


@lru_cache
def _quadrature(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the integral over n + 1 Chebyshev points of [-1, 1], and matrix of the derivative at them."""
    values = chebyshev.chebvander(-np.cos(np.pi * np.arange(n + 1) / n), n)
    coefficients = np.linalg.inv(values)
    degree = np.arange(n + 1)
    integrals = np.where(degree % 2 == 0, 2.0 / np.where(degree % 2 == 0, 1.0 - degree**2, 1.0), 0.0)
    return integrals @ coefficients, values[:, :n] @ chebyshev.chebder(coefficients)


# ---- not smooth ------------------------------------------------------------------------------------------------------


def _of_cells(forward: _Forward, limits: Box, offset: float) -> float | None:
    """Mean area of the pixels between two columns and two rows of lines, as far as the WCS is finite; None if nowhere.

    A cell of which a part is not finite is divided, down to single pixels.
    """
    xmin, xmax, ymin, ymax = limits
    across = np.unique(np.linspace(xmin, xmax, min(CELLS, xmax - xmin) + 1).astype(int))
    upwards = np.unique(np.linspace(ymin, ymax, min(CELLS, ymax - ymin) + 1).astype(int))
    (left, bottom), (right, top) = (np.meshgrid(across[k], upwards[k]) for k in (slice(-1), slice(1, None)))
    cells = np.stack([edge.ravel() for edge in (left, right, bottom, top)])
    area, pixels, extent = 0.0, 0, 0.0
    while 0 < cells.shape[1] <= MOST:
        left, right, bottom, top = cells
        # Corners and middles of a cell, (3, 3) of them, in half pixels, each of which is evaluated once.
        x = np.broadcast_to(np.stack([2 * left, left + right, 2 * right]), (3, 3, left.size))
        y = np.broadcast_to(np.stack([2 * bottom, bottom + top, 2 * top])[:, None], x.shape)
        number, where = np.unique(y * (2 * xmax + 1) + x, return_inverse=True)
        places = np.stack([number % (2 * xmax + 1), number // (2 * xmax + 1)]) / 2.0 + offset
        points = _directions(forward, *places)[where.reshape(x.shape)]
        finite = np.isfinite(points).all(axis=-1)
        whole = finite.all(axis=(0, 1))
        area += float(_cell_areas(points[:, :, whole]).sum())
        size = (right - left) * (top - bottom)
        pixels += int(size[whole].sum())
        if whole.any():
            middle = points[1, 1, whole]
            extent = max(extent, float(np.linalg.norm(middle - middle[0], axis=-1).max()))
        cells = _quarters(*cells[:, finite.any(axis=(0, 1)) & ~whole & (size > 1)])
    return area / pixels if area > FLAT * extent**2 else None


def _cell_areas(points: np.ndarray) -> np.ndarray:
    """Solid angles of cells of which 3 x 3 points are known, unit vectors (3, 3, n, 3)."""
    # Their edges are great circles, and the cells' are not. The difference falls with the square of their length, so
    # that the areas of whole cells and of their quarters tell what there would be without (Richardson).
    whole, quarters = (np.sum(quadrilateral_areas(corners), axis=(0, 1)) for corners in (points[::2, ::2], points))
    return np.abs(quarters + (quarters - whole) / 3.0)


def _quarters(left: np.ndarray, right: np.ndarray, bottom: np.ndarray, top: np.ndarray) -> np.ndarray:
    """The four parts of each cell, or the two of one that is a pixel wide or high."""
    x, y = (left + right) // 2, (bottom + top) // 2
    parts = np.concatenate([(left, x, bottom, y), (x, right, bottom, y), (left, x, y, top), (x, right, y, top)], axis=1)
    return parts[:, (parts[1] > parts[0]) & (parts[3] > parts[2])]

"""A smooth pixel map that is known at few points: a polynomial through them, and the spline that agrees with it.

Most of what a pixel map costs is the WCS at the points of a spline's grid. Where a polynomial through some hundreds of
points agrees with the WCS between them, it tells the rest.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from gpures.exposure.whole_move import SUPPORT

__all__ = ["Polynomial", "between", "spline_factors", "spline_knots"]

# Points per axis, tried in turn: as many as coefficients.
NODES = (17, 33)

# Cells per axis, in each of which the map is verified.
CELLS = 24

# The polynomial, which tells the map between points that are verified, is to be so many times better than the map.
TIMES_BETTER = 10.0


def between(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points off an even grid, at which what goes through it is verified.

    In each cell of the grid one point, near its middle, where an interpolating spline is worst, but moved about so
    that nothing periodic hides; the outermost cells, where a spline has least support, have a second one.

    Parameters
    ----------
    x, y : ndarray
        Columns and rows of the grid.
    """
    cells_x, cells_y = np.meshgrid(np.arange(x.size - 1), np.arange(y.size - 1))
    golden = 0.6180339887498949  # its multiples fill an interval evenly
    number = np.arange(cells_x.size).reshape(cells_x.shape)
    fx, fy = 0.35 + 0.3 * (number * golden % 1.0), 0.35 + 0.3 * (number * golden**2 % 1.0)
    edge = (cells_x % (x.size - 2) == 0) | (cells_y % (y.size - 2) == 0)
    at_x = np.concatenate([(cells_x + fx).ravel(), (cells_x + 1.0 - fx)[edge]]) * (x[1] - x[0]) + x[0]
    at_y = np.concatenate([(cells_y + fy).ravel(), (cells_y + 1.0 - fy)[edge]]) * (y[1] - y[0]) + y[0]
    return at_x, at_y


def spline_knots(points: np.ndarray) -> np.ndarray:
    """Knots of the cubic spline through values at so many points: all but the second and the last but one."""
    return np.concatenate([np.repeat(points[0], SUPPORT), points[2:-2], np.repeat(points[-1], SUPPORT)])


def spline_factors(knots: np.ndarray, order: int, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each place, the first coefficient that a spline depends on there, and the factors of all it depends on.

    Parameters
    ----------
    knots : ndarray
        The spline's, ascending.
    order : int
        Its order.
    at : ndarray
        Places between the first knot and the last.

    Returns
    -------
    ndarray (n,), ndarray (n, order + 1)
    """
    from scipy.interpolate import BSpline  # here, as it takes longer to import than gpures

    basis = BSpline.design_matrix(at, knots, order)
    shape = at.size, order + 1
    return basis.indices.reshape(shape)[:, 0].copy(), basis.data.reshape(shape)


def _through_nodes(count: int, at: np.ndarray) -> np.ndarray:
    """Matrix from values at the nodes to those of the polynomial through them, by the barycentric formula."""
    weights = (-1.0) ** np.arange(count)
    weights[[0, -1]] *= 0.5
    distance = at[:, None] - _nodes(count)
    is_node = distance == 0.0
    terms = weights / np.where(is_node, 1.0, distance)
    matrix = terms / terms.sum(axis=1, keepdims=True)
    return np.where(is_node.any(axis=1, keepdims=True), is_node, matrix)


def _nodes(count: int) -> np.ndarray:
    """Chebyshev's extrema, from -1 to 1, ascending."""
    return np.cos(np.pi * np.arange(count - 1, -1, -1) / (count - 1))


@lru_cache
def _verified_at() -> tuple[np.ndarray, np.ndarray]:
    """Where the map is verified, on the square from -1 to 1."""
    cells = np.linspace(-1.0, 1.0, CELLS + 1)
    return between(cells, cells)


@lru_cache
def _polynomial_matrices(count: int) -> tuple[np.ndarray, np.ndarray]:
    """From values at nodes to the polynomial where it is verified, along either axis."""
    at_x, at_y = _verified_at()
    return _through_nodes(count, at_x), _through_nodes(count, at_y)


@lru_cache
def _spline_matrices(count: int, points: int) -> tuple[np.ndarray, ...]:
    """Of a spline through so many points of a polynomial through so many nodes.

    From values at nodes to the spline's coefficients along an axis, and to the polynomial in the middle between two
    points.
    """
    grid = np.linspace(-1.0, 1.0, points)
    first, factors = _factors_at(points, grid)
    to_grid = np.zeros((points, points))
    np.put_along_axis(to_grid, first[:, None] + np.arange(SUPPORT), factors, axis=1)
    coefficients = np.linalg.solve(to_grid, _through_nodes(count, grid))
    return coefficients, _through_nodes(count, _middles(points))


def _middles(points: int) -> np.ndarray:
    grid = np.linspace(-1.0, 1.0, points)
    return 0.5 * (grid[1:] + grid[:-1])


def _factors_at(points: int, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return spline_factors(spline_knots(np.linspace(-1.0, 1.0, points)), SUPPORT - 1, at)


@lru_cache
def _spline_where_verified(points: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """What a spline through so many points depends on where it is verified, along x and y, and in the middles."""
    return tuple(_factors_at(points, at) for at in (*_verified_at(), _middles(points)))


def _at_pairs(of_y: np.ndarray, values: np.ndarray, of_x: np.ndarray) -> np.ndarray:
    """Products of functions of y and of x, of each of several arrays [y, x], at pairs of places; shape (several, n)."""
    return ((of_y @ values) * of_x).sum(axis=-1)


def _along_rows(first: np.ndarray, factors: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Splines at some places along the last axis but one."""
    return (coefficients[..., first[:, None] + np.arange(SUPPORT), :] * factors[:, :, None]).sum(axis=-2)


class Polynomial:
    """What a pixel map is at some hundreds of points, and a polynomial in x and y through some of them.

    Parameters
    ----------
    pixel_to_pixel : callable
        x and y of pixels to x and y in the output, arrays.
    first, last : (float, float)
        x and y of the first and of the last pixel of a rectangle.
    nodes : int
        Of the points, those that the polynomial goes through, along each axis.

    Attributes
    ----------
    pixels, places : (ndarray, ndarray)
        x and y of the points, and of where the map has them.
    """

    def __init__(self, pixel_to_pixel, first: tuple[float, float], last: tuple[float, float], nodes: int):
        self._count = nodes
        grids = np.meshgrid(_nodes(nodes), _nodes(nodes))
        own = [np.concatenate([grid.ravel(), at]) for grid, at in zip(grids, _verified_at(), strict=True)]
        self.pixels = [a + 0.5 * (b - a) * (axis + 1.0) for axis, a, b in zip(own, first, last, strict=True)]
        self.places = [np.asarray(axis) for axis in pixel_to_pixel(*(axis.copy() for axis in self.pixels))]

        n = nodes * nodes
        self._values = np.stack([axis[:n].reshape(nodes, nodes) for axis in self.places])
        self._known = np.stack([axis[n:] for axis in self.places])

    @property
    def is_finite(self) -> bool:
        """Whether all places are."""
        return bool(np.isfinite(self._values).all() and np.isfinite(self._known).all())

    def worst(self) -> float:
        """Largest distance along an axis between the polynomial and the map where that is verified, output pixels."""
        of_x, of_y = _polynomial_matrices(self._count)
        return float(np.abs(_at_pairs(of_y, self._values, of_x) - self._known).max())

    def spline(self, points: int) -> tuple[np.ndarray, float]:
        """A bicubic spline that goes through the polynomial at an even grid.

        Parameters
        ----------
        points : int
            Of the grid, along each axis.

        Returns
        -------
        ndarray (2, rows, columns)
            Its coefficients, for x and for y in the output.
        float
            Largest distance along an axis between it and the map where that is verified, and between it and the
            polynomial in the middles of the grid's cells, output pixels.
        """
        to_coefficients, to_middles = _spline_matrices(self._count, points)
        (first_x, of_x), (first_y, of_y), middles = _spline_where_verified(points)
        c = to_coefficients @ self._values @ to_coefficients.T
        support = np.arange(SUPPORT)
        read = c[:, first_y[:, None, None] + support[:, None], first_x[:, None, None] + support]
        there = ((read * of_x[:, None, :]).sum(axis=-1) * of_y).sum(axis=-1)
        missed = float(np.abs(there - self._known).max())
        in_middles = _along_rows(*middles, _along_rows(*middles, c).swapaxes(1, 2)).swapaxes(1, 2)
        between_points = float(np.abs(in_middles - to_middles @ self._values @ to_middles.T).max())
        return c, max(missed, between_points)

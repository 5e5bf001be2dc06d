"""The area of output pixels over that of an exposure's, at each of its pixels: what values per pixel are scaled by.

Both areas are those on the sky, from differences of directions: neither poles nor seams are in their way. Where the
ratio is smooth, a polynomial through some hundred points has it, which is verified between them; else it is computed at
every pixel, when it is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.polynomial import chebyshev

from gpures.box import AT_ONCE, Box, row_blocks
from gpures.wcs.sphere import vectors
from gpures.wcs.transforms import Transform

__all__ = ["AreaRatio", "area_ratio"]

# Terms of the polynomial along each axis, tried in turn, and how well it must hold between its points.
TERMS = (6, 12, 24, 48)
TOLERANCE = 2e-7

# Points along each axis at which it is verified.
CHECKS = 11

# Directions that are so many radians apart have a difference with enough digits; half a pixel is less only where
# pixels are smaller than 0.04 arcsec.
APART = 1e-7

# Parts of a step that are tried beside the edge of a map of the sky, where a whole one ends beyond it.
EDGE_STEPS = 0.1, 0.01

# Pixels at each of which a ratio that is no polynomial is computed, for some seconds.
AFFORDABLE = 1 << 20


@dataclass(frozen=True)
class _Areas:
    """Areas of pixels on the sky, and where the step of their differences is set."""

    forward: Transform
    step: float = 0.5

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Steradians at pixel coordinates (n,)."""
        areas = self._by_steps(x, y, self.step)
        for part in EDGE_STEPS:
            beside = np.isfinite(x) & np.isfinite(y) & ~np.isfinite(areas)
            if beside.any():
                areas[beside] = self._by_steps(x[beside], y[beside], part * self.step)
        return areas

    def _by_steps(self, x: np.ndarray, y: np.ndarray, step: float) -> np.ndarray:
        # Differences over a whole step and over half of one tell what there would be without (Richardson).
        far, near = step, 0.5 * step
        none = np.zeros(4)
        along = np.array([far, -far, near, -near])
        dx, dy = np.concatenate([along, none]), np.concatenate([none, along])
        points = vectors(*self.forward((x + dx[:, None]).ravel(), (y + dy[:, None]).ravel())[:2]).reshape(2, 4, -1, 3)
        wide, narrow = (points[:, k] - points[:, k + 1] for k in (0, 2))
        along_x, along_y = (8.0 * narrow - wide) / (6.0 * step)
        return np.linalg.norm(np.cross(along_x, along_y), axis=-1)

    def stepped_for(self, x: float, y: float, most: float) -> _Areas:
        """The same, with steps large enough for the digits of coordinates, and no larger than a number of pixels."""
        size = float(np.sqrt(self(np.array([x]), np.array([y]))[0]))
        wanted = APART / (2.0 * size) if size > 0 else 0.5
        return replace(self, step=min(max(0.5, wanted), max(0.5, most)))


@dataclass(frozen=True)
class AreaRatio:
    """Output over input pixel area, at all pixels of an exposure.

    Attributes
    ----------
    shape : (int, int)
        Shape (Ny, Nx) of the exposure.
    window : (float, float, float, float)
        First and last x, and first and last y, between which it is defined; beyond them it is what it is there.
    inverse : callable
        Coordinates x (n,) and y (m,) to the inverse of the ratio at all of their combinations (m, n).
    """

    shape: tuple[int, int]
    window: tuple[float, float, float, float]
    inverse: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def rows(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks of rows, and the ratio in them; NaN where no output pixel lies under a pixel."""
        columns = np.arange(self.shape[1], dtype=float)
        for rows in row_blocks(self.shape):
            yield rows, self.at(columns, np.arange(rows.start, rows.stop, dtype=float))

    def at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The ratio (m, n) in columns x (n,) and rows y (m,)."""
        x0, x1, y0, y1 = self.window
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = 1.0 / self.inverse(np.clip(x, x0, x1), np.clip(y, y0, y1))
        ratio[~np.isfinite(ratio)] = np.nan
        return ratio

    def range(self) -> tuple[float, float]:
        """Its least and greatest value, to a part of a per cent; NaN where there is none."""
        x0, x1, y0, y1 = self.window
        ratio = self.at(np.linspace(x0, x1, 17), np.linspace(y0, y1, 17))
        found = ratio[np.isfinite(ratio)]
        return (float(found.min()), float(found.max())) if found.size else (np.nan, np.nan)


def area_ratio(
    forward: Transform,
    output: Transform,
    to_output: Transform,
    shape: tuple[int, int],
    limits: Box,
    area: float | None = None,
) -> AreaRatio:
    """The ratio of an output's and an exposure's pixel areas.

    Parameters
    ----------
    forward, output : Transform
        Pixels of the exposure, and of the output, to the sky.
    to_output : Transform
        The sky to pixels of the output.
    shape : (int, int)
        Shape (Ny, Nx) of the exposure.
    limits : (int, int, int, int)
        xmin, xmax, ymin, ymax of its pixels that are used.
    area : float, optional
        Steradians that its values are of, where they are the same for all pixels; else each pixel's own.
    """
    xmin, xmax, ymin, ymax = limits
    middle = 0.5 * (xmin + xmax), 0.5 * (ymin + ymax)
    size = min(xmax - xmin, ymax - ymin) / 4.0
    of_input = _Areas(forward).stepped_for(*middle, size)
    at = to_output(*forward(*(np.array([v]) for v in middle)))
    of_output = _Areas(output).stepped_for(float(at[0][0]), float(at[1][0]), max(100.0, size))

    def inverse(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        ours = of_input(x, y) if area is None else area
        return ours / of_output(*to_output(*forward(x, y)))

    # Some WCS end at the edges of the outermost pixels, or at their centres.
    edge = max(0.0, of_input.step - 0.5)
    window = _within(xmin, xmax, edge) + _within(ymin, ymax, edge)
    made = _polynomial(inverse, shape, window)
    if made is None:
        inner = _within(xmin, xmax, max(edge, 0.5)) + _within(ymin, ymax, max(edge, 0.5))
        made = _polynomial(inverse, shape, inner) or AreaRatio(shape, inner, _pixel_by_pixel(inverse, shape, inner))
    return made


def _pixel_by_pixel(
    inverse: Callable[[np.ndarray, np.ndarray], np.ndarray],
    shape: tuple[int, int],
    window: tuple[float, float, float, float],
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """What no polynomial is: computed at every pixel, or, in a large image, at every few and linear between them."""
    on_grid = _OnGrid(inverse)
    every = math.isqrt(shape[0] * shape[1] // AFFORDABLE)
    return on_grid if every < 2 else _Lattice(on_grid, window, every)


def _within(first: int, last: int, edge: float) -> tuple[float, float]:
    middle = 0.5 * (first + last)
    return min(first + edge, middle), max(last - edge, middle)


@dataclass(frozen=True)
class _OnGrid:
    """A function of points, on a grid of columns and rows."""

    function: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        at_x, at_y = (axis.ravel() for axis in np.meshgrid(x, y))
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.function(at_x, at_y).reshape(y.size, x.size)


class _Lattice:
    """A function that is known at every few pixels, when it is first asked for; where one of them has none, by that."""

    def __init__(self, function: _OnGrid, window: tuple[float, float, float, float], every: int):
        x0, x1, y0, y1 = window
        self._function = function
        self._x = np.linspace(x0, x1, max(2, round((x1 - x0) / every) + 1))
        self._y = np.linspace(y0, y1, max(2, round((y1 - y0) / every) + 1))
        self._values: np.ndarray | None = None

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if self._values is None:
            parts = np.array_split(self._y, max(1, self._x.size * self._y.size // AT_ONCE))
            self._values = np.concatenate([self._function(self._x, part) for part in parts])
        (i, along_x), (j, along_y) = _cells(self._x, x), _cells(self._y, y)
        rows = self._values[j] + along_y[:, None] * (self._values[j + 1] - self._values[j])
        between = rows[:, i] + along_x * (rows[:, i + 1] - rows[:, i])
        nearest = self._values[np.ix_(j + (along_y > 0.5), i + (along_x > 0.5))]
        return np.where(np.isfinite(between), between, nearest)


def _cells(nodes: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cells between nodes of equal spacing that coordinates lie in, and where in them."""
    at = (v - nodes[0]) / (nodes[1] - nodes[0])
    cell = np.clip(at.astype(int), 0, nodes.size - 2)
    return cell, at - cell


@dataclass(frozen=True)
class _Polynomial:
    """Chebyshev polynomials in x and y over a window."""

    coefficients: np.ndarray
    window: tuple[float, float, float, float]

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        x0, x1, y0, y1 = self.window
        terms_y, terms_x = (n - 1 for n in self.coefficients.shape)
        along_x = chebyshev.chebvander(_unit(x, x0, x1), terms_x)
        along_y = chebyshev.chebvander(_unit(y, y0, y1), terms_y)
        # Not by BLAS, whose threads wait for those that resample meanwhile.
        return np.einsum("yk,kx->yx", along_y, np.einsum("kl,xl->kx", self.coefficients, along_x))


def _unit(v: np.ndarray, first: float, last: float) -> np.ndarray:
    """Coordinates of a window as those from -1 to 1."""
    return (2.0 * v - first - last) / (last - first) if last > first else np.zeros_like(v)


def _polynomial(
    inverse: Callable[[np.ndarray, np.ndarray], np.ndarray],
    shape: tuple[int, int],
    window: tuple[float, float, float, float],
) -> AreaRatio | None:
    """A polynomial that is the ratio's inverse; None where there is none."""
    x0, x1, y0, y1 = window
    on_grid = _OnGrid(inverse)
    check = 0.5 - 0.5 * np.cos(np.pi * (np.arange(CHECKS) / (CHECKS - 1)) ** 1.1)  # of no regular spacing
    check_x, check_y = x0 + (x1 - x0) * check, y0 + (y1 - y0) * check
    expected = on_grid(check_x, check_y)
    if not np.isfinite(expected).all() or not (expected > 0).all():
        return None
    for terms in TERMS:
        nodes = -np.cos(np.pi * (np.arange(terms) + 0.5) / terms)
        values = on_grid(0.5 * (x0 + x1 + (x1 - x0) * nodes), 0.5 * (y0 + y1 + (y1 - y0) * nodes))
        if not np.isfinite(values).all():
            return None
        to_coefficients = np.linalg.inv(chebyshev.chebvander(nodes, terms - 1))
        found = _Polynomial(to_coefficients @ values @ to_coefficients.T, window)
        if np.max(np.abs(found(check_x, check_y) / expected - 1.0)) <= TOLERANCE:
            return AreaRatio(shape, window, found)
    return None

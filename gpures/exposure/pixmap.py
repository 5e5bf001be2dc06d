"""The pixel map: output coordinates of the input pixels' centres.

Evaluating a WCS at every pixel costs more than resampling the image. Most are smooth, so a cubic spline through a
coarse grid gives the same numbers; it is checked against the WCS between the points of its grid, and where it does
not hold to the tolerance asked for, the grid is refined, and in the end every pixel is evaluated: by the kernels, where
the WCS are of parts that these know, and else beforehand.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any

import numpy as np

from gpures import _cpu
from gpures.arguments.values import checked_number, checked_order, checked_shape
from gpures.box import Box
from gpures.exposure.pieces import Pieces, piecewise_spline
from gpures.exposure.polynomial import NODES, TIMES_BETTER, Polynomial, between, spline_factors, spline_knots
from gpures.exposure.structs import EXPOSURE, Place, in_memory
from gpures.exposure.whole_move import SUPPORT, move_spline, whole_move
from gpures.machine.threads import thread_count
from gpures.wcs import seams
from gpures.wcs.formula import formula_of
from gpures.wcs.kinks import Kinks
from gpures.wcs.seams import PixelToPixel
from gpures.wcs.transforms import (
    Transform,
    bounding_box,
    checked_wcs,
    pixel_to_world,
    pixels_within,
    plain_pair,
    world_to_pixel,
)

__all__ = ["PixelMap", "calc_pixmap", "exposure_record"]

log = logging.getLogger(__name__)

# Grid points per axis, tried in turn. For a NIRCam detector (2048 pixels, distortion of degree 5) the first holds to
# 1e-7 output pixels; a doubling gains a factor of 16. A call of a WCS costs about as much as 5000 points in it, so
# coarser grids would save nothing.
GRIDS = (65, 129)

# The grid of an image too small for these.
SMALL_GRID = 33

# An image with fewer pixels per grid point than this is as well evaluated at every pixel: a grid takes its points
# twice, once for the spline and once to verify it.
PIXELS_PER_GRID_POINT = 8

# Pixels between two ends of the pieces of a spline at most, tried in turn, where there are no kinks.
LONGEST_PIECES = (64, 32)

# An error counts for so much more in columns and rows that are bent where nobody knows.
TIMES_DOUBTFUL = (2.0, 2.0)

# Pixels evaluated at a time: a dozen temporaries of this many float64 are a few MB. With fewer the threads wait for
# each other, as Python holds its lock between one part of a WCS and the next.
PIXELS_AT_ONCE = 1 << 16

# Points that are as many pixels, and how many of a grid are evaluated at a time.
MANY_POINTS, POINTS_AT_ONCE = 1 << 15, 1 << 14


# Points per axis at which a formula is compared with what it is the formula of, and how far apart they may be: pixels.
# What they differ by is the rounding of longitudes and latitudes in between.
COMPARED, SAME_PLACE = 33, 1e-7


class PixelMap:
    """Output coordinates of every input pixel's centre, as a full array, as a formula or as a spline.

    Attributes
    ----------
    shape : (int, int)
        Shape (Ny, Nx) of the input image.
    full : ndarray of float64 (Ny, Nx, 2) or None
        x and y in output pixels.
    formula : ndarray of float64 or None
        What `kernels/formula.h` evaluates.
    spline : dict of ndarray or None
        What `kernels/pixmap.h` evaluates, when both are None.
    window : Box or None
        xmin, xmax, ymin, ymax of the pixels where formula or spline hold, the last ones included.
    period : (float, float)
        Output pixels after which the sky is the same again along x and y; 0 where it never is.
    jump : float
        Output pixels. Only a longer step from one pixel to its neighbour may lead across a seam of the output, such as
        the meridian at which a map of the whole sky begins and ends; such a pixel is no neighbour.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        full: np.ndarray | None = None,
        spline: dict[str, np.ndarray] | None = None,
        window: Box | None = None,
        period: tuple[float, float] = (0.0, 0.0),
        jump: float = math.inf,
        formula: np.ndarray | None = None,
    ):
        self.shape = shape
        self.full = full
        self.formula = formula
        self.spline = spline
        self.window = window
        self.period = period
        self.jump = jump
        self._expanded: np.ndarray | None = None

    @classmethod
    def from_array(
        cls, pixmap: np.ndarray, period: tuple[float, float] = (0.0, 0.0), jump: float = math.inf
    ) -> PixelMap:
        """Take a full pixel map of shape (Ny, Nx, 2), with the output's period and jump, as the attributes have them.

        Raises
        ------
        ValueError
            The array has another shape.
        """
        pixmap = np.require(pixmap, np.float64, ["C", "ALIGNED"])
        if pixmap.ndim != 3 or pixmap.shape[2] != 2:
            raise ValueError(f"'pixmap' must have the shape (Ny, Nx, 2), got {pixmap.shape}.")
        return cls(pixmap.shape[:2], full=pixmap, period=period, jump=jump)

    def array(self) -> np.ndarray:
        """Full pixel map, (Ny, Nx, 2) float64, NaN where there is none."""
        if self.full is not None:
            return self.full
        if self._expanded is None:
            self._expanded = np.empty((*self.shape, 2))
            record = exposure_record(self.shape, self, in_memory)
            _cpu.full_pixmap(record.ctypes.data, self._expanded, thread_count())
        return self._expanded

    def at(self, rows: Sequence[int], columns: Sequence[int]) -> np.ndarray:
        """The pixel map of some rows and columns alone, (rows, columns, 2) float64.

        Parameters
        ----------
        rows, columns : sequence of int
            Within the image and, of a formula or a spline, within its window.
        """
        if self.full is not None:
            return self.full[np.ix_(rows, columns)]
        if self.formula is not None:
            return np.stack(_by_formula(self.formula, *np.meshgrid(columns, rows)), axis=-1)
        assert self.spline is not None
        places = {"first_row": rows, "row_factors": rows, "first_column": columns, "column_factors": columns}
        spline = self.spline | {
            name: np.ascontiguousarray(self.spline[name][..., list(some)]) for name, some in places.items()
        }
        shape = len(rows), len(columns)
        return PixelMap(shape, spline=spline, window=Box.whole(shape)).array()

    def as_full(self) -> PixelMap:
        """The same as a full array."""
        return PixelMap(self.shape, self.array(), period=self.period, jump=self.jump)

    def without_formula(self) -> PixelMap:
        """The same for kernels that know no formulas, those of a GPU."""
        return self if self.formula is None else self.as_full()

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that the kernels read, by their names in ``kernels/exposure.h``."""
        if self.full is not None:
            return {"full": self.full}
        return {"formula": self.formula} if self.formula is not None else self.spline or {}

    def has_valid_pixels(self) -> bool:
        """Whether at least two rows and two columns hold finite coordinates: less has no pixel size."""
        if self.full is None:
            return True
        finite = np.isfinite(self.full[..., 0]) & np.isfinite(self.full[..., 1])
        return bool(finite.any(axis=0).sum() > 1 and finite.any(axis=1).sum() > 1)

    def mean_scale_ratio(self, output_shape: tuple[int, int], limits: Box) -> float:
        """Output over input pixel scale, from the pixel map in the middle of what lies in the output frame.

        Parameters
        ----------
        output_shape : (int, int)
            Shape (Ny, Nx) of the output frame.
        limits : (int, int, int, int)
            xmin, xmax, ymin, ymax of the input pixels used.

        Raises
        ------
        ValueError
            No part of the image lies in the frame, or the map is not finite there.
        """
        xmin, xmax, ymin, ymax = limits
        pixmap = self.array()[ymin : ymax + 1, xmin : xmax + 1]
        x, y = pixmap[..., 0], pixmap[..., 1]
        inside = (x >= -0.5) & (x <= output_shape[1] - 0.5) & (y >= -0.5) & (y <= output_shape[0] - 0.5)
        rows, columns = np.nonzero(inside)
        if rows.size:
            j = min(max(round(rows.mean()), 0), pixmap.shape[0] - 2)
            i = min(max(round(columns.mean()), 0), pixmap.shape[1] - 2)
            (dxdx, dydx), (dxdy, dydy) = pixmap[j, i + 1] - pixmap[j, i], pixmap[j + 1, i] - pixmap[j, i]
            area = abs(dxdx * dydy - dxdy * dydx)
            if np.isfinite(area) and area > 0:
                return 1.0 / math.sqrt(area)
        raise ValueError("'pixel_scale_ratio' is not given and can't be estimated: the pixel map has no finite scale.")


def calc_pixmap(
    wcs_from: Any,
    wcs_to: Any,
    shape: tuple[int, int],
    tolerance: float = 1e-6,
    stepsize: float = 1,
    order: int = 1,
    period: tuple[float, float] = (0.0, 0.0),
) -> PixelMap:
    """Pixel map from one WCS to another.

    The bounding box of ``wcs_from`` is respected (NaN outside of it), that of ``wcs_to`` is not: the output frame's
    shape bounds the output. World coordinates are handed on by their meaning, whatever their order and units. Sky
    coordinates in another system than the output's are converted (FK4, FK5 of another equinox, Galactic, ecliptic); but
    ICRS and FK5 of J2000, which are 0.02 arcsec apart and often confused, are taken as the same, with a warning in the
    log, once for an output `Transform`.

    Parameters
    ----------
    wcs_from, wcs_to : gwcs.wcs.WCS or astropy.wcs.WCS
        Input and output WCS; the output's may be a `Transform` made before.
    shape : (int, int)
        Shape (Ny, Nx) of the input image.
    tolerance : float, optional
        Largest error allowed, in output pixels; 0 evaluates every pixel.
    stepsize : float, optional
        With ``stepsize > 1`` the grid has about that spacing, and ``tolerance`` is not looked at: the reference's own
        knob, with its results.
    order : int, optional
        Order of the spline then, 1 or 3; less along a side of 2 or 3 pixels.
    period : (float, float), optional
        Of the output, as `gpures.wcs.seams.period_of` gives it.

    Returns
    -------
    PixelMap

    Raises
    ------
    ValueError
        ``stepsize`` is below 1, ``order`` neither 1 nor 3, the WCS have axes of different types, or fewer than two rows
        and columns have finite coordinates.
    """
    checked_wcs(wcs_from, "wcs_from")
    if not isinstance(wcs_to, Transform):
        checked_wcs(wcs_to, "wcs_to")
    shape = checked_shape(shape, "shape", "image")
    tolerance = checked_number(tolerance, "tolerance", 0.0, math.inf)
    stepsize = checked_number(stepsize, "stepsize", 1, math.inf)
    if stepsize > 1:
        order = checked_order(order)
    backward = wcs_to if isinstance(wcs_to, Transform) else world_to_pixel(wcs_to)
    forward = pixel_to_world(wcs_from, backward.axes.sky)
    _check_axes(forward, backward)
    pixel_to_pixel = _composition(forward, backward)
    window = pixels_within(bounding_box(wcs_from), shape)
    x0, x1, y0, y1 = window
    width, height = x1 - x0 + 1, y1 - y0 + 1
    pixmap = None
    if width > 1 and height > 1:
        if stepsize > 1 and max(width, height) > 10:
            # No wider than asked for, but at least 10 points (or every pixel of a smaller image), as the reference.
            points = [max(math.ceil(n / stepsize), min(10, n)) for n in (width, height)]
            of_points = _at_many(forward, backward, window, points[0] * points[1])
            pixmap = _spline_map(of_points, shape, window, points, order, tolerance=None)
        elif tolerance > 0 and forward.is_smooth and backward.is_smooth:
            affordable = [n for n in (SMALL_GRID, *GRIDS) if n * n * PIXELS_PER_GRID_POINT <= width * height]
            grids = affordable[1:] or affordable
            if grids and not any(period) and forward.shows_all_over and backward.shows_all_over:
                pixmap = _polynomial_map(pixel_to_pixel, shape, window, grids, tolerance)
            for n in grids if pixmap is None else ():
                pixmap = _spline_map(pixel_to_pixel, shape, window, [n, n], 3, tolerance)
                if pixmap is not None:
                    break
        elif tolerance > 0 and backward.is_smooth and forward.kinks is not None:
            pixmap = _map_in_pieces(pixel_to_pixel, shape, window, forward.kinks(window), tolerance)
    if pixmap is None and not any(period) and min(width, height) > 1 and width * height >= MANY_POINTS:
        formula = _known_formula(forward, backward, window)
        pixmap = None if formula is None else PixelMap(shape, formula=formula, window=window)
    if pixmap is None:
        pixmap = _every_pixel(forward, backward, shape, window, period)
        if stepsize == 1 and tolerance > 0 and pixmap.has_valid_pixels():
            pixmap = _unless_moved(pixmap, window, tolerance)
    pixmap.period = period
    if not pixmap.has_valid_pixels():
        raise ValueError(
            "No or too few valid pixels in the pixel map: the WCS of the input, or of the output, gives finite "
            f"coordinates in fewer than two rows and two columns of the {shape} image."
        )
    return pixmap


def _check_axes(forward: Transform, backward: Transform) -> None:
    """Refuse world coordinates of different kinds, and say where those of the sky are in different systems."""
    ours, theirs = forward.axes, backward.axes
    if ours.types != theirs.types:
        raise ValueError(f"'wcs' must have the output WCS's world axes, {theirs.types}, got {ours.types}.")
    if ours.sky is None or theirs.sky is None or ours.sky.name in (theirs.sky.name, *backward.warned):
        return
    backward.warned.add(ours.sky.name)
    words = f"The sky coordinates of the input are in {ours.sky.name}, and those of the output in {theirs.sky.name}"
    if forward.convert is None:
        log.warning("%s: taken as the same, nothing is converted.", words)
    else:
        log.info("%s: converted.", words)


def _known_formula(forward: Transform, backward: Transform, window: Box) -> np.ndarray | None:
    """What the kernels evaluate in the place of both; None where they don't know these, or a place is not finite."""
    formula = formula_of(forward, backward)
    if formula is None:
        return None
    x0, x1, y0, y1 = window
    pixels = np.meshgrid(np.linspace(x0, x1, COMPARED), np.linspace(y0, y1, COMPARED))
    expected = np.stack(_composition(forward, backward)(*(axis.ravel() for axis in pixels)), axis=-1)
    places = np.stack(_by_formula(formula, *pixels), axis=-1)
    missed = float(np.abs(places.reshape(-1, 2) - expected).max())
    if not missed <= SAME_PLACE or seams.has_long_steps(places, (0.0, 0.0)):
        log.debug("A pixel map by a formula is %.1e off, or has jumps.", missed)
        return None
    return formula


def _by_formula(formula: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """X and y in the output of pixels."""
    places = np.array([x, y], float)
    _cpu.by_formula(formula, places.reshape(2, -1))
    return places[0], places[1]


def _every_pixel(
    forward: Transform,
    backward: Transform,
    shape: tuple[int, int],
    window: Box,
    period: tuple[float, float],
) -> PixelMap:
    """Evaluate each pixel of the window, in blocks of rows that fit the cache, over threads; and look for jumps."""
    x0, x1, y0, y1 = window
    full = np.full((*shape, 2), np.nan) if window != Box.whole(shape) else np.empty((*shape, 2))
    if x1 < x0 or y1 < y0:
        return PixelMap(shape, full=full)
    columns = np.arange(x0, x1 + 1, dtype=float)
    rows_at_once = max(1, PIXELS_AT_ONCE // columns.size)
    starts = range(y0, y1 + 1, rows_at_once)
    has_long_steps = []

    def fill(pixel_to_pixel: PixelToPixel, start: int) -> None:
        rows = np.arange(start, min(start + rows_at_once, y1 + 1), dtype=float)
        x, y = np.broadcast_arrays(columns[None, :], rows[:, None])
        block = full[start : start + rows.size, x0 : x1 + 1]
        places = pixel_to_pixel(x.flatten(), y.flatten())  # copies, which a WCS may write to
        block[..., 0], block[..., 1] = (place.reshape(x.shape) for place in places)
        has_long_steps.append(seams.has_long_steps(block, period))

    _over_threads(forward, backward, window, starts, fill)
    pixmap = PixelMap(shape, full=full)
    between = (full[start - 1 : start + 1, x0 : x1 + 1] for start in starts[1:])
    if any(has_long_steps) or any(seams.has_long_steps(rows, period) for rows in between):
        inside = full[y0 : y1 + 1, x0 : x1 + 1]
        pixel_to_pixel = _composition(forward, backward)
        pixmap.jump = seams.jump_of(inside, (x0, y0), pixel_to_pixel, period)
        if (lost := seams.shapeless(inside, (x0, y0), pixel_to_pixel, pixmap.jump, period)).any():
            log.warning(
                "%d pixels of the input lie around a point that the output's projection tears apart: they have no "
                "shape there, and are left out.",
                lost.sum(),
            )
            inside[lost] = np.nan
    return pixmap


def _over_threads(
    forward: Transform, backward: Transform, window: Box, starts: range, work: Callable[[PixelToPixel, int], None]
) -> None:
    """Call ``work(pixel_to_pixel, start)`` for each of the starts, over threads, with transforms of their own."""

    def work_on(own: tuple[Transform, Transform], own_starts: range) -> None:
        pixel_to_pixel = _composition(*plain_pair(*own, window))
        for start in own_starts:
            work(pixel_to_pixel, start)

    threads = min(thread_count(), len(starts))
    if threads == 1 or not (forward.can_be_copied and backward.can_be_copied):
        work_on((forward, backward), starts)
    else:
        pairs = [(forward, backward)] + [(forward.duplicate(), backward.duplicate()) for _ in range(threads - 1)]
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work_on, pairs, (starts[k::threads] for k in range(threads))))


def _at_many(forward: Transform, backward: Transform, window: Box, points: int) -> PixelToPixel:
    """Their composition for so many points; of many it takes as many at a time as fit the cache, over threads."""
    if points < MANY_POINTS:
        return _composition(forward, backward)
    if (formula := _known_formula(forward, backward, window)) is not None:
        return partial(_by_formula, formula)

    def pixel_to_pixel(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        places = np.empty((2, x.size))

        def fill(own: PixelToPixel, start: int) -> None:
            part = slice(start, start + POINTS_AT_ONCE)
            places[0, part], places[1, part] = own(x[part].copy(), y[part].copy())

        _over_threads(forward, backward, window, range(0, x.size, POINTS_AT_ONCE), fill)
        return places[0], places[1]

    return pixel_to_pixel


def _unless_moved(pixmap: PixelMap, window: Box, tolerance: float) -> PixelMap:
    """The map itself, or the exact move by whole pixels that it is."""
    x0, x1, y0, y1 = window
    places = pixmap.array()[y0 : y1 + 1, x0 : x1 + 1]
    pixels = np.broadcast_arrays(np.arange(x0, x1 + 1.0), np.arange(y0, y1 + 1.0)[:, None])
    move = whole_move(pixels, (places[..., 0], places[..., 1]), tolerance)
    if move is None:
        return pixmap
    return PixelMap(pixmap.shape, spline=move_spline(pixmap.shape, move), window=window)


def _composition(forward: Transform, backward: Transform) -> PixelToPixel:
    def pixel_to_pixel(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x_out, y_out = backward(*forward(x, y))
        return x_out, y_out

    return pixel_to_pixel


def _spline_map(
    pixel_to_pixel: PixelToPixel,
    shape: tuple[int, int],
    window: Box,
    points: list[int],
    order: int,
    tolerance: float | None,
) -> PixelMap | None:
    """Spline through a grid over the window; None where a point is not finite or the tolerance does not hold."""
    from scipy.interpolate import RectBivariateSpline  # here, as it takes longer to import than gpures

    x0, x1, y0, y1 = window
    x, y = np.linspace(x0, x1, points[0]), np.linspace(y0, y1, points[1])
    at_x, at_y = (grid.ravel() for grid in np.meshgrid(x, y))
    check_x, check_y = (at_x[:0], at_y[:0]) if tolerance is None else between(x, y)
    # One call for both: most of its cost does not depend on the number of points.
    values = pixel_to_pixel(np.concatenate([at_x, check_x]), np.concatenate([at_y, check_y]))
    if not all(np.all(np.isfinite(v)) for v in values):
        return None
    grids = [v[: at_x.size].reshape(y.size, x.size) for v in values]
    # Where there is no tolerance, nothing else finds a seam of the output.
    if tolerance is None and seams.has_long_steps(np.stack(grids, axis=-1), (0.0, 0.0)):
        return None
    # A spline needs more points than its order: of a side of 2 or 3 pixels, which has them all, it is lower.
    order_y, order_x = min(order, y.size - 1), min(order, x.size - 1)
    if tolerance is not None:
        at = np.concatenate([at_x, check_x]), np.concatenate([at_y, check_y])
        if (move := whole_move(at, values, tolerance)) is not None:
            return PixelMap(shape, spline=move_spline(shape, move), window=window)
    splines = [RectBivariateSpline(y, x, grid, kx=order_y, ky=order_x) for grid in grids]
    if tolerance is not None:
        errors = [np.abs(s.ev(check_y, check_x) - v[at_x.size :]) for s, v in zip(splines, values, strict=True)]
        worst = max(float(error.max()) for error in errors)
        if not worst <= tolerance:
            log.debug("A %d x %d pixel map grid is good to %.1e, not to %.1e.", *points, worst, tolerance)
            return None

    knots_y, knots_x, _ = splines[0].tck
    n_y, n_x = len(knots_y) - order_y - 1, len(knots_x) - order_x - 1
    return _map_of_spline(
        shape,
        window,
        [spline.tck[2].reshape(n_y, n_x) for spline in splines],
        _factors(knots_y, order_y, np.arange(shape[0]), y0, y1),
        _factors(knots_x, order_x, np.arange(shape[1]), x0, x1),
    )


def _polynomial_map(
    pixel_to_pixel: PixelToPixel, shape: tuple[int, int], window: Box, grids: list[int], tolerance: float
) -> PixelMap | None:
    """The same of a map that a polynomial through few points tells; grids are tried in turn."""
    x0, x1, y0, y1 = window
    for nodes in NODES:
        polynomial = Polynomial(pixel_to_pixel, (x0, y0), (x1, y1), nodes)
        if not polynomial.is_finite:
            return None
        if (move := whole_move(polynomial.pixels, polynomial.places, tolerance)) is not None:
            return PixelMap(shape, spline=move_spline(shape, move), window=window)
        if not TIMES_BETTER * polynomial.worst() <= tolerance:
            continue
        for n in grids:
            coefficients, worst = polynomial.spline(n)
            if worst <= tolerance:
                factors = _even_factors(n, shape[0], y0, y1), _even_factors(n, shape[1], x0, x1)
                return _map_of_spline(shape, window, list(coefficients), *factors)
    return None


def _map_of_spline(
    shape: tuple[int, int],
    window: Box,
    coefficients: Sequence[np.ndarray],
    of_rows: tuple[np.ndarray, np.ndarray],
    of_columns: tuple[np.ndarray, np.ndarray],
) -> PixelMap:
    """The pixel map of a spline's coefficients, of x and y, and of what `_factors` gives."""
    # A spline of a lower order than 3 reads (with factors of 0) beyond its last coefficient.
    rows, columns = coefficients[0].shape
    padded = np.zeros((2, rows + SUPPORT, columns + SUPPORT))
    for each, given in zip(padded, coefficients, strict=True):
        each[:rows, :columns] = given
    spline = {"coefficients_x": padded[0], "coefficients_y": padded[1]}
    spline["first_row"], spline["row_factors"] = of_rows
    spline["first_column"], spline["column_factors"] = of_columns
    return PixelMap(shape, spline=spline, window=window)


def _map_in_pieces(
    pixel_to_pixel: PixelToPixel, shape: tuple[int, int], window: Box, kinks: Kinks | None, tolerance: float
) -> PixelMap | None:
    """Spline whose pieces end at kinks; None where a point is not finite or the tolerance does not hold."""
    if kinks is None:
        return None
    x0, x1, y0, y1 = window
    for longest in LONGEST_PIECES:
        x, y = Pieces.of(x0, x1, kinks[0], longest), Pieces.of(y0, y1, kinks[1], longest)
        if x.count * y.count * PIXELS_PER_GRID_POINT > (x1 - x0 + 1) * (y1 - y0 + 1):
            return None
        # Where a kink lies now to this side of a pixel and now to that, the map is bent along the other axis as well.
        checked = [(x.between(), y.between()), (x.doubtful, y.between()), (x.between(), y.doubtful)]
        grids = [np.meshgrid(*points) for points in [(x.points, y.points), *checked]]
        at = [np.concatenate([grid[axis].ravel() for grid in grids]).astype(float) for axis in (0, 1)]
        values = pixel_to_pixel(*at)
        if not all(np.all(np.isfinite(v)) for v in values):
            return None
        if (move := whole_move(at, values, tolerance)) is not None:
            return PixelMap(shape, spline=move_spline(shape, move), window=window)
        own, *others = np.split(np.stack(values, axis=-1), np.cumsum([grid[0].size for grid in grids])[:-1])
        nodes = own.reshape(y.count, x.count, 2)
        # In pieces of one pixel nothing else finds a seam of the output.
        if seams.has_long_steps(nodes, (0.0, 0.0), (y.points, x.points)):
            return None
        pixmap = PixelMap(shape, spline=piecewise_spline(x, y, shape, nodes), window=window)
        worst = 0.0
        for (columns, rows), expected, times in zip(checked, others, (1.0, *TIMES_DOUBTFUL), strict=True):
            missed = np.abs(pixmap.at(rows.tolist(), columns.tolist()).reshape(-1, 2) - expected)
            worst = max(worst, times * float(missed.max(initial=0.0)))
        if worst <= tolerance:
            return pixmap
        log.debug("A pixel map in pieces of up to %d pixels is good to %.1e, not to %.1e.", longest, worst, tolerance)
    return None


@lru_cache(maxsize=16)
def _even_factors(points: int, size: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """`_factors` of the cubic spline through so many points from a first to a last one of the pixels."""
    made = _factors(spline_knots(np.linspace(first, last, points)), SUPPORT - 1, np.arange(size), first, last)
    for array in made:
        array.setflags(write=False)
    return made


def _factors(knots: np.ndarray, order: int, at: np.ndarray, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel, the first coefficient it depends on and the factors of four of them; shape (n,), (4, n)."""
    inside = at[(at >= first) & (at <= last)]
    start = np.zeros(at.size, dtype=np.int32)
    factors = np.zeros((SUPPORT, at.size))
    start[inside], of_inside = spline_factors(knots, order, inside.astype(float))
    factors[: order + 1, inside] = of_inside.T
    return start, factors


def exposure_record(shape: tuple[int, int], pixmap: PixelMap | None, place: Place) -> np.ndarray:
    """An EXPOSURE of that shape, of which all pixels are used, with a pixel map and nothing else.

    Parameters
    ----------
    shape : (int, int)
        Shape (Ny, Nx) of the image.
    pixmap : PixelMap
        Of its pixels.
    place : callable
        Array to its address and strides, on the backend's device.
    """
    record = np.zeros((), EXPOSURE)
    record["ny"], record["nx"] = shape
    record["x1"], record["y1"] = shape[1] - 1, shape[0] - 1
    record["variance_weight_plane"] = -1
    if pixmap is not None:
        if pixmap.full is not None and pixmap.full.shape != (*shape, 2):
            raise RuntimeError(f"A pixel map of the shape {(*shape, 2)} has become one of {pixmap.full.shape}.")
        for name, array in pixmap.arrays().items():
            record["pixmap"][name] = place(array)[0]
        record["pixmap"]["period_x"], record["pixmap"]["period_y"] = pixmap.period
        record["pixmap"]["jump"] = pixmap.jump
        if pixmap.spline is not None:
            record["pixmap"]["coefficients_per_row"] = pixmap.spline["coefficients_x"].shape[1]
        if pixmap.window is not None:
            for name, limit in zip(("x0", "x1", "y0", "y1"), pixmap.window, strict=True):
                record["pixmap"][name] = limit
    return record

"""Seams: where an output frame begins and ends that shows the whole sky, or would if it were large enough.

Pixels on both sides of a seam are neighbours on the sky and far from each other in the frame. Where the projection is
cylindrical, what leaves the frame on one side comes in on the other; others, such as AIT or MOL, have seams that lead
nowhere.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpures.wcs.sphere import angles, turned, vectors
from gpures.wcs.transforms import as_wcs, is_imaging, pixel_to_world, world_to_pixel

__all__ = ["PixelToPixel", "has_long_steps", "jump_of", "period_of", "shapeless"]

log = logging.getLogger(__name__)

Period = tuple[float, float]
# Pixel coordinates of one image, x and y, to those of another.
PixelToPixel = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

# As many times longer than most steps is one that may be a jump; the same as in kernels/pixmap.h.
TIMES_ITS_NEIGHBOURS = 8.0

# Halvings of a step that tell a jump, which stays as long, from a steep place, which does not.
HALVINGS = 24

# Spacings (radians on the sky) of the points from which a period is taken: wide ones are more precise, and on the small
# circles around a pole narrow ones are needed. Unequal, so that nothing symmetric passes for uniform.
SPACINGS = (0.5, 0.05, 5e-3, 5e-4)
PLACES = (0.0, 1.0, 1.7)

# Parts of a turn after which a period is verified, and the error allowed there (output pixels).
PARTS = (0.06, 0.31, 0.62, 0.94)
VERIFIED = 1e-4

# A period as near to a whole number of pixels is that number.
WHOLE = 1e-6


def period_of(wcs: Any) -> Period:
    """Output pixels after which a WCS shows the same sky again, along x and along y.

    That is so for cylindrical projections (CAR, CEA, CYP, MER) that are not turned against the frame: each row, or
    column, is a circle about one axis, along which pixels turn by the same angle. It is taken from three points, and
    verified at others, within the frame and beyond.

    Parameters
    ----------
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        Output WCS, with its ``array_shape``.

    Returns
    -------
    (float, float)
        0 where there is no period.
    """
    shape = as_wcs(wcs).array_shape
    if shape is None or not is_imaging(wcs):
        return 0.0, 0.0
    try:
        return _period(pixel_to_world(wcs), world_to_pixel(wcs), shape)
    except Exception as error:  # whatever a WCS raises far from its frame
        log.debug("The output WCS has no period that can be found: %s", error)
        return 0.0, 0.0


def _period(forward: Callable, backward: Callable, shape: tuple[int, int]) -> Period:
    def world(places: np.ndarray) -> np.ndarray:
        """World coordinates (…, 2) of places (…, 2)."""
        a, b = forward(*np.moveaxis(places, -1, 0).reshape(2, -1))[:2]
        return np.stack([a, b], axis=-1).reshape(places.shape)

    # Along x and along y (first axis), from some places in the frame (second one): a pixel further, and far beyond.
    starts = np.array([(f * shape[1], g * shape[0]) for f, g in ((0.5, 0.5), (0.2, 0.3), (0.8, 0.6))])
    steps = np.array([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
    near = _directions(world(starts + steps[:, None]))
    per_pixel = np.linalg.norm(near[1:] - near[0], axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        spacing = np.concatenate([np.multiply.outer(sign / per_pixel, SPACINGS) for sign in (1, -1)], axis=-1)
    steps = spacing[..., None, None] * np.multiply.outer(np.eye(2), PLACES).transpose(0, 2, 1)[:, None, None]
    places = starts[:, None, None] + steps
    at_places = world(places)

    periods = [0.0, 0.0]
    for order in (slice(None), slice(None, None, -1)):  # longitude first, or latitude
        points = _directions(at_places[..., order])
        for axis in (0, 1):
            found = (
                _verified(
                    candidate,
                    start,
                    lambda where: _directions(world(where)[..., order]),  # noqa: B023
                    lambda there: np.stack(backward(*there[..., order].T)[:2], axis=-1),  # noqa: B023
                )
                for candidate, start in _candidates(axis, places[axis], spacing[axis], points[axis])
            )
            periods[axis] = next((period for period in found if period), 0.0)
        if any(periods):
            break
    return periods[0], periods[1]


@dataclass(frozen=True)
class _Candidate:
    """A period along an axis, in output pixels, and the direction about which the sky turns."""

    axis: int
    period: float
    pole: np.ndarray


def _candidates(axis: int, places: np.ndarray, spacing: np.ndarray, points: np.ndarray) -> Iterator[tuple]:
    """Periods of triples of points whose turns about one pole are as uniform as their places, and the first place."""
    for start, width, (p, q, r) in zip(
        places[..., 0, :].reshape(-1, 2), spacing.ravel(), points.reshape(-1, 3, 3), strict=True
    ):
        pole = np.cross(q - p, r - q)
        size = np.linalg.norm(pole)
        if not size > 0:  # nor NaN
            continue
        pole *= np.sign(width) / size
        turns = _turn(pole, p, q), _turn(pole, p, r)
        if turns[0] and math.isclose(turns[0] * PLACES[2], turns[1], rel_tol=1e-7):
            yield _Candidate(axis, abs(2 * math.pi * width / turns[0]), pole), start


def _verified(candidate: _Candidate, start: np.ndarray, on_sky: Callable, in_frame: Callable) -> float:
    """The period if it holds, on three parallels and around the whole sky; else 0."""
    axis, period, pole = candidate.axis, candidate.period, candidate.pole

    def off_by(places: np.ndarray, bases: np.ndarray, part: float) -> np.ndarray:
        """By how many output pixels places are not where a part of a turn leads to from others."""
        off = places - bases
        turns = off[:, axis] / period - part
        off[:, axis] = period * (turns - np.round(turns))
        return np.abs(off)

    bases = start + np.multiply.outer([0.0, 1.0, -1.7, 2.9, -4.1], np.eye(2)[1 - axis] * period / 40)
    turn = np.eye(2)[axis] * period
    points = on_sky(bases)
    height = points @ pole
    usable = np.isfinite(points).all(axis=1) & (np.abs(height) < 0.9999)
    # Beyond the end of a projection a place may stand for another one.
    usable &= np.max(off_by(in_frame(_angles(points)), bases, 0.0), axis=-1) < VERIFIED
    if usable.sum() < 2 or np.ptp(np.abs(height[usable])) < 1e-4:
        return 0.0
    bases, points = bases[usable], points[usable]
    for part in PARTS:
        there = turned(points, pole, 2 * math.pi * part)
        places = in_frame(_angles(there))
        if not np.max(off_by(places, bases, part)) < VERIFIED:
            return 0.0
        # And they show that sky: a projection may do so in one of its turns alone.
        same = [np.abs(on_sky(places + k * turn) - there).max(axis=-1) < 1e-9 for k in (-1, 0, 1)]
        if not np.any(same, axis=0).all():
            return 0.0
    return float(round(period)) if abs(period - round(period)) < WHOLE else float(period)


def _directions(world: np.ndarray) -> np.ndarray:
    """Unit vectors (..., 3) of longitudes and latitudes (..., 2) in degrees."""
    return vectors(world[..., 0], world[..., 1])


def _angles(directions: np.ndarray) -> np.ndarray:
    """Longitudes and latitudes (n, 2) of directions (n, 3), in degrees."""
    return np.stack(angles(directions), axis=-1)


def _turn(pole: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
    """Angle from one direction to another about a pole."""
    start, end = (p - pole * (p @ pole) for p in (start, end))
    return math.atan2(pole @ np.cross(start, end), start @ end)


# ---- jumps in a pixel map ------------------------------------------------------------------------------------------


def _lengths(steps: np.ndarray, period: Period) -> np.ndarray:
    """Lengths (…) of steps (…, 2) in output pixels, the short way round: the larger of their components."""
    for k in (0, 1):
        if period[k]:
            steps[..., k] -= period[k] * np.floor(steps[..., k] / period[k] + 0.5)
    np.abs(steps, out=steps)
    return np.maximum(steps[..., 0], steps[..., 1])


def has_long_steps(places: np.ndarray, period: Period, pixels: tuple[np.ndarray, np.ndarray] | None = None) -> bool:
    """Whether some step between neighbours is much longer than most of them.

    Parameters
    ----------
    places : ndarray (n, m, 2)
        Output coordinates of a part of the input pixels.
    period : Period
        Of the output.
    pixels : (ndarray (n,), ndarray (m,)), optional
        Rows and columns of a grid that is not even; then steps are compared by the pixel.
    """
    for axis in (0, 1):
        of_axis = _lengths(np.diff(places, axis=axis), period)
        if pixels is not None:
            of_axis = of_axis / np.expand_dims(np.diff(pixels[axis]), 1 - axis)
        if of_axis.size and not of_axis.max() <= TIMES_ITS_NEIGHBOURS * of_axis.mean():
            return True
    return False


def jump_of(places: np.ndarray, first: tuple[int, int], pixel_to_pixel: PixelToPixel, period: Period) -> float:
    """Steps longer than this may lead across a seam.

    Parameters
    ----------
    places : ndarray (n, m, 2)
        Output coordinates of a part of the input pixels.
    first : (int, int)
        Input pixel x, y that it begins with.
    pixel_to_pixel : callable
        Input to output coordinates, anywhere.
    period : (float, float)
        As `period_of` gives it.

    Returns
    -------
    float
        Output pixels; infinite where the map has no jump. Half of the shortest one elsewhere.
    """
    shortest = math.inf
    for axis in (0, 1):
        of_axis = _lengths(np.diff(places, axis=axis), period)
        finite = of_axis[np.isfinite(of_axis)]
        if not finite.size:
            continue
        rows, columns = np.nonzero(of_axis > TIMES_ITS_NEIGHBOURS * np.median(finite))
        low = np.stack([columns + first[0], rows + first[1]], axis=-1).astype(float)
        high = low + (np.array([0.0, 1.0]) if axis == 0 else np.array([1.0, 0.0]))
        at_low, at_high = places[rows, columns], places[rows + (axis == 0), columns + (axis == 1)]
        length = of_axis[rows, columns]
        left = length
        for _ in range(HALVINGS if length.size else 0):
            middle = (low + high) / 2
            at_middle = np.stack(pixel_to_pixel(middle[:, 0].copy(), middle[:, 1].copy()), axis=-1)
            below, above = _lengths(at_middle - at_low, period), _lengths(at_high - at_middle, period)
            take_below = (below >= above)[:, None]
            low, high = np.where(take_below, low, middle), np.where(take_below, middle, high)
            at_low, at_high = np.where(take_below, at_low, at_middle), np.where(take_below, at_middle, at_high)
            left = np.where(take_below[:, 0], below, above)
        jumps = length[left > length / 2]
        shortest = min(shortest, jumps.min(initial=math.inf) / 2)
    return shortest


# ---- places where pixels have no shape -----------------------------------------------------------------------------

# A drop is bent where its edges leave straight lines by more than so many output pixels, and more than this part of
# their length. It covers what it should not if its area is so many times that of the map in its middle.
BENT_BY, BENT = 1.0, 0.02
LARGER = 4.0

# Or if it is so many times as long as most. Around a pole from which a seam goes out, neighbours are some steps apart,
# and no shape is far from what it should be; on facets that meet in a corner they are as far apart as these are large.
WIDE = 64.0

# Input pixels between the points from which the area is taken.
CLOSE = 0.02


def shapeless(
    places: np.ndarray, first: tuple[int, int], pixel_to_pixel: PixelToPixel, jump: float, period: Period
) -> np.ndarray:
    """Which pixels (n, m) of a part of a pixel map have no shape that four straight edges could have.

    So it is around the point opposite to a projection's middle, where the sky is a circle's rim, and where facets meet
    in a corner.

    Parameters
    ----------
    places, first, pixel_to_pixel, period
        As for `jump_of`.
    jump : float
        As that gives it. Where neighbours lie beyond a seam the kernels find that out, but for the corners of facets,
        which have seams on all sides.
    """
    found, bent = np.zeros((2, *places.shape[:2]), bool)
    for x, y in ((1, 0), (0, 1), (1, 1), (1, -1)):
        begin, end = _ends(x, y)
        steps = places[end] - places[begin]
        lengths = _lengths(steps.copy(), period)
        beside = np.full((2, *lengths.shape), -1.0)  # lengths of the steps before and after, as kernels/pixmap.h has it
        beside[0][end], beside[1][begin] = lengths[begin], lengths[end]
        beside = np.fmax.reduce(beside)
        is_told = (lengths > jump) & (beside >= 0) & (lengths > TIMES_ITS_NEIGHBOURS * beside)
        wide = WIDE * float(np.nanmedian(lengths)) if np.isfinite(lengths).any() else math.inf
        for where in (begin, end):
            found[where] |= (lengths > max(jump, wide)) & ~is_told
        if (x and y) or any(period):  # with a period, a row at a pole is a circle, which may be bent
            continue
        off = np.abs(steps[end] - steps[begin]).max(axis=-1) / 8.0
        longest = np.maximum(lengths[begin], lengths[end])
        middle = slice(1, -1) if y else slice(None), slice(1, -1) if x else slice(None)
        is_bent = (off > BENT_BY) & (off > BENT * longest) & ~is_told[begin] & ~is_told[end]
        bent[middle] |= is_bent
        found[middle] |= is_bent & (longest > wide)
    rows, columns = np.nonzero(bent)
    if rows.size:
        along_y, along_x = np.gradient(places, axis=(0, 1))
        drawn = np.abs(_cross(along_x[bent], along_y[bent]))
        at = np.stack([columns + first[0], rows + first[1]]).astype(float)
        around = [np.stack(pixel_to_pixel(*(at + CLOSE * np.array(step)[:, None])), axis=-1) for step in AROUND]
        there = np.abs(_cross(around[0] - around[1], around[2] - around[3])) / (2.0 * CLOSE) ** 2
        found[bent] |= drawn > LARGER * there
    return found


AROUND = (1, 0), (-1, 0), (0, 1), (0, -1)


def _cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]


def _ends(x: int, y: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where steps of x columns and y rows begin in an array, and where they end."""
    rows = {0: (slice(None), slice(None)), 1: (slice(-1), slice(1, None)), -1: (slice(1, None), slice(-1))}[y]
    columns = {0: (slice(None), slice(None)), 1: (slice(-1), slice(1, None))}[x]
    return (rows[0], columns[0]), (rows[1], columns[1])

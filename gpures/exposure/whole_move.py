"""Images that lie on the output's own pixels: a move by whole pixels, which loses nothing if it is exact.

It may turn them by right angles, or mirror them. Between two WCS of one grid, world coordinates round by some 1e-9
pixels. A drop that reaches into a neighbour by so much leaves a trace there: a pixel without data gets its neighbour's
value.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gpures.wcs.tangent_plane import TURNS

__all__ = ["SUPPORT", "move_spline", "whole_move"]

SUPPORT = 4  # coefficients per axis that a pixel depends on, as in kernels/pixmap.h


def whole_move(pixels: Sequence[np.ndarray], places: Sequence[np.ndarray], tolerance: float) -> np.ndarray | None:
    """Turn and shift, by whole pixels, that an image is moved by.

    Parameters
    ----------
    pixels : (ndarray, ndarray)
        x and y of pixels.
    places : (ndarray, ndarray)
        Where they are in the output, finite.
    tolerance : float
        By how much these may differ from such a move, output pixels.

    Returns
    -------
    ndarray (2, 3) or None
        x and y in the output are its products with (x, y, 1); None of what is no such move.
    """
    size = pixels[0].size
    if not size:
        return None
    # A few pixels tell of nearly all maps that they are none.
    few = np.unravel_index(np.arange(0, size, max(1, size // 7)), pixels[0].shape)
    own, there = ([axis[few] for axis in pair] for pair in (pixels, places))
    # From one of them to another it is as far along one axis as it was, or as it was along the other.
    steps = [[abs(float(axis[-1]) - float(axis[0])) for axis in pair] for pair in (own, there)]
    if not any(
        all(abs(a - b) <= 2 * tolerance for a, b in zip(steps[0][::way], steps[1], strict=True)) for way in (1, -1)
    ):
        return None
    for turn in TURNS:
        shift = np.round([there[k][0] - (turn[k, 0] * own[0][0] + turn[k, 1] * own[1][0]) for k in (0, 1)])
        move = np.column_stack([turn, shift])
        if _miss(move, own, there) <= tolerance and _miss(move, pixels, places) <= tolerance:
            return move
    return None


def _miss(move: np.ndarray, pixels: Sequence[np.ndarray], places: Sequence[np.ndarray]) -> float:
    """How far from their places a move has pixels; a number of Python's, since a tolerance may be any integer."""
    x, y = pixels
    return max(float(np.abs(a * x + b * y + c - place).max()) for (a, b, c), place in zip(move, places, strict=True))


def move_spline(shape: tuple[int, int], move: np.ndarray) -> dict[str, np.ndarray]:
    """A move as what `kernels/pixmap.h` evaluates: coefficients and factors are whole, and so is the result.

    Parameters
    ----------
    shape : (int, int)
        Shape (Ny, Nx) of the image.
    move : ndarray (2, 3)
        As `whole_move` gives it.
    """
    # The factors of a column are 1 and its number, and of a row as well: x is the sum of m[2], m[0] * i and m[1] * j.
    coefficients = np.zeros((2, 2 + SUPPORT, 2 + SUPPORT))
    coefficients[:, 0, 0], coefficients[:, 0, 1], coefficients[:, 1, 0] = move[:, 2], move[:, 0], move[:, 1]
    spline = {"coefficients_x": coefficients[0], "coefficients_y": coefficients[1]}
    for axis, n in zip(("row", "column"), shape, strict=True):
        factors = np.zeros((SUPPORT, n))
        factors[0], factors[1] = 1.0, np.arange(n)
        spline[f"first_{axis}"], spline[f"{axis}_factors"] = np.zeros(n, np.int32), factors
    return spline

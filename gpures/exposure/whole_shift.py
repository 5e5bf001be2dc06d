"""Images that lie on the output's own pixels: a shift by whole pixels, which loses nothing if it is exact.

Between two WCS of one grid, world coordinates round by some 1e-9 pixels. A drop that reaches into a neighbour by so
much leaves a trace there: a pixel without data gets its neighbour's value.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["shift_spline", "whole_shift"]

SUPPORT = 4  # coefficients per axis that a pixel depends on, as in kernels/pixmap.h


def whole_shift(
    pixels: Sequence[np.ndarray], places: Sequence[np.ndarray], tolerance: float
) -> tuple[float, float] | None:
    """Whole pixels, along x and y, by which an image is shifted.

    Parameters
    ----------
    pixels : (ndarray, ndarray)
        x and y of pixels.
    places : (ndarray, ndarray)
        Where they are in the output, finite.
    tolerance : float
        By how much these may differ from a shift, output pixels.

    Returns
    -------
    (float, float) or None
        None of what is no such shift.
    """
    shift = []
    for own, there in zip(pixels, places, strict=True):
        if not own.size:
            return None
        whole = float(np.round(there.flat[0] - own.flat[0]))
        if not float(np.abs(there - own - whole).max()) <= tolerance:  # which may be an integer of any size
            return None
        shift.append(whole)
    return shift[0], shift[1]


def shift_spline(shape: tuple[int, int], shift: tuple[float, float]) -> dict[str, np.ndarray]:
    """A shift as what `kernels/pixmap.h` evaluates: coefficients and factors are whole, and so is the result.

    Parameters
    ----------
    shape : (int, int)
        Shape (Ny, Nx) of the image.
    shift : (float, float)
        Whole pixels along x and y.
    """
    # The factors of a column are 1 and its number, and of a row as well: x is dx * 1 + 1 * i, and y is dy * 1 + 1 * j.
    coefficients = np.zeros((2, 2 + SUPPORT, 2 + SUPPORT))
    coefficients[0, 0, :2] = shift[0], 1.0
    coefficients[1, :2, 0] = shift[1], 1.0
    spline = {"coefficients_x": coefficients[0], "coefficients_y": coefficients[1]}
    for axis, n in zip(("row", "column"), shape, strict=True):
        factors = np.zeros((SUPPORT, n))
        factors[0], factors[1] = 1.0, np.arange(n)
        spline[f"first_{axis}"], spline[f"{axis}_factors"] = np.zeros(n, np.int32), factors
    return spline

"""Whether two WCS of an output frame are the same."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpures.wcs.seams import Period
from gpures.wcs.transforms import Transform, pixel_to_world

__all__ = ["offset_of_frames"]

# Pixels along each side at which they are compared.
GRID = 33


def offset_of_frames(wcs: Any, other: Any, to_pixel: Transform, shape: tuple[int, int], period: Period) -> float:
    """Largest distance of the places that two WCS give to the same pixels of a frame, in pixels.

    What they are made of does not count, only what they do, on a grid of pixels.

    Parameters
    ----------
    wcs, other : gwcs.wcs.WCS or astropy.wcs.WCS
        Both.
    to_pixel : Transform
        World coordinates to pixels of the first one.
    shape : (int, int)
        Shape (Ny, Nx) of the frame.
    period : (float, float)
        Of the first one, as `gpures.wcs.seams.period_of` gives it.

    Returns
    -------
    float
        Infinite where they have other kinds of world coordinates, or only one of them has a place for a pixel.
    """
    forwards = [pixel_to_world(each, to_pixel.axes.sky) for each in (wcs, other)]
    if forwards[0].axes.types != forwards[1].axes.types:
        return math.inf
    x, y = (grid.ravel() for grid in np.meshgrid(*(np.linspace(0.0, n - 1.0, GRID) for n in shape[::-1])))
    with np.errstate(invalid="ignore"):
        here, there = (np.array(to_pixel(*forward(x, y))) for forward in forwards)
        off = np.abs(there - here)
        for axis, turn in zip(off, period, strict=True):
            if turn:
                np.minimum(axis, np.abs(turn - axis), out=axis)
    lost = np.isnan(here)
    if (lost != np.isnan(there)).any():
        return math.inf
    return float(off[~lost].max(initial=0.0))

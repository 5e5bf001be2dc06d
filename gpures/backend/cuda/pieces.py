"""What goes to a device and comes from it, cut into pieces that fit a buffer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np

from gpures.backend.cuda.bad_pixels import BadPixels

__all__ = ["Carried", "pieces_of"]

# What goes up.
Carried: TypeAlias = np.ndarray | BadPixels


def pieces_of(array: Carried, most: int) -> Iterator[tuple[Carried, int]]:
    """Parts of an array of at most so many bytes, each with its offset (bytes) in the array's contiguous copy."""
    if isinstance(array, BadPixels):
        yield from array.pieces(most)
        return
    rows = array.reshape(array.shape[0], -1) if array.ndim != 1 else array[None]
    width, item = rows.shape[1], array.dtype.itemsize
    at_once = max(1, most // (width * item))
    columns = min(width, max(1, most // item))
    for j in range(0, rows.shape[0], at_once):
        for i in range(0, width, columns):
            yield rows[j : j + at_once, i : i + columns], (j * width + i) * item

"""Arrays that the originals are given, as gpures takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["plain"]


def plain(array: Any, types: Sequence[str], ndim: int) -> np.ndarray:
    """An array of numpy, of what is one or, as those of an ASDF file, is read as one.

    Parameters
    ----------
    array : object
        What the original was given.
    types : sequence of str
        What it may hold: kinds and sizes, as numpy has them, in either order of bytes (FITS files have theirs).
    ndim : int
        Number of its axes.

    Raises
    ------
    TypeError
        It is something else, such as a list, or an array with a mask or a unit; or it is empty.
    """
    more_than_numbers = isinstance(array, np.ndarray) and type(array) not in (np.ndarray, np.memmap)
    if more_than_numbers or not hasattr(array, "dtype"):
        raise TypeError(f"a {type(array).__name__} is not an array of numpy")
    values = np.asarray(array)
    if values.dtype.str[1:] not in types or values.ndim != ndim or not values.size:
        raise TypeError(f"an array of {values.dtype} of the shape {values.shape}")
    return values

"""The structs of ``kernels/exposure.h`` as numpy records: what the kernels are told of an exposure and a mosaic.

Field by field as in the header; a test compares both, and each CUDA compilation compares the sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import lru_cache
from typing import Any

import numpy as np

from gpures import _cpu

__all__ = [
    "BITS",
    "BLOT",
    "CLIPPED",
    "COMPARISON",
    "EXPOSURE",
    "INTERPOLATIONS",
    "LANCZOS_ORDER",
    "MERGE",
    "MERGED_PLANE",
    "MOSAIC",
    "MOST_MERGED",
    "MOST_PLANES",
    "MOST_SOURCES",
    "OPERATOR",
    "PAIRS",
    "PIXMAP",
    "PLANE",
    "SCALING",
    "STACK",
    "STACK_IMAGE",
    "VIEW",
    "WINDOW",
    "Place",
    "Squared",
    "in_memory",
    "lanczos_table",
    "view",
]

# In the order of the enumeration in kernels/blot.h.
INTERPOLATIONS = ("nearest", "linear", "poly3", "poly5", "lanczos3", "lanczos5", "sinc")

LANCZOS_ORDER = {"lanczos2": 2, "lanczos3": 3, "lanczos5": 5}

_POINTER = "u8"

VIEW = np.dtype(
    [("data", _POINTER), ("row_stride", "i8"), ("column_stride", "i8"), ("type", "i4"), ("swapped", "i4")], align=True
)

PIXMAP = np.dtype(
    [(name, _POINTER) for name in ("full", "formula", "coefficients_x", "coefficients_y")]
    + [("coefficients_per_row", "i8")]
    + [(name, _POINTER) for name in ("first_row", "first_column", "row_factors", "column_factors")]
    + [(name, "i4") for name in ("x0", "x1", "y0", "y1")]
    + [(name, "f8") for name in ("period_x", "period_y", "shift_x", "shift_y", "jump")],
    align=True,
)

PLANE = np.dtype(
    [("view", VIEW), ("offset", "f8"), ("scale", "f8"), ("root", "i4"), ("squared", "i4")]
    + [(name, _POINTER) for name in ("mean", "weight")],
    align=True,
)

MOST_PLANES: int = _cpu.MOST_PLANES


class Squared(IntEnum):
    """What of a plane is weighted with squares, in the order of the enumeration in kernels/exposure.h."""

    NOT_SQUARED = 0
    VALUES = 1
    VARIANCES = 2
    ERRORS = 3


EXPOSURE = np.dtype(
    [("ny", "i8"), ("nx", "i8")]
    + [(name, "i4") for name in ("x0", "x1", "y0", "y1")]
    + [("pixmap", PIXMAP), ("kernel", "i4"), ("planes", "i4"), ("pixfrac", "f8"), ("pixel_scale_ratio", "f8")]
    + [("lanczos", _POINTER), ("weight_map", VIEW), ("variance", VIEW), ("weight", "f8")]
    + [("dq", VIEW), ("bad_bits", "u8"), ("single", "i4"), ("variance_weight_plane", "i4")]
    + [("variance_weight", "f8"), ("exposure_time", "f8")]
    + [("plane", PLANE, (MOST_PLANES,))],
    align=True,
)

MOSAIC = np.dtype(
    [(name, "i8") for name in ("ny", "nx", "stride")]
    + [(name, "i4") for name in ("x0", "x1", "y0", "y1", "doubles", "context_bit")]
    + [(name, _POINTER) for name in ("weight", "beyond", "context", "dq", "time", "passed_over", "pairs")],
    align=True,
)

MOST_SOURCES: int = _cpu.MOST_SOURCES

PAIRS = np.dtype(
    [("sums", _POINTER), ("stride", "i8")]
    + [(name, "i4") for name in ("max_lag", "whole_drops", "sources")]
    + [("source", PLANE, (MOST_SOURCES,))],
    align=True,
)

SCALING = np.dtype(
    [
        *(("weight", "f8"), ("smallest", "f8"), ("units", "f8", (MOST_PLANES + 1,))),
        *(("can_fold_in_floats", "i4"), ("float_planes", "u4")),
    ],
    align=True,
)

WINDOW = np.dtype(
    [("sums", _POINTER), ("stride", "i8")]
    + [(name, "i4") for name in ("x0", "x1", "y0", "y1")]
    + [("timed", _POINTER), ("scaling", SCALING)],
    align=True,
)

MERGED_PLANE = np.dtype(
    [(name, _POINTER) for name in ("mean", "weight", "other_mean", "other_weight")] + [("squared", "i4")], align=True
)

MOST_MERGED: int = _cpu.MOST_MERGED

MERGE = np.dtype(
    [("nx", "i8"), ("other_nx", "i8")]
    + [(name, "i4") for name in ("x0", "x1", "y0", "y1", "doubles", "planes")]
    + [(name, _POINTER) for name in ("weight", "other_weight", "beyond", "time", "other_time", "dq", "other_dq")]
    + [(name, _POINTER) for name in ("context", "other_context")]
    + [(name, "i8") for name in ("context_stride", "other_context_stride")]
    + [(name, "i4") for name in ("context_planes", "other_planes", "first_bit")]
    + [(name, _POINTER) for name in ("pairs", "other_pairs")]
    + [("pairs_stride", "i8"), ("other_pairs_stride", "i8"), ("pair_planes", "i4")]
    + [("plane", MERGED_PLANE, (MOST_MERGED,))],
    align=True,
)

BLOT = np.dtype(
    [("data", _POINTER), ("ny", "i8"), ("nx", "i8"), ("doubles", "i4"), ("interpolation", "i4")]
    + [(name, _POINTER) for name in ("pixmap", "out")]
    + [("out_ny", "i8"), ("out_nx", "i8")]
    + [(name, "f8") for name in ("scale", "fill", "sinc_scale", "float32_below")]
    + [("lanczos", _POINTER)],
    align=True,
)

STACK_IMAGE = np.dtype(
    [("data", _POINTER)] + [(name, "i8") for name in ("x0", "y0", "nx", "ny")] + [("level", "f8")], align=True
)

STACK = np.dtype(
    [("image", _POINTER)]
    + [(name, "i8") for name in ("images", "x0", "y0", "nx", "ny")]
    + [(name, _POINTER) for name in ("out", "lower", "scatter")]
    + [("least", "i8")],
    align=True,
)

CLIPPED = np.dtype(
    [(name, _POINTER) for name in ("median", "scatter")]
    + [(name, "f8") for name in ("times", "noise")]
    + [("out", _POINTER)],
    align=True,
)

COMPARISON = np.dtype(
    [(name, _POINTER) for name in ("data", "expected", "lower", "err")]
    + [("ny", "i8"), ("nx", "i8"), ("background", "f8"), ("snr", "f8", (3,)), ("scale", "f8", (3,))]
    + [("sharpness", "f8"), ("smoothing", "f8"), ("found", _POINTER)],
    align=True,
)

OPERATOR = np.dtype(
    [("nx", "i8")]
    + [(name, "i4") for name in ("x0", "x1", "y0", "y1", "wide")]
    + [(name, _POINTER) for name in ("next", "columns", "weights", "passed_over")],
    align=True,
)

# In the order of the enumeration in kernels/exposure.h; booleans are read as bytes.
_TYPES = {name: k for k, name in enumerate(("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"))} | {"b1": 1}

#: A pixel is a bit, the first one of a byte the lowest.
BITS = 10


# Where the kernels find an array: its address and its strides (bytes).
Place = Callable[[Any], tuple[int, tuple[int, ...]]]


def in_memory(array: np.ndarray) -> tuple[int, tuple[int, ...]]:
    """Place of a numpy array."""
    return array.ctypes.data, array.strides


def view(array: Any, shape: tuple[int, int], place: Place) -> tuple:
    """A VIEW of an array, which must still have the exposure's shape: the kernels take that for granted.

    Parameters
    ----------
    array : ndarray or cupy.ndarray
        The array.
    shape : (int, int)
        Shape (Ny, Nx) of the exposure.
    place : callable
        Array to its address and strides, on the backend's device.

    Raises
    ------
    RuntimeError
        It has another, as an array that was resized after it had been checked.
    """
    if array.shape != shape:
        raise RuntimeError(f"An array of the shape {shape} has become one of {array.shape} since it was checked.")
    address, strides = place(array)
    swapped = array.dtype.str[0] == (">" if np.little_endian else "<")
    return address, strides[0], strides[1], _TYPES[array.dtype.str[1:]], swapped


@lru_cache
def lanczos_table(order: int) -> np.ndarray:
    """Table from which the Lanczos factors of an order are read."""
    table = np.empty(_cpu.lanczos_entries(order))
    _cpu.fill_lanczos_table(table, order)
    return table

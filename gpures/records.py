"""The structs of ``kernels/exposure.h`` as numpy records: what the kernels are told of an exposure and a mosaic.

Field by field as in the header; a test compares both, and each CUDA compilation compares the sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from gpures import _cpu

if TYPE_CHECKING:
    from gpures.exposure import Exposure
    from gpures.pixmap import PixelMap

__all__ = [
    "BLOT",
    "EXPOSURE",
    "INTERPOLATIONS",
    "KERNELS",
    "MOSAIC",
    "MOST_PLANES",
    "PIXMAP",
    "PLANE",
    "VIEW",
    "WINDOW",
    "Place",
    "exposure_record",
    "in_memory",
    "lanczos_table",
    "set_drop",
    "set_weights",
    "view",
]

# In the order of the enumeration in kernels/drop.h.
KERNELS = ("square", "gaussian", "point", "turbo", "lanczos2", "lanczos3")

# In the order of the enumeration in kernels/blot.h.
INTERPOLATIONS = ("nearest", "linear", "poly3", "poly5", "lanczos3", "lanczos5", "sinc")

LANCZOS_ORDER = {"lanczos2": 2, "lanczos3": 3, "lanczos5": 5}

_POINTER = "u8"

VIEW = np.dtype(
    [("data", _POINTER), ("row_stride", "i8"), ("column_stride", "i8"), ("type", "i4"), ("swapped", "i4")], align=True
)

PIXMAP = np.dtype(
    [(name, _POINTER) for name in ("full", "coefficients_x", "coefficients_y")]
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

EXPOSURE = np.dtype(
    [("ny", "i8"), ("nx", "i8")]
    + [(name, "i4") for name in ("x0", "x1", "y0", "y1")]
    + [("pixmap", PIXMAP), ("kernel", "i4"), ("planes", "i4"), ("pixfrac", "f8"), ("pixel_scale_ratio", "f8")]
    + [("lanczos", _POINTER), ("weight_map", VIEW), ("variance", VIEW), ("weight", "f8")]
    + [("dq", VIEW), ("bad_bits", "u8"), ("variance_weight_plane", "i4"), ("variance_weight", "f8")]
    + [("exposure_time", "f8")]
    + [("plane", PLANE, (MOST_PLANES,))],
    align=True,
)

MOSAIC = np.dtype(
    [("ny", "i8"), ("nx", "i8"), ("doubles", "i4"), ("context_bit", "i4")]
    + [(name, _POINTER) for name in ("weight", "beyond", "context", "dq", "time", "passed_over")],
    align=True,
)

WINDOW = np.dtype(
    [("sums", _POINTER), ("stride", "i8")]
    + [(name, "i4") for name in ("x0", "x1", "y0", "y1")]
    + [("timed", _POINTER)],
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

# In the order of the enumeration in kernels/exposure.h; booleans are read as bytes.
_TYPES = {name: k for k, name in enumerate(("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"))} | {"b1": 1}


# Where the kernels find an array: its address and its strides (bytes).
Place = Callable[[Any], tuple[int, tuple[int, ...]]]


def in_memory(array: np.ndarray) -> tuple[int, tuple[int, ...]]:
    """Place of a numpy array."""
    return array.ctypes.data, array.strides


def exposure_record(shape: tuple[int, int], pixmap: PixelMap | None, place: Place) -> np.ndarray:
    """An EXPOSURE of that shape, of which all pixels are used, with a pixel map and nothing else."""
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
        if pixmap.spline is not None and pixmap.window is not None:
            record["pixmap"]["coefficients_per_row"] = pixmap.spline["coefficients_x"].shape[1]
            for name, limit in zip(("x0", "x1", "y0", "y1"), pixmap.window, strict=True):
                record["pixmap"][name] = limit
    return record


def set_drop(record: np.ndarray, exposure: Exposure, kernel: str, place: Place) -> None:
    """Limits and drops of an exposure."""
    for name, limit in zip(("x0", "x1", "y0", "y1"), exposure.limits, strict=True):
        record[name] = limit
    record["kernel"] = KERNELS.index(kernel)
    record["pixfrac"] = exposure.pixfrac
    record["pixel_scale_ratio"] = exposure.pixel_scale_ratio
    if kernel in LANCZOS_ORDER:
        record["lanczos"] = place(lanczos_table(LANCZOS_ORDER[kernel]))[0]


def set_weights(record: np.ndarray, exposure: Exposure, place: Place) -> None:
    """What the weights of an exposure are made of."""
    weight = exposure.weight
    record["weight"] = weight.constant
    if weight.weight_map is not None:
        record["weight_map"] = view(weight.weight_map, exposure.shape, place)
    elif weight.variance is not None:
        record["variance"] = view(weight.variance, exposure.shape, place)
    if exposure.dq is not None:
        record["dq"] = view(exposure.dq, exposure.shape, place)
        record["bad_bits"] = weight.bad_bits


def view(array: Any, shape: tuple[int, int], place: Place) -> tuple:
    """A VIEW of an array, which must still have the exposure's shape: the kernels take that for granted.

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

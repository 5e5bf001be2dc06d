"""Checks of arguments: each gives the value to use, or an error that names it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpures import _cpu
from gpures.records import KERNELS

__all__ = [
    "LARGEST_PIXFRAC",
    "LARGEST_SIDE",
    "NOT_GIVEN",
    "check_sides",
    "checked_compute_err",
    "checked_dtype",
    "checked_kernel",
    "checked_names",
    "checked_number",
    "checked_shape",
    "effective_kernel",
    "fill_number",
    "warn_of_deprecation",
    "warn_of_kernel",
]

# At or below this pixfrac a drop is a point, for every kernel: the reference's bound.
POINT_PIXFRAC = 0.001

#: A drop reaches for its corners into the cells of the pixel map next to its centre, so it can't be wider than two.
LARGEST_PIXFRAC = 2.0

#: Longest side of an image or a frame (pixels), that of the kernels.
LARGEST_SIDE = _cpu.LARGEST_SIDE

#: Default of arguments that are deprecated.
NOT_GIVEN: Any = object()


def checked_number(value: Any, name: str, low: float, high: float) -> Any:
    """A number within bounds; ValueError if it is not."""
    try:
        inside = low <= value <= high
    except TypeError:
        inside = False
    if not inside:
        bound = f"between {low} and {high}" if math.isfinite(high) else f"at least {low}"
        raise ValueError(f"'{name}' must be a number {bound}, got {value!r}.")
    return value


def checked_kernel(kernel: Any) -> str:
    """The name of a kernel, in any case; ValueError if there is none of that name."""
    if not isinstance(kernel, str) or kernel.lower() not in KERNELS:
        raise ValueError(f"Kernel {kernel!r} is not supported: 'kernel' must be one of {KERNELS}.")
    return kernel


def effective_kernel(kernel: str, pixfrac: float) -> str:
    """Name of the kernel that drops of that size have."""
    return "point" if pixfrac <= POINT_PIXFRAC else kernel.lower()


def warn_of_kernel(kernel: str, pixfrac: float, stacklevel: int) -> None:
    """Warn of what a kernel does not do; ``stacklevel`` as `warnings.warn` would take it in the caller."""
    effective = effective_kernel(kernel, pixfrac)
    stacklevel += 1
    if effective != kernel.lower():
        warnings.warn("Kernel reset to 'point' due to input 'pixfrac' being too small.", stacklevel=stacklevel)
    if effective in ("gaussian", "lanczos2", "lanczos3"):
        warnings.warn(f"Kernel '{effective}' is not a flux-conserving kernel.", stacklevel=stacklevel)
    if effective.startswith("lanczos") and abs(pixfrac - 1.0) > 1e-5:
        warnings.warn("In lanczos kernel, pixfrac is ignored and assumed to be 1.0", stacklevel=stacklevel)


def warn_of_deprecation(name: str, instead: str) -> None:
    """Warn who called the caller of an argument that the drizzle package has deprecated."""
    warnings.warn(f"'{name}' is deprecated since drizzle 2.2: use {instead}.", DeprecationWarning, stacklevel=3)


def checked_compute_err(value: Any) -> str | None:
    """A way of computing the error; ValueError if there is none of that name."""
    if value not in (None, False, "from_var", "driz_err"):
        raise ValueError(f"'compute_err' must be 'from_var', 'driz_err' or None, got {value!r}.")
    return value


def checked_dtype(value: Any, backend: str) -> np.dtype:
    """The type of a backend's accumulators; ValueError if it has no such."""
    dtype = np.dtype(value)
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"'accumulator_dtype' must be 'f4' or 'f8', got {value!r}.")
    if backend == "drizzle" and dtype != np.float32:
        raise ValueError("backend='drizzle' accumulates in float32: 'accumulator_dtype' must be 'f4'.")
    return dtype


def checked_names(names: Any, taken: Sequence[str]) -> tuple[str, ...]:
    """Names of further arrays; ValueError if they are no names, occur twice, or are those of other images."""
    names = (names,) if isinstance(names, str) else tuple(names)
    bad = [name for name in names if not isinstance(name, str) or name in taken or names.count(name) > 1]
    if bad:
        raise ValueError(f"'extra_array_names' must be distinct names, none of {tuple(taken)}, got {bad[0]!r}.")
    return names


def checked_shape(shape: Any) -> tuple[int, int]:
    """The shape of an output frame; ValueError if it has no pixels, or too many along a side."""
    if shape is None or len(shape) != 2 or not all(n > 0 for n in shape):
        raise ValueError(f"Invalid output frame shape: {shape}")
    check_sides(shape, "The output frame")
    return int(shape[0]), int(shape[1])


def check_sides(shape: Sequence[int], what: str) -> None:
    """Refuse what has sides too long to be counted; ``what`` begins the ValueError."""
    if max(shape) > LARGEST_SIDE:
        ny, nx = shape
        raise ValueError(f"{what} may have sides of at most {LARGEST_SIDE:,} pixels, got the shape ({ny}, {nx}).")


def fill_number(fillval: Any) -> float | None:
    """Fill value as a number, or None for "leave as it is".

    Raises
    ------
    ValueError
        It is a string that holds no number.
    """
    if fillval is None or (isinstance(fillval, str) and fillval.strip().upper() in ("", "INDEF")):
        return None
    return float(fillval)

"""Drops: the names of their shapes, which are the kernels', and their size."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from gpures.arguments.arrays import got
from gpures.arguments.values import checked_ratio

__all__ = [
    "KERNELS",
    "LARGEST_PIXFRAC",
    "checked_kernel",
    "effective_kernel",
    "ratio_in_single",
    "sizing_ratio",
    "warn_of_kernel",
]

#: Names of the kernels, in the order of the enumeration in kernels/drop.h.
KERNELS = ("square", "gaussian", "point", "turbo", "lanczos2", "lanczos3")

# At or below this pixfrac a drop is a point, for every kernel: the reference's bound.
POINT_PIXFRAC = 0.001

#: A drop reaches for its corners into the cells of the pixel map next to its centre, so it can't be wider than two.
LARGEST_PIXFRAC = 2.0


def checked_kernel(kernel: Any) -> str:
    """The name of a kernel, in any case; ValueError if there is none of that name."""
    if not isinstance(kernel, str) or kernel.lower() not in KERNELS:
        raise ValueError(f"Kernel {got(kernel)} is not supported: 'kernel' must be one of {KERNELS}.")
    return kernel


def effective_kernel(kernel: str, pixfrac: float) -> str:
    """Name of the kernel that drops of that size have."""
    return "point" if pixfrac <= POINT_PIXFRAC else kernel.lower()


def sizing_ratio(given: float | None, kernel: str, estimated: Callable[[], float]) -> float:
    """Pixel scale ratio that sizes the drops of a kernel: the one given or, without one, the pixel map's own.

    Parameters
    ----------
    given : float or None
        Output over input pixel scale.
    kernel : str
        Name of the kernel.
    estimated : callable
        Gives that of the pixel map, where it is needed.
    """
    if given is not None:
        return checked_ratio(given)
    return 1.0 if kernel in ("square", "point") else estimated()  # those take their size from the pixel map


def ratio_in_single(ratio: float) -> float:
    """A pixel scale ratio as the reference hands it on, in float32.

    To float32 sums the digits beyond make no difference but one: which entry of the Lanczos table is nearest.
    """
    return float(np.float32(ratio))


def warn_of_kernel(kernel: str, pixfrac: float, stacklevel: int) -> None:
    """Warn of what a kernel does not do.

    Parameters
    ----------
    kernel : str
        Shape of the drops, as the caller gave it.
    pixfrac : float
        Their size in input pixels.
    stacklevel : int
        As `warnings.warn` would take it in the caller.
    """
    effective = effective_kernel(kernel, pixfrac)
    stacklevel += 1
    if effective != kernel.lower():
        warnings.warn("Kernel reset to 'point' due to input 'pixfrac' being too small.", stacklevel=stacklevel)
    if effective in ("gaussian", "lanczos2", "lanczos3"):
        warnings.warn(f"Kernel '{effective}' is not a flux-conserving kernel.", stacklevel=stacklevel)
    if effective.startswith("lanczos") and abs(pixfrac - 1.0) > 1e-5:
        warnings.warn("In lanczos kernel, pixfrac is ignored and assumed to be 1.0", stacklevel=stacklevel)

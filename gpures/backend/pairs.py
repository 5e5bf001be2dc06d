"""Pairs of output pixels, in the order in which what is accumulated of them lies (see ``kernels/pairs.h``)."""

from __future__ import annotations

import numpy as np

from gpures import _cpu

__all__ = ["lags"]


def lags(longest: int) -> np.ndarray:
    """Lags of the planes of covariances.

    Parameters
    ----------
    longest : int
        The longest along either axis.

    Returns
    -------
    ndarray of int64 (lags, 2)
        Of each its dy and dx; (0, 0) first, then those of 1, and so on.
    """
    found = np.empty((_cpu.planes_of_lags(longest), 2), np.int64)
    for dy in range(longest + 1):
        for dx in range(0 if dy == 0 else -longest, longest + 1):
            found[_cpu.number_of_lag(dx, dy)] = dy, dx
    return found

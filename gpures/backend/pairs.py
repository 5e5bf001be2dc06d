"""Pairs of output pixels, in the order in which what is accumulated of them lies (see ``kernels/pairs.h``)."""

from __future__ import annotations

import numpy as np

from gpures import _cpu
from gpures.exposure.options import MOST_LAG

__all__ = ["check_reach", "lags"]


def check_reach(lag: int) -> None:
    """Refuse drops that reach farther than lags may.

    Parameters
    ----------
    lag : int
        The longest of pairs of pixels that a drop falls on.

    Raises
    ------
    ValueError
        It is too long.
    """
    if lag > MOST_LAG:
        raise ValueError(
            f"covariance=True needs lags of {lag} pixels, as far as drops reach, and there may be {MOST_LAG}: give "
            "a largest lag, or a frame of a larger pixel scale."
        )


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

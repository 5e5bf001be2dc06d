"""Pairs of output pixels, in the order in which what is accumulated of them lies (see ``kernels/pairs.h``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gpures import _cpu
from gpures.exposure.options import MOST_LAG

__all__ = ["check_reach", "lags", "longest_of", "sums_of", "too_short"]


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


def longest_of(count: int) -> int:
    """The longest lag, where there are so many of them."""
    return next(lag for lag in range(MOST_LAG + 1) if _cpu.planes_of_lags(lag) == count)


def sums_of(mosaic: Mapping[str, Any], whole_drops: bool) -> np.ndarray:
    """Sums of pairs, as the images of a mosaic tell them.

    Parameters
    ----------
    mosaic : mapping
        Output model, finalized; without covariances, ``"err"`` is the root of the variance of the data.
    whole_drops : bool
        Whether there are sums over whole drops.

    Returns
    -------
    ndarray of float64 (planes, Ny, Nx)
        As accumulators have them.
    """
    weight = np.asarray(mosaic["wht"], np.float64)
    if mosaic.get("covariance") is None:
        found, covariances = np.zeros((1, 2), int), [np.square(mosaic["err"], dtype=np.float64)]
    else:
        found, covariances = lags(longest_of(len(mosaic["covariance"]))), mosaic["covariance"]
    sums = np.zeros((whole_drops + len(found), *weight.shape))
    for plane, covariance, (dy, dx) in zip(sums[whole_drops:], covariances, found.tolist(), strict=True):
        ny, nx = weight.shape
        own = slice(0, max(0, ny - dy)), slice(max(0, -dx), max(0, nx - max(0, dx)))
        other = slice(dy, None), slice(max(0, dx), max(0, nx - max(0, -dx)))
        weights = weight[own] * weight[other]
        np.multiply(covariance[own], weights, out=plane[own], where=weights != 0)
    if whole_drops:
        factor = np.square(mosaic["noise_factor"], dtype=np.float64)
        np.multiply(factor, sums[1], out=sums[0], where=sums[1] != 0)
    return sums


def too_short(longest: int, reach: int) -> str:
    """What is to be said of covariances that leave out pairs of pixels.

    Parameters
    ----------
    longest : int
        Their longest lag.
    reach : int
        That of pairs that drops fall on.
    """
    return (
        f"Covariances go to lags of {longest}, and drops fall on pixels that are {reach} apart: pairs beyond "
        f"{longest} count as independent, which makes errors of sums too small. Ask for covariance=True, or for longer "
        "lags."
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

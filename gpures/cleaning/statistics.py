"""The sky's value in parts of an image: a mean, median, mode or midpoint of pixels, without outliers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gpures import _cpu
from gpures.arguments.arrays import got
from gpures.arguments.values import checked_integer, checked_number, checked_real
from gpures.exposure.structs import VIEW, in_memory, view
from gpures.machine.threads import thread_count

__all__ = ["STATISTICS", "Measure", "StatisticOptions", "measured"]

# In the order of the enumeration in kernels/cpu/statistics.h.
STATISTICS = ("mean", "median", "mode", "midpt")

# Rounds of clipping beyond which nothing can change any more.
MOST_ROUNDS = 1000

# The smallest width of a histogram's bins, standard deviations: there are as many bins as fit between the extremes.
FINEST = 0.01


class Measure(NamedTuple):
    """The sky in a part of an image.

    Attributes
    ----------
    value : float
        Its value; NaN where there is no pixel.
    pixels : int
        Pixels that it was taken from.
    """

    value: float
    pixels: int


@dataclass(frozen=True)
class StatisticOptions:
    """How the sky is taken from pixels; checked when it is made.

    Attributes
    ----------
    statistic : {"mean", "median", "mode", "midpt"}
        Of the pixels that are left: their mean or median; the peak of their histogram, by a parabola; or where half of
        the histogram lies below.
    lower, upper : float or None
        Values below and above don't count.
    nclip : int
        How often outliers are left out, at most.
    lsigma, usigma : float
        How far below and above the mean a pixel is one, standard deviations.
    binwidth : float
        Width of the histogram's bins, standard deviations.
    as_imagestats : bool
        Whether a place in the histogram is counted in ``binwidth``, as ``stsci.imagestats`` does: its bins are wider by
        up to a hundredth, by which "mode" and "midpt" are too low, by up to 0.05 standard deviations.

    Raises
    ------
    TypeError, ValueError
        One of them has a value that it can't have. The text names it.
    """

    statistic: str = "median"
    lower: float | None = None
    upper: float | None = None
    nclip: int = 5
    lsigma: float = 4.0
    usigma: float = 4.0
    binwidth: float = 0.1
    as_imagestats: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.statistic, str) or self.statistic not in STATISTICS:
            raise ValueError(f"'statistic' must be one of {STATISTICS}, got {got(self.statistic)}.")
        low, high = (_limit(getattr(self, name), name) for name in ("lower", "upper"))
        if low is not None and high is not None and low > high:
            raise ValueError(f"'lower' must not be above 'upper', got {got(self.lower)} and {got(self.upper)}.")
        if not 0 <= checked_integer(self.nclip, "nclip") <= MOST_ROUNDS:
            raise ValueError(f"'nclip' must be between 0 and {MOST_ROUNDS}, got {got(self.nclip)}.")
        checked_number(self.binwidth, "binwidth", FINEST, math.inf)
        for name in ("lsigma", "usigma"):
            if checked_number(getattr(self, name), name, 0.0, math.inf) == 0:
                raise ValueError(f"'{name}' must be positive, got {got(getattr(self, name))}.")

    @property
    def numbers(self) -> tuple[Any, ...]:
        """What the kernel is told."""
        lower = -math.inf if self.lower is None else float(self.lower)
        upper = math.inf if self.upper is None else float(self.upper)
        sigmas = float(self.lsigma), float(self.usigma), float(self.binwidth)
        return STATISTICS.index(self.statistic), lower, upper, int(self.nclip), *sigmas, self.as_imagestats


def _limit(value: Any, name: str) -> float | None:
    """A limit of values, or None; ValueError if it is NaN."""
    if value is None:
        return None
    limit = checked_real(value, name)
    if math.isnan(limit):
        raise ValueError(f"'{name}' must be a number or None, got {got(value)}.")
    return limit


def measured(
    data: np.ndarray, usable: np.ndarray | None, regions: Sequence[np.ndarray], options: StatisticOptions
) -> list[Measure]:
    """The sky in parts of an image, which may overlap.

    Parameters
    ----------
    data : ndarray of real numbers (Ny, Nx)
        The image, of any strides and byte order. Pixels that are not finite don't count.
    usable : ndarray of bool (Ny, Nx) or None
        Which pixels count; None for all.
    regions : sequence of ndarray of int32 (n, 3)
        Of each part the rows, first pixels, and ends (exclusive).
    options : StatisticOptions
        What is taken of them.

    Raises
    ------
    ValueError
        ``usable`` is not of the image's shape, or a region lies beside it.
    """
    record = np.zeros((), VIEW)
    record[...] = view(data, data.shape, in_memory)
    counts = [0, *(len(region) for region in regions)]
    found = np.empty((len(regions), 2))
    if usable is not None:
        if np.shape(usable) != data.shape:
            raise ValueError(f"'usable' must have the shape of the image, {data.shape}, got {np.shape(usable)}.")
        usable = np.ascontiguousarray(usable, bool).view(np.uint8)
    spans = np.concatenate([*regions, np.empty((0, 3), np.int32)])
    starts = np.cumsum(counts, dtype=np.int64)
    _cpu.measure(record.ctypes.data, usable, spans, starts, data.shape, options.numbers, found, thread_count())
    return [Measure(float(value), int(pixels)) for value, pixels in found]

"""The median of an image that comes in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

__all__ = ["median_of_parts"]

# Bits that are counted at a time, of the 32 of a number.
BITS = 16


def median_of_parts(parts: Callable[[], Iterable[np.ndarray]]) -> float | None:
    """Median of the numbers in an image of float32, as `numpy.nanmedian` has it; None where there is none.

    Parameters
    ----------
    parts : callable
        Gives the parts of the image, twice: numbers are counted by their first bits, and then, of those in the middle,
        by the others.
    """
    first = sum((_counts(_ordered(part) >> BITS) for part in parts()), np.zeros(1 << BITS, np.int64))
    count = int(first.sum())
    if not count:
        return None
    middle = (count - 1) // 2, count // 2
    begins = {rank: int(np.searchsorted(np.cumsum(first), rank, "right")) for rank in middle}
    others = {begin: np.zeros(1 << BITS, np.int64) for begin in begins.values()}
    for part in parts():
        ordered = _ordered(part)
        for begin, counts in others.items():
            counts += _counts(ordered[ordered >> BITS == begin] & (1 << BITS) - 1)
    found = []
    for rank, begin in begins.items():
        rest = np.searchsorted(np.cumsum(others[begin]), rank - int(first[:begin].sum()), "right")
        found.append(_number(begin << BITS | int(rest)))
    return float(np.mean(np.array(found, np.float32)))


def _counts(values: np.ndarray) -> np.ndarray:
    return np.bincount(values, minlength=1 << BITS)


def _ordered(part: np.ndarray) -> np.ndarray:
    """Integers in the order of an image's numbers, without those that are none."""
    numbers = part.astype(np.float32, copy=False).ravel()
    bits = numbers[numbers == numbers].view(np.uint32)
    return bits ^ np.where(bits >> 31, np.uint32(0xFFFFFFFF), np.uint32(1 << 31))


def _number(ordered: int) -> np.float32:
    bits = ordered ^ (1 << 31 if ordered >> 31 else 0xFFFFFFFF)
    return np.uint32(bits).view(np.float32)

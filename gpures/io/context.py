"""Context images, which say what exposures a pixel is made of: a bit for each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["renumbered", "spread"]

BITS = 32


def renumbered(context: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    """A context image in which exposures have other numbers.

    Parameters
    ----------
    context : ndarray of int32 (planes, ny, nx)
    numbers : sequence of int
        Those that there are, in their new order.
    """
    result = np.zeros_like(context)
    for plane, image in _moved(context, numbers, range(len(numbers))).items():
        result[plane] = image
    return result


def spread(context: np.ndarray, numbers: Sequence[int]) -> dict[int, np.ndarray]:
    """Context of some exposures as it is in that of all: those of its planes that have any of them, by number.

    Parameters
    ----------
    context : ndarray of int32 (planes, ny, nx)
        Of the exposures that a part of the frame has, counted from 0.
    numbers : sequence of int
        Which of all they are.
    """
    return _moved(context, range(len(numbers)), numbers)


def _moved(context: np.ndarray, old: Sequence[int], new: Sequence[int]) -> dict[int, np.ndarray]:
    """Planes of a context in which exposures have new numbers: those that have any."""
    moved: dict[int, np.ndarray] = {}
    bits = context.view(np.uint32)
    for first, to, count in _runs(old, new):
        run = bits[first // BITS] >> np.uint32(first % BITS)
        if count < BITS:
            run &= np.uint32((1 << count) - 1)
        run <<= np.uint32(to % BITS)
        if to // BITS in moved:
            moved[to // BITS] |= run
        else:
            moved[to // BITS] = run
    return {plane: image.view(np.int32) for plane, image in moved.items()}


def _runs(old: Sequence[int], new: Sequence[int]) -> list[tuple[int, int, int]]:
    """Exposures whose bits lie side by side before and after: the first one's numbers, and how many they are."""
    runs: list[tuple[int, int, int]] = []
    for one, other in zip(old, new, strict=True):
        if runs and one % BITS and other % BITS:
            first, to, count = runs[-1]
            if (one - first, other - to) == (count, count):
                runs[-1] = first, to, count + 1
                continue
        runs.append((one, other, 1))
    return runs

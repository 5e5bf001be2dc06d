"""Context images, which say what exposures a pixel is made of: a bit for each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["renumbered"]


def renumbered(context: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    """A context image in which exposures have other numbers.

    Parameters
    ----------
    context : ndarray of int32 (planes, ny, nx)
    numbers : sequence of int
        Those that there are, in their new order.
    """
    result = np.zeros_like(context).view(np.uint32)
    bits = context.view(np.uint32)
    for new, old in enumerate(numbers):
        result[new // 32] |= (bits[old // 32] >> np.uint32(old % 32) & np.uint32(1)) << np.uint32(new % 32)
    return result.view(np.int32)

"""The weight below which pixels of a resampled exposure are left out of a median."""

from __future__ import annotations

import numpy as np

from gpures import _cpu
from gpures.machine.threads import thread_count

__all__ = ["weight_threshold"]

# Weights that differ from the median by more standard deviations than this are no part of the mean, in so many rounds.
SIGMA, ROUNDS = 3.0, 5


def weight_threshold(weight: np.ndarray, maskpt: float) -> float:
    """So many times the mean weight, of which those that stand out are no part.

    Parameters
    ----------
    weight : ndarray of float32
        Weights; those that are 0 or not finite do not count.
    maskpt : float
        The factor.

    Returns
    -------
    float
        NaN where there is no weight.
    """
    values = np.ascontiguousarray(weight, np.float32)
    return _cpu.mean_in_middle(values, SIGMA, ROUNDS, thread_count()) * maskpt

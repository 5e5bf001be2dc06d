"""The weight below which pixels of a resampled exposure are left out of a median."""

from __future__ import annotations

import numpy as np

__all__ = ["weight_threshold"]

# Weights that differ from the median by more standard deviations than this are no part of the mean, in so many turns.
SIGMA, TURNS = 3.0, 5


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
    values = weight[np.isfinite(weight) & (weight != 0)]
    for _ in range(TURNS):
        if not values.size:
            return np.nan
        reach = SIGMA * float(values.std(dtype=np.float64))
        middle = float(np.median(values))
        kept = values[np.abs(values - np.float32(middle)) <= reach]
        if kept.size == values.size:
            break
        values = kept
    return float(values.mean(dtype=np.float64)) * maskpt

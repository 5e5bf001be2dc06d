"""The noise of an exposure's pixels, as far as it tells, and whether that can be."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from gpures.arguments.arrays import as_host
from gpures.cleaning.stack import PER_DEVIATION
from gpures.exposure.input_model import InputModel

__all__ = ["lacks_noise", "noise_of"]

log = logging.getLogger(__name__)

# Arrays that an error is made of, where a model has none.
VARIANCES = ("var_rnoise", "var_poisson", "var_flat")

# How many times its error the scatter of an exposure's differences may be, or the other way round.
TIMES = 3.0

# Pixels in which the scatter is looked at.
SAMPLE = 1 << 16


def lacks_noise(model: Mapping[str, Any]) -> bool:
    """Whether the noise of an exposure follows from nothing but its differences.

    Parameters
    ----------
    model : mapping
        The exposure.
    """
    tells = any(model.get(name) is not None for name in ("err", *VARIANCES))
    return not tells or bool(model.get("relative_weights"))


def noise_of(model: InputModel, differences: np.ndarray) -> np.ndarray:
    """Noise of an exposure's pixels.

    It is its error, or that of its variances. Where it has none, or weights that are right but for a factor, it follows
    from the scatter of the differences; and where its error is far from that, a warning says so.

    Parameters
    ----------
    model : InputModel
        The exposure.
    differences : ndarray of float32 (Ny, Nx)
        Its data less what they should be; NaN where they are not used or nobody knows.

    Returns
    -------
    ndarray of float32 (Ny, Nx)
        Positive numbers, but for exposures without any scatter.
    """
    step = differences.size // SAMPLE | 1  # odd, so that it does not keep to a few columns
    some = differences.ravel()[::step]
    is_known = np.isfinite(some) & (some != 0)  # of what nothing has been made but itself
    err = _error_of(model)
    if err is None:
        scatter = _scatter(some[is_known])
        log.warning(
            "%s has no error: the scatter of its differences from the others, %.4g, is taken for its noise everywhere.",
            model.name,
            scatter,
        )
        return np.full(differences.shape, scatter, np.float32)
    of_some = err.ravel()[::step]
    is_known &= (of_some > 0) & np.isfinite(of_some)
    if not is_known.any():
        return err
    times = _scatter(some[is_known] / of_some[is_known])
    if model.get("relative_weights") and times > 0:
        log.warning(
            "%s has weights that are right but for a factor: its errors are taken %.3g times as large, as its "
            "differences from the others are.",
            model.name,
            times,
        )
        err = err * np.float32(times)
    elif times > TIMES:
        log.warning(
            "The errors of %s are too small: its differences from the others scatter by %.3g times as much, which is "
            "taken for its noise.",
            model.name,
            times,
        )
        err = err * np.float32(times)
    elif times < 1.0 / TIMES:
        log.warning(
            "The errors of %s are %.3g times as large as its differences from the others scatter: outliers that are "
            "fainter than its errors are not found.",
            model.name,
            1.0 / times if times > 0 else np.inf,
        )
    unknown = ~(err > 0)
    typical = np.float32(np.median(err.ravel()[::step][is_known]))
    return np.where(unknown, typical, err) if unknown.any() else err


def _error_of(model: InputModel) -> np.ndarray | None:
    """What an exposure says of its noise."""
    if model.get("err") is not None:
        return np.asarray(as_host(model.array("err")), np.float32)
    parts = [as_host(model.array(name)) for name in VARIANCES if model.get(name) is not None]
    if not parts:
        return None
    total = np.zeros(parts[0].shape, np.float32)
    for part in parts:
        total += np.where(part > 0, part, 0).astype(np.float32)
    return np.sqrt(total)


def _scatter(values: np.ndarray) -> float:
    """Standard deviation of values around 0, of which most are noise."""
    return PER_DEVIATION * float(np.median(np.abs(values))) if values.size else 0.0

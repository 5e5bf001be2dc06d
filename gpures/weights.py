"""What the weight of an input pixel is made of.

The formula itself is in ``kernels/weights.h`` and is evaluated where the pixels are; here it is decided which arrays
and numbers go into it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpures.arrays import readable

__all__ = ["Weight", "check_weight_type", "measured_time", "weight_of"]

log = logging.getLogger(__name__)

WEIGHT_TYPES = ("ivm", "ivm-sky", "exptime")

# The variance array whose inverse is the weight, by weight type.
_VARIANCE_OF = {"ivm": "var_rnoise", "ivm-sky": "var_sky"}


@dataclass(frozen=True)
class Weight:
    """Recipe for the weight of each pixel of an exposure.

    Attributes
    ----------
    weight_map : ndarray (Ny, Nx), optional
        The weights, which ``constant`` multiplies. Else
    variance : ndarray (Ny, Nx), optional
        their inverse (a weight that is not finite becomes 0). Else
    constant : float
        one weight for all pixels.
    bad_bits : int
        Pixels with any of these DQ bits have weight 0.
    """

    weight_map: np.ndarray | None = None
    variance: np.ndarray | None = None
    constant: float = 1.0
    bad_bits: int = 0


def check_weight_type(weight_type: Any) -> str:
    """Return a valid ``weight_type``.

    Raises
    ------
    ValueError
        It is not one of ``WEIGHT_TYPES``.
    """
    if weight_type not in WEIGHT_TYPES:
        raise ValueError(f"Unexpected weight type: 'weight_type' must be one of {WEIGHT_TYPES}, got {weight_type!r}.")
    return weight_type


def measured_time(model: Mapping) -> tuple[float, bool]:
    """Measurement time of a model and True, or, where it has none, its exposure time and False (seconds)."""
    time = model.get("measurement_time")
    return (model["exposure_time"], False) if time is None else (time, True)


def bad_bits(good_bits: Any, flag_name_map: Any, dtype: np.dtype) -> int:
    """DQ bits that make a pixel bad, within the width of a DQ array's integer type.

    Raises
    ------
    TypeError, ValueError, KeyError
        ``good_bits`` is not a set of bit flags, as `astropy.nddata.bitmask.interpret_bit_flags` takes them.
    """
    from astropy.nddata.bitmask import interpret_bit_flags  # here, as it takes longer to import than gpures

    good = interpret_bit_flags(good_bits, flag_name_map=flag_name_map)
    return 0 if good is None else ~int(good) & ((1 << (8 * dtype.itemsize)) - 1)


def weight_of(
    model: Mapping, shape: tuple[int, int], dq_dtype: np.dtype, weight_type: str, good_bits: Any, flag_name_map: Any
) -> Weight:
    """Weight recipe of a model.

    Parameters
    ----------
    model : mapping
        Input model.
    shape : (int, int)
        Shape (Ny, Nx) of its data. A variance array that is missing or of another shape gives weights of 1, with a
        warning.
    dq_dtype : dtype
        Type of its DQ array.
    weight_type : {"ivm", "ivm-sky", "exptime"}
        Inverse of ``var_rnoise``, inverse of ``var_sky``, or measurement time (else exposure time).
    good_bits, flag_name_map
        As in `gpures.Resample`.

    Raises
    ------
    ValueError
        The time is not a finite number, zero or more.
    """
    bad = bad_bits(good_bits, flag_name_map, dq_dtype)
    if weight_type == "exptime":
        time, is_measured = measured_time(model)
        if not (math.isfinite(time) and time >= 0):
            name = "measurement_time" if is_measured else "exposure_time"
            raise ValueError(f"'{name}' must be finite and not negative to serve as a weight, got {time!r}.")
        return Weight(constant=float(np.float32(time)), bad_bits=bad)
    name = _VARIANCE_OF[weight_type]
    variance = model.get(name)
    if variance is None or np.shape(variance) != shape:
        log.warning("'%s' array not available. Setting drizzle weight map to 1", name)
        return Weight(bad_bits=bad)
    return Weight(variance=readable(variance, name, model), bad_bits=bad)

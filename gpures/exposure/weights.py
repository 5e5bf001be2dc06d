"""What the weight of an input pixel is made of.

The formula itself is in ``kernels/weights.h`` and is evaluated where the pixels are; here it is decided which arrays
and numbers go into it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpures.arguments.arrays import as_host, got
from gpures.arguments.values import checked_integer
from gpures.exposure.input_model import InputModel

__all__ = [
    "Weight",
    "bad_bits",
    "check_weight_type",
    "checked_flag",
    "flag_empty",
    "left_out",
    "measured_time",
    "union",
    "weight_of",
]

log = logging.getLogger(__name__)

WEIGHT_TYPES = ("ivm", "ivm-sky", "exptime")

# The variance array whose inverse is the weight, by weight type.
VARIANCE_OF = {"ivm": "var_rnoise", "ivm-sky": "var_sky"}


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
    if not isinstance(weight_type, str) or weight_type not in WEIGHT_TYPES:
        raise ValueError(
            f"Unexpected weight type: 'weight_type' must be one of {WEIGHT_TYPES}, got {got(weight_type)}."
        )
    return weight_type


def measured_time(model: Mapping) -> tuple[float, bool]:
    """Measurement time of a model and True, or, where it has none, its exposure time and False (seconds)."""
    time = model.get("measurement_time")
    return (model["exposure_time"], False) if time is None else (time, True)


def bad_bits(good_bits: Any, flag_name_map: Any, dtype: np.dtype) -> int:
    """DQ bits that make a pixel bad, within the width of a DQ array's integer type.

    Parameters
    ----------
    good_bits : int, str, list or None
        As `gpures.Resample` takes them.
    flag_name_map : mapping or None
        Numbers of flags by name.
    dtype : numpy.dtype
        Type of the DQ array.

    Raises
    ------
    TypeError, ValueError
        ``good_bits`` is not a set of bit flags, as `astropy.nddata.bitmask.interpret_bit_flags` takes them, or
        negative, which it takes for all of them.
    """
    from astropy.nddata.bitmask import interpret_bit_flags  # here, as it takes longer to import than gpures

    try:
        good = interpret_bit_flags(good_bits, flag_name_map=flag_name_map)
    except Exception as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"'good_bits' must be DQ flags or names of such, got {got(good_bits)}: {error}") from error
    if good is None:
        return 0
    if int(good) < 0 and not (isinstance(good_bits, str) and good_bits.lstrip().startswith("~")):
        raise ValueError(f"'good_bits' can't be negative, got {got(good_bits)}: None takes all flags for good.")
    return ~int(good) & ((1 << (8 * dtype.itemsize)) - 1)


def weight_of(model: InputModel, shape: tuple[int, int], bad: int, weight_type: str) -> Weight:
    """Weight recipe of a model, whose times have been checked.

    Parameters
    ----------
    model : InputModel
        Input model.
    shape : (int, int)
        Shape (Ny, Nx) of its data. A variance array that is missing or of another shape gives weights of 1, with a
        warning.
    bad : int
        DQ bits that make a pixel bad.
    weight_type : {"ivm", "ivm-sky", "exptime"}
        Inverse of ``var_rnoise``, inverse of ``var_sky``, or measurement time (else exposure time).

    Raises
    ------
    TypeError
        The variance array does not hold real numbers.
    """
    if weight_type == "exptime":
        return Weight(constant=float(np.float32(measured_time(model)[0])), bad_bits=bad)
    name = VARIANCE_OF[weight_type]
    if model.get(name) is None or model.array(name).shape != shape:
        log.warning("'%s' array not available. Setting drizzle weight map to 1", name)
        return Weight(bad_bits=bad)
    return Weight(variance=model.array(name), bad_bits=bad)


# ---- masks -----------------------------------------------------------------------------------------------------------

# The flag of a pixel that is left out: beyond the 32 bits that are propagated.
LEFT_OUT = 1 << 32


def union(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    """Pixels that either of two masks has; None for a mask that has none."""
    return first if second is None else second if first is None else first | second


def left_out(dq: Any, bad: int, mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Flags and bad bits by which the pixels of a mask have weight 0 as well as those that were bad before.

    A mask is no weight: it counts with weights of any kind, in the map of the exposure time too, and whatever good bits
    say. So it goes where bad pixels go.

    Parameters
    ----------
    dq : ndarray of integers (Ny, Nx)
        DQ array, which is not changed.
    bad : int
        Bits that make a pixel bad.
    mask : ndarray of bool (Ny, Nx)
        Pixels that are left out.
    """
    dq = as_host(dq)
    flags = dq.astype(f"u{dq.dtype.itemsize}").astype(np.uint64)
    is_bad = mask | ((flags & np.uint64(bad)) != 0)
    return np.where(is_bad, np.uint64(LEFT_OUT), np.uint64(0)) | (flags & np.uint64(LEFT_OUT - 1)), LEFT_OUT


# ---- pixels of a mosaic without data ---------------------------------------------------------------------------------


def checked_flag(value: Any, propagate_dq: bool) -> int | None:
    """DQ flags of output pixels without data, as ``dq_of_empty`` gives them; None for none.

    Raises
    ------
    TypeError
        It is not an integer.
    ValueError
        It does not fit in 32 bits, or there is no DQ image.
    """
    if value is None:
        return None
    flag = checked_integer(value, "dq_of_empty")
    if not 0 <= flag < 1 << 32:
        raise ValueError(f"'dq_of_empty' must be flags of at most 32 bits, got {got(value)}.")
    if not propagate_dq:
        raise ValueError("'dq_of_empty' flags pixels of the output's DQ image: it needs 'propagate_dq=True'.")
    return flag


def flag_empty(images: Mapping[str, Any], flag: int) -> dict[str, Any]:
    """Images of a mosaic with flags in the DQ of pixels whose weight is 0.

    The DQ is another array, as further exposures may still be added to the one that was accumulated.

    Parameters
    ----------
    images : mapping
        Images of numpy or CuPy, "dq" and "wht" among them.
    flag : int
        As `checked_flag` gives it.
    """
    dq = images["dq"]
    return {**images, "dq": dq | (images["wht"] == 0) * dq.dtype.type(flag)}

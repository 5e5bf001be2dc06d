"""What the kernels are told of an exposure: its pixel map, its drops, its weights."""

from __future__ import annotations

import numpy as np

from gpures.exposure.drops import KERNELS
from gpures.exposure.exposure import Exposure
from gpures.exposure.pixmap import exposure_record
from gpures.exposure.structs import LANCZOS_ORDER, Place, lanczos_table, view

__all__ = ["exposure_record", "set_drop", "set_weights"]


def set_drop(record: np.ndarray, exposure: Exposure, kernel: str, place: Place) -> None:
    """Limits and drops of an exposure.

    Parameters
    ----------
    record : ndarray of `gpures.exposure.structs.EXPOSURE`
        Is filled.
    exposure : Exposure
        Where from.
    kernel : str
        Its kernel.
    place : callable
        Array to its address and strides, on the backend's device.
    """
    for name, limit in zip(("x0", "x1", "y0", "y1"), exposure.limits, strict=True):
        record[name] = limit
    record["kernel"] = KERNELS.index(kernel)
    record["pixfrac"] = exposure.pixfrac
    record["pixel_scale_ratio"] = exposure.pixel_scale_ratio
    if kernel in LANCZOS_ORDER:
        record["lanczos"] = place(lanczos_table(LANCZOS_ORDER[kernel]))[0]


def set_weights(record: np.ndarray, exposure: Exposure, place: Place) -> None:
    """What the weights of an exposure are made of.

    Parameters
    ----------
    record : ndarray of `gpures.exposure.structs.EXPOSURE`
        Is filled.
    exposure : Exposure
        Where from.
    place : callable
        Array to its address and strides, on the backend's device.
    """
    weight = exposure.weight
    record["weight"] = weight.constant
    if weight.weight_map is not None:
        record["weight_map"] = view(weight.weight_map, exposure.shape, place)
    elif weight.variance is not None:
        record["variance"] = view(weight.variance, exposure.shape, place)
    if exposure.dq is not None:
        record["dq"] = view(exposure.dq, exposure.shape, place)
        record["bad_bits"] = weight.bad_bits

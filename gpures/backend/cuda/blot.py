"""Blotting on a GPU, on the caller's current stream."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpures.arguments.arrays import on_device
from gpures.backend.blot import factors_of, set_arrays, type_of
from gpures.backend.cuda.device import select
from gpures.backend.cuda.over_pixels import device_of
from gpures.exposure.structs import INTERPOLATIONS

__all__ = ["blot_on_device"]


def blot_on_device(record: np.ndarray, data: Any, pixmap: Any, out_img: Any, device: Any, to_host: bool) -> Any:
    """Blot as a BLOT says; arrays on the host go up and down, those on the device are used in place.

    Parameters
    ----------
    record : ndarray of BLOT
        All but the arrays.
    data, pixmap, out_img, device, to_host
        As in `gpures.blot_image`. Without a device it is the one that the first of the arrays there is on.

    Returns
    -------
    ndarray
        The output.
    """
    there = [array for array in (data, pixmap, out_img) if on_device(array)]
    number = select(there[0].device.id if device is None and there else device)
    with device_of(number, "blotting", "blot.cu") as device:
        data, pixmap = device.array(data, type_of(data)), device.array(pixmap, np.float64)
        shape = int(record["out_ny"]), int(record["out_nx"])
        made = device.array(out_img, np.float32) if on_device(out_img) else device.cupy.empty(shape, np.float32)
        table = device.cupy.asarray(factors_of(INTERPOLATIONS[record["interpolation"]]))
        set_arrays(record, (data, pixmap, made, table), lambda array: array.data.ptr)
        device.call("blot_f8" if record["doubles"] else "blot_f4", made.size, record)
        if out_img is None:
            return made.get() if to_host else made
        if not on_device(out_img):
            out_img[...] = made.get()
        elif made.data.ptr != out_img.data.ptr:
            out_img[...] = made
        return out_img

"""Blotting on a GPU, on the caller's current stream."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpures.arguments.arrays import aligned, on_device
from gpures.backend.blot import factors_of, set_arrays, type_of
from gpures.backend.cuda.device import explained, import_cupy, select
from gpures.backend.cuda.kernels import Program
from gpures.exposure.structs import INTERPOLATIONS

__all__ = ["blot_on_device"]

# Threads of a block, and the most blocks of a grid, whose threads go over the image.
THREADS = 128
MOST_BLOCKS = 65536


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
    cupy = import_cupy()
    with explained("blotting"), cupy.cuda.Device(number):

        def usable(array: Any, dtype: type) -> Any:
            """An array on the device, contiguous and aligned."""
            array = array if on_device(array) else np.ascontiguousarray(array, dtype)
            return cupy.ascontiguousarray(aligned(cupy.asarray(array)), dtype)

        data, pixmap = usable(data, type_of(data)), usable(pixmap, np.float64)
        shape = int(record["out_ny"]), int(record["out_nx"])
        made = usable(out_img, np.float32) if on_device(out_img) else cupy.empty(shape, np.float32)
        table = cupy.asarray(factors_of(INTERPOLATIONS[record["interpolation"]]))
        set_arrays(record, (data, pixmap, made, table), lambda array: array.data.ptr)
        kernel = Program.of_device(cupy, number).blot("blot_f8" if record["doubles"] else "blot_f4")
        blocks = min(-(-made.size // THREADS), MOST_BLOCKS)
        if blocks:
            kernel((blocks,), (THREADS,), (record,))
        if out_img is None:
            return made.get() if to_host else made
        if not on_device(out_img):
            out_img[...] = made.get()
        elif made.data.ptr != out_img.data.ptr:
            out_img[...] = made
        return out_img

"""Medians and outliers on a GPU, on the caller's current stream: the kernels of ``kernels/cuda/cleaning.cu``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpures.backend.cuda.over_pixels import device_of
from gpures.backend.stack import image_records
from gpures.box import Box
from gpures.exposure.pixmap import PixelMap, exposure_record

__all__ = ["blot_on_device", "left_out", "outliers_on_device", "stacked_on_device"]

KERNELS = "cleaning.cu"

# Images up to which values lie in registers, and of the last in memory that a block shares.
AT_ONCE = (4, 8, 16, 32, 96)


def left_out(data: Any, weight: Any, least_weight: float) -> Any:
    """An image without pixels of too little weight.

    Parameters
    ----------
    data, weight : cupy.ndarray of float32 (Ny, Nx)
        Parts of larger images, of the same rows.
    least_weight : float
        What a weight must be more than.

    Returns
    -------
    cupy.ndarray of float32 (Ny, Nx)
        NaN where it is not.
    """
    with device_of(data.device.id, "leaving out pixels", KERNELS) as device:
        made = device.cupy.empty(data.shape, np.float32)
        stride = np.int64(data.strides[0] // 4)
        sides = np.int64(data.shape[0]), np.int64(data.shape[1])
        device.call("leave_out", made.size, data, weight, stride, np.float32(least_weight), *sides, made)
        device.cupy.cuda.get_current_stream().synchronize()  # it may be used on another
        return made


def stacked_on_device(
    stack: Any, images: Sequence[tuple[Any, Box]], levels: Sequence[float], names: Sequence[str], clipped: Any
) -> dict[str, Any]:
    """What a stack of images on a device gives.

    Parameters
    ----------
    stack : ndarray of `gpures.exposure.structs.STACK`
        All but the arrays.
    images : sequence of (cupy.ndarray of float32, Box)
        Images and their windows.
    levels : sequence of float
        What is subtracted from each.
    names : sequence of str
        What is wanted, by the fields of the record.
    clipped : (ndarray of CLIPPED, cupy.ndarray, cupy.ndarray) or None
        Of a clipped mean the record without its arrays, the median and the scatter.

    Returns
    -------
    dict of cupy.ndarray of float32 (Ny, Nx)
    """
    with device_of(images[0][0].device.id, "taking medians", KERNELS) as device:
        records = image_records(images, levels, lambda array: array.data.ptr)
        there = device.array(records.view(np.uint8), np.uint8)
        shape = int(stack["ny"]), int(stack["nx"])
        made = {name: device.cupy.empty(shape, np.float32) for name in names}
        stack["image"] = there.data.ptr
        size = shape[0] * shape[1]
        if clipped is None:
            for name, array in made.items():
                stack[name] = array.data.ptr
            most = next((most for most in AT_ONCE if len(images) <= most), "any")
            device.call(f"median_of_{most}", size, stack)
        else:
            record, *held = clipped
            for name, array in zip(("median", "scatter", "out"), (*held, made["out"]), strict=True):
                record[name] = array.data.ptr
            device.call("clipped_mean", size, stack, record)
        return made


def blot_on_device(record: np.ndarray, image: Any, pixmap: PixelMap) -> Any:
    """An image at the pixels of an exposure.

    Parameters
    ----------
    record : ndarray of BLOT
        All but the arrays.
    image : cupy.ndarray of float32 (Ny, Nx)
        Image of the frame.
    pixmap : PixelMap
        Of the exposure.

    Returns
    -------
    cupy.ndarray of float32 (My, Mx)
    """
    with device_of(image.device.id, "blotting", KERNELS) as device:
        held = []

        def place(array: np.ndarray) -> tuple[int, tuple[int, ...]]:
            held.append(device.array(array, array.dtype.type))
            return held[-1].data.ptr, array.strides

        exposure = exposure_record(pixmap.shape, pixmap.without_formula(), place)
        made = device.cupy.empty(pixmap.shape, np.float32)
        record["data"], record["out"] = image.data.ptr, made.data.ptr
        device.call("blot_exposure", made.size, exposure, record)
        return made


def outliers_on_device(record: np.ndarray, arrays: dict[str, Any], reach: int, third: bool, grown: int) -> np.ndarray:
    """Outliers of an exposure.

    Parameters
    ----------
    record : ndarray of COMPARISON
        All but the arrays.
    arrays : dict
        These, by the record's fields, some of them on the device.
    reach : int
        Of a pixel's surroundings.
    third : bool
        Whether there is a third threshold.
    grown : int
        Pixels by which outliers are grown.

    Returns
    -------
    ndarray of bool (Ny, Nx)
        In the host's memory.
    """
    with device_of(arrays["expected"].device.id, "finding outliers", KERNELS) as device:
        held = {name: device.array(array, array.dtype.type) for name, array in arrays.items()}
        for name, array in held.items():
            record[name] = array.data.ptr
        shape, size = arrays["data"].shape, arrays["data"].size
        masks = [device.cupy.empty(shape, np.uint8) for _ in range(2)]
        if "lower" in arrays:
            device.call("make_likely", size, record)
        device.call("compare", size, record)
        device.call("find_outliers", size, record, np.int32(reach), masks[0])
        if third:
            device.call("find_beside", size, record, masks[0], masks[1])
            masks.reverse()
        if grown:
            sides = np.int64(shape[0]), np.int64(shape[1])
            device.call("grow", size, masks[0], *sides, np.int32(grown), masks[1])
            masks.reverse()
        return masks[0].get().view(bool)

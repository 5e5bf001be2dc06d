"""An exposure beside what the others say of it: what differs is an outlier."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpures import _cpu
from gpures.arguments.arrays import on_device
from gpures.backend.blot import set_arrays
from gpures.cleaning.options import OutlierOptions
from gpures.exposure.pixmap import PixelMap, exposure_record
from gpures.exposure.structs import BLOT, COMPARISON, INTERPOLATIONS, in_memory
from gpures.machine.threads import thread_count

__all__ = ["blotted", "outliers"]

# Variance along an axis, in input pixels^2, of the smoothing by a pixel of another exposure (a drop of pixfrac 1), by
# the frame's pixel, and by the interpolation between those; the last two times the square of the ratio of scales. It is
# the mean over all places in a pixel.
OF_DROP, OF_PIXEL, OF_INTERPOLATION = 1.0 / 12.0, 1.0 / 12.0, 1.0 / 6.0

# What a kernel of three pixels can have at most.
MOST_SMOOTHING = 2.0 / 3.0


def blotted(image: Any, pixmap: PixelMap) -> Any:
    """An image of the frame at the pixels of an exposure, interpolated along straight lines.

    Parameters
    ----------
    image : ndarray or cupy.ndarray of float32 (Ny, Nx)
        Image of the frame.
    pixmap : PixelMap
        Of the exposure.

    Returns
    -------
    ndarray or cupy.ndarray of float32 (My, Mx)
        In the same memory; NaN beside the frame.
    """
    record: Any = np.zeros((), BLOT)
    record["ny"], record["nx"] = image.shape
    record["out_ny"], record["out_nx"] = pixmap.shape
    record["interpolation"] = INTERPOLATIONS.index("linear")
    record["scale"], record["fill"], record["sinc_scale"] = 1.0, np.nan, 1.0
    if on_device(image):
        from gpures.backend.cuda.cleaning import blot_on_device

        return blot_on_device(record, image, pixmap)
    made, nothing = np.empty(pixmap.shape, np.float32), np.zeros(1)
    set_arrays(record, (image, nothing, made, nothing), lambda array: array.ctypes.data)
    exposure = exposure_record(pixmap.shape, pixmap, in_memory)
    _cpu.blot_exposure(exposure.ctypes.data, record.ctypes.data, thread_count())
    return made


def outliers(
    data: np.ndarray,
    err: np.ndarray,
    expected: Any,
    options: OutlierOptions,
    *,
    lower: Any = None,
    background: float = 0.0,
    scale_ratio: float = 1.0,
) -> np.ndarray:
    """Pixels that differ from what they should be.

    Parameters
    ----------
    data : ndarray of float32 (Ny, Nx)
        Image; NaN where a pixel is not used.
    err : ndarray of float32 (Ny, Nx)
        Its noise.
    expected : ndarray or cupy.ndarray of float32 (Ny, Nx)
        What it should be, less its background; is changed. Where it lies on a GPU the comparison is made there.
    options : OutlierOptions
        Thresholds.
    lower : ndarray or cupy.ndarray of float32 (Ny, Nx), optional
        What else it should be, where more of the others are hit than not.
    background : float, optional
        Of the image, beside that of the options.
    scale_ratio : float, optional
        Scale of the frame in which that was made, over the image's.

    Returns
    -------
    ndarray of bool (Ny, Nx)
    """
    arrays = {"data": data, "expected": expected, "err": err, "found": np.empty(data.shape, np.uint8)}
    if lower is not None and options.by_lower:
        arrays["lower"] = lower
    record: Any = np.zeros((), COMPARISON)
    record["ny"], record["nx"] = data.shape
    record["background"] = background + options.backg
    count = len(options.snr)
    record["snr"][:count], record["scale"][:count] = options.snr, options.scale
    record["sharpness"] = options.sharpness
    variance = OF_DROP + (OF_PIXEL + OF_INTERPOLATION) * scale_ratio**2
    record["smoothing"] = min(variance, MOST_SMOOTHING)
    reach, grown = options.kernel_size // 2, options.grow // 2
    if on_device(expected):
        from gpures.backend.cuda.cleaning import outliers_on_device

        return outliers_on_device(record, arrays, reach, count > 2, grown)
    for name, array in arrays.items():
        arrays[name] = np.ascontiguousarray(array)
        record[name] = arrays[name].ctypes.data
    mask, threads = np.empty(data.shape, np.uint8), thread_count()
    _cpu.outliers(record.ctypes.data, reach, count > 2, mask, threads)
    if grown:
        made = np.empty_like(mask)
        _cpu.grow(mask, grown, made, threads)
        mask = made
    return mask.view(bool)

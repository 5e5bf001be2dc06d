"""An exposure beside what the others say of it: what differs is an outlier."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpures import _cpu
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


def blotted(image: np.ndarray, pixmap: PixelMap) -> np.ndarray:
    """An image of the frame at the pixels of an exposure, interpolated along straight lines.

    Parameters
    ----------
    image : ndarray of float32 (Ny, Nx)
        Image of the frame.
    pixmap : PixelMap
        Of the exposure.

    Returns
    -------
    ndarray of float32 (My, Mx)
        NaN beside the frame.
    """
    made = np.empty(pixmap.shape, np.float32)
    record: Any = np.zeros((), BLOT)
    record["ny"], record["nx"] = image.shape
    record["out_ny"], record["out_nx"] = made.shape
    record["interpolation"] = INTERPOLATIONS.index("linear")
    record["scale"], record["fill"], record["sinc_scale"] = 1.0, np.nan, 1.0
    nothing = np.zeros(1)
    set_arrays(record, (image, nothing, made, nothing), lambda array: array.ctypes.data)
    exposure = exposure_record(pixmap.shape, pixmap, in_memory)
    _cpu.blot_exposure(exposure.ctypes.data, record.ctypes.data, thread_count())
    return made


def outliers(
    data: np.ndarray,
    err: np.ndarray,
    expected: np.ndarray,
    options: OutlierOptions,
    *,
    lower: np.ndarray | None = None,
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
    expected : ndarray of float32 (Ny, Nx)
        What it should be, less its background; is changed.
    options : OutlierOptions
        Thresholds.
    lower : ndarray of float32 (Ny, Nx), optional
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
    for name, array in arrays.items():
        arrays[name] = np.ascontiguousarray(array)
        record[name] = arrays[name].ctypes.data
    record["ny"], record["nx"] = data.shape
    record["background"] = background + options.backg
    count = len(options.snr)
    record["snr"][:count], record["scale"][:count] = options.snr, options.scale
    record["sharpness"] = options.sharpness
    variance = OF_DROP + (OF_PIXEL + OF_INTERPOLATION) * scale_ratio**2
    record["smoothing"] = min(variance, MOST_SMOOTHING)
    mask, threads = np.empty(data.shape, np.uint8), thread_count()
    _cpu.outliers(record.ctypes.data, options.kernel_size // 2, count > 2, mask, threads)
    if options.grow > 1:
        grown = np.empty_like(mask)
        _cpu.grow(mask, options.grow // 2, grown, threads)
        mask = grown
    return mask.view(bool)

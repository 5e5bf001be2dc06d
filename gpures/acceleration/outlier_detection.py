"""Functions of stcal's outlier detection, done by the kernels where they take what they are given."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from gpures.acceleration.arrays import plain
from gpures.box import Box
from gpures.cleaning.comparison import outliers
from gpures.cleaning.options import OutlierOptions
from gpures.cleaning.stack import Stack
from gpures.cleaning.threshold import weight_threshold

__all__ = ["median_around", "median_of_cube", "outliers_of", "threshold_of"]

ANY_SIZE = 1 << 62  # of what is in memory already


def median_of_cube(cube: Any, overwrite_input: bool = True) -> np.ndarray:
    """Median over the first axis, without NaN; as `stcal.outlier_detection.median.nanmedian3D`.

    Parameters
    ----------
    cube : ndarray of float32 (n, Ny, Nx)
        Images; they stay as they are.
    overwrite_input : bool, optional
        Whether they need not.

    Raises
    ------
    TypeError
        It is something else.
    """
    images = plain(cube, ("f4",), 3)
    stack = Stack(images.shape[1:], ANY_SIZE)
    for image in images:
        stack.add(image, Box.whole(image.shape))
    return stack.median()[0].astype(images.dtype, copy=False)


def median_around(arr: Any, kern_size: Any) -> np.ndarray:
    """Median of the pixels around each, without NaN; as `stcal.outlier_detection.utils.medfilt`.

    Parameters
    ----------
    arr : ndarray of float32 (Ny, Nx)
        Image; beyond it lie zeros.
    kern_size : sequence of int
        Rows and columns that count, odd numbers.

    Raises
    ------
    TypeError
        It is something else.
    """
    image = plain(arr, ("f4",), 2)
    rows, columns = (operator.index(side) for side in kern_size)
    if min(rows, columns) < 1 or not rows % 2 == columns % 2 == 1:
        raise TypeError(f"{rows} x {columns} pixels have none in the middle")
    padded = np.pad(image.astype(np.float32, copy=False), [[rows // 2], [columns // 2]])
    ny, nx = padded.shape
    shifted = Stack(image.shape, ANY_SIZE)
    for y in range(rows):
        for x in range(columns):
            shifted.add(padded, Box(-x, nx - 1 - x, -y, ny - 1 - y))
    return shifted.median()[0]


def outliers_of(
    sci_data: Any, sci_err: Any, blot_data: Any, snr1: float, snr2: float, scale1: float, scale2: float, backg: float
) -> np.ndarray:
    """Outliers, with the arguments of `stcal.outlier_detection.utils.flag_resampled_crs`.

    Parameters
    ----------
    sci_data, sci_err, blot_data : ndarray of float32 (Ny, Nx)
        Image, its error, and what it should be. The error may be of float16, as Roman's: the threshold that it gives is
        not rounded to as few digits then.
    snr1, snr2, scale1, scale2 : float
        Thresholds.
    backg : float
        Is subtracted from the differences.

    Raises
    ------
    TypeError, ValueError
        Something is what only the original takes.
    """
    images = plain(sci_data, ("f4",), 2), plain(sci_err, ("f2", "f4"), 2), plain(blot_data, ("f4",), 2)
    data, err, expected = (image.astype(np.float32, copy=False) for image in images)
    if not data.shape == err.shape == expected.shape:
        raise TypeError("images of different shapes")
    if np.isinf(expected).any():
        raise TypeError("infinities, whose steps to their neighbours the original has its own rules for")
    options = OutlierOptions((snr1, snr2), (scale1, scale2), backg, sharpness=0.0, by_lower=False)
    return outliers(data, err, expected, options)


def threshold_of(weight: Any, maskpt: float) -> np.float64:
    """Least weight, as `stcal.outlier_detection.utils.compute_weight_threshold`.

    Parameters
    ----------
    weight : ndarray of float32 (Ny, Nx)
        Weights.
    maskpt : float
        Share of their mean.

    Raises
    ------
    TypeError
        They are something else.
    """
    return np.float64(weight_threshold(plain(weight, ("f4",), np.ndim(weight)), maskpt))

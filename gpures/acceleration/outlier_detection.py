"""Functions of stcal's outlier detection, done by the kernels where they take what they are given."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpures.box import Box
from gpures.cleaning.comparison import outliers
from gpures.cleaning.options import OutlierOptions
from gpures.cleaning.stack import Stack
from gpures.cleaning.threshold import weight_threshold

__all__ = ["median_of_cube", "outliers_of", "threshold_of"]

ANY_SIZE = 1 << 62  # of what is in memory already


def _check(*arrays: Any, ndim: int) -> None:
    """Refuse what is left to the original: other arrays than of float32 and of one shape.

    Raises
    ------
    TypeError
        One is such.
    """
    for array in arrays:
        plain = type(array) is np.ndarray and array.dtype == np.float32 and array.dtype.isnative and array.ndim == ndim
        if not plain or not array.size or array.shape != arrays[0].shape:
            raise TypeError("not arrays of float32 of one shape")


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
    _check(cube, ndim=3)
    stack = Stack(cube.shape[1:], ANY_SIZE)
    for image in cube:
        stack.add(image, Box.whole(image.shape))
    return stack.median()[0]


def outliers_of(
    sci_data: Any, sci_err: Any, blot_data: Any, snr1: float, snr2: float, scale1: float, scale2: float, backg: float
) -> np.ndarray:
    """Outliers, with the arguments of `stcal.outlier_detection.utils.flag_resampled_crs`.

    Parameters
    ----------
    sci_data, sci_err, blot_data : ndarray of float32 (Ny, Nx)
        Image, its error, and what it should be.
    snr1, snr2, scale1, scale2 : float
        Thresholds.
    backg : float
        Is subtracted from the differences.

    Raises
    ------
    TypeError, ValueError
        Something is what only the original takes.
    """
    _check(sci_data, sci_err, blot_data, ndim=2)
    options = OutlierOptions((snr1, snr2), (scale1, scale2), backg, sharpness=0.0, by_lower=False)
    if np.isinf(blot_data).any():
        raise TypeError("infinities, whose steps to their neighbours the original has its own rules for")
    return outliers(sci_data, sci_err, blot_data, options)


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
    _check(weight, ndim=np.ndim(weight))
    return np.float64(weight_threshold(weight, maskpt))

"""What the covariances of a mosaic's pixels tell: errors of sums over areas, and how far noise is correlated."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpures.arguments.arrays import as_host, got
from gpures.backend.pairs import too_short

__all__ = ["aperture_error", "correlation_function"]


def aperture_error(model: Mapping[str, Any], region: Any, *, mean: bool = False) -> Any:
    """Error of the sum, or of the mean, of a mosaic's pixels in a region, with the covariances between them.

    Parameters
    ----------
    model : mapping
        Output model of a mosaic that was made with ``covariance``, finalized, or as `gpures.io.read_mosaic` gives it.
        Pairs of pixels that are farther from each other than its longest lag count as independent; there is a warning
        if drops fall on such.
    region : array (Ny, Nx) or aperture
        The pixels: True in a boolean mask; or the weight of each in the sum. Or an aperture of photutils, whose
        overlaps with the pixels are the weights: anything with ``to_mask``.
    mean : bool, optional
        Whether it is the error of the mean, that of the sum over the sum of the weights.

    Returns
    -------
    float or ndarray of float64 (apertures,)
        The error, in the unit of the data; of an aperture with several positions one for each. NaN where one of the
        pixels has no data, or a variance that is not known; 0 where there is no pixel in the region.

    Raises
    ------
    ValueError
        The mosaic has no covariances, or the region has another shape.
    TypeError
        ``region`` is neither an array of numbers nor an aperture.

    Examples
    --------
    >>> import numpy as np
    >>> from gpures import aperture_error
    >>> model = {"covariance": np.array([[[4.0, 4.0]], [[2.0, np.nan]]]), "covariance_lags": np.array([[0, 0], [0, 1]])}
    >>> aperture_error(model, np.array([[True, False]])), round(aperture_error(model, np.array([[1.0, 0.5]])) ** 2, 9)
    (2.0, 7.0)
    """
    covariance, lags = _covariance_of(model)
    longest, reach = int(np.abs(lags).max()), model.get("covariance_reach")
    if reach is not None and reach > longest:
        warnings.warn(too_short(longest, reach), stacklevel=2)
    if not hasattr(region, "to_mask"):
        return _error(covariance, lags, _weights_in(region, covariance.shape[1:]), mean)
    masks = region.to_mask(method="exact")
    shape = covariance.shape[1:]
    if not isinstance(masks, (list, tuple)):
        return _error(covariance, lags, _image_of(masks, shape), mean)
    return np.array([_error(covariance, lags, _image_of(mask, shape), mean) for mask in masks])


def correlation_function(model: Mapping[str, Any], mask: Any = None) -> NDArray[np.float64]:
    """Mean correlation of a mosaic's pixels with those around them.

    Parameters
    ----------
    model : mapping
        As `aperture_error` takes it.
    mask : array of bool (Ny, Nx), optional
        Pixels that count, both of a pair; all of them if it is missing.

    Returns
    -------
    ndarray of float64 (2 L + 1, 2 L + 1)
        With the longest lag L: at ``[L + dy, L + dx]`` the mean of the covariance with the pixel that is (dy, dx)
        further, over the root of the product of both variances. It is 1 in the middle. Pairs without data do not count;
        NaN where there are no pairs.

    Raises
    ------
    ValueError
        The mosaic has no covariances, or the mask has another shape.
    """
    covariance, lags = _covariance_of(model)
    shape = covariance.shape[1:]
    counts = np.ones(shape, bool) if mask is None else _weights_in(mask, shape) != 0
    variance = np.asarray(as_host(covariance[_origin(lags)]), np.float64)
    longest = int(np.abs(lags).max())
    found = np.full((2 * longest + 1, 2 * longest + 1), np.nan)
    for plane, (dy, dx), own, other in _pairs(covariance, lags):
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = plane[own] / np.sqrt(variance[own] * variance[other])
        there = counts[own] & counts[other] & np.isfinite(correlation)
        if there.any():
            found[longest + dy, longest + dx] = found[longest - dy, longest - dx] = correlation[there].mean()
    return found


def _covariance_of(model: Mapping[str, Any]) -> tuple[Any, np.ndarray]:
    """Covariances (lags, Ny, Nx) of a mosaic and their lags (lags, 2)."""
    covariance, lags = model.get("covariance"), model.get("covariance_lags")
    if covariance is None or lags is None:
        raise ValueError("'model' must have 'covariance' and 'covariance_lags': make it with covariance=True.")
    return covariance, np.asarray(lags)


def _weights_in(region: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Weights of the pixels of a region."""
    weights = np.asarray(as_host(region))
    if weights.dtype.kind not in "biuf":
        raise TypeError(f"'region' must be an array of numbers, or an aperture with 'to_mask', got {got(region)}.")
    if weights.shape != shape:
        raise ValueError(f"A region must have the shape of the mosaic, {shape}, got {weights.shape}.")
    return weights.astype(np.float64)


def _image_of(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Weights that a mask of photutils gives to the pixels of an image."""
    image = mask.to_image(shape)
    return np.zeros(shape) if image is None else np.asarray(image, np.float64)


def _origin(lags: np.ndarray) -> int:
    """Number of the plane that has the variances."""
    return int(np.flatnonzero((lags == 0).all(axis=1))[0])


def _pairs(
    covariance: Any, lags: np.ndarray, window: tuple[slice, slice] = (slice(None), slice(None))
) -> Iterator[tuple[np.ndarray, tuple[int, int], tuple[slice, slice], tuple[slice, slice]]]:
    """Of each lag its plane in a window, the lag, and the places in the window of both pixels of its pairs."""
    for image, (dy, dx) in zip(covariance, lags.tolist(), strict=True):
        plane = np.asarray(as_host(image[window]), np.float64)
        ny, nx = plane.shape
        if dy >= ny or abs(dx) >= nx:
            continue
        own = slice(0, ny - dy), slice(max(0, -dx), nx - max(0, dx))
        other = slice(dy, ny), slice(max(0, dx), nx - max(0, -dx))
        yield plane, (dy, dx), own, other


def _error(covariance: Any, lags: np.ndarray, weights: np.ndarray, mean: bool) -> float:
    """Error of the weighted sum, or mean, of pixels."""
    rows, columns = np.flatnonzero(weights.any(axis=1)), np.flatnonzero(weights.any(axis=0))
    if not rows.size:
        return math.nan if mean else 0.0
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    inside = weights[window]
    total = 0.0
    for plane, lag, own, other in _pairs(covariance, lags, window):
        products = inside[own] * inside[other]
        there = products != 0
        total += (1 if lag == (0, 0) else 2) * float((products[there] * plane[own][there]).sum())
    error = math.sqrt(total) if total >= 0 else math.nan
    return error / float(inside.sum()) if mean else error

"""PSFs of an exposure, in whatever form they come."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpures.arguments.arrays import got
from gpures.arguments.values import checked_integer

__all__ = ["SampledPSF", "star_of"]

# What photutils' models of images, such as GriddedPSFModel, are evaluated with.
EVALUATED_WITH = ["x", "y", "flux", "x_0", "y_0"]


class SampledPSF:
    """A PSF as an array, read by a cubic spline; 0 beside it.

    Parameters
    ----------
    data : array_like (Ny, Nx)
        Flux per detector pixel of a star of flux 1, whatever the oversampling: it adds up to the square of that.
    oversampling : int, optional
        Samples per detector pixel along each axis.
    centre : (float, float), optional
        Where the star is in the array, x and y in samples; by default in the middle, ``(Nx - 1) / 2`` and
        ``(Ny - 1) / 2``.

    Raises
    ------
    TypeError, ValueError
        It is no image of finite numbers, or the others are no such numbers.
    """

    def __init__(self, data: ArrayLike, oversampling: int = 1, centre: tuple[float, float] | None = None):
        from scipy.ndimage import spline_filter

        array = _unmasked(data)
        if array.dtype.kind not in "fiu" or array.ndim != 2 or 0 in array.shape or not np.isfinite(array).all():
            raise ValueError(f"'data' of a PSF must be an image (Ny, Nx) of finite numbers, got {got(data)}.")
        self._oversampling = checked_integer(oversampling, "oversampling")
        if self._oversampling < 1:
            raise ValueError(f"'oversampling' must be 1 or more, got {got(oversampling)}.")
        middle = (array.shape[1] - 1) / 2, (array.shape[0] - 1) / 2
        place = np.asarray(middle if centre is None else centre, float)
        if place.shape != (2,) or not np.isfinite(place).all():
            raise ValueError(f"'centre' must be two finite numbers, x and y, got {got(centre)}.")
        self._centre = place
        self._coefficients = spline_filter(array.astype(np.float64), order=3)

    def __call__(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Its values.

        Parameters
        ----------
        x, y : array_like
            Distances from the star, detector pixels.

        Returns
        -------
        ndarray of float64
            Flux per detector pixel.
        """
        from scipy.ndimage import map_coordinates

        at = np.stack(np.broadcast_arrays(y, x)).astype(np.float64) * self._oversampling
        at += self._centre[::-1].reshape(2, *(1,) * (at.ndim - 1))
        values = map_coordinates(self._coefficients, at, order=3, prefilter=False, mode="mirror")
        limits = np.array(self._coefficients.shape).reshape(2, *(1,) * (at.ndim - 1))
        return np.where(((at >= -0.5) & (at <= limits - 0.5)).all(axis=0), values, 0.0)


def star_of(psf: Any) -> Callable[..., np.ndarray]:
    """What gives the flux in pixels, at x and y, of a star of flux 1 at x0 and y0.

    Parameters
    ----------
    psf : callable, array_like, or object with ``evaluate``
        As `gpures.psf.drizzled_psf` takes one.

    Raises
    ------
    TypeError, ValueError
        It is none of these.
    """
    evaluate = getattr(psf, "evaluate", None)
    if evaluate is not None:
        names = list(inspect.signature(evaluate).parameters)
        if names != EVALUATED_WITH:
            raise TypeError(
                f"'evaluate' of a PSF must take {', '.join(EVALUATED_WITH)}, as photutils.psf.GriddedPSFModel's does, "
                f"got {', '.join(names)}: pass a function of the distances from the star."
            )
        return lambda x, y, x0, y0: _values(evaluate(x, y, 1.0, x0, y0))
    function = psf if callable(psf) else SampledPSF(psf)
    return lambda x, y, x0, y0: _values(function(x - x0, y - y0))


def _values(given: Any) -> np.ndarray:
    """What a PSF gave, as float64."""
    values = _unmasked(given)
    if values.dtype.kind not in "fiu":
        raise TypeError(f"A 'psf' must give real numbers, got {got(given)}.")
    return values.astype(np.float64)


def _unmasked(given: Any) -> np.ndarray:
    """An array that is NaN where it is masked."""
    if not np.ma.is_masked(given):
        return np.asarray(given)
    return np.ma.filled(given.astype(np.float64), np.nan)

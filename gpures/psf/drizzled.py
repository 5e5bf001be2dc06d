"""`gpures.psf.drizzled_psf`: stars of the exposures' PSFs, drizzled where they are needed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpures import _cpu
from gpures.arguments.arrays import got
from gpures.arguments.values import NOT_GIVEN, checked_integer
from gpures.box import Box
from gpures.exposure.drops import KERNELS
from gpures.exposure.exposure import Exposure
from gpures.operators.geometry import Geometry, Placed
from gpures.psf.sampled import star_of
from gpures.typing import Flags
from gpures.wcs.inverse import roots
from gpures.wcs.positions import pixel_at

__all__ = ["DrizzledPSF", "drizzled_psf"]

# Points along each axis of an exposure, from the nearest of which its pixel at a position is looked for.
SAMPLES = 17

# Input pixels around those that are expected to reach a stamp; by what the sides grow where some beyond do.
MARGIN = 2.0
GROWTH = 1.5


@dataclass(frozen=True)
class DrizzledPSF:
    """PSF of a mosaic at a position.

    Attributes
    ----------
    data : ndarray of float64 (Ny, Nx)
        Flux in each output pixel of a star of flux 1; NaN in pixels without weight.
    weight : ndarray of float64 (Ny, Nx)
        Sum of the weights of all exposures.
    box : gpures.box.Box
        The part of the frame that these are of.
    position : (float, float)
        Where the star is in the frame, x and y in output pixels.
    names : list of str
        Exposures that are in it.
    """

    data: NDArray[np.float64] = field(repr=False)
    weight: NDArray[np.float64] = field(repr=False)
    box: Box
    position: tuple[float, float]
    names: list[str]


def drizzled_psf(
    models: Any,
    frame: Any,
    position: Any,
    psf: Any,
    *,
    size: int = 51,
    kernel: str = "square",
    pixfrac: float = 1.0,
    weight_type: str = "ivm",
    good_bits: Flags = NOT_GIVEN,
    pixmap_stepsize: float = 1,
    pixmap_order: int = 1,
    pixmap_tolerance: float = 1e-6,
) -> DrizzledPSF:
    """PSF of a mosaic at a position: a star of each exposure's PSF there, drizzled with the exposure's weights.

    Only the pixels around the position are looked at, on the CPU: what it takes depends on ``size`` and the number of
    exposures, and not on the frame. The image is what `gpures.Resample` makes with the same options of exposures that
    show nothing but the star, in surface brightness, times the area of an output pixel: all of it adds up to 1 where
    the weights are the same and the kernel conserves flux.

    Parameters
    ----------
    models : sequence of gpures.typing.Model, path, or gpures.io.Input
        Exposures of the mosaic, as `gpures.drizzle_operator` takes one. Of their data only the shape counts.
    frame : gpures.typing.MosaicModel, dict, gwcs.wcs.WCS or astropy.wcs.WCS
        As `gpures.drizzle_operator` takes it.
    position : astropy.coordinates.SkyCoord or (float, float)
        Of the star; a pair is right ascension and declination in degrees.
    psf : callable, ndarray, SampledPSF, model of photutils, or list of such
        PSF of all exposures, or a list with that of each. A callable is given the distances x and y (detector pixels)
        of pixels' centres from the star, and gives the flux in them of a star of flux 1. An array is that flux itself
        around a star in its middle (`SampledPSF` takes others). An object with ``evaluate(x, y, flux, x_0, y_0)``, as
        ``photutils.psf.GriddedPSFModel``, is evaluated at the pixels of the detector.
    size : int, optional
        Side of the image, output pixels; odd, so that the star lies in the middle pixel. It ends where the frame ends.
    kernel : {"square", "gaussian", "point", "turbo", "lanczos2", "lanczos3"}, optional
        Shape of a drop.
    pixfrac : float, optional
        Linear size of a drop in input pixels, 0 to 2.
    weight_type : {"ivm", "ivm-sky", "exptime"}, optional
        Weights, as in `gpures.Resample`.
    good_bits : int, str, list or None, optional
        DQ flags to be ignored, as in `gpures.Resample`. By default none in a model, and in a file those that its
        mission's mosaics forgive.
    pixmap_stepsize, pixmap_order : int, optional
        Grid on which the WCS is evaluated, as in `gpures.Resample`.
    pixmap_tolerance : float, optional
        Largest error of the pixel map, in output pixels.

    Returns
    -------
    DrizzledPSF
        The image, its weights, and where it lies in the frame.

    Raises
    ------
    TypeError, ValueError, KeyError
        An argument or an exposure can't be used, the position lies beside the frame, or no exposure has anything there.

    Examples
    --------
    >>> import numpy as np
    >>> import gpures.psf
    >>> from gpures.demo.nircam import NATIVE_SCALE, NRCB5, make_exposures
    >>> from gpures.demo.scene import make_scene
    >>> from gpures.demo.sky import frame_around
    >>> models = make_exposures(make_scene(NRCB5["CRVAL1"], NRCB5["CRVAL2"]), 2, (64, 64))
    >>> frame = frame_around(models, NATIVE_SCALE, margin=2)
    >>> made = gpures.psf.drizzled_psf(
    ...     models,
    ...     frame,
    ...     (NRCB5["CRVAL1"], NRCB5["CRVAL2"]),
    ...     lambda x, y: np.exp(-0.5 * (x**2 + y**2)) / (2 * np.pi),
    ...     size=11,
    ...     good_bits="~1",
    ... )
    >>> made.data.shape
    (11, 11)
    """
    side = checked_integer(size, "size")
    if side < 1 or side % 2 == 0:
        raise ValueError(f"'size' must be an odd number of pixels, got {got(size)}.")
    geometry = Geometry(
        models,
        frame,
        kernel=kernel,
        pixfrac=pixfrac,
        weight_type=weight_type,
        good_bits=good_bits,
        pixmap_stepsize=pixmap_stepsize,
        pixmap_order=pixmap_order,
        pixmap_tolerance=pixmap_tolerance,
        backend="cpu",
    )
    stars = _stars_of(psf, len(geometry.exposures))
    try:
        x, y = pixel_at(geometry.output_wcs, position)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"'position' must be one SkyCoord, or right ascension and declination in degrees, got "
            f"{got(position)}: {error}"
        ) from error
    if not (-0.5 <= x < geometry.shape[1] - 0.5 and -0.5 <= y < geometry.shape[0] - 0.5):
        raise ValueError(
            f"'position' must lie in the frame, of {geometry.shape[1]} x {geometry.shape[0]} pixels, got "
            f"{got(position)}, which is its pixel ({x:.6g}, {y:.6g})."
        )
    geometry.warn_of_kernel(stacklevel=2)
    column, row, half = math.floor(x + 0.5), math.floor(y + 0.5), side // 2
    box = Box(column - half, column + half, row - half, row + half).common(Box.whole(geometry.shape))
    shape = box.shape
    sums, weights, names = np.zeros(shape), np.zeros(shape), []
    for given, star in zip(geometry.exposures, stars, strict=True):
        placed = geometry.placed(given)
        if placed.window.common(box).is_empty:
            continue
        flux, weight = _drizzled(geometry, placed, box, (x, y), star)
        if weight.any():
            names.append(placed.model.name)
        sums += flux.reshape(shape)
        weights += weight.reshape(shape)
    if not names:
        raise ValueError(f"No exposure has anything around 'position', got {got(position)}.")
    data = np.divide(sums, weights, out=np.full(shape, np.nan), where=weights != 0)
    return DrizzledPSF(data, weights, box, (x, y), names)


def _stars_of(psf: Any, count: int) -> list[Callable[..., np.ndarray]]:
    """What draws a star in each exposure: see `star_of`."""
    if isinstance(psf, (list, tuple)):
        if len(psf) != count:
            raise ValueError(f"'psf' must be one PSF or a list of {count}, one for each exposure, got {len(psf)}.")
        return [star_of(each) for each in psf]
    return [star_of(psf)] * count


def _drizzled(
    geometry: Geometry, placed: Placed, box: Box, position: tuple[float, float], star: Callable[..., np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Sums of a star, and of weights, over the pixels of a part of the frame."""
    there = _Around(geometry, placed)
    x, y = there.pixel_of(position)
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError(f"'position' can't be found in model '{placed.model.name}': its WCS gives nothing there.")
    steps = there.steps(x, y)
    cut = replace(placed.exposure, limits=there.limits(x, y, steps, box))
    operator = geometry.operator(cut, box)
    pixels, inverse = np.unique(operator.columns, return_inverse=True)
    j, i = np.divmod(pixels.astype(np.int64), placed.exposure.shape[1])
    # Of an input pixel, its area in output pixels: a star's flux in it is a surface brightness of so much more.
    flux = star(i.astype(float), j.astype(float), x, y) / abs(np.linalg.det(steps))
    if flux.shape != pixels.shape or not np.isfinite(flux).all():
        raise ValueError(
            f"A 'psf' must give a finite number for each of the positions, {pixels.shape}, got {got(flux)}."
        )
    return _sums_of_rows(operator, flux[inverse]), _sums_of_rows(operator, np.ones(inverse.size))


def _sums_of_rows(operator: Any, values: np.ndarray) -> np.ndarray:
    rows = np.repeat(np.arange(operator.starts.size - 1), np.diff(operator.starts))
    return np.bincount(rows, operator.weights * values, operator.starts.size - 1)


class _Around:
    """An exposure around the pixel that lies at a position of the frame.

    Parameters
    ----------
    geometry : Geometry
        The frame.
    placed : Placed
        The exposure.
    """

    def __init__(self, geometry: Geometry, placed: Placed):
        self._exposure: Exposure = placed.exposure
        self._to_frame = geometry.pixel_to_pixel(placed.model["wcs"])
        self._period = geometry.period
        self._kernel = geometry.kernel

    def _from(self, position: tuple[float, float], x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Steps from a position of the frame to where pixels are in it, the short way round: (2, n)."""
        steps = np.stack(self._to_frame(x, y)) - np.array(position)[:, None]
        for step, period in zip(steps, self._period, strict=True):
            if period:
                step -= period * np.round(step / period)
        return steps

    def pixel_of(self, position: tuple[float, float]) -> tuple[float, float]:
        """Pixel coordinates at a position of the frame; NaN where there are none."""
        x0, x1, y0, y1 = self._exposure.limits
        x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(x0, x1, SAMPLES), np.linspace(y0, y1, SAMPLES)))
        distance = np.hypot(*self._from(position, x, y))
        if not np.isfinite(distance).any():
            return math.nan, math.nan
        nearest = [np.nanargmin(distance)]
        found = roots(lambda at_x, at_y, of: self._from(position, at_x, at_y), x[nearest], y[nearest])
        return float(found[0][0]), float(found[1][0])

    def steps(self, x: float, y: float) -> np.ndarray:
        """Steps in the frame to the next pixel along x and y, as columns."""
        at_x, at_y = np.array([x - 0.5, x + 0.5, x, x]), np.array([y, y, y - 0.5, y + 0.5])
        to_x, to_y = self._to_frame(at_x, at_y)
        steps = self._from((to_x[0], to_y[0]), at_x, at_y)
        return np.stack([steps[:, 1], steps[:, 3] - steps[:, 2]], axis=1)

    def limits(self, x: float, y: float, steps: np.ndarray, box: Box) -> Box:
        """The pixels whose drops may reach a part of the frame.

        Parameters
        ----------
        x, y : float
            Pixel at the middle of that part, or near it.
        steps : ndarray of float64 (2, 2)
            Steps in the frame there.
        box : Box
            That part.
        """
        e = self._exposure
        reach = _cpu.reach_of_drop(KERNELS.index(self._kernel), e.pixel_scale_ratio, e.pixfrac)
        if self._kernel == "square":  # whose size is that of the pixels
            reach += max(e.pixfrac, 1.0) * float(np.abs(steps).sum(axis=1).max())
        centre = (box.xmin + box.xmax) / 2, (box.ymin + box.ymax) / 2
        extent = np.array([box.xmax - box.xmin, box.ymax - box.ymin]) / 2 + reach
        from_star = np.abs(self._from(centre, np.array([x]), np.array([y]))[:, 0])
        sides = np.abs(np.linalg.inv(steps)) @ (extent + from_star) + MARGIN
        limits = Box(*e.limits)
        while True:
            (left, right), (bottom, top) = ((c - s, c + s) for c, s in zip((x, y), sides, strict=True))
            part = Box(math.floor(left), math.ceil(right), math.floor(bottom), math.ceil(top)).common(limits)
            if part == limits or not (part.is_empty or self._reaches(part, limits, centre, extent)):
                return part
            sides = sides * GROWTH

    def _reaches(self, part: Box, limits: Box, centre: tuple[float, float], extent: np.ndarray) -> bool:
        """Whether pixels along those sides of a part beyond which there are more lie near a place in the frame."""
        columns, rows = np.arange(part.xmin, part.xmax + 1.0), np.arange(part.ymin, part.ymax + 1.0)
        sides = []
        if part.xmin > limits.xmin:
            sides.append((np.full(rows.size, float(part.xmin)), rows))
        if part.xmax < limits.xmax:
            sides.append((np.full(rows.size, float(part.xmax)), rows))
        if part.ymin > limits.ymin:
            sides.append((columns, np.full(columns.size, float(part.ymin))))
        if part.ymax < limits.ymax:
            sides.append((columns, np.full(columns.size, float(part.ymax))))
        x, y = (np.concatenate(axis) for axis in zip(*sides, strict=True))
        return bool((np.abs(self._from(centre, x, y)) <= extent[:, None]).all(axis=0).any())

"""What the resampler asks of a world coordinate system.

A WCS is a `gwcs.wcs.WCS`, or an `astropy.wcs.WCS` (FITS, with or without distortions). `pixel_to_world` and
`world_to_pixel` give both in one form: world coordinates are handed on by their meaning, longitude and latitude in
degrees and then the others, whatever their order and units in the WCS. No function in this module changes the object
that it is given, but for `infer_array_shape`, as the reference documents.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from operator import or_
from typing import Any

import numpy as np

from gpures.arguments.arrays import got, named
from gpures.box import Box
from gpures.errors import UnsupportedWCSError
from gpures.wcs.inverse import NumericalInverse, roots
from gpures.wcs.kinks import (
    Kinks,
    fits_shows_all_over,
    is_smooth,
    kinks_of_fits,
    kinks_of_model,
    shows_all_over,
)
from gpures.wcs.pixel_area import mean_area
from gpures.wcs.plain import plain_evaluation
from gpures.wcs.sky_systems import Conversion, SkySystem, conversion_between, system_of_fits
from gpures.wcs.world_axes import WorldAxes, axes_of_frame

__all__ = [
    "Transform",
    "UnsupportedWCSError",
    "as_wcs",
    "axes_type",
    "bounding_box",
    "celestial_frame",
    "checked_wcs",
    "compute_mean_pixel_area",
    "infer_array_shape",
    "into_frame",
    "is_imaging",
    "pixel_to_world",
    "pixels_within",
    "plain_pair",
    "resample_range",
    "world_axes",
    "world_to_pixel",
]

ARCSEC_PER_RADIAN = 3600.0 * math.degrees(1.0)


# ---- kinds of WCS ----------------------------------------------------------------------------------------------------


class _FITSFrame:
    """Stands for the output frame of a celestial FITS WCS."""

    naxes = 2
    axes_type = ("SPATIAL", "SPATIAL")


class _FITSAdapter:
    """A two-dimensional celestial `astropy.wcs.WCS` with the names that a gwcs has."""

    output_frame = _FITSFrame()

    def __init__(self, wcs: Any):
        if wcs.naxis != 2 or not wcs.has_celestial:
            raise UnsupportedWCSError(
                f"A FITS WCS must have 2 celestial axes, got {wcs.naxis} axes of the types "
                f"{list(wcs.wcs.ctype)}. Use WCS.celestial to take the celestial part of a cube's WCS."
            )
        self.fits = wcs

    @property
    def array_shape(self):
        return self.fits.array_shape

    @property
    def bounding_box(self):
        bounds = self.fits.pixel_bounds
        return None if bounds is None else [(-math.inf, math.inf) if axis is None else axis for axis in bounds]

    @property
    def is_smooth(self) -> bool:
        tables = (self.fits.cpdis1, self.fits.cpdis2, self.fits.det2im1, self.fits.det2im2)
        return all(table is None for table in tables)

    @property
    def shows_all_over(self) -> bool:
        return self.is_smooth and fits_shows_all_over(self.fits)

    @property
    def axes(self) -> WorldAxes:
        from astropy import units

        header = self.fits.wcs
        factor = tuple(float(units.Unit(header.cunit[axis]).to(units.deg)) for axis in (header.lng, header.lat))
        return WorldAxes(_FITSFrame.axes_type, (header.lng, header.lat), factor, system_of_fits(header))

    def forward(self, x, y):
        return self.fits.all_pix2world(x, y, 0)

    def _focal_to_world(self, x, y):
        return self.axes.by_meaning(self.fits.wcs_pix2world(x, y, 0))

    def backward(self, *world):
        focal = np.stack(self.fits.wcs_world2pix(*(np.ravel(axis) for axis in world), 0))
        lost = np.isinf(focal).any(axis=0)
        if lost.any():  # wcslib's inverse of TPV's polynomial may run away; what has no pixel is NaN
            inverse = NumericalInverse(self._focal_to_world, _area(self))
            focal[:, lost] = inverse(*self.axes.by_meaning([np.ravel(axis)[lost] for axis in world]))
        if self.fits.sip is None and self.is_smooth:  # it needs no iteration
            return [axis.reshape(np.shape(world[0])) for axis in focal]

        def distorted(x, y, of):
            return np.stack(self.fits.pix2foc(x, y, 0)) - focal[:, of]

        with np.errstate(all="ignore"):  # far from the detector a distortion may be anything
            return [axis.reshape(np.shape(world[0])) for axis in roots(distorted, *focal)]


def as_wcs(wcs: Any) -> Any:
    """`wcs` itself, or an adapter if it is an `astropy.wcs.WCS`.

    Raises
    ------
    UnsupportedWCSError
        It is a FITS WCS of something else than an image of the sky.
    """
    # Whoever has such an object has imported its module; the others are spared half a second. A module that another
    # thread is just importing may have no WCS yet, and then nobody has one.
    fits = getattr(sys.modules.get("astropy.wcs"), "WCS", None)
    return _FITSAdapter(wcs) if fits is not None and isinstance(wcs, fits) else wcs


def checked_wcs(wcs: Any, name: str = "wcs", model: Mapping | None = None) -> Any:
    """A WCS; TypeError or ValueError if it is none, UnsupportedWCSError if a FITS WCS has not two celestial axes.

    Parameters
    ----------
    wcs : object
        What the caller passed.
    name : str, optional
        What the error calls it.
    model : mapping, optional
        The model that it is of, for the error's words.
    """
    if wcs is None:
        raise ValueError(f"{named(name, model)} must be a WCS, got None.")
    if not hasattr(as_wcs(wcs), "output_frame"):
        raise TypeError(f"{named(name, model)} must be a gwcs.wcs.WCS or an astropy.wcs.WCS, got {got(wcs)}.")
    return wcs


def world_axes(wcs: Any) -> WorldAxes:
    """What the world coordinates of a WCS mean.

    Raises
    ------
    UnsupportedWCSError
        It does not tell the types of its axes.
    """
    wcs = as_wcs(wcs)
    if isinstance(wcs, _FITSAdapter):
        return wcs.axes
    frame = getattr(wcs, "output_frame", None)
    if not getattr(frame, "axes_type", ()):
        got = type(wcs).__name__ if frame is None else f"one with the output frame {frame!r}"
        raise UnsupportedWCSError(
            "A WCS must be a gwcs.wcs.WCS, or an astropy.wcs.WCS, whose output frame tells the types of its axes, "
            f"got {got}."
        )
    return axes_of_frame(frame, getattr(wcs, "world_axis_physical_types", None))


def celestial_frame(wcs: Any) -> Any:
    """Astropy frame of a WCS's sky coordinates; None where it tells none, or one that astropy does not have."""
    sky = world_axes(wcs).sky
    return None if sky is None else sky.frame


def axes_type(wcs: Any) -> tuple[str, ...]:
    """Types of the world axes, e.g. ``("SPATIAL", "SPATIAL")``; the spatial ones come first."""
    return world_axes(wcs).types


def is_imaging(wcs: Any) -> bool:
    """Whether all world axes are spatial."""
    return all(axis == "SPATIAL" for axis in axes_type(wcs))


# ---- pixels ----------------------------------------------------------------------------------------------------------


def bounding_box(wcs: Any) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """((xmin, xmax), (ymin, ymax)) in pixels, or None; bounds given in descending order are put right.

    Raises
    ------
    ValueError
        It is something else, such as the box of one axis, or holds NaN. Bounds may be infinite.
    """
    box = getattr(as_wcs(wcs), "bounding_box", None)
    if box is None:
        return None
    if hasattr(box, "bounding_box"):  # an astropy model's; a plain tuple is in this order already
        box = box.bounding_box(order="F")
    try:
        (x1, x2), (y1, y2) = (sorted(float(getattr(v, "value", v)) for v in interval) for interval in box)
    except (TypeError, ValueError):
        x1 = x2 = y1 = y2 = math.nan
    if any(map(math.isnan, (x1, x2, y1, y2))):
        raise ValueError(f"The bounding box of a 'wcs' must be ((xmin, xmax), (ymin, ymax)), in pixels, got {box!r}.")
    return (x1, x2), (y1, y2)


def resample_range(shape: tuple[int, int], wcs: Any) -> Box:
    """Input pixels to resample: (xmin, xmax, ymin, ymax), the last ones included."""
    box = bounding_box(wcs)
    if box is None:
        return Box.whole(shape)
    # Nothing lies beyond; infinite bounds would be no integers.
    (x1, x2), (y1, y2) = (np.clip(interval, -1.0, 2.0**31).tolist() for interval in box)
    xmin, ymin = max(0, int(x1 + 0.5)), max(0, int(y1 + 0.5))
    xmax = max(xmin, min(shape[1] - 1, int(x2 + 0.5)))
    ymax = max(ymin, min(shape[0] - 1, int(y2 + 0.5)))
    return Box(xmin, xmax, ymin, ymax)


def pixels_within(box: Any, shape: tuple[int, int]) -> Box:
    """First and last column and row whose centres lie in a bounding box; beside the array, a last before the first."""
    if box is None:
        return Box.whole(shape)
    (x1, x2), (y1, y2) = box
    (ny, nx) = shape
    return Box(
        math.ceil(min(max(x1, 0.0), nx)),
        math.floor(max(min(x2, nx - 1.0), -1.0)),
        math.ceil(min(max(y1, 0.0), ny)),
        math.floor(max(min(y2, ny - 1.0), -1.0)),
    )


def infer_array_shape(wcs: Any) -> None:
    """Set ``array_shape`` of an output WCS that has none from its bounding box, as the reference does.

    Raises
    ------
    ValueError
        There is no bounding box either, or one that is infinite or ends before the first pixel.
    """
    box = bounding_box(wcs)
    if box is None:
        raise ValueError("Unable to infer output image size: the output WCS has no array_shape and no bounding_box.")
    if not all(-0.5 < last < math.inf for _, last in box):
        raise ValueError(f"Unable to infer output image size: the output WCS has the bounding_box {box}.")
    half = 0.5 + sys.float_info.epsilon
    wcs.array_shape = (int(box[1][1] + half), int(box[0][1] + half))


# ---- transforms ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Transform:
    """One half of a pixel map: pixel to world, or world to pixel; bounding boxes are ignored.

    World coordinates are longitude and latitude in degrees, and then the others. It can be copied and pickled as far as
    the WCS can.

    Attributes
    ----------
    evaluate : callable
        Coordinates, float64 arrays of one shape, to a tuple of such arrays; those of the world as the WCS has them.
    axes : WorldAxes
        What they are.
    to_world : bool
        Whether it leads from pixels to the world.
    convert : callable or None
        What converts longitudes and latitudes of the WCS to those of another system, where that was asked for.
    is_smooth : bool
        Whether it is free of lookup tables and of choices between regions.
    shows_all_over : bool
        Whether it has no part that could have a feature in one place alone, as `gpures.wcs.kinks.shows_all_over` says.
    can_be_copied : bool
        Whether `duplicate` makes a copy for another thread, as WCS objects keep state while they are evaluated.
    warned : set of str
        Frames of other WCS that were said to differ.
    kinks : callable or None
        Of what leads from pixels, and is not smooth: finds where it is not, in a box of pixels, if that is known, as
        `gpures.wcs.kinks.Kinks`.
    source : object or None
        The model of astropy, or the FITS WCS, that it evaluates; None of something else.
    """

    evaluate: Callable[..., Any]
    axes: WorldAxes
    to_world: bool
    is_smooth: bool = True
    shows_all_over: bool = False
    can_be_copied: bool = True
    convert: Conversion | None = None
    warned: set[str] = field(default_factory=set, compare=False)
    kinks: Callable[[Box], Kinks | None] | None = None
    source: Any = field(default=None, compare=False)

    def __call__(self, *coordinates: np.ndarray) -> tuple[np.ndarray, ...]:
        """Transform arrays of coordinates.

        Raises
        ------
        TypeError, ValueError
            The WCS gives something else than real numbers, one for each position in each coordinate.
        """
        shape = np.shape(coordinates[0])
        if self.to_world:
            own = _checked(self.evaluate(*coordinates), shape, len(self.axes.order), "'wcs'", "world")
            known = self.axes.by_meaning(own)
            return known if self.convert is None else (*self.convert(*known[:2]), *known[2:])
        result = self.evaluate(*self.axes.of_the_wcs(coordinates))
        return _checked(result, shape, 2, "The output WCS", "pixel")[:2]

    def duplicate(self) -> Transform:
        """Make a copy for another thread."""
        return copy.deepcopy(self)

    def plain(self, *coordinates: np.ndarray) -> Transform:
        """The same for many pixels, faster if it can be, as long as its WCS does not change.

        Parameters
        ----------
        *coordinates : ndarray
            Those of some places, at which it is compared with this one.
        """
        evaluate = plain_evaluation(self.evaluate)
        if evaluate is None:
            return self
        faster = replace(self, evaluate=evaluate)
        try:
            pairs = zip(faster(*coordinates), self(*coordinates), strict=True)
            is_same = all(np.array_equal(*pair, equal_nan=True) for pair in pairs)
        except Exception:  # of a part that wants to be called otherwise
            return self
        return faster if is_same else self


def plain_pair(forward: Transform, backward: Transform, window: Box) -> tuple[Transform, Transform]:
    """The same transforms, faster if they can be, as long as their WCS do not change.

    Parameters
    ----------
    forward, backward : Transform
        From pixels to the world, and from there to pixels.
    window : Box
        Of the first's pixels, at some of which they are compared with what they were.
    """
    x0, x1, y0, y1 = window
    pixels = [axis.ravel() for axis in np.meshgrid(np.linspace(x0, x1, 5), np.linspace(y0, y1, 5))]
    with np.errstate(all="ignore"):
        faster = forward.plain(*pixels)
        return faster, backward.plain(*faster(*pixels))


def into_frame(wcs: Any, shape: tuple[int, int]) -> Transform:
    """`world_to_pixel` of an output's WCS, which does not change from then on, for all exposures.

    Parameters
    ----------
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        The output's.
    shape : (int, int)
        Shape (Ny, Nx) of the output.

    Raises
    ------
    UnsupportedWCSError
        As `world_to_pixel`.
    """
    backward = world_to_pixel(wcs)
    if isinstance(backward.evaluate, partial):
        _, backward = plain_pair(pixel_to_world(wcs), backward, Box.whole(shape))
    return backward


def _checked(values: Any, shape: tuple[int, ...], number: int, whose: str, kind: str) -> tuple[np.ndarray, ...]:
    """Coordinates that a WCS gives, as arrays of float64."""
    given = tuple(values) if isinstance(values, (tuple, list)) or np.ndim(values) > len(shape) else (values,)
    if len(given) < number:
        raise ValueError(f"{whose} must give {number} {kind} coordinates, got {len(given)}.")
    arrays = []
    for value in given:
        array = np.asarray(value.filled(np.nan) if isinstance(value, np.ma.MaskedArray) else value)
        if array.dtype.kind not in "fiu":
            raise TypeError(f"{whose} must give real numbers as {kind} coordinates, got {array.dtype}.")
        if array.shape != shape:
            got = f"one of the shape {array.shape}" if array.ndim else "a single number"
            raise ValueError(f"{whose} must give {kind} coordinates of the shape of its input, {shape}, got {got}.")
        arrays.append(array.astype(np.float64, copy=False))
    return tuple(arrays)


def pixel_to_world(wcs: Any, sky: SkySystem | None = None) -> Transform:
    """Pixel coordinates of a WCS to its world coordinates: longitude and latitude in degrees, and then the others.

    Parameters
    ----------
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        The WCS.
    sky : SkySystem, optional
        What longitude and latitude are converted to, where the WCS has others; by default they are as it has them.

    Raises
    ------
    UnsupportedWCSError
        The WCS is none, does not tell its axes, or has sky coordinates that can't be converted.
    """
    forward = _pixel_to_own_world(wcs)
    if sky is None or forward.axes.types[:2] != ("SPATIAL", "SPATIAL"):
        return forward
    convert = conversion_between(forward.axes.sky, sky)
    return forward if convert is None else replace(forward, convert=convert)


def _pixel_to_own_world(wcs: Any) -> Transform:
    wcs, axes = as_wcs(wcs), world_axes(wcs)
    if isinstance(wcs, _FITSAdapter):
        of_fits = partial(kinks_of_fits, wcs.fits)
        return Transform(wcs.forward, axes, True, wcs.is_smooth, wcs.shows_all_over, kinks=of_fits, source=wcs.fits)
    model = _composed(wcs)
    if model is None:
        return Transform(wcs.pixel_to_world_values, axes, True, can_be_copied=False)
    evaluate = _evaluation(model, wcs.input_frame, wcs.output_frame)
    kinks = None if isinstance(evaluate, _OfQuantities) else partial(kinks_of_model, model)
    return Transform(
        evaluate, axes, True, is_smooth(model), shows_all_over(model), kinks=kinks, source=_source(evaluate)
    )


def world_to_pixel(wcs: Any) -> Transform:
    """World coordinates, as `pixel_to_world` gives them, to pixel coordinates of a WCS.

    Where a gwcs has no inverse of its own, it is found by Newton's method, to 1e-7 pixels; NaN where that does not
    converge. So are the pixels of a FITS WCS with distortions.

    Raises
    ------
    UnsupportedWCSError
        The WCS is none, does not tell its axes, or has no inverse while it is something else than an image of the sky.
    """
    wcs, axes = as_wcs(wcs), world_axes(wcs)
    if isinstance(wcs, _FITSAdapter):
        return Transform(wcs.backward, axes, False, wcs.is_smooth, wcs.shows_all_over, source=wcs.fits)
    model = _composed(wcs)
    if model is None:
        return Transform(wcs.world_to_pixel_values, axes, False, can_be_copied=False)
    inverse = _inverse(model)
    if inverse is not None:
        evaluate = _evaluation(inverse, wcs.output_frame, wcs.input_frame)
        return Transform(evaluate, axes, False, is_smooth(inverse), shows_all_over(inverse), source=_source(evaluate))
    if axes.types != ("SPATIAL", "SPATIAL"):
        raise UnsupportedWCSError(
            f"The output WCS has no inverse, and the axes {axes.types}: only that of an image of the sky can be found."
        )
    forward = pixel_to_world(wcs)
    by_degrees = WorldAxes(axes.types, (0, 1), (1.0, 1.0), axes.sky)
    return Transform(
        NumericalInverse(forward, _area(wcs)), by_degrees, False, forward.is_smooth, forward.shows_all_over
    )


def _area(wcs: Any) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where pixels of an output WCS may be expected: ((xmin, xmax), (ymin, ymax))."""
    if (shape := wcs.array_shape) is not None:
        return (0.0, shape[1] - 1.0), (0.0, shape[0] - 1.0)
    box = bounding_box(wcs)
    return box if box is not None and np.isfinite(box).all() else ((0.0, 1.0), (0.0, 1.0))


def _composed(wcs: Any) -> Any:
    """Transform of all steps of a gwcs, a third of the cost of the calls around it; None of another kind of WCS.

    The bounding box belongs to the first step's transform, and its own way to the whole one would be to set it there.
    """
    if steps := getattr(wcs, "pipeline", None):
        return reduce(or_, (step.transform for step in steps[:-1]))
    return getattr(wcs, "forward_transform", None)


def _inverse(model: Any) -> Any:
    """Analytic inverse of a model, or None."""
    try:
        inverse = model.inverse
        inverse = inverse if hasattr(inverse, "n_inputs") else inverse()  # a method in gwcs's FITSImagingWCSTransform
    except (NotImplementedError, AttributeError, KeyError, TypeError):
        return None
    return inverse if hasattr(inverse, "n_inputs") else None


def _evaluation(model: Any, frame_in: Any, frame_out: Any) -> Callable[..., Any]:
    """What evaluates a model with plain numbers."""
    plain = partial(model, with_bounding_box=False)
    return _OfQuantities(plain, frame_in, frame_out) if _uses_quantities(model) else plain


def _source(evaluate: Callable[..., Any]) -> Any:
    """The model that is evaluated; None where there are quantities."""
    return evaluate.func if isinstance(evaluate, partial) else None


def _uses_quantities(model: Any) -> bool:
    return bool(getattr(model, "uses_quantity", False))


@dataclass(frozen=True)
class _OfQuantities:
    """A model that takes and gives quantities, with numbers in the units of its frames."""

    model: Callable[..., Any]
    frame_in: Any
    frame_out: Any

    def __call__(self, *values: np.ndarray) -> tuple[Any, ...]:
        from astropy.units import Quantity

        units = zip(values, self.frame_in.unit, strict=False)
        result = self.model(*(Quantity(value, unit) for value, unit in units), *values[len(self.frame_in.unit) :])
        given = [*self.frame_out.unit, *(None,) * (len(result) - len(self.frame_out.unit))]
        return tuple(
            (v.to_value(unit) if unit is not None else v.value) if isinstance(v, Quantity) else v
            for v, unit in zip(result, given, strict=False)
        )


# ---- areas -----------------------------------------------------------------------------------------------------------


def compute_mean_pixel_area(wcs: Any, shape: tuple[int, int] | None = None) -> float | None:
    """Mean area of a WCS's pixels on the sky, in steradians.

    It is the mean of the pixels' own solid angles, over those whose centres lie in the bounding box (else in the
    array), and as far as the WCS is finite: the integral of its Jacobian, to 1e-9 or to what the rounding of world
    coordinates in degrees allows.

    The reference divides the solid angle of a polygon through the outermost pixels' centres by its area in pixels,
    and that is a sum of angles, good to 1e-14 sr: 1e-7 of a frame of 1000 x 1000 pixels of 0.06 arcsec, but 1e-2 of one
    of 8 x 8 pixels of 0.03 arcsec; and of frames larger than a hemisphere it takes the outside. Who needs its very
    figure, for the same size of drops, gives it as ``"pixel_scale"`` or ``"pixel_scale_ratio"`` in ``output_wcs``.

    Parameters
    ----------
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        Pixels to the sky.
    shape : (int, int), optional
        Array shape (Ny, Nx); the default is ``wcs.array_shape``.

    Returns
    -------
    float or None
        Steradians per pixel; None where no part of the WCS gives finite coordinates, or pixels have no area.

    Raises
    ------
    ValueError
        Neither ``shape`` nor ``wcs.array_shape`` is set.
    UnsupportedWCSError
        The WCS has not two spatial axes.
    """
    shape = shape or as_wcs(wcs).array_shape
    if shape is None:
        raise ValueError("'shape' is needed where the WCS has no 'array_shape' attribute set.")
    forward = pixel_to_world(wcs)
    if forward.axes.types[:2] != ("SPATIAL", "SPATIAL"):
        raise UnsupportedWCSError(f"The area of pixels needs two spatial axes, got the axes {forward.axes.types}.")
    return mean_area(forward, pixels_within(bounding_box(wcs), shape), forward.is_smooth)

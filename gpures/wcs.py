"""What the resampler asks of a world coordinate system.

A WCS is a `gwcs.wcs.WCS`, or an `astropy.wcs.WCS` (FITS, with or without distortions). `as_wcs` gives both the few
properties that are used here. No function in this module changes the object that it is given, but for
`infer_array_shape`, as the reference documents.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

__all__ = ["Transform", "UnsupportedWCSError", "compute_mean_pixel_area", "pixel_to_world", "world_to_pixel"]

ARCSEC_PER_RADIAN = 3600.0 * math.degrees(1.0)

# A bounding box that is infinite bounds nothing; no array is as long as this.
UNBOUNDED = 1e15

# Spacing (input pixels) of the points along an outline whose sky area is taken. The reference's choice, kept so that
# the areas agree to rounding: between points the outline is a great circle.
OUTLINE_SPACING = 15

# Models whose values come from tables or from a choice between regions: no grid can vouch for what lies between its
# points.
_NOT_SMOOTH = ("Tabular", "LabelMapper", "RegionsSelector", "Spline")


class UnsupportedWCSError(RuntimeError):
    """The output WCS has an unexpected number of axes or an unsupported structure."""


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
        return None if bounds is None or None in bounds else bounds

    @property
    def is_smooth(self) -> bool:
        tables = (self.fits.cpdis1, self.fits.cpdis2, self.fits.det2im1, self.fits.det2im2)
        return all(table is None for table in tables)

    def forward(self, x, y):
        return self.fits.all_pix2world(x, y, 0)

    def backward(self, *world):
        # Without distortions the inverse is exact and needs no iteration.
        if self.fits.sip is None and self.is_smooth:
            return self.fits.wcs_world2pix(*world, 0)
        return self.fits.world_to_pixel_values(*world)


def as_wcs(wcs: Any) -> Any:
    """`wcs` itself, or an adapter if it is an `astropy.wcs.WCS`."""
    # Whoever has such an object has imported its module; the others are spared half a second.
    module = sys.modules.get("astropy.wcs")
    return _FITSAdapter(wcs) if module is not None and isinstance(wcs, module.WCS) else wcs


def axes_type(wcs: Any) -> tuple[str, ...]:
    """Types of the world axes, e.g. ``("SPATIAL", "SPATIAL")``."""
    return tuple(as_wcs(wcs).output_frame.axes_type)


def is_imaging(wcs: Any) -> bool:
    """Whether all world axes are spatial."""
    return all(axis == "SPATIAL" for axis in axes_type(wcs))


def bounding_box(wcs: Any) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """((xmin, xmax), (ymin, ymax)) in pixels, or None; bounds given in descending order are put right."""
    box = getattr(as_wcs(wcs), "bounding_box", None)
    if box is None:
        return None
    if hasattr(box, "bounding_box"):  # an astropy model's; a plain tuple is in this order already
        box = box.bounding_box(order="F")
    if len(box) != 2:
        raise ValueError(f"Expected the bounding box of a WCS to be of length 2, got {tuple(box)!r}.")
    limits = [[float(getattr(v, "value", v)) for v in interval] for interval in box]
    if any(math.isnan(v) for interval in limits for v in interval):
        raise ValueError(f"The bounding box of a WCS must be of numbers, got {limits} for 'wcs'.")
    (x1, x2), (y1, y2) = [[min(max(v, -UNBOUNDED), UNBOUNDED) for v in interval] for interval in limits]
    return (min(x1, x2), max(x1, x2)), (min(y1, y2), max(y1, y2))


def resample_range(shape: tuple[int, int], wcs: Any) -> tuple[int, int, int, int]:
    """Input pixels to resample: (xmin, xmax, ymin, ymax), the last ones included."""
    box = bounding_box(wcs)
    if box is None:
        return 0, shape[1] - 1, 0, shape[0] - 1
    (x1, x2), (y1, y2) = box
    xmin, ymin = max(0, int(x1 + 0.5)), max(0, int(y1 + 0.5))
    xmax = max(xmin, min(shape[1] - 1, int(x2 + 0.5)))
    ymax = max(ymin, min(shape[0] - 1, int(y2 + 0.5)))
    return xmin, xmax, ymin, ymax


@dataclass(frozen=True)
class Transform:
    """One half of a pixel map: pixel to world, or world to pixel; bounding boxes are ignored.

    Attributes
    ----------
    evaluate : callable
        Coordinates, float64 arrays of one shape, to a tuple of such arrays.
    is_smooth : bool
        Whether it is free of lookup tables and of choices between regions.
    duplicate : callable or None
        Makes a copy for another thread (WCS objects keep state while they evaluate); None where that can't be done.
    """

    evaluate: Callable[..., Any]
    is_smooth: bool
    duplicate: Callable[[], Transform] | None = None

    def __call__(self, *coordinates: np.ndarray) -> tuple[np.ndarray, ...]:
        """Transform arrays of coordinates."""
        return self.evaluate(*coordinates)


def pixel_to_world(wcs: Any) -> Transform:
    """Pixel coordinates of a WCS to its world coordinates."""
    wcs = as_wcs(wcs)
    if isinstance(wcs, _FITSAdapter):
        return Transform(wcs.forward, wcs.is_smooth, lambda: pixel_to_world(wcs.fits.deepcopy()))
    transform = _composed(wcs, "forward_transform")
    if transform is not None:
        return _transform_of(transform)
    if hasattr(wcs, "forward_transform"):
        return Transform(lambda x, y: _values(wcs(x, y, with_bounding_box=False)), True)
    return Transform(wcs.pixel_to_world_values, True)


def world_to_pixel(wcs: Any) -> Transform:
    """World coordinates of a WCS to its pixel coordinates."""
    wcs = as_wcs(wcs)
    if isinstance(wcs, _FITSAdapter):
        return Transform(wcs.backward, wcs.is_smooth, lambda: world_to_pixel(wcs.fits.deepcopy()))
    transform = _composed(wcs, "backward_transform")
    if transform is not None:
        return _transform_of(transform)
    if hasattr(wcs, "invert"):
        return Transform(lambda *world: _values(wcs.invert(*world, with_bounding_box=False)), True)
    return Transform(wcs.world_to_pixel_values, True)


def _transform_of(model: Any) -> Transform:
    return Transform(partial(model, with_bounding_box=False), _is_smooth(model), lambda: _transform_of(model.copy()))


def _composed(wcs: Any, name: str) -> Any:
    """Composed transform of a gwcs, a third of the cost of the calls around it; None where it needs those.

    They are needed where the transform has no analytic inverse or works on quantities with units.
    """
    try:
        transform = getattr(wcs, name)
    except (AttributeError, NotImplementedError):
        return None
    return None if getattr(transform, "uses_quantity", False) else transform


def _is_smooth(transform: Any) -> bool:
    leaves = transform.traverse_postorder() if hasattr(transform, "traverse_postorder") else [transform]
    names = {base.__name__.lstrip("_") for leaf in leaves for base in type(leaf).__mro__}
    return not any(name.startswith(_NOT_SMOOTH) for name in names)


def _values(result: Any) -> tuple[np.ndarray, ...]:
    return tuple(np.asarray(getattr(v, "value", v)) for v in result)


def infer_array_shape(wcs: Any) -> None:
    """Set ``array_shape`` of an output WCS that has none from its bounding box, as the reference does.

    Raises
    ------
    ValueError
        There is no bounding box either.
    """
    box = bounding_box(wcs)
    if box is None:
        raise ValueError("Unable to infer output image size: the output WCS has no array_shape and no bounding_box.")
    half = 0.5 + sys.float_info.epsilon
    wcs.array_shape = (int(box[1][1] + half), int(box[0][1] + half))


def compute_mean_pixel_area(wcs: Any, shape: tuple[int, int] | None = None) -> float | None:
    """Mean area of a WCS's pixels on the sky, in steradians.

    The outline of the bounding box (else of the array) is projected on the sky, and the solid angle that it encloses
    is divided by its area in pixels. Edges where the WCS is not finite are moved inwards one pixel at a time.

    Outline and solid angle (spherical-geometry's) are the reference's, so that both have one pixel scale ratio. The
    solid angle is a sum of angles, good to about 1e-14 sr: 1e-7 of a frame of 1000 x 1000 pixels of 0.06 arcsec, but
    1e-4 of one of 20 x 20. For a frame as small, give ``"pixel_scale"`` in ``output_wcs``.

    Parameters
    ----------
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
    shape : (int, int), optional
        Array shape (Ny, Nx); the default is ``wcs.array_shape``.

    Returns
    -------
    float or None
        Steradians per pixel; None where no part of the WCS gives finite coordinates.

    Raises
    ------
    ValueError
        Neither ``shape`` nor ``wcs.array_shape`` is set.
    """
    from spherical_geometry.polygon import SphericalPolygon  # takes longer to import than the rest of gpures

    adapted = as_wcs(wcs)
    shape = shape or adapted.array_shape
    if shape is None:
        raise ValueError("'shape' is needed where the WCS has no 'array_shape' attribute set.")
    spatial = [k for k, axis in enumerate(axes_type(wcs)) if axis == "SPATIAL"][:2]
    forward = pixel_to_world(wcs)
    ny, nx = shape
    (x1, x2), (y1, y2) = bounding_box(wcs) or ((-0.5, nx - 0.5), (-0.5, ny - 0.5))
    xmin, xmax = max(0, int(x1 + 0.5)), min(nx - 1, int(x2 - 0.5))
    ymin, ymax = max(0, int(y1 + 0.5)), min(ny - 1, int(y2 - 0.5))

    side = 0  # the edge looked at first: bottom, right, top, left in turn
    while xmin < xmax and ymin < ymax:
        edges = _outline(xmin, xmax, ymin, ymax)
        x, y = (np.concatenate(side_of_edges) for side_of_edges in zip(*edges, strict=True))
        world = forward(x, y)
        outside = (x < x1) | (x > x2) | (y < y1) | (y > y2)
        lon, lat = (np.where(outside, np.nan, world[k]) for k in spatial)
        ends = np.cumsum([len(x) for x, _ in edges])[:-1]
        finite = [bool(np.all(np.isfinite(edge))) for edge in np.split(lon + lat, ends)]
        broken = next((k % 4 for k in range(side, side + 4) if not finite[k % 4]), None)
        if broken is None:
            centre = forward(np.array([0.5 * (xmin + xmax)]), np.array([0.5 * (ymin + ymax)]))
            inside = float(centre[spatial[0]][0]), float(centre[spatial[1]][0])
            area = SphericalPolygon.from_radec(lon, lat, center=inside).area()
            return min(area, 4.0 * math.pi - area) / ((xmax - xmin) * (ymax - ymin))
        ymin, xmax, ymax, xmin = (
            ymin + (broken == 0),
            xmax - (broken == 1),
            ymax - (broken == 2),
            xmin + (broken == 3),
        )
        side = (broken + 1) % 4
    return None


def _outline(xmin: int, xmax: int, ymin: int, ymax: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Points along the bottom, right, top and left edges, counter-clockwise, each without its end."""
    nx, ny = xmax - xmin + 1, ymax - ymin + 1
    sx = max(1, math.ceil(nx / (min((xmax - xmin) // 4, OUTLINE_SPACING) or nx)))
    sy = max(1, math.ceil(ny / (min((ymax - ymin) // 4, OUTLINE_SPACING) or ny)))
    return [
        (np.linspace(xmin, xmax, sx, endpoint=False), np.full(sx, float(ymin))),
        (np.full(sy, float(xmax)), np.linspace(ymin, ymax, sy, endpoint=False)),
        (np.linspace(xmax, xmin, sx, endpoint=False), np.full(sx, float(ymax))),
        (np.full(sy, float(xmin)), np.linspace(ymax, ymin, sy, endpoint=False)),
    ]

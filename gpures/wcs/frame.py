"""The output frame of a mosaic: a tangent plane that holds the exposures' footprints.

The knobs have the names and meanings that they have in the JWST and Roman pipelines (`stcal.alignment`). With
``align="footprint"`` the frame has, for the same outlines, the same WCS. What differs, on purpose:

- By default the frame's pixels are those of the first exposure, where that is on a grid of the kind and scale that is
  wanted, so that its pixels are kept as they are. Otherwise they lie at whole multiples of the scale around the tangent
  point. The pipelines' frame begins where the outlines do, half a pixel beside the pixels of an exposure.
- The last row and column are those that the footprints reach into. The pipelines' frame ends up to a pixel before.
- Outlines follow the pixels' outer edges, distortion included, where the pipelines take four corners.
- East is always to the left of north, as on the sky. ``rotation=None`` turns +y along that of the first exposure as
  it lies in the output frame; the pipelines take its position angle where it is, which is not the same near a pole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from gpures.arguments.arrays import got
from gpures.arguments.values import LARGEST, checked_real, checked_scale, is_real
from gpures.wcs.footprint import Footprint
from gpures.wcs.sphere import angles, separation, vectors
from gpures.wcs.tangent_plane import TURNS, TangentPlane
from gpures.wcs.transforms import world_to_pixel

__all__ = ["FAR", "FrameOptions", "Grid", "farthest", "grid_around", "kept_grid", "tangent_wcs"]

# Degrees from the tangent point to which a frame may reach. At 80 a pixel covers 191 times less sky than in the middle
# (the cube of the cosine), and at 90 the plane is infinite.
FAR = 80.0

ALIGNMENTS = ("first", "tangent", "footprint")

# Two grids are one if their scales differ by less than this fraction, and their axes by as many radians.
SAME_GRID = 1e-9

# Pixels by which outlines may reach into a row or column without its being made: the rounding of their coordinates.
ROUNDING = 1e-6


@dataclass(frozen=True)
class FrameOptions:
    """What is wanted of a frame.

    Attributes
    ----------
    pixel_scale : float or None
        Arcsec.
    pixel_scale_ratio : float
        Output over input pixel scale, where ``pixel_scale`` is None.
    rotation : float or None
        Position angle of +y, degrees from north to east; None for that of the first exposure.
    crpix : (float, float) or None
        Pixel of the tangent point, x and y from 0.
    crval : (float, float) or None
        Tangent point, degrees; None for the middle of the footprints.
    output_shape : (int, int) or None
        (Nx, Ny).
    align : {"first", "tangent", "footprint"}
        Where pixels lie, without ``crpix``: on those of the first exposure, where it is on a grid of this kind, scale
        and rotation, and else as with "tangent"; at whole multiples of the scale around the tangent point; or such that
        the footprints begin in the middle of the first ones.

    Raises
    ------
    TypeError, ValueError
        One of them can't have its value.
    """

    pixel_scale: float | None = None
    pixel_scale_ratio: float = 1.0
    rotation: float | None = 0.0
    crpix: Sequence[float] | None = None
    crval: Sequence[float] | None = None
    output_shape: Sequence[int] | None = None
    align: str = "first"

    @classmethod
    def names(cls) -> list[str]:
        """Names of all options."""
        return [field.name for field in fields(cls)]

    def __post_init__(self) -> None:
        for name in ("crpix", "crval", "output_shape"):
            pair = getattr(self, name)
            object.__setattr__(self, name, tuple(pair) if np.iterable(pair) else pair)
        if self.pixel_scale is not None:
            checked_scale(self.pixel_scale, "pixel_scale")
        checked_scale(self.pixel_scale_ratio, "pixel_scale_ratio")
        if self.rotation is not None and not _is_finite(self.rotation):
            raise ValueError(f"'rotation' must be an angle in degrees, or None, got {got(self.rotation)}.")
        for name in ("crpix", "crval"):
            value = getattr(self, name)
            if value is not None and not (_is_pair(value) and all(_is_finite(v) for v in value)):
                raise ValueError(f"'{name}' must be two finite numbers, or None, got {got(value)}.")
        if self.crval is not None and abs(self.crval[1]) > 90.0:
            raise ValueError(f"'crval' must be a right ascension and a declination in degrees, got {got(self.crval)}.")
        if self.align not in ALIGNMENTS:
            raise ValueError(f"'align' must be one of {', '.join(map(repr, ALIGNMENTS))}, got {got(self.align)}.")
        shape = self.output_shape
        if shape is not None and not (
            _is_pair(shape)
            and all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n > 0 for n in shape)
        ):
            raise ValueError(f"'output_shape' must be two positive integers (Nx, Ny), or None, got {got(shape)}.")


def _is_finite(value: Any) -> bool:
    return is_real(value) and abs(checked_real(value, "number")) < LARGEST


def _is_pair(value: Any) -> bool:
    return isinstance(value, Sequence) and len(value) == 2


@dataclass(frozen=True)
class Grid:
    """A frame as it was made.

    Attributes
    ----------
    wcs : gwcs.wcs.WCS
        With ``array_shape`` and ``bounding_box``.
    shape : (int, int)
        (Ny, Nx).
    crval : (float, float)
        Tangent point, degrees.
    crpix : (float, float)
        Its pixel, x and y from 0.
    rotation : float
        Position angle of +y at the tangent point, degrees.
    """

    wcs: Any
    shape: tuple[int, int]
    crval: tuple[float, float]
    crpix: tuple[float, float]
    rotation: float


def grid_around(
    footprints: Sequence[Footprint],
    scale: float,
    options: FrameOptions,
    reference_frame: Any,
    first: TangentPlane | None = None,
) -> Grid:
    """Make the frame that holds footprints.

    Parameters
    ----------
    footprints : sequence of Footprint
        The first one is what ``rotation=None`` refers to.
    scale : float
        Arcsec.
    options : FrameOptions
        The other knobs.
    reference_frame : astropy frame
        Of the sky coordinates.
    first : TangentPlane, optional
        The grid of the first exposure, if that is kept (see `kept_grid`).

    Raises
    ------
    ValueError
        No tangent plane holds them, or the frame that was asked for lies beside them.
    """
    plane = _plane(footprints, scale, options, reference_frame, first)
    crval, matrix = plane.crval, plane.matrix
    edges = np.concatenate([footprint.edge for footprint in footprints])
    places = world_to_pixel(tangent_wcs(crval, (0.0, 0.0), matrix, None, reference_frame))(*angles(edges))
    lowest, highest = ([float(end(v)) for v in places] for end in (np.min, np.max))
    if options.crpix is not None:
        crpix = float(options.crpix[0]), float(options.crpix[1])
    elif options.align == "footprint":
        crpix = -lowest[0], -lowest[1]
    else:
        crpix = _beginning(lowest[0], plane.crpix[0]), _beginning(lowest[1], plane.crpix[1])
    first_pixel, last = ([v + c for v, c in zip(ends, crpix, strict=True)] for ends in (lowest, highest))
    if options.output_shape is None:
        nx, ny = (max(1, math.ceil(v + 0.5 - ROUNDING)) for v in last)
    else:
        nx, ny = map(int, options.output_shape)
    if min(last) < -0.5 or first_pixel[0] > nx - 0.5 or first_pixel[1] > ny - 0.5:
        raise ValueError(
            f"The frame lies beside the exposures, which would be in its pixels {first_pixel[0]:.0f} to {last[0]:.0f} "
            f"in x and {first_pixel[1]:.0f} to {last[1]:.0f} in y: change 'crpix', 'crval' or 'output_shape'."
        )
    rotation = _rotation(plane) if options.rotation is None else float(options.rotation)
    return Grid(tangent_wcs(crval, crpix, matrix, (ny, nx), reference_frame), (ny, nx), crval, crpix, rotation)


def _beginning(lowest: float, phase: float) -> float:
    """Pixel of the tangent point in a frame whose first pixel is the first that is reached.

    Parameters
    ----------
    lowest : float
        Where outlines begin, in pixels from the tangent point.
    phase : float
        The tangent point in some other frame of the same pixels.
    """
    return phase - math.floor(lowest + phase + 0.5 + ROUNDING)


def _plane(
    footprints: Sequence[Footprint],
    scale: float,
    options: FrameOptions,
    reference_frame: Any,
    first: TangentPlane | None,
) -> TangentPlane:
    """Tangent point and matrix of a frame, and some pixel that the tangent point may have."""
    if first is not None:
        return first
    if options.crval is not None:
        crval = float(options.crval[0]) % 360.0, float(options.crval[1])
    else:
        # The middle of the unit vectors' ranges, which depends on the outlines alone and not on how densely the sky is
        # covered.
        edges = np.concatenate([footprint.edge for footprint in footprints])
        lon, lat = angles(0.5 * (edges.min(axis=0) + edges.max(axis=0)))
        crval = float(lon), float(lat)
    north_up = tangent_wcs(crval, (0.0, 0.0), _matrix(scale, 0.0), None, reference_frame)
    _check_reach(footprints, north_up, options.crval is not None)
    rotation = options.rotation
    if rotation is None:
        (x0, x1), (y0, y1) = world_to_pixel(north_up)(*angles(np.stack([footprints[0].centre, footprints[0].above])))
        rotation = math.degrees(math.atan2(x0 - x1, y1 - y0))
    return TangentPlane(crval, (0.0, 0.0), _matrix(scale, rotation))


def kept_grid(
    plane: TangentPlane, footprints: Sequence[Footprint], scale: float, options: FrameOptions
) -> TangentPlane | None:
    """The grid of an exposure as a frame has it, if the frame's pixels are those of the exposure.

    Parameters
    ----------
    plane : TangentPlane
        The exposure's; it may be turned by right angles, or mirrored.
    footprints : sequence of Footprint
        All that the frame must hold.
    scale : float
        Of the frame, arcsec.
    options : FrameOptions
        What else is wanted of it.
    """
    if options.align != "first" or options.crpix is not None:
        return None
    point = vectors(*np.array(plane.crval))
    if options.crval is not None:
        away = float(separation(vectors(*np.array(options.crval)), point))
        if away > ROUNDING * scale / 3600.0:
            return None
    if max(float(separation(footprint.edge, point).max()) for footprint in footprints) >= FAR:
        return None
    wanted = _matrix(scale, _rotation(plane) if options.rotation is None else options.rotation)
    grids = (plane.turned(turn) for turn in TURNS)
    same = SAME_GRID * scale / 3600.0
    return next((grid for grid in grids if np.abs(grid.matrix - wanted).max() <= same), None)


def _rotation(plane: TangentPlane) -> float:
    """Position angle of +y, degrees."""
    return math.degrees(math.atan2(plane.matrix[0, 1], plane.matrix[1, 1]))


def tangent_wcs(
    crval: Sequence[float],
    crpix: Sequence[float],
    matrix: np.ndarray,
    shape: tuple[int, int] | None,
    reference_frame: Any,
    distortion: Any = None,
) -> Any:
    """Make a gwcs of a tangent plane.

    Parameters
    ----------
    crval : (float, float)
        Tangent point, degrees.
    crpix : (float, float)
        Its pixel, x and y from 0.
    matrix : ndarray (2, 2)
        Pixels to degrees east and north in the plane.
    shape : (int, int) or None
        (Ny, Nx); sets ``array_shape`` and ``bounding_box``.
    reference_frame : astropy frame
        Of the sky coordinates.
    distortion : astropy.modeling.Model, optional
        What pixels go through before the matrix, counted from ``crpix``. Without it the inverse is analytic.

    Returns
    -------
    gwcs.wcs.WCS
    """
    import gwcs
    from astropy import units
    from astropy.modeling import models
    from gwcs import coordinate_frames

    transform = models.Shift(-float(crpix[0])) & models.Shift(-float(crpix[1]))
    if distortion is not None:
        transform = transform | distortion
    transform = (
        transform
        | models.AffineTransformation2D(matrix=np.asarray(matrix, dtype=float))
        | models.Pix2Sky_TAN()
        # A TAN frame has its native pole at the reference point: LONPOLE is 180 deg.
        | models.RotateNative2Celestial(float(crval[0]), float(crval[1]), 180.0)
    )
    detector = coordinate_frames.Frame2D(name="detector", axes_names=("x", "y"), unit=(units.pix, units.pix))
    sky = coordinate_frames.CelestialFrame(name="world", reference_frame=reference_frame, unit=(units.deg, units.deg))
    wcs = gwcs.WCS([(detector, transform), (sky, None)])
    if shape is not None:
        wcs.array_shape = shape
        wcs.bounding_box = ((-0.5, shape[1] - 0.5), (-0.5, shape[0] - 0.5))
    return wcs


def _matrix(scale: float, rotation: float) -> np.ndarray:
    """Pixels to degrees east and north, with +y at a position angle and +x a quarter turn to the west of it."""
    c, s = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    return scale / 3600.0 * np.array([[-c, s], [s, c]])


def farthest(footprints: Sequence[Footprint]) -> tuple[Footprint, Footprint, float]:
    """Two exposures that lie far apart, and the degrees between their middles.

    They are the farthest from each other in any arrangement that has two ends; in any other, nearly.
    """
    centres = np.stack([footprint.centre for footprint in footprints])
    one = int(np.argmax(separation(centres, centres[0])))
    other = int(np.argmax(separation(centres, centres[one])))
    one, other = min(one, other), max(one, other)
    return footprints[one], footprints[other], float(separation(centres[one], centres[other]))


def _check_reach(footprints: Sequence[Footprint], wcs: Any, crval_given: bool) -> None:
    """Refuse exposures too far from the tangent point."""
    crval = wcs(0.0, 0.0)
    away = [float(separation(footprint.edge, vectors(*crval)).max()) for footprint in footprints]
    if max(away) <= FAR:
        return
    worst = footprints[int(np.argmax(away))]
    if crval_given:
        raise ValueError(
            f"{worst.name} reaches to {max(away):.0f} degrees from 'crval', ({crval[0]:.4f}, {crval[1]:.4f}), and a "
            f"tangent plane is of use to {FAR:.0f}. Give a 'crval' nearer to the exposures, or none."
        )
    one, other, apart = farthest(footprints)
    raise ValueError(
        f"{one.name} and {other.name} are {apart:.0f} degrees apart on the sky: no tangent plane holds both. Make a "
        "mosaic of each part of the sky, or give 'output_wcs'."
    )

"""Which pixels of an exposure lie within others: outlines, brought into its pixels over the sky, and filled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gpures.box import Box
from gpures.errors import UnsupportedWCSError
from gpures.wcs.footprint import Footprint, Way, footprint_by
from gpures.wcs.sky_systems import ICRS, SkySystem, are_the_same, conversion_between
from gpures.wcs.sphere import angles, separation, vectors
from gpures.wcs.transforms import axes_type, is_imaging, pixel_to_world, world_axes, world_to_pixel

__all__ = ["Place", "Regions", "common_sky", "filled", "neighbours", "place_by", "place_of", "rows_of", "united"]

# Degrees from the middle of an exposure to its farthest corner, at most: of two that overlap no point may lie beside
# the tangent plane of the other.
WIDEST = 25.0

# How far around an array its inverse is asked, in parts of its size. Beyond, a plane is near enough: no edge leads from
# there to a pixel.
AROUND = 0.25

# Pixels by which a position may miss itself on its way to pixels and back, before a plane is tried.
RETURNS = 0.01

# Rows, first pixels, and ends (exclusive), of parts of an image, int32 (n, 3).
Regions = np.ndarray


@dataclass(frozen=True)
class Place:
    """Where an exposure lies on the sky, and the way from there to its pixels.

    Attributes
    ----------
    footprint : Footprint
        Its outline.
    limits : Box
        Those of its pixels that are used.
    forward, backward : callable
        Pixels to longitude and latitude in the system of the outlines, degrees, and back.
    """

    footprint: Footprint
    limits: Box
    forward: Way
    backward: Way

    @cached_property
    def plane(self) -> tuple[np.ndarray, np.ndarray]:
        """Axes (3, 3) of its tangent plane, and the affine map (3, 2) from there to its pixels.

        That is fitted to the edges of its array: a distortion moves pixels beside it by more, but by none that would
        bring them into it.
        """
        centre = self.footprint.centre
        aside = np.eye(3)[np.argmin(np.abs(centre))]
        east = np.cross(aside, centre)
        east /= np.linalg.norm(east)
        axes = np.stack([east, np.cross(centre, east), centre])
        x, y = (grid.ravel() for grid in np.meshgrid(*_ticks(self.limits)))
        known = vectors(*self.forward(x, y))
        good = np.isfinite(known).all(axis=1)
        affine, *_ = np.linalg.lstsq(_on_plane(known[good], axes), np.stack([x, y], axis=1)[good], rcond=None)
        return axes, affine

    def pixels_of(self, directions: np.ndarray) -> np.ndarray:
        """Pixels (n, 2) of directions, good near the array.

        Inverses of distortions are good near their array alone, and anything elsewhere: they are taken for what they
        are there, as far as they lead back to where they came from.

        Parameters
        ----------
        directions : ndarray of float64 (n, 3)
            Unit vectors, in the system of the outlines.
        """
        axes, affine = self.plane
        pixels = _on_plane(directions, axes) @ affine
        low, high = np.array(self.limits, float).reshape(2, 2).T
        margin = AROUND * (high - low + 1) + 1.0
        near = np.flatnonzero(((pixels > low - margin) & (pixels < high + margin)).all(axis=1))
        if near.size:
            pixels[near] = self._inverse(directions[near], pixels[near])
        return pixels

    def _inverse(self, directions: np.ndarray, instead: np.ndarray) -> np.ndarray:
        """Pixels of directions by the WCS, or those of a plane where they are better."""
        with np.errstate(all="ignore"):
            found = np.stack(self.backward(*angles(directions)), axis=1)
            miss = self._miss(found, directions)
            far = np.flatnonzero(~(miss <= RETURNS))
            if far.size:
                worse = ~(miss[far] <= self._miss(instead[far], directions[far]))
                found[far[worse]] = instead[far[worse]]
        return found

    def _miss(self, pixels: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """How far from directions pixels lie, in pixels of the array's middle; infinite where nobody knows."""
        _, affine = self.plane
        scale = np.degrees(1.0 / np.sqrt(abs(np.linalg.det(affine[:2]))))
        miss = separation(vectors(*self.forward(*pixels.T)), directions) / scale
        return np.where(np.isfinite(miss), miss, np.inf)


def _ticks(limits: Box) -> tuple[np.ndarray, np.ndarray]:
    """Places along both axes of an array, from half a pixel inside of its edges."""
    return np.linspace(limits.xmin, limits.xmax, 5), np.linspace(limits.ymin, limits.ymax, 5)


def _on_plane(directions: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Coordinates (n, 2) on a tangent plane, and ones."""
    along = directions @ axes.T
    return np.column_stack([along[:, :2] / along[:, 2:], np.ones(len(along))])


def common_sky(wcs: Sequence[Any]) -> SkySystem | None:
    """System of sky coordinates for WCS: theirs, or ICRS where they have several.

    Parameters
    ----------
    wcs : sequence of gwcs.wcs.WCS or astropy.wcs.WCS
        Of the exposures.
    """
    told = [sky for one in wcs if (sky := world_axes(one).sky) is not None]
    if not told:
        return None
    return told[0] if all(are_the_same(told[0], sky) for sky in told) else ICRS


def place_of(name: str, wcs: Any, limits: Box, sky: SkySystem | None) -> Place:
    """Where an exposure lies.

    Parameters
    ----------
    name : str
        What it is called in errors.
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        Its WCS.
    limits : Box
        Those of its pixels that are used.
    sky : SkySystem or None
        System of the outlines, as `common_sky` gives it.

    Raises
    ------
    ValueError
        The WCS is not one of an image, finite nowhere along the edges, in a system that can't be converted, or the
        exposure is too wide.
    """
    if not is_imaging(wcs):
        raise ValueError(f"{name}: its WCS must be that of an image of the sky, got the axes {axes_type(wcs)}.")
    try:
        forward, backward = pixel_to_world(wcs, sky), world_to_pixel(wcs)
        convert = conversion_between(sky, world_axes(wcs).sky)
    except UnsupportedWCSError as error:
        raise ValueError(f"{name}: {error}") from error

    def to_sky(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        lon, lat = forward(x, y)
        return lon, lat

    def to_pixels(lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = backward(*((lon, lat) if convert is None else convert(lon, lat)))
        return x, y

    return place_by(name, to_sky, to_pixels, limits)


def place_by(name: str, forward: Way, backward: Way, limits: Box) -> Place:
    """Where an exposure lies of which only the ways to the sky and back are known.

    Parameters
    ----------
    name : str
        What it is called in errors.
    forward, backward : callable
        Pixels to longitude and latitude in degrees, and back.
    limits : Box
        Those of its pixels that are used.

    Raises
    ------
    ValueError
        It is finite nowhere along the edges, or too wide.
    """
    footprint = footprint_by(name, forward, limits)
    if not footprint.radius <= WIDEST:
        raise ValueError(
            f"{name}: the sky is matched between exposures that are up to {2 * WIDEST:g} degrees wide, and this one "
            f"reaches {footprint.radius:.4g} degrees from its middle."
        )
    return Place(footprint, limits, forward, backward)


def neighbours(footprints: Sequence[Footprint]) -> list[list[int]]:
    """Of each exposure those that may overlap it, by their middles and radii, without itself.

    Parameters
    ----------
    footprints : sequence of Footprint
        Of all exposures.
    """
    from scipy.spatial import cKDTree  # which few need

    centres = np.stack([footprint.centre for footprint in footprints])
    radii = np.radians([footprint.radius for footprint in footprints])
    # A chord is shorter than its arc, and by so much more the longer it is.
    found = cKDTree(centres).query_ball_point(centres, 2.0 * np.sin(0.5 * (radii + radii.max())) + 1e-12)
    near = []
    for k, those in enumerate(found):
        others = np.array([other for other in sorted(those) if other != k], int)
        apart = np.radians(separation(centres[others], centres[k]))
        near.append(others[apart <= radii[others] + radii[k] + 1e-12].tolist())
    return near


def rows_of(limits: Box) -> Regions:
    """All pixels of a part of an image.

    Parameters
    ----------
    limits : Box
        The part.
    """
    rows = np.arange(limits.ymin, limits.ymax + 1)
    return np.stack([rows, np.full_like(rows, limits.xmin), np.full_like(rows, limits.xmax + 1)], 1).astype(np.int32)


def filled(polygon: np.ndarray, limits: Box) -> Regions:
    """Pixels whose centres lie within a polygon, which may be any: where outlines cross, what is inside alternates.

    Of two polygons that touch along an edge, one has the pixels whose centres lie on it.

    Parameters
    ----------
    polygon : ndarray of float64 (n, 2)
        Its corners, pixels.
    limits : Box
        Pixels that count.
    """
    begin, end = polygon, np.roll(polygon, -1, axis=0)
    low = np.ceil(np.minimum(begin[:, 1], end[:, 1])).clip(limits.ymin, limits.ymax + 1).astype(int)
    high = np.ceil(np.maximum(begin[:, 1], end[:, 1])).clip(limits.ymin, limits.ymax + 1).astype(int)
    edge = np.repeat(np.arange(len(polygon)), high - low)
    if not edge.size:
        return np.empty((0, 3), np.int32)
    first = np.cumsum(high - low) - (high - low)
    row = low[edge] + np.arange(edge.size) - first[edge]
    (x0, y0), (x1, y1) = begin[edge].T, end[edge].T
    x = x0 + (row - y0) / (y1 - y0) * (x1 - x0)
    order = np.lexsort((x, row))
    across = np.ceil(x[order]).clip(limits.xmin, limits.xmax + 1).reshape(-1, 2)
    spans = np.column_stack([row[order][::2], across]).astype(np.int32)
    return spans[spans[:, 1] < spans[:, 2]]


def united(regions: Iterable[Regions]) -> Regions:
    """Pixels that any of several regions has, each once.

    Parameters
    ----------
    regions : iterable of ndarray of int32 (n, 3)
        The regions.
    """
    parts = [region for region in regions if len(region)]
    if len(parts) < 2:
        return parts[0] if parts else np.empty((0, 3), np.int32)
    spans = np.concatenate(parts).astype(np.int64)
    row, first, end = spans[np.lexsort((spans[:, 1], spans[:, 0]))].T
    # In one row of numbers for all rows, so that the farthest end so far is one of the same row.
    width = int(end.max()) + 1
    first, end = row * width + first, row * width + end
    reach = np.maximum.accumulate(end)
    begins = np.flatnonzero(np.concatenate([[True], first[1:] > reach[:-1]]))
    ends = np.maximum.reduceat(end, begins)
    return np.stack([row[begins], first[begins] % width, ends - row[begins] * width], axis=1).astype(np.int32)

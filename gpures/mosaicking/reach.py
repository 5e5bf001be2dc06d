"""Which exposures reach an output frame; the others need not be read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpures.box import Box
from gpures.wcs.footprint import Footprint
from gpures.wcs.sphere import angles, separation, vectors
from gpures.wcs.transforms import pixel_to_world, world_to_pixel

__all__ = ["all_beside", "boxes", "filled_rows", "reaching"]

# Degrees by which a position may miss itself on its way to an output pixel and back. A tangent plane, for one, has the
# opposite half of the sky in the same pixels.
RETURNS = 1e-3

# Points per axis of a frame, where an exposure is looked for the other way.
POINTS = 9

# Cells along either axis in which the filled part of a frame is told, and the part of a row of them that counts as all.
CELLS, FILLED = 64, 0.6

# A drop's reach from its pixel's middle, input pixels, rounded up (Lanczos of order 3).
REACH = 4.0


def reaching(footprints: Sequence[Footprint], wcs: Any, shape: tuple[int, int]) -> list[bool]:
    """Whether drops of exposures may fall into a frame, for each.

    Parameters
    ----------
    footprints : sequence of Footprint
        Of the exposures.
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        Output WCS.
    shape : (int, int)
        Shape (Ny, Nx) of the output frame.
    """
    forward, backward = pixel_to_world(wcs), world_to_pixel(wcs)
    grid = vectors(*forward(*np.meshgrid(*(np.linspace(-0.5, n - 0.5, POINTS) for n in shape[::-1]))))
    between = float(np.fmax.reduce(separation(grid[1:, 1:], grid[:-1, :-1]), axis=None))

    def reaches(footprint: Footprint) -> bool:
        points = np.concatenate([footprint.edge, footprint.centre[None], footprint.above[None]])
        x, y = backward(*angles(points))
        with np.errstate(invalid="ignore"):
            returns = separation(vectors(*forward(x, y)), points) < RETURNS
        # Some inverses end not far from their frame, and an exposure may reach all around it. At worst it is read.
        nearest = float(np.fmin.reduce(separation(grid, footprint.centre), axis=None))
        if not returns.all() and nearest < footprint.radius + between:
            return True
        if not returns.any():
            return False
        size = 2.0 * math.hypot(x[-1] - x[-2], y[-1] - y[-2])
        margin = 1.0 + REACH * (size if math.isfinite(size) else 1.0)
        return all(
            v[returns].min() < n - 0.5 + margin and v[returns].max() > -0.5 - margin
            for v, n in zip((x, y), shape[::-1], strict=True)
        )

    return [reaches(footprint) for footprint in footprints]


def boxes(footprints: Sequence[Footprint], wcs: Any, shape: tuple[int, int]) -> list[Box]:
    """Parts of a frame that exposures lie in, roughly: to know how many there are in a tile, before any is looked at.

    Parameters
    ----------
    footprints : sequence of Footprint
        Of the exposures.
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        Output WCS.
    shape : (int, int)
        Shape (Ny, Nx) of the output frame.
    """
    backward, frame = world_to_pixel(wcs), Box.whole(shape)
    found = []
    for footprint in footprints:
        x, y = backward(*angles(footprint.edge))
        if np.isfinite(x).all() and np.isfinite(y).all():
            # Within what numbers of pixels can be.
            low_x, high_x, low_y, high_y = np.clip([x.min(), x.max(), y.min(), y.max()], -1e9, 1e9)
            extent = Box(math.floor(low_x), math.ceil(high_x), math.floor(low_y), math.ceil(high_y))
            found.append(extent.grown(math.ceil(REACH)).common(frame))
        else:
            found.append(frame)
    return found


def filled_rows(found: Sequence[Box], shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Rows of a frame, the first and the last but one of each piece, most of which exposures lie in.

    Parameters
    ----------
    found : sequence of Box
        Where they lie: see `boxes`.
    shape : (int, int)
        Shape (Ny, Nx) of the frame.
    """
    edges_y, edges_x = (np.linspace(0, n, min(n, CELLS) + 1).astype(int) for n in shape)
    cells = np.zeros((len(edges_y) - 1, len(edges_x) - 1), bool)
    for box in found:
        rows, columns = (
            slice(*np.searchsorted(edges, (first, end)))
            for edges, first, end in ((edges_y, box.ymin, box.ymax + 1), (edges_x, box.xmin, box.xmax + 1))
        )
        cells[rows, columns] = True
    full = np.flatnonzero(np.diff(np.concatenate([[0], cells.mean(1) >= FILLED, [0]]).astype(int)))
    return [(int(edges_y[first]), int(edges_y[end])) for first, end in full.reshape(-1, 2)]


def all_beside(footprints: Sequence[Footprint], wcs: Any, shape: tuple[int, int]) -> str:
    """What is to be said where no exposure reaches the frame.

    Parameters
    ----------
    footprints : sequence of Footprint
        Of the exposures.
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        Output WCS.
    shape : (int, int)
        Shape (Ny, Nx) of the output frame.
    """
    middle = np.array([0.5 * (shape[1] - 1)]), np.array([0.5 * (shape[0] - 1)])
    centre = vectors(*pixel_to_world(wcs)(*middle))[0]
    away = [float(separation(footprint.centre, centre)) for footprint in footprints]
    nearest = int(np.argmin(away))
    return (
        f"None of the {len(footprints)} exposures reaches the output frame. The nearest to its middle is "
        f"{footprints[nearest].name}, {away[nearest]:.4g} degrees from there."
    )

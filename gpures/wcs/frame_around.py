"""The output WCS that is made around exposures, where none is given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gpures.wcs.footprint import Footprint
from gpures.wcs.frame import FrameOptions, grid_around, kept_grid
from gpures.wcs.sky_systems import SkySystem, are_the_same
from gpures.wcs.tangent_plane import tangent_plane_of
from gpures.wcs.transforms import ARCSEC_PER_RADIAN, compute_mean_pixel_area, world_axes

__all__ = ["made_wcs"]


def made_wcs(
    wcs: Any, shape: tuple[int, int], footprints: Sequence[Footprint], wanted: FrameOptions, sky: SkySystem | None
) -> tuple[dict[str, Any], float]:
    """Make an output WCS around exposures.

    Parameters
    ----------
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        Of the first exposure.
    shape : (int, int)
        Shape (Ny, Nx) of its image.
    footprints : sequence of Footprint
        Of all exposures, in the system ``sky``.
    wanted : FrameOptions
        What is wanted of the frame.
    sky : SkySystem or None
        System of its coordinates.

    Returns
    -------
    dict
        As `gpures.Resample` takes it.
    float
        Position angle of +y, degrees.

    Raises
    ------
    ValueError
        There is no such frame.
    """
    name = footprints[0].name
    if sky is None or sky.frame is None:
        system = "unknown coordinates" if sky is None else sky.name
        raise ValueError(f"{name}: no frame can be made in {system}. Give 'output_wcs'.")
    plane = tangent_plane_of(wcs, shape) if are_the_same(world_axes(wcs).sky, sky) else None
    scale = wanted.pixel_scale
    if plane is not None:
        own = 3600.0 * plane.scale
        kept = kept_grid(plane, footprints, wanted.pixel_scale_ratio * own if scale is None else scale, wanted)
        if kept is not None:
            grid = grid_around(footprints, own, wanted, sky.frame, kept)
            return {
                "wcs": grid.wcs,
                "pixel_scale": own if scale is None else scale,
                "pixel_scale_ratio": 1.0,
            }, grid.rotation
    # The root of the pixels' mean area, as the JWST pipeline has it where an output scale is given.
    area = compute_mean_pixel_area(wcs, shape=shape)
    native = ARCSEC_PER_RADIAN * math.sqrt(area) if area else None
    if scale is None:
        if native is None:
            raise ValueError(f"{name}: the area of its pixels can't be computed: give 'pixel_scale'.")
        scale = wanted.pixel_scale_ratio * native
    grid = grid_around(footprints, scale, wanted, sky.frame)
    ratio = None if native is None else scale / native
    return {"wcs": grid.wcs, "pixel_scale": scale, "pixel_scale_ratio": ratio}, grid.rotation

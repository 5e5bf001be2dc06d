"""The output WCS of a mosaic: the one that was given, or one made around the exposures."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gpures.machine.prefetch import interruptible
from gpures.mosaicking.frame import FrameOptions, grid_around, kept_grid
from gpures.mosaicking.sources import Source
from gpures.wcs.footprint import Footprint
from gpures.wcs.sky_systems import SkySystem, are_the_same
from gpures.wcs.tangent_plane import tangent_plane_of
from gpures.wcs.transforms import ARCSEC_PER_RADIAN, checked_wcs, compute_mean_pixel_area, world_axes

__all__ = ["given_wcs", "made_wcs"]


def given_wcs(output_wcs: Any, wanted: FrameOptions) -> dict[str, Any]:
    """Output WCS that was given, in the form that `gpures.Resample` takes."""
    unused = FrameOptions(output_shape=wanted.output_shape)
    if wanted != unused:
        names = [name for name in vars(wanted) if getattr(wanted, name) != getattr(unused, name)]
        raise ValueError(f"'output_wcs' has its own frame: '{names[0]}' can't be given beside it.")
    if isinstance(output_wcs, (str, os.PathLike)):
        from gpures import io

        output_wcs = interruptible(partial(io.read_wcs, Path(output_wcs)))
    result = dict(output_wcs) if isinstance(output_wcs, Mapping) else {"wcs": output_wcs}
    if result.get("wcs") is None:
        raise ValueError(
            f"'output_wcs' must be a WCS, a file with one, or a dict with one under 'wcs', got {output_wcs}."
        )
    checked_wcs(result["wcs"], "output_wcs")
    if wanted.output_shape is not None:
        from copy import deepcopy

        result["wcs"] = deepcopy(result["wcs"])
        nx, ny = wanted.output_shape
        result["wcs"].array_shape = (int(ny), int(nx))
    return result


def made_wcs(
    sources: Sequence[Source], footprints: Sequence[Footprint], wanted: FrameOptions, sky: SkySystem | None
) -> tuple[dict[str, Any], float]:
    """Make an output WCS around exposures.

    Parameters
    ----------
    sources : sequence of Source
        The exposures.
    footprints : sequence of Footprint
        Of each, in the system ``sky``.
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
    first = sources[0]
    if sky is None or sky.frame is None:
        system = "unknown coordinates" if sky is None else sky.name
        raise ValueError(f"{first.name}: no frame can be made in {system}. Give 'output_wcs'.")
    plane = tangent_plane_of(first.wcs, first.shape) if are_the_same(world_axes(first.wcs).sky, sky) else None
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
    area = compute_mean_pixel_area(first.wcs, shape=first.shape)
    native = ARCSEC_PER_RADIAN * math.sqrt(area) if area else None
    if scale is None:
        if native is None:
            raise ValueError(f"{first.name}: the area of its pixels can't be computed: give 'pixel_scale'.")
        scale = wanted.pixel_scale_ratio * native
    grid = grid_around(footprints, scale, wanted, sky.frame)
    ratio = None if native is None else scale / native
    return {"wcs": grid.wcs, "pixel_scale": scale, "pixel_scale_ratio": ratio}, grid.rotation

"""How far the drops of exposures reach, before an image is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpures.backend.base import largest_drop
from gpures.box import Box
from gpures.exposure.drops import sizing_ratio
from gpures.exposure.exposure import Exposure
from gpures.exposure.options import Options
from gpures.exposure.pixmap import calc_pixmap
from gpures.exposure.weights import Weight
from gpures.wcs.seams import period_of
from gpures.wcs.transforms import world_to_pixel

__all__ = ["planned_lag"]

# Exposures that are looked at, of as many as there are.
LOOKED_AT = 4


def planned_lag(options: Options, sources: Sequence[Any], output_wcs: Mapping[str, Any], shape: tuple[int, int]) -> int:
    """Longest lag of pairs of output pixels that a few of the exposures contribute to.

    Parameters
    ----------
    options : gpures.exposure.options.Options
        What the resampling is set to.
    sources : sequence of Source
        The exposures.
    output_wcs : mapping
        The output WCS under ``"wcs"``, and what is known of its scale.
    shape : (int, int)
        Shape (Ny, Nx) of the output frame.
    """
    # The first may have the frame's own grid, which no other one has.
    few = sources[:: -(-len(sources) // LOOKED_AT)] if sources else ()
    return max((_lag_of(source, options, output_wcs, shape) for source in few), default=0)


def _lag_of(source: Any, options: Options, output_wcs: Mapping[str, Any], shape: tuple[int, int]) -> int:
    wcs = output_wcs["wcs"]
    pixmap = calc_pixmap(source.wcs, world_to_pixel(wcs), source.shape, tolerance=1e-3, period=period_of(wcs))
    limits = Box.whole(source.shape)
    given = output_wcs.get("pixel_scale_ratio")
    ratio = sizing_ratio(given, options.drop, lambda: pixmap.mean_scale_ratio(shape, limits))
    exposure = Exposure(None, pixmap, Weight(), limits, pixfrac=options.pixfrac, pixel_scale_ratio=ratio)
    return largest_drop(exposure, options.drop, shape)

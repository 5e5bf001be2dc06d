"""Files into which a mosaic goes part by part."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np

from gpures.arguments.arrays import as_host
from gpures.box import Box
from gpures.io.context import spread
from gpures.io.fits_parts import FITSMosaic
from gpures.io.writer import is_zarr_name
from gpures.mosaicking import tiling
from gpures.mosaicking.plan import Plan

__all__ = ["Store", "opened_store", "write_tile"]

CONTEXT = "con"


class Store(Protocol):
    """A mosaic's file that is being written. A context manager: what is not finished is discarded."""

    def __enter__(self) -> Self:
        """The same."""

    def __exit__(self, *_: object) -> None:
        """Discard what is not finished."""

    def write(self, name: str, box: Box, array: Any) -> None:
        """Write a part of an image."""

    def write_plane(self, name: str, plane: int, box: Box, array: Any) -> None:
        """Write a part of one plane of an image."""

    def write_overview(self, box: Box, images: Mapping[str, Any]) -> None:
        """Make what an overview has of one part alone, that was written; of its images the context may be missing."""

    def write_empty(self, box: Box) -> None:
        """Write a part of all images in which nothing is."""

    def renumber(self, numbers: Sequence[int]) -> None:
        """Have these exposures alone in the context, in this order."""

    def finish(
        self,
        facts: Mapping[str, Any],
        *,
        unit: str | None = None,
        exposures: Sequence[Any] = (),
        header: Mapping[str, Any] | None = None,
        history: Sequence[str] = (),
    ) -> None:
        """Write what is told of the mosaic, and give the file its name."""


def write_tile(store: Store, tile: Box, images: Mapping[str, Any], numbers: Sequence[int]) -> None:
    """Write the images of a tile.

    Parameters
    ----------
    store : Store
        Where they go.
    tile : Box
        The part of the frame.
    images : mapping
        By name; the context has bits of the exposures that reach the tile.
    numbers : sequence of int
        Which of all exposures these are.
    """
    for name, image in images.items():
        if name == CONTEXT:
            for plane, bits in spread(as_host(image), numbers).items():
                store.write_plane(name, plane, tile, bits)
        else:
            store.write(name, tile, image)
    store.write_overview(tile, {name: image for name, image in images.items() if name != CONTEXT})


def opened_store(plan: Plan, blank: Mapping[str, np.generic], **told: Any) -> Store:
    """The file of a mosaic that is made in tiles.

    Parameters
    ----------
    plan : gpures.mosaicking.plan.Plan
        With a path that ends in .fits or .zarr.
    blank : mapping
        Of each image a pixel in which nothing is.
    **told
        What is known by now of what `Store.finish` will be told.
    """
    assert plan.path is not None
    planes = {name: pixel.dtype for name, pixel in blank.items()}
    context_planes = math.ceil((plan.total or 1) / 32) if "con" in blank else 0
    if is_zarr_name(plan.path):
        from gpures.io.zarr_writer import ZarrMosaic, folder_for

        place = folder_for(plan.path, plan.overwrite)
        return ZarrMosaic(place, plan.shape, planes, plan.in_fits, tiling.GRAIN, blank, context_planes, plan.tiles)
    return FITSMosaic(
        plan.path,
        plan.shape,
        planes,
        plan.in_fits,
        fill=blank,
        context_planes=context_planes,
        overwrite=plan.overwrite,
        told=told,
    )

"""Exposures as a mosaic's table has them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from gpures.errors import UnsupportedWCSError
from gpures.io.exposures import ExposureRecord
from gpures.mosaicking.content import Content
from gpures.mosaicking.filters import filter_of
from gpures.mosaicking.headers import times_of
from gpures.mosaicking.sources import Source
from gpures.wcs.sky_systems import ICRS, conversion_between
from gpures.wcs.transforms import axes_type, pixel_to_world, world_axes

__all__ = ["extension_of", "outline_of", "record_of"]


def record_of(source: Source, model: Mapping[str, Any], digest: str, content: Content | None) -> ExposureRecord:
    """What is told of an exposure in a mosaic.

    Parameters
    ----------
    source : Source
        The exposure.
    model : mapping
        As it was read.
    digest : str
        SHA-256 of its file.
    content : gpures.mosaicking.content.Content or None
        What there is in it.
    """
    header = source.header
    start, end = times_of(header, model.get("start_time"), model.get("end_time"))
    return ExposureRecord(
        name=source.name,
        digest=digest,
        extension=extension_of(source),
        group=str(model.get("group_id")),
        start=start,
        end=end,
        exposure_time=source.exposure_time if math.isfinite(source.exposure_time) else None,
        filter=filter_of(header),
        unit=source.unit or "",
        footprint=outline_of(source.wcs, source.shape),
        used=None if content is None else content.used,
        weight=None if content is None or not math.isfinite(content.weight) else content.weight,
    )


def extension_of(source: Source) -> str:
    """The image in a file, such as ``SCI,2``; nothing where a file has one alone, or of a model.

    Parameters
    ----------
    source : Source
        The exposure.
    """
    found = re.search(r"\[([^\[\]]*)\]$", source.name)
    return found[1] if found and source.kind != "model" else ""


def outline_of(wcs: Any, shape: tuple[int, int]) -> str:
    """Corners of an image on the sky, as the keyword S_REGION has them; nothing where they are not finite.

    Parameters
    ----------
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        Its WCS.
    shape : (int, int)
        Shape (Ny, Nx).
    """
    if list(axes_type(wcs)) != ["SPATIAL", "SPATIAL"]:
        return ""
    ny, nx = shape
    x, y = np.array([0, nx, nx, 0]) - 0.5, np.array([0, 0, ny, ny]) - 0.5
    longitude, latitude = pixel_to_world(wcs)(x, y)
    if not np.isfinite([longitude, latitude]).all():
        return ""
    try:
        convert = conversion_between(world_axes(wcs).sky, ICRS)
    except UnsupportedWCSError:  # such as frames that need to know where on the Earth, or when
        return ""
    if convert is not None:
        longitude, latitude = convert(longitude, latitude)
    corners = zip(np.mod(longitude, 360.0), latitude, strict=True)
    return "POLYGON ICRS " + " ".join(f"{lon:.8f} {lat:.8f}" for lon, lat in corners)

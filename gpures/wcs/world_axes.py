"""What the world coordinates of a WCS mean, so that they can be handed on whatever their order and units are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpures.wcs.sky_systems import SkySystem, system_of_frame

__all__ = ["WorldAxes", "axes_of_frame"]

# Names of axes, and ends of their physical types, that tell a longitude and a latitude.
LONGITUDES = ("ra", "lon", "longitude", "l", "right ascension")
LATITUDES = ("dec", "lat", "latitude", "b", "declination")


@dataclass(frozen=True)
class WorldAxes:
    """What the world coordinates of a WCS mean.

    Attributes
    ----------
    types : tuple of str
        Types of the axes in the order in which they are handed on: the two spatial ones first.
    order : tuple of int
        Where longitude, latitude and the others stand among the coordinates of the WCS.
    factors : tuple of float
        From the units of the WCS, in that order, to degrees and micrometres.
    sky : SkySystem or None
        System of the sky coordinates; None where the WCS does not say.
    """

    types: tuple[str, ...]
    order: tuple[int, ...]
    factors: tuple[float, ...]
    sky: SkySystem | None = None

    def by_meaning(self, own: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Coordinates as they are handed on, of those in the order and units of the WCS."""
        known = [own[k] if f == 1.0 else own[k] * f for k, f in zip(self.order, self.factors, strict=True)]
        return (*known, *own[len(known) :])  # what comes after the frame's axes is no coordinate

    def of_the_wcs(self, known: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Coordinates in the order and units of the WCS, of those that are handed on."""
        own = list(known)
        for k, f, values in zip(self.order, self.factors, known, strict=False):
            own[k] = values if f == 1.0 else values / f
        return tuple(own)


def axes_of_frame(frame: Any, physical_types: Sequence[Any] | None = None) -> WorldAxes:
    """What the world coordinates of a gwcs mean, by its output frame.

    Longitude and latitude are told apart by ``axes_order`` of the celestial frame, and where that is the default by the
    axes' names and physical types.

    Parameters
    ----------
    frame : gwcs.coordinate_frames.CoordinateFrame
        Or what has its ``axes_type``.
    physical_types : sequence of str or None, optional
        Of the world axes.
    """
    types = tuple(frame.axes_type)
    spatial = tuple(k for k, kind in enumerate(types) if kind == "SPATIAL")
    sky = None
    for part in getattr(frame, "frames", (frame,)):
        order = tuple(getattr(part, "axes_order", spatial))
        if len(order) == 2 and set(order) <= set(spatial):
            swapped = order[0] > order[1]
            spatial = order if swapped or not _latitude_is_first(part, order, physical_types) else order[::-1]
            sky = system_of_frame(getattr(part, "reference_frame", None))
            break
    order = (*spatial, *(k for k in range(len(types)) if k not in spatial))
    units = getattr(frame, "unit", None) or (None,) * len(types)
    return WorldAxes(tuple(types[k] for k in order), order, tuple(_factor(units[k]) for k in order), sky)


def _latitude_is_first(frame: Any, order: tuple[int, ...], physical_types: Sequence[Any] | None) -> bool:
    """Whether names or physical types of a frame's two axes say so."""
    told = [tuple(getattr(frame, "axes_names", None) or ())]
    if physical_types is not None and len(physical_types) > max(order):
        told.append(tuple(str(physical_types[k]).rpartition(".")[2] for k in order))
    words = [tuple(str(word).lower() for word in pair) for pair in told if len(pair) == 2]
    return any(first in LATITUDES and second in LONGITUDES for first, second in words)


def _factor(unit: Any) -> float:
    """From a unit to degrees or micrometres; 1 of others."""
    if unit is None:
        return 1.0
    from astropy import units

    for known in (units.deg, units.um):
        if unit == known:
            return 1.0
        if unit.physical_type == known.physical_type:
            return float(unit.to(known))
    return 1.0

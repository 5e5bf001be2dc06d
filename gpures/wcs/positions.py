"""Positions on the sky, as a user gives them."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpures.wcs.transforms import celestial_frame, world_to_pixel

__all__ = ["pixel_at"]


def pixel_at(wcs: Any, position: Any) -> tuple[float, float]:
    """Pixel coordinates x and y of a position.

    Parameters
    ----------
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        Of an image.
    position : SkyCoord or (float, float)
        A pair is right ascension and declination in degrees, or whatever the world axes are.

    Raises
    ------
    TypeError, ValueError
        It is no position.
    """
    if hasattr(position, "icrs"):
        from astropy.coordinates import ICRS

        # A SkyCoord by itself would keep its equinox where the other one is the default.
        there = getattr(position, "frame", position).transform_to(celestial_frame(wcs) or ICRS()).spherical
        position = there.lon.deg, there.lat.deg
    x, y = (float(place[0]) for place in world_to_pixel(wcs)(*(np.array([float(v)]) for v in position)))
    return x, y

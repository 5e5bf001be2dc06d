"""A part of the sky, and the frame of its mosaic."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass

from astropy.wcs import WCS

from gpures.arguments.arrays import got
from gpures.arguments.values import is_real
from gpures.wcs.footprint import Footprint, footprint_of
from gpures.wcs.sky_systems import ICRS

__all__ = ["SkyCell"]


@dataclass(frozen=True)
class SkyCell:
    """A part of the sky, and the frame of its mosaic: a tangent plane in ICRS.

    Attributes
    ----------
    name : str
        What it is called.
    ra, dec : float
        Tangent point, degrees.
    nx, ny : int
        Pixels of the frame.
    pixel_scale : float
        Arcsec.
    rotation : float
        Position angle of +y at the tangent point, degrees from north to east.
    x, y : float or None
        Pixel of the tangent point, from 0, which may lie far outside of the frame; None for its middle.
    parity : int
        -1 where east is to the left of +y, as the sky is seen; 1 where it is to the right.

    Raises
    ------
    ValueError
        One of these is no such number.
    """

    name: str
    ra: float
    dec: float
    nx: int
    ny: int
    pixel_scale: float
    rotation: float = 0.0
    x: float | None = None
    y: float | None = None
    parity: int = -1

    def __post_init__(self) -> None:
        for name in ("nx", "ny"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
                raise ValueError(f"'{name}' of a sky cell must be a whole number of pixels, got {got(value)}.")
        for name in ("ra", "dec", "pixel_scale", "rotation", "x", "y"):
            value = getattr(self, name)
            if not (is_real(value) and math.isfinite(value)) and not (name in "xy" and value is None):
                raise ValueError(f"'{name}' of a sky cell must be a finite number, got {got(value)}.")
        if (self.x is None) != (self.y is None):
            raise ValueError(f"A sky cell has both of 'x' and 'y' or none, got {self.x!r} and {self.y!r}.")
        if self.pixel_scale <= 0:
            raise ValueError(f"'pixel_scale' of a sky cell must be above 0, got {got(self.pixel_scale)}.")
        if not -90 <= self.dec <= 90:
            raise ValueError(f"'dec' of a sky cell must be from -90 to 90 degrees, got {got(self.dec)}.")
        if self.parity not in (-1, 1):
            raise ValueError(f"'parity' of a sky cell must be -1 or 1, got {got(self.parity)}.")

    @property
    def wcs(self) -> WCS:
        """WCS of its frame."""
        scale, turn = self.pixel_scale / 3600.0, math.radians(self.rotation)
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.radesys = "ICRS"
        wcs.wcs.crval = self.ra, self.dec
        wcs.wcs.lonpole = 180.0  # at the pole as beside it, where FITS would have 0 there
        middle = (self.nx - 1) / 2, (self.ny - 1) / 2
        wcs.wcs.crpix = [
            (where if given is None else given) + 1 for given, where in zip((self.x, self.y), middle, strict=True)
        ]
        c, s = scale * math.cos(turn), scale * math.sin(turn)
        wcs.wcs.cd = [[self.parity * c, s], [-self.parity * s, c]]
        wcs.array_shape = self.ny, self.nx
        wcs.wcs.set()
        return wcs

    @property
    def footprint(self) -> Footprint:
        """Where it lies."""
        return footprint_of(self.name, self.wcs, (self.ny, self.nx), ICRS)

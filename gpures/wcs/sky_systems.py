"""Systems of sky coordinates: which one a WCS is in, and the way from one to another.

The conversions are astropy's. Most are turns of the sphere; those are found by three of its points and applied as a
matrix, for a million pixels in a tenth of a second. FK4 with its E-terms of aberration is not one, and goes through
astropy point by point.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpures.errors import UnsupportedWCSError
from gpures.wcs.sphere import angles, vectors

__all__ = [
    "ICRS",
    "Conversion",
    "SkySystem",
    "are_the_same",
    "conversion_between",
    "default_equinox",
    "name_by_equinox",
    "standard_name",
    "system_of_fits",
    "system_of_frame",
]

# Longitudes and latitudes in degrees of one system to those of another.
Conversion = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

# What differs by 0.02 arcsec at most, and what headers often confuse.
TAKEN_AS_ONE = {"ICRS", "FK5 (J2000)"}

# Names of RADESYS, and what some headers say in their place, without blanks and the like.
OLD = ("FK4", "FK4-NO-E")
STANDARD = ("ICRS", "FK5", *OLD)
ALIASES = {"J2000": "FK5", "FK5J2000": "FK5", "EQUATORIALJ2000": "FK5", "B1950": "FK4", "FK4B1950": "FK4"} | {
    "ICRSJ2000": "ICRS",
    "ICRF": "ICRS",
    "FK4NOE": "FK4-NO-E",
}

# Kinds of FITS axes, beside right ascension, that astropy has a frame for.
KINDS = {"GLON": "GALACTIC", "SLON": "SUPERGALACTIC", "ELON": "ECLIPTIC"}

# How far a turn may miss astropy's own result, radians: the rounding of both.
TURNS = 1e-14


@dataclass(frozen=True)
class SkySystem:
    """A system of sky coordinates. Two of one name are the same.

    Attributes
    ----------
    name : str
        Such as ``ICRS``, ``FK4 (B1950)``, ``GALACTIC``.
    make : callable or None
        Makes the astropy frame; None of what astropy has no frame for.
    """

    name: str
    make: Callable[[], Any] | None = field(default=None, compare=False)

    @property
    def frame(self) -> Any:
        """The astropy frame; None where there is none."""
        return None if self.make is None else self.make()


@dataclass(frozen=True)
class _Given:
    """A frame that is there already; a function that can be pickled and copied."""

    frame: Any

    def __call__(self) -> Any:
        return self.frame


@dataclass(frozen=True)
class _OfKeywords:
    """The frame that FITS keywords name, made when it is asked for: to import astropy's takes half a second."""

    kind: str
    equinox: float
    mjd: float

    def __call__(self) -> Any:
        from astropy import coordinates
        from astropy.time import Time

        if self.kind == "ICRS":
            return coordinates.ICRS()
        if self.kind == "GALACTIC":
            return coordinates.Galactic()
        if self.kind == "SUPERGALACTIC":
            return coordinates.Supergalactic()
        if self.kind == "ECLIPTIC":
            return coordinates.BarycentricMeanEcliptic(equinox=Time(self.equinox, format="jyear"))
        if self.kind == "FK5":
            return coordinates.FK5(equinox=Time(self.equinox, format="jyear"))
        # The FK4 system turns against others, by 0.4 arcsec in a century: it is that of the observation's date.
        # A minute between the scales of time is nothing here, and UTC is not defined for old plates.
        of_date = {} if math.isnan(self.mjd) else {"obstime": Time(self.mjd, format="mjd", scale="tt")}
        kind = coordinates.FK4 if self.kind == "FK4" else coordinates.FK4NoETerms
        return kind(equinox=Time(self.equinox, format="byear"), **of_date)


ICRS = SkySystem("ICRS", _OfKeywords("ICRS", math.nan, math.nan))


def standard_name(radesys: str) -> str | None:
    """The FITS standard's name for what a header calls its reference frame; None of what nobody knows.

    Parameters
    ----------
    radesys : str
        Value of RADESYS.
    """
    plain = radesys.strip().upper()
    return plain if plain in STANDARD else ALIASES.get(re.sub(r"[\W_]", "", plain.replace(".0", "")))


def name_by_equinox(equinox: float) -> str:
    """What RADESYS is where it is missing, by the FITS standard: FK4 or FK5, before 1984.0 or not, ICRS without.

    Parameters
    ----------
    equinox : float
        Value of EQUINOX; NaN where there is none.
    """
    if math.isnan(equinox):
        return "ICRS"
    return "FK4" if equinox < 1984.0 else "FK5"


def default_equinox(radesys: str) -> float:
    """What EQUINOX is where it is missing.

    Parameters
    ----------
    radesys : str
        The standard's name for the reference frame.
    """
    return 1950.0 if radesys in OLD else 2000.0


def system_of_fits(header: Any) -> SkySystem:
    """System of a `astropy.wcs.Wcsprm`, by the FITS standard's rules."""
    kind = header.lngtyp.strip().upper()
    system = standard_name(header.radesys) or header.radesys.strip().upper()
    equinox = header.equinox
    if not system:
        system = name_by_equinox(equinox)
    old = system in OLD
    if not math.isfinite(equinox):
        equinox = default_equinox(system)
    of_date = f" ({'B' if old else 'J'}{equinox:g})"
    if kind == "RA":
        known = old or system in ("FK5", "ICRS")
        make = _OfKeywords(system, equinox, header.mjdobs) if known else None
        return SkySystem(system + of_date if known and system != "ICRS" else system, make)
    name = KINDS.get(kind, kind)
    if name != "ECLIPTIC":
        return SkySystem(name, _OfKeywords(name, equinox, math.nan) if kind in KINDS else None)
    if old:  # of the old mean equator, which astropy's ecliptic is not made of
        return SkySystem(f"ECLIPTIC of {system}{of_date}")
    return SkySystem(name + of_date, _OfKeywords(name, equinox, math.nan))


def system_of_frame(frame: Any) -> SkySystem | None:
    """System of a gwcs's reference frame; None where there is none."""
    if frame is None:
        return None
    if isinstance(frame, str):
        return SkySystem(frame)
    name = str(frame.name).upper().replace("NOETERMS", "-NO-E")
    if name == "BARYCENTRICMEANECLIPTIC":
        name = "ECLIPTIC"
    if name in ("FK5", "ECLIPTIC"):
        name = f"{name} (J{frame.equinox.jyear:g})"
    elif name in OLD:
        name = f"{name} (B{frame.equinox.byear:g})"
    else:
        facts = {key: getattr(frame, key, None) for key in getattr(frame, "frame_attributes", {})}
        words = ", ".join(f"{key} {value}" for key, value in facts.items() if value is not None)
        name = f"{name} ({words})" if words else name
    return SkySystem(name, _Given(frame))


def are_the_same(one: SkySystem | None, other: SkySystem | None) -> bool:
    """Whether nothing is converted between two systems: of one name, ICRS and FK5 (J2000), and what tells none."""
    if one is None or other is None or one.name == other.name:
        return True
    return one.name in TAKEN_AS_ONE and other.name in TAKEN_AS_ONE


def conversion_between(one: SkySystem | None, other: SkySystem | None) -> Conversion | None:
    """What converts coordinates of one system to those of another; None where they are the same.

    Raises
    ------
    UnsupportedWCSError
        There is no way from one to the other that directions alone would tell.
    """
    if one is None or other is None or are_the_same(one, other):
        return None
    begin, end = one.frame, other.frame
    if begin is None or end is None:
        raise UnsupportedWCSError(f"Sky coordinates in {one.name} can't be converted to {other.name}.")
    general = _ByAstropy(begin, end)
    # Turned with the matrix of three points, others must be where astropy has them.
    points = vectors(np.array([0.0, 90.0, 0.0, 10.0, 130.0, 250.0]), np.array([0.0, 0.0, 90.0, 40.0, -60.0, 5.0]))
    try:
        there = vectors(*general(*angles(points)))
    except Exception as error:  # astropy's own, of frames that need a place, a distance, or a date
        reason = " ".join(str(error).split())
        raise UnsupportedWCSError(
            f"Sky coordinates in {one.name} can't be converted to {other.name}: {reason}"
        ) from error
    matrix = there[:3]
    if np.abs(points @ matrix - there).max() < TURNS and np.abs(matrix @ matrix.T - np.eye(3)).max() < TURNS:
        return _Turn(matrix)
    return general


@dataclass(frozen=True)
class _Turn:
    """A turn of the sphere, by a matrix with the images of three axes in its rows."""

    matrix: np.ndarray

    def __call__(self, lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(invalid="ignore"):
            return angles(vectors(lon, lat) @ self.matrix)


@dataclass(frozen=True)
class _ByAstropy:
    """astropy's conversion, between frames without data."""

    begin: Any
    end: Any

    def __call__(self, lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from astropy import units
        from astropy.coordinates import UnitSphericalRepresentation

        with np.errstate(invalid="ignore"):
            lon, lat = angles(vectors(lon, lat))  # a latitude beyond a pole would be an error
        known = np.isfinite(lon)
        given = UnitSphericalRepresentation(lon[known] * units.deg, lat[known] * units.deg)
        # Not as a SkyCoord, which keeps its equinox where the other frame has that of the default.
        found = self.begin.realize_frame(given).transform_to(self.end).spherical
        result = np.full((2, *np.shape(lon)), np.nan)
        result[:, known] = found.lon.deg % 360.0, found.lat.deg
        return result[0], result[1]

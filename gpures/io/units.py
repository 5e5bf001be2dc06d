"""Units as headers have them: read whatever their spelling, compared by meaning, and raised to powers.

Headers say "ELECTRONS/S", "e-/s" and "electron s-1" of one thing, "ADU", "adu" and "DN" of another. What astropy reads
is left to it; what is here is the words that it does not know, or takes for something else: "S", which in an image is
no siemens, and "A", which in a flux density is no ampere. Values per pixel are what they are without "/pixel".
"""

from __future__ import annotations

import math
import re
import warnings
from functools import lru_cache
from typing import Any, Literal

from astropy import units
from astropy.units import UnitBase
from astropy.units.function import FunctionUnitBase

__all__ = [
    "Per",
    "depends_on_gain",
    "factor_between",
    "is_count",
    "is_flux",
    "is_logarithmic",
    "is_rate",
    "parsed",
    "per",
    "power",
    "rate",
    "rate_of",
]

# What values are proportional to: the area of their pixel, nothing (as a surface brightness and a temperature), or
# nobody knows.
Per = Literal["pixel", "area", "nothing", "unknown"]

# What stands in headers for no unit at all.
BLANK = ("", "none", "unknown", "undefined", "n/a", "na", "nan", "-", "?", "unitless")

# Words by the name that astropy has for them; capitals do not matter.
SPELLINGS = {
    "electron": "electron electrons e elec elecs",
    "adu": "adu adus",
    "DN": "dn dns",
    "ct": "ct cts cnt cnts count counts",
    "ph": "ph photon photons",
    "s": "s sec secs second seconds",
    "pix": "pix pixel pixels px spaxel spaxels",
    "beam": "beam beams bm",
    "sr": "sr ster steradian steradians",
    "arcsec": "arcsec arcsecs arcseconds",
    "arcmin": "arcmin arcmins arcminutes",
    "deg": "deg degs degrees",
    "K": "k kelvin kelvins",
    "Angstrom": "a aa ang angstrom angstroms å",
    "um": "um micron microns µm μm",
    "nm": "nm",
    "cm": "cm",
    "erg": "erg ergs",
    "Hz": "hz",
    "Jy": "jy jansky janskys",
    "mgy": "maggy maggies",
    "nmgy": "nmgy nanomaggy nanomaggies",
    "uJy": "ujy µjy μjy microjy microjansky",
    "nJy": "njy nanojy nanojansky",
    "ct/s": "cps",
}
WORDS = {word: name for name, spellings in SPELLINGS.items() for word in spellings.split()}

# In capitals alone nobody knows which of the two it is, but where it is per steradian.
MEGA_OR_MILLI = "MJY"

PIECE = re.compile(r"(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<word>[A-Za-z_%µμÅå]+)(?P<minus>-(?![\d(]))?")

# Of the microwave background, or by Rayleigh & Jeans.
TEMPERATURE = re.compile(r"([munk]?K)_?(?:CMB|RJ|cmb|rj)")

# Texts of units that are none of astropy's, and tell of logarithms: "ABmag", "log10(Jy)", "mag (Vega)".
LOGARITHM = re.compile(r"\b(log\w*|ln|dex|[a-z]*mags?|[a-z]*magnitudes?|db)\b", re.IGNORECASE)

COUNTS = (units.adu, units.DN, units.ct, units.electron, units.ph)

# Units of a flux, and of what a flux adds up to: in a pixel there is the more of it the larger the pixel is.
FLUXES = (
    units.Jy,
    units.mgy,
    units.erg / units.s / units.cm**2,
    units.erg / units.s / units.cm**2 / units.Angstrom,
    units.ph / units.s / units.cm**2,
    units.ph / units.s / units.cm**2 / units.Angstrom,
    units.ph / units.cm**2,
    units.W,
    units.J,
)


def parsed(unit: Any) -> UnitBase | FunctionUnitBase | None:
    """A unit as astropy has it; None where there is none, and `astropy.units.UnrecognizedUnit` of what nobody knows.

    Parameters
    ----------
    unit : str, astropy.units.UnitBase or None
        As a header or a model has it.
    """
    if unit is None or isinstance(unit, (UnitBase, FunctionUnitBase)):
        return unit
    return _parsed(str(unit).strip())


@lru_cache(maxsize=256)
def _parsed(text: str) -> UnitBase | FunctionUnitBase | None:
    if text.lower() in BLANK:
        return None
    bare = text[1:-1] if text[0] == "[" and text[-1] == "]" else text.replace("{", "(").replace("}", ")")
    spelt = PIECE.sub(_word, re.sub(r"(?i)\s+per\s+", "/", bare))
    if MEGA_OR_MILLI in spelt and re.search(r"(?i)\bsr\b", spelt):
        spelt = spelt.replace(MEGA_OR_MILLI, "MJy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for words in (spelt, bare):
            try:
                return units.Unit(words)
            except (TypeError, ValueError):
                continue
        return units.Unit(text, parse_strict="silent")


def _word(piece: re.Match[str]) -> str:
    """A word of a unit as astropy has it; numbers stay."""
    word = piece["word"]
    if word is None:
        return piece[0]
    if (kelvin := TEMPERATURE.fullmatch(word)) is not None:
        return kelvin[1] + (piece["minus"] or "")
    # "e-" is an electron, and its minus no sign.
    name = WORDS.get(word.lower())
    return (word if name is None else name) + ((piece["minus"] or "") if name != "electron" else "")


def _known(unit: Any) -> UnitBase | None:
    """A unit that can be calculated with: no logarithm, and one that astropy knows; None of others."""
    found = parsed(unit)
    return found if isinstance(found, UnitBase) and not isinstance(found, units.UnrecognizedUnit) else None


def is_logarithmic(unit: Any) -> bool:
    """Whether values are magnitudes, or other logarithms, whose average means nothing."""
    found = parsed(unit)
    if found is None:
        return False
    if isinstance(found, units.UnrecognizedUnit):
        return LOGARITHM.search(str(unit)) is not None
    if isinstance(found, FunctionUnitBase):
        return True
    return any(base in (units.mag, units.dex, units.dB) for base in found.bases)


def per(unit: Any) -> Per:
    """What values in a unit are proportional to."""
    found = parsed(unit)
    if found is None or isinstance(found, units.UnrecognizedUnit):
        return "unknown"
    if isinstance(found, FunctionUnitBase):
        return "nothing"
    simple = _without_pixels(found).decompose()
    powers = dict(zip(simple.bases, simple.powers, strict=True))
    if powers.get(units.rad, 0) < 0 or powers.get(units.beam, 0) < 0:
        return "area"
    return "pixel" if _number(found) is not None or is_flux(found) else "nothing"


def is_flux(unit: Any) -> bool:
    """Whether values are calibrated: of a flux, or of a flux over an area on the sky."""
    found = _known(unit)
    if found is None:
        return False
    bare = _without_pixels(found)
    with_area = (bare, bare * units.sr, bare * units.beam)
    return any(one.is_equivalent(flux) for one in with_area for flux in FLUXES)


def is_count(unit: Any) -> bool:
    """Whether values grow with the exposure time: electrons, photons, ADU or counts, over an area on the sky or not."""
    return _seconds(unit) == 0


def is_rate(unit: Any) -> bool:
    """Whether values are such over a time."""
    return _seconds(unit) == -1


def depends_on_gain(unit: Any) -> bool:
    """Whether values are in units of a converter, ADU or counts, or may be so."""
    found = _known(unit)
    return found is None or _number(found) in (units.adu, units.DN, units.ct)


def _seconds(unit: Any) -> float | None:
    """Power of the time in a unit of counts; None of any other unit."""
    found = _known(unit)
    counted = None if found is None else _number(found)
    if found is None or counted is None:
        return None
    left = (_without_pixels(found) / counted).decompose()
    powers = {base: power for base, power in zip(left.bases, left.powers, strict=True) if power}
    seconds = powers.pop(units.s, 0)
    return float(seconds) if powers.keys() <= {units.rad, units.beam} else None


def _number(unit: UnitBase) -> UnitBase | None:
    """Which of the things that are counted a unit has in its numerator; None if none."""
    return next((base for base, power in _powers(unit) if base in COUNTS and power == 1), None)


def _powers(unit: UnitBase) -> list[tuple[UnitBase, float]]:
    return [(base, float(power)) for base, power in zip(unit.bases, unit.powers, strict=True)]


def _without_pixels(unit: UnitBase) -> UnitBase:
    """A unit without "per pixel", as all values of pixels are."""
    power = dict(_powers(unit)).get(units.pix, 0.0)
    return unit / units.pix**power if power else unit


def _in_adu(unit: UnitBase) -> UnitBase:
    """A unit with ADU in the place of DN, which is another name of them."""
    power = dict(_powers(unit)).get(units.DN, 0.0)
    return unit * (units.adu / units.DN) ** power if power else unit


def factor_between(unit: Any, other: Any) -> float | None:
    """What values in one unit are multiplied by to be values in another; None where they are not of one kind.

    Parameters
    ----------
    unit, other : str, astropy.units.UnitBase or None
        Two that are equal by meaning, whatever their spelling, have the factor 1. Where there is none, there is no
        factor either.
    """
    if parsed(unit) is None or parsed(other) is None:
        return None
    one, two = _known(unit), _known(other)
    if one is None or two is None:
        return 1.0 if _words(unit) == _words(other) else None
    try:
        factor = float(_in_adu(_without_pixels(one)).to(_in_adu(_without_pixels(two))))
    except units.UnitConversionError:
        return None
    return 1.0 if abs(factor - 1.0) < 1e-12 else factor


def _words(unit: Any) -> list[str]:
    return str(parsed(unit)).lower().split()


def rate(unit: Any) -> str:
    """The unit of counts that were divided by their exposure time."""
    found = parsed(unit)
    return f"{found}/s" if _powers(found) == [(found, 1.0)] else _text(found / units.s)


def rate_of(unit: Any) -> str:
    """Electrons, or whatever a unit of counts or of a rate counts, per second."""
    return f"{_number(parsed(unit))}/s"


def power(unit: str, exponent: int) -> str:
    """A power of a unit, in the notation of the FITS standard, its scale included.

    ``electron`` is not among the standard's units, so that astropy's FITS format refuses it.
    """
    found = _known(unit)
    return f"({unit}){exponent}" if found is None else _text(found**exponent)


def _text(unit: UnitBase) -> str:
    scale = [] if unit.scale == 1 else [_scale(float(unit.scale))]
    bases = sorted(((power, str(base)) for base, power in _powers(unit)), reverse=True)
    return " ".join(scale + [base + _exponent(power) for power, base in bases])


def _exponent(power: float) -> str:
    if power == 1:
        return ""
    return f"{power:.0f}" if power % 1 == 0 else f"({power!r})"


def _scale(scale: float) -> str:
    """A scale with all its digits: a power of ten as FITS writes it, any other as a number."""
    tens = round(math.log10(scale))
    return f"10**{tens}" if abs(scale / 10.0**tens - 1.0) < 1e-14 else repr(scale)

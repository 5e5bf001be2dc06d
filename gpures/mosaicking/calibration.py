"""What exposures are multiplied by so that one value means one brightness in all of them.

A mosaic averages values. Those of exposures of 30 s and of 300 s, of two gains or two zero points, have no average that
means anything, until they are brought to one scale: that of the first exposure, of FLXSCALE=1, or counts per second.
What a header says is used where it says it, and what can't be put right is an error, unless ``allow_mixed``.

- Values that are fluxes already (MJy/sr, nJy, erg/s/cm2) need nothing but one unit.
- FLXSCALE, a zero point in magnitudes, PHOTFLAM, PHOTFNU or PHOTMJSR, whichever all exposures have first in this order,
  brings the others to the first, or, where FLXSCALE differ, all to 1. The last three are of counts per second.
- Counts of different exposure times are divided by these. Where there are zero points or FLXSCALE besides, and these
  follow the times, they say it all; where they do not, nobody can know whether they are of counts or of a rate.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from gpures.arguments.arrays import got
from gpures.arguments.values import checked_switch
from gpures.io import FileError, units
from gpures.io.exposure_time import COUNT_TIME
from gpures.mosaicking.header_scale import Keyword
from gpures.mosaicking.sources import Source

__all__ = ["VALUES", "Calibration", "CalibrationOptions"]

log = logging.getLogger(__name__)

VALUES = ("auto", "per-pixel", "surface-brightness")


@dataclass(frozen=True)
class CalibrationOptions:
    """What is wanted of the values of a mosaic.

    Attributes
    ----------
    values : {"auto", "per-pixel", "surface-brightness"}
        What values are proportional to; "auto" asks their unit.
    flux_scale : str
        "auto", "none", "time", or the keyword of headers that has the scale.
    allow_mixed : bool
        Whether exposures that can't be brought to one scale are averaged all the same.

    Raises
    ------
    TypeError, ValueError
        One of them can't have its value.
    """

    values: str = "auto"
    flux_scale: str = "auto"
    allow_mixed: bool = False

    @classmethod
    def names(cls) -> list[str]:
        """Names of all options."""
        return [field.name for field in fields(cls)]

    def __post_init__(self) -> None:
        if self.values not in VALUES:
            raise ValueError(f"'values' must be one of {', '.join(map(repr, VALUES))}, got {got(self.values)}.")
        if not isinstance(self.flux_scale, str) or not self.flux_scale.strip():
            raise ValueError(
                f"'flux_scale' must be 'auto', 'none', 'time' or a keyword of headers, got {got(self.flux_scale)}."
            )
        checked_switch(self.allow_mixed, "allow_mixed")


@dataclass
class Calibration:
    """How exposures are brought to one scale.

    Attributes
    ----------
    options : CalibrationOptions
        What is wanted.
    unit : str or None
        Unit of the mosaic; None where nobody says.
    unit_of_exposures : str or None
        That of the first exposure that has one, and its name.
    keyword : Keyword or None
        What headers have that brings them to the scale of the first.
    reference : float or None
        What all are brought to: what the header of the first has there, or, of factors that differ, 1.
    name_of_reference : str
        Under which keyword.
    first, of_unit : str
        Names of the first exposure, and of the first that has a unit.
    seconds : float or None
        Exposure time that counts are brought to, 1 for a rate; None where times do not matter.
    count_time : float or None
        Exposure time that the values of the mosaic are of, where they are counts.
    comes_one_by_one : bool
        Whether exposures are not known before it is their turn.
    """

    options: CalibrationOptions = field(default_factory=CalibrationOptions)
    unit: str | None = None
    unit_of_exposures: str | None = None
    keyword: Keyword | None = None
    reference: float | None = None
    name_of_reference: str = ""
    first: str = ""
    of_unit: str = ""
    seconds: float | None = None
    count_time: float | None = None
    comes_one_by_one: bool = False
    _said: set[str] = field(default_factory=set, repr=False, init=False)
    _answers: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False, init=False, compare=False)

    def join(self, source: Source) -> None:
        """Take the first exposures for what the others are compared with."""
        if not self.first:
            self.first = source.name
        if self.unit is None and units.parsed(source.unit) is not None and not units.is_logarithmic(source.unit):
            self.unit = self.unit_of_exposures = str(source.unit)
            self.of_unit = source.name

    def go_on(self, source: Source) -> None:
        """Take the next of exposures that come one by one: counts are brought to the exposure time of the first."""
        self.join(source)
        if self.seconds is None and units.is_count(self.unit) and self.options.flux_scale.strip().lower() != "none":
            self.seconds = self.count_time = self.time(source)

    def factor(self, source: Source) -> float:
        """What the values of an exposure are multiplied by.

        Raises
        ------
        FileError
            It can't be brought to the scale of the others; the text says why, and what can be done.
        """
        return self.of_keyword(source) * self.of_time(source) * self.of_units(source)

    def of_keyword(self, source: Source) -> float:
        """What the keyword of its header makes of an exposure."""
        if self.keyword is None:
            return 1.0
        name, value = self.keyword.found(source.header)
        if value is not None and self.reference is not None:
            return self.keyword.factor(self.reference, value)
        if value is None and self.reference is None:
            if self.options.flux_scale.strip().upper() in self.keyword.names:  # somebody asked for it
                self.mixed(source, f"{source.name} has no {self.keyword.names[0]} in its header")
            return 1.0
        has, lacks = (self.first, source.name) if value is None else (source.name, self.first)
        name = name or self.name_of_reference
        self.mixed(source, f"{has} has {name} in its header, and {lacks} nothing like that: there is no scale for both")
        return 1.0

    def of_time(self, source: Source) -> float:
        """What its exposure time makes of an exposure of counts, and of a rate beside counts."""
        if self.seconds is None:
            return 1.0
        time = self.time(source)
        if time is None:
            self.mixed(source, f"{source.name} has counts of an unknown exposure time, beside others")
            return 1.0
        factor = self.seconds / time
        return 1.0 if abs(factor - 1.0) < 1e-9 else factor

    def of_units(self, source: Source) -> float:
        """What the unit of an exposure makes of it."""
        if self._asked(units.is_logarithmic, source.unit):
            raise FileError(
                source.path,
                f"the unit of {source.name} is {source.unit!r}, and an average of magnitudes or other logarithms means "
                "nothing: convert them to fluxes.",
            )
        if self._asked(_is_none, source.unit):
            if self.unit is not None:
                words = f"{source.name} has no unit: it is taken for {self.unit_of_exposures!r}, as in {self.of_unit}."
                self.say(words, "no unit beside others")
            return 1.0
        factor = self._asked(_factor_between, source.unit, self.unit_of_exposures)
        if factor is not None:
            return factor
        self.mixed(
            source,
            f"the unit of {source.name} is {source.unit!r}, that of {self.of_unit} is {self.unit_of_exposures!r}. One "
            "mosaic has one unit: convert one of them, or leave it out",
        )
        return 1.0

    def time(self, source: Source) -> float | None:
        """The time that an exposure's values grew with: 1 for a rate; None where it matters and nobody knows it."""
        unit = self.unit_of_exposures if self._asked(_is_none, source.unit) else source.unit
        may_be_counts = self._asked(units.is_count, unit)
        may_be_counts = may_be_counts or (self._asked(units.per, unit) == "unknown" and source.kind != "model")
        return source.count_time if may_be_counts else 1.0

    def _asked(self, ask: Callable[..., Any], *of: Any) -> Any:
        """What a function tells of units, most of which are the same in all exposures: astropy takes its time."""
        if not all(isinstance(unit, (str, type(None))) for unit in of):
            return ask(*of)
        if (ask, of) not in self._answers:
            self._answers[ask, of] = ask(*of)
        return self._answers[ask, of]

    def mixed(self, source: Source, words: str) -> None:
        """Refuse an exposure that can't be brought to the scale of the others, unless that is allowed."""
        if not self.options.allow_mixed:
            raise FileError(source.path, f"{words}. ('allow_mixed' averages them as they are.)")
        self.say(f"{words}. They are averaged as they are.")

    def say(self, words: str, what: str | None = None) -> None:
        """Warn, once of a thing, which is that of the words unless told otherwise."""
        if (what or words) not in self._said:
            self._said.add(what or words)
            log.warning(words)

    def words(self, sources: Sequence[Source]) -> str:
        """What was done to exposures."""
        done = []
        if self.seconds is not None:
            done.append("counts per second" if self.seconds == 1.0 else f"counts of {self.seconds:g} s")
        if any(self.of_keyword(source) != 1.0 for source in sources):
            done.append(f"{self.name_of_reference} of all brought to {self.reference:.6g}")
        if any(self.of_units(source) != 1.0 for source in sources):
            done.append("units converted")
        return ", ".join(done) or "all alike"

    @property
    def facts(self) -> dict[str, tuple[float, str]]:
        """What the header of the mosaic has of this: keywords, their values and comments."""
        found = {}
        if self.reference is not None and len(self.name_of_reference) <= 8:
            found[self.name_of_reference] = (self.reference, "to which all exposures were brought")
        is_unknown = units.per(self.unit) == "unknown"
        # What may be counts has been divided by its times, where that was asked for.
        time = self.seconds or self.count_time if is_unknown else self.count_time
        if time is not None and (is_unknown or units.is_count(self.unit)):
            found[COUNT_TIME] = (time, "[s] exposure time that the values are of")
        return found


def _is_none(unit: Any) -> bool:
    """Whether it is no unit."""
    return units.parsed(unit) is None


def _factor_between(unit: Any, other: Any) -> float | None:
    """What values in one unit are multiplied by to be in another, counts being over time in both."""
    return units.factor_between(_over_time(unit), _over_time(other))


def _over_time(unit: Any) -> Any:
    """A unit, of counts that over time."""
    return units.rate(unit) if units.is_count(unit) else unit

"""What exposures are multiplied by so that one value means one brightness in all of them.

A mosaic averages values. Those of exposures of 30 s and of 300 s, of two gains or two zero points, have no average that
means anything, until they are brought to one scale: that of the first exposure, or counts per second. What a header
says is used where it says it, and what can't be put right is an error, unless ``allow_mixed``.

- Values that are fluxes already (MJy/sr, nJy, erg/s/cm2) need nothing but one unit.
- FLXSCALE, a zero point in magnitudes, PHOTFLAM, PHOTFNU or PHOTMJSR, whichever all exposures have first in this order,
  brings the others to the first. The last three are of counts per second.
- Counts of different exposure times are divided by these. Where there are zero points or FLXSCALE besides, and these
  follow the times, they say it all; where they do not, nobody can know whether they are of counts or of a rate.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from gpures.arguments.arrays import got
from gpures.arguments.values import checked_switch
from gpures.io import FileError, units
from gpures.io.exposure_time import COUNT_TIME
from gpures.mosaicking.alike import OneFilter, OneGain
from gpures.mosaicking.header_scale import FLXSCALE, KEYWORDS, RATES, ZERO_POINTS, Keyword
from gpures.mosaicking.sources import Source

__all__ = ["VALUES", "Calibration", "CalibrationOptions", "calibrated"]

log = logging.getLogger(__name__)

VALUES = ("auto", "per-pixel", "surface-brightness")

# What is alike to so much counts as equal: times, and whatever brings exposures to one scale.
ALIKE = 1e-4

# Exposures whose unit nobody knows may be of counts; so much may their times differ.
UNKNOWN = 1e-2


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
        What the header of the first has there.
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
        if units.is_logarithmic(source.unit):
            raise FileError(
                source.path,
                f"the unit of {source.name} is {source.unit!r}, and an average of magnitudes or other logarithms means "
                "nothing: convert them to fluxes.",
            )
        if units.parsed(source.unit) is None:
            if self.unit is not None:
                words = f"{source.name} has no unit: it is taken for {self.unit_of_exposures!r}, as in {self.of_unit}."
                self.say(words, "no unit beside others")
            return 1.0
        factor = units.factor_between(_over_time(source.unit), _over_time(self.unit_of_exposures))
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
        unit = self.unit_of_exposures if units.parsed(source.unit) is None else source.unit
        may_be_counts = units.is_count(unit) or (_is_unknown(unit) and source.kind != "model")
        return source.count_time if may_be_counts else 1.0

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
            done.append(f"{self.name_of_reference} of all brought to that of the first, {self.reference:.6g}")
        if any(self.of_units(source) != 1.0 for source in sources):
            done.append("units converted")
        return ", ".join(done) or "all alike"

    @property
    def facts(self) -> dict[str, tuple[float, str]]:
        """What the header of the mosaic has of this: keywords, their values and comments."""
        found = {}
        if self.reference is not None and len(self.name_of_reference) <= 8:
            found[self.name_of_reference] = (self.reference, "of the first, to which all were brought")
        is_unknown = _is_unknown(
            self.unit
        )  # they may be counts, and have been divided by their times if that was asked
        time = self.seconds or self.count_time if is_unknown else self.count_time
        if time is not None and (is_unknown or units.is_count(self.unit)):
            found[COUNT_TIME] = (time, "[s] exposure time that the values are of")
        return found


def _is_unknown(unit: Any) -> bool:
    return units.per(unit) == "unknown"


def _over_time(unit: Any) -> Any:
    """A unit, of counts that over time."""
    return units.rate(unit) if units.is_count(unit) else unit


def calibrated(
    sources: Sequence[Source],
    options: CalibrationOptions,
    skip: Callable[[str, Exception], None],
    begun: Source | None = None,
) -> tuple[Calibration, list[Source]]:
    """Find out how exposures are brought to one scale.

    Parameters
    ----------
    sources : sequence of Source
        The exposures.
    options : CalibrationOptions
        What is wanted.
    skip : callable
        Called with the name of an exposure that can't be, and why; unless it raises, that exposure is left out.
    begun : Source, optional
        A mosaic that they are added to, whose scale they are brought to.

    Returns
    -------
    Calibration
        How.
    list of Source
        Those that can be.

    Raises
    ------
    FileError
        The mosaic is not on the scale that it would be on if all exposures had been there at once.
    """
    if begun is None:
        return _calibrated(sources, options, skip)
    made, good = _calibrated([begun, *sources], options, skip)
    if not sources:
        made.comes_one_by_one = True
        made.go_on(begun)
    is_same = made.unit == begun.unit or units.factor_between(made.unit, begun.unit) == 1.0
    if begun not in good or made.factor(begun) != 1.0 or not is_same:
        raise FileError(
            begun.path,
            f"can't be gone on with: its values ({begun.unit or 'no unit'}) would be other ones "
            f"({made.unit or 'no unit'}) if all exposures had been there at once. Make it anew, of all of them.",
        )
    return made, good[1:]


def _calibrated(
    sources: Sequence[Source], options: CalibrationOptions, skip: Callable[[str, Exception], None]
) -> tuple[Calibration, list[Source]]:
    made = Calibration(options, comes_one_by_one=not sources)
    for source in sources:
        made.join(source)
    good = _that_pass(sources, made.of_units, skip)
    good = _that_pass(good, OneFilter(made.mixed), skip)
    if not good:
        return made, []
    made.first = good[0].name
    made.keyword = _keyword(good, made)
    if made.keyword is not None:
        made.name_of_reference, made.reference = made.keyword.found(good[0].header)
    good = _that_pass(good, made.of_keyword, skip)
    if made.keyword is None:
        good = _that_pass(good, OneGain(made.mixed), skip)
    good = _with_times(good, made, skip)
    return made, good


def _that_pass(
    sources: Sequence[Source], check: Callable[[Source], object], skip: Callable[[str, Exception], None]
) -> list[Source]:
    """Exposures that a check finds nothing wrong with."""
    good = []
    for source in sources:
        try:
            check(source)
            good.append(source)
        except FileError as error:
            skip(source.name, error)
    return good


# ---- what of the headers counts --------------------------------------------------------------------------------------


def _keyword(sources: Sequence[Source], made: Calibration) -> Keyword | None:
    """The scale that the headers of exposures have."""
    wanted = made.options.flux_scale.strip().upper()
    if wanted == "NONE":
        return None
    if units.is_flux(made.unit) and wanted in ("AUTO", "TIME"):
        if len({FLXSCALE.found(source.header)[1] for source in sources}) > 1:
            made.say(
                f"The headers have different FLXSCALE, which is not applied, as values in {made.unit} are fluxes "
                "already; 'flux_scale' as 'FLXSCALE' applies it."
            )
        return None
    if wanted not in ("AUTO", "TIME"):
        of_zero = wanted in ZERO_POINTS.names or "ZP" in wanted or "ZERO" in wanted
        return Keyword((wanted,), is_magnitude=of_zero, of_rate=(wanted,) in [keyword.names for keyword in RATES])
    has = {keyword: [bool(keyword.found(source.header)[0]) for source in sources] for keyword in KEYWORDS}
    if wanted == "TIME":
        return ZERO_POINTS if all(has[ZERO_POINTS]) else None
    in_all = next((keyword for keyword, each in has.items() if all(each)), None)
    return in_all or next((keyword for keyword, each in has.items() if any(each)), None)


def _with_times(sources: Sequence[Source], made: Calibration, skip: Callable[[str, Exception], None]) -> list[Source]:
    """Decide what exposure times have to do with it; those exposures that no decision suits are left out."""
    if not sources:
        return []
    times = [made.time(source) for source in sources]
    known = [time for time in times if time is not None]
    made.count_time = times[0]
    scale, is_unknown = made.options.flux_scale.strip().lower(), _is_unknown(made.unit)
    is_mixed = any(units.is_rate(source.unit) for source in sources) and any(
        units.is_count(source.unit) for source in sources
    )
    differ = bool(known) and max(known) / min(known) - 1.0 > (UNKNOWN if is_unknown else ALIKE)
    partly = not is_unknown and 0 < len(known) < len(times)
    by_keyword = made.keyword is not None and not made.keyword.of_rate
    if not known and len(times) > 1 and not is_unknown and not by_keyword:
        made.say(f"{made.first} and the others have counts and no exposure times, which are taken for the same.")
    if scale == "none" and not is_mixed:
        return list(sources)
    if scale != "time" and by_keyword:
        if scale != "auto" or not differ:
            return list(sources)
        return _that_pass(sources, lambda source: _check_meaning(source, sources[0], made), skip)
    if scale == "auto" and is_unknown and made.keyword is None and differ:
        return _that_pass(sources, lambda source: _check_unknown(source, sources[0], made), skip)
    if differ or partly or is_mixed or scale == "time":
        made.seconds = 1.0
        if units.is_count(made.unit):
            made.unit = units.rate(made.unit)
        if not is_unknown and (differ or is_mixed):
            what = "Some exposures are counts and some are rates" if is_mixed else "Exposure times differ"
            made.say(f"{what}: counts are divided by their exposure times, and the unit of the mosaic is {made.unit}.")
        return _that_pass(sources, made.of_time, skip)
    return list(sources)


def _check_meaning(source: Source, first: Source, made: Calibration) -> None:
    """Check that zero points, or factors, follow the exposure times, and so are of counts and not of rates."""
    time, time_of_first = made.time(source), made.time(first)
    if time is None or time_of_first is None or made.keyword is None:
        return
    expected = math.log(time_of_first / time)
    if abs(expected) <= ALIKE or abs(math.log(made.of_keyword(source)) - expected) <= 0.5 * abs(expected):
        return
    name, value = made.keyword.found(source.header)
    made.mixed(
        source,
        f"{source.name} has {name}={value:g} and {time:g} s, {first.name} {made.reference:g} and "
        f"{time_of_first:g} s, and nobody knows what that means. If it is of counts per second, give 'flux_scale' as "
        f"'time'; if it is of the values as they are, as {name!r}",
    )


def _check_unknown(source: Source, first: Source, made: Calibration) -> None:
    """Refuse exposures of different times that may be of counts and may be of rates."""
    time, time_of_first = made.time(source), made.time(first)
    if time is None or time_of_first is None or abs(time / time_of_first - 1.0) <= UNKNOWN:
        return
    made.mixed(
        source,
        f"{source.name} is of {time:g} s, {first.name} of {time_of_first:g} s, and nobody knows their unit. If they "
        "are counts, give 'flux_scale' as 'time'; if they are rates or fluxes, as 'none'",
    )

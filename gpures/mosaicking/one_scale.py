"""The one scale that exposures are brought to: found out from their units, headers and times, before one is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from gpures.io import FileError, units
from gpures.mosaicking.alike import OneFilter, OneGain
from gpures.mosaicking.calibration import Calibration, CalibrationOptions
from gpures.mosaicking.header_scale import FLXSCALE, KEYWORDS, RATES, ZERO_POINTS, Keyword
from gpures.mosaicking.sources import Source

__all__ = ["calibrated"]

# What is alike to so much counts as equal: times, and whatever brings exposures to one scale.
ALIKE = 1e-4

# Exposures whose unit nobody knows may be of counts; so much may their times differ.
UNKNOWN = 1e-2


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
        if made.reference is not None and made.keyword.to_one and len(_values(made.keyword, good)) > 1:
            made.reference = 1.0
    good = _that_pass(good, made.of_keyword, skip)
    if made.keyword is None:
        good = _that_pass(good, OneGain(made.mixed), skip)
    good = _with_times(good, made, skip)
    if made.keyword is not None and made.reference is not None and not made.keyword.of_rate:
        values = _values(made.keyword, good)
        if len(values) > 1:
            whose = "" if made.keyword.to_one else f", that of {made.first}"
            made.say(
                f"The exposures have {made.name_of_reference} from {min(values):g} to {max(values):g}: all are brought "
                f"to {made.reference:g}{whose}."
            )
    return made, good


def _values(keyword: Keyword, sources: Sequence[Source]) -> set[float]:
    """What headers have under a keyword."""
    return {value for source in sources if (value := keyword.found(source.header)[1]) is not None}


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
    scale, is_unknown = made.options.flux_scale.strip().lower(), units.per(made.unit) == "unknown"
    is_mixed = any(units.is_rate(source.unit) for source in sources) and any(
        units.is_count(source.unit) for source in sources
    )
    differ = bool(known) and max(known) / min(known) - 1.0 > (UNKNOWN if is_unknown else ALIKE)
    partly = not is_unknown and 0 < len(known) < len(times)
    by_keyword = made.keyword is not None and not made.keyword.of_rate
    # An average of counts of several times is of none, unless they are brought to one.
    made.count_time = times[0] if by_keyword or not (differ or len(known) < len(times)) else None
    if not known and len(times) > 1 and not is_unknown and not by_keyword:
        made.say(f"{made.first} and the others have counts and no exposure times, which are taken for the same.")
    if scale == "none" and not is_mixed:
        return list(sources)
    if scale != "time" and by_keyword:
        if scale != "auto" or not differ:
            return list(sources)
        return _that_pass(sources, lambda source: _check_meaning(source, sources[0], made), skip)
    if scale == "auto" and is_unknown and made.keyword is None:
        if differ:
            made.say(
                f"The exposures are of {min(known):g} to {max(known):g} s, and nobody knows their unit: they are "
                "averaged as they are. If they are counts, give 'flux_scale' as 'time'."
            )
        return list(sources)
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
    found = math.log(made.of_keyword(source) / made.of_keyword(first))
    if abs(expected) <= ALIKE or abs(found - expected) <= 0.5 * abs(expected):
        return
    (_, of_first), (name, value) = (made.keyword.found(each.header) for each in (first, source))
    made.mixed(
        source,
        f"{source.name} has {name}={value:g} and {time:g} s, {first.name} {of_first:g} and "
        f"{time_of_first:g} s, and nobody knows what that means. If it is of counts per second, give 'flux_scale' as "
        f"'time'; if it is of the values as they are, as {name!r}",
    )

"""The sky of exposures that come one by one, in any order, each of which is looked at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gpures.arguments.arrays import as_host, got, readable
from gpures.arguments.values import checked_switch
from gpures.box import Box
from gpures.cleaning.levels import METHODS, Pair, SkyMatch, Unit, levels_by_matching, lowest, pairs_of, tell
from gpures.cleaning.overlaps import Place, Regions, common_sky, filled, neighbours, place_of, rows_of, united
from gpures.cleaning.statistics import Measure, StatisticOptions, measured
from gpures.wcs.transforms import resample_range

__all__ = ["Field", "SkyOptions", "SkySurvey"]


@dataclass(frozen=True)
class Field:
    """An exposure, before its pixels are there.

    Attributes
    ----------
    name : str
        What it is called.
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        Its WCS.
    shape : (int, int)
        Shape (Ny, Nx) of its array.
    group : hashable or None
        What exposures share that are moved together, such as chips of one; None of one by itself.
    """

    name: str
    wcs: Any
    shape: tuple[int, int]
    group: Any = None


@dataclass(frozen=True)
class SkyOptions:
    """How sky is matched; checked when it is made.

    Attributes
    ----------
    method : {"match", "global", "global+match", "local"}
        As in `gpures.match_sky`.
    match_down : bool
        Whether the lowest level is 0 when skies are matched, else the highest.
    statistics : StatisticOptions
        How the sky is taken from pixels.

    Raises
    ------
    TypeError, ValueError
        One of them has a value that it can't have. The text names it.
    """

    method: str = "match"
    match_down: bool = True
    statistics: StatisticOptions = field(default_factory=StatisticOptions)

    def __post_init__(self) -> None:
        method = self.method.lower() if isinstance(self.method, str) else self.method
        if method not in METHODS:
            raise ValueError(f"'method' must be one of {METHODS}, got {got(self.method)}.")
        object.__setattr__(self, "method", method)
        object.__setattr__(self, "match_down", checked_switch(self.match_down, "match_down"))

    @property
    def matches(self) -> bool:
        """Whether overlaps are needed."""
        return "match" in self.method


class SkySurvey:
    """Sky of exposures that come one by one.

    Each is measured once, over its overlaps with all others and as a whole, in any order; what is kept are a few
    numbers. Where it overlaps others is known before from all their WCS.

    Parameters
    ----------
    fields : sequence of Field
        All exposures.
    options : SkyOptions, optional
        How sky is matched.

    Raises
    ------
    ValueError
        There is none; or a WCS is not one of an image, or has no place on the sky that others can be compared with.

    Examples
    --------
    >>> from gpures.cleaning import Field, SkyOptions, SkySurvey
    >>> def matched(models):
    ...     fields = [Field(m["filename"], m["wcs"], m["data"].shape, m["group_id"]) for m in models]
    ...     survey = SkySurvey(fields, SkyOptions("global+match"))
    ...     for number, model in enumerate(models):
    ...         survey.measure(number, model["data"], model["dq"] == 0)
    ...     return survey.solve()
    """

    def __init__(self, fields: Sequence[Field], options: SkyOptions | None = None):
        limits = [resample_range(one.shape, one.wcs) for one in fields]
        options = options or SkyOptions()
        self._begin([one.name for one in fields], [one.group for one in fields], limits, options)
        self._shapes = [tuple(one.shape) for one in fields]
        if options.matches:
            sky = common_sky([one.wcs for one in fields])
            near = zip(fields, limits, strict=True)
            self._set_places([place_of(one.name, one.wcs, box, sky) for one, box in near])

    @classmethod
    def of_places(cls, places: Sequence[Place], groups: Sequence[Any], options: SkyOptions) -> SkySurvey:
        """A survey of exposures whose places are known already, and all of whose pixels are used.

        Parameters
        ----------
        places : sequence of Place
            Of each exposure.
        groups : sequence
            What exposures share that are moved together; None of one by itself.
        options : SkyOptions
            How sky is matched.

        Returns
        -------
        SkySurvey
            One that nothing has been measured for.
        """
        survey = cls.__new__(cls)
        survey._begin([place.footprint.name for place in places], groups, [place.limits for place in places], options)
        survey._shapes = [(place.limits.ymax + 1, place.limits.xmax + 1) for place in places]
        if options.matches:
            survey._set_places(places)
        return survey

    def _begin(self, names: Sequence[str], groups: Sequence[Any], limits: Sequence[Box], options: SkyOptions) -> None:
        if not names:
            raise ValueError("There are no exposures to match the sky of.")
        self._options = options
        self._names, self._limits = tuple(names), limits
        self._units = _units(names, groups)
        self._unit_of = {member: number for number, unit in enumerate(self._units) for member in unit.members}
        self._places: list[Place] = []
        self._near: list[list[int]] = [[] for _ in names]
        self._whole: dict[int, Measure] = {}
        self._overlaps: dict[int, dict[int, Measure]] = {}

    def _set_places(self, places: Sequence[Place]) -> None:
        self._places = list(places)
        self._near = neighbours([place.footprint for place in places])

    def overlaps(self, number: int) -> dict[int, Regions]:
        """Pixels of an exposure that lie within others which it is not moved together with, by the numbers of units.

        Parameters
        ----------
        number : int
            The exposure's.

        Returns
        -------
        dict
            Rows, first pixels, and ends (exclusive), int32 (n, 3), of each region.
        """
        own = self._unit_of[number]
        others = [other for other in self._near[number] if self._unit_of[other] != own]
        if not others:
            return {}
        place = self._places[number]
        edges = [self._places[other].footprint.edge for other in others]
        pixels = place.pixels_of(np.concatenate(edges))
        ends = np.cumsum([len(edge) for edge in edges])
        by_unit: dict[int, list[Regions]] = {}
        for other, polygon in zip(others, np.split(pixels, ends[:-1]), strict=True):
            by_unit.setdefault(self._unit_of[other], []).append(filled(polygon, place.limits))
        regions = {unit: united(parts) for unit, parts in by_unit.items()}
        return {unit: region for unit, region in regions.items() if len(region)}

    def measure(self, number: int, data: np.ndarray, usable: np.ndarray | None = None, level: float = 0.0) -> None:
        """Look at the pixels of an exposure, in memory only meanwhile.

        Parameters
        ----------
        number : int
            The exposure's, from 0; one that was measured before is measured anew.
        data : ndarray of real numbers (Ny, Nx)
            Its image. Pixels that are not finite don't count.
        usable : ndarray of bool (Ny, Nx), optional
            Which pixels count; by default all.
        level : float, optional
            A sky in the image that is known already: levels are those beyond it. ``lower`` and ``upper`` are of the
            image as it is.

        Raises
        ------
        TypeError, ValueError
            The image is not one of real numbers, or it or ``usable`` is not of the shape that was told.
        """
        data = as_host(readable(data, "data"))
        if data.shape != self._shapes[number]:
            raise ValueError(
                f"'data' of {self._names[number]} must have the shape {self._shapes[number]}, got {data.shape}."
            )
        regions = self.overlaps(number)
        found = measured(data, usable, list(regions.values()), self._options.statistics)
        if self._options.method != "match" or not any(measure.pixels for measure in found):
            whole = measured(data, usable, [rows_of(self._limits[number])], self._options.statistics)[0]
            self._whole[number] = Measure(whole.value - level, whole.pixels)
        self._overlaps[number] = {
            unit: Measure(measure.value - level, measure.pixels)
            for unit, measure in zip(regions, found, strict=True)
            if measure.pixels
        }

    def solve(self) -> SkyMatch:
        """Sky levels of all exposures; what was not measured has none.

        Warnings of the log name exposures that nothing could be measured of, and such as no overlap connects.

        Returns
        -------
        SkyMatch
            Levels beyond those that were known when the exposures were measured.
        """
        units, options = self._units, self._options
        levels, islands = np.full(len(units), np.nan), [[k] for k in range(len(units))]
        pairs: dict[tuple[int, int], Pair] = {}
        if options.matches:
            pairs = pairs_of(units, self._of_units())
            levels, islands = levels_by_matching(len(units), pairs, options.match_down)
            pairs = {key: replace(p, left=p.difference - levels[key[0]] + levels[key[1]]) for key, p in pairs.items()}
        if options.method != "match":
            matched = np.where(np.isfinite(levels), levels, 0.0)
            whole = np.array([lowest([self._value_of(member) for member in unit.members]) for unit in units])
            beyond = whole - matched
            levels = beyond if options.method == "local" else matched + lowest(beyond.tolist())
        tell(units, [self._has_pixels(unit) for unit in units], islands if options.matches else [])
        found = [float(levels[self._unit_of[k]]) for k in range(len(self._names))]
        names = [tuple(name for unit in island for name in units[unit].names) for island in islands]
        return SkyMatch(
            self._names,
            tuple(level if math.isfinite(level) else None for level in found),
            options.method,
            tuple(pairs.values()),
            tuple(names) if options.matches else (),
        )

    def _of_units(self) -> dict[tuple[int, int], list[Measure]]:
        """What was measured in each unit where it lies within another, in the order of its exposures."""
        overlaps: dict[tuple[int, int], list[Measure]] = {}
        for number in sorted(self._overlaps):
            for unit, measure in self._overlaps[number].items():
                overlaps.setdefault((self._unit_of[number], unit), []).append(measure)
        return overlaps

    def _value_of(self, number: int) -> float:
        """Sky of a whole exposure; NaN where it was not measured."""
        return self._whole[number].value if number in self._whole else math.nan

    def _has_pixels(self, unit: Unit) -> bool:
        """Whether a pixel of a unit was measured."""
        return any(self._overlaps.get(k) or (k in self._whole and self._whole[k].pixels) for k in unit.members)


def _units(names: Sequence[str], groups: Iterable[Any]) -> list[Unit]:
    """Exposures that are moved together, in the order of the first of each."""
    members: dict[Any, list[int]] = {}
    for number, group in enumerate(groups):
        # An exposure by itself has a key that no group has.
        members.setdefault((number,) if group is None else (None, group), []).append(number)
    return [Unit(tuple(those), tuple(names[k] for k in those)) for those in members.values()]

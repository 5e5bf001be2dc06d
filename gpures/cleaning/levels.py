"""Sky levels of exposures, of what was measured in their overlaps: least squares, and what is to be said of them."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gpures.cleaning.statistics import Measure
from gpures.reporting.tables import listed, row

__all__ = ["METHODS", "Pair", "SkyMatch", "Unit", "levels_by_matching", "lowest", "pairs_of"]

log = logging.getLogger(__name__)

METHODS = ("match", "global", "global+match", "local")

# Exposures that a warning names of those that it tells of.
NAMED = 5

# Singular values of the equations, relative to the largest, below which there is nothing to be solved for; weights are
# numbers of pixels.
NOTHING = 1e-12


@dataclass(frozen=True)
class Unit:
    """Exposures that are moved together: one, or a group.

    Attributes
    ----------
    members : tuple of int
        Their numbers.
    names : tuple of str
        Their names.
    """

    members: tuple[int, ...]
    names: tuple[str, ...]

    @property
    def label(self) -> str:
        """What it is called."""
        more = len(self.names) - 1
        return self.names[0] if not more else f"{self.names[0]} and {more} more"


@dataclass(frozen=True)
class Pair:
    """Two exposures, or groups of such, that overlap.

    Attributes
    ----------
    first, second : str
        What they are called.
    pixels : float
        Pixels that were measured, on the average of both: the equation's weight.
    difference : float
        Sky of the first less that of the second.
    left : float
        What is left of it when the levels have been subtracted.
    """

    first: str
    second: str
    pixels: float
    difference: float
    left: float = math.nan


@dataclass(frozen=True)
class SkyMatch:
    """Sky levels of exposures, and what they were taken from.

    Attributes
    ----------
    names : tuple of str
        Of the exposures, in their order.
    levels : tuple of (float or None)
        What is to be subtracted from the data of each; None where nothing could be measured.
    method : str
        How they were found.
    pairs : tuple of Pair
        The overlaps that were used.
    islands : tuple of tuple of str
        Names of the exposures that overlaps connect with each other: one tuple if all are.
    """

    names: tuple[str, ...]
    levels: tuple[float | None, ...]
    method: str
    pairs: tuple[Pair, ...] = ()
    islands: tuple[tuple[str, ...], ...] = ()

    @property
    def report(self) -> str:
        """The levels, and below them the overlaps, in columns."""
        width = max(len(name) for name in (*self.names, "exposure")) + 2
        lines = [row(("exposure", "level"), (f"<{width}", ">12"))]
        for name, level in zip(self.names, self.levels, strict=True):
            lines.append(row((name, "-" if level is None else f"{level:.6g}"), (f"<{width}", ">12")))
        if self.pairs:
            width = max(len(name) for pair in self.pairs for name in (pair.first, pair.second)) + 2
            formats = (f"<{width}", f"<{width}", ">12", ">14", ">12")
            lines += ["", row(("overlap of", "and", "pixels", "difference", "left"), formats)]
            for pair in self.pairs:
                cells = (pair.first, pair.second, f"{pair.pixels:.0f}", f"{pair.difference:.6g}", f"{pair.left:.3g}")
                lines.append(row(cells, formats))
        return "\n".join(lines)


Measured = Mapping[tuple[int, int], Sequence[Measure]]


def _together(measures: Sequence[Measure]) -> Measure:
    """One measure of several: their mean, weighted with the pixels."""
    good = [measure for measure in measures if measure.pixels > 0]
    pixels = sum(measure.pixels for measure in good)
    value = math.fsum(measure.value * measure.pixels for measure in good) / pixels if pixels else math.nan
    return Measure(value, pixels)


def pairs_of(units: Sequence[Unit], overlaps: Measured) -> dict[tuple[int, int], Pair]:
    """Overlaps that were measured from both sides, by the numbers of their units.

    Parameters
    ----------
    units : sequence of Unit
        The exposures.
    overlaps : mapping
        Numbers of two units to what was measured in the first one's exposures where these lie within the second.
    """
    pairs = {}
    for first, second in sorted(key for key in overlaps if key[0] < key[1] and key[::-1] in overlaps):
        one, other = _together(overlaps[first, second]), _together(overlaps[second, first])
        if one.pixels and other.pixels:
            pixels = 0.5 * (one.pixels + other.pixels)
            pairs[first, second] = Pair(units[first].label, units[second].label, pixels, one.value - other.value)
    return pairs


def levels_by_matching(
    count: int, pairs: Mapping[tuple[int, int], Pair], match_down: bool
) -> tuple[np.ndarray, list[list[int]]]:
    """Levels that make sky equal in all overlaps, and which units overlaps connect.

    Of each pair there is an equation, weighted with its pixels; in each island, which differences leave undetermined,
    the mean is 0 at first. Then the lowest of all levels is 0, or the highest.

    Parameters
    ----------
    count : int
        Number of units.
    pairs : mapping
        Overlaps by the numbers of two units.
    match_down : bool
        Whether the lowest is 0.

    Returns
    -------
    levels : ndarray of float64 (count,)
        NaN of units in no pair.
    islands : list of list of int
        Units of each island; those in no pair are one each.
    """
    islands = _islands(count, pairs)
    island_of = {unit: number for number, island in enumerate(islands) for unit in island}
    keys: list[list[tuple[int, int]]] = [[] for _ in islands]
    for key in pairs:
        keys[island_of[key[0]]].append(key)
    levels = np.full(count, np.nan)
    for island, of_island in zip(islands, keys, strict=True):
        if of_island:
            levels[island] = _solved(island, {key: pairs[key] for key in of_island})
    good = np.isfinite(levels)
    if good.any():
        levels -= levels[good].min() if match_down else levels[good].max()
    return levels, islands


def _islands(count: int, pairs: Mapping[tuple[int, int], Pair]) -> list[list[int]]:
    """Units that pairs connect, in their order."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.array(list(pairs), int).reshape(-1, 2).T
    links = coo_array((np.ones(len(pairs)), tuple(ends)), shape=(count, count))
    number, of = connected_components(links, directed=False)
    return [np.flatnonzero(of == k).tolist() for k in range(number)]


def _solved(island: Sequence[int], pairs: Mapping[tuple[int, int], Pair]) -> np.ndarray:
    """Levels of the units of an island, whose mean is 0."""
    place = {unit: k for k, unit in enumerate(island)}
    equations = np.zeros((len(pairs), len(island)))
    wanted = np.zeros(len(pairs))
    most = max(pair.pixels for pair in pairs.values())
    for k, ((first, second), pair) in enumerate(pairs.items()):
        weight = pair.pixels / most
        equations[k, place[first]], equations[k, place[second]] = weight, -weight
        wanted[k] = weight * pair.difference
    levels, *_ = np.linalg.lstsq(equations, wanted, rcond=NOTHING)
    return levels


def lowest(values: Sequence[float]) -> float:
    """The lowest of several values, NaN passed over; NaN where there is no other."""
    return float(np.fmin.reduce([math.nan, *values]))


def tell(units: Sequence[Unit], has_pixels: Sequence[bool], islands: Sequence[Sequence[int]]) -> None:
    """Warn of exposures that nothing could be measured of, and of islands.

    Parameters
    ----------
    units : sequence of Unit
        The exposures.
    has_pixels : sequence of bool
        Of each, whether a pixel was measured.
    islands : sequence of sequence of int
        Units that overlaps connect; empty where overlaps don't count.
    """
    if empty := [unit.label for unit, known in zip(units, has_pixels, strict=True) if not known]:
        log.warning("The sky is not known of %s: no pixel can be used.", listed(empty, NAMED))
    alone = [island[0] for island in islands if len(island) == 1 and has_pixels[island[0]]]
    if alone:
        names = listed([units[unit].label for unit in alone], NAMED)
        log.warning("The sky is not matched of %s: no pixel that can be used lies within another exposure.", names)
    several = [island for island in islands if len(island) > 1]
    if len(several) > 1:
        words = "; ".join(listed([units[unit].label for unit in island], NAMED) for island in several)
        log.warning(
            "The exposures form %d islands that no overlap connects: %s. The sky is matched within each, and not "
            "between them.",
            len(several),
            words,
        )

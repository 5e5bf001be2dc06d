"""The exposures of a plan, read one by one when it is their turn, and what becomes of those that can't be used."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from gpures.io import FileError, check_units
from gpures.machine.prefetch import interruptible
from gpures.mosaicking.plan import words_of
from gpures.mosaicking.sources import Source
from gpures.reporting.timing import stage

__all__ = ["Stream"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Told:
    """What is remembered of an exposure that was handed on."""

    name: str
    path: Any
    kind: str
    unit: str | None
    pixels: int


class Stream:
    """Models of exposures, for `gpures.Resample.add_models`.

    Parameters
    ----------
    sources : iterable of Source
        The exposures.
    arrays : collection of str
        Names of the arrays that are needed.
    skip_bad : bool
        Whether one that can't be used is left out; else the error names it.

    Attributes
    ----------
    skipped : list of (str, str)
        Exposures that were left out, and why.
    unread : int
        Number of those that could not be read.
    added : list of str
        Names of all others that were handed on, in their order.
    pixels : int
        Of those.
    unit : str or None
        Of the data, once one is known.
    """

    def __init__(self, sources: Iterable[Source], arrays: Collection[str], skip_bad: bool):
        self.skipped: list[tuple[str, str]] = []
        self.unread = 0
        self.unit: str | None = None
        self._sources = sources
        self._arrays = arrays
        self._skip_bad = skip_bad
        self._handed: list[_Told | None] = []
        self._first: _Told | None = None

    @property
    def added(self) -> list[str]:  # noqa: D102
        return [told.name for told in self._handed if told is not None]

    @property
    def pixels(self) -> int:  # noqa: D102
        return sum(told.pixels for told in self._handed if told is not None)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for source in self._sources:
            told = _Told(source.name, source.path, source.kind, source.unit, math.prod(source.shape))
            self._check_unit(told)
            try:
                with stage("reading files"):
                    model = interruptible(partial(source.read, self._arrays))
            except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
                self._bad(told, error)
                self.unread += 1
                continue
            self._handed.append(told)
            yield model
            del source, model  # or they would be held while the next one is read

    def on_error(self, number: int, error: Exception) -> None:
        """Leave out a model that can't be added, or say which it was."""
        told = self._handed[number]
        assert told is not None  # each is told of once
        self._bad(told, error)
        self._handed[number] = None

    def _check_unit(self, told: _Told) -> None:
        """Units of exposures in files and lists are known before; those of a generator's show one by one."""
        if self._first is None and told.unit:
            self._first, self.unit = told, told.unit
        if self._first is not None and told.unit:
            check_units(cast(Any, (self._first, told)))

    def _bad(self, told: _Told, error: Exception) -> None:
        words = words_of(told.name, error)
        if not self._skip_bad:
            if told.kind == "model" or isinstance(error, FileError):
                raise error
            raise FileError(told.path, words.removeprefix(f"{told.path}: ")) from error
        log.warning("Skipped: %s", words)
        self.skipped.append((told.name, words))

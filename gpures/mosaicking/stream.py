"""The exposures of a plan, read one by one when it is their turn, and what becomes of those that can't be used."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gpures.mosaicking.plan import words_of
from gpures.mosaicking.sources import Source, Units
from gpures.stages import stage

__all__ = ["Stream"]

log = logging.getLogger(__name__)


class Stream:
    """Models of exposures, for `gpures.Resample.add_models`.

    Parameters
    ----------
    sources : iterable of Source
        The exposures.
    skip_bad : bool
        Whether one that can't be used is left out; else the error names it.
    variance_names : iterable of str
        Arrays that a file may lack.

    Attributes
    ----------
    skipped : list of (str, str)
        Exposures that were left out, and why.
    unread : int
        Number of those that could not be read.
    pixels : int
        Of all others.
    unit : str or None
        Of the data, once one is known.
    """

    def __init__(self, sources: Iterable[Source], skip_bad: bool, variance_names: Iterable[str] = ()):
        self.skipped: list[tuple[str, str]] = []
        self.unread = self.pixels = 0
        self._sources = sources
        self._skip_bad = skip_bad
        self._absent: dict[str, None] = dict.fromkeys(variance_names)
        self._handed: list[tuple[str, bool, int]] = []
        self._units = Units()

    @property
    def unit(self) -> str | None:
        """Unit of the data."""
        return self._units.unit

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for source in self._sources:
            name, is_file = source.name, source.kind != "model"
            try:
                with stage("reading files"):
                    model = source.read()
                self._units.check(name, model.get("bunit_data"))
            except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
                self._bad(name, is_file, error)
                self.unread += 1
                continue
            self._handed.append((name, is_file, math.prod(source.shape)))
            self.pixels += math.prod(source.shape)
            yield self._absent | dict(model) if is_file else model
            del source, model  # or they would be held while the next one is read

    def on_error(self, number: int, error: Exception) -> None:
        """Leave out a model that can't be added, or say which it was."""
        name, is_file, pixels = self._handed[number]
        self._bad(name, is_file, error)
        self.pixels -= pixels

    def _bad(self, name: str, is_file: bool, error: Exception) -> None:
        words = words_of(name, error)
        if not self._skip_bad:
            if not is_file or words == str(error):
                raise error
            from gpures.io import FileError

            raise FileError(words) from error
        log.warning("Skipped: %s", words)
        self.skipped.append((name, words))

"""The exposures of a plan, read one by one when it is their turn, and what becomes of those that can't be used."""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from gpures.io import FileError
from gpures.io.digest import digest_of
from gpures.io.exposures import ExposureRecord
from gpures.machine.prefetch import interruptible
from gpures.mosaicking.content import Content
from gpures.mosaicking.plan import words_of
from gpures.mosaicking.records import extension_of, record_of
from gpures.mosaicking.scale import Scale, Scales
from gpures.mosaicking.sources import Source, file_of
from gpures.mosaicking.twice import alike
from gpures.reporting.timing import stage

__all__ = ["Stream"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Told:
    """What is remembered of an exposure that was handed on."""

    name: str
    path: Any
    kind: str
    pixels: int
    header: Mapping[str, Any]
    record: ExposureRecord
    digests: Sequence[tuple[str, str]] = ()


class Stream:
    """Models of exposures, for `gpures.Resample.add_models`.

    Parameters
    ----------
    sources : iterable of Source
        The exposures.
    arrays : collection of str
        Names of the arrays that are needed.
    scales : Scales
        What the exposures' values are multiplied by.
    skip_bad : bool
        Whether one that can't be used is left out; else the error names it.
    content : callable
        Tells of a model what there is in it, as `gpures.mosaicking.content.content_of` does; one in which no pixel is
        used is left out, with a warning.
    seen : mapping, optional
        Exposures that are there already, by their digest and extension: what is said of them.

    alike_in : set of (str, str), optional
        Paths and names of exposures that may be the same as others, as `gpures.mosaicking.twice.alike` finds them; by
        default among the sources.

    Attributes
    ----------
    skipped : list of (str, str)
        Exposures that were left out, and why.
    unread : int
        Number of those that could not be read.
    records : list of gpures.io.exposures.ExposureRecord
        All others that were handed on, in their order.
    headers : list of mapping
        What the headers of their files say.
    pixels : int
        Of those.
    """

    def __init__(
        self,
        sources: Iterable[Source],
        arrays: Collection[str],
        scales: Scales,
        skip_bad: bool,
        content: Callable[[Mapping[str, Any]], Content | None],
        seen: Mapping[tuple[str, str], Any] | None = None,
        alike_in: set[tuple[str, str]] | None = None,
    ):
        self.skipped: list[tuple[str, str]] = []
        self.unread = 0
        self._sources = sources
        self._arrays = frozenset(arrays)
        self._scales = scales
        self._skip_bad = skip_bad
        self._content = content
        self._handed: list[_Told | None] = []
        self._kept: list[Source] = []  # of those that were handed on, where they can be read again
        self._again: list[int] = []  # numbers among these, as they were handed on the second time
        self._seen = dict(seen or {})
        if alike_in is None:
            alike_in = alike(sources) if isinstance(sources, Sequence) else set()
        self._alike = alike_in

    @property
    def records(self) -> list[ExposureRecord]:  # noqa: D102
        return [told.record for told in self._handed if told is not None]

    @property
    def headers(self) -> list[Mapping[str, Any]]:  # noqa: D102
        return [told.header for told in self._handed if told is not None]

    @property
    def pixels(self) -> int:  # noqa: D102
        return sum(told.pixels for told in self._handed if told is not None)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for source in self._sources:
            model = self.taken(source)
            if model is not None:
                yield model
            del source, model  # or they would be held while the next one is read

    def taken(self, source: Source) -> Mapping[str, Any] | None:
        """Model of an exposure, the next one that is handed on; None where it is of no use, which is told."""
        told = _told_of(source)
        try:
            scale = self._scales.of(source)
            with stage("reading files"):
                model = interruptible(partial(self._read, source, scale))
        except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
            self._bad(told, error)
            self.unread += 1
            return None
        content = self._content(model)
        with stage("reading files"):
            digests = interruptible(partial(self._digests_of, source, model))
        if (why := self._of_no_use(told, content, digests)) is not None:
            self._leave_out(told, why)
            self.unread += 1
            return None
        self._seen |= dict.fromkeys(digests, f"the same as {told.path}")
        digest = digests[0][0] if digests else ""
        self._handed.append(replace(told, record=record_of(source, model, digest, content), digests=digests))
        if isinstance(self._sources, Sequence):
            self._kept.append(source)
        return model

    def _of_no_use(self, told: _Told, content: Content | None, digests: Iterable[tuple[str, str]]) -> str | None:
        """Why an exposure that was read is left out; None if it is not."""
        if content is not None and not content.used:
            return f"{told.name}: none of its {content.pixels} pixels can be used: {content.why}."
        first = next((self._seen[digest] for digest in digests if digest in self._seen), None)
        return None if first is None else f"{told.path}: {told.name} is {first}: it is used once."

    def _read(self, source: Source, scale: Scale) -> Mapping[str, Any]:
        return scale.applied(source.read(self._arrays), self._arrays)

    def again(self, cleaned: Callable[[int, Mapping[str, Any]], Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """The same models once more, those that were left out not among them.

        Parameters
        ----------
        cleaned : callable
            Number of a model, as it was handed on at first, and the model to what is handed on.
        """
        for number, told in enumerate(self._handed[: len(self._kept)]):
            if told is None:
                continue
            try:
                model = cleaned(number, self.read_again(number))
            except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
                self.on_error(number, error)
                continue
            self._again.append(number)
            yield model
            del model

    def read_again(self, number: int) -> Mapping[str, Any]:
        """A model that was handed on before, once more."""
        source = self._kept[number]
        with stage("reading files"):
            return interruptible(partial(self._read, source, self._scales.of(source)))

    def on_error_again(self, number: int, error: Exception) -> None:
        """Leave out a model that can't be added when it is there for the second time."""
        self.on_error(self._again[number], error)

    def tell(self, number: int, **facts: Any) -> None:
        """Put into a record what was found out about its exposure.

        Parameters
        ----------
        number : int
            Number of the model, as it was handed on at first.
        **facts
            Fields of `gpures.io.exposures.ExposureRecord`.
        """
        told = self._told(number)
        self._handed[number] = replace(told, record=replace(told.record, **facts))

    def added(self, done: int) -> list[int]:
        """Numbers of those models, of the first that were handed on, that were not left out."""
        return [number for number, told in enumerate(self._handed[:done]) if told is not None]

    def digests(self, number: int) -> Sequence[tuple[str, str]]:
        """By what the exposure of a model that was handed on is known again, with its extension."""
        return self._told(number).digests

    def source(self, number: int) -> Source:
        """Exposure of a model that was handed on."""
        return self._kept[number]

    def record(self, number: int) -> ExposureRecord:
        """Record of a model that was handed on."""
        return self._told(number).record

    def on_error(self, number: int, error: Exception) -> None:
        """Leave out a model that can't be added, or say which it was."""
        self._bad(self._told(number), error)
        self._handed[number] = None

    def _told(self, number: int) -> _Told:
        told = self._handed[number]
        assert told is not None  # each is left out once
        return told

    def _bad(self, told: _Told, error: Exception) -> None:
        words = words_of(told.name, error)
        if not self._skip_bad:
            if told.kind == "model" or isinstance(error, FileError):
                raise error
            raise FileError(told.path, words.removeprefix(f"{told.path}: ")) from error
        self._leave_out(told, words)

    def _digests_of(self, source: Source, model: Mapping[str, Any]) -> list[tuple[str, str]]:
        """By what an exposure that has been read is known again; nothing of what is no file.

        It is its file's digest, with the extension, and, if others may be the same, that of its pixels.
        """
        if source.kind == "model" or not os.path.exists(file_of(source)):
            return []
        try:
            found = [(digest_of(file_of(source)), extension_of(source))]
        except FileError:
            return []
        if (str(source.path), source.name) in self._alike:
            pixels = hashlib.sha256()
            for name in sorted(self._arrays & model.keys()):
                array = np.asarray([] if model[name] is None else model[name])
                pixels.update(np.ascontiguousarray(array, array.dtype.newbyteorder("=")))  # as files differ in it
            found.append((pixels.hexdigest(), "pixels"))
        return found

    def _leave_out(self, told: _Told, words: str) -> None:
        log.warning("Skipped: %s", words)
        self.skipped.append((told.name, words))


def _told_of(source: Source) -> _Told:
    return _Told(
        name=source.name,
        path=source.path,
        kind=source.kind,
        pixels=math.prod(source.shape),
        header=source.header,
        record=ExposureRecord(source.name),
    )

"""Exposures that are given twice: the same photons are to be in a mosaic once.

What headers tell is found before the work; copies of a file under another name show by their digests, when they are
read (`gpures.mosaicking.stream`).
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from gpures.errors import FileError
from gpures.io.digest import digest_of
from gpures.io.exposures import ExposureRecord
from gpures.machine.prefetch import interruptible
from gpures.mosaicking.continuing import Begun
from gpures.mosaicking.headers import times_of
from gpures.mosaicking.records import extension_of
from gpures.mosaicking.sources import Source, file_of

__all__ = ["alike", "once"]

log = logging.getLogger(__name__)

# What tells exposures of a mission apart, whatever was made of them.
EXPOSURES = {
    "HST": ("ROOTNAME", "EXPSTART"),
    "JWST": ("DETECTOR", "EXPSTART", "PROGRAM", "OBSERVTN", "VISIT", "VISITGRP", "SEQ_ID", "ACT_ID", "EXPOSURE"),
}

# Names of files of HST and JWST: what comes before the last underscore names the exposure.
MISSION = re.compile(r"([a-z0-9]{9}|jw\d{11}(?:_[a-z0-9]+){2,3})_[a-z0-9]+$")
SUFFIXES = re.compile(r"(\.(fits?|fts|asdf|zarr))?(\.(gz|fz|bz2|xz|zip|z))?$")

# Keywords that tell of a file and not of what is in it.
OF_FILE = re.compile(r"(CHECKSUM|DATASUM|Z\w*|FILENAME|DATE|CREATOR|IRAF.*|EXTNAME|EXTEND|SIMPLE|XTENSION|[PG]COUNT)$")

Left = Callable[[str, str], Any]


def once(sources: Sequence[Source], left: Left, begun: Begun | None = None) -> list[Source]:
    """Exposures, each of them once, as far as headers and names of files tell.

    Parameters
    ----------
    sources : sequence of Source
        All that were given.
    left : callable
        Called with the name of each that is left out, and why.
    begun : gpures.mosaicking.continuing.Begun, optional
        The mosaic that they are added to: those that are in it already are left out.

    Returns
    -------
    list of Source
        The first of those that are the same; exposures rather than a mosaic that has them.
    """
    kept = _first_of_each(sources, _file_of, "is the same file as {first}", left)
    kept = _first_of_each(kept, _exposure_of, "is the same exposure as {first}", left)
    return _without_mosaics_of(kept if begun is None else _not_in(begun, kept, left), left)


def _not_in(begun: Begun, sources: Sequence[Source], left: Left) -> list[Source]:
    """Sources that are not in a mosaic, nor the mosaic itself; copies of its files show when they are read."""
    names = _names_in(begun.records)
    there = {(_root(record.name), record.extension) for record in begun.records}
    digests = {record.digest for record in begun.records} - {""}
    kept = []
    for source in sources:
        if source.kind != "model" and os.path.exists(file_of(source)) and os.path.samefile(file_of(source), begun.path):
            reason = f"{source.path} is the mosaic that others are added to: it is no exposure."
        elif _root(source.path) in names and (_root(source.path), extension_of(source)) in there:
            reason = f"{source.name} is in {begun.path} already: it is not added again."
        elif _made_of(source) and _shares(source, begun.image, names, digests):
            reason = f"{source.path} shares exposures with {begun.path}: it is left out."
        else:
            kept.append(source)
            continue
        log.warning("Left out: %s", reason)
        left(source.name, reason)
    return kept


def _first_of_each(
    sources: Sequence[Source], key_of: Callable[[Source], Hashable | None], words: str, left: Left
) -> list[Source]:
    """The first source of each key; those without one are all kept."""
    first: dict[Hashable, Source] = {}
    kept, repeated = [], 0
    for source in sources:
        key = key_of(source)
        if key is None or first.setdefault(key, source) is source:
            kept.append(source)
            continue
        reason = f"{source.path} {words.format(first=first[key].path)}: {source.name} is used once."
        if not repeated:
            log.warning("Left out: %s", reason)
        left(source.name, reason)
        repeated += 1
    if repeated > 1:
        log.warning("The same of %d more exposures.", repeated - 1)
    return kept


def _file_of(source: Source) -> Hashable | None:
    """The file itself, whatever its names are, and the image in it."""
    if source.kind == "model":
        return None
    try:
        status = os.stat(file_of(source))
    except OSError:
        return None
    return status.st_dev, status.st_ino, extension_of(source)


def _exposure_of(source: Source) -> Hashable | None:
    """What a mission calls an exposure of one detector; None where its headers do not tell."""
    header = source.header
    keywords = EXPOSURES.get(str(header.get("TELESCOP")), ())
    if not keywords or _made_of(source) or not all(header.get(keyword) is not None for keyword in keywords):
        return None
    return (*(header[keyword] for keyword in keywords), header.get("CCDCHIP", ""), extension_of(source))


def _made_of(source: Source) -> Sequence[ExposureRecord]:
    """The exposures in an image of a file that is a mosaic; other sources have none."""
    return getattr(source, "made_of", ())


# ---- mosaics beside what is in them ----------------------------------------------------------------------------------


def _without_mosaics_of(sources: Sequence[Source], left: Left) -> list[Source]:
    """Sources without those mosaics that share exposures with others."""
    kept = list(sources)
    for mosaic in [source for source in reversed(sources) if _made_of(source)]:
        names, digests = _names_in(_made_of(mosaic)), {record.digest for record in _made_of(mosaic)} - {""}
        other = next((other for other in kept if other is not mosaic and _shares(other, mosaic, names, digests)), None)
        if other is None:
            continue
        kept.remove(mosaic)
        what = f"shares exposures with {other.path}" if _made_of(other) else f"has {other.name} in it already"
        reason = (
            f"{mosaic.path} {what}: the mosaic is left out, with all {len(_made_of(mosaic))} exposures in it. Give "
            "either the mosaic or exposures."
        )
        log.warning("Left out: %s", reason)
        left(mosaic.name, reason)
    return kept


def _names_in(records: Iterable[ExposureRecord]) -> set[str]:
    """Names by which exposures are known again: those of missions, and others where there is no digest."""
    roots = {_root(record.name): record.digest for record in records}
    return {root for root, digest in roots.items() if not digest or MISSION.match(f"{root}_x")}


def _root(name: Any) -> str:
    """Name of a file without folder, extension and suffix; of a mission's, the exposure's."""
    stem = SUFFIXES.sub("", os.path.basename(re.sub(r"\[[^\]]*\]$", "", str(name))).lower())
    found = MISSION.match(stem)
    return found[1] if found else stem


def _shares(other: Source, mosaic: Source, names: set[str], digests: set[str]) -> bool:
    """Whether an exposure is in a mosaic, or another mosaic has exposures that are."""
    if other.kind == "model" or other.path == mosaic.path:
        return False
    records = _made_of(other)
    if records and (names & {_root(record.name) for record in records} or digests & {r.digest for r in records}):
        return True
    if not records and _root(other.path) in names:
        return True
    return bool(digests) and _digest(other) in digests


def _digest(source: Source) -> str:
    try:
        return interruptible(lambda: digest_of(file_of(source)))
    except (FileError, OSError):
        return ""


# ---- candidates for a look at the pixels -----------------------------------------------------------------------------


def alike(sources: Iterable[Source]) -> set[tuple[str, str]]:
    """Paths and names of exposures whose headers say the same as another's, so that their pixels may be the same, too.

    Parameters
    ----------
    sources : iterable of Source
        Those that will be read.
    """
    groups: dict[Hashable, list[tuple[str, str]]] = {}
    for source in sources:
        said = frozenset((key, str(value)) for key, value in source.header.items() if not OF_FILE.match(key))
        if times_of(source.header)[0] is not None:  # else images that somebody made up may have one header
            groups.setdefault((said, source.shape), []).append((str(source.path), source.name))
    return {name for names in groups.values() if len(names) > 1 for name in names}

"""Files that belong to other files: the weights, masks and errors of an image, as separate files beside it.

Which file belongs to which shows from their names: a word such as ``weight`` or ``mask`` is added to the image's, or
stands where the image has ``image`` or ``sci``; or both are named as an observatory does it (`gpures.io.roles.PAIRS`).
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from string import digits
from typing import Any

from gpures.errors import FileError
from gpures.io.extensions import WORDS, Extension, extensions_of
from gpures.io.fits_images import opened
from gpures.io.reading import Reading
from gpures.io.roles import COMPANIONS, FILE_WORDS, IMAGE_WORDS, PAIRS, SOURCES

__all__ = ["Beside", "belongs_to", "files_beside", "matched", "owners_among", "why_no_exposure"]

log = logging.getLogger(__name__)

SUFFIX = re.compile(r"\.(fits|fit|fts|fz)(\.(gz|fz|bz2|xz|z|zip))?$", re.IGNORECASE)
PACKED = ("", ".fz", ".gz", ".bz2")
BREAKS = re.compile(r"[._-]+")

# Parts of a name that a word may be written in, and what stands behind it in files that were made anew.
PIECES = 3
VERSION = re.compile(r"v?\d+", re.IGNORECASE)

# Nanoseconds after which the time of a folder's last change tells whether it is the same.
SETTLED = 2 * 10**9

ALONE = "'masks' and 'weights' leave such files alone where they are \"none\"."

# Names of what belongs to others in `PAIRS`, whether there are those or not.
PAIRED = re.compile(r"_o[a-z][wd](?=_|$)|_c1[mfh]$|_q0[mfh]$|_c?bunc$|_bimsk$|_munc$")


@dataclass(frozen=True)
class Beside:
    """A file that belongs to an image's.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    role : str
        What it holds.
    given : bool
        Whether the user says so.
    """

    path: Path
    role: str
    given: bool = False


@dataclass
class _Folder:
    """Which files of a folder belong to which, by name."""

    owned: dict[str, list[tuple[str, str, bool]]] = field(default_factory=dict)
    owner: dict[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, names: Iterable[str]) -> _Folder:
        stems: dict[str, list[str]] = {}
        for name in names:
            if SUFFIX.search(name):
                stems.setdefault(_stem(name), []).append(name)
        images: dict[tuple[str, ...], str] = {}
        for stem in sorted(stems):
            for key in _image_keys(stem):
                images.setdefault(key, stem)
        folder = cls()
        for stem in stems:
            for key, role, is_clear in _companion_keys(stem):
                if (image := images.get(key)) is not None and image != stem:
                    folder._add(stems, image, stem, role, is_clear)
                    break
            for pattern, other, role in PAIRS:
                if (companion := re.sub(pattern, other, stem)) != stem and companion in stems:
                    folder._add(stems, stem, companion, role, True)
        return folder

    def _add(self, stems: dict[str, list[str]], image: str, companion: str, role: str, is_clear: bool) -> None:
        self.owner.update(dict.fromkeys(stems[companion], (stems[image][0], role)))
        for name in stems[image]:
            self.owned.setdefault(name, []).append((stems[companion][0], role, is_clear))


@lru_cache(maxsize=16)
def _listed(folder: str, changed: int) -> _Folder:
    try:
        return _Folder.of(os.listdir(folder))
    except OSError:
        return _Folder()


def _folder_of(path: Path) -> _Folder:
    try:
        changed = os.stat(path.parent).st_mtime_ns
    except OSError:
        return _Folder()
    # One that has just changed may do so again within what its time tells apart.
    listed = _listed if abs(time.time_ns() - changed) > SETTLED else _listed.__wrapped__
    return listed(str(path.parent), changed)


def _stem(name: str) -> str:
    return SUFFIX.sub("", name)


def _parts(stem: str) -> tuple[str, ...]:
    return tuple(BREAKS.split(stem))


@dataclass(frozen=True)
class _Word:
    """A word in a name, which may be written in several parts and have a number behind it."""

    word: str
    number: str
    before: tuple[str, ...]
    behind: tuple[str, ...]

    @property
    def numbered(self) -> tuple[str, ...]:
        """The name without the word, but with its number."""
        return (*self.before, *([self.number] if self.number else []), *self.behind)


def _words_in(stem: str, words: Collection[str]) -> Iterator[_Word]:
    """Those of some words that are in a name: the last first, and the longest of those that end at one place."""
    parts = _parts(stem)
    for end in range(len(parts), 0, -1):
        for begin in range(max(0, end - PIECES), end):
            pieces = parts[begin:end]
            whole = "".join(pieces)
            word = whole.rstrip(digits)
            if word.upper() in words and (len(pieces) == 1 or min(map(len, pieces)) > 1):
                yield _Word(word.upper(), whole[len(word) :], parts[:begin], parts[end:])


def _image_keys(stem: str) -> list[tuple[str, ...]]:
    """What the names of an image's companions are without the word that makes them so."""
    return [_parts(stem), *(found.numbered for found in _words_in(stem, IMAGE_WORDS))]


def _companion_keys(stem: str) -> Iterator[tuple[tuple[str, ...], str, bool]]:
    """Of what something is by its name, what it is, and whether nothing else is in the name, such as a version."""
    for found in _words_in(stem, FILE_WORDS):
        role = FILE_WORDS[found.word]
        yield found.numbered, role, True
        if found.number:
            yield found.before + found.behind, role, False
        if found.behind and VERSION.fullmatch(found.behind[-1]):
            yield found.before + found.behind[:-1], role, False


def belongs_to(path: Path) -> tuple[Path, str] | None:
    """The file that a file belongs to by its name, and what it is of that one.

    Parameters
    ----------
    path : pathlib.Path
        A file.

    Returns
    -------
    (pathlib.Path, str) or None
        The other file, and the role: "wht", "mask", "other" and so on. None if it belongs to none that is there.
    """
    owner = _folder_of(path).owner.get(path.name)
    return None if owner is None else (path.parent / owner[0], owner[1])


def owners_among(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Of files in one folder, by name, those that belong to others: to which, and the role as in `belongs_to`."""
    return _Folder.of(names).owner


def why_no_exposure(path: Path) -> str | None:
    """Why a file is no exposure, by its name; None if it may be one.

    Parameters
    ----------
    path : pathlib.Path
        A file.
    """
    owner = belongs_to(path)
    if owner is not None and owner[1] in WORDS:
        return f"it is by its name {WORDS[owner[1]]} of {owner[0].name}, and no exposure"
    stem = _stem(path.name)
    for found in _words_in(stem, FILE_WORDS):
        role = FILE_WORDS[found.word]
        if found.before and not found.behind and not found.number and role in WORDS:
            return f"it is by its name {WORDS[role]} of another file, and no exposure"
    return "it belongs by its name to another file, and is no exposure" if PAIRED.search(stem) else None


def files_beside(path: Path, reading: Reading) -> list[Beside]:
    """Files that belong to an image's: those that the user names, else those that are there.

    Parameters
    ----------
    path : pathlib.Path
        File of an image.
    reading : Reading
        What the user says.

    Raises
    ------
    FileError
        One that the user names is not there.
    """
    found = []
    for kind, pattern, selected in (
        ("mask", reading.masks, reading.mask_ext),
        ("weight", reading.weights, reading.weight_ext),
    ):
        if pattern is not None and pattern.lower() != "none":
            found.append(_named(path, pattern, kind))
        elif pattern is None and not selected:
            for name, role, is_clear in _folder_of(path).owned.get(path.name, []):
                if (role in ("dq", "mask")) != (kind == "mask") or role == "other":
                    continue
                if is_clear and role in COMPANIONS:
                    found.append(Beside(path.parent / name, role))
                else:
                    what = WORDS.get(role, "weights or variances")
                    log.warning("%s: %s beside it may be %s, and is not read.", path, name, what)
    return found


def _named(path: Path, pattern: str, kind: str) -> Beside:
    """The file that a pattern stands for: ``*`` is the image's name without its suffix."""
    stems = [_stem(path.name)]
    for match in re.finditer(r"[^._-]+", stems[0]):
        if match[0].upper() in IMAGE_WORDS:
            stems.append(stems[0][: max(match.start() - 1, 0)] + stems[0][match.end() :])
    folder = Path() if os.path.dirname(pattern) else path.parent
    tried = []
    for stem in stems:
        for suffix in PACKED:
            file = folder / (pattern.replace("*", stem) + suffix)
            tried.append(str(file))
            if file.exists():
                words = [FILE_WORDS[found.word] for found in _words_in(_stem(file.name), FILE_WORDS)]
                roles = ("dq", "mask") if kind == "mask" else SOURCES
                role = next((word for word in words if word in roles), "mask" if kind == "mask" else "wht")
                return Beside(file, role, given=True)
    raise FileError(path, f"there is no {kind} for it: '{kind}s' is {pattern!r}, which stands for {tried[0]}.")


def matched(
    path: Path, images: Sequence[Extension], beside: Beside, plane: int | None
) -> dict[int, tuple[Extension, Any]]:
    """Which extension of a file beside an image's belongs to which image.

    Parameters
    ----------
    path : pathlib.Path
        The images' file.
    images : sequence of Extension
        All its images.
    beside : Beside
        The other file.
    plane : int or None
        Of cubes, the plane.

    Returns
    -------
    dict
        By the number of an image, the extension in the other file, and its HDU, without its pixels.

    Raises
    ------
    FileError
        It can't be told, or one has another shape than its image.
    """
    with opened(beside.path) as hdus:
        there = [each for each in extensions_of(hdus, plane) if each.shape]
        there = [each for each in there if each.role in ("image", "unknown", beside.role)] or there
        pairs = _pairs(images, there)
        if pairs is None:
            raise FileError(
                beside.path,
                f"it can't be told which of its images {', '.join(each.label for each in there) or '(none)'} belong to "
                f"which of {path.name}: neither their names nor their number say so. {ALONE}",
            )
        for image, each in pairs:
            if each.shape != image.shape:
                raise FileError(
                    beside.path,
                    f"{each.label} has the shape {each.shape}, expected that of {image.label} in {path.name}, "
                    f"{image.shape}. {ALONE}",
                )
        return {image.index: (each, hdus[each.index]) for image, each in pairs}


def _pairs(images: Sequence[Extension], there: Sequence[Extension]) -> list[tuple[Extension, Extension]] | None:
    if len(images) == 1 and len(there) == 1:
        return [(images[0], there[0])]
    names = [(image.name, image.version) for image in images]
    by_name = {(each.name, each.version): each for each in there}
    if all(name for name, _ in names) and len(set(names)) == len(names) and set(names) <= by_name.keys():
        return [(image, by_name[name]) for image, name in zip(images, names, strict=True)]
    if len(images) == len(there):
        return list(zip(images, there, strict=True))
    return None

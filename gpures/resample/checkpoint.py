"""Unfinished mosaics on the disk: a zarr store, whole at any moment, to which what has changed is written.

A checkpoint is a folder. Each saving makes a group of its own in it, a generation, and when that is on the disk, the
attributes of the root name it in one step. Chunks in which nothing has changed are those of the generation before,
under another name.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpures.arguments.arrays import as_host
from gpures.backend.base import Accumulators, Part
from gpures.box import Box
from gpures.errors import FileError, MissingDependencyError, MissingFileError
from gpures.extras import install
from gpures.io.atomic import written
from gpures.io.regular import opened_file
from gpures.machine import locks
from gpures.resample.plain import as_json, of_json

__all__ = ["Checkpoint", "Saved", "in_use", "is_checkpoint", "remove", "save_accumulators"]

# Of what is written: it goes up when older programs can't read it any more.
SCHEMA = 1

# Side of a chunk.
CHUNK = 1024

# As small as the best of a mosaic's planes, and three times as fast; a checksum stands behind each chunk.
CODEC: dict[str, Any] = {"cname": "lz4", "clevel": 1, "shuffle": "bitshuffle"}

ROOT, STATE, WCS = "zarr.json", "state.json", "wcs"

# Files that are locked while a checkpoint is written, and while somebody goes on with it.
LOCK, IN_USE = "lock", "in_use"
GENERATION = re.compile(r"g[0-9a-f]{16}")
CHUNK_FILE = re.compile(r"\d+/c(/\d+)*/(?P<y>\d+)/(?P<x>\d+)")

# What a state tells for its arrays to be read.
TOLD = {"arrays", "numbers", "files", "done", "touched", "wcs", "backend"}

# Files whose writing to the disk is waited for at a time.
AT_ONCE = 16

NO_CHECKPOINT = "it is no checkpoint of gpures"


@dataclass(frozen=True)
class Saved:
    """Where accumulators were saved last.

    Attributes
    ----------
    folder : pathlib.Path
        The checkpoint.
    generation : str
        Its generation then.
    """

    folder: Path
    generation: str


# ---- writing ---------------------------------------------------------------------------------------------------------


def save_accumulators(
    path: str | os.PathLike[str], accumulators: Accumulators, state: Mapping[str, Any], wcs: bytes, last: Saved | None
) -> Saved:
    """Write a checkpoint, in place of the one that is there.

    Parameters
    ----------
    path : str or path
        Folder: a checkpoint, empty, or not there.
    accumulators : Accumulators
        What is accumulated; whole.
    state : mapping
        What is known besides, of values that `gpures.resample.plain.as_json` takes.
    wcs : bytes
        The output WCS.
    last : Saved or None
        Where they were saved last. If that is what is there, only what has changed since is written.

    Returns
    -------
    Saved
        For the next time.

    Raises
    ------
    FileError
        Something else is there.
    TypeError
        Something of the state can't be saved.
    OSError
        It can't be written. What was there still is.
    """
    as_json(state)  # before anything is written
    folder = Path(path).absolute()
    _make(folder)
    with _locked(folder / LOCK, folder, "another process is writing to it."):
        before = _generation_of(folder)
        _remove_others(folder, before)
        generation = f"g{secrets.token_hex(8)}"
        there = folder / generation
        only = accumulators.changed if last == Saved(folder, before or "") else None
        try:
            facts = {**state, **_write(there, accumulators, only, folder / str(before)), "wcs": _digest(wcs)}
            (there / WCS).write_bytes(wcs)
            text = as_json(facts).encode()
            (there / STATE).write_bytes(text)
            _sync(there)
            with written(folder / ROOT, overwrite=True) as file:
                file.write(json.dumps(_root(generation, _digest(text))).encode())
        finally:
            _remove_others(folder, _generation_of(folder))
    accumulators.begin_changes()
    return Saved(folder, generation)


def _write(there: Path, accumulators: Accumulators, only: list[Box] | None, before: Path) -> dict[str, Any]:
    """Write what is held to a new generation, and tell how it can be had back."""
    shape = accumulators.layout.shape
    sample = accumulators.part(Box(0, 0, 0, 0))
    group = _zarr().open_group(there, mode="w", zarr_format=3)
    images = {name: image for name, image in sample.images.items() if image.ndim > 1}
    arrays = {name: _made(group, str(k), name, image, shape) for k, (name, image) in enumerate(images.items())}
    changed = _chunks_of([sample.touched] if only is None else only)
    for name in _files(before) if only is not None else ():
        found = CHUNK_FILE.fullmatch(name)
        if found and (int(found["y"]), int(found["x"])) not in changed:
            _link(before / name, there / name)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        writing: list[Any] = []
        for window in [*_windows(changed, shape), None]:
            before_it, writing = writing, []  # written while this is copied
            if window is not None:
                part = accumulators.part(window).images
                writing = [pool.submit(_put, array, window, part[name]) for name, array in arrays.items()]
            for done in before_it:
                done.result()
    return {
        "arrays": [(name, array.shape, array.dtype) for name, array in arrays.items()],
        "numbers": {name: as_host(image) for name, image in sample.images.items() if image.ndim < 2},
        "files": {name: _known_by(there, name) for name in _files(there)},
        "done": sample.done,
        "touched": tuple(sample.touched),
    }


def _known_by(folder: Path, name: str) -> int | str:
    """By what a file is known again: its size, as chunks have checksums, or of others a digest."""
    file = folder / name
    return file.stat().st_size if CHUNK_FILE.fullmatch(name) else _digest(file.read_bytes())


def _made(group: Any, number: str, name: str, image: Any, shape: tuple[int, int]) -> Any:
    """An empty array of a generation, for an image of the frame or a stack of such."""
    from zarr.codecs import BloscCodec, Crc32cCodec

    stack = image.shape[:-2]
    return group.create_array(
        number,
        shape=(*stack, *shape),
        chunks=(*(1 for _ in stack), min(CHUNK, shape[0]), min(CHUNK, shape[1])),
        dtype=image.dtype,
        compressors=[BloscCodec(**CODEC), Crc32cCodec()],
        config={"write_empty_chunks": False},
        attributes={"name": name},
    )


def _put(array: Any, window: Box, image: Any) -> None:
    array[window.slices] = as_host(image)


def _chunks_of(parts: Iterable[Box]) -> set[tuple[int, int]]:
    """Chunks, by their numbers along y and x, that parts of the frame touch."""
    return {
        (y, x)
        for part in parts
        for y in range(part.ymin // CHUNK, part.ymax // CHUNK + 1)
        for x in range(part.xmin // CHUNK, part.xmax // CHUNK + 1)
        if part.xmin <= part.xmax
    }


def _windows(chunks: set[tuple[int, int]], shape: tuple[int, int]) -> Iterator[Box]:
    """Parts of the frame that are these chunks: those that lie side by side at once."""
    for y, x in sorted(chunks):
        if (y, x - 1) in chunks:
            continue
        end = x
        while (y, end) in chunks:
            end += 1
        yield Box(x * CHUNK, min(end * CHUNK, shape[1]) - 1, y * CHUNK, min((y + 1) * CHUNK, shape[0]) - 1)


def _root(generation: str, digest: str) -> dict[str, Any]:
    """Metadata of the root, a group of zarr."""
    told = {"kind": "checkpoint", "schema": SCHEMA, "generation": generation, "state": digest}
    return {"zarr_format": 3, "node_type": "group", "attributes": {"gpures": told}}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _files(folder: Path) -> list[str]:
    """Files of the group and arrays of a generation, by their paths in it."""
    paths = [os.path.join(place, name) for place, _, names in os.walk(folder) for name in names]
    return sorted({os.path.relpath(path, folder) for path in paths} - {STATE, WCS})


def _link(file: Path, name: Path) -> None:
    """Give a file a second name, or make a copy of it where a file system has no such names."""
    name.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, name)
    except OSError:
        shutil.copyfile(file, name)


def _sync(folder: Path) -> None:
    """Have all that is in a folder on the disk."""
    places = [folder, *(Path(place) / name for place, folders, names in os.walk(folder) for name in folders + names)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(_sync_one, places))


def _sync_one(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_others(folder: Path, generation: str | None) -> None:
    """Remove all generations but one: that before, and what was left by processes that were killed."""
    for name in os.listdir(folder):
        if GENERATION.fullmatch(name) and name != generation:
            shutil.rmtree(folder / name, ignore_errors=True)


def _make(folder: Path) -> None:
    """Make the folder of a checkpoint; one that is there must be such, or empty."""
    if _generation_of(folder) is None and folder.is_dir() and not all(map(_is_own, os.listdir(folder))):
        raise FileError(folder, f"{NO_CHECKPOINT}: give an empty folder, or one that is not there.")
    folder.mkdir(exist_ok=True)


@contextmanager
def _locked(lock: Path, folder: Path, words: str) -> Iterator[None]:
    with open(lock, "w") as file:
        try:
            locks.lock(file.fileno())
        except BlockingIOError:
            raise FileError(folder, words) from None
        yield


@contextmanager
def in_use(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes from a checkpoint for as long as this one goes on with it.

    Raises
    ------
    FileError
        Another one does, or something else is in the folder.
    MissingDependencyError
        zarr is not installed.
    """
    _zarr()
    folder = Path(path).absolute()
    _make(folder)
    with _locked(folder / IN_USE, folder, "another process goes on with this checkpoint."):
        yield


def is_checkpoint(path: str | os.PathLike[str]) -> bool:
    """Whether there is a checkpoint.

    Raises
    ------
    FileError
        There is something else, or what there is is damaged.
    """
    return _generation_of(Path(path).absolute()) is not None


def remove(path: str | os.PathLike[str]) -> None:
    """Remove a checkpoint, and its folder if nothing else is in it."""
    folder = Path(path).absolute()
    for name in (ROOT, LOCK, IN_USE):
        with suppress(FileNotFoundError):
            os.unlink(folder / name)
    _remove_others(folder, None)
    with suppress(OSError):
        folder.rmdir()


def _zarr() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise MissingDependencyError(f"Checkpoints need zarr: {install('zarr')}.") from error
    return zarr


# ---- reading ---------------------------------------------------------------------------------------------------------


class Checkpoint:
    """A checkpoint that is there, whose state has been read.

    Parameters
    ----------
    path : str or path
        Its folder.

    Attributes
    ----------
    saved : Saved
        Where it is.
    state : dict
        What is known beside what is accumulated.
    wcs : bytes
        The output WCS.

    Raises
    ------
    FileError
        There is none, it is damaged, or a later gpures has made it; the text says what.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self._folder = Path(path).absolute()
        if not self._folder.is_dir():
            raise MissingFileError(self._folder, "there is no such folder.")
        told = _told(self._folder)
        self._there = self._folder / told["generation"]
        self.saved = Saved(self._folder, told["generation"])
        text = self._content(STATE)
        if _digest(text) != told["state"]:
            raise self._damaged(f"{STATE} is not what was written")
        try:
            self.state: dict[str, Any] = of_json(text)
        except ValueError as error:
            raise self._damaged(str(error)) from error
        if not isinstance(self.state, dict) or not self.state.keys() >= TOLD:
            raise self._damaged(f"{STATE} does not tell {', '.join(sorted(TOLD))}")
        self.wcs = self._content(WCS)
        if _digest(self.wcs) != self.state["wcs"]:
            raise self._damaged("its output WCS is not what was written")
        self._check_files()

    def _content(self, name: str) -> bytes:
        try:
            with opened_file(self._there / name) as file:
                return file.read()
        except FileError as error:
            raise self._damaged(f"{name} can't be read") from error

    def _damaged(self, words: str) -> FileError:
        return FileError(self._folder, f"the checkpoint is damaged: {words}.")

    def _check_files(self) -> None:
        for name, known in self.state["files"].items():
            try:
                is_same = _known_by(self._there, name) == known
            except OSError as error:
                raise self._damaged(f"{name} is missing, or can't be read") from error
            if not is_same:
                raise self._damaged(f"{name} is not what was written")

    def fill(self, accumulators: Accumulators) -> None:
        """Have new accumulators hold what was saved.

        Parameters
        ----------
        accumulators : Accumulators
            Of the same layout.

        Raises
        ------
        FileError
            What was saved is damaged, or others accumulate it.
        """
        shape, state = accumulators.layout.shape, self.state
        images = accumulators.part(Box(0, 0, 0, 0)).images
        wanted = [(n, (*image.shape[:-2], *shape), image.dtype) for n, image in images.items() if image.ndim > 1]
        if wanted != state["arrays"] or {n for n, image in images.items() if image.ndim < 2} != set(state["numbers"]):
            raise FileError(
                self._folder,
                f"backend {accumulators.backend!r} can't go on with it: it accumulates other arrays than that with "
                f"which it was begun, {state['backend']!r}.",
            )
        group = _zarr().open_group(self._there, mode="r")
        done, touched = np.asarray(state["done"], np.int64), Box(*state["touched"])
        chunks = {
            (int(found["y"]), int(found["x"])) for name in state["files"] if (found := CHUNK_FILE.fullmatch(name))
        }
        accumulators.take_over(Part(Box(0, 0, 0, 0), state["numbers"], done, touched))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for window in _windows(chunks, shape):
                read = [pool.submit(self._read, group, k, window, wanted[k]) for k in range(len(wanted))]
                part = {name: one.result() for (name, _, _), one in zip(wanted, read, strict=True)}
                accumulators.take_over(Part(window, part, done, touched))

    def _read(self, group: Any, number: int, window: Box, wanted: tuple[str, tuple[int, ...], np.dtype]) -> np.ndarray:
        try:
            array = group[str(number)]
            if (array.attrs["name"], array.shape, array.dtype) != wanted:
                raise self._damaged(f"array {number} is not what was written")
            return array[window.slices]
        except FileError:
            raise
        except Exception as error:  # zarr's and its codecs' own
            raise self._damaged(f"array {number} can't be read: {error}") from error


def _told(folder: Path) -> dict[str, Any]:
    """What the root of a checkpoint tells."""
    try:
        with opened_file(folder / ROOT) as file:
            told = json.loads(file.read())["attributes"]["gpures"]
            kind, schema = told["kind"], told["schema"]
            found = kind == "checkpoint" and isinstance(schema, int)
    except FileError as error:
        raise FileError(folder, f"{NO_CHECKPOINT}: {ROOT} is not there, or can't be read.") from error
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(folder, f"{NO_CHECKPOINT}, or damaged: {ROOT} is not what was written.") from error
    if not found:
        raise FileError(folder, f"{NO_CHECKPOINT}, but {kind!r}.")
    if schema > SCHEMA:
        raise FileError(folder, f"the checkpoint is of a later gpures (schema {schema}, expected {SCHEMA} at most).")
    if not GENERATION.fullmatch(str(told.get("generation"))) or not isinstance(told.get("state"), str):
        raise FileError(folder, f"the checkpoint is damaged: {ROOT} is not what was written.")
    return told


def _is_own(name: str) -> bool:
    """Whether a file or folder is of a checkpoint, if only of one that was never finished."""
    return name in (LOCK, IN_USE) or GENERATION.fullmatch(name) is not None


def _generation_of(folder: Path) -> str | None:
    """Generation that a checkpoint names; None where there is no checkpoint."""
    return _told(folder)["generation"] if os.path.lexists(folder / ROOT) else None

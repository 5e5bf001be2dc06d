"""What is to be co-added: files, found and described without their images being read, and models."""

from __future__ import annotations

import glob
import logging
import math
import os
import posixpath
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np

from gpures import io
from gpures.arguments.arrays import model_name
from gpures.arguments.values import is_real
from gpures.io import FileError, Input, NoExposureError, Reading
from gpures.io.beside import owners_among
from gpures.io.remote import fetched, is_url, matching, name_of, public
from gpures.io.zarr_layout import is_store
from gpures.machine.prefetch import interruptible
from gpures.reporting.progress import shown

__all__ = ["ModelSource", "RemoteSource", "Source", "entries_of", "file_of", "find", "with_arrays"]

log = logging.getLogger(__name__)

# The array that readers compute where it is asked for.
COMPUTED = "var_sky"


class Source(Protocol):
    """An exposure: what `gpures.io.Input` tells of one in a file, and `ModelSource` of a model."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def kind(self) -> str:
        """The mission, "fits" or "model"."""

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (Ny, Nx)."""

    @property
    def wcs(self) -> Any:
        """Its WCS."""

    @property
    def unit(self) -> str | None:
        """Unit of the data."""

    @property
    def exposure_time(self) -> float:
        """Seconds."""

    @property
    def group_id(self) -> Any:
        """What it has in common with exposures that were taken at the same time."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of each array, once it is read."""

    @property
    def path(self) -> Any:
        """Its file."""

    @property
    def header(self) -> Mapping[str, Any]:
        """What its file's headers say, as FITS keywords."""

    @property
    def count_time(self) -> float | None:
        """Seconds that values which are counts grew with; None where nobody knows."""

    @property
    def values_area(self) -> float | None:
        """Steradians that values per pixel are of, where they are the same for all pixels."""

    def read(self, arrays: Iterable[str]) -> Mapping[str, Any]:
        """Model with these arrays, as `gpures.Resample.add_model` takes it."""


@dataclass
class ModelSource:
    """An exposure that is a model already.

    Raises
    ------
    KeyError, ValueError
        The model lacks what a frame is made from, or is no image.
    """

    model: Mapping[str, Any]
    kind: str = field(default="model", init=False)

    def __post_init__(self) -> None:
        for key in ("data", "wcs"):
            if self.model.get(key) is None:
                raise KeyError(f"Model '{self.name}' has no '{key}'.")
        if np.ndim(self.model["data"]) != 2:
            raise ValueError(
                f"Model '{self.name}' is not a 2D image: its 'data' has the shape {np.shape(self.model['data'])}."
            )

    @property
    def name(self) -> str:
        """File name of the model."""
        return model_name(self.model)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of its data."""
        ny, nx = np.shape(self.model["data"])
        return ny, nx

    @property
    def wcs(self) -> Any:
        """Its WCS."""
        return self.model["wcs"]

    @property
    def unit(self) -> str | None:
        """Unit of its data."""
        return self.model.get("bunit_data")

    @property
    def exposure_time(self) -> float:
        """Seconds; NaN where the model has no such number."""
        time: Any = self.model.get("exposure_time")
        return float(time) if is_real(time) else math.nan

    @property
    def group_id(self) -> Any:
        """What it has in common with models that were taken at the same time; of itself alone where it tells none."""
        return self.model.get("group_id", id(self.model))

    @property
    def sizes(self) -> Mapping[str, int]:
        """Its arrays, which are there already."""
        names = ("data", "dq", "err", *(name for name in self.model if str(name).startswith("var_")))
        return {name: 0 for name in names if np.ndim(self.model.get(name, 0)) == 2}

    @property
    def path(self) -> str:
        """File name of the model."""
        return self.name

    @property
    def header(self) -> Mapping[str, Any]:
        """A model has no headers."""
        return {}

    @property
    def count_time(self) -> float | None:
        """Its exposure time; None where it has no such number."""
        return self.exposure_time if self.exposure_time > 0 else None

    @property
    def values_area(self) -> float | None:
        """Steradians that its values are of, where it says so."""
        return self.model.get("values_area")

    def read(self, arrays: Iterable[str]) -> Mapping[str, Any]:
        """The model; pixels of its data that are no number are masked, so that they have no weight."""
        data = self.model["data"]
        if type(data) in (np.ndarray, np.ma.MaskedArray) and data.dtype.kind == "f" and not np.isfinite(data).all():
            mask = ~np.isfinite(np.ma.getdata(data)) | np.ma.getmaskarray(data)
            return {**self.model, "data": np.ma.MaskedArray(np.ma.getdata(data), mask)}
        return self.model


@dataclass
class RemoteSource:
    """An exposure in a file under a URL, which each process that reads it fetches for itself.

    Attributes
    ----------
    url : str
        The URL, with all that is needed to fetch it.
    number : int
        Of the image in the file.
    image : gpures.io.Input
        What is known of it, as the process that planned found it.
    reading : gpures.io.Reading or None
        What is said about how it is read.
    companions : tuple of str
        URLs of what belongs to it, such as its weights.
    """

    url: str
    number: int
    image: Input
    reading: Reading | None
    companions: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> Any:
        """What is known of the image."""
        if name.startswith("__") or name == "image":  # which is not there while this is unpickled
            raise AttributeError(name)
        return getattr(self.image, name)

    @property
    def path(self) -> str:
        """Its URL, as it may be told."""
        return public(self.url)

    @property
    def file(self) -> Path:
        """Its file on this machine."""
        return fetched(self.url, self.companions)

    def read(self, arrays: Iterable[str]) -> Mapping[str, Any]:
        """Model with these arrays."""
        with _told_of(self.path, self.file):
            image: Input | None = self.image
            if self.file != self.image.path:
                there = io.inputs(self.file, reading=self.reading)
                image = there[self.number] if self.number < len(there) else None
            if image is None or (image.name, image.shape) != (self.image.name, self.image.shape):
                raise FileError(self.path, "the file is another one by now.")
            return {**image.read(arrays), "group_id": self.image.group_id}


@contextmanager
def _told_of(url: str, file: Path) -> Iterator[None]:
    """Have errors of a file name its URL."""
    try:
        yield
    except FileError as error:
        raise type(error)(url, str(error).removeprefix(f"{file}: ")) from error


def _named(image: Input, file: Path, url: str) -> Input:
    """An image whose group, where that is its file, is that of the URL."""
    group = image.meta["group_id"]
    if isinstance(group, str) and group.startswith(str(file)):
        return replace(image, meta={**image.meta, "group_id": group.replace(str(file), url, 1)})
    return image


def file_of(source: Source) -> Any:
    """The file of an exposure on this machine."""
    return getattr(source, "file", source.path)


def entries_of(inputs: Any) -> tuple[list[Any], Iterator[Any] | None]:
    """What was given as a list; or an iterator of models that can't be listed, as they would all be in memory.

    Parameters
    ----------
    inputs : object
        As `gpures.mosaic` takes them.

    Raises
    ------
    TypeError, ValueError
        It is nothing that can be listed, or empty.
    """
    if isinstance(inputs, (str, os.PathLike, Mapping)) or hasattr(inputs, "read"):
        return [inputs], None
    if not np.iterable(inputs):  # an array without dimensions says that it is Iterable
        raise TypeError(f"'inputs' must be paths or models, or a list of such, got {type(inputs).__name__}.")
    if not isinstance(inputs, Iterator):
        entries = list(inputs)
    else:
        entries = []
        for entry in inputs:
            if isinstance(entry, Mapping) and not entries:
                return [], _chain(entry, inputs)
            entries.append(entry)
    if not entries:
        raise ValueError("'inputs' is empty: give paths or models.")
    return entries, None


def _chain(first: Any, others: Iterator[Any]) -> Iterator[Any]:
    yield first
    del first  # or it would be held to the end
    yield from others


def _paths_of(entry: str | os.PathLike[str]) -> list[str]:
    """Paths that an entry stands for: itself, or what matches it if it is a pattern.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    IsADirectoryError
        It is a folder.
    """
    path = os.fspath(entry)
    if is_url(path):
        return matching(path)
    if os.path.isdir(path) and not is_store(path):
        raise IsADirectoryError(f"{path} is a folder: give the files in it, such as {os.path.join(path, '*.fits')!r}.")
    if os.path.exists(path):
        return [path]
    if glob.has_magic(path) and (found := sorted(glob.glob(path, recursive=True))):
        return found
    raise FileNotFoundError(f"{path}: no such file{', and nothing matches it' if glob.has_magic(path) else ''}.")


def find(
    entries: Sequence[Any],
    progress: Any = None,
    on_error: Callable[[str, Exception], Any] | None = None,
    reading: Reading | None = None,
) -> list[Source]:
    """Exposures that entries stand for, in their order. Of files, only the headers are read.

    Parameters
    ----------
    entries : sequence
        Paths, URLs, patterns of both, models, and `gpures.io.Input`.
    progress : bool, callable or None
        As in `gpures.Resample.add_models`, for the files.
    on_error : callable, optional
        Called with the name of a file that can't be used, and why; unless it raises, that file is left out.
    reading : gpures.io.Reading, optional
        What is said about how files are read. Those that are no exposures, but belong to one, are left out with a
        warning; it is an error only if there is nothing else.

    Raises
    ------
    TypeError
        An entry is none of these.
    OSError, gpures.io.FileError
        A file can't be used.
    """
    expanded: list[Any] = []
    for entry in entries:
        if not isinstance(entry, (str, os.PathLike)):
            expanded.append(entry)
            continue
        try:
            expanded += interruptible(partial(_paths_of, entry))
        except OSError as error:
            if on_error is None:
                raise
            on_error(public(os.fspath(entry)), error)
    sources: list[Source] = []
    beside: list[NoExposureError] = []
    paths = {os.path.abspath(entry) for entry in expanded if isinstance(entry, str) and not is_url(entry)}
    remote = _Remote.of(entry for entry in expanded if is_url(entry))
    files = any(isinstance(entry, str) for entry in expanded)
    with shown(progress if files else None, len(expanded), "headers", "file") as show:
        for done, entry in enumerate(expanded, 1):
            try:
                sources += _sources_in(entry, reading, paths, remote)
            except NoExposureError as error:
                beside.append(error)
            except (OSError, KeyError, ValueError) as error:
                if on_error is None:
                    raise
                on_error(public(entry) if isinstance(entry, str) else model_name(entry), error)
            show(done)
    _tell_of(beside, sources, on_error)
    return sources


def with_arrays(
    sources: Iterable[Source], names: Collection[str], on_error: Callable[[str, Exception], Any]
) -> list[Source]:
    """Exposures, without images of files that lack an array; models are looked at when they are added.

    Parameters
    ----------
    sources : iterable of Source
    names : collection of str
        What is asked for as ``extra_array_names``.
    on_error : callable
        Called with the name of an exposure that lacks one, and a `gpures.io.FileError`.
    """
    found = []
    for source in sources:
        known = {*source.sizes, COMPUTED}
        if source.kind == "model" or known.issuperset(names):
            found.append(source)
            continue
        lacking = next(name for name in names if name not in known)
        there = ", ".join(source.sizes)
        reason = f"{source.name} has no array {lacking!r}, which 'extra_array_names' asks for; there are {there}."
        on_error(source.name, FileError(source.path, reason))
    return found


def _tell_of(
    beside: Sequence[NoExposureError], sources: Sequence[Source], on_error: Callable[[str, Exception], Any] | None
) -> None:
    """Say which files are no exposures; where there is nothing else, that is an error."""
    if beside and sources:
        log.warning("Not co-added: %s", " ".join(map(str, beside)))
        return
    for error in beside:
        if on_error is None:
            raise error
        on_error(str(error.path), error)


@dataclass(frozen=True)
class _Remote:
    """URLs in one folder that belong by their names to others: see `belongs_to`.

    Attributes
    ----------
    owner : dict
        Of each such URL, the name of the file that it belongs to.
    companions : dict
        Of each URL that has such, those which are read with it.
    """

    owner: dict[str, str] = field(default_factory=dict)
    companions: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, urls: Iterable[str]) -> _Remote:
        folders: dict[tuple[str, str, str], dict[str, str]] = {}
        for url in urls:
            parts = urlsplit(url)
            folder = parts.scheme, parts.netloc, posixpath.dirname(parts.path)
            folders.setdefault(folder, {})[name_of(url)] = url
        remote = cls()
        for named in folders.values():
            for name, (owner, role) in owners_among(named).items():
                remote.owner[named[name]] = owner
                if role != "other":
                    remote.companions.setdefault(named[owner], []).append(named[name])
        return remote


def _sources_in(entry: Any, reading: Reading | None, paths: Collection[str], remote: _Remote) -> Sequence[Source]:
    if isinstance(entry, str):
        return interruptible(partial(_inputs, entry, reading, paths, remote))
    if isinstance(entry, Mapping):
        return [ModelSource(entry)]
    if hasattr(entry, "read") and hasattr(entry, "wcs"):
        return [entry]
    raise TypeError(
        f"'inputs' must be paths, models (dicts) or gpures.io.Input, or a list of such, got {type(entry).__name__}."
    )


def _inputs(entry: str, reading: Reading | None, paths: Collection[str], remote: _Remote) -> Sequence[Source]:
    """Exposures of a file, unless it belongs by its name to one of the others, such as a map of its background."""
    if is_url(entry):
        if entry in remote.owner:
            raise NoExposureError(
                public(entry), f"it belongs by its name to {remote.owner[entry]}, and is no exposure."
            )
        companions = tuple(remote.companions.get(entry, ()))
        file = fetched(entry, companions)
        with _told_of(public(entry), file):
            images = io.inputs(file, reading=reading)
        return [
            RemoteSource(entry, k, _named(image, file, public(entry)), reading, companions)
            for k, image in enumerate(images)
        ]
    owner = io.belongs_to(Path(entry))
    if owner is not None and os.path.abspath(owner[0]) in paths:
        raise NoExposureError(entry, f"it belongs by its name to {owner[0].name}, and is no exposure.")
    return io.inputs(entry, reading=reading)

"""Files that lie elsewhere, under a URL: brought here by fsspec when they are needed, as many as there is room for."""

from __future__ import annotations

import atexit
import os
import posixpath
import re
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from gpures.errors import FileError, MissingDependencyError, MissingFileError
from gpures.extras import install

__all__ = ["fetched", "is_url", "local", "matching", "name_of", "public"]

# What must not get into messages and files: a user's name and password, and what stands for these in a query.
USER = re.compile(r"(?<=://)[^/?#@]*@")
SECRET = re.compile(
    r"(?<=[?&])(X-(?:Amz|Goog)-[\w-]+|AWSAccessKeyId|Key-Pair-Id|Policy|Expires|sig|signature|s[eptvr]|"
    r"(?:\w*_)?(?:token|key|secret|password))=[^&#'\"\s]*",
    re.IGNORECASE,
)

# Of one letter is the drive of a path on Windows.
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")

# In an address on the web a question mark begins its query.
PATTERN, WEB_PATTERN = re.compile(r"[*?\[]"), re.compile(r"[*]")

# Part of what is free on the disk that files may take, and how many are there in any case.
OF_DISK, FEWEST = 0.5, 4


def is_url(path: Any) -> bool:
    """Whether something is a URL, such as ``s3://bucket/name.fits``, and no path."""
    return isinstance(path, str) and URL.match(path) is not None


def public(url: str) -> str:
    """A URL without passwords and signatures, which still tells what file it is."""
    return SECRET.sub(r"\1=...", USER.sub("...@", url))


def name_of(url: str) -> str:
    """Name of the file under a URL; "" where it has none."""
    return posixpath.basename(unquote(urlsplit(url).path))


def local(path: str | Path) -> Path:
    """The file of a path or URL on this machine; errors are those of `fetched`."""
    return fetched(path) if isinstance(path, str) and is_url(path) else Path(path)


def matching(url: str) -> list[str]:
    """URLs that a URL stands for: itself, or what matches it if it is a pattern.

    Parameters
    ----------
    url : str
        As `fetched` takes it; ``*`` stands for any text.

    Raises
    ------
    MissingFileError
        Nothing matches it.
    FileError, MissingDependencyError
        As `fetched`.
    """
    on_web = url.lower().startswith("http")
    if not (WEB_PATTERN.search(url.partition("?")[0]) if on_web else PATTERN.search(url)):
        return [url]
    system, path = _system_of(url)
    try:
        if not on_web and "*" not in url and system.exists(path):
            return [url]
        found = sorted(system.glob(path))
    except Exception as error:  # of as many kinds as there are file systems
        raise _refused(url, error) from error
    if not found:
        raise MissingFileError(public(url), "nothing matches it.")
    if url.endswith(path):  # with the server, which what follows leaves out
        before = url.removesuffix(path)
        return [f"{before}{name}" for name in found]
    return [str(system.unstrip_protocol(name)) for name in found]


def fetched(url: str, companions: Iterable[str] = ()) -> Path:
    """A copy of a file on this machine, which is there until others need its room.

    It is fetched once by each process, however often it is asked for, as long as there is room.

    Parameters
    ----------
    url : str
        Of any file system that fsspec knows: ``https://``, ``s3://``, ``gs://``, and so on.
    companions : iterable of str, optional
        URLs of files that lie beside it, and are to lie beside the copy.

    Returns
    -------
    pathlib.Path
        Of the same name. It goes when this process ends.

    Raises
    ------
    MissingFileError
        There is no such file.
    FileError
        It can't be fetched; the text says why.
    MissingDependencyError
        fsspec, or what it needs for this file system, is not installed.
    """
    return _shelf().get(url, companions)


def _system_of(url: str) -> tuple[Any, str]:
    """File system of a URL, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingDependencyError(f"{public(url)}: files under a URL need fsspec: {install('remote')}.") from error
    try:
        return url_to_fs(url)
    except ImportError as error:
        raise MissingDependencyError(f"{public(url)}: {error}") from error
    except Exception as error:
        raise _refused(url, error) from error


def _refused(url: str, error: Exception) -> Exception:
    if isinstance(error, FileNotFoundError):
        return MissingFileError(public(url), "there is no such file.")
    words = " ".join(str(error).split()).replace(url, public(url)) or type(error).__name__
    return FileError(public(url), f"can't be fetched: {words}")


class _Shelf:
    """Files that were fetched, those that were asked for last at the end."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="gpures-")
        atexit.register(_remove, self.folder, os.getpid())
        self._room = OF_DISK * shutil.disk_usage(self.folder).free
        self._files: OrderedDict[tuple[str, ...], Path] = OrderedDict()  # by its URL and those of its companions
        self._busy: dict[tuple[str, ...], threading.Lock] = {}
        self._lock = threading.Lock()
        self._number = 0

    def get(self, url: str, companions: Iterable[str] = ()) -> Path:
        urls = url, *companions
        with self._lock:
            busy = self._busy.setdefault(urls, threading.Lock())
        with busy:
            with self._lock:
                if (path := self._files.get(urls)) is not None and path.exists():
                    self._files.move_to_end(urls)
                    return path
                self._number += 1
                folder = Path(self.folder, str(self._number))
            folder.mkdir()
            path, *_ = [self._fetch(each, folder) for each in urls]
            with self._lock:
                self._files[urls] = path
                self._files.move_to_end(urls)
                self._make_room()
            return path

    def _fetch(self, url: str, folder: Path) -> Path:
        name = name_of(url) or "file"
        system, where = _system_of(url)
        try:
            system.get_file(where, str(folder / name))
            size = system.info(where).get("size")
            if size is not None and os.path.getsize(folder / name) != size:
                raise OSError(f"{os.path.getsize(folder / name)} of {size} bytes came")
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)  # with what it would have lain beside
            if isinstance(error, Exception):
                raise _refused(url, error) from error
            raise
        return folder / name

    def _make_room(self) -> None:
        sizes = {
            urls: sum(file.stat().st_size for file in path.parent.iterdir())
            for urls, path in self._files.items()
            if path.exists()
        }
        for urls in list(self._files):
            if len(self._files) <= FEWEST or sum(sizes.values()) <= self._room:
                return
            shutil.rmtree(self._files.pop(urls).parent, ignore_errors=True)
            sizes.pop(urls, None)


def _remove(folder: str, process: int) -> None:
    """Remove a folder at the end of the process that made it, not of one that was forked from that."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


_shelves: dict[int, _Shelf] = {}
_making = threading.Lock()


def _shelf() -> _Shelf:
    """That of this process: one that was forked from another has its own."""
    with _making:
        if os.getpid() not in _shelves:
            _shelves[os.getpid()] = _Shelf()
        return _shelves[os.getpid()]

"""Regular files, which alone are read and replaced: others may block for ever, or do something when they are opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gpures.errors import FileError, MissingFileError

__all__ = ["kind_of", "opened_file", "size_of"]

# Windows has some of them, and knows files of text.
FLAGS = os.O_RDONLY
for _name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
    FLAGS |= getattr(os, _name, 0)

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def kind_of(mode: int) -> str | None:
    """What something is that is no regular file, by its mode; None of a regular file."""
    return None if stat.S_ISREG(mode) else KINDS.get(stat.S_IFMT(mode), "something else")


@contextmanager
def opened_file(path: Path) -> Iterator[BinaryIO]:
    """A file to be read, once it is known to be a regular one.

    Raises
    ------
    FileError
        There is none, it is no regular file, or it can't be opened.
    """
    try:
        _check(path, os.stat(path))
        descriptor = os.open(path, FLAGS)
    except FileNotFoundError as error:
        raise MissingFileError(path, "there is no such file.") from error
    except OSError as error:
        raise FileError(path, f"can't be opened: {error.strerror}.") from error
    with open(descriptor, "rb") as file:
        _check(path, os.fstat(descriptor))  # it may have become another one
        yield file


def size_of(path: Path) -> int:
    """Bytes of a file, or of all that are in a folder."""
    if not path.is_dir():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


def _check(path: Path, status: os.stat_result) -> None:
    kind = kind_of(status.st_mode)
    if kind is not None:
        raise FileError(path, f"can't be opened: it is {kind}, expected a regular file.")

"""Digests of files, by which the same file is known again under another name."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from gpures.io.regular import opened_file
from gpures.io.zarr_layout import is_store

__all__ = ["digest_of"]


def digest_of(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal; of a mosaic in zarr that of its files' digests and names.

    Parameters
    ----------
    path : str or path
        A regular file, or a zarr store. As long as its size and times do not change it is read once.

    Raises
    ------
    FileError
        It can't be read.
    """
    path = Path(path).absolute()
    if is_store(path):
        digests = hashlib.sha256()
        for part in sorted(each for each in path.rglob("*") if each.is_file()):
            digests.update(f"{digest_of(part)} {part.relative_to(path)}\n".encode("utf-8", "surrogateescape"))
        return digests.hexdigest()
    with opened_file(path) as file:
        status = os.fstat(file.fileno())
    return _digest(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _digest(path: Path, size: int, changed: int) -> str:
    with opened_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]

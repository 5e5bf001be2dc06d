"""Where a mosaic goes: what would fail at the end is found out at the beginning."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gpures.arrays import got

__all__ = ["check_is_no_input", "checked_output"]


def checked_output(output: str | os.PathLike, overwrite: bool) -> Path:
    """Path of a file that can be written.

    Raises
    ------
    TypeError
        It is no path.
    ValueError
        Its suffix is not one that can be written.
    FileExistsError
        There is one, and it may not be replaced.
    FileNotFoundError, PermissionError, IsADirectoryError
        There is no such folder, it can't be written to, or it is a folder.
    """
    from gpures.io.writer import SUFFIXES

    if not isinstance(output, (str, os.PathLike)):
        raise TypeError(f"'output' must be a path or None, got {got(output)}.")
    path = Path(output)
    if path.is_dir():
        raise IsADirectoryError(f"'output' must be a file, and {path} is a folder.")
    if not path.name.lower().endswith(SUFFIXES):
        raise ValueError(f"'output' must end in one of {', '.join(SUFFIXES)}, got {path}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"'output' is {path}, and there is no folder {path.parent}.")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"'output' is {path}, and nothing may be written to the folder {path.parent}.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"'output' is {path}, which exists: choose another name, or overwrite it.")
    return path


def check_is_no_input(path: Path, sources: Iterable[Any]) -> None:
    """Refuse to replace a file that is read.

    Raises
    ------
    ValueError
        It is one of the inputs.
    """
    if not path.exists():
        return
    for source in sources:
        origin = getattr(source, "path", None)
        if origin is not None and os.path.exists(origin) and os.path.samefile(origin, path):
            raise ValueError(f"'output' is {path}, which is one of the inputs: choose another name.")

"""What gpures raises beside Python's own errors.

An argument or a model that can't be used is a `ValueError`, `TypeError` or `KeyError`, as everywhere in Python, and
memory that is not there a `MemoryError`. What is gpures' own has one base, and Python's kind as another::

    GpuresError
    ├── DeviceError              RuntimeError       a GPU can't do what was asked
    ├── UnsupportedWCSError      RuntimeError       a WCS that can't be resampled; stcal's of that name, too
    ├── IncompleteError          RuntimeError       an exposure was interrupted in its midst: begin anew
    ├── EmptyMosaicError         ValueError         no exposure has anything in the frame
    ├── FileError                ValueError         a file can't be used
    │   ├── MissingFileError     FileNotFoundError  there is none
    │   └── NoExposureError      ValueError         it holds what belongs to an exposure, and none itself
    ├── ProgramError             RuntimeError       ``gpures run`` can't run a program
    └── MissingDependencyError   ImportError        a package of an extra is not installed
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

__all__ = [
    "DeviceError",
    "EmptyMosaicError",
    "FileError",
    "GpuresError",
    "IncompleteError",
    "MissingDependencyError",
    "MissingFileError",
    "NoExposureError",
    "ProgramError",
    "UnsupportedWCSError",
]


class GpuresError(Exception):
    """Base of the errors that are gpures' own."""


class DeviceError(GpuresError, RuntimeError):
    """A GPU, its driver or its libraries can't do what was asked; the text says what to do."""


class UnsupportedWCSError(GpuresError, RuntimeError):
    """A WCS has an unexpected number of axes or an unsupported structure.

    Where stcal is loaded, it is caught as its `stcal.resample.UnsupportedWCSError`, too.

    Parameters
    ----------
    *args : object
        The text.
    """

    def __new__(cls, *args: Any) -> UnsupportedWCSError:
        """Make one that stcal's is a base of, where there is that."""
        theirs = getattr(sys.modules.get("stcal.resample.resample"), "UnsupportedWCSError", None)
        return super().__new__(_with_base(theirs) if cls is UnsupportedWCSError and theirs is not None else cls, *args)

    def __reduce__(self) -> tuple[Any, ...]:
        return UnsupportedWCSError, self.args


@cache
def _with_base(theirs: type) -> Any:
    return type(
        "UnsupportedWCSError",
        (UnsupportedWCSError, theirs),
        {"__module__": __name__, "__doc__": UnsupportedWCSError.__doc__},
    )


class IncompleteError(GpuresError, RuntimeError):
    """What is accumulated holds a part of an exposure, as adding it was interrupted: nothing can be made of it."""


class EmptyMosaicError(GpuresError, ValueError):
    """No exposure has anything in the frame of a mosaic: none reaches it, or with no pixel that can be used."""


class FileError(GpuresError, ValueError):
    """A file can't be used; the text names it, and says what was found and what was expected.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.
    reason : str
        What is wrong with it.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    """

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (type(self), self.path, str(self))


class MissingFileError(FileError, FileNotFoundError):
    """There is no such file. Also a `FileNotFoundError`.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.
    reason : str
        What is wrong with it.
    """


class NoExposureError(FileError):
    """A file holds what belongs to an exposure, such as its mask or its weights, and no exposure itself.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.
    reason : str
        What it holds.
    """


def _unpickled(kind: type[FileError], path: Path, text: str) -> FileError:
    return kind(path, text.removeprefix(f"{path}: "))


class ProgramError(GpuresError, RuntimeError):
    """A program can't be run with acceleration on."""


class MissingDependencyError(GpuresError, ImportError):
    """A package of an extra, such as ``demo`` or ``zarr``, is not installed."""

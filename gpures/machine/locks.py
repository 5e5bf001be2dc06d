"""Locks of files between processes, and systems on which files can be written."""

from __future__ import annotations

import errno

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["check_system", "lock"]


def lock(descriptor: int) -> None:
    """Lock an open file for as long as this process has it open.

    Parameters
    ----------
    descriptor : int
        Of the file.

    Raises
    ------
    BlockingIOError
        Another one has it locked.
    OSError
        There are no locks here.
    """
    if fcntl is None:
        raise OSError(errno.ENOSYS, "there are no locks of files on this system")
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def check_system() -> None:
    """Raise `OSError` where files can't be written whole or not at all, which takes POSIX."""
    if fcntl is None:
        raise OSError(errno.ENOSYS, "gpures writes files on Linux and macOS; on Windows it does not yet")

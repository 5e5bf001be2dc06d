"""Memory of what has gone, which the next arrays take over: a process may have been told to give it back at once."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["keeping_memory"]

# Parameters of glibc's mallopt, by their variables, and what they are where nobody sets any. When one is set, glibc
# adapts none of them any more.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
VARIABLES = {TRIM_THRESHOLD: "MALLOC_TRIM_THRESHOLD_", MMAP_THRESHOLD: "MALLOC_MMAP_THRESHOLD_"}
DEFAULT = 128 << 10

# To what it adapts them, at most.
ADAPTED = {TRIM_THRESHOLD: 64 << 20, MMAP_THRESHOLD: 32 << 20}

# The largest that it takes: an int, and of what is mapped as much as it adapts to.
LARGEST = {TRIM_THRESHOLD: 2**31 - 1, MMAP_THRESHOLD: 32 << 20}

_lock = threading.Lock()
_keeping = 0


@contextmanager
def keeping_memory() -> Iterator[None]:
    """Meanwhile memory is kept for what comes next, as by default, whatever the variables of glibc say.

    The nanny of a worker of dask sets one of them. Then each array is new pages, which the system clears, and these
    take as long as all that is done with them. In the end all that is free goes back to the system.
    """
    libc = _libc() if any(variable in os.environ for variable in VARIABLES.values()) else None
    if libc is None:
        yield
        return
    _count(libc, 1)
    try:
        yield
    finally:
        _count(libc, -1)


def _count(libc: ctypes.CDLL, more: int) -> None:
    """Note that one more thread, or one less, is in such a block: the first and the last one set what holds for all."""
    global _keeping
    with _lock:
        before, _keeping = _keeping, _keeping + more
        if not before:
            _set(libc, ADAPTED)
        elif not _keeping:
            _set(libc, {parameter: _told(parameter) for parameter in VARIABLES})
            libc.malloc_trim(0)


def _set(libc: ctypes.CDLL, values: dict[int, int]) -> None:
    for parameter, value in values.items():
        libc.mallopt(parameter, value)


def _told(parameter: int) -> int:
    value = os.environ.get(VARIABLES[parameter], "")
    return min(int(value), LARGEST[parameter]) if value.isdecimal() else DEFAULT


def _libc() -> ctypes.CDLL | None:
    """The C library of this process, if it is glibc."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None

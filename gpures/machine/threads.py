"""How many threads the CPU work is spread over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["sharing", "thread_count"]

# How many work on this machine at a time.
_at_a_time: ContextVar[int] = ContextVar("_at_a_time", default=1)


def thread_count() -> int:
    """``GPURES_NUM_THREADS`` if set, else the CPUs that this process may use, or its share of them.

    Raises
    ------
    ValueError
        The variable is not a positive integer.
    """
    value = os.environ.get("GPURES_NUM_THREADS", "").strip()
    if value:
        if not value.isdecimal() or int(value) < 1:
            raise ValueError(f"GPURES_NUM_THREADS must be a positive integer, got {value!r}.")
        return int(value)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cpus // _at_a_time.get())


@contextmanager
def sharing(at_a_time: int) -> Iterator[None]:
    """Meanwhile so many share the CPUs, of whom this thread, and those that read ahead of it, are one."""
    before = _at_a_time.set(max(1, at_a_time))
    try:
        yield
    finally:
        _at_a_time.reset(before)

"""How many threads the CPU work is spread over."""

from __future__ import annotations

import os

__all__ = ["thread_count"]


def thread_count() -> int:
    """``GPURES_NUM_THREADS`` if set, else the CPUs that this process may use.

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
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

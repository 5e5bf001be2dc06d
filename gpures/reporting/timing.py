"""Where the time goes: seconds by stage, for those who ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

__all__ = ["phases", "stage", "watched"]

_lock = threading.Lock()
_watching: dict[str, float] | None = None


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Have the stages timed for a while; gives a dict that collects their wall seconds.

    Those of all mosaics and threads go into one dict, so this is for one at a time.

    Raises
    ------
    RuntimeError
        They are being timed already.
    """
    global _watching
    if _watching is not None:
        raise RuntimeError("The stages are being timed already.")
    seconds: dict[str, float] = {}
    _watching = seconds
    try:
        yield seconds
    finally:
        _watching = None


def _add(name: str, seconds: float) -> None:
    watching = _watching
    if watching is not None:
        with _lock:
            watching[name] = watching.get(name, 0.0) + seconds


@contextmanager
def stage(name: str, end: Callable[[], object] | None = None) -> Iterator[None]:
    """Time what is done here as a stage.

    Parameters
    ----------
    name : str
        Name of the stage.
    end : callable, optional
        Waits for what was begun on a device; called only if the stage is timed.
    """
    if _watching is None:
        yield
        return
    start = time.perf_counter()
    yield
    if end is not None:
        end()
    _add(name, time.perf_counter() - start)


@contextmanager
def phases(names: tuple[str, ...]) -> Iterator[np.ndarray | None]:
    """Time stages that threads go through side by side, each at its own pace.

    Gives an array for the seconds that all threads together spend on each, or None if nobody asks. The wall seconds are
    shared out in proportion.
    """
    if _watching is None:
        yield None
        return
    spent = np.zeros(len(names))
    start = time.perf_counter()
    yield spent
    wall = time.perf_counter() - start
    if spent.any():
        for name, share in zip(names, spent / spent.sum(), strict=True):
            _add(name, float(wall * share))

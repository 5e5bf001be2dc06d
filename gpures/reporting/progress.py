"""Progress of long work, as its user wants to see it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gpures.arguments.arrays import got

__all__ = ["shown"]

log = logging.getLogger(__name__)


@contextmanager
def shown(
    progress: Any, total: int | None, what: str = "drizzle", unit: str = "exposure"
) -> Iterator[Callable[[int], Any]]:
    """Give a function to be called with the number of models done.

    Parameters
    ----------
    progress : bool, callable or None
        True: a progress bar, or lines in the log where tqdm is not installed, both with rate and time left. A callable
        gets the number done and ``total``. Else nothing is shown.
    total : int or None
        Number of models, if it is known.
    what, unit : str, optional
        What is done, and to what.

    Raises
    ------
    TypeError
        ``progress`` is something else.
    """
    if progress is None or progress is False:
        yield lambda done: None
    elif callable(progress):
        yield lambda done: progress(done, total)
    elif progress is True:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            begin = time.perf_counter()
            yield lambda done: log.info(_words(what, unit, done, total, time.perf_counter() - begin))
        else:
            with tqdm(total=total, unit=unit, desc=what) as bar:
                yield lambda done: bar.update(done - bar.n)
    else:
        raise TypeError(f"'progress' must be True, False, None or a function of (done, total), got {got(progress)}.")


def _words(what: str, unit: str, done: int, total: int | None, seconds: float) -> str:
    """How far it is, how fast it goes, and how long it will take."""
    words = f"{what}: {done} of {'?' if total is None else total} {unit}s, {seconds / done:.2f} s each"
    return words if total is None else f"{words}, {seconds / done * (total - done):.0f} s left"

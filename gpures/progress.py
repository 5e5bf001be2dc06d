"""Progress of long work, as its user wants to see it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["shown"]

log = logging.getLogger(__name__)


@contextmanager
def shown(progress: Any, total: int | None) -> Iterator[Callable[[int], Any]]:
    """Give a function to be called with the number of models done.

    Parameters
    ----------
    progress : bool, callable or None
        True: a progress bar, or lines in the log where tqdm is not installed. A callable gets the number done and
        ``total``. Else nothing is shown.
    total : int or None
        Number of models, if it is known.

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
            yield lambda done: log.info("%d of %s models added.", done, "?" if total is None else total)
        else:
            with tqdm(total=total, unit="exposure", desc="drizzle") as bar:
                yield lambda done: bar.update(done - bar.n)
    else:
        raise TypeError(f"'progress' must be True, False, None or a function of (done, total), got {progress!r}.")

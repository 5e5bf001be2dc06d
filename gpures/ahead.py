"""Reading ahead: what comes next is made ready while this is worked on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

__all__ = ["ahead"]


def ahead(items: Iterable, prepare: Callable[[Any], Any], most: int = 2) -> Iterator[tuple[Any, Any]]:
    """Items and what is prepared of each, in order, made by a thread of its own.

    Parameters
    ----------
    items : iterable
        Taken one by one in the thread; what taking one raises is raised here, after the items before it.
    prepare : callable
        Called with each item in the thread; must not raise.
    most : int, optional
        So many items wait or are being made at a time, beside the one that is worked on, which bounds the memory that
        they take.

    Yields
    ------
    item, prepared
    """
    ready: queue.SimpleQueue = queue.SimpleQueue()
    room = threading.Semaphore(most - 1)
    stopped = threading.Event()

    def produce() -> None:
        try:
            for item in items:
                ready.put((item, prepare(item), None))
                del item  # or it would be held while the next one is made
                room.acquire()
                if stopped.is_set():
                    return
        except BaseException as error:
            ready.put((None, None, error))
        else:
            ready.put(None)

    thread = threading.Thread(target=produce, name="gpures-ahead", daemon=True)
    thread.start()
    try:
        while (found := ready.get()) is not None:
            item, prepared, error = found
            if error is not None:
                raise error
            room.release()
            yield item, prepared
            del found, item, prepared  # or one more would be held than said
    finally:
        stopped.set()
        room.release()
        thread.join()

"""Reading beside the work: what comes next is made ready while this is worked on, and what blocks can be given up on.

A read from a dead network disk can't be interrupted. So files are read by threads that nobody has to wait for: who does
is woken by Ctrl-C, and the thread, a daemon, ends with the process if not before.
"""

from __future__ import annotations

import atexit
import contextvars
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

__all__ = ["interruptible", "prefetched"]

Result = TypeVar("Result")

# Seconds to wait for a thread that is given up: for one that takes an item, which may never end, and for one that
# prepares it, which computes, with state that the caller may touch next.
TAKING, PREPARING = 0.5, 30.0


def interruptible(call: Callable[[], Result]) -> Result:
    """Call something in a thread of its own, so that Ctrl-C is heeded at once even if it blocks.

    Parameters
    ----------
    call : callable
        Without arguments. Where this is not the main thread, which alone gets signals, it is called right here.

    Returns
    -------
    object
        What it returns; what it raises is raised.
    """
    if threading.current_thread() is not threading.main_thread():
        return call()
    done: queue.SimpleQueue = queue.SimpleQueue()

    def work() -> None:
        try:
            done.put((call(), None))
        except BaseException as error:
            done.put((None, error))

    threading.Thread(
        target=contextvars.copy_context().run, args=(work,), name="gpures-interruptible", daemon=True
    ).start()
    result, error = done.get()
    if error is not None:
        try:
            raise error
        finally:
            del error  # or it would hold itself, and what its traceback holds
    return result


class _Producer:
    """The thread that takes items, prepares them and hands them over."""

    def __init__(self, items: Iterable, prepare: Callable[[Any], Any], most: int):
        self._items = items
        self._prepare = prepare
        self._room = threading.Semaphore(most - 1)
        self._stopped = threading.Event()
        self._preparing = threading.Lock()
        self.ready: queue.SimpleQueue = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=contextvars.copy_context().run, args=(self._produce,), name="gpures-prefetch", daemon=True
        )
        _producers.add(self)
        self._thread.start()

    def _produce(self) -> None:
        try:
            for item in self._items:
                with self._preparing:
                    if self._stopped.is_set():
                        return
                    prepared = self._prepare(item)
                self.ready.put((item, prepared, None))
                del item, prepared  # or they would be held while the next one is made
                self._room.acquire()
                if self._stopped.is_set():
                    return
        except BaseException as error:
            self.ready.put((None, None, error))
        else:
            self.ready.put(None)

    def more(self) -> None:
        """Let it make one more."""
        self._room.release()

    def stop(self, taking: float = TAKING) -> None:
        """End the thread; give up on it if it blocks while it takes an item."""
        self._stopped.set()
        self._room.release()
        end = time.monotonic() + taking
        while self._thread.is_alive() and time.monotonic() < end and not self._preparing.locked():
            self._thread.join(0.02)
        # Once this lock was to be had, nothing is prepared any more.
        if self._thread.is_alive() and self._preparing.acquire(timeout=PREPARING):
            self._preparing.release()
        self._thread.join(0.0 if taking == 0.0 else 0.02)


_producers: weakref.WeakSet[_Producer] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    """Have no thread in compiled code while Python goes down, where it could only crash."""
    for producer in list(_producers):
        producer.stop(taking=0.0)


def prefetched(items: Iterable, prepare: Callable[[Any], Any], most: int = 2) -> Iterator[tuple[Any, Any]]:
    """Items and what is prepared of each, in order, made by a thread of its own.

    Whoever stops taking items before the end stops the thread. If that is in the middle of taking an item from the
    iterable, it is given half a second and then left to itself.

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
    producer = _Producer(items, prepare, most)
    try:
        while (found := producer.ready.get()) is not None:
            item, prepared, error = found
            if error is not None:
                raise error
            producer.more()
            yield item, prepared
            del found, item, prepared  # or one more would be held than said
    finally:
        producer.stop()

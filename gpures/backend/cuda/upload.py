"""Host arrays on their way to a device.

An array is copied in pieces into pinned buffers, by several threads, and each piece goes on from there by itself: the
copy to the device begins with the first piece, and one pass over host memory is all there is. Types and byte orders
stay as they are (the kernels read any), so an array from a FITS or ASDF file needs no conversion. DQ flags that only
say which pixels are bad go as bits.

Device memory comes in slots, taken in turn: the copies for one exposure may run while the one before is splatted.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from gpures.backend.cuda.bad_pixels import BadPixels
from gpures.machine.threads import thread_count

__all__ = ["Carried", "Uploader", "pieces_of"]

# What goes up.
Carried: TypeAlias = np.ndarray | BadPixels

#: Bytes of a pinned buffer: long enough for a copy at full rate, and short enough that the first is soon under way.
PIECE = 4 << 20

#: Threads that fill buffers; a few of them fill any bus.
MOST_THREADS = 8

#: Buffers per thread: one to fill while the other is on its way.
BUFFERS_PER_THREAD = 2

#: Exposures on the device at a time: one to splat while the next is on its way.
SLOTS = 2

#: Arrays of a slot begin at multiples of this: what a device reads best.
ALIGNMENT = 256


@lru_cache
def _workers(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="gpures-staging")


def pieces_of(array: Carried, most: int) -> Iterator[tuple[Carried, int]]:
    """Parts of an array of at most so many bytes, each with its offset (bytes) in the array's contiguous copy."""
    if isinstance(array, BadPixels):
        yield from array.pieces(most)
        return
    rows = array.reshape(array.shape[0], -1) if array.ndim != 1 else array[None]
    width, item = rows.shape[1], array.dtype.itemsize
    at_once = max(1, most // (width * item))
    columns = min(width, max(1, most // item))
    for j in range(0, rows.shape[0], at_once):
        for i in range(0, width, columns):
            yield rows[j : j + at_once, i : i + columns], (j * width + i) * item


class _Slot:
    """Device memory for the arrays of one exposure."""

    def __init__(self) -> None:
        self.memory: Any = None
        self.consumed: Any = None  # the event after its last use

    def size(self) -> int:
        return 0 if self.memory is None else self.memory.nbytes


class Uploader:
    """The way of host arrays to one device.

    Parameters
    ----------
    cupy : module
        CuPy.
    device : int
        Number of the device, the current one whenever a method is called.
    stream : cupy.cuda.Stream
        The stream on which the arrays will be used.
    """

    def __init__(self, cupy: Any, device: int, stream: Any):
        self._cupy = cupy
        self._device = device
        self._use = stream
        self._copy = cupy.cuda.Stream(non_blocking=True)
        self._slots = [_Slot() for _ in range(SLOTS)]
        self._next = 0
        self._threads = min(thread_count(), MOST_THREADS)
        self._buffers: queue.SimpleQueue | None = None
        self._sent: list[Future] = []  # pieces that threads have, or had

    def upload(self, arrays: Sequence[Carried]) -> list[int]:
        """Begin to copy arrays into the next slot; when this returns, they have been read.

        Parameters
        ----------
        arrays : sequence of ndarray or BadPixels
            Of one to three dimensions, those of three contiguous.

        Returns
        -------
        list of int
            Their addresses on the device, where they lie contiguously. Work on the stream waits for them. After the
            work that reads them has been begun, `consumed` must be called.
        """
        self._next = (self._next + 1) % SLOTS
        slot = self._slots[self._next]
        offsets, size = [], 0
        for array in arrays:
            offsets.append(size)
            size += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        if slot.size() < size:
            self._grow(slot, size)
        start = slot.memory.data.ptr if size else 0
        if slot.consumed is not None:
            self._copy.wait_event(slot.consumed)
        pieces = [
            (piece, start + offset + at)
            for array, offset in zip(arrays, offsets, strict=True)
            for piece, at in pieces_of(array, PIECE)
        ]
        try:
            self._send(pieces)
            ready = self._event()
            ready.record(self._copy)
            self._use.wait_event(ready)
        except BaseException:
            # Whoever gets the memory that these copies read and write, they are done by then; and nothing is read from
            # the caller's arrays any more. What was interrupted may be the waiting for those who begin the copies.
            wait(self._sent)
            self._copy.synchronize()
            raise
        return [start + offset for offset in offsets]

    def consumed(self) -> None:
        """Say that all work on the arrays of the last `upload` has been begun on the stream."""
        slot = self._slots[self._next]
        slot.consumed = self._event()
        slot.consumed.record(self._use)

    def _event(self) -> Any:
        return self._cupy.cuda.Event(disable_timing=True)

    def _grow(self, slot: _Slot, size: int) -> None:
        self._copy.synchronize()  # copies into it may be under way yet, if something went wrong in between
        slot.memory = None
        with self._use:
            slot.memory = self._cupy.empty(size, np.uint8)
        # The pool may have given memory that work on the stream still reads: the copies wait for it.
        slot.consumed = self._event()
        slot.consumed.record(self._use)

    def _send(self, pieces: list[tuple[Carried, int]]) -> None:
        buffers = self._buffers or self._new_buffers()
        self._buffers = None  # what raises here, Ctrl-C among it, may lose one: the next ones are new then
        if self._threads == 1 or len(pieces) == 1:
            for piece in pieces:
                self._send_piece(buffers, piece)
        else:
            self._send_by_threads(buffers, pieces)
        self._buffers = buffers

    def _send_by_threads(self, buffers: queue.SimpleQueue, pieces: list[tuple[Carried, int]]) -> None:
        sent = self._sent = []
        try:
            for piece in pieces:
                sent.append(_workers(self._threads).submit(self._send_piece, buffers, piece))
        finally:
            wait(sent)  # whether one fails or not: the caller's arrays are read no more
        for future in sent:
            future.result()

    def _new_buffers(self) -> queue.SimpleQueue:
        buffers: queue.SimpleQueue = queue.SimpleQueue()
        for _ in range(self._threads * BUFFERS_PER_THREAD):
            buffers.put((self._cupy.cuda.alloc_pinned_memory(PIECE), self._event()))
        return buffers

    def _send_piece(self, buffers: queue.SimpleQueue, task: tuple[Carried, int]) -> None:
        piece, address = task
        pinned, on_its_way = buffers.get()
        try:
            with self._cupy.cuda.Device(self._device):
                on_its_way.synchronize()
                if isinstance(piece, BadPixels):
                    piece.copy_to(np.ndarray(piece.nbytes, np.uint8, buffer=pinned))
                else:
                    np.copyto(np.ndarray(piece.shape, piece.dtype, buffer=pinned), piece)
                runtime = self._cupy.cuda.runtime
                runtime.memcpyAsync(address, pinned.ptr, piece.nbytes, runtime.memcpyHostToDevice, self._copy.ptr)
                on_its_way.record(self._copy)
        finally:
            buffers.put((pinned, on_its_way))

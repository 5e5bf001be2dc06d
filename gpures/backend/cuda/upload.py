"""Host arrays on their way to a device.

An exposure's arrays are copied into a pinned buffer, by several threads in one go, and from there to the device, which
does not take the host's time: it is done while the next exposure's are copied. What a buffer does not hold comes in
parts. Types and byte orders stay as they are (the kernels read any), so an array from a FITS or ASDF file needs no
conversion. DQ flags that only say which pixels are bad go as bits.

Device memory comes in slots, taken in turn: the copies for one exposure may run while the one before is splatted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpures import _cpu
from gpures.backend.cuda.bad_pixels import BadPixels
from gpures.backend.cuda.pieces import Carried, pieces_of
from gpures.backend.cuda.pinned import PinnedBuffers, copy_of
from gpures.machine.threads import thread_count

__all__ = ["Uploader"]

#: Threads that fill a buffer; more of them take no more from the host's memory.
MOST_THREADS = 16

#: Exposures on the device at a time: one to splat while the next is on its way.
SLOTS = 2

#: Arrays of a slot begin at multiples of this: what a device reads best.
ALIGNMENT = 256


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
        CuPy, whose current device it is, whenever a method is called.
    stream : cupy.cuda.Stream
        The stream on which the arrays will be used.

    Attributes
    ----------
    buffers : PinnedBuffers
        What they go through.
    """

    def __init__(self, cupy: Any, stream: Any):
        self.buffers = PinnedBuffers(cupy)
        self._cupy = cupy
        self._use = stream
        self._copy = cupy.cuda.Stream(non_blocking=True)
        self._slots = [_Slot() for _ in range(SLOTS)]
        self._next = 0
        self._threads = min(thread_count(), MOST_THREADS)

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
        try:
            pieces: list[tuple[Carried, int]] = []
            for array, offset in zip(arrays, offsets, strict=True):
                for piece, at in pieces_of(array, self.buffers.largest):
                    if pieces and offset + at + piece.nbytes - pieces[0][1] > self.buffers.largest:
                        self._send(pieces, start)
                        pieces = []
                    pieces.append((piece, offset + at))
            self._send(pieces, start)
            ready = self._event()
            ready.record(self._copy)
            self._use.wait_event(ready)
        except BaseException:
            # Whoever gets the memory that these copies read and write, they are done by then.
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

    def _send(self, pieces: list[tuple[Carried, int]], start: int) -> None:
        """Copy pieces, which have offsets from where the slot starts, as they lie there."""
        if not pieces:
            return
        first, (last, at) = pieces[0][1], pieces[-1]
        size = at + last.nbytes - first
        pinned, on_its_way = self.buffers.take(size)
        copies = [
            piece.copy_to(to) if isinstance(piece, BadPixels) else copy_of(piece, to)
            for piece, to in ((piece, pinned.ptr + offset - first) for piece, offset in pieces)
        ]
        _cpu.copy_all(copies, self._threads)
        runtime = self._cupy.cuda.runtime
        runtime.memcpyAsync(start + first, pinned.ptr, size, runtime.memcpyHostToDevice, self._copy.ptr)
        on_its_way.record(self._copy)

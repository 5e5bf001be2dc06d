"""Pinned host memory, by way of which arrays go to a device and come from it at the full rate of the bus."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

__all__ = ["Copy", "PinnedBuffers", "copy_of"]

#: Bytes of a buffer at most.
LARGEST = 96 << 20

#: Buffers, of which one is filled, or emptied, while others are on their way.
BUFFERS = 3

#: A copy of rows in host memory, as `gpures._cpu.copy_all` takes it.
Copy: TypeAlias = tuple[int, tuple[int, ...], tuple[int, ...], int, int, int, int | None]


class PinnedBuffers:
    """Buffers that are taken in turn.

    Parameters
    ----------
    cupy : module
        CuPy.

    Attributes
    ----------
    largest : int
        Bytes that one can have.
    """

    def __init__(self, cupy: Any):
        self.largest = LARGEST
        self._cupy = cupy
        self._buffers: list[tuple[Any, Any, int]] = []
        self._taken = 0

    def take(self, size: int) -> tuple[Any, Any]:
        """A buffer of at least so many bytes that no copy reads or writes any more, and its event.

        The event is to be recorded behind the next such copy. When `BUFFERS` more have been taken, it is waited for.
        """
        number = self._taken % BUFFERS
        if number == len(self._buffers):
            self._buffers.append((None, self._cupy.cuda.Event(disable_timing=True), 0))
        pinned, on_its_way, has = self._buffers[number]
        on_its_way.synchronize()
        if has < size:
            self._buffers[number] = None, on_its_way, 0  # what is there goes before there is more
            del pinned
            size = max(size, min(self.largest, 1 << (size - 1).bit_length()))
            pinned = self._cupy.cuda.alloc_pinned_memory(size)
            self._buffers[number] = pinned, on_its_way, size
        self._taken += 1
        return pinned, on_its_way


def copy_of(rows: np.ndarray, to: int, to_stride: int | None = None) -> Copy:
    """The copy of an array to where the elements of a row are contiguous.

    Parameters
    ----------
    rows : ndarray
        Of two dimensions, and of any type and strides.
    to : int
        Address of the first one there.
    to_stride : int, optional
        Bytes from one row to the next there; by default rows are contiguous as well.
    """
    source, item = rows.__array_interface__["data"][0], rows.dtype.itemsize
    return source, rows.shape, rows.strides, item, to, to_stride or rows.shape[1] * item, None

"""Images on their way from a device: through pinned buffers, out of which several threads copy."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from gpures import _cpu
from gpures.backend.cuda.pinned import PinnedBuffers
from gpures.machine.threads import thread_count

__all__ = ["download"]

#: Bytes of a piece at most: while one is copied to where it belongs, the next is on its way.
PIECE = 16 << 20

#: Pieces on their way. Fewer than there are buffers.
AHEAD = 2


def download(image: Any, into: np.ndarray, buffers: PinnedBuffers, stream: Any, cupy: Any) -> None:
    """Copy an image from the current device.

    Parameters
    ----------
    image : cupy.ndarray
        Contiguous; what was done to it is on the stream, or has been done.
    into : ndarray
        Of its shape and type. The elements of a row are contiguous, and rows may lie apart.
    buffers : PinnedBuffers
        Of the device.
    stream : cupy.cuda.Stream
        Of the device.
    cupy : module
        CuPy.
    """
    if not image.size:
        return
    runtime, threads = cupy.cuda.runtime, thread_count()
    under_way: deque = deque()

    def arrive() -> None:
        pinned, here, at, stride, shape = under_way.popleft()
        here.synchronize()
        _cpu.copy_all([(pinned.ptr, shape, (shape[1], 1), 1, at, stride, None)], threads)

    try:
        address = image.data.ptr
        for plane in into.reshape(-1, *into.shape[-2:]) if into.ndim > 2 else [into]:
            rows = plane if plane.ndim == 2 else plane.reshape(1, -1)
            width, stride = rows.shape[1] * rows.itemsize, rows.strides[0]
            first = rows.__array_interface__["data"][0]
            for j, i, height, length in _parts(rows.shape[0], width, min(PIECE, buffers.largest)):
                if len(under_way) == AHEAD:
                    arrive()
                size = height * length
                pinned, here = buffers.take(size)
                runtime.memcpyAsync(pinned.ptr, address, size, runtime.memcpyDeviceToHost, stream.ptr)
                here.record(stream)
                under_way.append((pinned, here, first + j * stride + i, stride, (height, length)))
                address += size
        while under_way:
            arrive()
    except BaseException:
        stream.synchronize()  # whoever gets the buffers, no copy writes to them any more
        raise


def _parts(rows: int, width: int, most: int) -> Iterator[tuple[int, int, int, int]]:
    """Rows of so many bytes in pieces of at most so many, in order: first row and byte, and how many of both."""
    at_once = max(1, most // max(1, width))
    length = min(width, most)
    for j in range(0, rows, at_once):
        for i in range(0, width, length):
            yield j, i, min(at_once, rows - j), min(length, width - i)

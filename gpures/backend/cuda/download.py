"""Images on their way from a device: through pinned buffers, out of which several threads copy."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from gpures import _cpu
from gpures.backend.cuda.pieces import pieces_of
from gpures.backend.cuda.pinned import PinnedBuffers, copy_of
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
        pinned, here, piece = under_way.popleft()
        here.synchronize()
        to = piece.__array_interface__["data"][0]
        _cpu.copy_all([copy_of(np.ndarray(piece.shape, piece.dtype, buffer=pinned), to, piece.strides[0])], threads)

    try:
        address = image.data.ptr
        for plane in into.reshape(-1, *into.shape[-2:]) if into.ndim > 2 else [into]:
            for piece, at in pieces_of(plane, min(PIECE, buffers.largest)):
                if len(under_way) == AHEAD:
                    arrive()
                pinned, here = buffers.take(piece.nbytes)
                source = address + at
                runtime.memcpyAsync(pinned.ptr, source, piece.nbytes, runtime.memcpyDeviceToHost, stream.ptr)
                here.record(stream)
                under_way.append((pinned, here, piece))
            address += plane.nbytes
        while under_way:
            arrive()
    except BaseException:
        stream.synchronize()  # whoever gets the buffers, no copy writes to them any more
        raise

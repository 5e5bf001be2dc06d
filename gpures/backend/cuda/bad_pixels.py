"""DQ flags on their way to a device as one bit for each pixel, where nobody asks which flags there are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpures.backend.cuda.pinned import Copy

__all__ = ["BadPixels"]


class BadPixels:
    """Which pixels have any of the bad bits: rows of bits, the first one of a byte the lowest.

    They are made when they are copied.

    Parameters
    ----------
    dq : ndarray
        DQ flags, shape (Ny, Nx), of an integer type or bool.
    bad_bits : int
        Bits of which a pixel must have none. Those that the type of ``dq`` does not have are in no pixel.
    """

    def __init__(self, dq: np.ndarray, bad_bits: int):
        self._dq = dq
        self._bad = bad_bits & (1 << 8 * dq.dtype.itemsize) - 1
        self.strides = -(-dq.shape[1] // 8), 0
        self.nbytes = dq.shape[0] * self.strides[0]

    def pieces(self, most: int) -> Iterator[tuple[BadPixels, int]]:
        """Parts that are made of at most so many bytes or one row of bytes, each with its offset (bytes) in the whole.

        Parameters
        ----------
        most : int
            No part has more bytes than that either.
        """
        rows, width = self._dq.shape
        # As many rows as are read in one go; of rows that are too long even so, as many columns as fit.
        at_once = max(1, most // max(1, width * self._dq.dtype.itemsize))
        columns = width if self.strides[0] <= most else 8 * most
        for j in range(0, rows, at_once):
            for i in range(0, width, columns):
                part = self._dq[j : j + at_once, i : i + columns]
                yield BadPixels(part, self._bad), j * self.strides[0] + i // 8

    def copy_to(self, to: int) -> Copy:
        """The copy that makes the bits.

        Parameters
        ----------
        to : int
            Where, in memory.
        """
        dq, size = self._dq, self._dq.dtype.itemsize
        # The bits as they lie in memory, whatever the order of bytes.
        is_swapped = dq.dtype.newbyteorder("=") != dq.dtype
        bad = int.from_bytes(self._bad.to_bytes(size, "little"), "big" if is_swapped else "little")
        return dq.__array_interface__["data"][0], dq.shape, dq.strides, size, to, self.strides[0], bad

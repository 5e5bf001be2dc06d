"""DQ flags on their way to a device as one bit for each pixel, where nobody asks which flags there are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ["BadPixels"]

#: Bytes of flags that are looked at in one go: what the first cache of a processor holds, besides what is made of them.
CACHED = 1 << 14


class BadPixels:
    """Which pixels have any of the bad bits: rows of bits, the first one of a byte the lowest.

    They are made when they are copied, of a few rows at a time.

    Parameters
    ----------
    dq : ndarray
        DQ flags, shape (Ny, Nx), of an integer type or bool.
    bad_bits : int
        Bits of which a pixel must have none. Those that the type of ``dq`` does not have are in no pixel.
    """

    def __init__(self, dq: np.ndarray, bad_bits: int):
        unsigned = np.dtype(f"u{dq.dtype.itemsize}")
        self._dq = dq.view(unsigned.newbyteorder(dq.dtype.byteorder))
        self._bad = unsigned.type(bad_bits & np.iinfo(unsigned).max)
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
                yield BadPixels(part, int(self._bad)), j * self.strides[0] + i // 8

    def copy_to(self, buffer: np.ndarray) -> None:
        """Make the bits.

        Parameters
        ----------
        buffer : ndarray of uint8
            Of as many bytes as they take.
        """
        rows, width = self._dq.shape
        into = buffer.reshape(rows, self.strides[0])
        at_once = max(1, CACHED // max(1, width * self._dq.dtype.itemsize))
        for j in range(0, rows, at_once):
            is_bad = np.bitwise_and(self._dq[j : j + at_once], self._bad).astype(bool)
            into[j : j + at_once] = np.packbits(is_bad, axis=1, bitorder="little")

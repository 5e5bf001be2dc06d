"""Pixels as they lie in a FITS file, and the sum of their words, as DATASUM has it; of large images by threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits

from gpures.machine.threads import thread_count

__all__ = ["StreamedImage", "folded", "put", "stored", "words_of"]

# Pixels that are converted at a time: what a core's cache holds; a multiple of 4, so that each begins with a word.
AT_ONCE = 1 << 18


def stored(pixels: np.ndarray) -> np.ndarray:
    """Pixels in the order of bytes of a file: numbers of a sign that FITS has not for their size less an offset.

    Parameters
    ----------
    pixels : ndarray
        Of a type that FITS has.
    """
    # Of a byte FITS has only unsigned numbers, of more only signed ones; the offset is the bit of the sign.
    if pixels.dtype.kind in "iu" and (pixels.dtype.kind == "u") == (pixels.dtype.itemsize > 1):
        signed = np.dtype(f"i{pixels.dtype.itemsize}").newbyteorder(pixels.dtype.byteorder)
        pixels = pixels.view(signed) ^ np.iinfo(signed).min
    return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">"))


def words_of(content: np.ndarray) -> int:
    """Sum of the words of 32 bits in the order of a file, without carries; zeros fill the last.

    Parameters
    ----------
    content : ndarray
        As `stored` gives it.
    """
    if content.dtype.itemsize % 4:
        content = np.frombuffer(content.tobytes() + bytes(-content.nbytes % 4), np.uint8)
    return int(content.view(">u4").sum(dtype=np.uint64))


def folded(words: int) -> int:
    """DATASUM of a sum of words: one of 32 bits whose carries are added to it.

    Parameters
    ----------
    words : int
        As `words_of` gives it.
    """
    while words >> 32:
        words = (words & 0xFFFFFFFF) + (words >> 32)
    return words


def put(file: int, content: Any, at: int) -> None:
    """Write all of something at a place, which the system may take in pieces, as where a disk is nearly full.

    Parameters
    ----------
    file : int
        Descriptor of the file.
    content : buffer
        What is written.
    at : int
        Byte of the file.
    """
    left = memoryview(content).cast("B")
    while left:
        count = os.pwrite(file, left, at)
        left, at = left[count:], at + count


class StreamedImage(fits.ImageHDU):
    """An image of a file, as astropy writes it, summed and written piece by piece by threads where it is a plain file.

    Parameters
    ----------
    data, header, name, do_not_scale_image_data, uint, scale_back, ver
        As of `astropy.io.fits.ImageHDU`.

    Attributes
    ----------
    file : binary file or None
        What it is written to, by astropy, where it has a descriptor and can be written to at any place.
    """

    file: BinaryIO | None = None

    def _calculate_datasum(self) -> int:
        if self.data is None:
            return super()._calculate_datasum()
        sums = self._over_pieces(lambda piece, _: words_of(stored(piece)))
        return folded(sum(sums))

    def _writedata_internal(self, fileobj: Any) -> int:
        if self.data is None or self.file is None or fileobj.simulateonly:
            return super()._writedata_internal(fileobj)
        self.file.flush()
        begin, file, width = self.file.tell(), self.file.fileno(), self.data.dtype.itemsize
        self._over_pieces(lambda piece, first: put(file, stored(piece), begin + first * width))
        self.file.seek(begin + self.data.nbytes)
        return self.data.nbytes

    def _over_pieces(self, call: Callable[[np.ndarray, int], Any]) -> list[Any]:
        """What a call gives for each piece of the pixels, and the number of its first one."""
        pixels = np.ascontiguousarray(self.data).reshape(-1)
        starts = range(0, pixels.size, AT_ONCE)
        threads = min(thread_count(), len(starts))
        if threads < 2:
            return [call(pixels[start : start + AT_ONCE], start) for start in starts]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(lambda start: call(pixels[start : start + AT_ONCE], start), starts))

"""A mosaic's FITS file that is written part by part, in its final layout, and never in memory as a whole.

Headers are made at the beginning, with room for what is found out meanwhile. Where zeros are to be the file has holes.
The sums of DATASUM do not depend on the order of what is added, so they are kept by the way.
"""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from gpures.arguments.arrays import as_host
from gpures.box import Box, row_blocks
from gpures.io.atomic import Destination
from gpures.io.context import renumbered
from gpures.io.creator import creator
from gpures.io.empty_planes import KEPT
from gpures.io.exposures import records_of
from gpures.io.fits_pixels import folded, put, stored, words_of
from gpures.io.fits_writer import NAMES, NOISE_FACTOR, WCSInFITS, hdu_list
from gpures.io.lags import lags_of_names
from gpures.io.median import median_of_parts

__all__ = ["FITSMosaic"]

# A FITS file is made of blocks of so many bytes, and a header of cards.
BLOCK, CARD = 2880, 80

# Cards that the primary header has room for beside those that are known at the beginning.
ROOM = 72

# The image in which those of all lags lie.
STACK = "covariance"

# Bytes that are moved at a time.
AT_ONCE = 1 << 24


@dataclass
class _Plane:
    """An image, and where it lies in the file.

    Attributes
    ----------
    name : str
        Its name.
    dtype : dtype
        Its type.
    shape : tuple of int
        Its shape.
    fill : number
        What is where nothing is written.
    offset : int
        Its first byte.
    words : int
        Sum of its words, as DATASUM has it but for carries.
    has_numbers : bool
        Whether any pixel that was written is no NaN.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    fill: Any
    offset: int = 0
    words: int = 0
    has_numbers: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def blank(self) -> np.ndarray:
        """An image of its shape and type, which takes no memory."""
        return np.broadcast_to(np.zeros((), self.dtype), self.shape)

    @property
    def bytes(self) -> int:
        """What its pixels take in the file."""
        size = self.dtype.itemsize
        for side in self.shape:
            size *= side
        return size

    def note(self, content: np.ndarray, pixels: np.ndarray) -> None:
        """Count what is written."""
        words = words_of(content)
        numbers = self.has_numbers or pixels.dtype.kind != "f" or bool((pixels == pixels).any())
        with self.lock:
            self.words += words
            self.has_numbers = numbers


class FITSMosaic:
    """A mosaic as a FITS file that is being written, like `gpures.io.zarr_writer.ZarrMosaic`.

    Every pixel is written once, by any thread; the file has its name once it is finished.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    shape : (int, int)
        Shape (Ny, Nx) of the mosaic.
    planes : mapping
        Types of its images, by name; those of one lag (`gpures.io.lags.split`) lie in one stack.
    in_fits : WCSInFITS
        Its WCS.
    fill : mapping
        What is where nothing is written, by name.
    context_planes : int
        Number of planes of the context.
    overwrite : bool
        Whether a file of that name is replaced.
    told : mapping
        What is known by now of what `finish` will be told.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int],
        planes: Mapping[str, Any],
        in_fits: WCSInFITS,
        *,
        fill: Mapping[str, Any],
        context_planes: int = 0,
        overwrite: bool = False,
        told: Mapping[str, Any],
    ):
        self._path, self._in_fits, self._shape = path, in_fits, shape
        self._lags = lags_of_names(planes)
        depths = {"con": (context_planes,), STACK: (len(self._lags),)}
        self._planes = {}
        for name, kind in planes.items():
            stack = STACK if name in self._lags else name
            self._planes[stack] = _Plane(stack, np.dtype(kind), (*depths.get(stack, ()), *shape), fill[name])
        self._depths = {name: depth for depth, name in enumerate(self._lags)}  # of images in the stack
        self._destination = Destination(path, overwrite)
        try:
            hdus = self._hdus(**told)
            self._room = _blocks(len(hdus[0].header) + 1 + ROOM)
            self._lay_out(hdus)
            os.ftruncate(self._file, self._end)
        except BaseException:
            self.close()
            raise

    @property
    def _file(self) -> int:
        return self._destination.file.fileno()

    def _hdus(self, facts: Mapping[str, Any], unit: Any, exposures: Any, header: Any, history: Any) -> fits.HDUList:
        """The file's HDUs, without pixels."""
        images = {name: plane.blank for name, plane in self._planes.items()}
        records = records_of(exposures)
        facts = {**facts, "covariance_lags": [*self._lags.values()], NOISE_FACTOR: self._median("noise_factor")}
        return hdu_list(self._path.name, self._in_fits, images, facts, unit, records, header, history, creator())

    def _of(self, hdu: Any) -> _Plane | None:
        """The image that an HDU is of."""
        names = {NAMES.get(name, name.upper()): plane for name, plane in self._planes.items()}
        return names.get(hdu.name) if isinstance(hdu, fits.ImageHDU) else None

    def _lay_out(self, hdus: fits.HDUList) -> None:
        """Find where headers and images lie."""
        at = self._room
        for hdu in hdus[1:]:
            if (plane := self._of(hdu)) is None:
                break  # tables, which come last
            plane.offset = at + _blocks(len(hdu.header) + 3)  # with the two of checksums, and the end
            at = plane.offset + -(-plane.bytes // BLOCK) * BLOCK
        self._end = at

    # ---- parts ---------------------------------------------------------------------------------------------------

    def write(self, name: str, box: Box, array: Any) -> None:
        """Write a part of an image.

        Parameters
        ----------
        name : str
            Image.
        box : Box
            The part.
        array : ndarray (ny, nx), of "con" (planes, ny, nx)
            Its pixels, of the type of the image; they may be on a GPU.
        """
        image = as_host(array)
        for k, pixels in enumerate(image if image.ndim == 3 else image[None]):
            self.write_plane(name, k, box, pixels)

    def write_plane(self, name: str, plane: int, box: Box, array: Any) -> None:
        """Write a part of one plane of an image.

        Parameters
        ----------
        name, box
            As of `write`.
        plane : int
            Number of the plane.
        array : ndarray (ny, nx)
            Its pixels.
        """
        into, first = self._planes[STACK if name in self._depths else name], self._depths.get(name, 0)
        for rows in row_blocks(array.shape):
            self._write_rows(into, first + plane, box, rows, np.ascontiguousarray(array[rows], into.dtype))

    def write_overview(self, box: Box, images: Mapping[str, Any]) -> None:
        """Nothing, as FITS has no overviews."""

    def write_empty(self, box: Box) -> None:
        """Write a part of all images in which nothing is."""
        height, width = box.shape
        for plane in self._planes.values():
            if not _is_zero(stored(np.array(plane.fill, plane.dtype))):
                row = np.full((1, width), plane.fill, plane.dtype)
                for depth in range(plane.shape[0] if len(plane.shape) == 3 else 1):
                    for k in range(height):
                        self._write_rows(plane, depth, box, slice(k, k + 1), row)

    def _write_rows(self, plane: _Plane, depth: int, box: Box, rows: slice, pixels: np.ndarray) -> None:
        content = stored(pixels)
        plane.note(content, pixels)
        for k, row in enumerate(content):
            there = np.flatnonzero(row.view(f"u{row.dtype.itemsize}"))
            if there.size:
                at = self._place(plane, depth, box.ymin + rows.start + k, box.xmin + int(there[0]))
                put(self._file, row[there[0] : there[-1] + 1], at)

    def _got(self, count: int, at: int) -> bytes:
        """So many bytes of the file, which may be a hole."""
        content = b""
        while len(content) < count:
            piece = os.pread(self._file, count - len(content), at + len(content))
            if not piece:
                raise OSError(errno.EIO, "the file that is being written is shorter than it was", str(self._path))
            content += piece
        return content

    def _median(self, name: str) -> float | None:
        """Median of what has been written of an image; None where nothing has."""
        plane = self._planes.get(name)
        if plane is None or not plane.has_numbers:
            return None
        width = self._shape[1]

        def parts() -> Iterator[np.ndarray]:
            for rows in row_blocks(self._shape):
                count = plane.dtype.itemsize * width * (rows.stop - rows.start)
                yield np.frombuffer(
                    self._got(count, self._place(plane, 0, rows.start, 0)), plane.dtype.newbyteorder(">")
                )

        return median_of_parts(parts)

    def _place(self, plane: _Plane, depth: int, y: int, x: int) -> int:
        ny, nx = self._shape
        return plane.offset + ((depth * ny + y) * nx + x) * plane.dtype.itemsize

    def renumber(self, numbers: Sequence[int]) -> None:
        """Give exposures other bits in the context.

        Parameters
        ----------
        numbers : sequence of int
            Those that there are, in their new order.
        """
        context = self._planes["con"]
        context.words = 0
        for rows in row_blocks(self._shape):
            shape = rows.stop - rows.start, self._shape[1]
            places = [self._place(context, depth, rows.start, 0) for depth in range(context.shape[0])]
            read = [np.frombuffer(self._got(4 * shape[0] * shape[1], at), ">i4").reshape(shape) for at in places]
            for at, image in zip(places, renumbered(np.array(read, np.int32), numbers), strict=True):
                content = stored(image)
                context.note(content, image)
                put(self._file, content, at)

    # ---- the end -------------------------------------------------------------------------------------------------

    def finish(
        self,
        facts: Mapping[str, Any],
        *,
        unit: str | None = None,
        exposures: Sequence[Any] = (),
        header: Mapping[str, Any] | None = None,
        history: Sequence[str] = (),
    ) -> None:
        """Write headers and tables, and give the file its name; parameters as of `gpures.io.write`.

        Images in which nothing is, other than those that are always there, go.
        """
        before = {name: plane.offset for name, plane in self._planes.items()}
        for name in [name for name, plane in self._planes.items() if name not in KEPT and not plane.has_numbers]:
            del self._planes[name]
        hdus = self._hdus(facts, unit, exposures, header or {}, history)
        self._room = max(self._room, _blocks(len(hdus[0].header) + 3))
        self._lay_out(hdus)
        self._move(before)
        os.ftruncate(self._file, self._end)
        at = 0
        for k, hdu in enumerate(hdus):
            plane = self._of(hdu)
            if k and plane is None:
                break
            hdu.header["DATASUM"] = ("0" if plane is None else str(folded(plane.words)), "sum of the data's words")
            end = self._room if plane is None else plane.offset
            put(self._file, _header_of(hdu, end - at), at)
            at = end if plane is None else end + -(-plane.bytes // BLOCK) * BLOCK
        tail = io.BytesIO()
        for hdu in hdus[1 + len(self._planes) :]:
            part = io.BytesIO()
            fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(part, checksum=True)
            tail.write(part.getvalue()[BLOCK:])
        put(self._file, tail.getvalue(), self._end)
        self._destination.publish()
        self.close()

    def _move(self, before: Mapping[str, int]) -> None:
        """Move images to where they lie by now: from the first on where they go down, else from the last."""
        moves = [(plane, before[name]) for name, plane in self._planes.items() if plane.offset != before[name]]
        moves.sort(key=lambda move: move[1])
        down = [(plane, old) for plane, old in moves if plane.offset < old]
        up = [(plane, old) for plane, old in reversed(moves) if plane.offset > old]
        for plane, old in [*up, *down]:
            starts = list(range(0, plane.bytes, AT_ONCE))
            for start in starts if plane.offset < old else reversed(starts):
                count = min(AT_ONCE, plane.bytes - start)
                put(self._file, self._got(count, old + start), plane.offset + start)
            put(self._file, bytes(-plane.bytes % BLOCK), plane.offset + plane.bytes)

    def close(self) -> None:
        """Discard what is not finished."""
        self._destination.close()

    def __enter__(self) -> FITSMosaic:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _is_zero(content: np.ndarray) -> bool:
    return not content.view(np.uint8).any()


def _blocks(cards: int) -> int:
    """Bytes of the blocks that so many cards take."""
    return -(-cards * CARD // BLOCK) * BLOCK


def _header_of(hdu: Any, size: int) -> bytes:
    """A header of so many bytes, with blank cards where it has fewer, and its checksum."""
    header = hdu.header
    header["CHECKSUM"] = ("0" * 16, "sum of the header's and data's words")
    for _ in range((size - len(header.tostring())) // CARD):
        header.append(fits.Card(), end=True)
    header["CHECKSUM"] = hdu._calculate_checksum(int(header["DATASUM"]))
    return header.tostring().encode("ascii")

"""FITS files' own words on their sizes, compared with the files before astropy acts on them.

astropy loops over NAXIS axes, whatever their number, goes back where a size is negative, and takes memory for what a
header promises; its decompressors trust the streams in a tile. All that is looked at here, header by header.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gpures.errors import FileError
from gpures.io.regular import opened_file
from gpures.machine.memory import GIB, available_memory

__all__ = ["check_sizes", "is_packed"]

BLOCK, CARD, CHUNK = 2880, 80, 1 << 22

# What a file may have at most: blocks of a header (36 cards each), extensions, axes (of the standard), bytes behind the
# last extension. Large headers of mosaics have some 1e4 cards.
HEADER_BLOCKS, EXTENSIONS, AXES, TRAILING = 4000, 10_000, 999, 10 * BLOCK

# Keywords that say how large something is, which a header has once; and others that have a say in it.
SIZES = re.compile(r"BITPIX|Z?NAXIS\d*|PCOUNT|GCOUNT|TFIELDS|THEAP|ZBITPIX|ZTILE\d+|NPIX[12]")
OTHERS = re.compile(r"XTENSION|GROUPS|ZIMAGE|ZCMPTYPE|PIXVALUE|TFORM\d+|TTYPE\d+|[AB]P?_ORDER|WCSAXES")
VALUE = re.compile(r"=\s*(?:'((?:[^']|'')*)'|([^/]*))")
INTEGER = re.compile(r"[+-]?\d{1,18}")

# Order of a polynomial, and axes of a WCS, that somebody may mean.
MOST = {"A_ORDER": 20, "B_ORDER": 20, "AP_ORDER": 20, "BP_ORDER": 20, "WCSAXES": 20}

WIDTHS = {"L": 1, "B": 1, "A": 1, "I": 2, "J": 4, "E": 4, "K": 8, "D": 8, "C": 8, "P": 8, "M": 16, "Q": 16}
TFORM = re.compile(r"\s*(\d{0,9})([LXBAIJKEDCMPQ])(?:([LBAIJKEDCMX])\S*)?")

OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}

# Bytes that a byte of gzip becomes at most, and what is much for one tile.
GZIP_RATIO, LARGE = 1032, 1 << 32

# Columns of a tile-compressed image that hold its tiles.
TILES = ("COMPRESSED_DATA", "GZIP_COMPRESSED_DATA", "UNCOMPRESSED_DATA")


def is_packed(path: Path) -> bool:
    """Whether a file is a packed one, as by gzip."""
    with opened_file(path) as file:
        return not file.read(9).startswith(b"SIMPLE")


def check_sizes(path: Path) -> bool:
    """Compare what the headers of a FITS file say with its length, with memory, and with each other.

    A packed file is unpacked for it, once, to its end.

    Returns
    -------
    bool
        Whether it has its padding; without it is whole all the same.

    Raises
    ------
    FileError
        They can't be true, or the file breaks off.
    """
    with _unpacked(path) as (file, length):
        sizes = _Sizes(path, file, length)
        sizes.check()
        return sizes.is_padded


@contextmanager
def _unpacked(path: Path) -> Iterator[tuple[BinaryIO, int | None]]:
    """A file, unpacked, and its length; None where that is not known beforehand."""
    with opened_file(path) as file:
        start = file.read(2)
        file.seek(0)
        if start == b"PK":
            with zipfile.ZipFile(file) as archive:
                (name,) = archive.namelist()
                with archive.open(name) as member:
                    yield member, None  # type: ignore[misc]
        elif opener := OPENERS.get(start):
            with opener(file) as unpacked:
                yield unpacked, None
        else:
            yield file, os.fstat(file.fileno()).st_size


class _Sizes:
    """A file whose headers are read one after another."""

    def __init__(self, path: Path, file: BinaryIO, length: int | None):
        self._path = path
        self._file = file
        self._length = length
        self._available = available_memory()
        self.is_padded = True
        self._unpacked = 0  # bytes so far of what is packed

    def _wrong(self, words: str) -> FileError:
        return FileError(self._path, f"the file is damaged, or no FITS file: {words}.")

    def check(self) -> None:
        """Go through the headers."""
        for number in range(EXTENSIONS + 2):
            header = self._header(number)
            if header is None:
                return
            try:
                size = _data_bytes(header)
                self._check_memory(size)
                self._check_data(size, header)
            except ValueError as error:
                if isinstance(error, FileError):
                    raise
                raise self._wrong(f"in HDU {number}, {error}") from error
        raise self._wrong(f"it has more than {EXTENSIONS} extensions")

    def _header(self, number: int) -> dict[str, str] | None:
        """What a header says of sizes; None behind the last extension."""
        found: dict[str, str] = {}
        for count in range(HEADER_BLOCKS):
            block = self._file.read(BLOCK)
            if count == 0 and not block.startswith(b"XTENSION" if number else b"SIMPLE"):
                if number == 0:
                    raise self._wrong(f"it begins with {block[:16]!r}")
                self._check_end(block)
                return None
            for begin in range(0, len(block), CARD):
                card = block[begin : begin + CARD]
                if card.startswith(b"END") and not card[3:].strip():
                    return found
                self._take(card.decode("latin-1"), number, found)
            if len(block) < BLOCK:
                raise self._wrong(f"it breaks off in the header of HDU {number}")
        raise self._wrong(f"the header of HDU {number} has no END within {BLOCK // CARD * HEADER_BLOCKS} cards")

    def _take(self, card: str, number: int, found: dict[str, str]) -> None:
        """Add a card's value to what a header says, if it is about sizes."""
        keyword, rest = card[:8].rstrip().upper(), card[8:]
        if keyword == "HIERARCH":
            keyword, _, rest = rest.partition("=")
            keyword, rest = keyword.strip().upper(), "=" + rest
        is_size = SIZES.fullmatch(keyword)
        value = VALUE.match(rest) if is_size or OTHERS.fullmatch(keyword) else None
        if value is None:
            return
        text = (value[2] if value[1] is None else value[1]).strip()
        if is_size and found.get(keyword, text) != text:
            raise self._wrong(f"the header of HDU {number} has {keyword} twice, {found[keyword]} and {text}")
        found.setdefault(keyword, text)

    def _check_end(self, block: bytes) -> None:
        """What follows the last extension is little, such as zeros."""
        size = len(block)
        while block and size <= TRAILING:
            block = self._file.read(BLOCK)
            size += len(block)
        if size > TRAILING:
            raise self._wrong(f"behind its last extension are more than {TRAILING} bytes that are none")

    def _check_memory(self, size: int) -> None:
        self._unpacked += size if self._length is None else 0
        needed = max(size, self._unpacked)
        if self._available is not None and needed > self._available:
            words = f"{needed / GIB:.1f} GiB of memory, of which {self._available / GIB:.1f} GiB are available"
            raise FileError(self._path, f"it needs {words}.")

    def _check_data(self, size: int, header: Mapping[str, str]) -> None:
        """Check what lies behind a header, and go to the next one."""
        widths = _column_widths(header)
        image = _image_bytes(header)
        if self._available is not None and image > self._available:
            words = f"{image / GIB:.1f} GiB of memory, of which {self._available / GIB:.1f} GiB are available"
            raise FileError(self._path, f"an image in it needs {words}.")
        padded = -(-size // BLOCK) * BLOCK
        if self._length is None:
            self._check_packed_data(size, padded, header, widths)
            return
        begin = self._file.tell()
        if begin + size > self._length:
            raise FileError(
                self._path, f"the file breaks off: its headers say {begin + size} bytes, it has {self._length}."
            )
        if header.get("ZIMAGE") == "T":
            _check_tiles(self._file, begin, size, header, widths)
        self.is_padded = begin + padded <= self._length
        self._file.seek(begin + padded)

    def _check_packed_data(
        self, size: int, padded: int, header: Mapping[str, str], widths: Mapping[str, tuple[int, str]]
    ) -> None:
        left = padded
        if header.get("ZIMAGE") == "T":  # its tiles are looked at in no order
            data = self._file.read(size)
            left -= len(data)
            if len(data) == size:
                _check_tiles(io.BytesIO(data), 0, size, header, widths)
        while left and (piece := self._file.read(min(left, CHUNK))):
            left -= len(piece)
        if left > padded - size:
            raise FileError(self._path, "the file breaks off: its headers say more bytes than it unpacks to.")


def _whole(header: Mapping[str, str], keyword: str, default: int | None = None, least: int = 0) -> int:
    """A number that a header has."""
    text = header.get(keyword)
    if text is None:
        if default is None:
            raise ValueError(f"there is no {keyword}")
        return default
    if not INTEGER.fullmatch(text) or int(text) < least:
        raise ValueError(f"{keyword} is {text}, expected a whole number from {least} on")
    return int(text)


def _sides(header: Mapping[str, str], prefix: str = "") -> list[int]:
    """Lengths of an image's axes, in FITS' order."""
    axes = _whole(header, f"{prefix}NAXIS")
    if axes > AXES:
        raise ValueError(f"{prefix}NAXIS is {axes}, expected at most {AXES}")
    return [_whole(header, f"{prefix}NAXIS{k}") for k in range(1, axes + 1)]


def _bytes_of(header: Mapping[str, str], keyword: str) -> int:
    """Bytes of a pixel."""
    bits = header.get(keyword, "none")
    if bits not in ("8", "16", "32", "64", "-32", "-64"):
        raise ValueError(f"{keyword} is {bits}, expected 8, 16, 32, 64, -32 or -64")
    return abs(int(bits)) // 8


def _data_bytes(header: Mapping[str, str]) -> int:
    """Bytes that follow a header, without padding."""
    for keyword, most in MOST.items():
        if keyword in header and not _number(header[keyword]) <= most:
            raise ValueError(f"{keyword} is {header[keyword]}, expected at most {most}")
    width = _bytes_of(header, "BITPIX")
    sides = _sides(header)
    if not sides:
        return 0
    if sides[0] == 0 and header.get("GROUPS") == "T":
        sides[0] = 1
    return width * _whole(header, "GCOUNT", 1) * (_whole(header, "PCOUNT", 0) + math.prod(sides))


def _number(text: str) -> float:
    try:
        return float(text.upper().replace("D", "E"))
    except ValueError:
        return math.nan


def _image_bytes(header: Mapping[str, str]) -> int:
    """Bytes of an image that is not in the file as it is: one of tiles, or of one value."""
    if header.get("ZIMAGE") == "T":
        return _bytes_of(header, "ZBITPIX") * math.prod(_sides(header, "Z"))
    if header.get("NAXIS") == "0" and {"NPIX1", "NPIX2", "PIXVALUE"} <= header.keys():
        return 4 * _whole(header, "NPIX1") * _whole(header, "NPIX2")
    return 0


def _column_widths(header: Mapping[str, str]) -> dict[str, tuple[int, str]]:
    """Place and format of each column of a table, by its name."""
    if header.get("XTENSION") not in ("BINTABLE", "A3DTABLE", "TABLE"):
        return {}
    fields = _whole(header, "TFIELDS", 0)
    if fields > AXES:
        raise ValueError(f"TFIELDS is {fields}, expected at most {AXES}")
    columns: dict[str, tuple[int, str]] = {}
    place = 0
    for k in range(1, fields + 1) if header["XTENSION"] != "TABLE" else ():
        form = TFORM.match(header.get(f"TFORM{k}", "").upper())
        if form is None:  # astropy says so if somebody reads the table
            return columns
        count = int(form[1] or 1)
        columns.setdefault(header.get(f"TTYPE{k}", "").upper(), (place, form[2] + (form[3] or "")))
        place += -(-count // 8) if form[2] == "X" else count * WIDTHS[form[2]]
    if place > _whole(header, "NAXIS1"):
        raise ValueError(f"a row's columns take {place} bytes, of {header['NAXIS1']} that it has")
    return columns


# ---- images in tiles -------------------------------------------------------------------------------------------------


def _check_tiles(
    file: BinaryIO, begin: int, size: int, header: Mapping[str, str], columns: Mapping[str, tuple[int, str]]
) -> None:
    """Check that an image's tiles are those of its shape, lie in the table, and unpack to what they should."""
    sides = _sides(header, "Z")
    tile = [_whole(header, f"ZTILE{k}", n if k == 1 else 1, least=1) for k, n in enumerate(sides, 1)]
    numbers = [-(-n // t) for n, t in zip(sides, tile, strict=True)]
    rows, width = _whole(header, "NAXIS2"), _whole(header, "NAXIS1")
    if math.prod(numbers) != rows:
        raise ValueError(f"an image of {math.prod(numbers)} tiles lies in a table of {rows} rows")
    file.seek(begin)
    table = np.frombuffer(file.read(rows * width), np.uint8).reshape(rows, width)
    heap = _whole(header, "THEAP", rows * width)
    for name in TILES:
        place, form = columns.get(name, (0, ""))
        if form[:1] not in ("P", "Q") or not form:
            continue
        kind = np.dtype(">i4" if form[0] == "P" else ">i8")
        descriptors = np.ascontiguousarray(table[:, place : place + 2 * kind.itemsize]).view(kind).astype(np.int64)
        lengths, offsets = descriptors[:, 0] * WIDTHS.get(form[1:2], 1), descriptors[:, 1]
        bad = (descriptors < 0).any(axis=1) | (descriptors > size).any(axis=1) | (offsets + lengths > size - heap)
        if bad.any():
            k = int(np.argmax(bad))
            raise ValueError(f"tile {k} has {lengths[k]} bytes from byte {offsets[k]} of {size - heap} on")
        method = header.get("ZCMPTYPE", "") if name == "COMPRESSED_DATA" else name
        if (check := STREAMS.get(method)) is None:
            continue
        for k in map(int, np.flatnonzero(lengths)):
            index = np.unravel_index(k, numbers[::-1])[::-1]
            pixels = [min(t, n - int(i) * t) for t, n, i in zip(tile, sides, index, strict=True)]
            file.seek(begin + heap + int(offsets[k]))
            check(k, file, int(lengths[k]), math.prod(pixels))


def _check_hcompress(number: int, file: BinaryIO, length: int, pixels: int) -> None:
    """A stream of HCOMPRESS says its shape, and is unpacked to that whatever there is room for."""
    start = file.read(min(length, 10))
    ny, nx = (int.from_bytes(start[k : k + 4]) for k in (2, 6))
    if start[:2] != b"\xdd\x99" or nx * ny != pixels:
        raise ValueError(f"tile {number} unpacks to {ny} x {nx} pixels, and has {pixels}")


def _check_plio(number: int, file: BinaryIO, length: int, pixels: int) -> None:
    """A list of PLIO says how long it is."""
    words = np.frombuffer(file.read(min(length, 10) // 2 * 2), ">i2").astype(int)
    is_old = len(words) > 2 and words[2] > 0
    if len(words) < (3 if is_old else 5):
        raise ValueError(f"tile {number} breaks off")
    first, last = (3, words[2]) if is_old else (words[1], words[3] + (words[4] << 15))
    if first < 0 or not 0 <= last <= length // 2:
        raise ValueError(f"tile {number} has a list of {last} words, in {length} bytes")


def _check_gzip(number: int, file: BinaryIO, length: int, pixels: int) -> None:
    """A tile of gzip is unpacked whatever its size; one that could become large is tried piece by piece."""
    if length * GZIP_RATIO < LARGE:
        return
    left, most = length, 8 * pixels
    unpacker = zlib.decompressobj(wbits=31)
    while left and not unpacker.eof and most >= 0:
        piece = unpacker.unconsumed_tail or file.read(min(left, CHUNK))
        left -= 0 if unpacker.unconsumed_tail else len(piece)
        most -= len(unpacker.decompress(piece, CHUNK))
    if most < 0:
        raise ValueError(f"tile {number} unpacks to more than its {pixels} pixels")


STREAMS = {
    "HCOMPRESS_1": _check_hcompress,
    "PLIO_1": _check_plio,
    **dict.fromkeys(("GZIP_1", "GZIP_2", "GZIP_COMPRESSED_DATA"), _check_gzip),
}

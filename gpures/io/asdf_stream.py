"""ASDF files as asdf gets to see them: looked over before anything is built of them.

asdf believes what a file says of its arrays. It makes arrays of memory before and behind a block, opens other files
that an array names, and takes minutes over a few lines of YAML whose aliases multiply. So the blocks' headers and the
YAML's events are read here first, which takes a microsecond a node, and asdf then gets a stream of exactly what was
checked, with a block index that was made here.
"""

from __future__ import annotations

import io
import math
import os
import re
import struct
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urljoin, urlparse
from urllib.request import url2pathname

from gpures.errors import FileError
from gpures.io.regular import opened_file
from gpures.machine.memory import GIB, available_memory

__all__ = ["Stream", "checked", "checked_bytes"]

# What a file may have at most. Trees of the missions' files have some 1e3 to 1e5 nodes, hardly an alias, and are nested
# by two for each operator of a transform; their text is a few MB.
TEXT, NODES, DEPTH, BLOCKS = 64 << 20, 1_000_000, 500, 1 << 16

# Bytes between the text and the first block that are looked through for it: a file may be padded.
PADDING = 64 << 20

# Axes of a transform and coefficients of a polynomial: a transform has an object of Python for each.
MOST_AXES, MOST_COEFFICIENTS = 1000, 10_000
AXES = {"n_dims", "n_inputs", "n_outputs"}

MAGIC = b"\xd3BLK"
INDEX = b"#ASDF BLOCK INDEX"
HEADER = struct.Struct(">I4sQQQ16s")  # flags, compression, allocated, used and unpacked bytes, checksum
STREAMED = 1
END = re.compile(rb"\r?\n\.\.\.(\r?\n)?")

# Zeros between the last block and the index: asdf looks for the index in pieces of 8 KiB from the end, and what looks
# like one in a block's data is not to come into the piece that has it.
APART = 64 << 10

# Unpacked over packed bytes at most, by method; of others only the memory that they take is looked at.
RATIO = {b"zlib": 1040, b"lz4": 260}

BYTES = {"int8": 1, "int16": 2, "int32": 4, "int64": 8, "uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8}
BYTES |= {"float16": 2, "float32": 4, "float64": 8, "complex64": 8, "complex128": 16, "bool8": 1}
CHARACTER = {"ascii": 1, "ucs4": 4}
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")


class Stream(io.RawIOBase):
    """Pieces of memory and of a file, one behind the other, to be read.

    Parameters
    ----------
    file : binary file
    pieces : sequence of bytes or (int, int)
        Each is memory, or begin and length of a part of the file.
    keys : collection of str
        Names of the nodes at the root of the tree.
    refers : bool
        Whether the tree refers to another file's.
    """

    def __init__(self, file: BinaryIO, pieces: Sequence[bytes | tuple[int, int]], keys: Collection[str], refers: bool):
        self.keys = frozenset(keys)
        self.refers = refers
        self._file = file
        self._pieces = [piece for piece in pieces if _length(piece)]
        self._ends = list(accumulate(map(_length, self._pieces)))
        self._place = 0

    def readable(self) -> bool:  # noqa: D102
        return True

    def seekable(self) -> bool:  # noqa: D102
        return True

    def tell(self) -> int:  # noqa: D102
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:  # noqa: D102
        self._place = max(0, offset + (0, self._place, self._ends[-1])[whence])
        return self._place

    def read(self, size: int | None = -1) -> bytes | bytearray:
        """Bytes from here; what is of the file alone can be written to, and so can the arrays that are made of it."""
        left = max(0, self._ends[-1] - self._place)
        left = left if size is None or size < 0 else min(size, left)
        found: list[bytes | bytearray] = []
        k = bisect_right(self._ends, self._place)
        while left:
            piece, end = self._pieces[k], self._ends[k]
            count = min(left, end - self._place)
            found.append(self._part(piece, self._place - end + _length(piece), count))
            self._place += count
            left -= count
            k += 1
        return found[0] if len(found) == 1 else b"".join(found)

    def _part(self, piece: bytes | tuple[int, int], begin: int, count: int) -> bytes | bytearray:
        if isinstance(piece, bytes):
            return piece[begin : begin + count]
        part = bytearray(count)
        self._file.seek(piece[0] + begin)
        if self._file.readinto(part) != count:  # type: ignore[attr-defined]
            raise OSError("the file became shorter while it was read")
        return part

    def readinto(self, buffer: Any) -> int:  # noqa: D102
        part = self.read(len(buffer))
        buffer[: len(part)] = part
        return len(part)


def _length(piece: bytes | tuple[int, int]) -> int:
    return len(piece) if isinstance(piece, bytes) else piece[1]


@contextmanager
def checked(path: Path, allow_external: bool = False) -> Iterator[Stream]:
    """Open an ASDF file and look it over.

    Parameters
    ----------
    path : pathlib.Path
    allow_external : bool, optional
        Whether its arrays and references may be those of other files, which are looked over as well.

    Raises
    ------
    FileError
        It is damaged, or holds what is refused; the text says what, and where.
    """
    with opened_file(path) as file:
        yield _Check(path, file, allow_external).stream()


def checked_bytes(path: Path, content: bytes, sources: tuple[str, ...] = ()) -> bytes:
    """Look over an ASDF file in memory.

    Parameters
    ----------
    path : pathlib.Path
        File that it was found in, for errors.
    content : bytes
    sources : tuple of str, optional
        Beginnings of what arrays may have as a source, which somebody else than asdf finds.

    Returns
    -------
    bytes
        The file as asdf is to have it.
    """
    return bytes(_Check(path, io.BytesIO(content), False, sources).stream().read())


@dataclass
class _Node:
    """A mapping or sequence that is being read."""

    tag: str | None
    anchor: str | None
    is_mapping: bool
    children: list[Any] = field(default_factory=list)
    count: int = 1  # of nodes in it, itself included, as if aliases were written out

    @property
    def items(self) -> list[tuple[Any, Any]]:
        """Keys and values, of a mapping."""
        return list(zip(self.children[::2], self.children[1::2], strict=True))


class _Check:
    """An ASDF file that is looked over."""

    def __init__(
        self,
        path: Path,
        file: BinaryIO,
        allow_external: bool,
        sources: tuple[str, ...] = (),
        others: dict[str, list[int]] | None = None,
    ):
        self._path = path
        self._file = file
        self._size = file.seek(0, os.SEEK_END)
        self._allow_external = allow_external
        self._sources = sources
        self._others: dict[str, list[int]] = {} if others is None else others  # blocks of other files by their paths
        self._available = available_memory()
        self._refers = False
        self._keys: list[str] = []
        self._blocks: list[int] = []  # bytes of each, unpacked

    def _damaged(self, words: str) -> FileError:
        return FileError(self._path, f"the file is damaged, or no ASDF file: {words}.")

    def stream(self) -> Stream:
        """The file as asdf is to have it."""
        text = self._text()
        first = self._first_block(len(text))
        pieces: list[bytes | tuple[int, int]] = [text]
        offsets, at = [], len(text)
        for header, begin, end in self._walk(first):
            offsets.append(at)
            pieces += [header, (begin, end - begin)]
            at += len(header) + end - begin
        self._scan(text)
        if offsets:
            entries = b"".join(b"- %d\n" % offset for offset in offsets)
            pieces.append(bytes(APART) + INDEX + b"\n%YAML 1.1\n---\n" + entries + b"...\n")
        return Stream(self._file, pieces, self._keys, self._refers)

    # ---- text and blocks ---------------------------------------------------------------------------------------------

    def _text(self) -> bytes:
        """The file up to the end of its YAML."""
        self._file.seek(0)
        text = bytearray(self._file.read(1 << 16))
        # YAML, or the first block where there is none.
        begin = re.search(rb"%YAML|" + MAGIC, text)
        if not text.startswith(b"#ASDF ") or begin is None:
            raise self._damaged("it has neither YAML nor blocks within its first 64 KiB")
        if begin[0] == MAGIC:
            return bytes(text[: begin.start()])
        place = begin.start()
        while True:
            end = END.search(text, place)
            more = b"" if end is not None and end[1] else self._file.read(1 << 18)
            if not more:
                break
            place = max(place, end.start() if end else len(text) - 8)
            text += more
            if len(text) > TEXT:
                raise self._damaged(f"its YAML has more than {TEXT >> 20} MiB")
        # A line that only begins with three dots is none, and where it lies decides whether asdf takes it for one.
        if end is None or not (end[1] or end.end() == len(text)):
            raise self._damaged("its YAML has no end")
        return bytes(text[: end.end()])

    def _first_block(self, place: int) -> int:
        self._file.seek(place)
        before = b""
        while place < self._size and (piece := self._file.read(1 << 16)):
            found = (before + piece).find(MAGIC)
            if found >= 0:
                return place - len(before) + found
            place += len(piece)
            before = piece[-3:]
            if place > PADDING + TEXT:
                break
        return self._size

    def _walk(self, place: int) -> Iterator[tuple[bytes, int, int]]:
        """Header of each block, and begin and end of its bytes in the file."""
        while True:
            self._file.seek(place)
            start = self._file.read(6)
            if start[:4] != MAGIC or len(start) < 6:
                return
            number = len(self._blocks)
            length = int.from_bytes(start[4:])
            header = self._file.read(length)
            if number == BLOCKS or length < HEADER.size or len(header) < length:
                raise self._damaged(f"the header of block {number} breaks off, or there are more than {BLOCKS} blocks")
            flags, method, allocated, used, unpacked, checksum = HEADER.unpack_from(header)
            begin = place + 6 + length
            if flags & STREAMED:
                # It goes on to the end of the file; asdf gets it as one that says how long it is.
                allocated = used = unpacked = self._size - begin
                flags, checksum = flags & ~STREAMED, bytes(16)
            self._check_block(number, method.rstrip(b"\0"), allocated, used, unpacked, begin)
            place = end = min(begin + allocated, self._size)
            new = HEADER.pack(flags, method, end - begin, used, unpacked, checksum)
            yield start + new + header[HEADER.size :], begin, end

    def _check_block(self, number: int, method: bytes, allocated: int, used: int, unpacked: int, begin: int) -> None:
        there = self._size - begin
        if used > min(allocated, there):
            raise self._damaged(f"block {number} has {used} bytes, of {min(allocated, there)} that there are for it")
        if not method and unpacked != used:
            raise self._damaged(f"block {number} has {used} bytes that are not packed, and should unpack to {unpacked}")
        if method in RATIO and unpacked > RATIO[method] * used + 1024:
            raise self._damaged(f"block {number} has {used} packed bytes, which can't unpack to {unpacked}")
        if self._available is not None and unpacked > self._available:
            words = f"{unpacked / GIB:.1f} GiB of memory, of which {self._available / GIB:.1f} GiB are available"
            raise FileError(self._path, f"block {number} needs {words}.")
        self._blocks.append(unpacked)

    # ---- the tree ----------------------------------------------------------------------------------------------------

    def _scan(self, text: bytes) -> None:
        """Go through the YAML's events: count nodes, and look at what will be arrays."""
        import yaml

        begin = text.find(b"%YAML")
        if begin < 0:
            return
        anchors: dict[str, tuple[Any, int]] = {}
        parents: list[_Node] = []
        for event in yaml.parse(text[begin:], Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.ScalarEvent):
                found, count = event, 1
                if event.anchor:
                    anchors[event.anchor] = event, 1
            elif isinstance(event, yaml.AliasEvent):
                if event.anchor not in anchors:
                    raise self._damaged(f"its YAML has an alias, *{event.anchor}, of something that is not there yet")
                found, count = anchors[event.anchor]
            elif isinstance(event, yaml.CollectionStartEvent):
                parents.append(_Node(event.tag, event.anchor, isinstance(event, yaml.MappingStartEvent)))
                if event.anchor:
                    anchors.pop(event.anchor, None)  # it may not hold itself
                if len(parents) > DEPTH:
                    raise self._damaged(f"its tree is deeper than {DEPTH} nodes")
                continue
            elif isinstance(event, yaml.CollectionEndEvent):
                node = parents.pop()
                self._check_node(node, parents)
                if node.anchor:
                    anchors[node.anchor] = node, node.count
                found, count = node, node.count
            else:
                continue
            if parents:
                parents[-1].children.append(found)
                parents[-1].count += count
                if parents[-1].count > NODES:
                    raise self._damaged(f"its tree has more than {NODES} nodes, with aliases written out")
            elif isinstance(found, _Node) and found.is_mapping:
                self._keys = [key.value for key, _ in found.items if isinstance(key, yaml.ScalarEvent)]

    def _check_node(self, node: _Node, parents: Sequence[_Node]) -> None:
        tag = node.tag or ""
        if node.is_mapping and "core/ndarray" in tag:
            self._check_array(node, _place(parents))
        elif "core/externalarray" in tag and not self._allow_external:
            raise FileError(self._path, f"{_place(parents)} is an array of another file, which is not followed.")
        elif node.is_mapping:
            for k in range(0, len(node.children), 2):
                key, value = getattr(node.children[k], "value", None), node.children[k + 1]
                if key == "$ref":
                    self._check_reference(str(getattr(value, "value", "")), _place(parents))
                elif "transform/" in tag and key in AXES and (_integer(value) or 0) > MOST_AXES:
                    raise self._damaged(f"{_place(parents)} is a transform of {value.value} axes")
                elif "transform/" in tag and key == "coefficients" and _elements(value) > MOST_COEFFICIENTS:
                    raise self._damaged(f"{_place(parents)} is a polynomial of {_elements(value)} coefficients")

    def _check_array(self, node: _Node, name: str) -> None:
        """Look at what an array says of itself, against the block that it lies in."""
        said: dict[str, Any] = {}
        for key, value in node.items:
            key = getattr(key, "value", None)
            if not isinstance(key, str) or key in said or key == "<<":
                raise self._damaged(f"{name} is an array with the keys of none")
            said[key] = value
        if "source" not in said:
            return  # its numbers stand in the text
        source = said["source"]
        number = _integer(source)
        if number is None:
            size = self._size_of_source(getattr(source, "value", None), name)
            if size is None:
                return
        else:
            number = len(self._blocks) - 1 if number == -1 else number
            if not 0 <= number < len(self._blocks):
                raise self._damaged(f"{name} lies in block {number}, of {len(self._blocks)} that there are")
            size = self._blocks[number]
        try:
            self._check_extent(said, size)
        except ValueError as error:
            raise self._damaged(f"{name} is an array {error}") from None

    def _check_extent(self, said: dict[str, Any], size: int) -> None:
        """Check that all elements of an array lie within the bytes of a block."""
        width = _width(said.get("datatype"))
        offset = _whole(said["offset"], "offset") if "offset" in said else 0
        if not 0 <= offset <= size:
            raise ValueError(f"that begins at byte {offset} of a block of {size} bytes")
        shape = _children(said.get("shape"), "shape")
        is_open = bool(shape) and getattr(shape[0], "value", None) == "*"  # as many rows as there are
        sides = [_whole(n, "shape") for n in shape[is_open:]]
        if "strides" in said:
            strides = [_whole(stride, "strides") for stride in _children(said["strides"], "strides")]
        else:
            inner = sides if is_open else sides[1:]
            strides = [width * math.prod(inner[k:]) for k in range(len(shape))]
        if len(strides) != len(shape):
            raise ValueError(f"of {len(shape)} axes that has {len(strides)} strides")
        if is_open:
            if strides[0] <= 0:
                raise ValueError("of as many rows as there are, which have no length")
            sides.insert(0, size // strides[0])
        if min(sides, default=0) < 0:
            raise ValueError("whose shape has a negative number")
        if 0 in sides:
            return
        reach = [(n - 1) * step for n, step in zip(sides, strides, strict=True)]
        low = offset + sum(min(0, far) for far in reach)
        high = offset + sum(max(0, far) for far in reach) + width
        if low < 0 or high > size:
            raise ValueError(f"that reaches from byte {low} to {high} of a block of {size} bytes")

    # ---- other files -------------------------------------------------------------------------------------------------

    def _size_of_source(self, source: Any, name: str) -> int | None:
        """Bytes of the block of another file; None where somebody else than asdf gets them."""
        if not isinstance(source, str):
            raise self._damaged(f"{name} is an array without a source")
        if source.startswith(self._sources or ("\0",)):
            return None
        if not self._allow_external:
            raise FileError(self._path, f"{name} lies in another file, {source!r}, which is not followed.")
        other = self._other_path(source, name)
        blocks = self._blocks if os.path.realpath(self._path) == other else self._blocks_of(other)
        if not blocks:
            raise FileError(self._path, f"{name} lies in another file, {source!r}, which has no blocks.")
        return blocks[0]

    def _check_reference(self, target: str, name: str) -> None:
        if target.startswith("#"):  # to a node of this file, which asdf leaves as it is
            return
        if not self._allow_external:
            raise FileError(self._path, f"{name} refers to another file, {target!r}, which is not followed.")
        self._refers = True
        other = self._other_path(target, name)
        if other != os.path.realpath(self._path):
            self._blocks_of(other)

    def _other_path(self, uri: str, name: str) -> str:
        parts = urlparse(urljoin(self._path.absolute().as_uri(), uri))
        if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
            raise FileError(self._path, f"{name} refers to {uri!r}, which is no file of this machine.")
        return os.path.realpath(url2pathname(parts.path))

    def _blocks_of(self, other: str) -> list[int]:
        """Sizes of the blocks of another file, which is looked over, once."""
        if other not in self._others:
            self._others[other] = []  # or two files that refer to each other would never end
            with opened_file(Path(other)) as file:
                check = _Check(Path(other), file, True, (), self._others)
                check.stream()
            self._others[other] = check._blocks
        return self._others[other]


def _place(parents: Sequence[_Node]) -> str:
    """Where in a tree something is: the keys that lead to it."""
    keys = [
        str(getattr(parent.children[-1], "value", "?")) if parent.is_mapping else str(len(parent.children))
        for parent in parents
        if parent.children or not parent.is_mapping
    ]
    return repr("/".join(keys))


def _integer(scalar: Any) -> int | None:
    """A number as asdf writes it; None of anything else."""
    plain = getattr(scalar, "implicit", (False,))[0]
    text = getattr(scalar, "value", None)
    return int(text) if plain and isinstance(text, str) and INTEGER.fullmatch(text) else None


def _elements(array: Any) -> int:
    """Number of an array's elements, at most, whether they stand in a block or in the text."""
    if not isinstance(array, _Node):
        return 0
    shape = [value for key, value in array.items if getattr(key, "value", None) == "shape"] if array.is_mapping else []
    sides = [_integer(n) or 0 for node in shape if isinstance(node, _Node) for n in node.children]
    return max(array.count, math.prod(sides))


def _whole(scalar: Any, name: str) -> int:
    number = _integer(scalar)
    if number is None:
        raise ValueError(f"whose {name} is {getattr(scalar, 'value', 'no number')!r}, expected a whole number")
    return number


def _children(node: Any, name: str) -> list[Any]:
    if not isinstance(node, _Node) or node.is_mapping:
        raise ValueError(f"whose {name} is no list")
    return node.children


def _width(datatype: Any) -> int:
    """Bytes of an element."""
    if not isinstance(datatype, _Node):
        name = str(getattr(datatype, "value", "none"))
        if name not in BYTES:
            raise ValueError(f"of elements of no known type, {name!r}")
        return BYTES[name]
    if datatype.is_mapping:  # a field
        said = {getattr(key, "value", None): value for key, value in datatype.items}
        if len(said) != len(datatype.items) or "<<" in said:
            raise ValueError("of elements that are described in no known way")
        sides = [_whole(n, "element's shape") for n in _children(said["shape"], "shape")] if "shape" in said else []
        if min(sides, default=0) < 0:
            raise ValueError("whose element's shape has a negative number")
        return _width(said.get("datatype")) * math.prod(sides)
    parts = datatype.children
    letter = CHARACTER.get(str(getattr(parts[0], "value", ""))) if len(parts) == 2 else None
    if letter is not None:
        return letter * max(0, _whole(parts[1], "length of text"))
    return sum(map(_width, parts))

"""Mosaics in zarr, read back: what their stores tell is looked over before it is believed, and pixels come when asked.

A chunk that is lost would pass for an empty one; so the store tells which chunks it has, and those are looked for.
"""

from __future__ import annotations

import base64
import io
import itertools
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from gpures.errors import FileError
from gpures.io.asdf import array_of, check_flags, gwcs_of, mosaic_input
from gpures.io.asdf_stream import checked_bytes
from gpures.io.input import Input, damage_named
from gpures.io.made_of import made_of_tree
from gpures.io.planes import Place
from gpures.io.reading import Reading, refuse
from gpures.io.zarr_layout import (
    CHUNK_BYTES,
    CODECS,
    FITS_BYTES,
    GWCS_BYTES,
    NAME,
    OVERVIEWS,
    from_json,
    is_chunk,
    needs,
    node_of,
    told_by,
)
from gpures.machine.memory import available_memory

__all__ = ["Plane", "inputs", "opened", "wcs_in", "wcs_of"]

INTEGERS = tuple(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))
TYPES = ("bool", *INTEGERS, "float16", "float32", "float64")

# Chunks of an array at most: a context of ten planes of some 300,000 pixels a side has that many.
MOST_CHUNKS = 1_000_000

# Bytes of a WCS, lookup tables included, at most.
MOST_OF_WCS = 1 << 30


@dataclass(frozen=True)
class Plane:
    """An image of a mosaic's store: it has an array's shape and type, and a part of it is read where it is indexed.

    Attributes
    ----------
    store : pathlib.Path
        The store.
    name : str
        Where it is in it.
    shape, chunks : tuple of int
        Of the array, and of its chunks.
    dtype : numpy.dtype
        Its type.
    dims : tuple of str
        Names of its axes.
    attributes : dict
        What is told of it.
    overviews : dict
        Smaller versions of it, by the side of the squares that are one of their pixels.
    """

    store: Path
    name: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype
    dims: tuple[str, ...]
    attributes: Mapping[str, Any] = field(repr=False)
    overviews: Mapping[int, Plane] = field(repr=False, default_factory=dict)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return math.prod(self.shape)

    @cached_property
    def _there(self) -> np.ndarray:
        """Which chunks there are."""
        grid = _grid(self.shape, self.chunks)
        bits = np.frombuffer(base64.b64decode(self.attributes["chunks"]), np.uint8)
        return np.unpackbits(bits, count=math.prod(grid)).view(bool).reshape(grid)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a part, by whole numbers and slices.

        Raises
        ------
        FileError
            A chunk of it is lost or damaged, or it does not fit in memory.
        """
        index = _whole_index(key, self.ndim)
        ranges = [
            range(*each.indices(size)) if isinstance(each, slice) else range(size)[each : each + 1 or None]
            for each, size in zip(index, self.shape, strict=True)
        ]
        free = available_memory()
        size = math.prod(map(len, ranges)) * self.dtype.itemsize
        if free is not None and size > free:
            words = f"{self.name!r} needs {size / 1e9:.3g} GB, and {free / 1e9:.3g} GB of memory are free"
            raise FileError(self.store, f"{words}: read a part of it, or lazily.")
        self._check_chunks(ranges)
        import zarr

        with damage_named(self.store, f"the mosaic is damaged in {self.name!r}, {_place(ranges)}"):
            array = zarr.open_array(zarr.storage.LocalStore(self.store, read_only=True), path=self.name, mode="r")
            return np.asarray(array[index])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All of it."""
        return np.asarray(self[...], dtype)

    def _check_chunks(self, ranges: Sequence[range]) -> None:
        """Find out whether the chunks of a part are there that should be, and no others."""
        of_axes = [
            sorted({number // side for number in numbers}) for numbers, side in zip(ranges, self.chunks, strict=True)
        ]
        for index in itertools.product(*of_axes):
            chunk = "/".join((self.name, "c", *map(str, index)))
            if self._there[index] and not is_chunk(f"{self.store}/{chunk}"):
                raise FileError(self.store, f"the mosaic is damaged: {chunk} is missing.")
            if not self._there[index] and os.path.lexists(f"{self.store}/{chunk}"):
                raise FileError(self.store, f"the mosaic is damaged: {chunk} is there, which it does not tell of.")


def opened(path: Path) -> dict[str, Any]:
    """What a mosaic's store holds, as the tree of one in ASDF has it: images, whose pixels are not read yet, and facts.

    Parameters
    ----------
    path : pathlib.Path
        The store.

    Raises
    ------
    FileError
        It is none of a mosaic, or damaged.
    MissingDependencyError
        zarr is not installed.
    """
    needs("zarr")
    told = told_by(path)
    with damage_named(path, "the mosaic is damaged: what zarr.json tells of it is no description"):
        shape = _shape_of(path, told)
        names = [str(name) for name in told["planes"]]
        levels = [int(level) for level in told["overviews"]]
        facts = from_json(dict(told["facts"]))
        records = [dict(record) for record in from_json(told["exposures"])]
        more = {
            "exposures": [str(record["name"]) for record in records],
            "inputs": records,
            "header": dict(from_json(told["header"])),
            "notes": [str(line) for line in told["history"]],
            "creator": str(told["creator"]),
            "unit": None if told["unit"] is None else str(told["unit"]),
        }
        if any(level < 2 for level in levels):
            raise ValueError(f"its overviews are {levels}.")
        if "data" not in names or any(not NAME.fullmatch(name) for name in names):
            raise ValueError(f"its images are {names}.")
    planes = {name: _plane_of(path, name, shape, levels) for name in names}
    return {**facts, **planes, **more}


def _plane_of(store: Path, name: str, shape: tuple[int, ...], levels: Sequence[int]) -> Plane:
    """An image of a mosaic, and its smaller versions, where it has such."""
    plane = _array_of(store, name)
    if plane.shape[-2:] != shape or plane.ndim != (3 if name == "con" else 2):
        raise FileError(store, f"the mosaic is damaged: {name!r} has the shape {plane.shape}, the mosaic {shape}.")
    smaller = {}
    for level in levels:
        where = f"{OVERVIEWS}/{level}/{name}"
        if (store / where).exists():
            smaller[level] = _array_of(store, where)
            expected = (*plane.shape[:-2], *(-(-size // level) for size in shape))
            if smaller[level].shape != expected:
                words = f"{where!r} has the shape {smaller[level].shape}, expected {expected}"
                raise FileError(store, f"the mosaic is damaged: {words}.")
    return replace(plane, overviews=smaller)


def _array_of(store: Path, name: str) -> Plane:
    """An array of a store, by what describes it."""
    node = node_of(store, name)
    with damage_named(store, f"the mosaic is damaged: {name}/zarr.json is no description of an array"):
        if node["node_type"] != "array":
            raise ValueError("it is a group.")
        found = tuple(map(int, node["shape"]))
        chunks = tuple(map(int, node["chunk_grid"]["configuration"]["chunk_shape"]))
        codecs = [codec["name"] for codec in node["codecs"]]
        encoding = node["chunk_key_encoding"]
        dims, attributes = tuple(map(str, node["dimension_names"])), dict(node["attributes"])
        if node["data_type"] not in TYPES:
            raise ValueError(f"the type {node['data_type']!r} is none of {', '.join(TYPES)}.")
        dtype = np.dtype(node["data_type"])
        if node["chunk_grid"]["name"] != "regular" or not len(found) == len(chunks) == len(dims):
            raise ValueError(f"the shape is {found}, that of chunks {chunks}.")
        if encoding["name"] != "default" or encoding.get("configuration", {}).get("separator", "/") != "/":
            raise ValueError(f"chunks are named by {encoding}.")
        if unknown := [codec for codec in codecs if codec not in CODECS] or node.get("storage_transformers"):
            raise ValueError(f"chunks are coded by {unknown}, expected {', '.join(CODECS)}.")
        if min(found) < 1 or min(chunks) < 1 or math.prod(chunks) * dtype.itemsize > CHUNK_BYTES:
            raise ValueError(f"the shape is {found}, that of chunks {chunks}.")
        if math.prod(_grid(found, chunks)) > MOST_CHUNKS:
            raise ValueError(f"the shape {found} has more than {MOST_CHUNKS} chunks of {chunks}.")
        count = len(base64.b64decode(attributes["chunks"], validate=True))
        if count != -(-math.prod(_grid(found, chunks)) // 8):
            raise ValueError("the attribute 'chunks' is of another number of chunks.")
    return Plane(store, name, found, chunks, dtype, dims, attributes)


def wcs_of(path: Path, shape: tuple[int, int], prefer: str | None = None) -> Any:
    """The WCS of a mosaic.

    Parameters
    ----------
    path : pathlib.Path
        The store.
    shape : (int, int)
        Shape (Ny, Nx) of the mosaic.
    prefer : {"fits", "gwcs"}, optional
        Which is taken where there are both; by default the gwcs, of which the keywords may be an approximation.

    Raises
    ------
    FileError
        There is none, or it is damaged.
    """
    has_gwcs = (path / GWCS_BYTES).exists()
    wcs = _gwcs_of(path) if has_gwcs and prefer != "fits" else _fits_wcs_of(path, shape)
    if wcs is None and has_gwcs:
        wcs = _gwcs_of(path)
    if wcs is None:
        raise FileError(path, "the mosaic is damaged: it has no WCS.")
    if wcs.array_shape is None or tuple(wcs.array_shape) != shape:
        raise FileError(path, f"the mosaic is damaged: its WCS is of the shape {wcs.array_shape}, expected {shape}.")
    return wcs


def wcs_in(path: Path) -> Any:
    """The WCS of a mosaic, without looking at its images."""
    needs("zarr")
    ny, nx = _shape_of(path, told_by(path))
    return wcs_of(path, (ny, nx))


def _shape_of(path: Path, told: Mapping[str, Any]) -> tuple[int, int]:
    with damage_named(path, "the mosaic is damaged: its shape is none"):
        ny, nx = map(int, told["shape"])
        if ny < 1 or nx < 1:
            raise ValueError(f"{ny} x {nx}")
        return ny, nx


def _gwcs_of(path: Path) -> Any:
    content = checked_bytes(path, _bytes_of(path, GWCS_BYTES))
    return gwcs_of(path, content, f"the mosaic is damaged: {GWCS_BYTES} is no WCS")


def _fits_wcs_of(path: Path, shape: tuple[int, int]) -> Any:
    """The WCS by its keywords, and lookup tables if there are such; None where there are no keywords."""
    from astropy.io import fits

    from gpures.io.fits_wcs import fits_wcs

    with damage_named(path, "the mosaic is damaged: its keywords of the WCS are none"):
        header = fits.Header.fromstring("\n".join(told_by(path)["fits_wcs"]), sep="\n")
        if not header:
            return None
        tables = []
        if (path / FITS_BYTES).exists():
            content = _bytes_of(path, FITS_BYTES)
            with fits.open(io.BytesIO(content), memmap=False, lazy_load_hdus=False) as file:
                tables = [hdu.copy() for hdu in file[1:]]
        image = fits.ImageHDU(np.broadcast_to(np.zeros((), np.uint8), shape), header)
        return fits_wcs(path, fits.HDUList([fits.PrimaryHDU(), image, *tables]), 1)


def _bytes_of(path: Path, name: str) -> bytes:
    """The bytes of a file that an array holds."""
    array = _array_of(path, name)
    if array.dtype != np.uint8 or array.ndim != 1 or array.size > MOST_OF_WCS or array.chunks != array.shape:
        raise FileError(path, f"the mosaic is damaged: {name} is no file, but {array.shape} of {array.dtype}.")
    return array[:].tobytes()


def inputs(path: Path, reading: Reading) -> list[Input]:
    """The image of a mosaic.

    Parameters
    ----------
    path : pathlib.Path
        The store.
    reading : Reading
        What the user says, which can't be about extensions.

    Raises
    ------
    FileError
        It is none of a mosaic, or damaged.
    """
    refuse(path, reading, "zarr")
    tree = opened(path)
    tree["wcs"] = wcs_of(path, tree["data"].shape, reading.wcs)
    image = mosaic_input(path, tree, reading, "zarr", partial(_fetched, path))
    return [replace(image, made_of=made_of_tree(tree))]


def _fetched(path: Path, places: Sequence[Place]) -> dict[Place, np.ndarray]:
    tree = opened(path)
    found = {place: np.asarray(array_of(path, tree, str(place.where))) for place in places}
    check_flags(path, found)
    return found


def _grid(shape: tuple[int, ...], chunks: tuple[int, ...]) -> tuple[int, ...]:
    """Number of chunks along each axis."""
    return tuple(-(-size // side) for size, side in zip(shape, chunks, strict=True))


def _whole_index(key: Any, ndim: int) -> tuple[Any, ...]:
    """An index with an entry for each axis."""
    given = list(key) if isinstance(key, tuple) else [key]
    at = given.index(...) if any(each is ... for each in given) else len(given)
    before, behind = given[:at], given[at + 1 :]
    return (*before, *[slice(None)] * (ndim - len(before) - len(behind)), *behind)


def _place(ranges: Sequence[range]) -> str:
    """Where a part lies, for an error's words."""
    names = ("plane", "y", "x")[-len(ranges) :]
    return ", ".join(f"{name} {each[0]} to {each[-1]}" for name, each in zip(names, ranges, strict=True) if len(each))

"""What a mosaic's zarr store is made of, as its writer and its reader know it.

A group of zarr v3 with an array for each image, and what is told of the mosaic as JSON under the attribute ``gpures``.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gpures.errors import FileError, MissingDependencyError
from gpures.extras import install
from gpures.io.regular import opened_file

__all__ = [
    "ATTRIBUTE",
    "CHUNK_BYTES",
    "CODECS",
    "FITS_BYTES",
    "GWCS_BYTES",
    "NAME",
    "OVERVIEWS",
    "SCHEMA",
    "SUMS",
    "as_json",
    "from_json",
    "is_chunk",
    "is_filled",
    "is_store",
    "needs",
    "node_of",
    "told_by",
    "why_no_mosaic",
]

# The attribute of the group that tells of the mosaic, and the version of what stands there.
ATTRIBUTE, SCHEMA = "gpures", 1

# Arrays and groups beside the images: an ASDF file with the gwcs, a FITS file with the keywords and lookup tables of a
# WCS that has such, and smaller versions of the images.
GWCS_BYTES, FITS_BYTES, OVERVIEWS = "wcs_asdf", "wcs_fits", "overviews"

# What an image may be called: what a folder is called everywhere.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")

# Codecs that are written, and the only ones that are read.
CODECS = ("bytes", "blosc", "crc32c", "zstd")

# How images begin that are no averages, and 0 where nothing is; others of real numbers are NaN.
SUMS = ("wht", "exptime_map", "vwht")

# Bytes of a chunk at most.
CHUNK_BYTES = 1 << 29

# Bytes of what describes a group or an array, at most.
MOST_TOLD = 64 << 20

NOT_FINITE = "not finite"


def needs(*packages: str) -> None:
    """Raise `MissingDependencyError` where a package is not installed."""
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            words = f"mosaics in zarr need {package}, which is not installed: {install('zarr')}"
            raise MissingDependencyError(words) from error


def is_store(path: str | os.PathLike[str]) -> bool:
    """Whether a path is that of a zarr store, be it a broken one: a folder by its name, or by what is in it."""
    return os.path.isdir(path) and (
        str(path).lower().rstrip("/").endswith(".zarr")
        or any(os.path.lexists(os.path.join(path, name)) for name in ("zarr.json", ".zgroup", ".zarray"))
    )


def node_of(store: Path, name: str = "") -> dict[str, Any]:
    """What describes a group or an array of a store.

    Parameters
    ----------
    store : pathlib.Path
        The store.
    name : str, optional
        The array; the whole, if missing.

    Raises
    ------
    FileError
        There is nothing, or no JSON of zarr v3.
    """
    where = f"{name}/zarr.json" if name else "zarr.json"
    try:
        with opened_file(store / where) as file:
            content = file.read(MOST_TOLD + 1)
    except (FileError, OSError) as error:
        raise FileError(
            store, f"the mosaic is damaged, or no zarr store of version 3: no {where} can be read."
        ) from error
    if len(content) > MOST_TOLD:
        raise FileError(store, f"{where} has more than {MOST_TOLD >> 20} MiB.")
    try:
        node = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FileError(store, f"the mosaic is damaged: {where} is no JSON: {error}") from error
    if not isinstance(node, dict) or node.get("zarr_format") != 3:
        raise FileError(store, f"{where} is not of zarr version 3.")
    return node


def told_by(store: Path) -> dict[str, Any]:
    """What a store tells of its mosaic, as JSON has it.

    Raises
    ------
    FileError
        It is none of gpures.
    """
    attributes = node_of(store).get("attributes")
    told = attributes.get(ATTRIBUTE) if isinstance(attributes, dict) else None
    if not isinstance(told, dict):
        raise FileError(store, f"it is no mosaic of gpures: zarr.json has no attribute {ATTRIBUTE!r}.")
    if told.get("schema") != SCHEMA:
        raise FileError(
            store, f"it has the schema {told.get('schema')!r}, expected {SCHEMA}: another version wrote it."
        )
    return told


def why_no_mosaic(folder: str) -> str | None:
    """Why a folder is not to be removed: it is no mosaic in zarr that gpures wrote, or holds something else besides."""
    try:
        planes = told_by(Path(folder)).get("planes")
    except FileError as error:
        return str(error).removeprefix(f"{folder}: ")
    known = {"zarr.json", GWCS_BYTES, FITS_BYTES, OVERVIEWS, *(planes if isinstance(planes, list) else ())}
    others = sorted(set(os.listdir(folder)) - known)
    return f"it holds {others[0]!r}, which is no part of a mosaic." if others else None


def as_json(value: Any) -> Any:
    """A value as JSON holds it to the last bit, infinities and NaN included.

    Raises
    ------
    TypeError
        JSON has nothing for it.
    """
    if hasattr(value, "mjd"):
        value = value.utc.mjd
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {NOT_FINITE: str(value)}
    if isinstance(value, Mapping):
        return {str(key): as_json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(each) for each in value]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(f"JSON has nothing for {type(value).__name__}")


def from_json(value: Any) -> Any:
    """The value again."""
    if isinstance(value, dict):
        if list(value) == [NOT_FINITE]:
            return float(value[NOT_FINITE])
        return {key: from_json(each) for key, each in value.items()}
    return [from_json(each) for each in value] if isinstance(value, list) else value


def is_filled(pixels: np.ndarray, fill: np.ndarray) -> bool:
    """Whether all pixels are a value, to the last bit.

    Parameters
    ----------
    pixels : ndarray
        Contiguous.
    fill : ndarray ()
        The value, of the same type.
    """
    bits = f"u{pixels.dtype.itemsize}"
    return bool((pixels.view(bits) == fill.view(bits)).all())


def is_chunk(path: str) -> bool:
    """Whether there is a chunk of that name."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False

"""ASDF files: told apart, and read where they are mosaics that gpures wrote; and the ASDF extension of FITS files."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gpures.io.input import VARIANCES, FileError, Input, exposure_seconds
from gpures.io.variance import from_source, source_of
from gpures.wcs import infer_array_shape

__all__ = ["array_of", "asdf_arrays", "check_wcs", "damage_named", "embedded_wcs", "inputs", "opened", "read_wcs"]

ARRAYS = ("data", "dq", "err", *VARIANCES, "wht")
META = (
    "measurement_time",
    "start_time",
    "end_time",
    "duration",
    "pixelarea_steradians",
    "level",
    "subtracted",
)


@contextmanager
def damage_named(path: Path, what: str = "the file is damaged, or no ASDF file") -> Iterator[None]:
    """Make of what asdf raises, and YAML, and numpy, when a file breaks off or holds nonsense, a `FileError`."""
    import asdf
    import yaml

    own = (asdf.exceptions.ValidationError, asdf.exceptions.AsdfConversionWarning, yaml.YAMLError)
    try:
        yield
    except FileError:
        raise
    except (*own, OSError, ValueError, TypeError, KeyError, RuntimeError, EOFError) as error:
        raise FileError(path, f"{what}: {error}") from error


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Tree of an ASDF file, whose blocks are read when somebody looks; what is damaged is a `FileError`."""
    import asdf

    with damage_named(path), asdf.open(path, memmap=False, lazy_load=True, lazy_tree=True) as file:
        yield file


def inputs(path: Path) -> list[Input]:
    """The image of an ASDF file."""
    from gpures.io import roman

    if roman.recognizes(path):
        return roman.inputs(path)
    with opened(path) as file:
        return [_mosaic(path, file.tree)]


def read_wcs(path: Path) -> Any:
    """WCS of an ASDF file: of its image, or what lies under ``wcs``."""
    from gpures.io import roman

    if roman.recognizes(path):
        return roman.inputs(path)[0].wcs
    with opened(path) as file:
        return _wcs(path, file.tree)


def _wcs(path: Path, tree: Mapping[str, Any]) -> Any:
    wcs = tree.get("wcs")
    if wcs is None:
        raise FileError(path, f"expected a WCS under 'wcs', got the keys {sorted(map(str, tree))}.")
    check_wcs(path, wcs)
    if wcs.array_shape is None:
        try:
            infer_array_shape(wcs)
        except ValueError as error:
            raise FileError(path, str(error)) from error
    return wcs


def _mosaic(path: Path, tree: Mapping[str, Any]) -> Input:
    wcs = _wcs(path, tree)
    if tree.get("data") is None:
        raise FileError(path, f"no image: expected an array under 'data', got the keys {sorted(map(str, tree))}.")
    found = {name: array_of(path, tree, name) for name in ARRAYS if tree.get(name) is not None}
    shape = tuple(found["data"].shape)
    for name, array in found.items():
        if len(shape) != 2 or array.shape != shape:
            expected = "two dimensions" if len(shape) != 2 else f"the shape of the data, {shape}"
            raise FileError(path, f"'{name}' has the shape {array.shape}, expected {expected}.")
    unit = tree.get("unit")
    meta = {name: tree.get(name) for name in META} | {"bunit_data": unit, "group_id": str(path)}
    meta["subtracted"] = bool(meta["subtracted"])
    meta["exposure_time"] = exposure_seconds(tree.get("exposure_time"), path.name)
    source = source_of(found, path.name)
    sizes = {name: array.size * array.dtype.itemsize for name, array in found.items() if name != "wht"}
    if source:
        sizes["var_rnoise"] = found[source].size * 4
    return Input(
        path=path,
        name=path.name,
        kind="asdf",
        shape=shape,
        wcs=wcs,
        unit=unit,
        meta=meta,
        sizes=sizes,
        load=partial(_load, path, source),
    )


def _load(path: Path, source: str | None, names: Collection[str]) -> dict[str, np.ndarray]:
    needed = set(names)
    if source and "var_rnoise" in names:
        needed = needed - {"var_rnoise"} | {source}
    with opened(path) as file:
        found = asdf_arrays(path, file.tree, needed)
    if source and "var_rnoise" in names:
        found["var_rnoise"] = from_source(source, found[source])
    return {name: found[name] for name in names}


def asdf_arrays(path: Path, tree: Mapping[str, Any], names: Collection[str]) -> dict[str, np.ndarray]:
    """Those arrays of a tree, in memory."""
    return {name: np.array(array_of(path, tree, name), copy=None) for name in names}


def array_of(path: Path, tree: Mapping[str, Any], name: str) -> Any:
    """An array of a tree, not read yet; asdf leaves what it can't make one of as it is, with a warning."""
    if not hasattr(tree[name], "shape"):
        raise FileError(path, f"the file is damaged: '{name}' is no array, but {type(tree[name]).__name__}.")
    return tree[name]


def check_wcs(path: Path, wcs: Any) -> None:
    """Check that something is a WCS; asdf leaves what it can't make one of as it is, with a warning."""
    if not hasattr(wcs, "pixel_to_world_values"):
        raise FileError(path, f"the file is damaged: its WCS is none, but {type(wcs).__name__}.")


def embedded_wcs(path: Path, hdus: Any) -> Any:
    """The gwcs in the ASDF extension of a FITS file, under ``meta.wcs``; None if there is none.

    Raises
    ------
    FileError
        The extension can't be read.
    """
    import asdf
    import gwcs

    with damage_named(path, "its ASDF extension is damaged"):
        content = io.BytesIO(hdus["ASDF"].data.tobytes())
        with asdf.open(content, lazy_load=False, memmap=False) as file:
            wcs = file.tree.get("meta", {}).get("wcs")
    return wcs if isinstance(wcs, gwcs.WCS) and wcs.array_shape is not None else None

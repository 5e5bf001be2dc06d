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

__all__ = ["asdf_arrays", "embedded_wcs", "inputs", "opened", "read_wcs"]

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
def opened(path: Path) -> Iterator[Any]:
    """An ASDF file whose blocks are read when somebody looks; what is damaged is a `FileError`."""
    import asdf

    try:
        with asdf.open(path, memmap=False, lazy_load=True, lazy_tree=True) as file:
            yield file
    except (FileError, ImportError):
        raise
    # Besides its own errors, asdf raises those of YAML, of numpy, and of whatever makes the objects of a tree.
    except Exception as error:
        raise FileError(path, f"the file is damaged, or no ASDF file: {error}") from error


def inputs(path: Path) -> list[Input]:
    """The image of an ASDF file."""
    from gpures.io import roman

    if roman.recognizes(path):
        return roman.inputs(path)
    with opened(path) as file:
        return [_mosaic(path, file)]


def read_wcs(path: Path) -> Any:
    """WCS of an ASDF file: of its image, or what lies under ``wcs``."""
    from gpures.io import roman

    if roman.recognizes(path):
        return roman.inputs(path)[0].wcs
    with opened(path) as file:
        return _wcs(path, file)


def _wcs(path: Path, file: Any) -> Any:
    wcs = file.get("wcs")
    if wcs is None:
        raise FileError(path, f"expected a WCS under 'wcs', got the keys {sorted(map(str, file.tree))}.")
    if wcs.array_shape is None:
        try:
            infer_array_shape(wcs)
        except ValueError as error:
            raise FileError(path, str(error)) from error
    return wcs


def _mosaic(path: Path, file: Any) -> Input:
    wcs = _wcs(path, file)
    if "data" not in file:
        raise FileError(path, f"no image: expected an array under 'data', got the keys {sorted(map(str, file.tree))}.")
    shape = tuple(file["data"].shape)
    found = {name: file[name] for name in ARRAYS if file.get(name) is not None}
    for name, array in found.items():
        if len(shape) != 2 or array.shape != shape:
            expected = "two dimensions" if len(shape) != 2 else f"the shape of the data, {shape}"
            raise FileError(path, f"'{name}' has the shape {array.shape}, expected {expected}.")
    unit = file.get("unit")
    meta = {name: file.get(name) for name in META} | {"bunit_data": unit, "group_id": str(path)}
    meta["subtracted"] = bool(meta["subtracted"])
    meta["exposure_time"] = exposure_seconds(file.get("exposure_time"), path.name)
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
        found = asdf_arrays(file, needed)
    if source and "var_rnoise" in names:
        found["var_rnoise"] = from_source(source, found[source])
    return {name: found[name] for name in names}


def asdf_arrays(tree: Mapping[str, Any], names: Collection[str]) -> dict[str, np.ndarray]:
    """Those arrays of a tree, in memory."""
    return {name: np.array(tree[name], copy=None) for name in names}


def embedded_wcs(path: Path, hdus: Any) -> Any:
    """The gwcs in the ASDF extension of a FITS file, under ``meta.wcs``; None if there is none.

    Raises
    ------
    FileError
        The extension can't be read.
    """
    import asdf
    import gwcs

    try:
        content = io.BytesIO(hdus["ASDF"].data.tobytes())
        with asdf.open(content, lazy_load=False, memmap=False) as file:
            wcs = file.tree.get("meta", {}).get("wcs")
    except Exception as error:  # as in `opened`
        raise FileError(path, f"its ASDF extension is damaged: {error}") from error
    return wcs if isinstance(wcs, gwcs.WCS) and wcs.array_shape is not None else None

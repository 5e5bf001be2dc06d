"""ASDF files: told apart, and read where they are mosaics that gpures wrote; and the ASDF extension of FITS files."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gpures.errors import FileError
from gpures.io.asdf_stream import checked, checked_bytes
from gpures.io.exposure_time import count_time
from gpures.io.input import VARIANCES, Input, damage_named, exposure_seconds
from gpures.io.variance import from_source, source_of
from gpures.wcs.transforms import infer_array_shape

__all__ = [
    "array_of",
    "asdf_arrays",
    "asdf_extension",
    "check_wcs",
    "embedded_asdf",
    "embedded_wcs",
    "inputs",
    "opened",
    "wcs_in",
]

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
def opened(path: Path, allow_external: bool = False) -> Iterator[Any]:
    """Tree of an ASDF file, whose blocks are read when somebody looks; what is damaged is a `FileError`.

    Arrays and references that lie in other files are refused, unless ``allow_external``.
    """
    import asdf

    with damage_named(path, "the file is damaged, or no ASDF file"), checked(path, allow_external) as stream:
        where = path.absolute().as_uri() if allow_external else None
        with asdf.open(stream, uri=where, memmap=False, lazy_load=True, lazy_tree=not stream.refers) as file:
            if stream.refers:
                file.resolve_references()
            yield file


def inputs(path: Path, file: Any, allow_external: bool = False) -> list[Input]:
    """The image of an open ASDF file.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    file : asdf.AsdfFile
        The same, as `opened` opens it.
    allow_external : bool, optional
        Whether arrays may lie in other files, once they are read.
    """
    return [_mosaic(path, file.tree, allow_external)]


def wcs_in(path: Path, file: Any) -> Any:
    """What lies under ``wcs`` in an open ASDF file."""
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


def _mosaic(path: Path, tree: Mapping[str, Any], allow_external: bool) -> Input:
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
    header = dict(header) if isinstance(header := tree.get("header"), Mapping) else {}
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
        load=partial(_load, path, source, allow_external),
        header=header,
        count_time=count_time(header, tree.get("exposure_time")),
    )


def _load(path: Path, source: str | None, allow_external: bool, names: Collection[str]) -> dict[str, np.ndarray]:
    needed = set(names)
    if source and "var_rnoise" in names:
        needed = needed - {"var_rnoise"} | {source}
    with opened(path, allow_external) as file:
        found = asdf_arrays(path, file.tree, needed)
    if source and "var_rnoise" in names:
        found["var_rnoise"] = from_source(source, found[source])
    return {name: found[name] for name in names}


def asdf_arrays(path: Path, tree: Mapping[str, Any], names: Collection[str]) -> dict[str, np.ndarray]:
    """Those arrays of a tree, in memory.

    Parameters
    ----------
    path : pathlib.Path
        The file, for the error's words.
    tree : mapping
        Tree of an open file.
    names : collection of str
        Keys of the arrays.
    """
    return {name: np.array(array_of(path, tree, name), copy=None) for name in names}


def array_of(path: Path, tree: Mapping[str, Any], name: str) -> Any:
    """An array of a tree, not read yet; asdf leaves what it can't make one of as it is, with a warning.

    Parameters
    ----------
    path : pathlib.Path
        The file, for the error's words.
    tree : mapping
        Tree of an open file.
    name : str
        Key of the array.
    """
    if not hasattr(tree[name], "shape"):
        raise FileError(path, f"the file is damaged: '{name}' is no array, but {type(tree[name]).__name__}.")
    return tree[name]


def check_wcs(path: Path, wcs: Any) -> None:
    """Check that something is a WCS, and read its tables while the file is open.

    asdf leaves what it can't make a WCS of as it is, with a warning.
    """
    if not hasattr(wcs, "pixel_to_world_values"):
        raise FileError(path, f"the file is damaged: its WCS is none, but {type(wcs).__name__}.")
    _read_tables(wcs)


def _read_tables(wcs: Any) -> None:
    """Read the arrays that a WCS is made of, which asdf else reads when they are first looked at."""
    import gwcs
    from asdf.tags.core.ndarray import NDArrayType
    from astropy.modeling import Model

    parts_of: dict[type, Any] = {list: iter, tuple: iter, dict: dict.values}
    todo: list[Any] = [wcs]
    seen: set[int] = set()
    while todo:
        thing = todo.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, NDArrayType):
            np.asarray(thing)
        elif parts := parts_of.get(type(thing)):
            todo += [part for part in parts(thing) if not isinstance(part, (str, float, int))]
        elif isinstance(thing, (Model, gwcs.WCS, gwcs.wcs.Step)):
            todo += vars(thing).values()


def embedded_asdf(path: Path, hdus: Any, sources: tuple[str, ...] = ()) -> bytes:
    """The ASDF file in the extension ASDF of a FITS file, looked over; what is damaged is a `FileError`.

    Arrays that lie in other extensions are left to those who find them.

    Parameters
    ----------
    path : pathlib.Path
        The file, for the error's words.
    hdus : astropy.io.fits.HDUList
        The open file.
    sources : tuple of str, optional
        How the arrays in other extensions are called.
    """
    from astropy.io import fits

    hdu = hdus["ASDF"]
    with damage_named(path, "its ASDF extension is damaged"):
        if not isinstance(hdu, fits.BinTableHDU) or hdu.data is None or len(hdu.data) != 1:
            raise FileError(path, "its ASDF extension is damaged: it is no table of one cell.")
        return checked_bytes(path, hdu.data.tobytes(), sources)


def asdf_extension(content: bytes) -> Any:
    """An ASDF file as the extension of a FITS file: a table of one cell, as JWST's datamodels have it."""
    from astropy.io import fits

    cell = np.frombuffer(content, np.uint8)[None]
    column = fits.Column("ASDF_METADATA", format=f"{cell.size}B", array=cell)
    return fits.BinTableHDU.from_columns([column], name="ASDF")


def embedded_wcs(path: Path, hdus: Any) -> Any:
    """The gwcs in the ASDF extension of a FITS file, under ``meta.wcs``; None if there is none.

    Raises
    ------
    FileError
        The extension can't be read.
    """
    import asdf
    import gwcs

    content = embedded_asdf(path, hdus, sources=("fits:",))
    named = damage_named(path, "its ASDF extension is damaged")
    with named, asdf.open(io.BytesIO(content), lazy_load=True, lazy_tree=True, memmap=False) as file:
        wcs = file.tree.get("meta", {}).get("wcs")
        if not isinstance(wcs, gwcs.WCS) or wcs.array_shape is None:
            return None
        check_wcs(path, wcs)
        return wcs

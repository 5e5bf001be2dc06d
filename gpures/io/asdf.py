"""ASDF files: told apart, and read where they are mosaics that gpures wrote; and the ASDF extension of FITS files."""

from __future__ import annotations

import io
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gpures.errors import FileError
from gpures.io.asdf_extensions import extensions_without
from gpures.io.asdf_stream import checked, checked_bytes
from gpures.io.exposure_time import count_time
from gpures.io.exposures import is_mosaic
from gpures.io.input import Input, damage_named, exposure_seconds
from gpures.io.planes import Fetch, Place, Planes
from gpures.io.reading import Reading, refuse
from gpures.io.roles import COMPANIONS, named
from gpures.wcs.transforms import infer_array_shape

__all__ = [
    "array_of",
    "asdf_arrays",
    "asdf_extension",
    "check_flags",
    "check_wcs",
    "embedded_tree",
    "embedded_wcs",
    "gwcs_as_asdf",
    "gwcs_of",
    "inputs",
    "mosaic_input",
    "opened",
    "wcs_in",
]

log = logging.getLogger(__name__)

# The package of Roman's files, and what is said of an extension.
OF_ROMAN = "roman_datamodels"
DAMAGED = "its ASDF extension is damaged"

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


def inputs(path: Path, file: Any, reading: Reading, allow_external: bool = False) -> list[Input]:
    """The image of an open ASDF file.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    file : asdf.AsdfFile
        The same, as `opened` opens it.
    reading : Reading
        What the user says, which can't be about extensions: a tree has one image, under ``data``.
    allow_external : bool, optional
        Whether arrays may lie in other files, once they are read.
    """
    refuse(path, reading, "ASDF")
    tree = {**file.tree, "wcs": _wcs(path, file.tree)}
    return [mosaic_input(path, tree, reading, "asdf", partial(_fetch, path, allow_external))]


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


def mosaic_input(path: Path, tree: Mapping[str, Any], reading: Reading, kind: str, fetch: Fetch) -> Input:
    """The image of a mosaic, by a tree that has it under ``data``.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    tree : mapping
        Arrays that have not been read, and facts; under ``wcs`` a WCS that can be used.
    reading : Reading
        What the user says.
    kind : str
        What the file is.
    fetch : callable
        Reads arrays, by their keys.

    Raises
    ------
    FileError
        There is no image, or something of it has another shape.
    """
    wcs = tree["wcs"]
    if tree.get("data") is None:
        raise FileError(path, f"no image: expected an array under 'data', got the keys {sorted(map(str, tree))}.")
    data = array_of(path, tree, "data")
    shape = tuple(data.shape)
    if len(shape) != 2:
        raise FileError(path, f"'data' has the shape {shape}, expected two dimensions.")
    places = [Place(path, "data", "'data'", "data", data.size * data.dtype.itemsize)]
    unread = []
    for name, role in _roles(tree).items():
        array = array_of(path, tree, name) if role in COMPANIONS else tree[name]
        if role not in COMPANIONS:
            unread += [repr(name)] if getattr(array, "shape", None) == shape and role != "known" else []
        elif array.shape != shape:
            raise FileError(path, f"'{name}' has the shape {array.shape}, expected the shape of the data, {shape}.")
        else:
            size = array.size * (array.dtype.itemsize if array.dtype.kind == "f" or role in ("dq", "mask") else 8)
            bits = reading.bad_bits if role == "mask" else None
            places.append(Place(path, name, repr(name), role, size, bits=bits))
    if unread:
        log.warning("%s: arrays of the image's shape that are not read: %s.", path, ", ".join(unread))
    planes = Planes(path.name, places[0], tuple(places[1:]))
    if planes.is_relative:
        log.warning("%s has weights and no variances: its variances are 1 / weight, right but for a factor.", path.name)
    unit, time = tree.get("unit"), tree.get("exposure_time")
    meta = {name: tree.get(name) for name in META} | {"bunit_data": unit, "group_id": str(path)}
    meta["subtracted"] = bool(meta["subtracted"])
    if planes.is_relative:
        meta["relative_weights"] = True
    meta["exposure_time"] = exposure_seconds(time, path.name)
    header = dict(header) if isinstance(header := tree.get("header"), Mapping) else {}
    return Input(
        path=path,
        name=path.name,
        kind=kind,
        shape=shape,
        wcs=wcs,
        unit=unit,
        meta=meta,
        sizes=planes.sizes,
        load=partial(planes.load, fetch),
        header=header,
        count_time=count_time(header, None if is_mosaic({"CREATOR": tree.get("creator")}) else time),
    )


def _roles(tree: Mapping[str, Any]) -> dict[str, str]:
    """What the values of a tree beside the data are, by their keys."""
    keys = [key for key, value in tree.items() if isinstance(key, str) and key != "data" and value is not None]
    roles = {key: said.role for key in keys if not (said := named(key)).stem}
    return {key: role for key, role in roles.items() if role in COMPANIONS or hasattr(tree[key], "shape")}


def _fetch(path: Path, allow_external: bool, places: Sequence[Place]) -> dict[Place, np.ndarray]:
    with opened(path, allow_external) as file:
        arrays = asdf_arrays(path, file.tree, [str(place.where) for place in places])
    found = {place: arrays[str(place.where)] for place in places}
    check_flags(path, found)
    return found


def check_flags(path: Path, found: Mapping[Place, np.ndarray]) -> None:
    """Check that arrays that are DQ hold integers.

    Parameters
    ----------
    path : pathlib.Path
        The file, for the error's words.
    found : mapping
        Arrays by their places.
    """
    for place, array in found.items():
        if place.role == "dq" and array.dtype.kind not in "iu":
            raise FileError(path, f"{place.label} must hold integers, got {array.dtype}.")


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


@contextmanager
def embedded_tree(path: Path, hdus: Any) -> Iterator[Any]:
    """Tree of the ASDF file in the extension ASDF of a FITS file, of which only what is looked at is made.

    The file is looked over before; what is damaged is a `FileError`. Arrays that lie in other extensions are left to
    those who find them.

    Parameters
    ----------
    path : pathlib.Path
        The file, for the error's words.
    hdus : astropy.io.fits.HDUList
        The open file.
    """
    from astropy.io import fits

    hdu = hdus["ASDF"]
    with damage_named(path, DAMAGED):
        if not isinstance(hdu, fits.BinTableHDU) or hdu.data is None or len(hdu.data) != 1:
            raise FileError(path, f"{DAMAGED}: it is no table of one cell.")
        with _tree_of(checked_bytes(path, hdu.data.tobytes(), sources=("fits:",))) as tree:
            yield tree


@contextmanager
def _tree_of(content: bytes) -> Iterator[Any]:
    """Tree of an ASDF file in memory that has been looked over."""
    import asdf

    with (
        extensions_without(OF_ROMAN),
        asdf.open(io.BytesIO(content), lazy_load=True, lazy_tree=True, memmap=False) as file,
    ):
        yield file.tree


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
    with embedded_tree(path, hdus) as tree:
        wcs = _gwcs_in(path, tree)
    return None if wcs is None or wcs.array_shape is None else wcs


def gwcs_as_asdf(wcs: Any) -> bytes:
    """An ASDF file of a gwcs, under ``meta.wcs``, where JWST's datamodels have it."""
    import asdf

    content = io.BytesIO()
    with extensions_without(OF_ROMAN), asdf.AsdfFile({"meta": {"wcs": wcs}}) as file:
        file.write_to(content)
    return content.getvalue()


def gwcs_of(path: Path, content: bytes, damage: str) -> Any:
    """The gwcs in such a file, which has been looked over; None if there is none.

    Parameters
    ----------
    path : pathlib.Path
        Where it was found, for errors.
    content : bytes
        The file.
    damage : str
        What is said of what is damaged.

    Raises
    ------
    FileError
        It can't be read.
    """
    with damage_named(path, damage), _tree_of(content) as tree:
        return _gwcs_in(path, tree)


def _gwcs_in(path: Path, tree: Mapping[str, Any]) -> Any:
    """The gwcs under ``meta.wcs``; None if there is none."""
    import gwcs

    wcs = tree.get("meta", {}).get("wcs")
    if not isinstance(wcs, gwcs.WCS):
        return None
    check_wcs(path, wcs)
    return wcs

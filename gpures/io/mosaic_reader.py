"""Mosaics read back, as the output models that they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from gpures.errors import FileError
from gpures.io import zarr_reader
from gpures.io.asdf import opened
from gpures.io.detection import first_image
from gpures.io.exposures import records_of_table
from gpures.io.fits_images import merged_header
from gpures.io.fits_images import opened as opened_fits
from gpures.io.fits_writer import KEYWORDS, NAMES, history_lines
from gpures.io.input import Input
from gpures.io.lags import joined, lags_of_cards, lags_of_names
from gpures.io.zarr_layout import is_store, needs
from gpures.typing import MosaicModel

__all__ = ["facts_of", "open_mosaic", "read_mosaic", "seen"]

# Keys of a tree that are told of in another way, or of the file alone.
OF_THE_TREE = ("exposures", "inputs", "header", "notes", "creator", "unit", "asdf_library", "history")

IMAGES = {name: key for key, name in NAMES.items()}


def read_mosaic(path: str | Path, *, lazy: bool = False) -> MosaicModel:
    """Read a mosaic: all its images, and what is known of how it was made.

    Parameters
    ----------
    path : str or path
        A mosaic that `gpures.io.write` or a pipeline wrote, FITS, ASDF or zarr; of another image there is what there
        is. Of a file with several images it is the first.
    lazy : bool, optional
        Whether the images are dask arrays, whose pixels are read when they are computed; of a mosaic in zarr alone.

    Returns
    -------
    dict
        Output model with the keys of `gpures.typing.MosaicModel`, as far as the file holds them; ``"wcs"``, and the
        unit of the data (str or None) under ``"bunit_data"``. Besides, of a FITS file and of a mosaic in ASDF or zarr,
        ``"exposures"``, a list with a dict for each exposure in it, as `write` takes them; ``"header"``, a dict of the
        primary header's keywords; and ``"history"``, a list of lines.

    Raises
    ------
    FileError
        The file can't be used, or not lazily.
    ImportError
        The package that reads this kind of file is not installed.
    """
    if is_store(path):
        model = seen(path)
        found = {key: _lazily(each) if lazy else _loaded(each) for key, each in model.items()}
        return cast(MosaicModel, joined(found, _stacked if lazy else np.stack))
    if lazy:
        raise FileError(path, "it can't be read lazily: mosaics in zarr alone can.")
    first = first_image(path)
    if first.kind == "roman":
        return cast(MosaicModel, first.read())
    if first.kind == "asdf":
        with opened(first.path) as file:
            model = {key: _loaded(value) for key, value in file.tree.items() if key not in OF_THE_TREE}
            model |= _told_by_tree(file.tree)
    else:
        data = first.load({"data"})["data"]
        model = _from_fits(first.path, first.shape) | {"data": data.astype(data.dtype.newbyteorder("="), copy=False)}
    return cast(MosaicModel, model | {"wcs": first.wcs, "bunit_data": first.unit})


def seen(path: str | Path) -> dict[str, Any]:
    """What `read_mosaic` gives of a mosaic in zarr, but the images are read where they are indexed.

    Parameters
    ----------
    path : str or path
        The store.

    Returns
    -------
    dict
        Output model, whose images are `gpures.io.zarr_reader.Plane`.

    Raises
    ------
    FileError, MissingDependencyError
        It can't be used.
    """
    path = Path(path)
    tree = zarr_reader.opened(path)
    model = {key: value for key, value in tree.items() if key not in OF_THE_TREE} | _told_by_tree(tree)
    return model | {"wcs": zarr_reader.wcs_of(path, tree["data"].shape), "bunit_data": tree["unit"]}


def open_mosaic(path: str | Path) -> Any:
    """Open a mosaic in zarr as a Dataset of xarray, whose pixels are read when they are computed.

    Parameters
    ----------
    path : str or path
        A mosaic in zarr that `gpures.io.write` wrote.

    Returns
    -------
    xarray.Dataset
        The images, as dask arrays with the axes ``"y"`` and ``"x"``, the context with ``"plane"`` before them. All
        else that `read_mosaic` gives is in its ``attrs``: the facts, ``"wcs"`` (the WCS of the whole mosaic, also
        where a part is selected), ``"bunit_data"``, ``"exposures"``, ``"header"`` and ``"history"``.

    Raises
    ------
    FileError
        It is none, or damaged.
    MissingDependencyError
        zarr, xarray or dask is not installed.

    Notes
    -----
    ``xarray.open_zarr`` opens the store as well, without the WCS as such, and takes chunks that are lost for empty.
    """
    needs("zarr", "xarray", "dask.array")
    import xarray

    path = Path(path)
    if not is_store(path):
        raise FileError(path, "it is no mosaic in zarr, which alone can be opened lazily.")
    model = seen(path)
    planes = {key: value for key, value in model.items() if isinstance(value, zarr_reader.Plane)}
    images = {key: (plane.dims, _lazily(plane), _units_of(plane)) for key, plane in planes.items()}
    return xarray.Dataset(images, attrs={key: value for key, value in model.items() if key not in planes})


def _units_of(plane: zarr_reader.Plane) -> dict[str, Any]:
    return {key: value for key, value in plane.attributes.items() if key == "units"}


def _lazily(value: Any) -> Any:
    """An image in zarr as a dask array; anything else as it is."""
    if not isinstance(value, zarr_reader.Plane):
        return value
    needs("dask.array")
    import dask.array

    meta = np.empty((0,) * value.ndim, value.dtype)
    return dask.array.from_array(value, value.chunks, name=False, meta=meta, asarray=False)


def _stacked(images: Sequence[Any]) -> Any:
    """Dask arrays as one."""
    import dask.array

    return dask.array.stack(images)


def facts_of(first: Input) -> tuple[dict[str, Any], set[str]]:
    """What a mosaic tells of itself beside its images, and which images it has; no pixels are read.

    Parameters
    ----------
    first : gpures.io.Input
        The image of a mosaic.

    Returns
    -------
    facts : dict
        As `read_mosaic` gives them, and under ``"creator"`` the program that wrote it.
    planes : set of str
        Names of the images.
    """
    if first.kind == "zarr":
        return _facts_of_tree(zarr_reader.opened(first.path))
    if first.kind == "asdf":
        with opened(first.path) as file:
            return _facts_of_tree(file.tree)
    with opened_fits(first.path) as hdus:
        planes = {_key_of(hdu) for hdu in hdus if hdu.is_image and hdu.shape[-2:] == first.shape}
        facts = _told_by(hdus)
        return facts | {"creator": str(hdus[0].header.get("CREATOR", ""))}, planes


def _facts_of_tree(tree: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    planes = {key for key, value in tree.items() if hasattr(value, "dtype")}
    facts = {key: value for key, value in tree.items() if key not in {*OF_THE_TREE, *planes}}
    if lags := lags_of_names(planes):
        planes = planes - lags.keys() | {"covariance"}
    return facts | _told_by_tree(tree) | {"creator": str(tree.get("creator", ""))}, planes


def _told_by_tree(tree: Mapping[str, Any]) -> dict[str, Any]:
    """What a tree tells of a mosaic's exposures and of how it was made."""
    names = [{"name": name} for name in tree.get("exposures") or ()]
    return {
        "exposures": [dict(record) for record in tree.get("inputs") or names],
        "header": dict(tree.get("header") or {}),
        "history": [str(line) for line in tree.get("notes") or ()],
    }


def _told_by(hdus: Any) -> dict[str, Any]:
    """The same of a FITS file, and the facts in its headers."""
    return _facts([hdu.header for hdu in hdus]) | {
        "exposures": [record.as_dict(k) for k, record in enumerate(records_of_table(hdus))],
        "header": {
            key: value
            for key, value in merged_header([hdus[0].header.copy(strip=True)]).items()
            if key not in ("CHECKSUM", "DATASUM")
        },
        "history": history_lines(hdus[0].header.get("HISTORY", ())),
    }


def _key_of(hdu: Any) -> str:
    """What an extension is called in a model."""
    key = IMAGES.get(hdu.name)
    if key == "covariance" and not len(lags_of_cards(hdu.header)):  # somebody else's coverage
        return hdu.name.lower()
    return key or hdu.name.lower() or "data"


def _loaded(value: Any) -> Any:
    """An array in memory; anything else as it is."""
    return np.array(value) if hasattr(value, "dtype") else value


def _from_fits(path: Path, shape: tuple[int, int]) -> dict[str, Any]:
    with opened_fits(path) as hdus:
        model: dict[str, Any] = _told_by(hdus)
        for hdu in hdus:
            key = _key_of(hdu)
            if key in ("data", "primary"):
                continue
            # The extension of a name that comes first is the first image's; its planes are (planes, Ny, Nx).
            if hdu.is_image and hdu.shape[-2:] == shape and key not in model:
                model[key] = hdu.data.astype(hdu.data.dtype.newbyteorder("="), copy=False)
                if key == "covariance":
                    model["covariance_lags"] = lags_of_cards(hdu.header)
    if "con" in model:
        model["con"] = model["con"].reshape(-1, *shape)
    if "covariance" in model:
        model["covariance"] = model["covariance"].reshape(-1, *shape)
    return model


def _facts(headers: list[Mapping[str, Any]]) -> dict[str, Any]:
    """What the headers tell of how a mosaic was made: JWST's do so in that of the image."""
    found = {}
    for key, (keyword, _) in KEYWORDS.items():
        values = [header[keyword] for header in headers if header.get(keyword) is not None]
        if values:
            found[key] = values[0]
    return found

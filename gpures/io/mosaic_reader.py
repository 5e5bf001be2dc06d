"""Mosaics read back, as the output models that they were."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from gpures.io.asdf import opened
from gpures.io.detection import first_image
from gpures.io.exposures import records_of_table
from gpures.io.fits_images import merged_header
from gpures.io.fits_images import opened as opened_fits
from gpures.io.fits_writer import KEYWORDS, NAMES, history_lines
from gpures.io.input import Input
from gpures.typing import MosaicModel

__all__ = ["facts_of", "read_mosaic"]

# Keys of a tree that are told of in another way, or of the file alone.
OF_THE_TREE = ("exposures", "inputs", "header", "notes", "creator", "unit", "asdf_library", "history")

IMAGES = {name: key for key, name in NAMES.items()}


def read_mosaic(path: str | Path) -> MosaicModel:
    """Read a mosaic: all its images, and what is known of how it was made.

    Parameters
    ----------
    path : str or path
        A mosaic that `gpures.io.write` or a pipeline wrote, FITS or ASDF; of another image there is what there is. Of
        a file with several images it is the first.

    Returns
    -------
    dict
        Output model with the keys of `gpures.typing.MosaicModel`, as far as the file holds them; ``"wcs"``, and the
        unit of the data (str or None) under ``"bunit_data"``. Besides, of a FITS file and of a mosaic in ASDF,
        ``"exposures"``, a list with a dict for each exposure in it, as `write` takes them; ``"header"``, a dict of the
        primary header's keywords; and ``"history"``, a list of lines.

    Raises
    ------
    FileError
        The file can't be used.
    ImportError
        The package that reads this kind of file is not installed.
    """
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


def facts_of(first: Input) -> tuple[dict[str, Any], set[str]]:
    """What a mosaic tells of itself beside its images, and which images it has; no pixels are read.

    Parameters
    ----------
    first : gpures.io.Input
        The image of a mosaic in FITS or ASDF.

    Returns
    -------
    facts : dict
        As `read_mosaic` gives them, and under ``"creator"`` the program that wrote it.
    planes : set of str
        Names of the images.
    """
    if first.kind == "asdf":
        with opened(first.path) as file:
            planes = {key for key, value in file.tree.items() if hasattr(value, "dtype")}
            facts = {key: value for key, value in file.tree.items() if key not in {*OF_THE_TREE, *planes}}
            return facts | _told_by_tree(file.tree) | {"creator": str(file.tree.get("creator", ""))}, planes
    with opened_fits(first.path) as hdus:
        planes = {_key_of(hdu) for hdu in hdus if hdu.is_image and hdu.shape[-2:] == first.shape}
        facts = _told_by(hdus)
        return facts | {"creator": str(hdus[0].header.get("CREATOR", ""))}, planes


def _told_by_tree(tree: Mapping[str, Any]) -> dict[str, Any]:
    """What an ASDF file tells of a mosaic's exposures and of how it was made."""
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
    return IMAGES.get(hdu.name, hdu.name.lower() or "data")


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
    if "con" in model:
        model["con"] = model["con"].reshape(-1, *shape)
    return model


def _facts(headers: list[Mapping[str, Any]]) -> dict[str, Any]:
    """What the headers tell of how a mosaic was made: JWST's do so in that of the image."""
    found = {}
    for key, (keyword, _) in KEYWORDS.items():
        values = [header[keyword] for header in headers if header.get(keyword) is not None]
        if values:
            found[key] = values[0]
    return found

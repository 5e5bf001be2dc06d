"""JWST's calibrated images, ``_cal.fits``: their metadata and WCS as stdatamodels would read them.

A datamodel would take longer than all else: of metadata only what is needed is looked for, where its schema has it.

The model is the one that the pipeline's resample step makes of an image. As there, a pixel that is NaN in any array
counts as DO_NOT_USE. The pixels that the step takes for good are those of ``good_bits="~513"``: all but DO_NOT_USE (1)
and NON_SCIENCE (512).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from importlib.util import find_spec
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from gpures.errors import FileError
from gpures.extras import install
from gpures.io.asdf import check_wcs, embedded_tree
from gpures.io.exposures import is_mosaic
from gpures.io.fits_exposures import FITSImages
from gpures.io.fits_images import image_bytes, image_shape, merged_header, read_images
from gpures.io.fits_wcs import fits_wcs, has_sky
from gpures.io.input import VARIANCES, Input, exposure_seconds
from gpures.io.reading import Reading, refuse
from gpures.io.two_wcs import chosen_wcs
from gpures.wcs.transforms import is_imaging

__all__ = ["inputs", "recognizes"]

ARRAYS = ("err", "dq", *VARIANCES)

# What makes up the name of a group of exposures that were taken together, in the pipeline's order.
GROUP = "jw{program_number}{observation_number}{visit_number}_{visit_group}{sequence_id}{activity_id}_{exposure_number}"

# Where the schema of JWST's datamodels has values of the metadata: extension, keyword, and type.
PRIMARY, SCI = 0, "SCI"
KEYWORDS: dict[str, tuple[int | str, str, type]] = {
    "bunit_data": (SCI, "BUNIT", str),
    "exposure.exposure_time": (PRIMARY, "EFFEXPTM", Real),
    "exposure.measurement_time": (PRIMARY, "TMEASURE", Real),
    "exposure.start_time": (PRIMARY, "EXPSTART", Real),
    "exposure.end_time": (PRIMARY, "EXPEND", Real),
    "exposure.duration": (PRIMARY, "DURATION", Real),
    "photometry.pixelarea_steradians": (SCI, "PIXAR_SR", Real),
    "background.level": (PRIMARY, "BKGLEVEL", Real),
    "background.subtracted": (PRIMARY, "BKGSUB", bool),
    "observation.program_number": (PRIMARY, "PROGRAM", str),
    "observation.observation_number": (PRIMARY, "OBSERVTN", str),
    "observation.visit_number": (PRIMARY, "VISIT", str),
    "observation.visit_group": (PRIMARY, "VISITGRP", str),
    "observation.sequence_id": (PRIMARY, "SEQ_ID", str),
    "observation.activity_id": (PRIMARY, "ACT_ID", str),
    "observation.exposure_number": (PRIMARY, "EXPOSURE", str),
}


def recognizes(hdus: fits.HDUList) -> bool:
    """Whether a file is a datamodel of JWST; a mosaic that gpures made of such is none."""
    header = hdus[0].header
    return header.get("TELESCOP") == "JWST" and ("DATAMODL" in header or "ASDF" in hdus) and not is_mosaic(header)


def inputs(path: Path, hdus: fits.HDUList, reading: Reading) -> list[Input]:
    """The image of a file of JWST.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    hdus : astropy.io.fits.HDUList
        The same, open.
    reading : Reading
        What the user says, which can't be about extensions: these files have one image.

    Raises
    ------
    FileError
        There is no image of two dimensions, or no imaging WCS.
    """
    refuse(path, reading, "JWST")
    kind = hdus[0].header.get("DATAMODL", "no DATAMODL")
    shape = image_shape(hdus["SCI"]) if "SCI" in hdus else None
    if shape is None:
        axes = hdus["SCI"].header.get("NAXIS") if "SCI" in hdus else "no SCI"
        raise FileError(
            path, f"expected a SCI extension of two dimensions, as _cal.fits files have, got {axes} ({kind})."
        )
    if "ASDF" not in hdus:
        raise FileError(path, f"no WCS: there is no ASDF extension. Has assign_wcs been run? ({kind})")
    index = hdus.index_of("SCI")
    meta, wcs = _metadata(path, hdus)
    if wcs is None:
        raise FileError(path, f"no WCS: its metadata have no meta.wcs. Has assign_wcs been run? ({kind})")
    if not is_imaging(wcs):
        raise FileError(path, f"its WCS is spectral, expected that of an image ({kind}).")
    if wcs.array_shape is None:
        wcs.array_shape = shape
    name = f"{path.name}[SCI,1]"
    if has_sky(hdus[index].header):
        wcs = _chosen(path, hdus, index, name, wcs, reading.wcs)
    meta["exposure_time"] = exposure_seconds(meta["exposure_time"], name)
    companions = FITSImages(path, hdus, Reading(ext=index)).companions()[index]
    found = {"data": index} | {role: each.index for role, each, _ in reversed(companions) if role in ARRAYS}
    return [
        Input(
            path=path,
            name=name,
            kind="jwst",
            shape=shape,
            wcs=wcs,
            unit=meta["bunit_data"],
            meta=meta,
            sizes={array: image_bytes(hdus[number]) for array, number in found.items()},
            load=partial(_load, path, found),
            header=merged_header((hdus[index].header, hdus[0].header)),
        )
    ]


def _chosen(path: Path, hdus: fits.HDUList, index: int, name: str, wcs: Any, prefer: str | None) -> Any:
    """The gwcs, or, if the user wants so, the FITS keywords, which may be none that can be used."""
    try:
        keywords = fits_wcs(path, hdus, index)
    except FileError:
        return wcs
    return chosen_wcs(name, wcs, keywords, "gwcs", prefer)


def _load(path: Path, extensions: Mapping[str, int], names: Collection[str]) -> dict[str, np.ndarray]:
    needed = {array: number for array, number in extensions.items() if array in names}
    images = read_images(path, needed.values(), as_flags=[extensions["dq"]] if "dq" in extensions else ())
    return {array: images[number] for array, number in needed.items()}


def _metadata(path: Path, hdus: fits.HDUList) -> tuple[dict[str, Any], Any]:
    """What a model has beside arrays, and the WCS."""
    if find_spec("stdatamodels") is None:  # whose transforms may be in the WCS
        raise ImportError(f"{path} is a file of JWST: {install('jwst')} to read it.")
    keywords = {name: _keyword(hdus, name) for name in KEYWORDS}
    with embedded_tree(path, hdus) as tree:
        found = {name: _in_tree(tree, name) if value is None else value for name, value in keywords.items()}
        observation = {key: found[f"observation.{key}"] for key in _fields(GROUP)}
        group = _in_tree(tree, "group_id")
        if not group:
            group = GROUP.format(**observation) if None not in observation.values() else str(path)
        meta = {
            "group_id": group,
            "bunit_data": found["bunit_data"],
            "exposure_time": found["exposure.exposure_time"],
            "measurement_time": found["exposure.measurement_time"],
            "start_time": found["exposure.start_time"],
            "end_time": found["exposure.end_time"],
            "duration": found["exposure.duration"],
            "pixelarea_steradians": found["photometry.pixelarea_steradians"],
            "values_area": found["photometry.pixelarea_steradians"],
            "level": found["background.level"],
            "subtracted": bool(found["background.subtracted"]),
        }
        wcs = _in_tree(tree, "wcs")
        if wcs is not None:
            check_wcs(path, wcs)
        return meta, wcs


def _keyword(hdus: fits.HDUList, name: str) -> Any:
    """A value of the metadata as a keyword has it; None where that is missing, or of another type."""
    extension, keyword, kind = KEYWORDS[name]
    value = hdus[extension].header.get(keyword)
    return value if isinstance(value, kind) and not (kind is Real and isinstance(value, bool)) else None


def _in_tree(tree: Any, name: str) -> Any:
    """What lies at a place in the tree, under ``meta``; None where there is nothing."""
    node = tree
    for part in ("meta", *name.split(".")):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def _fields(template: str) -> list[str]:
    import string

    return [name for _, name, _, _ in string.Formatter().parse(template) if name]

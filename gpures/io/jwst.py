"""JWST's calibrated images, ``_cal.fits``: their metadata and WCS as stdatamodels reads them.

The model is the one that the pipeline's resample step makes of an image. As there, a pixel that is NaN in any array
counts as DO_NOT_USE. The pixels that the step takes for good are those of ``good_bits="~513"``: all but DO_NOT_USE (1)
and NON_SCIENCE (512).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from gpures.errors import FileError
from gpures.extras import install
from gpures.io.asdf import asdf_extension, check_wcs, embedded_asdf
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
    try:
        from stdatamodels.jwst.datamodels import ImageModel
    except ImportError as error:
        raise ImportError(f"{path} is a file of JWST: {install('jwst')} to read it.") from error

    # A datamodel reads every array of its file: it gets the headers alone.
    bare = [fits.ImageHDU(header=hdu.header) if hdu.is_image else hdu for hdu in hdus[1:] if hdu.name != "ASDF"]
    bare.append(asdf_extension(embedded_asdf(path, hdus, sources=("fits:",))))
    with ImageModel(fits.HDUList([fits.PrimaryHDU(header=hdus[0].header), *bare])) as model:

        def value(name: str) -> Any:
            node = model.meta
            for part in name.split("."):
                node = getattr(node, part, None)
            return node

        observation = {key: value(f"observation.{key}") for key in _fields(GROUP)}
        group = value("group_id") or (GROUP.format(**observation) if None not in observation.values() else str(path))
        meta = {
            "group_id": group,
            "bunit_data": value("bunit_data"),
            "exposure_time": value("exposure.exposure_time"),
            "measurement_time": value("exposure.measurement_time"),
            "start_time": value("exposure.start_time"),
            "end_time": value("exposure.end_time"),
            "duration": value("exposure.duration"),
            "pixelarea_steradians": value("photometry.pixelarea_steradians"),
            "values_area": value("photometry.pixelarea_steradians"),
            "level": value("background.level"),
            "subtracted": bool(value("background.subtracted")),
        }
        wcs = value("wcs")
        if wcs is not None:
            check_wcs(path, wcs)
        return meta, wcs


def _fields(template: str) -> list[str]:
    import string

    return [name for _, name, _, _ in string.Formatter().parse(template) if name]

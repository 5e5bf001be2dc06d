"""Mosaics as files: FITS with one extension for each image, ASDF, or zarr."""

from __future__ import annotations

import gzip
import io
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

import numpy as np

from gpures.arguments.arrays import as_host
from gpures.arguments.values import fill_number
from gpures.io.atomic import Destination, check_space
from gpures.io.atomic_folder import FolderDestination
from gpures.io.creator import creator
from gpures.io.empty_planes import empty_planes
from gpures.io.exposures import ExposureRecord, records_of
from gpures.io.lags import split
from gpures.io.zarr_layout import SUMS as SUMS_OF_PIXELS
from gpures.io.zarr_layout import needs
from gpures.typing import MosaicLike
from gpures.wcs.transforms import as_wcs

if TYPE_CHECKING:
    from gpures.io.fits_writer import WCSInFITS
    from gpures.io.zarr_writer import ZarrMosaic

__all__ = [
    "SUFFIXES",
    "check_writable",
    "destination_of",
    "facts_of",
    "file_bytes",
    "is_packed_name",
    "is_zarr_name",
    "write",
    "write_into",
]

log = logging.getLogger(__name__)

# Keywords of one file alone; and what of a model is written in another way.
OF_A_FILE = ("FILENAME", "DATE", "CREATOR", "NEXPOS")
NO_FACTS = ("wcs", "exposures", "header", "history")

# Sums that are 0 where no exposure told of its own.
SUMS = ("duration", "elapsed_exposure_time", "measurement_time")

SUFFIXES = (".fits", ".fits.gz", ".asdf", ".zarr")

# Bytes that gzip makes one of, at most.
MOST_PACKED = 1032


def write(
    path: str | Path,
    output_model: MosaicLike,
    *,
    unit: str | None = None,
    exposures: Sequence[Any] = (),
    header: Mapping[str, Any] | None = None,
    history: Sequence[str] = (),
    overwrite: bool = False,
) -> None:
    """Write a mosaic.

    The file appears when it is complete and on the disk. If that fails, or is interrupted, nothing is left, and a file
    that was there before is as it was.

    Parameters
    ----------
    path : str or path
        File, whose suffix says what it becomes.

        ``.fits``, ``.fits.gz``: the primary header has the facts, under JWST's keywords where it has one. The images of
        the model are extensions, in this order: SCI (data), ERR, CON, WHT, VAR_* (and others by their names), COV
        (covariances, whose lags are in its header: LAG1 is "dy,dx" of the first plane), EXPTIME (the map of the
        exposure time), DQ. Each has the WCS as FITS keywords. The extension ASDF has it as gwcs, under
        ``meta.wcs``, where JWST's datamodels have it; INPUTS is a table of the exposures. All have CHECKSUM and
        DATASUM.

        ``.asdf``: a tree with the keys of the model, and ``unit``, ``exposures`` (their names), ``inputs`` (what else
        is known of them), ``creator`` besides.

        ``.zarr``: a folder, a group of zarr v3 with an array for each image in chunks of 1024², those left out that
        nothing is in, and smaller versions under ``overviews``. Covariances have an array for each lag, ``cov_dy_dx``.
        `gpures.io.zarr_writer.ZarrMosaic` writes such in parts.

        Images that are NaN everywhere, other than data and weights, are not written.
    output_model : gpures.typing.MosaicModel
        `gpures.Resample.output_model`, finalized. Images may be on a GPU. It is not changed.
    unit : str, optional
        Unit of the data, from which those of the other images follow.
    exposures : sequence of str or mapping, optional
        Names of the exposures, or what is known of each, as `read_mosaic` gives it: dicts with ``name`` and some of
        ``digest``, ``extension``, ``group``, ``start``, ``end`` (MJD), ``exposure_time`` (s), ``filter``, ``unit``,
        ``footprint``, ``used`` and ``weight``. Bit ``k % 32`` of plane ``k // 32`` of the context stands for number k.
    header : mapping, optional
        Further keywords of the primary header, each a value or ``(value, comment)``; in ASDF a dict ``header``.
    history : sequence of str, optional
        What was done, sentence by sentence: HISTORY of the primary header; in ASDF a list ``notes``. Exposures, header
        and history of a mosaic that `read_mosaic` has read are those that it came with, unless others are given.
    overwrite : bool, optional
        Whether a file that is there is replaced, which keeps its mode. Of a symbolic link it is what the link leads to.
        Of folders only mosaics in zarr are.

    Raises
    ------
    ValueError
        The suffix is another one, the model has no data, or a unit or keyword has characters that FITS has not.
    FileExistsError
        There is such a file, and ``overwrite`` is false; or there is one when the new one is complete.
    FileNotFoundError
        There is no such folder.
    OSError
        The file can't be written.

    Notes
    -----
    FITS headers hold printable ASCII. Names with other characters are written there as in a URL, with % and two digits
    for each byte, and a comment says so.
    """
    path = Path(path)
    _check_suffix(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}.")
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(f"{path}: there is such a file. Pass overwrite=True to replace it.")
    with destination_of(path, overwrite) as destination:
        write_into(destination, output_model, unit=unit, exposures=exposures, header=header, history=history)


def _check_suffix(path: Path) -> None:
    """Check that the suffix of a file is one of those that are written."""
    if not path.name.lower().endswith(SUFFIXES):
        raise ValueError(f"{path}: the suffix says what is written; expected one of {', '.join(SUFFIXES)}.")


def destination_of(path: Path, overwrite: bool) -> Destination | FolderDestination:
    """Where a mosaic is written, a file or, of zarr, a folder; parameters and errors as of `write`."""
    if not is_zarr_name(path):
        return Destination(path, overwrite)
    needs("zarr")
    from gpures.io.zarr_writer import folder_for

    return folder_for(path, overwrite)


def write_into(
    destination: Destination | FolderDestination,
    output_model: Mapping[str, Any],
    *,
    unit: str | None = None,
    exposures: Sequence[Any] = (),
    header: Mapping[str, Any] | None = None,
    history: Sequence[str] = (),
    in_fits: WCSInFITS | None = None,
) -> None:
    """Write a mosaic to a file that is open already, and publish it; parameters and errors are those of `write`.

    Where it is a FITS file, ``in_fits`` may have the WCS as that has it.
    """
    known: Mapping[str, Any] = output_model
    exposures = exposures or known.get("exposures") or ()
    history = history or known.get("history") or ()
    header = header or {key: value for key, value in (known.get("header") or {}).items() if key not in OF_A_FILE}
    if output_model.get("data") is None:
        raise ValueError("'output_model' has no 'data': add models and finalize before it is written.")
    wcs = output_model["wcs"]
    shape = tuple(as_wcs(wcs).array_shape)
    images = {key: value for key, value in output_model.items() if _is_image(value, shape)}
    facts = facts_of({key: value for key, value in output_model.items() if key not in images})
    for key in empty_planes(images):
        log.info("%s: nothing is in %r: it is not written.", destination.path, key)
        del images[key]
    if isinstance(destination, FolderDestination):
        images, facts = split(images, facts)
        made = _in_zarr(destination, wcs, images, facts.get("fillval"), in_fits)
        made.write_images(images)
        made.finish(facts, unit=unit, exposures=exposures, header=header, history=history)
        return
    images = {key: _on_host(image) for key, image in images.items()}
    if in_fits is None or in_fits.wcs is not wcs:
        in_fits = _in_fits(destination.path, wcs, shape)
    write_to = _content(destination.path, wcs, images, facts, unit, exposures, header or {}, history, in_fits)
    check_space(destination.path.parent, file_bytes(destination.path, images))
    write_to(destination.file)
    destination.publish()


def facts_of(output_model: Mapping[str, Any]) -> dict[str, Any]:
    """What a file tells of a mosaic beside its images.

    Parameters
    ----------
    output_model : mapping
        Output model of `gpures.Resample`, without images.
    """
    facts = {key: _plain(value) for key, value in output_model.items() if key not in NO_FACTS}
    return facts | {key: None for key in SUMS if facts.get(key) == 0.0}


def _in_zarr(
    destination: FolderDestination, wcs: Any, images: Mapping[str, Any], fillval: Any, in_fits: WCSInFITS | None
) -> ZarrMosaic:
    """The layout of a mosaic in zarr, of images of a shape and type."""
    from gpures.io.fits_writer import WCSInFITS
    from gpures.io.zarr_writer import ZarrMosaic

    if stacks := [name for name, image in images.items() if (np.ndim(image) == 3) != (name == "con")]:
        words = "expected images of two axes, and three of 'con'"
        raise ValueError(f"{destination.path}: {words}, got {np.ndim(images[stacks[0]])} of {stacks[0]!r}.")
    shape = images["data"].shape
    if in_fits is None or in_fits.wcs is not wcs:
        in_fits = WCSInFITS.of(wcs, shape)
    planes = {name: image.dtype for name, image in images.items()}
    number = fill_number("NaN" if fillval is None else fillval)
    averages = [name for name, kind in planes.items() if kind.kind == "f" and not name.startswith(SUMS_OF_PIXELS)]
    fill = {} if number is None else dict.fromkeys(averages, number)
    depth = images["con"].shape[0] if "con" in images else 0
    return ZarrMosaic(destination, shape, planes, in_fits, fill=fill, context_planes=depth)


def file_bytes(path: Path, images: Mapping[str, np.ndarray]) -> int:
    """Bytes that images will take in a file; where they are packed, those that they take at least."""
    size = sum(image.nbytes for image in images.values())
    return size // MOST_PACKED if is_packed_name(path) else size


def is_packed_name(path: Path) -> bool:
    """Whether a file of that name is packed."""
    return path.name.lower().endswith((".gz", ".zarr"))


def is_zarr_name(path: Path) -> bool:
    """Whether what has that name is a mosaic in zarr."""
    return path.name.lower().endswith(".zarr")


def check_writable(
    path: Path,
    wcs: Any,
    images: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
    unit: str | None,
    exposures: Sequence[Any],
    overwrite: bool,
) -> WCSInFITS | None:
    """Find out what would keep a mosaic from being written: all is made but the images' pixels, and nothing is left.

    Parameters
    ----------
    path : pathlib.Path
        File.
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        Of the mosaic.
    images : dict
        Arrays of the shapes and types that will be written, whose values do not matter.
    facts : dict
        What is known by now of the model, besides.
    unit, exposures, overwrite
        As in `write`.

    Returns
    -------
    WCSInFITS or None
        The WCS as a FITS file has it, for `write_into`; None where it is to be in ASDF.

    Raises
    ------
    ValueError, OSError
        As `write`.
    """
    _check_suffix(path)
    with destination_of(path, overwrite) as destination:
        in_fits = _in_fits(path, wcs, images["data"].shape)
        if isinstance(destination, FolderDestination):
            images, facts = split(images, facts)
            made = _in_zarr(destination, wcs, images, facts.get("fillval"), in_fits)
            made.told(facts, unit, exposures, {}, (), None)
            return in_fits
        if in_fits is None:  # asdf finds out while it writes
            _content(path, wcs, {}, facts, unit, exposures, {}, (), None)(io.BytesIO())
        else:
            _content(path, wcs, images, facts, unit, exposures, {}, (), in_fits)
        return in_fits


def _in_fits(path: Path, wcs: Any, shape: tuple[int, int]) -> WCSInFITS | None:
    """A WCS as a FITS file has it; None where another one is written."""
    if path.name.lower().endswith(".asdf"):
        return None
    from gpures.io.fits_writer import WCSInFITS

    return WCSInFITS.of(wcs, shape)


def _content(
    path: Path,
    wcs: Any,
    images: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
    unit: str | None,
    exposures: Sequence[Any],
    header: Mapping[str, Any],
    history: Sequence[str],
    in_fits: WCSInFITS | None,
) -> Callable[[BinaryIO], None]:
    """What writes a mosaic to an open file."""
    records = records_of(exposures)
    if in_fits is None:
        more: dict[str, Any] = {"unit": unit, "exposures": [_encodable(record.name) for record in records]}
        if any(record != ExposureRecord(record.name) for record in records):
            more["inputs"] = [record.as_dict(k) | {"name": more["exposures"][k]} for k, record in enumerate(records)]
        values = {key: value[0] if isinstance(value, tuple) else value for key, value in header.items()}
        more |= {"header": values, "notes": list(history), "creator": creator()}
        return partial(_write_asdf, {**facts, **images, "wcs": wcs, **more})
    from gpures.io.fits_writer import hdu_list

    hdus = hdu_list(path.name, in_fits, images, facts, unit, records, header, history, creator())
    if is_packed_name(path):
        return partial(_write_packed, hdus)
    return partial(_write_fits, hdus)


def _is_image(value: Any, shape: tuple[int, int]) -> bool:
    """Whether a value of a model is an image in its frame, or a stack of such."""
    return hasattr(value, "dtype") and np.ndim(value) in (2, 3) and tuple(value.shape[-2:]) == shape


def _on_host(image: Any) -> np.ndarray:
    """An image in host memory, that nobody can write to: astropy swaps the bytes of others in place while it writes."""
    image = as_host(image).view()
    image.flags.writeable = False
    return image


def _plain(value: Any) -> Any:
    """A number of Python for one of numpy."""
    return value.item() if isinstance(value, np.generic) else value


def _encodable(name: str) -> str:
    """A name as UTF-8 can hold it; one with bytes that are no text is written as in a URL."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return quote(name, errors="surrogateescape")
    return name


def _write_asdf(tree: dict[str, Any], file: BinaryIO) -> None:
    import asdf

    try:
        with asdf.AsdfFile(tree) as content:
            content.write_to(file)
    except asdf.exceptions.ValidationError as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"ASDF has no words for something of the mosaic or its WCS, write FITS: {reason}") from error


def _write_fits(hdus: Any, file: BinaryIO) -> None:
    from gpures.io.fits_pixels import StreamedImage

    for hdu in hdus:
        if isinstance(hdu, StreamedImage):
            hdu.file = file
    hdus.writeto(file, checksum=True)


def _write_packed(hdus: Any, file: BinaryIO) -> None:
    with gzip.GzipFile("", "wb", fileobj=file) as packed:  # without a name, as astropy looks for a file that has it
        hdus.writeto(packed, checksum=True)

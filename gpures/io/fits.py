"""FITS files: opened, told apart, and read where no mission is behind them.

A plain image lies in the extensions SCI, or is the first two-dimensional one. Beside it, under the same EXTVER, may lie
ERR, DQ, VAR_RNOISE, VAR_POISSON, VAR_FLAT, VAR (or VARIANCE: the sum of all), and WHT.

- Without variances, the square of ERR (else VAR, else 1 / WHT) is ``var_rnoise``, so that weights of the type "ivm" are
  what one expects. WHT counts as an inverse variance up to a factor: weights are right, the variances that come out are
  relative, and a warning says so.
- Data stay in the unit that BUNIT names.
- The exposure time is a number under EXPTIME, XPOSURE, TEXPTIME, EXP_TIME, EXPOSURE, ITIME, INTTIME, INT_TIME,
  EXPOSTIM, ONTIME, LIVETIME, ELAPTIME or TELAPSE, the first that there is, in seconds or in what its comment says.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from gpures.errors import FileError, MissingFileError, UnsupportedWCSError
from gpures.io.asdf import embedded_wcs
from gpures.io.exposure_time import count_time, exposure_time
from gpures.io.fits_sizes import check_sizes, is_packed
from gpures.io.input import VARIANCES, Input, damage_named, exposure_seconds
from gpures.io.two_wcs import chosen_wcs
from gpures.io.variance import from_source, source_of
from gpures.wcs.transforms import as_wcs

__all__ = [
    "arrays",
    "companions",
    "fits_wcs",
    "has_wcs",
    "header_value",
    "image_bytes",
    "image_shape",
    "inputs",
    "merged_header",
    "opened",
]

log = logging.getLogger(__name__)

EXTENSIONS = {"err": ("ERR",), "dq": ("DQ",), "wht": ("WHT",), "variance": ("VAR", "VARIANCE")} | {
    name: (name.upper(),) for name in VARIANCES
}

COMMENTARY = ("COMMENT", "HISTORY", "")


@contextmanager
def opened(path: Path) -> Iterator[fits.HDUList]:
    """A FITS file with all headers read; closed in the end. What is damaged is a `FileError`."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with damage_named(path, "the file is damaged, or no FITS file"):
            if not check_sizes(path):
                log.warning("%s ends without the padding that FITS files have: it is read all the same.", path)
            with fits.open(path, memmap=False) as hdus:
                len(hdus)  # reads them all
                for warning in seen:
                    if "Error validating header" in (text := str(warning.message)):
                        raise FileError(path, f"the file is damaged: {text}")
                yield hdus


# ---- what all FITS files have in common ------------------------------------------------------------------------------


def header_value(headers: Collection[fits.Header], *keywords: str) -> Any:
    """Value of the first of some keywords that one of the headers has; None if there is none."""
    for keyword in keywords:
        for header in headers:
            if header.get(keyword) is not None:
                return header[keyword]
    return None


def merged_header(headers: Collection[fits.Header]) -> dict[str, Any]:
    """Values by keyword, of the first header that has one; commentary and values that are undefined are left out."""
    merged: dict[str, Any] = {}
    for header in headers:
        for card in header.cards:
            if card.keyword not in COMMENTARY and not isinstance(card.value, fits.card.Undefined):
                merged.setdefault(card.keyword, card.value)
    return merged


def image_shape(hdu: Any) -> tuple[int, int] | None:
    """Shape (Ny, Nx) of a two-dimensional image; None of anything else.

    HST's pipeline leaves images of one value out: PIXVALUE is the value, NPIX1 and NPIX2 the size.
    """
    header = hdu.header
    if not hdu.is_image:
        return None
    if header["NAXIS"] == 2:
        return (header["NAXIS2"], header["NAXIS1"]) if header["NAXIS1"] and header["NAXIS2"] else None
    if header["NAXIS"] == 0 and {"NPIX1", "NPIX2", "PIXVALUE"} <= set(header):
        return header["NPIX2"], header["NPIX1"]
    return None


def _is_empty(hdu: Any) -> bool:
    return hdu.header["NAXIS"] == 0 and image_shape(hdu) is None


def image_bytes(hdu: Any) -> int:
    """Memory of an image, in bytes, once it is read."""
    width = abs(hdu.header["BITPIX"]) // 8
    if hdu.header["BITPIX"] > 0 and (hdu.header.get("BSCALE", 1) != 1 or "BLANK" in hdu.header):  # becomes a float
        width = 4 if width < 4 else 8
    ny, nx = image_shape(hdu) or (0, 0)
    return ny * nx * width


def companions(path: Path, hdus: fits.HDUList, index: int, names: Mapping[str, Collection[str]]) -> dict[str, int]:
    """Numbers of the extensions that belong to an image.

    Parameters
    ----------
    path : pathlib.Path
        The file, for errors.
    hdus : astropy.io.fits.HDUList
    index : int
        The image.
    names : dict
        Names that an extension may have, by the array that it is.

    Returns
    -------
    dict
        Numbers of extensions by array, "data" included.

    Raises
    ------
    FileError
        One has another shape than the image.
    """
    shape, version = image_shape(hdus[index]), hdus[index].ver
    found = {"data": index}
    for array, extensions in names.items():
        for number, hdu in enumerate(hdus):
            if hdu.name in extensions and hdu.ver == version and number != index and not _is_empty(hdu):
                if image_shape(hdu) != shape:
                    raise FileError(
                        path,
                        f"[{hdu.name},{hdu.ver}] has the shape {image_shape(hdu)}, expected that of the image in "
                        f"{_label(hdus, index)}, {shape}.",
                    )
                found.setdefault(array, number)
    return found


def arrays(path: Path, extensions: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Read images into memory, byte order and all as they are; flags become unsigned.

    Parameters
    ----------
    path : pathlib.Path
    extensions : dict
        Numbers of extensions by array.

    Raises
    ------
    FileError
        The file is damaged, or not the one that it was.
    """
    try:
        is_padded = is_packed(path) or check_sizes(path)  # a packed one would be unpacked once more
    except MissingFileError as error:
        raise FileError(path, "the file is gone since its headers were read.") from error
    with ExitStack() as stack:
        stack.enter_context(damage_named(path, "its pixels can't be read"))
        if not is_padded:  # else not, as other threads may warn
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", "File may have been truncated")
        hdus = stack.enter_context(fits.open(path, memmap=False))
        found = {name: _image(hdus[index]) for name, index in extensions.items()}
    if "dq" in found:
        found["dq"] = _flags(path, found["dq"])
    return found


def _image(hdu: Any) -> np.ndarray:
    if hdu.data is not None:
        return hdu.data
    shape = image_shape(hdu)
    if shape is None:
        raise ValueError(f"[{hdu.name},{hdu.ver}] has no image.")
    return np.full(shape, hdu.header["PIXVALUE"], np.int16 if hdu.name == "DQ" else np.float32)


def _flags(path: Path, dq: np.ndarray) -> np.ndarray:
    """DQ as unsigned integers: the highest bit is a flag, and no sign."""
    if dq.dtype.kind not in "iu":
        raise FileError(path, f"DQ must hold integers, got {dq.dtype}.")
    return dq.view(dq.dtype.str.replace("i", "u"))


def has_wcs(header: fits.Header) -> bool:
    """Whether a header tells what its two axes are.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Of an image.
    """
    return bool(header.get("CTYPE1") and header.get("CTYPE2"))


def fits_wcs(path: Path, hdus: fits.HDUList, index: int) -> WCS:
    """WCS of an image's header, lookup tables included.

    Parameters
    ----------
    path : pathlib.Path
        The file, for the error's words.
    hdus : astropy.io.fits.HDUList
        The open file.
    index : int
        Number of the image's extension.

    Raises
    ------
    FileError
        There is none, or it is not celestial and two-dimensional.
    """
    label = _label(hdus, index)
    header = hdus[index].header
    if not has_wcs(header):
        raise FileError(path, f"{label} has no WCS: its header has no CTYPE1 and CTYPE2.")
    try:
        wcs = WCS(header, fobj=hdus)
        as_wcs(wcs)
    except UnsupportedWCSError as error:
        raise FileError(path, f"the WCS of {label} can't be used: {error}") from error
    except Exception as error:
        raise FileError(path, f"the WCS of {label} is damaged: {error}") from error
    wcs.array_shape = image_shape(hdus[index])
    return wcs


def _label(hdus: fits.HDUList, index: int) -> str:
    hdu = hdus[index]
    return f"[{hdu.name},{hdu.ver}]" if index else "[PRIMARY]"


# ---- plain images ----------------------------------------------------------------------------------------------------


def inputs(path: Path, hdus: fits.HDUList) -> list[Input]:
    """Images of an open FITS file with no mission behind it."""
    images = [index for index, hdu in enumerate(hdus) if image_shape(hdu)]
    science = [index for index in images if hdus[index].name == "SCI"] or images[:1]
    if not science:
        found = ", ".join(f"{_label(hdus, k)} with {hdu.header.get('NAXIS')} axes" for k, hdu in enumerate(hdus))
        raise FileError(path, f"no image of two dimensions, got {found}.")
    return [_plain_image(path, hdus, index) for index in science]


def _plain_image(path: Path, hdus: fits.HDUList, index: int) -> Input:
    name = path.name + _label(hdus, index)
    headers = (hdus[index].header, hdus[0].header)
    found = companions(path, hdus, index, EXTENSIONS)
    source = source_of(found, name)
    wcs = embedded_wcs(path, hdus) if "ASDF" in hdus else None
    if wcs is None or wcs.array_shape != image_shape(hdus[index]):
        wcs = fits_wcs(path, hdus, index)
    elif has_wcs(hdus[index].header):
        wcs = chosen_wcs(name, wcs, fits_wcs(path, hdus, index), "fits")
    unit = header_value(headers, "BUNIT")
    start = header_value(headers, "EXPSTART", "MJD-BEG", "MJD-OBS")
    header, time = merged_header(headers), exposure_time(headers, name)
    offered = {array: index for array, index in found.items() if array not in ("variance", "wht")}
    if source:
        offered["var_rnoise"] = found[source]
    meta = {
        "group_id": f"{path}{_label(hdus, index)}",
        "exposure_time": exposure_seconds(time, name),
        "measurement_time": header_value(headers, "TMEASURE"),
        "start_time": start,
        "end_time": header_value(headers, "EXPEND", "MJD-END"),
        "duration": header_value(headers, "DURATION"),
        "pixelarea_steradians": header_value(headers, "PIXAR_SR"),
        "bunit_data": unit,
        "level": header_value(headers, "BKGLEVEL"),
        "subtracted": bool(header_value(headers, "BKGSUB")),
    }
    return Input(
        path=path,
        name=name,
        kind="fits",
        shape=wcs.array_shape,
        wcs=wcs,
        unit=unit,
        meta=meta,
        sizes={array: image_bytes(hdus[number]) for array, number in offered.items()},
        load=partial(_load, path, found, source),
        header=header,
        count_time=count_time(header, time),
    )


def _load(path: Path, extensions: Mapping[str, int], source: str | None, names: Collection[str]) -> dict[str, Any]:
    needed = {array: index for array, index in extensions.items() if array in names}
    if source is None or "var_rnoise" not in names:
        return arrays(path, needed)
    found = arrays(path, needed | {source: extensions[source]})
    found["var_rnoise"] = from_source(source, found[source])
    return {name: found[name] for name in names}

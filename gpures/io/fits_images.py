"""Images in FITS files, whoever made them: opened, described by their headers, and read."""

from __future__ import annotations

import logging
import math
import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from gpures.errors import FileError, MissingFileError
from gpures.io.fits_sizes import check_sizes, is_packed
from gpures.io.input import damage_named

__all__ = [
    "axes_of",
    "cut",
    "header_value",
    "image_bytes",
    "image_shape",
    "label_of",
    "labels",
    "merged_header",
    "opened",
    "read_images",
    "sky_axes",
]

log = logging.getLogger(__name__)

COMMENTARY = ("COMMENT", "HISTORY", "", "CONTINUE")

# The first of the cards of a long text.
CONTINUED = re.compile(r"(.{8}|HIERARCH [^=]*)=\s*'([^']|'')*&\s*'")

# The keyword with the type of an axis, and the letter of its WCS.
TYPE = re.compile(r"CTYPE\d+([A-Z]?)")

# Longitudes and latitudes of any system in CTYPE, with or without a projection.
LONGITUDE = re.compile(r"(RA|.LON|..LN)(-.*)?$")
LATITUDE = re.compile(r"(DEC|.LAT|..LT)(-.*)?$")


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
                for hdu in hdus:
                    _remove_strays(hdu.header)
                yield hdus


def _remove_strays(header: fits.Header) -> None:
    """Take CONTINUE cards out of a header that continue nothing: astropy makes them part of the card before."""
    strays = [
        (place, image[:80])
        for place, card in enumerate(header.cards)
        if len(image := card._image or "") > 80 and not CONTINUED.match(image)
    ]
    for place, image in strays:
        del header[place]
        header.insert(place, fits.Card.fromstring(image))


# ---- what headers say ------------------------------------------------------------------------------------------------


def header_value(headers: Collection[fits.Header], *keywords: str) -> Any:
    """Value of the first of some keywords that one of the headers has; None if there is none."""
    for keyword in keywords:
        for header in headers:
            if header.get(keyword) is not None:
                return header[keyword]
    return None


def merged_header(headers: Collection[fits.Header]) -> dict[str, Any]:
    """Values by keyword, of the first header that has one; commentary and what is no value are left out."""
    merged: dict[str, Any] = {}
    for header in headers:
        for card in header.cards:
            if card.keyword in COMMENTARY or card.keyword in merged:
                continue
            try:
                value = card.value
            except (fits.VerifyError, ValueError):  # such as a card that the standard does not know
                continue
            if not isinstance(value, fits.card.Undefined):
                merged[card.keyword] = value
    return merged


def sky_axes(header: Mapping[str, Any], key: str = "") -> tuple[int, int] | None:
    """FITS axes of longitude and latitude, from 1 and in the order of the array; None where there are none.

    Parameters
    ----------
    header : mapping
        Header of an image.
    key : str, optional
        Letter of an alternate WCS.
    """
    count = max(_whole(header.get("NAXIS")), _whole(header.get(f"WCSAXES{key}")), 2)
    types = {axis: str(header.get(f"CTYPE{axis}{key}", "")).strip().upper() for axis in range(1, min(count, 20) + 1)}
    longitudes = [axis for axis, kind in types.items() if LONGITUDE.match(kind)]
    latitudes = [axis for axis, kind in types.items() if LATITUDE.match(kind)]
    if not longitudes or not latitudes:
        return None
    first, second = sorted((longitudes[0], latitudes[0]))
    return first, second


def sky_key(header: Mapping[str, Any]) -> str | None:
    """Letter of the WCS of the sky that is taken: "" for the primary one; None where none is of the sky.

    Parameters
    ----------
    header : mapping
        Header of an image.
    """
    there = {match[1] for keyword in header if (match := TYPE.fullmatch(keyword))}
    return next((key for key in sorted(there) if sky_axes(header, key)), None)


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0


def axes_of(hdu: Any) -> tuple[list[int], list[int]] | None:
    """Lengths of an image's axes in the order of the array, and which two of them (from 0) are the image's own.

    Those of the sky are, else those that are longer than one pixel, else the last two. None of what is no image.
    HST's pipeline leaves images of one value out: PIXVALUE is the value, NPIX1 and NPIX2 the size.
    """
    header = hdu.header
    if not hdu.is_image:
        return None
    count = _whole(header["NAXIS"])
    if count == 0 and {"NPIX1", "NPIX2", "PIXVALUE"} <= set(header):
        return [header["NPIX2"], header["NPIX1"]], [0, 1]
    sides = [header[f"NAXIS{axis}"] for axis in range(count, 0, -1)]
    if count < 2 or 0 in sides:
        return None
    key = sky_key(header)
    on_sky = None if key is None else sky_axes(header, key)
    if on_sky and max(on_sky) <= count:
        return sides, [count - on_sky[1], count - on_sky[0]]
    longer = [axis for axis, side in enumerate(sides) if side > 1]
    return sides, longer if len(longer) == 2 else [count - 2, count - 1]


def image_shape(hdu: Any, plane: int | None = None) -> tuple[int, int] | None:
    """Shape (Ny, Nx) of an image, whose other axes are of one pixel, or that of a cube of which a plane is taken.

    Parameters
    ----------
    hdu : HDU
        Any.
    plane : int, optional
        Number of the plane, from 0.

    Returns
    -------
    (int, int) or None
        None of anything else, such as a cube of which no plane is taken.
    """
    axes = axes_of(hdu)
    if axes is None:
        return None
    sides, (y, x) = axes
    others = [side for axis, side in enumerate(sides) if axis not in (y, x) and side > 1]
    if len(others) > 1 or (others and (plane is None or plane >= others[0])):
        return None
    return sides[y], sides[x]


def cut(hdu: Any, data: np.ndarray, plane: int | None) -> np.ndarray:
    """The image, of the shape that `image_shape` has, in the array of an extension.

    Parameters
    ----------
    hdu : HDU
        The extension.
    data : ndarray
        Its array.
    plane : int or None
        Of a cube, the plane.
    """
    axes = axes_of(hdu)
    if data.ndim == 2 or axes is None:
        return data
    sides, own = axes
    where = tuple(slice(None) if axis in own else (plane or 0) if side > 1 else 0 for axis, side in enumerate(sides))
    return np.ascontiguousarray(data[where])


def image_bytes(hdu: Any, plane: int | None = None) -> int:
    """Memory of an image, in bytes, once it is read."""
    width = abs(hdu.header["BITPIX"]) // 8
    if hdu.header["BITPIX"] > 0 and (hdu.header.get("BSCALE", 1) != 1 or "BLANK" in hdu.header):  # becomes a float
        width = 4 if width < 4 else 8
    return math.prod(image_shape(hdu, plane) or (0, 0)) * width


def label_of(hdus: Any, index: int) -> str:
    """What an extension is called, as ``[SCI,2]``; by its number if it has no name, or not alone."""
    return labels(hdus)[index]


def labels(hdus: Any) -> list[str]:
    """What the extensions of an open file are called.

    Parameters
    ----------
    hdus : astropy.io.fits.HDUList
        The file.
    """
    names = [(hdu.name, hdu.ver) for hdu in hdus]
    counts = Counter(names)
    called = [f"[{name},{version}]" if name else f"[{k}]" for k, (name, version) in enumerate(names)]
    called = [f"[{k}]" if counts[names[k]] > 1 else label for k, label in enumerate(called)]
    return ["[PRIMARY]", *called[1:]]


# ---- pixels ----------------------------------------------------------------------------------------------------------


def read_images(
    path: Path, numbers: Iterable[int], plane: int | None = None, as_flags: Collection[int] = ()
) -> dict[int, np.ndarray]:
    """Read images into memory, byte order and all as they are.

    Integers with pixels of the value BLANK become floats with NaN. Those that are flags stay integers, unsigned, and
    have the flag 1 there.

    Parameters
    ----------
    path : pathlib.Path
    numbers : iterable of int
        Numbers of extensions.
    plane : int, optional
        Of cubes, the plane.
    as_flags : collection of int, optional
        Numbers of those that are flags.

    Returns
    -------
    dict
        Images by the number of the extension.

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
        raw = None
        found = {}
        for number in dict.fromkeys(numbers):
            hdu = hdus[number]
            _remove_strays(hdu.header)
            if (blank := _blank(hdu)) is not None:
                # Not left to astropy, which knows no blank pixels of unsigned integers.
                raw = raw or stack.enter_context(fits.open(path, memmap=False, do_not_scale_image_data=True))
                image = _without_blanks(hdu.header, cut(hdu, raw[number].data, plane), blank, number in as_flags)
            else:
                image = cut(hdu, _data(hdus, number), plane)
                if number in as_flags:
                    image = _unsigned(path, label_of(hdus, number), image)
            found[number] = image
        return found


def _blank(hdu: Any) -> int | None:
    """Number, as it is stored, that stands for no value; None where there is none."""
    if hdu.header["BITPIX"] < 0 or not hdu.header["NAXIS"]:
        return None
    try:
        return int(hdu.header.get("BLANK"))
    except (TypeError, ValueError):
        return None


def _without_blanks(header: Mapping[str, Any], stored: np.ndarray, blank: int, is_flags: bool) -> np.ndarray:
    scale, zero = header.get("BSCALE", 1), header.get("BZERO", 0)
    is_blank = stored == blank
    kind = np.dtype(np.float32 if stored.dtype.itemsize < 4 else np.float64)
    if scale == 1 and zero == int(zero):
        whole: np.ndarray = stored.astype(np.int64)
        whole = whole.view(np.uint64) ^ np.uint64(zero) if zero == 2.0**63 else whole + int(zero)
        if is_flags:
            whole[is_blank] = 1
            return whole.astype(f"u{stored.dtype.itemsize}")  # the highest bit is a flag, and no sign
        values: np.ndarray = whole.astype(kind)
    else:
        values = stored.astype(kind) * kind.type(scale) + kind.type(zero)
    values[is_blank] = np.nan
    return values


def _data(hdus: Any, number: int) -> np.ndarray:
    hdu = hdus[number]
    if hdu.data is not None:
        return hdu.data
    axes = axes_of(hdu)
    if axes is None:
        raise ValueError(f"{label_of(hdus, number)} has no image.")
    return np.full(axes[0], hdu.header["PIXVALUE"], np.int16 if hdu.name == "DQ" else np.float32)


def _unsigned(path: Path, label: str, flags: np.ndarray) -> np.ndarray:
    """Flags as unsigned integers: the highest bit is a flag, and no sign; where one is NaN, it is 1."""
    if flags.dtype.kind == "f":
        whole = np.nan_to_num(flags, nan=1.0, posinf=-1.0)
        if ((whole >= 0) & (whole < 2**32) & (whole == np.rint(whole))).all():
            return whole.astype(np.uint32)
    if flags.dtype.kind not in "iu":
        name = label.strip("[]").split(",")[0]
        raise FileError(path, f"{name} must hold integers, got {flags.dtype}.")
    return flags.view(flags.dtype.str.replace("i", "u"))

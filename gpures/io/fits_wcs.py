"""The WCS of an image of a FITS file, from headers as they come."""

from __future__ import annotations

import logging
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from gpures.errors import FileError, UnsupportedWCSError
from gpures.io.fits_images import image_shape, label_of, sky_axes, sky_key
from gpures.wcs.sky_systems import default_equinox, name_by_equinox, standard_name
from gpures.wcs.transforms import as_wcs

__all__ = ["fits_wcs", "has_sky"]

log = logging.getLogger(__name__)

# Keywords whose values are numbers; where they are text, wcslib takes its defaults without a word.
NUMBERS = re.compile(
    r"(CRVAL\d+|CRPIX\d+|CDELT\d+|CROTA\d+|CD\d+_\d+|PC\d+_\d+|PV\d+_\d+|LONPOLE|LATPOLE|EQUINOX)[A-Z]?"
    r"|EPOCH|MJD-?OBS|[AB]P?_\d+_\d+|[AB]P?_ORDER|WCSAXES[A-Z]?"
)

# Keywords of an observation's date, and what their values are.
DATES = {"DATE-OBS": str, "MJD-OBS": float}


def has_sky(header: Any) -> bool:
    """Whether a header has a WCS of the sky, be it an alternate one."""
    return sky_key(header) is not None


def fits_wcs(path: Path, hdus: fits.HDUList, index: int, plane: int | None = None) -> WCS:
    """WCS of an image's header, lookup tables included: of its two axes of the sky, if there are more.

    Parameters
    ----------
    path : pathlib.Path
        The file, for the error's words.
    hdus : astropy.io.fits.HDUList
        The open file.
    index : int
        Number of the image's extension.
    plane : int, optional
        Of a cube, the plane.

    Raises
    ------
    FileError
        There is none, or it is not celestial and two-dimensional.
    """
    label = label_of(hdus, index)
    header = hdus[index].header
    key = sky_key(header)
    if key is None and (not header.get("CTYPE1") or not header.get("CTYPE2")):
        raise FileError(path, f"{label} has no WCS: its header has no CTYPE1 and CTYPE2.")
    if key:
        log.warning("%s: %s has no WCS of the sky but under the letter %s: that is taken.", path, label, key)
    key = key or ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wcs = _of_sky(_mended(path, label, header, hdus[0].header), hdus, key)
        as_wcs(wcs)
    except FileError:
        raise
    except UnsupportedWCSError as error:
        raise FileError(path, f"the WCS of {label} can't be used: {error}") from error
    except Exception as error:
        words = " ".join(str(error).split())  # wcslib's are lines
        raise FileError(path, f"the WCS of {label} is damaged: {words}") from error
    _check_matrix(path, label, header, key)
    _name_frame(path, label, wcs)
    wcs.array_shape = image_shape(hdus[index], plane or 0)
    wcs.wcs.alt = " "  # else it would be written as an alternate one
    return wcs


def _check_matrix(path: Path, label: str, header: fits.Header, key: str) -> None:
    """Refuse a matrix of which astropy mends what it should not, and say where there is none."""
    for axis in sky_axes(header, key) or (1, 2):
        row = {name: header[name] for name in header if re.fullmatch(rf"CD{axis}_\d+{key}", name)}
        if row and not any(row.values()):
            raise FileError(path, f"the WCS of {label} is damaged: {' and '.join(row)} are 0.")
    if not any(re.fullmatch(rf"(CD\d+_\d+|CDELT\d+|PC\d+_\d+){key}", keyword) for keyword in header):
        log.warning("%s: %s tells no size of its pixels: it is 1 degree, as the standard has it.", path, label)


def _of_sky(header: fits.Header, hdus: fits.HDUList, key: str) -> WCS:
    axes = sky_axes(header, key)
    if axes is None or axes == (1, 2):
        count = max(header.get(f"WCSAXES{key}", 2), header.get("NAXIS", 2))
        return WCS(header, fobj=hdus, key=key or " ", naxis=2 if axes and count > 2 else None)
    if header.get("NAXIS", 2) < max(axes):
        raise UnsupportedWCSError(f"its axes {axes} are those of the sky, and the image has {header.get('NAXIS')}.")
    return WCS(header, fobj=hdus, key=key or " ").celestial


def _mended(path: Path, label: str, header: fits.Header, primary: fits.Header) -> fits.Header:
    """A header that wcslib understands: numbers that are written as text are numbers.

    Raises
    ------
    FileError
        Where a number should be is something else.
    """
    texts = {
        keyword: value
        for keyword in header
        if NUMBERS.fullmatch(keyword) and (not _is_number(value := header[keyword]))
    }
    inherited = [
        keyword
        for keyword in ("RADESYS", "RADECSYS", "EQUINOX")
        if header.get("INHERIT") is True and keyword in primary and keyword not in header
    ]
    # FK4 turns with the date of the observation, which belongs to all of a file.
    if not any(keyword in header for keyword in ("DATE-OBS", "MJD-OBS")):
        inherited += [keyword for keyword, kind in DATES.items() if isinstance(primary.get(keyword), kind)]
    if not texts and not inherited:
        return header
    mended = header.copy()
    for keyword in inherited:
        mended[keyword] = primary[keyword]
    for keyword, text in texts.items():
        try:
            mended[keyword] = _number(keyword, text)
        except (AttributeError, ValueError) as error:  # a switch or no value at all, or other words
            if keyword.startswith("MJD"):  # of no use here
                del mended[keyword]
                continue
            raise FileError(
                path, f"the WCS of {label} is damaged: {keyword} is {text!r}, expected a number."
            ) from error
    if texts:
        log.warning("%s: %s has numbers written as text, read as numbers: %s.", path, label, ", ".join(texts))
    return mended


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(keyword: str, text: str) -> float | int:
    text = text.strip()
    if keyword.startswith(("EQUINOX", "EPOCH")):
        text = text.lstrip("JBjb")
    if keyword.endswith("_ORDER") or keyword.startswith("WCSAXES"):
        return int(text)
    return float(text.upper().replace("D", "E"))


def _name_frame(path: Path, label: str, wcs: WCS) -> None:
    """Give the reference frame the name that the standard has for it."""
    given = wcs.wcs.radesys
    frame = standard_name(given)
    if not given or given == frame or "RA" not in wcs.wcs.lngtyp:
        return
    plain = given.strip().upper()
    if frame is None and plain == "GAPPT":
        raise FileError(
            path, f"the WCS of {label} can't be used: apparent places (RADESYS={given!r}) are not converted."
        )
    if frame is None:
        frame = name_by_equinox(wcs.wcs.equinox)
    if plain != frame:
        log.warning("%s: RADESYS is %r in %s: it is taken for %s.", path, given, label, frame)
    wcs.wcs.radesys = frame
    if frame != "ICRS" and np.isnan(wcs.wcs.equinox):
        wcs.wcs.equinox = default_equinox(frame)

"""The extensions of a mosaic's FITS file."""

from __future__ import annotations

import logging
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import numpy as np
from astropy.io import fits

from gpures.box import row_blocks
from gpures.io.asdf import asdf_extension, gwcs_as_asdf
from gpures.io.exposures import ExposureRecord, table_of
from gpures.io.fits_pixels import StreamedImage
from gpures.io.lags import cards_of
from gpures.io.median import median_of_parts
from gpures.io.units import power
from gpures.io.wcs import as_gwcs, header_of

__all__ = ["NOISE_FACTOR", "WCSInFITS", "hdu_list", "history_cards", "history_lines", "units_of"]

log = logging.getLogger(__name__)

# Extensions whose names are not those of the images in capitals. Images come in this order, others before DQ.
NAMES = {"data": "SCI", "err": "ERR", "con": "CON", "wht": "WHT", "exptime_map": "EXPTIME", "dq": "DQ"}
NAMES |= {"covariance": "COV", "noise_factor": "NOISEFAC"}

# Keywords of the primary header: those that JWST's datamodels know, and EXPTIME, which everybody knows.
KEYWORDS = {
    "exposure_time": ("EXPTIME", "[s] exposure time, of all groups"),
    "measurement_time": ("TMEASURE", "[s] measurement time, of all groups"),
    "start_time": ("EXPSTART", "[d] start of the first exposure (MJD)"),
    "end_time": ("EXPEND", "[d] end of the last exposure (MJD)"),
    "duration": ("DURATION", "[s] duration, of all groups"),
    "pointings": ("NDRIZ", "groups of exposures"),
    "kernel": ("KERNEL", "drizzle kernel"),
    "pixfrac": ("PIXFRAC", "side of the drop, input pixels"),
    "fillval": ("FILLVAL", "value of pixels without contributions"),
    "weight_type": ("RESWHT", "what the weights are made of"),
    "variance_method": ("VARMETH", "variances are those of the data"),
    "precision": ("DRZPREC", "drops and sums are float32"),
    "pixel_scale_ratio": ("PXSCLRT", "output over input pixel scale"),
    "pixelarea_steradians": ("PIXAR_SR", "[sr] mean area of a pixel"),
    "pixelarea_arcsecsq": ("PIXAR_A2", "[arcsec2] mean area of a pixel"),
    "covariance_reach": ("COVREACH", "[pixel] longest lag that drops reach"),
    "level": ("BKGLEVEL", "sky level"),
    "subtracted": ("BKGSUB", "whether it is subtracted"),
}


# The median of the image of that name.
NOISE_FACTOR = "NOISEFAC"

# Keywords of the WCS that the primary header has as well.
SKY = ("RADESYS", "EQUINOX")

CARD = 72  # characters of a HISTORY card

# What begins like this is kept for those who go on with the mosaic, and is no image of the sky.
NO_IMAGE = "vwht"

# Said of a name that FITS can't hold as it is.
ENCODED = "%-encoded UTF-8"


@dataclass(frozen=True)
class WCSInFITS:
    """A WCS as a FITS file has it, made in a tenth of a second: keywords, lookup tables, and the extension ASDF.

    Attributes
    ----------
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        What it was made of.
    keywords : astropy.io.fits.Header
        Keywords of the WCS; none where FITS can't express it.
    tables : sequence of ImageHDU
        Lookup tables that the keywords refer to.
    asdf : bytes or None
        The ASDF file with the gwcs; None where there is none.
    """

    wcs: Any
    keywords: fits.Header
    tables: Sequence[Any]
    asdf: bytes | None

    @classmethod
    def of(cls, wcs: Any, shape: tuple[int, int]) -> WCSInFITS:
        """What is made of a WCS of an image of a shape (Ny, Nx)."""
        keywords, tables = header_of(wcs, shape)
        gwcs = as_gwcs(wcs)
        try:
            asdf = None if gwcs is None else gwcs_as_asdf(gwcs)
        except Exception as error:  # asdf's own, of coordinates that it has no words for, such as ecliptic ones
            if not keywords:
                raise
            log.info("The file has no gwcs, which asdf can't express: %s", error)
            asdf = None
        return cls(wcs, keywords, tables, asdf)


def hdu_list(
    name: str,
    wcs: WCSInFITS,
    images: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
    unit: str | None,
    exposures: Sequence[ExposureRecord],
    header: Mapping[str, Any],
    history: Sequence[str],
    creator: str,
) -> fits.HDUList:
    """A mosaic's FITS file, to be written; parameters as in `gpures.io.write`.

    Facts may have the median of the noise factor (`NOISE_FACTOR`), where that is not in the images yet.
    """
    primary = fits.PrimaryHDU()
    primary.header["DATE"] = (datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"), "UTC date of this file")
    primary.header["CREATOR"] = (creator, "program")
    primary.header["FILENAME"] = _ascii(name)
    if _ascii(name) != name:
        primary.header.add_comment(f"FILENAME is {ENCODED}")  # beside it there may be no room
    if exposures:
        encoded = [_ascii(exposure.name) for exposure in exposures]
        remark = "exposures; the table INPUTS names them"
        if encoded != [exposure.name for exposure in exposures]:
            remark = f"exposures; named in INPUTS, {ENCODED}"
        primary.header["NEXPOS"] = (len(exposures), remark)
    for key, (keyword, comment) in KEYWORDS.items():
        if (value := _card_value(facts.get(key))) is not None:
            primary.header[keyword] = (value, comment)
    for keyword in SKY:
        if keyword in wcs.keywords:
            primary.header[keyword] = (wcs.keywords[keyword], wcs.keywords.comments[keyword])
    if "noise_factor" in images:
        image = images["noise_factor"]
        if NOISE_FACTOR in facts:
            median = facts[NOISE_FACTOR]
        else:
            median = median_of_parts(lambda: (image[rows] for rows in row_blocks(image.shape)))
        primary.header[NOISE_FACTOR] = (median or 0.0, "median of the noise factor")
    for keyword, value in header.items():
        primary.header[_long(keyword)] = value
    for line in history:
        for part in history_cards(line):
            primary.header.add_history(part)

    hdus = fits.HDUList([primary])
    keywords, tables = wcs.keywords, [table.copy() for table in wcs.tables]
    image_units = units_of(images, unit, facts.get("weight_type"))
    order = [key for key in NAMES if key in images and key != "dq"]
    last = [key for key in ("noise_factor", "covariance", "exptime_map", "dq") if key in images]
    order = [key for key in order if key not in last] + [key for key in images if key not in NAMES] + last
    for key in order:
        hdu = StreamedImage(_storable(images[key]), name=NAMES.get(key, key.upper()))
        if not key.startswith(NO_IMAGE):
            hdu.header.update(keywords.copy())  # else all images share their cards
        # The context's third axis counts words of 32 exposures, which a WCS of two axes does not cover; but distortions
        # are defined for two.
        if images[key].ndim == 3 and keywords and not (tables or "A_ORDER" in keywords):
            hdu.header["WCSAXES"] = 3
            hdu.header["CTYPE3"] = ("", "word of 32 exposures" if key == "con" else "lag, see LAG1 and so on")
            hdu.header["CRPIX3"], hdu.header["CRVAL3"] = 1.0, 1.0
            hdu.header["CD3_3" if "CD1_1" in keywords else "CDELT3"] = 1.0
        if key == "covariance":
            for keyword, card in cards_of(facts["covariance_lags"]).items():
                hdu.header[keyword] = card
        if image_units.get(key):
            hdu.header["BUNIT"] = image_units[key]
        hdus.append(hdu)
    hdus.extend(tables)
    if exposures:
        hdus.append(table_of(exposures, encoded))
    if wcs.asdf is not None:
        hdus.append(asdf_extension(wcs.asdf))
    return hdus


def history_cards(line: str) -> list[str]:
    """Parts of a line, each of which fits on a card: broken between words, and in words that are longer than a card.

    What follows a full card belongs to its word, so that something follows each, if only nothing.

    Parameters
    ----------
    line : str
        Characters that FITS has not are written as in Python.
    """
    line = line.encode("ascii", "backslashreplace").decode()
    parts = textwrap.wrap(line, CARD - 2, break_on_hyphens=False, break_long_words=False)
    return [part[begin : begin + CARD] for part in parts for begin in range(0, len(part) + 1, CARD)]


def history_lines(cards: Iterable[str]) -> list[str]:
    """Lines of a history, where words that are longer than a card are whole again.

    Parameters
    ----------
    cards : iterable of str
        What its cards have.
    """
    lines: list[str] = []
    is_full = False
    for card in map(str, cards):
        if is_full:
            lines[-1] += card
        else:
            lines.append(card)
        is_full = len(card) == CARD
    return lines


def _long(keyword: str) -> str:
    """A keyword, with the word before it that one of more than eight characters needs."""
    is_long = len(keyword) > 8 or " " in keyword
    return f"HIERARCH {keyword}" if is_long and not keyword.upper().startswith("HIERARCH ") else keyword


def _ascii(name: str) -> str:
    """A name in the characters that FITS has: one with others is written as in a URL."""
    if name.isascii() and name.isprintable():
        return name
    return quote(name, safe=" !#$&'()*+,/:;=?@[]~", errors="surrogateescape")


def _card_value(value: Any) -> Any:
    """A value as a FITS header takes it; None for what it can't hold."""
    if hasattr(value, "mjd"):
        value = float(value.utc.mjd)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, (str, bool, int, float)) else None


def _storable(image: np.ndarray) -> np.ndarray:
    """An image of a type that FITS has."""
    if image.dtype.kind == "b":
        return image.astype(np.uint8)
    if image.dtype.kind == "f" and image.dtype.itemsize not in (4, 8):
        return image.astype(np.float32 if image.dtype.itemsize < 4 else np.float64)
    return image


def units_of(images: Mapping[str, np.ndarray], unit: str | None, weight_type: Any) -> dict[str, str]:
    """Units of a mosaic's images from that of its data.

    Parameters
    ----------
    images : mapping
        Its images, by name.
    unit : str or None
        Of the data.
    weight_type : str
        What the weights are made of.
    """
    known = {"exptime_map": "s"}
    # Exposure times, or inverse variances, summed by the part of each input pixel that an output pixel got.
    if weight_type == "exptime":
        known["wht"] = "s"
    if unit is None:
        return known
    known |= dict.fromkeys(("data", "err", "median", "clipped"), unit)
    known |= {key: power(unit, 2) for key in images if key.startswith(("var_", "cov"))}
    return {"wht": power(unit, -2)} | known

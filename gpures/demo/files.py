"""Mosaics as multi-extension FITS files."""

from __future__ import annotations

import importlib.metadata
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from gpures.io.atomic import written

__all__ = ["EXTENSIONS", "write_mosaic"]

# Extensions in the order of the file, and the keys of the output model they hold.
EXTENSIONS = (
    ("SCI", "data"),
    ("ERR", "err"),
    ("CON", "con"),
    ("WHT", "wht"),
    ("VAR_RNOISE", "var_rnoise"),
    ("VAR_POISSON", "var_poisson"),
    ("VAR_FLAT", "var_flat"),
    ("DQ", "dq"),
)


def _units(bunit: str, weight_type: str) -> dict[str, str]:
    """Units of the floating-point extensions from that of the data.

    ``electron``, which HST's products have in BUNIT, is not among the FITS standard's units, so that the
    strings are put together here in the standard's notation rather than by astropy's FITS format.
    """

    def power(exponent: int) -> str:
        unit = u.Unit(bunit)
        parts = sorted(zip(unit.powers, map(str, unit.bases), strict=True), reverse=True)
        return " ".join(f"{base}{int(p) * exponent}" for p, base in parts)

    squared = power(2)
    return {
        "SCI": bunit,
        "ERR": bunit,
        # Exposure times, or inverse variances, summed by the part of each input pixel that an output pixel
        # got: n exposures of t s add up to n t times the ratio of output to input pixel area.
        "WHT": "s" if weight_type == "exptime" else power(-2),
        "VAR_RNOISE": squared,
        "VAR_POISSON": squared,
        "VAR_FLAT": squared,
    }


def write_mosaic(
    path: Path,
    model: Mapping[str, Any],
    wcs: WCS,
    bunit: str,
    exposures: Sequence[str],
    keywords: Mapping[str, Any],
    history: Sequence[str] = (),
    bunit_comment: str = "",
) -> None:
    """Write a finalized output model.

    Parameters
    ----------
    path : pathlib.Path
        File to write; an existing one is replaced.
    model : mapping
        Output model with the planes of `EXTENSIONS` and ``kernel``, ``pixfrac``, ``weight_type``,
        ``exposure_time`` (s).
    wcs : astropy.wcs.WCS
        The mosaic's WCS.
    bunit : str
        Unit of the data, such as ``MJy/sr``.
    exposures : sequence of str
        Names of the exposures; bit ``k`` of the context stands for the ``k``-th.
    keywords : mapping
        Further keywords of the primary header, each a value or a ``(value, comment)``.
    history : sequence of str, optional
        HISTORY of the primary header, one entry for each statement.
    bunit_comment : str, optional
        Comment beside the unit of SCI and ERR.
    """
    primary = fits.PrimaryHDU()
    header = primary.header
    header["ORIGIN"] = ("gpures demo", "program that made this file")
    header["CREATOR"] = (f"gpures {importlib.metadata.version('gpures')}", "resampler")
    header["FILENAME"] = path.name
    header["KERNEL"] = (model["kernel"], "drizzle kernel")
    header["PIXFRAC"] = (model["pixfrac"], "side of the drop, input pixels")
    header["WHTTYPE"] = (model["weight_type"], "weighting of the input pixels")
    header["TEXPTIME"] = (model["exposure_time"], "[s] total exposure time")
    header["NEXPOS"] = (len(exposures), "number of exposures combined")
    for k, name in enumerate(exposures):
        header[f"EXP{k + 1:03d}"] = (name, f"exposure of context bit {k}")
    for key, value in keywords.items():
        header[key] = value
    for line in history:
        # A card has room for 72 characters; longer lines are broken between words.
        for part in textwrap.wrap(line, 70):
            header.add_history(part)

    hdus = [primary]
    units = _units(bunit, model["weight_type"])
    for name, key in EXTENSIONS:
        array = np.asarray(model[key])
        hdu = fits.ImageHDU(array, name=name)
        # A header of its own for each extension: updating shares the cards.
        hdu.header.update(wcs.to_header())
        if array.ndim == 3:
            # The context's third axis counts words of 32 exposures; it needs an axis of its own in the WCS.
            hdu.header["WCSAXES"] = 3
            hdu.header["CTYPE3"] = ("", "word of 32 exposures")
            hdu.header["CRPIX3"], hdu.header["CRVAL3"], hdu.header["CDELT3"] = 1.0, 1.0, 1.0
        if name in units:
            hdu.header["BUNIT"] = (units[name], bunit_comment if units[name] == bunit else "")
        hdus.append(hdu)
    with written(path, overwrite=True) as file:
        fits.HDUList(hdus).writeto(file)

"""What images are made of that are no exposures: mosaics of gpures, and drizzled products of HST and JWST."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from astropy.io import fits

from gpures.io.exposures import ExposureRecord, is_mosaic, records_of, records_of_table

__all__ = ["made_of_fits", "made_of_tree"]

# Drizzled images of HST name their inputs in the header, JWST's in a table.
HST_INPUT = re.compile(r"D\d{3}DATA$")
JWST_TABLE, JWST_COLUMN = "HDRTAB", "FILENAME"


def made_of_fits(hdus: fits.HDUList) -> tuple[ExposureRecord, ...]:
    """The exposures in a mosaic, by what its FITS file says; none of an exposure.

    Parameters
    ----------
    hdus : astropy.io.fits.HDUList
        The open file.
    """
    header = hdus[0].header
    if is_mosaic(header):
        return tuple(records_of_table(hdus))
    names = [str(header[keyword]) for keyword in header if HST_INPUT.match(keyword)]
    if not names and JWST_TABLE in hdus and isinstance(hdus[JWST_TABLE], fits.BinTableHDU):
        data = hdus[JWST_TABLE].data
        if data is not None and JWST_COLUMN in data.names:
            names = [str(name).strip() for name in data[JWST_COLUMN]]
    return tuple(ExposureRecord(name) for name in names if name)


def made_of_tree(tree: Mapping[str, Any]) -> tuple[ExposureRecord, ...]:
    """The same of a mosaic in ASDF.

    Parameters
    ----------
    tree : mapping
        Its tree.
    """
    if not is_mosaic({"CREATOR": tree.get("creator")}):
        return ()
    return tuple(records_of(tree.get("inputs") or tree.get("exposures") or ()))

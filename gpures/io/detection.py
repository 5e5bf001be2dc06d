"""What a file is, found by its content; and from there to the reader for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gpures.io import asdf, fits
from gpures.io.input import FileError, Input, MissingFileError

__all__ = ["inputs", "read", "read_wcs"]

FITS = b"SIMPLE  ="
ASDF = b"#ASDF"
# Beginnings of what astropy unpacks: gzip, bzip2, xz, zip, compress.
PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"PK\x03\x04", b"\x1f\x9d")


def inputs(path: str | Path) -> list[Input]:
    """Images of a file, by its headers; no pixels are read.

    Parameters
    ----------
    path : str or path
        A JWST ``_cal.fits``, a Roman ``_cal.asdf``, an HST ``_flt.fits`` or ``_flc.fits``, another FITS image with a
        celestial WCS, or a mosaic that `gpures.io.write` wrote. What it is shows from its content, not from its name.
        FITS files may be packed, as ``.fits.gz``.

    Returns
    -------
    list of Input
        One for each image; of HST, one for each chip.

    Raises
    ------
    FileError
        The file can't be used. Where there is none, it is a `FileNotFoundError` as well.
    ImportError
        The package that reads this mission's files is not installed.
    """
    path = Path(path)
    return (asdf if _container(path) == "asdf" else fits).inputs(path)


def read(path: str | Path) -> list[dict[str, Any]]:
    """Read all images of a file, as models for `gpures.Resample.add_model`.

    Parameters
    ----------
    path : str or path
        As for `inputs`.

    Returns
    -------
    list of dict

    Raises
    ------
    FileError, ImportError
        As `inputs`, and where the pixels can't be read.
    """
    return [image.read() for image in inputs(path)]


def read_wcs(path: str | Path) -> Any:
    """Read a WCS, to make a mosaic in the same frame.

    Parameters
    ----------
    path : str or path
        A file as for `inputs`, of whose images the first counts; or an ASDF file with a WCS under ``wcs``, as the
        pipelines' ``output_wcs`` takes it. A FITS file needs no pixels if its header has NAXIS1 and NAXIS2.

    Returns
    -------
    gwcs.wcs.WCS or astropy.wcs.WCS
        With its ``array_shape``.

    Raises
    ------
    FileError, ImportError
        As `inputs`.
    """
    path = Path(path)
    return (asdf if _container(path) == "asdf" else fits).read_wcs(path)


def _container(path: Path) -> str:
    """Whether a file is FITS or ASDF."""
    try:
        with path.open("rb") as file:
            begin = file.read(16)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError as error:
        raise MissingFileError(path, "there is no such file.") from error
    except OSError as error:
        raise FileError(path, f"can't be opened: {error.strerror}.") from error
    if size == 0:
        raise FileError(path, "the file is empty.")
    if begin.startswith(ASDF):
        return "asdf"
    if begin.startswith((FITS, *PACKED)):
        return "fits"
    raise FileError(path, f"neither FITS nor ASDF: it begins with {begin!r}.")

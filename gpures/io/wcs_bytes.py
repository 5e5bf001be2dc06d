"""A WCS as the bytes of a file, and back, the same to the last bit: ASDF of a gwcs, FITS of a FITS WCS."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, WCSHDO_P17, FITSFixedWarning, Sip, WCSHDO_all

from gpures.errors import FileError
from gpures.io.asdf import gwcs_as_asdf, gwcs_of
from gpures.io.asdf_stream import checked_bytes
from gpures.io.input import damage_named

__all__ = ["bytes_of_wcs", "wcs_of_bytes"]

# Matrices of SIP, whose keywords hold fewer digits than they have.
SIP = ("a", "b", "ap", "bp")

DAMAGED = "its output WCS is damaged"


def bytes_of_wcs(wcs: Any) -> bytes:
    """A WCS as the bytes of an ASDF or FITS file.

    Parameters
    ----------
    wcs : gwcs.wcs.WCS or astropy.wcs.WCS
        With its ``array_shape``.

    Raises
    ------
    ValueError
        ASDF has no words for it.
    """
    if isinstance(wcs, WCS):
        return _fits_of(wcs)
    try:
        return gwcs_as_asdf(wcs)
    except Exception as error:  # asdf's own, of models and frames that no extension knows
        raise ValueError(f"The output WCS can't be saved, as ASDF has no words for it: {error}") from error


def wcs_of_bytes(path: Path, content: bytes, shape: tuple[int, int]) -> Any:
    """The WCS that `bytes_of_wcs` was given.

    Parameters
    ----------
    path : pathlib.Path
        Where the bytes were found, for errors.
    content : bytes
    shape : (int, int)
        Shape (Ny, Nx) of its image.

    Raises
    ------
    FileError
        They are damaged.
    """
    if content.startswith(b"SIMPLE"):
        wcs = _of_fits(path, content)
    else:
        wcs = gwcs_of(path, checked_bytes(path, content), DAMAGED)
    if wcs is None:
        raise FileError(path, f"{DAMAGED}: there is none.")
    if wcs.array_shape is None:
        wcs.array_shape = shape
    if tuple(wcs.array_shape) != shape:
        raise FileError(path, f"{DAMAGED}: it is of the shape {tuple(wcs.array_shape)}, expected {shape}.")
    return wcs


def _fits_of(wcs: WCS) -> bytes:
    hdus = wcs.to_fits(relax=WCSHDO_all | WCSHDO_P17)
    for name in SIP if wcs.sip is not None else ():
        if (matrix := getattr(wcs.sip, name)) is not None:
            hdus.append(fits.ImageHDU(np.asarray(matrix, np.float64), name=f"SIP_{name}"))
            hdus[-1].header["CRPIX1"], hdus[-1].header["CRPIX2"] = map(float, wcs.sip.crpix)
    for k, (kind, pixels) in enumerate(zip(wcs.wcs.ctype, wcs.array_shape[::-1], strict=False), 1):
        hdus[0].header[f"OCTYPE{k}"] = kind
        hdus[0].header[f"OAXIS{k}"] = pixels
    content = io.BytesIO()
    hdus.writeto(content)
    return content.getvalue()


def _of_fits(path: Path, content: bytes) -> WCS:
    with damage_named(path, DAMAGED), fits.open(io.BytesIO(content), memmap=False) as hdus:
        header = hdus[0].header
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)  # the header is of no image
            wcs = WCS(header, hdus, fix=False)
        matrices = [hdus[name].data if (name := f"SIP_{each}") in hdus else None for each in SIP]
        if any(matrix is not None for matrix in matrices):
            first = next(hdu for hdu in hdus if hdu.name.startswith("SIP_")).header
            native = [None if matrix is None else matrix.astype(np.float64) for matrix in matrices]
            wcs.sip = Sip(*native, (first["CRPIX1"], first["CRPIX2"]))
        wcs.wcs.ctype = [header[f"OCTYPE{k}"] for k in range(1, wcs.naxis + 1)]
        wcs.array_shape = header["OAXIS2"], header["OAXIS1"]
        return wcs

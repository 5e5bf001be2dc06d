"""Files that are a header and nothing else, as frames are handed on: FITS without its pixels, or its cards as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from gpures.errors import FileError
from gpures.io.fits_wcs import fits_wcs
from gpures.io.input import damage_named
from gpures.io.regular import opened_file

__all__ = ["wcs_alone"]

# Bytes of the largest such file; one of FITS has 2880 or a few times that.
LARGEST = 1 << 20

BLOCK = 2880


def wcs_alone(path: Path) -> Any:
    """WCS of a file that is a FITS header without pixels, or a text with a card in each line.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    astropy.wcs.WCS or None
        With its ``array_shape``, from NAXIS1 and NAXIS2; None where the file is another one.

    Raises
    ------
    FileError
        The header has no WCS, or no size.
    """
    with opened_file(path) as file:
        content = file.read(LARGEST + 1)
    text = _cards(content)
    if text is None:
        return None
    with damage_named(path, "its header is damaged"):
        header = fits.Header.fromstring(text, sep="\n" if "\n" in text else "")
        if not (header.get("CTYPE1") and header.get("CTYPE2")):
            if "\n" in text:
                raise FileError(path, "it is a header without CTYPE1 and CTYPE2, which say what its coordinates are.")
            return None  # it may be a primary one, before extensions
        sides = header.get("NAXIS2"), header.get("NAXIS1")
        if not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides):
            raise FileError(path, f"a header without pixels needs NAXIS1 and NAXIS2, got {sides[1]} and {sides[0]}.")
        hdu = fits.PrimaryHDU(np.broadcast_to(np.zeros((), np.uint8), sides), header)
    return fits_wcs(path, fits.HDUList([hdu]), 0)


def _cards(content: bytes) -> str | None:
    """The cards of a header that is all of a file; None where it is another one."""
    if len(content) > LARGEST or b"\0" in content:
        return None
    text = content.decode("ascii", "replace").replace("\ufffd", "?")  # in comments
    lines = [line.rstrip() for line in text.splitlines()]
    if len(lines) > 1:
        is_header = any(line[8:9] == "=" for line in lines) and max(map(len, lines)) <= 80
        return "\n".join(lines) if is_header else None
    end = next((at for at in range(0, len(text), 80) if text[at : at + 80].rstrip() == "END"), None)
    if end is None or len(text) - end > BLOCK or text[end + 3 :].strip():
        return None
    return text[:end]

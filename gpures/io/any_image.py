"""The first image of a FITS file by its pixels alone, to be looked at, as it may have no WCS, or one of no use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpures.io.fits_images import image_shape, opened, read_images

__all__ = ["pixels_of"]


def pixels_of(path: Path) -> dict[str, Any] | None:
    """Output model of an image, with its data and their unit.

    Parameters
    ----------
    path : pathlib.Path
        FITS file.

    Returns
    -------
    dict or None
        Of a cube it is the first plane; None where there is no image.

    Raises
    ------
    FileError
        The file is damaged, or none.
    """
    with opened(path) as hdus:
        number = next((number for number, hdu in enumerate(hdus) if image_shape(hdu, 0)), None)
        if number is None:
            return None
        unit = hdus[number].header.get("BUNIT")
    data = read_images(path, [number], 0)[number]
    data = data.astype(data.dtype.newbyteorder("="), copy=False)
    return {"data": data, "wcs": None, "bunit_data": unit if isinstance(unit, str) else None}

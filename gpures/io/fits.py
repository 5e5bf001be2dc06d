"""FITS images with no mission behind them.

Which images of a file are exposures, and what belongs to them, in it or beside it, stands in :doc:`files`.

- Without variances, the square of the error (else the variance, else 1 / inverse variance, else 1 / weight) is
  ``var_rnoise``, so that weights of the type "ivm" are what one expects. WHT counts as an inverse variance up to a
  factor: weights are right, the variances that come out are relative, and a warning says so.
- Data stay in the unit that BUNIT names.
- The exposure time is a number, or else a text that is one, under EXPTIME, XPOSURE, TEXPTIME, EXP_TIME, EXPOSURE,
  ITIME, INTTIME, INT_TIME, EXPOSTIM, ONTIME, LIVETIME, ELAPTIME or TELAPSE, the first that there is, in seconds or in
  what its comment says. The images of a file are one group, whose time counts once, unless they were taken at
  different times.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from astropy.io import fits

from gpures.errors import FileError, NoExposureError
from gpures.io.asdf import embedded_wcs
from gpures.io.beside import why_no_exposure
from gpures.io.exposure_time import count_time, exposure_time
from gpures.io.exposures import is_mosaic
from gpures.io.extensions import Extension
from gpures.io.fits_exposures import FITSImages
from gpures.io.fits_images import header_value, image_bytes, merged_header
from gpures.io.fits_planes import fetch, planes_of
from gpures.io.input import Input, exposure_seconds
from gpures.io.planes import Place, Planes
from gpures.io.reading import Reading
from gpures.io.times import days, groups
from gpures.io.two_wcs import chosen_wcs

__all__ = ["check_name", "first_image", "inputs"]


def inputs(path: Path, hdus: fits.HDUList, reading: Reading) -> list[Input]:
    """Images of an open FITS file with no mission behind it.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    hdus : astropy.io.fits.HDUList
        The same, open.
    reading : Reading
        What the user says.
    """
    gwcs = embedded_wcs(path, hdus) if "ASDF" in hdus else None
    images = FITSImages(path, hdus, reading, has_gwcs=gwcs is not None)
    exposures = images.exposures
    planes = planes_of(path, hdus, images, reading)
    found = [_plain_image(path, hdus, images, each, planes[each.index], reading, gwcs) for each in exposures]
    names = groups(path, [(image.meta["start_time"], image.exposure_time) for image in found])
    return [replace(image, meta={**image.meta, "group_id": name}) for image, name in zip(found, names, strict=True)]


def _plain_image(
    path: Path,
    hdus: fits.HDUList,
    images: FITSImages,
    extension: Extension,
    planes: Planes,
    reading: Reading,
    gwcs: Any,
) -> Input:
    name = planes.name
    headers = (hdus[extension.index].header, hdus[0].header)
    wcs = gwcs if gwcs is not None and gwcs.array_shape == extension.shape and len(images.images) < 2 else None
    if wcs is None:
        wcs = images.wcs_of(extension)
    elif extension.has_sky:
        wcs = chosen_wcs(name, wcs, images.wcs_of(extension), "fits", reading.wcs)
    unit = header_value(headers, "BUNIT")
    header, time = merged_header(headers), exposure_time(headers, name)
    meta = {
        "group_id": str(path),
        "exposure_time": exposure_seconds(time, name),
        "measurement_time": header_value(headers, "TMEASURE"),
        "start_time": days(header_value(headers, "EXPSTART", "MJD-BEG", "MJD-OBS", "DATE-BEG", "DATE-OBS")),
        "end_time": days(header_value(headers, "EXPEND", "MJD-END", "DATE-END")),
        "duration": header_value(headers, "DURATION"),
        "pixelarea_steradians": header_value(headers, "PIXAR_SR"),
        "bunit_data": unit,
        "level": header_value(headers, "BKGLEVEL"),
        "subtracted": bool(header_value(headers, "BKGSUB")),
        **({"relative_weights": True} if planes.is_relative else {}),
    }
    return Input(
        path=path,
        name=name,
        kind="fits",
        shape=wcs.array_shape,
        wcs=wcs,
        unit=unit,
        meta=meta,
        sizes=planes.sizes,
        load=partial(planes.load, partial(fetch, reading.plane)),
        header=header,
        count_time=count_time(header, None if is_mosaic(header) else time),
    )


def first_image(path: Path, hdus: fits.HDUList, reading: Reading) -> Input:
    """The first image of an open file, whatever it is taken for, and nothing that belongs to it.

    Parameters
    ----------
    path, hdus, reading
        As for `inputs`.
    """
    gwcs = embedded_wcs(path, hdus) if "ASDF" in hdus else None
    images = FITSImages(path, hdus, reading, has_gwcs=gwcs is not None)
    try:
        first = images.exposures[0]
    except FileError:
        on_sky = [each for each in images.all if each.shape and each.has_sky]
        if not on_sky:
            raise
        first = on_sky[0]
    size = image_bytes(hdus[first.index], reading.plane)
    planes = Planes(path.name + first.label, Place(path, first.index, first.label, "data", size))
    return _plain_image(path, hdus, images, first, planes, reading, gwcs)


def check_name(path: Path, reading: Reading) -> None:
    """Refuse a file that is by its name the mask, weight or error of another one, unless the user says what it is.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    reading : Reading
        What the user says.

    Raises
    ------
    NoExposureError
        It is.
    """
    if not reading.ext and (why := why_no_exposure(path)) is not None:
        raise NoExposureError(path, f"{why}. With 'ext', its image is taken for one all the same.")

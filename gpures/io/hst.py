"""HST's calibrated exposures, ``_flt.fits`` and ``_flc.fits``: one image for each chip.

- The WCS is the header's, with SIP and the lookup tables (D2IMARR, WCSDVARR) that lie in the file.
- Data in ELECTRONS or COUNTS are divided by EXPTIME when they are read, and so are ERR and the sky: all chips and
  exposures are then rates, as drizzlepac has them.
- The flat field has made them rates per area on the sky: that of a square whose side is the scale of the distortion's
  solution, IDCSCALE, whatever the pixel's own area. `gpures.mosaic` makes of it the rate per output pixel, as
  drizzlepac does.
- ``var_rnoise`` is the square of ERR, which covers read noise, dark current, photon noise and calibration. Weights of
  the type "ivm" are therefore what drizzlepac calls "ERR"; as the photon noise of sources is part of them, bright
  pixels weigh less. Weights of the type "exptime", drizzlepac's default "EXP", are free of that.
- MDRIZSKY, where a sky has been measured and left in, is the level that is subtracted.
- The chips of an exposure are one group, so that its time counts once.
- DQ flags are the instrument's. ``good_bits=0``, the default of `gpures.Resample`, takes unflagged pixels alone. Where
  dithers average them out, 16 + 64 (hot and warm pixels) are commonly allowed for ACS and WFC3/UVIS, and 512 + 8192 for
  WFC3/IR (blobs, and cosmic rays that the ramp was cleaned of). The instruments' data handbooks explain the flags.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from gpures.errors import FileError, NoExposureError
from gpures.io import units
from gpures.io.extensions import Extension
from gpures.io.fits_exposures import FITSImages
from gpures.io.fits_images import header_value, merged_header
from gpures.io.fits_planes import fetch, planes_of
from gpures.io.input import VARIANCES, Input, exposure_seconds
from gpures.io.planes import Place, Planes
from gpures.io.reading import Reading
from gpures.io.times import days
from gpures.wcs.transforms import compute_mean_pixel_area

__all__ = ["inputs", "recognizes"]

# What FILETYPE calls files of DQ flags.
FLAGS = ("SDQ", "UDQ", "SHF", "UDM")

# Arcsec, where old headers have no IDCSCALE: of those detectors whose pixels are so far from squares that the WCS does
# not tell it either.
NOMINAL_SCALES = {"HRC": 0.025}

# Powers of the exposure time by which arrays become those of rates.
POWERS = {"data": -1, "err": -1, "ivar": 2, "wht": 2} | dict.fromkeys(("variance", *VARIANCES), -2)


def recognizes(hdus: fits.HDUList) -> bool:
    """Whether a file is an exposure of HST; a drizzled image is none."""
    header = hdus[0].header
    return header.get("TELESCOP") == "HST" and "SCI" in hdus and "NDRIZIM" not in header and "WHT" not in hdus


def inputs(path: Path, hdus: fits.HDUList, reading: Reading) -> list[Input]:
    """Images of an exposure of HST.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    hdus : astropy.io.fits.HDUList
        The same, open.
    reading : Reading
        What the user says.

    Raises
    ------
    FileError
        No chip has an image, or one has no WCS, or a unit that is not known.
    NoExposureError
        It holds the flags of another file.
    """
    kind = str(hdus[0].header.get("FILETYPE", "")).strip().upper()
    if kind in FLAGS and not reading.ext:
        raise NoExposureError(path, f"it holds the flags of another file (FILETYPE={kind!r}), and no exposure.")
    images = FITSImages(path, hdus, reading)
    chips = images.exposures
    if len(chips) > 1 and not reading.ext and all("SAMPNUM" in hdus[chip.index].header for chip in chips):
        raise FileError(path, f"it holds {len(chips)} readouts of one exposure: its _flt file is for mosaics.")
    planes = planes_of(path, hdus, images, reading)
    return [_chip(path, hdus, images, chip, planes[chip.index], reading) for chip in chips]


def _chip(
    path: Path, hdus: fits.HDUList, images: FITSImages, chip: Extension, planes: Planes, reading: Reading
) -> Input:
    header = hdus[chip.index].header
    headers = (header, hdus[0].header)
    name = planes.name
    time = exposure_seconds(header_value(headers, "EXPTIME"), name)
    unit, is_rate = _unit(path, name, header_value(headers, "BUNIT"))
    divisor = 1.0 if is_rate else time
    sky = header.get("MDRIZSKY")
    wcs = images.wcs_of(chip)
    shape = wcs.array_shape
    meta = {
        "group_id": header_value(headers, "EXPNAME", "ROOTNAME") or str(path),
        "exposure_time": time,
        "measurement_time": time,
        "start_time": days(header_value(headers, "EXPSTART")),
        "end_time": days(header_value(headers, "EXPEND")),
        "duration": time,
        # The mean: scales differ by some per cent over a chip, and the flat field refers to no point of it.
        "pixelarea_steradians": _area(wcs, shape),
        "values_area": math.radians(_nominal_scale(headers, wcs) / 3600.0) ** 2,
        "bunit_data": unit,
        "level": None if sky is None else float(sky) / divisor,
        "subtracted": False,
    }
    return Input(
        path=path,
        name=name,
        kind="hst",
        shape=shape,
        wcs=wcs,
        unit=unit,
        meta=meta,
        sizes=planes.sizes,
        load=partial(planes.load, partial(_rates, reading.plane, divisor)),
        header=merged_header(headers),
    )


def _area(wcs: Any, shape: tuple[int, int]) -> float | None:
    area = compute_mean_pixel_area(wcs, shape)
    return None if area is None else float(area)


def _nominal_scale(headers: Collection[fits.Header], wcs: Any) -> float:
    """Arcsec along a side of the square that values are of: that of the header, else as drizzlepac finds it."""
    scale = header_value(headers, "IDCSCALE") or NOMINAL_SCALES.get(header_value(headers, "DETECTOR"))
    if scale is not None and scale > 0.0:
        return float(scale)
    matrix = 3600.0 * wcs.pixel_scale_matrix
    return float(np.hypot(*matrix[:, 0]) if wcs.sip is None else math.sqrt(abs(np.linalg.det(matrix))))


def _unit(path: Path, name: str, unit: Any) -> tuple[str, bool]:
    """What the rate is called, and whether the data are one."""
    is_rate = units.is_rate(unit)
    if units.per(unit) != "pixel" or not (is_rate or units.is_count(unit)):
        raise FileError(
            path, f"the unit of {name} is BUNIT={unit!r}, expected electrons or counts, or such per second."
        )
    return units.rate_of(unit), is_rate


def _rates(plane: int | None, divisor: float, places: Sequence[Place]) -> dict[Place, np.ndarray]:
    """Arrays, those of numbers in the unit of the data as those of rates."""
    found = fetch(plane, places)
    if divisor != 1.0:
        for place in found:
            if power := POWERS.get(place.role):
                scale = divisor ** abs(power)
                change = np.multiply if power > 0 else np.divide
                found[place] = change(found[place], scale, dtype=np.float32)
    return found

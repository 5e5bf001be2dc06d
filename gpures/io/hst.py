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
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from gpures.errors import FileError
from gpures.io import units
from gpures.io.fits import arrays, companions, fits_wcs, header_value, image_bytes, image_shape, merged_header
from gpures.io.input import Input, exposure_seconds
from gpures.io.variance import from_source
from gpures.wcs.transforms import compute_mean_pixel_area

__all__ = ["inputs", "recognizes"]

EXTENSIONS = {"err": ("ERR",), "dq": ("DQ",)}


def recognizes(hdus: fits.HDUList) -> bool:
    """Whether a file is an exposure of HST; a drizzled image is none."""
    header = hdus[0].header
    return header.get("TELESCOP") == "HST" and "SCI" in hdus and "NDRIZIM" not in header and "WHT" not in hdus


def inputs(path: Path, hdus: fits.HDUList) -> list[Input]:
    """Images of an exposure of HST.

    Raises
    ------
    FileError
        No chip has an image, or one has no WCS, or a unit that is not known.
    """
    chips = [index for index, hdu in enumerate(hdus) if hdu.name == "SCI" and image_shape(hdu)]
    if not chips:
        raise FileError(path, "no SCI extension has an image of two dimensions.")
    return [_chip(path, hdus, index) for index in chips]


def _chip(path: Path, hdus: fits.HDUList, index: int) -> Input:
    header = hdus[index].header
    headers = (header, hdus[0].header)
    name = f"{path.name}[SCI,{hdus[index].ver}]"
    time = exposure_seconds(header_value(headers, "EXPTIME"), name)
    unit, is_rate = _unit(path, name, header_value(headers, "BUNIT"))
    divisor = 1.0 if is_rate else time
    sky = header.get("MDRIZSKY")
    wcs = fits_wcs(path, hdus, index)
    shape = wcs.array_shape
    found = companions(path, hdus, index, EXTENSIONS)
    sizes = {array: image_bytes(hdus[number]) for array, number in found.items()}
    if "err" in found:
        sizes["var_rnoise"] = sizes["err"]
    meta = {
        "group_id": header_value(headers, "EXPNAME", "ROOTNAME") or str(path),
        "exposure_time": time,
        "measurement_time": time,
        "start_time": header_value(headers, "EXPSTART"),
        "end_time": header_value(headers, "EXPEND"),
        "duration": time,
        # The mean: scales differ by some per cent over a chip, and the flat field refers to no point of it.
        "pixelarea_steradians": _area(wcs, shape),
        "values_area": math.radians(_nominal_scale(header, wcs) / 3600.0) ** 2,
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
        sizes=sizes,
        load=partial(_load, path, found, divisor),
        header=merged_header(headers),
    )


def _area(wcs: Any, shape: tuple[int, int]) -> float | None:
    area = compute_mean_pixel_area(wcs, shape)
    return None if area is None else float(area)


def _nominal_scale(header: fits.Header, wcs: Any) -> float:
    """Arcsec along a side of the square that values are of, as drizzlepac finds it."""
    if (scale := header.get("IDCSCALE") or 0.0) > 0.0:
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


def _load(path: Path, extensions: Mapping[str, int], divisor: float, names: Collection[str]) -> dict[str, np.ndarray]:
    needed = {array for array in extensions if array in names}
    if "var_rnoise" in names:
        needed.add("err")
    found = arrays(path, {array: extensions[array] for array in needed})
    if divisor != 1.0:
        for array in found.keys() & {"data", "err"}:
            found[array] = np.divide(found[array], divisor, dtype=np.float32)
    if "var_rnoise" in names:
        found["var_rnoise"] = from_source("err", found["err"])
    return {name: found[name] for name in names}

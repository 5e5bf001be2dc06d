"""A real exposure: HST ACS/HRC, F606W, in the core of 47 Tucanae (NGC 104).

The pixels are 200 x 200 of ``j8bt06nyq_flt.fits``, which is in the public domain, as HST's data are. That file carries
the linear WCS of 2004 only; the distortion of the same exposure is added from a published TAN-SIP solution. The file's
own HISTORY says which pixels, and where both are from.

Units
-----
The exposure's ``SCI`` is in electrons.  It is divided by the exposure time, and the flat field has made it
a surface brightness: electron/s per area that the flat field refers to, which for HRC is a square of 0.025
arcsec, the reference scale of its pixel area map (Hook 2004, "Pixel Area Maps for ACS/WFC, ACS/HRC and
ACS/SBC images", STScI; the header's ``IDCSCALE``).  Drizzled onto pixels of exactly that size, a value is
therefore electron/s per output pixel, and sums over pixels are fluxes to which ``PHOTFLAM`` applies.

The sky is left in.  In the cluster's core there is no blank sky from which to take its level.
"""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from gpures.wcs.transforms import compute_mean_pixel_area

__all__ = ["EXPOSURE", "GOOD_BITS", "PIXEL_SCALE", "find_exposure", "load_exposure"]

EXPOSURE = "j8bt06nyq_part_flt.fits"

# The HRC's pixels are 0.028 x 0.025 arcsec; 0.025 arcsec (IDCSCALE) is the scale its drizzled images have,
# and the one that makes the values electron/s per output pixel (see above).
PIXEL_SCALE = 0.025

# Flags of ACS (STScI, "ACS Data Quality Flags", www.stsci.edu/hst/instrumentation/acs/data-analysis/
# dq-flag-definitions).  Two are no reason to discard a pixel here:
#   256  full-well saturation, "usable at gain = 2", which is this exposure's gain (CCDGAIN);
#   512  pixels whose flat field is less certain: the detector's rim and dust, valid counts all the same.
# All others stay bad, among them 2048, saturation of the converter, where the counts are lost; in this
# exposure every pixel with 256 has 2048 too, so that the cores of the brightest stars become holes.  Bit 64,
# warm pixels today, marked permanent hot pixels before 8 October 2004, when this file was made: it stays bad.
GOOD_BITS = 256 + 512


def find_exposure() -> Path:
    """Path of the exposure.

    Returns
    -------
    pathlib.Path
        The FITS file, which comes with gpures.
    """
    return Path(str(importlib.resources.files("gpures.demo") / "data" / EXPOSURE))


def load_exposure(path: str | Path | None = None) -> dict[str, Any]:
    """Read the exposure as a model for the resampler.

    The file's ERR is split into the three variances so that they add up to its square.  The header states
    the read noise (``READNSEi``, electrons; one amplifier was read) and the photon noise follows from SCI,
    which is in electrons.  What ERR holds beyond these two, the calibration's share (flat field,
    superbias, superdark), goes to ``var_flat``; for faint pixels of this file it is 98 electrons**2.

    Parameters
    ----------
    path : str or pathlib.Path, optional
        FITS file with SCI, ERR and DQ; by default the one of `find_exposure`.

    Returns
    -------
    dict
        Input model.  ``data`` and ``err`` (electron/s per 0.025 arcsec square), ``var_rnoise``,
        ``var_poisson``, ``var_flat`` (their square) are float32 of shape (200, 200), ``dq`` is uint32.
        ``wcs`` is a FITS WCS, ``header`` holds facts for the mosaic's header.
    """
    path = find_exposure() if path is None else Path(path)
    with fits.open(path) as hdus:
        primary, science = hdus[0].header, hdus["SCI"].header
        wcs = WCS(science)
        if (unit := str(science["BUNIT"]).strip()) != "ELECTRONS":
            raise ValueError(f"{path.name}: expected SCI in ELECTRONS, got BUNIT = {unit!r}")
        electrons = hdus["SCI"].data.astype(np.float64)
        error = hdus["ERR"].data.astype(np.float64)
        # The flags fill 16 bits; read as unsigned so that the highest is no sign.
        dq = hdus["DQ"].data.astype(np.int32).astype(np.uint32) & 0xFFFF
        time = float(primary["EXPTIME"])
        # Amplifiers that were not read have a read noise of zero.
        read_noise = max(float(primary[f"READNSE{amp}"]) for amp in primary["CCDAMP"].strip())
        facts = {key: primary[key].strip() for key in ("TELESCOP", "INSTRUME", "DETECTOR", "TARGNAME", "ROOTNAME")}
        facts["FILTER"] = primary["FILTER1"].strip()
        facts |= {key: (science[key], science.comments[key]) for key in ("PHOTFLAM", "PHOTZPT", "PHOTPLAM", "PHOTBW")}
        begin, end = float(primary["EXPSTART"]), float(primary["EXPEND"])

    var_rnoise = np.full(electrons.shape, read_noise**2)
    var_poisson = np.clip(electrons, 0.0, None)
    var_flat = np.clip(error**2 - var_rnoise - var_poisson, 0.0, None)

    # The pixels' true mean area, (0.0266 arcsec)**2, not the 0.025 arcsec square of the units: the resampler
    # uses it to state the noise of an output pixel, for which the sky area that a pixel collected counts.
    area = compute_mean_pixel_area(wcs)
    return {
        "data": (electrons / time).astype(np.float32),
        "err": (error / time).astype(np.float32),
        "dq": dq,
        "var_rnoise": (var_rnoise / time**2).astype(np.float32),
        "var_poisson": (var_poisson / time**2).astype(np.float32),
        "var_flat": (var_flat / time**2).astype(np.float32),
        "filename": path.name,
        "group_id": "1",
        "wcs": wcs,
        "exposure_time": time,
        "measurement_time": time,
        "duration": time,
        "start_time": begin,
        "end_time": end,
        "pixelarea_steradians": area,
        "level": 0.0,
        "subtracted": True,
        "bunit_data": "electron/s",
        "header": facts,
    }

"""A real exposure: HST ACS/HRC, F606W, in the core of 47 Tucanae (NGC 104).

The pixels are those of ``j8bt06nyq_flt.fits``, which the package spherical-geometry installs with its test
data.  That file carries the linear WCS of 2004 only; the distortion of the same exposure is added from the
published TAN-SIP solution cited below.

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

from gpures.wcs.transforms import compute_mean_pixel_area

from .sky import fits_wcs

__all__ = ["EXPOSURE", "GOOD_BITS", "PIXEL_SCALE", "find_exposure", "load_exposure"]

EXPOSURE = "j8bt06nyq_flt.fits"

# The HRC's pixels are 0.028 x 0.025 arcsec; 0.025 arcsec (IDCSCALE) is the scale its drizzled images have,
# and the one that makes the values electron/s per output pixel (see above).
PIXEL_SCALE = 0.025

# TAN-SIP solution of this exposure, from the distortion table n721640fj_idc.fits: header of extension SCI of
# drizzle/tests/data/j8bt06nyq_sip_flt.fits in the repository spacetelescope/drizzle (commit f83c79e).
SIP_KEYWORDS: dict[str, float] = {
    "CRPIX1": 512.0,
    "CRPIX2": 512.0,
    "CRVAL1": 6.027148333333,
    "CRVAL2": -72.08351111111,
    "CD1_1": -7.3535609772738e-06,
    "CD1_2": 1.85500817048893e-06,
    "CD2_1": 2.88105626539018e-06,
    "CD2_2": 6.64719093910560e-06,
    "A_ORDER": 4,
    "A_0_2": -7.0889395968097e-07,
    "A_0_3": -1.8815236170312e-11,
    "A_0_4": 3.52663128667526e-14,
    "A_1_1": 9.01865480733676e-06,
    "A_1_2": 4.10095454377589e-10,
    "A_1_3": -1.8416520384227e-13,
    "A_2_0": -3.3163602099644e-06,
    "A_2_1": -2.9240036454705e-11,
    "A_2_2": -1.3458234665785e-12,
    "A_3_0": 9.65774472432314e-11,
    "A_3_1": -2.2242752420711e-12,
    "A_4_0": 3.23745227404317e-13,
    "B_ORDER": 4,
    "B_0_2": 1.15076965205490e-05,
    "B_0_3": 7.35894516028950e-10,
    "B_0_4": -1.2780970907036e-12,
    "B_1_1": -2.6697404172385e-06,
    "B_1_2": -6.3116444335245e-10,
    "B_1_3": -5.3932063162612e-13,
    "B_2_0": 2.00059877639217e-06,
    "B_2_1": 3.02073232258143e-10,
    "B_2_2": 9.93387657260949e-13,
    "B_3_0": 4.48761161830502e-10,
    "B_3_1": -1.3065032807710e-12,
    "B_4_0": 2.66823917315528e-13,
}

# Flags of ACS (STScI, "ACS Data Quality Flags", www.stsci.edu/hst/instrumentation/acs/data-analysis/
# dq-flag-definitions).  Two are no reason to discard a pixel here:
#   256  full-well saturation, "usable at gain = 2", which is this exposure's gain (CCDGAIN);
#   512  pixels whose flat field is less certain: the detector's rim and dust, valid counts all the same.
# All others stay bad, among them 2048, saturation of the converter, where the counts are lost; in this
# exposure every pixel with 256 has 2048 too, so that the cores of the brightest stars become holes.  Bit 64,
# warm pixels today, marked permanent hot pixels before 8 October 2004, when this file was made: it stays bad.
GOOD_BITS = 256 + 512


def find_exposure() -> Path:
    """Path of the exposure that the package spherical-geometry installs.

    Returns
    -------
    pathlib.Path
        The FITS file.
    """
    try:
        package = importlib.resources.files("spherical_geometry")
    except ModuleNotFoundError as error:
        raise FileNotFoundError(
            f"{EXPOSURE}: expected in the test data of the package spherical-geometry, not installed here; "
            'install with: pip install "gpures[demo]"'
        ) from error
    path = Path(str(package / "tests" / "data" / EXPOSURE))
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: not found; expected it among the test data that spherical-geometry installs "
            "(its release 1.4.0 does)"
        )
    return path


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
        ``var_poisson``, ``var_flat`` (their square) are float32 of shape (1024, 1024), ``dq`` is uint32.
        ``wcs`` is a FITS WCS, ``header`` holds facts for the mosaic's header.
    """
    path = find_exposure() if path is None else Path(path)
    with fits.open(path) as hdus:
        primary, science = hdus[0].header, hdus["SCI"].header
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

    wcs = fits_wcs(SIP_KEYWORDS, electrons.shape)
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

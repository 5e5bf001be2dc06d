"""A dithered, undersampled NIRCam-like data set, simulated without any resampling.

Each exposure sees the scene through its own distorted WCS; to the light in its pixels come photon noise,
read noise, cosmic rays and bad pixels. What the mosaic is compared with is therefore the sky, not another
image.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpures.wcs.transforms import world_to_pixel

from .scene import Scene, aperture_fraction, render
from .sky import ARCSEC, fits_wcs, pixel_area_map, tan_sip_gwcs, tangent_positions

__all__ = ["exposure_keywords", "make_exposures", "measure_standards"]

# NIRCam's detector NRCB5 (module B, long-wave channel), 0.063 arcsec/pixel: the TAN-SIP solution of degree 5
# published as drizzle/tests/data/nrcb5_sip_wcs.hdr in the repository spacetelescope/drizzle (commit f83c79e),
# where it is described as converted from the JWST gWCS of NRCB5.
NRCB5: dict[str, float] = {
    "CRPIX1": 1024.5,
    "CRPIX2": 1024.5,
    "CRVAL1": 34.462141245715,
    "CRVAL2": -5.2370131013006,
    "CD1_1": -5.9503404343539e-06,
    "CD1_2": 1.648275705369e-05,
    "CD2_1": 1.6413012543338e-05,
    "CD2_2": 6.0004968333255e-06,
    "A_ORDER": 5,
    "A_0_2": 1.61277115051773e-06,
    "A_0_3": 1.73577114462509e-11,
    "A_0_4": 5.89952689299414e-15,
    "A_0_5": -9.2706016645490e-18,
    "A_1_1": -1.1751937758814e-05,
    "A_1_2": 1.73036803751169e-09,
    "A_1_3": -3.1289934897622e-14,
    "A_1_4": 3.06218671532168e-17,
    "A_2_0": -1.8926777088332e-06,
    "A_2_1": 1.03291495279138e-10,
    "A_2_2": 2.03368375378982e-14,
    "A_2_3": -4.4162900401209e-17,
    "A_3_0": 1.67914343216288e-09,
    "A_3_1": -5.4435048958724e-14,
    "A_3_2": 9.46275771964339e-17,
    "A_4_0": 7.41603692584866e-15,
    "A_4_1": -9.7176613274953e-18,
    "A_5_0": -2.6162006188010e-17,
    "B_ORDER": 5,
    "B_0_2": -6.9663104269845e-06,
    "B_0_3": 1.69597092451221e-09,
    "B_0_4": -2.6284874597164e-14,
    "B_0_5": 3.79795310696409e-17,
    "B_1_1": -3.6577740533158e-06,
    "B_1_2": 8.02672477273099e-11,
    "B_1_3": -1.7478642466998e-14,
    "B_1_4": -2.7372755032689e-18,
    "B_2_0": 4.92018167812442e-06,
    "B_2_1": 1.69745602106894e-09,
    "B_2_2": 6.81819605498880e-15,
    "B_2_3": 7.20352111485166e-17,
    "B_3_0": 3.98424806886705e-12,
    "B_3_1": -5.3941905107867e-15,
    "B_3_2": -3.2098483024471e-17,
    "B_4_0": 2.16072939656730e-14,
    "B_4_1": -2.7836646857682e-17,
    "B_5_0": -1.8084499231992e-17,
}

# Side of the native pixel at the reference point, arcsec: the root of |det CD|.
NATIVE_SCALE = ARCSEC * math.sqrt(abs(NRCB5["CD1_1"] * NRCB5["CD2_2"] - NRCB5["CD1_2"] * NRCB5["CD2_1"]))
# Its area in sr; what JWST headers call PIXAR_SR.
NATIVE_SR = math.radians(NATIVE_SCALE / ARCSEC) ** 2

# A corner of the detector, (Ny, Nx) pixels: a quarter of the side, so that nine exposures are simulated and
# drizzled in seconds; a corner, because the distortion is greatest there.
SHAPE = (512, 512)
# Turns the published solution's position angle of +y, 70 deg, to 8 deg: a north-up mosaic then wastes little
# area, and still no exposure is aligned with it.
ROLL = -62.0
# Dither steps along either detector axis, native pixels: whole pixels carry a source off bad pixels, the
# thirds sample the pixel three times in either direction.
DITHER = (-3.0 - 1.0 / 3.0, 0.0, 3.0 + 1.0 / 3.0)
# Extra roll of the three rows of the dither pattern, deg: across half the field 0.2 deg is 0.9 pixel.
ROW_ROLL = (-0.2, 0.0, 0.2)

# Detector and sky, of the order of NIRCam's long-wave channel in F277W.
EXPOSURE_TIME = 300.0  # s
READ_NOISE = 10.0  # electrons, of a whole ramp
MJYSR_PER_RATE = 0.22  # MJy/sr of 1 electron/s in a pixel of nominal area (PHOTMJSR / gain)
SKY = 0.13  # MJy/sr, zodiacal light
FLAT_ERROR = 0.003  # fraction of the signal

# DQ flags of the JWST pipeline (jwst documentation, "Data Quality Flags").
DO_NOT_USE, JUMP_DET, HOT, WARM = 1, 4, 2048, 4096
# Everything but DO_NOT_USE is kept, the JWST pipeline's default for resampling.
GOOD_BITS = "~1"


def exposure_keywords(ra: float, dec: float, roll: float, shape: tuple[int, int] = SHAPE) -> dict[str, float]:
    """FITS keywords of an exposure whose middle pixel points at a position.

    Parameters
    ----------
    ra, dec : float
        Where the middle of the image points, deg.
    roll : float
        Rotation added to the published solution, deg.
    shape : tuple of int, optional
        ``(Ny, Nx)`` of the detector's lower left corner that is used, pixels.

    Returns
    -------
    dict
        The published keywords, turned by ``roll`` and with ``CRVALi`` set.
    """
    c, s = math.cos(math.radians(roll)), math.sin(math.radians(roll))
    keywords = dict(NRCB5)
    for j in ("1", "2"):
        # Position angles are counted from north towards east: (east, north) turns clockwise.
        east, north = NRCB5[f"CD1_{j}"], NRCB5[f"CD2_{j}"]
        keywords[f"CD1_{j}"], keywords[f"CD2_{j}"] = c * east + s * north, c * north - s * east
    keywords["CRVAL1"], keywords["CRVAL2"] = ra, dec
    middle = [[0.5 * (shape[1] - 1), 0.5 * (shape[0] - 1)]]
    # The reference pixel lies outside the corner; moving it by the error on the sky converges by the ratio of
    # the offset (a minute of arc) to a radian, 3e-4, at each step.
    for _ in range(4):
        got_ra, got_dec = fits_wcs(keywords, shape).all_pix2world(middle, 0)[0]
        keywords["CRVAL1"] += ra - float(got_ra)
        keywords["CRVAL2"] += dec - float(got_dec)
    return keywords


def _cosmic_rays(rng: np.random.Generator, shape: tuple[int, int], number: int) -> np.ndarray:
    """Electrons left by cosmic rays: straight tracks of 1 to 12 pixels, float64 of ``shape``."""
    tracks = np.zeros(shape)
    for _ in range(number):
        length, angle = 1.0 + 11.0 * rng.random() ** 2, rng.uniform(0.0, math.pi)
        steps = np.arange(0.0, length, 0.5)
        y = np.round(rng.uniform(0, shape[0]) + steps * math.sin(angle)).astype(int)
        x = np.round(rng.uniform(0, shape[1]) + steps * math.cos(angle)).astype(int)
        inside = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
        tracks[y[inside], x[inside]] += rng.lognormal(6.0, 0.8)
    return tracks


def make_exposures(
    scene: Scene, n_exposures: int = 9, shape: tuple[int, int] = SHAPE, seed: int = 5
) -> list[dict[str, Any]]:
    """Simulate dithered exposures of a scene.

    Parameters
    ----------
    scene : Scene
        The sky; the dither pattern is centred on its tangent point.
    n_exposures : int, optional
        1 to 9 positions of the 3 x 3 dither pattern.
    shape : tuple of int, optional
        ``(Ny, Nx)`` of an exposure, pixels.
    seed : int, optional
        Seed of the noise.

    Returns
    -------
    list of dict
        Input models.  ``data`` (MJy/sr), ``var_rnoise``, ``var_poisson``, ``var_flat`` (MJy**2/sr**2)
        are float32 of ``shape``, ``dq`` is uint32; NaN where the detector has no value.  Besides what the
        resampler reads, ``fits_wcs`` holds the same WCS for FITS software.
    """
    if not 1 <= n_exposures <= 9:
        raise ValueError(f"n_exposures: expected 1 to 9, the points of the dither pattern, got {n_exposures}")
    rng = np.random.default_rng(seed)
    # Bad pixels stay where they are on the detector: dead or hot (no value), and warm ones that are kept.
    chance = rng.random(shape)
    bad, warm = chance < 0.003, (chance >= 0.003) & (chance < 0.006)
    models = []
    for k in range(n_exposures):
        row, column = divmod(k, 3)
        # The steps go along the detector's axes; the scene's offsets follow through the position angle.
        angle = math.radians(70.0 + ROLL)
        dx, dy = NATIVE_SCALE * DITHER[column], NATIVE_SCALE * DITHER[row]
        xi = -dx * math.cos(angle) + dy * math.sin(angle)
        eta = dx * math.sin(angle) + dy * math.cos(angle)
        ra, dec = tangent_positions(np.array([xi]), np.array([eta]), scene.ra0, scene.dec0)
        keywords = exposure_keywords(float(ra[0]), float(dec[0]), ROLL + ROW_ROLL[row], shape)
        wcs = fits_wcs(keywords, shape)

        # Electrons = time x rate, the sky's rate in proportion to the pixel's true area.
        area = pixel_area_map(wcs, shape) / NATIVE_SCALE**2
        rate = (render(scene, wcs, shape) / NATIVE_SR + SKY * area) / MJYSR_PER_RATE
        photons = rng.poisson(EXPOSURE_TIME * rate).astype(float)
        rays = _cosmic_rays(rng, shape, 140)
        # Calibration to surface brightness; the flat field takes out the pixel area, as the pipeline's does.
        to_mjysr = MJYSR_PER_RATE / (EXPOSURE_TIME * area)
        data = to_mjysr * (photons + rays + rng.normal(0.0, READ_NOISE, shape))
        var_rnoise = (READ_NOISE * to_mjysr) ** 2
        # The photon noise is estimated from the noise-free signal, which a pipeline would have to guess.
        var_poisson = EXPOSURE_TIME * rate * to_mjysr**2
        var_flat = (FLAT_ERROR * data) ** 2

        dq = np.zeros(shape, dtype=np.uint32)
        dq[rays > 0] |= DO_NOT_USE | JUMP_DET
        dq[bad] |= DO_NOT_USE | HOT
        dq[warm] |= WARM
        # Jumps caught early in the ramp: the pixel lost half its reads and is kept with twice the variance.
        repaired = (rng.random(shape) < 0.004) & (dq == 0)
        dq[repaired] |= JUMP_DET
        var_rnoise[repaired] *= 2.0
        data[repaired] += to_mjysr[repaired] * rng.normal(0.0, READ_NOISE, int(repaired.sum()))
        for array in (data, var_rnoise, var_poisson, var_flat):
            array[bad] = np.nan

        # One exposure after another from an arbitrary date, MJD; 20 s for each small slew.
        start = 60000.0 + k * (EXPOSURE_TIME + 20.0) / 86400.0
        models.append(
            {
                "data": data.astype(np.float32),
                "dq": dq,
                "var_rnoise": var_rnoise.astype(np.float32),
                "var_poisson": var_poisson.astype(np.float32),
                "var_flat": var_flat.astype(np.float32),
                "filename": f"simulated_nrcb5_{k + 1:02d}",
                "group_id": str(k + 1),
                "wcs": tan_sip_gwcs(keywords, shape),
                "fits_wcs": wcs,
                "exposure_time": EXPOSURE_TIME,
                "measurement_time": EXPOSURE_TIME,
                "duration": EXPOSURE_TIME,
                "start_time": start,
                "end_time": start + EXPOSURE_TIME / 86400.0,
                "pixelarea_steradians": NATIVE_SR,
                # The sky stays in the mosaic: nothing is subtracted.
                "level": 0.0,
                "subtracted": True,
                "bunit_data": "MJy/sr",
            }
        )
    return models


def measure_standards(
    scene: Scene, data: np.ndarray, wcs: Any, scale: float, n_exposures: int, radius: float = 0.6
) -> tuple[np.ndarray, np.ndarray]:
    """Aperture photometry of the scene's standard stars in an undistorted mosaic.

    Parameters
    ----------
    scene : Scene
        The sky that was simulated.
    data : ndarray of float32, shape (Ny, Nx)
        Mosaic, MJy/sr.
    wcs : gwcs.WCS or astropy.wcs.WCS
        The mosaic's WCS.
    scale : float
        Side of the mosaic's pixel, arcsec.
    n_exposures : int
        Number of exposures combined.
    radius : float, optional
        Radius of the aperture, arcsec.

    Returns
    -------
    ratio : ndarray of float64, shape (k,)
        Measured over true flux inside the aperture.
    sigma : ndarray of float64, shape (k,)
        Expected standard error of ``ratio`` from the photon and read noise.
    """
    ra, dec = tangent_positions(scene.standards[:, 0], scene.standards[:, 1], scene.ra0, scene.dec0)
    x, y = world_to_pixel(wcs)(ra, dec)
    # What the aperture holds of the PSF; the drop and the pixels, 0.03 arcsec wide, change it by under 1e-3.
    inside = aperture_fraction(radius)
    pixel_sr = math.radians(scale / ARCSEC) ** 2
    ratio, sigma = np.empty(x.size), np.empty(x.size)
    native_pixels = math.pi * (radius / NATIVE_SCALE) ** 2
    for k, flux in enumerate(inside * scene.standards[:, 2]):
        x0, y0 = round(float(x[k])), round(float(y[k]))
        r = math.ceil(radius / scale) + 1
        yy, xx = np.mgrid[y0 - r : y0 + r + 1, x0 - r : x0 + r + 1]
        distance = np.hypot(xx - x[k], yy - y[k]) - radius / scale
        # Pixels on the rim count by the part inside, to first order.
        share = np.clip(0.5 - distance, 0.0, 1.0)
        ratio[k] = np.sum(share * (data[yy, xx] - SKY)) * pixel_sr / flux
        electrons = n_exposures * EXPOSURE_TIME * flux / (NATIVE_SR * MJYSR_PER_RATE)
        per_pixel = n_exposures * (EXPOSURE_TIME * SKY / MJYSR_PER_RATE + READ_NOISE**2)
        sigma[k] = math.sqrt(electrons + native_pixels * per_pixel) / electrons
    return ratio, sigma

"""Dithered exposures full of cosmic rays, and what is true of them: for what takes such rays out of mosaics.

The exposures are those of a NIRCam-like detector that kept all cosmic rays of its ramps, under a sky that is another
in each exposure. What a ray left in each pixel is known, and so is the image without it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from astropy.wcs import WCS
from scipy.special import erf

from .nircam import (
    DO_NOT_USE,
    EXPOSURE_TIME,
    FLAT_ERROR,
    HOT,
    MJYSR_PER_RATE,
    NATIVE_SCALE,
    NATIVE_SR,
    READ_NOISE,
    ROLL,
    SKY,
    exposure_keywords,
)
from .scene import Scene, render
from .sky import fits_wcs, pixel_area_map, tan_sip_gwcs, tangent_positions

__all__ = ["Kind", "RayExposure", "cosmic_rays", "flagged_fractions", "make_ray_exposures"]

Shape = tuple[int, int]

Kind = Literal["hit", "hot", "good"]

# Thickness of the detector, pixels, and electrons that a ray frees on the way through as much of it: the least, and the
# exponent of the cumulative power law above it, up to the most.
THICKNESS = 1.5
LEAST_CHARGE, MOST_CHARGE, CHARGE_SLOPE = 300.0, 3e4, 1.2
LONGEST = 40.0  # pixels
# Rms of the way that charge diffuses before it is collected, pixels, and how far that is followed.
DIFFUSION, REACH = 0.3, 2
STEP = 0.25  # pixels of a track that are taken for one point
# Pixels that a ray leaves more than the sky's noise in, on average: of 20 000 rays.
PIXELS_PER_RAY = 7.0

# Dither, native pixels: half the width of the square that the pointings fill, by fractions that fill it evenly however
# many there are (the powers of the plastic number).
DITHER = 6.0
EVENLY = (0.7548776662466927, 0.5698402909980532)
TURN = 5.0  # deg, of the last exposure
GAP = 20  # pixels between two chips
SKY_STEP = 0.2  # greatest departure of an exposure's sky from the mean, as a fraction of it

# Fractions of pixels that are hot and flagged, or hot and not known as such; electrons in these, least and most.
KNOWN_HOT, UNKNOWN_HOT = 0.003, 0.0005
HOT_CHARGE = 200.0, 5000.0


@dataclass(frozen=True)
class RayExposure:
    """An exposure, and what is true of it.

    Attributes
    ----------
    model : dict
        As `gpures.Resample.add_model` takes it; its sky is told by ``level``.
    clean : ndarray of float32 (Ny, Nx)
        Its data with the same noise, as they would be without cosmic rays and hot pixels that nobody knows.
    image : ndarray of float64 (Ny, Nx)
        The same without noise, sky included.
    rays : ndarray of float64 (Ny, Nx)
        What cosmic rays left in each pixel, as a multiple of the pixel's error.
    hot : ndarray of bool (Ny, Nx)
        Hot pixels that no flag tells of.
    fits_wcs : astropy.wcs.WCS
        The WCS for FITS software.
    """

    model: dict[str, Any]
    clean: np.ndarray
    image: np.ndarray
    rays: np.ndarray
    hot: np.ndarray
    fits_wcs: WCS

    def kinds(self) -> dict[Kind, np.ndarray]:
        """Pixels (Ny, Nx) that are hit by more than 5 sigma, hot, or good, among those that no flag tells of."""
        unflagged, untouched = self.model["dq"] == 0, self.rays <= 1.0
        return {
            "hit": unflagged & (self.rays > 5.0),
            "hot": unflagged & untouched & self.hot,
            "good": unflagged & untouched & ~self.hot,
        }


def cosmic_rays(rng: np.random.Generator, shape: Shape, number: int) -> np.ndarray:
    """Electrons that cosmic rays leave in pixels.

    Rays come from everywhere, so that their tracks are of all lengths, short ones the most; the electrons that one
    frees along its way fluctuate, and diffuse to neighbours.

    Parameters
    ----------
    rng : numpy.random.Generator
        What chance is taken from.
    shape : (int, int)
        Of the detector, (Ny, Nx).
    number : int
        Of rays that hit it.

    Returns
    -------
    ndarray of float64 (Ny, Nx)
        Electrons.
    """
    # As many rays pass a plane within equal parts of the squared sine of their angle to its normal.
    squared_sine = rng.random(number)
    length = np.minimum(THICKNESS * np.sqrt(squared_sine / (1.0 - squared_sine)), LONGEST)
    charge = np.minimum(LEAST_CHARGE * (1.0 + rng.pareto(CHARGE_SLOPE, number)), MOST_CHARGE)
    charge *= np.hypot(1.0, length / THICKNESS)
    azimuth = rng.uniform(0.0, 2.0 * math.pi, number)
    start_x, start_y = (rng.uniform(-0.5, n - 0.5, number) for n in reversed(shape))

    steps = 1 + np.ceil(length / STEP).astype(int)
    ray = np.repeat(np.arange(number), steps)
    along = (np.arange(ray.size) - np.repeat(np.cumsum(steps) - steps, steps) + 0.5) / steps[ray] * length[ray]
    x, y = start_x[ray] + along * np.cos(azimuth[ray]), start_y[ray] + along * np.sin(azimuth[ray])
    left = charge[ray] / steps[ray] * rng.gamma(2.0, 0.5, ray.size)

    (column, in_column), (line, in_line) = _collected(x), _collected(y)
    pixels = np.zeros(shape)
    for dy in range(2 * REACH + 1):
        for dx in range(2 * REACH + 1):
            i, j = line + dy - REACH, column + dx - REACH
            inside = (i >= 0) & (i < shape[0]) & (j >= 0) & (j < shape[1])
            here = left * in_line[dy] * in_column[dx]
            np.add.at(pixels, (i[inside], j[inside]), here[inside])
    return pixels


def flagged_fractions(exposures: Sequence[RayExposure], masks: Sequence[np.ndarray]) -> dict[Kind, float]:
    """What part of the pixels of each kind masks (Ny, Nx) flag, of all exposures together."""
    kinds = [exposure.kinds() for exposure in exposures]
    return {
        kind: sum(np.count_nonzero(mask & of[kind]) for mask, of in zip(masks, kinds, strict=True))
        / sum(np.count_nonzero(of[kind]) for of in kinds)
        for kind in kinds[0]
    }


def _collected(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pixel that each point is in, along one axis, and shares (2 REACH + 1, n) of it and its neighbours."""
    pixel = np.round(position).astype(int)
    edges = pixel + np.arange(-REACH, REACH + 2)[:, None] - 0.5
    return pixel, np.diff(0.5 * erf((edges - position) / (math.sqrt(2.0) * DIFFUSION)), axis=0)


def make_ray_exposures(
    scene: Scene,
    n_exposures: int = 10,
    shape: Shape = (512, 512),
    chips: int = 1,
    ray_fraction: float = 0.02,
    seed: int = 17,
) -> list[RayExposure]:
    """Simulate dithered exposures with cosmic rays, each under a sky of its own; the last one is turned.

    Parameters
    ----------
    scene : Scene
        The sky; the dithers are around its tangent point.
    n_exposures : int, optional
        Number of exposures.
    shape : (int, int), optional
        Of a chip, (Ny, Nx).
    chips : int, optional
        Chips side by side, which are exposed together, under one sky, and share a ``group_id``.
    ray_fraction : float, optional
        Fraction of the pixels in which rays leave more than the noise of the sky, about.
    seed : int, optional
        Of the random numbers.

    Returns
    -------
    list of RayExposure
        ``n_exposures * chips``, those of one group one after another.
    """
    rng = np.random.default_rng(seed)
    # The pixels' areas are the same wherever the detector points.
    area = pixel_area_map(_pointing(scene, ROLL, (0.0, 0.0), shape)[0], shape) / NATIVE_SCALE**2
    detectors = [_Detector(rng, area) for _ in range(chips)]
    exposures = []
    for k in range(n_exposures):
        roll = ROLL + (TURN if k == n_exposures - 1 else 0.0)
        sky = SKY * (1.0 + SKY_STEP * rng.uniform(-1.0, 1.0))
        dither = [DITHER * (2.0 * math.modf((k + 1) * step)[0] - 1.0) for step in EVENLY]
        for chip, detector in enumerate(detectors):
            beside = (chip - 0.5 * (chips - 1)) * (shape[1] + GAP)
            wcs, keywords = _pointing(scene, roll, (dither[0] + beside, dither[1]), shape)
            exposure = detector.expose(rng, render(scene, wcs, shape), sky, ray_fraction, wcs)
            start = 60000.0 + k * (EXPOSURE_TIME + 20.0) / 86400.0
            exposure.model.update(
                filename=f"simulated_{k + 1:02d}_{chip + 1}",
                group_id=str(k + 1),
                wcs=tan_sip_gwcs(keywords, shape),
                start_time=start,
                end_time=start + EXPOSURE_TIME / 86400.0,
            )
            exposures.append(exposure)
    return exposures


def _pointing(scene: Scene, roll: float, offset: tuple[float, float], shape: Shape) -> tuple[WCS, dict[str, float]]:
    """WCS, and its keywords, of a chip whose middle is some pixels along its axes from the scene's tangent point."""
    # The published solution has its axis +y at a position angle of 70 deg.
    angle = math.radians(70.0 + roll)
    dx, dy = NATIVE_SCALE * offset[0], NATIVE_SCALE * offset[1]
    xi, eta = -dx * math.cos(angle) + dy * math.sin(angle), dx * math.sin(angle) + dy * math.cos(angle)
    ra, dec = tangent_positions(np.array([xi]), np.array([eta]), scene.ra0, scene.dec0)
    keywords = exposure_keywords(float(ra[0]), float(dec[0]), roll, shape)
    return fits_wcs(keywords, shape), keywords


class _Detector:
    """A chip with pixels of areas in nominal ones, whose hot pixels and flat field's errors stay where they are."""

    def __init__(self, rng: np.random.Generator, area: np.ndarray) -> None:
        self.area, self.shape = area, area.shape
        chance = rng.random(self.shape)
        self.known, self.unknown = chance < KNOWN_HOT, chance > 1.0 - UNKNOWN_HOT
        self.excess = np.where(self.known | self.unknown, rng.uniform(*HOT_CHARGE, self.shape), 0.0)
        self.flat = 1.0 + FLAT_ERROR * rng.standard_normal(self.shape)

    def expose(
        self, rng: np.random.Generator, flux: np.ndarray, sky: float, ray_fraction: float, wcs: WCS
    ) -> RayExposure:
        """An exposure of the flux (MJy) in each pixel, and of a sky (MJy/sr)."""
        to_mjysr = MJYSR_PER_RATE / (EXPOSURE_TIME * self.area)
        image = flux / (NATIVE_SR * self.area) + sky
        electrons = image / to_mjysr
        rays = cosmic_rays(rng, self.shape, round(ray_fraction * image.size / PIXELS_PER_RAY))
        counted = self.flat * rng.poisson(electrons) + rng.normal(0.0, READ_NOISE, self.shape)
        # The noise is of the image without noise, which a pipeline would have to guess.
        variances = {
            "var_rnoise": (READ_NOISE * to_mjysr) ** 2,
            "var_poisson": electrons * to_mjysr**2,
            "var_flat": (FLAT_ERROR * image) ** 2,
        }
        err = np.sqrt(sum(variances.values()))
        planes = {"data": to_mjysr * (counted + rays + self.excess), "err": err, **variances}
        model = {
            **{name: plane.astype(np.float32) for name, plane in planes.items()},
            "dq": np.where(self.known, DO_NOT_USE | HOT, 0).astype(np.uint32),
            "exposure_time": EXPOSURE_TIME,
            "measurement_time": EXPOSURE_TIME,
            "duration": EXPOSURE_TIME,
            "pixelarea_steradians": NATIVE_SR,
            "level": sky,
            "subtracted": False,
            "bunit_data": "MJy/sr",
        }
        clean = to_mjysr * (counted + np.where(self.known, self.excess, 0.0))
        return RayExposure(model, clean.astype(np.float32), image, to_mjysr * rays / err, self.unknown, wcs)

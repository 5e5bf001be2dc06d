"""How well masks of outliers do on exposures of which the truth is known; beside those of stcal's functions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpures.bench.outliers import GOOD_BITS, reference_outliers, stcal_resampler
from gpures.demo.cosmic_rays import flagged_fractions
from gpures.demo.nircam import NATIVE_SCALE
from gpures.demo.sky import frame_around, tangent_positions

__all__ = ["GOOD_BITS", "Score", "median_frame", "mosaic_of", "reference_masks", "score", "star_ratios", "truth"]

DO_NOT_USE, OUTLIER = 1, 16

# Peak of a star whose core counts, in read noises; radius of a core, pixels.
BRIGHT, CORE = 20.0, 2.0


@dataclass(frozen=True)
class Score:
    """How well masks of outliers do.

    Attributes
    ----------
    found : float
        Fraction of the pixels in which cosmic rays left more than 5 sigma that are flagged.
    hot : float
        Fraction of the hot pixels that nobody knew of that are flagged.
    false : float
        Fraction of the good pixels that are flagged: in which rays left no more than 1 sigma.
    false_cores : float
        The same of good pixels in the cores of stars.
    """

    found: float
    hot: float
    false: float
    false_cores: float


def median_frame(exposures):
    """The frame in which medians are taken: of the exposures' scale, around them."""
    return frame_around([exposure.model for exposure in exposures], NATIVE_SCALE, 8)


def reference_masks(exposures, frame, **options):
    """Masks by the steps of jwst's outlier detection."""
    return reference_outliers([exposure.model for exposure in exposures], frame, **options)


def truth(exposures):
    """Masks of what is in truth no good: rays above 1 sigma, and hot pixels."""
    return [(exposure.rays > 1.0) | exposure.hot for exposure in exposures]


def core_pixels(scene, exposure):
    """Pixels in the cores of an exposure's bright stars."""
    ra, dec = tangent_positions(*scene.stars[:, :2].T, scene.ra0, scene.dec0)
    x, y = exposure.fits_wcs.all_world2pix(ra, dec, 0)
    signal = (exposure.image - exposure.model["level"]) / np.sqrt(exposure.model["var_rnoise"].mean())
    cores = np.zeros(signal.shape, bool)
    for at_x, at_y in zip(x, y, strict=True):
        i, j = max(round(float(at_y)) - 2, 0), max(round(float(at_x)) - 2, 0)
        around = np.s_[i : i + 5, j : j + 5]
        if signal[around].size and signal[around].max() > BRIGHT:
            yy, xx = np.mgrid[around]
            near = np.hypot(xx - at_x, yy - at_y) <= CORE
            cores[around] |= near[: signal.shape[0] - i, : signal.shape[1] - j]
    return cores


def score(scene, exposures, masks):
    """The `Score` of all exposures together. Pixels that are flagged beforehand are not asked about."""
    part = flagged_fractions(exposures, masks)
    cores = [exposure.kinds()["good"] & core_pixels(scene, exposure) for exposure in exposures]
    false = sum(np.count_nonzero(mask & core) for mask, core in zip(masks, cores, strict=True))
    return Score(part["hit"], part["hot"], part["good"], false / np.count_nonzero(cores))


def mosaic_of(exposures, frame, masks=None):
    """Mosaic of exposures without what masks flag; or, without masks, as they would be had nothing hit them."""
    resample = stcal_resampler(frame)
    for k, exposure in enumerate(exposures):
        if masks is None:
            changes = {"data": exposure.clean}
        else:
            flags = np.where(masks[k], np.uint32(DO_NOT_USE | OUTLIER), np.uint32(0))
            changes = {"dq": exposure.model["dq"] | flags}
        resample.add_model(exposure.model | changes)
    resample.finalize()
    return resample.output_model["data"]


def star_ratios(scene, frame, mosaic, clean, radius=0.25, least=0.0):
    """Fluxes of stars in apertures (arcsec) of a mosaic over those in a clean one, and the latter.

    Of stars that are brighter than some MJy.
    """
    stars = scene.stars[scene.stars[:, 2] > least]
    x, y = frame.invert(*tangent_positions(*stars[:, :2].T, scene.ra0, scene.dec0))
    yy, xx = np.indices(mosaic.shape)
    ratios, fluxes = [], []
    for at_x, at_y in zip(x, y, strict=True):
        inside = np.hypot(xx - at_x, yy - at_y) <= radius / NATIVE_SCALE
        if inside.sum() > 0.9 * np.pi * (radius / NATIVE_SCALE) ** 2 and np.isfinite(clean[inside]).all():
            fluxes.append(clean[inside].sum(dtype=float))
            ratios.append(mosaic[inside].sum(dtype=float) / fluxes[-1])
    return np.array(ratios), np.array(fluxes)

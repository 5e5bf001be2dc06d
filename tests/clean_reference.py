"""Outliers as the field's pipelines flag them, out of stcal's functions; and how well a mask of outliers does.

The steps are those of jwst's outlier detection of images: each group of exposures is resampled by itself, the median
of the groups is taken where each has weight enough, and blotted; what differs from it by more than the noise and the
median's derivative allow is flagged.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np
from stcal.outlier_detection.median import MedianComputer
from stcal.outlier_detection.utils import compute_weight_threshold, flag_resampled_crs, gwcs_blot
from stcal.resample import Resample

from gpures.demo.nircam import NATIVE_SCALE
from gpures.demo.sky import ARCSEC, frame_around, tangent_positions

GOOD_BITS = "~1"  # everything but DO_NOT_USE
DO_NOT_USE, OUTLIER = 1, 16


def median_frame(models):
    """The frame in which medians are taken: of the exposures' scale, around them."""
    return frame_around(models, NATIVE_SCALE, 8)


def resampled_groups(models, frame, maskpt=0.7):
    """Each group resampled by itself, NaN where its weight is too little."""
    for _, members in groupby(models, key=lambda model: model["group_id"]):
        resample = Resample(
            output_wcs={"wcs": frame},
            weight_type="ivm",
            good_bits=GOOD_BITS,
            pixfrac=1.0,
            kernel="square",
            fillval="NaN",
            enable_ctx=False,
            enable_var=False,
            compute_err=None,
        )
        for model in members:
            resample.add_model(model)
        resample.finalize()
        data, weight = resample.output_model["data"], resample.output_model["wht"]
        data[weight < compute_weight_threshold(weight, maskpt)] = np.nan
        yield data


def median_of(models, frame, maskpt=0.7):
    """Median of the groups."""
    n = len({model["group_id"] for model in models})
    computer = MedianComputer((n, *frame.array_shape), True)
    for k, data in enumerate(resampled_groups(models, frame, maskpt)):
        computer.append(data, k)
    return computer.evaluate()


def flag_outliers(models, frame=None, snr=(5.0, 4.0), scale=(1.2, 0.7), backg=0.0, maskpt=0.7):
    """Masks of the outliers of each model."""
    frame = median_frame(models) if frame is None else frame
    median = median_of(models, frame, maskpt)
    masks = []
    for model in models:
        blot = gwcs_blot(median, frame, model["data"].shape, model["wcs"], fillval=np.nan)
        level = model["level"] if model["subtracted"] is False and model["level"] is not None else backg
        masks.append(flag_resampled_crs(model["data"], model["err"], blot, *snr, *scale, level))
    return masks


@dataclass
class Score:
    """How well masks of outliers do.

    Attributes
    ----------
    found : float
        Fraction of the pixels in which cosmic rays left more than 5 sigma that are flagged.
    hot : float
        Fraction of the hot pixels that nobody knew of that are flagged.
    false : float
        Fraction of the good pixels that are flagged.
    false_cores : float
        Fraction of the good pixels in the cores of stars that are flagged.
    bias : float
        Mean over stars of their flux in the mosaic over that in a mosaic of exposures without cosmic rays, less 1.
    scatter : float
        Standard deviation of the same.
    """

    found: float
    hot: float
    false: float
    false_cores: float
    bias: float = np.nan
    scatter: float = np.nan


def star_pixels(scene, exposure, radius=2.0):
    """Pixels of an exposure within some pixels of a star whose peak is far above the noise."""
    ra, dec = tangent_positions(*scene.stars[:, :2].T, scene.ra0, scene.dec0)
    x, y = exposure.fits_wcs.all_world2pix(ra, dec, 0)
    ny, nx = exposure.image.shape
    signal = (exposure.image - exposure.model["level"]) / np.sqrt(exposure.model["var_rnoise"].mean())
    cores = np.zeros((ny, nx), bool)
    for at_x, at_y in zip(x, y, strict=True):
        i, j = round(float(at_y)), round(float(at_x))
        if 2 <= i < ny - 2 and 2 <= j < nx - 2 and signal[i - 1 : i + 2, j - 1 : j + 2].max() > BRIGHT:
            yy, xx = np.mgrid[i - 2 : i + 3, j - 2 : j + 3]
            cores[i - 2 : i + 3, j - 2 : j + 3] |= np.hypot(xx - at_x, yy - at_y) <= radius
    return cores


# Peak of a star whose core counts, in the read noise.
BRIGHT = 20.0


def score(scene, exposures, masks):
    """Fractions of a `Score`, of all exposures together. Pixels that are flagged beforehand are not asked about."""
    counts = np.zeros((4, 2))
    for exposure, mask in zip(exposures, masks, strict=True):
        known = (exposure.model["dq"] & DO_NOT_USE) > 0
        good = (exposure.rays <= 1.0) & ~exposure.hot & ~known
        cores = star_pixels(scene, exposure)
        asked = (exposure.rays > 5.0) & ~known, exposure.hot & (exposure.rays <= 1.0), good, good & cores
        counts += [(np.count_nonzero(mask & those), np.count_nonzero(those)) for those in asked]
    return Score(*(counts[:, 0] / counts[:, 1]))


def mosaic_of(exposures, frame, masks=None, data="data"):
    """Mosaic of exposures, without what masks flag; `data` is "clean" for those without cosmic rays."""
    resample = Resample(
        output_wcs={"wcs": frame},
        weight_type="ivm",
        good_bits=GOOD_BITS,
        pixfrac=1.0,
        kernel="square",
        fillval="NaN",
        enable_ctx=False,
        enable_var=False,
        compute_err=None,
    )
    for k, exposure in enumerate(exposures):
        model = dict(exposure.model)
        if data == "clean":
            model["data"] = exposure.clean
        if masks is not None:
            model["dq"] = model["dq"] | np.where(masks[k], DO_NOT_USE | OUTLIER, 0).astype(np.uint32)
        resample.add_model(model)
    resample.finalize()
    return resample.output_model["data"]


def star_ratios(scene, frame, mosaic, clean, radius=0.25, least=0.3e-12):
    """Fluxes of stars, brighter than some MJy, in apertures (arcsec) of a mosaic over those in a clean one."""
    stars = scene.stars[scene.stars[:, 2] > least]
    x, y = frame.invert(*tangent_positions(*stars[:, :2].T, scene.ra0, scene.dec0))
    ny, nx = mosaic.shape
    yy, xx = np.indices(mosaic.shape)
    ratios = []
    for at_x, at_y in zip(x, y, strict=True):
        inside = np.hypot(xx - at_x, yy - at_y) <= radius * ARCSEC / 3600.0 / NATIVE_SCALE
        whole = 8 < at_x < nx - 8 and 8 < at_y < ny - 8
        if whole and np.isfinite(clean[inside]).all():
            ratios.append(mosaic[inside].sum() / clean[inside].sum())
    return np.array(ratios)

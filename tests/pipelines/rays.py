"""Exposures full of cosmic rays, with the inverse of their WCS that pipelines need."""

from __future__ import annotations

import dataclasses

import gwcs
import numpy as np
from astropy.coordinates import ICRS
from astropy.modeling import fitting, models

from gpures.demo.cosmic_rays import make_ray_exposures
from gpures.demo.nircam import NRCB5
from gpures.demo.scene import make_scene
from gpures.wcs.frame import tangent_wcs

SHAPE = (256, 240)


def ray_exposures(count=4, shape=SHAPE, chips=1):
    """Exposures that are not matched: their skies differ."""
    exposures = make_ray_exposures(make_scene(NRCB5["CRVAL1"], NRCB5["CRVAL2"]), count, shape, chips)
    return [
        dataclasses.replace(exposure, model=exposure.model | {"wcs": with_inverse(exposure, shape)})
        for exposure in exposures
    ]


def with_inverse(exposure, shape):
    """The WCS of an exposure, whose distortion has a polynomial as its inverse, as those of JWST and Roman have."""
    wcs, known = exposure.model["wcs"], exposure.fits_wcs.wcs
    plain = tangent_wcs(known.crval, known.crpix - 1.0, exposure.fits_wcs.pixel_scale_matrix, None, ICRS())
    undistorted = plain.backward_transform
    y, x = np.mgrid[-0.1:1.1:25j, -0.1:1.1:25j] * np.reshape(shape, (2, 1, 1))
    transform = wcs.forward_transform.copy()
    centre, half = known.crpix - 1.0, 0.5 * max(shape)
    u, v = undistorted(*transform(x, y))
    scaled = (u - centre[0]) / half, (v - centre[1]) / half
    to_x, to_y = (fitting.LinearLSQFitter()(models.Polynomial2D(5), *scaled, pixel) for pixel in (x, y))
    counted = models.Shift(-centre[0]) & models.Shift(-centre[1]) | models.Scale(1.0 / half) & models.Scale(1.0 / half)
    transform.inverse = undistorted | counted | models.Mapping((0, 1, 0, 1)) | to_x & to_y
    frames = [getattr(wcs, name) for name in wcs.available_frames]
    made = gwcs.WCS([(frames[0], transform), (frames[1], None)])
    made.array_shape, made.bounding_box = shape, wcs.bounding_box
    return made


def assert_same_cleaning(got, expected, outlier):
    """The same levels, flags and data of all models, but for few outliers among many.

    Parameters
    ----------
    got, expected : list of (float, ndarray, ndarray)
        Sky level, DQ and data of each model, by gpures and by the pipeline.
    outlier : int
        The bit of outliers.
    """
    levels, wanted = ([level for level, _, _ in products] for products in (got, expected))
    assert max(wanted) > 0.03
    # Their skies are modes, by histograms with bins of a tenth of the noise (0.007); that of a matched one is a mean.
    np.testing.assert_allclose(levels, wanted, rtol=0, atol=2e-4)
    different = flagged = 0
    for (_, dq, data), (_, wanted_dq, wanted_data) in zip(got, expected, strict=True):
        differs = ((dq ^ wanted_dq) & outlier) != 0
        np.testing.assert_array_equal(dq[~differs], wanted_dq[~differs])
        np.testing.assert_array_equal(data[~differs], wanted_data[~differs])
        different += differs.sum()
        flagged += ((wanted_dq & outlier) != 0).sum()
    assert flagged > 0.01 * sum(dq.size for _, dq, _ in expected)
    assert different < 1e-2 * flagged
    assert different < 1e-4 * sum(dq.size for _, dq, _ in expected)


def step_products(library):
    """Levels, DQ and data of the models of a library."""
    with library:
        models = list(library)
        for model in models:
            library.shelve(model, modify=False)
    return [(model.meta.background.level, np.array(model.dq), np.array(model.data)) for model in models]


def assert_used_by_steps(used, in_memory, resample):
    """What gpures has done in the sky and outlier steps, for four exposures.

    Parameters
    ----------
    used : collections.Counter
        Calls, by the originals' names.
    in_memory, resample : bool
        The steps' options.
    """
    assert used["stcal.skymatch.skymatch"] == 1
    assert used["stcal.outlier_detection.utils.compute_weight_threshold"] == 4
    medians = used["stcal.outlier_detection.median.nanmedian3D"]
    assert medians == 1 if in_memory else medians > 1  # of one section each
    for name in (
        "stcal.resample.Resample.add_model",
        "stcal.resample.utils.calc_pixmap",
        "drizzle.resample.blot_image",
        "stcal.outlier_detection.utils.flag_resampled_crs",
    ):
        assert used[name] == (4 if resample else 0), name

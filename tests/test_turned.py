"""Exposures that lie along the output's axes another way: turned by quarters, or mirrored.

Their images are walked along whichever axis lies along the output's rows. What comes out is compared with what does of
the same pixel map given pixel by pixel, in which case they are walked as they are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracle
import pytest
import scenes

from gpures.backend.base import MosaicLayout
from gpures.backend.choice import make_accumulators
from gpures.exposure.drops import KERNELS
from gpures.exposure.exposure import Exposure
from gpures.exposure.pixmap import PixelMap, calc_pixmap
from gpures.exposure.weights import Weight

pytestmark = pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel")

#: Of several blocks, none of whose sides they fill.
SHAPE = (75, 150)
VARIANCES = ("var_rnoise", "var_flat")
TURNS = [(angle, flip) for angle in (0.0, 90.0, 180.0, 270.0) for flip in (False, True)]

#: Of sums of some 30 numbers of type double, in another order; pixels' places are known to 1e-11 pixels.
RTOL = 1e-9


def exposure_along(angle, flip, **settings):
    """An exposure turned by a little more than quarters, with everything on; and the shape of its frame."""
    rng = np.random.default_rng(8)
    wcs = scenes.imaging_wcs(SHAPE, rotation=angle + 2.0, flip=flip, distortion=1.0)
    frame = scenes.frame_around(SHAPE)
    pixmap = calc_pixmap(wcs, frame, SHAPE, 1e-4)
    assert pixmap.full is None
    data = rng.normal(size=SHAPE)
    data[40, 70:90] = np.nan
    variances = rng.uniform(0.5, 2.0, (2, *SHAPE)).astype("f4")
    variances[1, 10:20] = np.nan
    made = Exposure(
        data.astype("f4"),
        pixmap,
        Weight(variance=rng.uniform(0.5, 2.0, SHAPE).astype(">f8"), bad_bits=4),
        (3, 140, 5, 71),
        dq=rng.choice([0, 0, 4, 8], SHAPE).astype("u2"),
        err=np.asfortranarray(rng.uniform(size=SHAPE)),
        variances=dict(zip(VARIANCES, variances, strict=True)),
        extras={"extra": rng.integers(-9, 9, SHAPE).astype("i8")},
        variance_weight=None,
        effective_time=7.0,
    )
    return replace(made, **settings), frame.array_shape


def images_of(exposure, shape, kernel, **settings):
    common = {"has_err": True, "has_dq": True, "has_time": True, "dtype": np.dtype("f8"), "extra_names": ("extra",)}
    return oracle.run("cpu", MosaicLayout(shape, kernel, 0.0, VARIANCES, **common | settings), [exposure, exposure])


def given_in_full(exposure):
    return replace(exposure, pixmap=PixelMap.from_array(exposure.pixmap.array()))


def assert_same(images, expected):
    assert images.keys() == expected.keys()
    assert np.count_nonzero(expected["wht"]) > 0.7 * 67 * 138
    for name, image in images.items():
        if image.dtype.kind == "f":
            scale = np.nanmax(np.abs(expected[name]))
            np.testing.assert_allclose(image, expected[name], RTOL, RTOL * scale, err_msg=name)
        else:
            np.testing.assert_array_equal(image, expected[name], err_msg=name)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("angle", "flip"), TURNS)
def test_turned(angle, flip, kernel):
    """All images, of drops of any kind."""
    exposure, shape = exposure_along(angle, flip)
    assert_same(images_of(exposure, shape, kernel), images_of(given_in_full(exposure), shape, kernel))


@pytest.mark.parametrize(("angle", "flip"), TURNS)
def test_turned_pairs(angle, flip, monkeypatch):
    """Covariances and sums over whole drops, of smaller drops, in a part of a frame; whatever the number of threads."""
    exposure, shape = exposure_along(angle, flip, pixfrac=0.8, extras={}, err=None)
    part = {"frame": shape, "first": (20, 30)}
    pairs = {"noise_names": VARIANCES, "max_lag": 1, "whole_drops": True, "propagates": True}
    exposure.variances["var_flat"][10:20] = 1.0

    def made(exposure):
        layout = MosaicLayout((100, 110), "square", 0.0, VARIANCES, dtype=np.dtype("f8"), **part, **pairs)
        accumulators = make_accumulators("cpu", layout)
        accumulators.add(exposure)
        return {"noise": accumulators.noise_factor(), "pairs": accumulators.finish_covariances()}

    got, expected = made(exposure), made(given_in_full(exposure))
    for name, image in got.items():
        assert np.isfinite(expected[name]).any()
        np.testing.assert_allclose(image, expected[name], 1e-6, 1e-9, err_msg=name)
    monkeypatch.setenv("GPURES_NUM_THREADS", "1")
    assert all(image.tobytes() == got[name].tobytes() for name, image in made(exposure).items())

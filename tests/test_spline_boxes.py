"""Where the blocks of a spline fall is told by its coefficients: nothing of a drop may be lost by that."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
import scenes
from tolerances import EPS64

from gpures.backend.base import MosaicLayout
from gpures.exposure.pixmap import calc_pixmap

SHAPE = (150, 280)


def spline_map(waves, order=None, rotation=0.0, flip=False):
    """A map of small grid cells, whose rows wind by so many pixels."""
    wcs = scenes.imaging_wcs(SHAPE, distortion=1.0, rotation=rotation, flip=flip)
    output = scenes.frame_around(SHAPE, margin=30)
    steps = (1, 1) if order is None else (10, order)
    pixmap = calc_pixmap(wcs, output, SHAPE, 1e-6, *steps)
    assert pixmap.spline is not None
    rng = np.random.default_rng([int(10 * waves), 7])
    for name in ("coefficients_x", "coefficients_y"):
        coefficients = pixmap.spline[name]
        coefficients += waves * rng.normal(size=coefficients.shape)
    return pixmap, output.array_shape


@pytest.mark.parametrize("kernel", ["square", "turbo", "lanczos3"])
@pytest.mark.parametrize("waves", [0.0, 0.3, 5.0])
@pytest.mark.parametrize(("rotation", "flip"), [(0.0, False), (0.0, True), (90.0, False), (33.0, False)])
def test_no_contribution_is_lost(kernel, waves, rotation, flip):
    """A mosaic by a spline is the one by its centres, which are looked at one by one."""
    pixmap, shape = spline_map(waves, rotation=rotation, flip=flip)
    rng = np.random.default_rng(3)
    exposure = oracle.exposure(rng.normal(10, 1, SHAPE).astype("f4"), pixmap.array(), pixfrac=0.8)
    frame = MosaicLayout(shape, kernel, dtype=np.dtype("f8"))
    expected = oracle.run("cpu", frame, [exposure])
    exposure.pixmap = pixmap
    got = oracle.run("cpu", frame, [exposure])
    np.testing.assert_array_equal(got["con"], expected["con"])
    size = np.abs(expected["wht"]).max()
    # Lanczos' profile is a table, whose next step a rounded centre may come to.
    bound = 1e-6 if kernel.startswith("lanczos") else 1e-9
    np.testing.assert_allclose(got["wht"], expected["wht"], rtol=1e3 * EPS64, atol=bound * size)


@pytest.mark.parametrize("order", [1, 3])
def test_splines_of_other_degrees(order):
    """Those of degree 1 as well, and those that go on beyond their points."""
    pixmap, shape = spline_map(0.0, order)
    exposure = oracle.exposure(np.ones(SHAPE, "f4"), pixmap.array())
    expected = oracle.run("cpu", MosaicLayout(shape, dtype=np.dtype("f8")), [exposure])
    exposure.pixmap = pixmap
    got = oracle.run("cpu", MosaicLayout(shape, dtype=np.dtype("f8")), [exposure])
    np.testing.assert_array_equal(got["con"], expected["con"])
    np.testing.assert_allclose(got["wht"], expected["wht"], rtol=1e-9, atol=1e-9)


def test_instruction_sets(monkeypatch):
    """As on any processor."""
    pixmap, shape = spline_map(0.3, rotation=20.0)
    images = []
    for isa in ("", "baseline"):
        monkeypatch.setenv("GPURES_ISA", isa)
        exposure = oracle.exposure(np.ones(SHAPE, "f4"), pixmap.array())
        exposure.pixmap = pixmap
        images.append(oracle.run("cpu", MosaicLayout(shape, dtype=np.dtype("f8")), [exposure]))
    np.testing.assert_array_equal(images[0]["con"], images[1]["con"])
    np.testing.assert_allclose(images[0]["wht"], images[1]["wht"], rtol=1e-9, atol=1e-9)

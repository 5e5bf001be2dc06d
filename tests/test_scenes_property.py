"""Whole scenes drawn at random, on every backend, against the definition.

In `make test` these are the same scenes each time; `make test-explore` draws others.
"""

from __future__ import annotations

from dataclasses import replace

import drawn
import numpy as np
import oracle
import pytest
import tolerances as tol
from hypothesis import HealthCheck, given, settings

from gpures.backend.base import MosaicLayout

pytestmark = [
    pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel"),
    pytest.mark.filterwarnings("ignore:In lanczos kernel, pixfrac is ignored"),
    pytest.mark.filterwarnings("ignore:Kernel reset to .point."),
]

same_backend = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
)


def assert_defined(backend, scene):
    """Every image of a scene, with accumulators of each type, is that of the definition."""
    truth = oracle.coadd(scene.exposures, scene.frame)
    for dtype in ("f4", "f8") if backend == "cpu" else ("f4",):
        got = oracle.run(backend, replace(scene.frame, dtype=np.dtype(dtype)), scene.exposures)
        # Weights may be such that float32 loses each of them.
        tol.assert_true(backend, dtype, got, truth, len(scene.exposures), unsure=1.0)


@same_backend
@given(drawn.scenes())
def test_whole_scenes(own_backend, scene):
    """Whatever the sizes, maps, weights, types and layouts, every image is right to the roundings of its type."""
    assert_defined(own_backend, scene)


@same_backend
@given(drawn.contained())
def test_whole_scenes_of_the_reference(scene):
    """So are those of the drizzle package, where it finds all pixels of an image."""
    assert_defined("drizzle", scene)


@pytest.mark.parametrize("kernel", ["square", "turbo", "point", "gaussian", "lanczos3"])
def test_coordinates_beyond_integers(backend, kernel):
    """Coordinates of any size, which have crashed the drizzle package, are as good as none."""
    shape, rng = (42, 8), np.random.default_rng(3)
    pixmap = oracle.pixel_map(shape, (45.0, 45.0), angle=20.0)
    far = rng.random(shape) < 0.1
    far[[0, -1]] = far[:, [0, -1]] = False
    images = []
    for values in ([1e300, 1.7e308, -1e300, 2.0**62, -(2.0**31), 1e9], [np.nan]):
        pixmap[far, 1] = rng.choice(values, far.sum())
        images.append(oracle.run(backend, MosaicLayout((90, 90), kernel), [oracle.exposure(np.ones(shape), pixmap)]))
    for name, image in images[0].items():
        np.testing.assert_array_equal(image, images[1][name], name)

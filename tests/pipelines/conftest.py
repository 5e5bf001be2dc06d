"""What the tests of the real pipelines share. They need jwst or romancal: `make test-pipelines` has both."""

from __future__ import annotations

import numpy as np
import pytest

import gpures


@pytest.fixture(autouse=True)
def off_at_the_end():
    """Acceleration is off after each test."""
    yield
    gpures.restore()


@pytest.fixture
def both_ways():
    """A function's results on the pipeline's own resampling, and on gpures with the WCS evaluated at every pixel."""

    def call(function, *args, tolerance=0.0):
        expected = function(*args)
        with gpures.accelerate(backend="cpu", pixmap_tolerance=tolerance):
            return expected, function(*args)

    return call


def outlying_pixels(shape, number, count=25):
    """Rows and columns of pixels well inside an image, which become outliers of the exposure of that number."""
    rng = np.random.default_rng(number + 50)
    return tuple(rng.integers(20, side - 20, count) for side in shape)

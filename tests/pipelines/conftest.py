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


@pytest.fixture
def outlying_pixels():
    """A function that gives rows and columns well inside an image, where an exposure of some number has outliers."""

    def pixels(shape, number, count=25):
        rng = np.random.default_rng(number + 50)
        return tuple(rng.integers(20, side - 20, count) for side in shape)

    return pixels

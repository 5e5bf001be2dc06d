"""Covariances of output pixels, the noise factor, and errors of sums over areas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracle
import pytest
from test_propagated import exposures_of
from tolerances import PRECISION, assert_close

from gpures.backend import make_accumulators
from gpures.backend.pairs import lags
from gpures.exposure.drops import KERNELS

pytestmark = [
    pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel"),
    pytest.mark.filterwarnings("ignore:In lanczos kernel, pix"),
]


# ---- the definition ------------------------------------------------------------------------------------------------


def run(backend, frame, exposures):
    """Covariances, their lags, and the noise factor, of a mosaic on a backend."""
    accumulators = make_accumulators(backend, frame)
    for exposure in exposures:
        accumulators.add(exposure)
    factor = np.array(accumulators.noise_factor())
    return np.array(accumulators.finish_covariances()), lags(accumulators.layout.max_lag), factor


def with_pairs(frame, names=("var_rnoise", "var_flat"), **settings):
    """A layout with pairs of output pixels."""
    return replace(frame, noise_names=names, all_lags=True, **settings)


def variances_of(exposures, frame):
    """Variances of the exposures' pixels, as they are the sum of arrays."""
    if frame.noise_names == ("err",):
        return [np.where(e.err < 0, np.nan, np.asarray(e.err, float) ** 2) for e in exposures]
    arrays = [[np.asarray(e.variances[name], float) for name in frame.noise_names] for e in exposures]
    return [sum(np.where(v < 0, np.nan, v) for v in each) for each in arrays]


def assert_definition(backend, got, found_lags, exposures, frame):
    """Covariances are those of the definition, to the roundings of a sum."""
    plain = [replace(exposure, err=None, variances={}) for exposure in exposures]
    truth = oracle.coadd(plain, replace(frame, variance_names=(), has_err=False))
    at = oracle.covariances(exposures, frame, variances_of(exposures, frame))
    rounding = 2 * PRECISION[backend, frame.dtype.str[1:]].eps * len(exposures)
    with np.errstate(divide="ignore", invalid="ignore"):
        of_weight = (1e-13 + 2 * rounding) * truth.abs_wht / np.abs(truth.wht)
        of_weight += 1e-12 * truth.moved_wht / np.abs(truth.wht)
    for (dy, dx), image in zip(found_lags, got, strict=True):
        expected, size, change = at(dy, dx)
        other = np.full(frame.shape, np.inf)
        ny, nx = frame.shape
        y, x = np.mgrid[:ny, :nx]
        there = (y + dy < ny) & (x + dx >= 0) & (x + dx < nx)
        other[there] = np.where(truth.unsure, np.inf, of_weight)[y[there] + dy, x[there] + dx]
        own = np.where(truth.unsure, np.inf, of_weight)
        with np.errstate(invalid="ignore"):
            bound = (1e-13 + own + other) * (size + np.abs(expected)) + 1e-12 * change
        sure = np.isfinite(own) & np.isfinite(other)
        np.testing.assert_array_equal(np.isnan(image)[sure], np.isnan(expected)[sure], f"{dy}, {dx}")
        assert_close(
            np.where(sure, image, 0), np.where(sure, expected, 0), np.where(sure, bound, np.inf), f"{dy}, {dx}"
        )
    assert (np.isfinite(got[0]) & ~truth.unsure).sum() > 0.1 * (truth.count > 0).sum()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("pixfrac", "ratio", "angle"), [(1.0, 1.0, 0.0), (0.3, 0.4, 31.0), (0.7, 2.0, 90.0)])
def test_definition(own_backend, kernel, pixfrac, ratio, angle):
    """Every kernel, with weights, scales, bad pixels and unknown variances of all kinds: all lags that there are."""
    exposures, frame = exposures_of(np.random.default_rng(1), kernel, pixfrac, ratio, angle, shape=(8, 9))
    frame = with_pairs(frame)
    got, found, _ = run(own_backend, frame, exposures)
    assert_definition(own_backend, got, found, exposures, frame)

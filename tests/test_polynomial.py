"""Pixel maps that a polynomial through few points tells."""

from __future__ import annotations

import numpy as np
import pytest
import scenes
from hypothesis import given
from hypothesis import strategies as st

from gpures.bench.scenes import exposure_wcs, frame_wcs
from gpures.exposure import pixmap as maps
from gpures.exposure.pixmap import calc_pixmap
from gpures.exposure.polynomial import NODES, Polynomial
from gpures.wcs.transforms import pixel_to_world, world_to_pixel


@given(
    degree=st.integers(0, 16),
    seed=st.integers(0, 100),
    first=st.tuples(st.integers(-50, 50), st.integers(-50, 50)),
    size=st.tuples(st.integers(40, 5000), st.integers(40, 5000)),
)
def test_polynomials_are_exact(degree, seed, first, size):
    """What is a polynomial of no higher degree is told to rounding, and by splines as well as they can."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(2, degree + 1, degree + 1)) * 100.0

    def pixel_to_pixel(x, y):
        u, v = (2.0 * (axis - a) / n - 1.0 for axis, a, n in zip((x, y), first, size, strict=True))
        return tuple(np.polynomial.chebyshev.chebval2d(u, v, f) for f in factors)

    last = first[0] + size[0], first[1] + size[1]
    polynomial = Polynomial(pixel_to_pixel, first, last, NODES[0])
    scale = np.abs(factors).sum()
    assert polynomial.is_finite
    assert polynomial.worst() <= 1e-13 * scale
    coarse, fine = (polynomial.spline(points)[1] for points in (65, 129))
    assert fine <= max(coarse, 1e-12 * scale)
    if degree <= 3:
        assert fine <= 1e-12 * scale


@pytest.mark.parametrize("points", [33, 65, 129])
def test_splines_are_what_scipy_makes(points):
    """Through the same values the same spline, and its error is found where it is."""
    from scipy.interpolate import RectBivariateSpline

    def pixel_to_pixel(x, y):
        return x + 3.0 * np.sin(y / 300.0), y + 2.0 * np.cos(x / 200.0)

    polynomial = Polynomial(pixel_to_pixel, (0, 0), (2047, 1023), NODES[1])
    assert polynomial.worst() < 1e-9
    coefficients, worst = polynomial.spline(points)
    x, y = np.linspace(0, 2047, points), np.linspace(0, 1023, points)
    values = pixel_to_pixel(*np.meshgrid(x, y))
    fine = [grid.ravel() for grid in np.meshgrid(np.linspace(0, 2047, 500), np.linspace(0, 1023, 500))]
    missed = []
    for given_values, made, true in zip(values, coefficients, pixel_to_pixel(*fine), strict=True):
        spline = RectBivariateSpline(y, x, given_values)
        np.testing.assert_allclose(made.ravel(), spline.tck[2], rtol=0.0, atol=1e-8)
        missed.append(np.abs(spline.ev(fine[1], fine[0]) - true).max())
    assert 0.5 * max(missed) < worst < 1.5 * max(missed) + 1e-9


@pytest.mark.parametrize("side", [100, 500, 2048, 4088])
def test_polynomials_tell_what_the_wcs_tells(side):
    """Between the points that are asked for the map is that of the WCS, within the tolerance, wherever one looks."""
    shape = side, side - 3
    forward, backward = pixel_to_world(exposure_wcs(1, shape)), world_to_pixel(frame_wcs(shape))
    pixmap = calc_pixmap(exposure_wcs(1, shape), frame_wcs(shape), shape)
    rng = np.random.default_rng(side)
    rows, columns = np.sort(rng.integers(0, shape[0], 97)), np.sort(rng.integers(0, shape[1], 89))
    rows[[0, -1]], columns[[0, -1]] = (0, shape[0] - 1), (0, shape[1] - 1)
    x, y = (axis.ravel().astype(float) for axis in np.meshgrid(columns, rows))
    expected = np.stack(backward(*forward(x, y)), axis=-1).reshape(rows.size, columns.size, 2)
    assert np.abs(pixmap.at(rows.tolist(), columns.tolist()) - expected).max() <= 1e-6


def asked(monkeypatch):
    """How many points a WCS is asked for from now on, call by call."""
    counts, composition = [], maps._composition

    def counting(forward, backward):
        made = composition(forward, backward)
        return lambda x, y: (counts.append(x.size), made(x, y))[1]

    monkeypatch.setattr(maps, "_composition", counting)
    return counts


def test_few_points_will_do(monkeypatch):
    """Of a detector with the distortion of NIRCam 957, whatever its size."""
    counts = asked(monkeypatch)
    for side in (300, 2048, 4088):
        calc_pixmap(exposure_wcs(0, (side, side)), frame_wcs((side, side)), (side, side))
    assert counts == [957] * 3


def test_where_polynomials_do_not_tell_grids_do(monkeypatch):
    """A ripple shorter than what polynomials follow, but not too short for splines, is found, and asked for in full."""
    shape = (600, 700)
    wcs, frame = scenes.imaging_wcs(shape), scenes.frame_around(shape)
    backward = world_to_pixel(frame)
    plain = calc_pixmap(wcs, backward, shape)
    counts, composition = asked(monkeypatch), maps._composition

    def rippled(forward, backward):
        made = composition(forward, backward)

        def pixel_to_pixel(x, y):
            x_out, y_out = made(x, y)
            return x_out + 1e-4 * np.sin(2.0 * np.pi * x / 45.0), y_out

        return pixel_to_pixel

    monkeypatch.setattr(maps, "_composition", rippled)
    pixmap = calc_pixmap(wcs, backward, shape, tolerance=1e-5)
    assert counts[:2] == [957, 33**2 + 668]
    assert len(counts) > 2
    moved = pixmap.array() - plain.array()
    expected = 1e-4 * np.sin(2.0 * np.pi * np.arange(shape[1]) / 45.0)
    assert np.abs(moved[..., 0] - expected).max() <= 2e-5
    assert np.abs(moved[..., 1]).max() <= 2e-5


@pytest.mark.parametrize("place", [(301.0, 233.0), (20.0, 580.0), (650.5, 77.5)])
def test_a_bump_is_found_as_ever(monkeypatch, place):
    """What may have a feature in one place alone is asked for as densely as a spline's grid, and has it in the map."""
    from astropy.modeling.models import Gaussian2D, Mapping

    shape = (600, 700)
    wcs, frame = scenes.imaging_wcs(shape), scenes.frame_around(shape)
    flat = calc_pixmap(wcs, frame, shape).array()
    bump = Gaussian2D(0.01, *place, 9.0, 9.0)
    steps = list(wcs.pipeline)
    moved = Mapping((0, 1, 0, 1)) | (Mapping((0,), n_inputs=2) + bump) & Mapping((1,), n_inputs=2)
    steps[0] = type(steps[0])(steps[0].frame, moved | steps[0].transform)
    bumped = type(wcs)(steps)
    bumped.bounding_box = wcs.bounding_box
    counts = asked(monkeypatch)
    pixmap = calc_pixmap(bumped, frame, shape).array()
    assert counts[0] == 65**2 + 64**2 + 252
    j, i = (round(p) for p in place[::-1])
    assert np.abs(pixmap - flat)[j, i].max() > 0.009
    away = np.hypot(*(axis - p for axis, p in zip(np.mgrid[: shape[0], : shape[1]], place[::-1], strict=True))) > 60.0
    assert np.abs(pixmap - flat)[away].max() < 2e-6


def test_parts_that_show_all_over():
    """Those of the missions' WCS do; models that may be bumps, faces of projections, and tables do not."""
    from astropy.modeling import models
    from astropy.wcs import WCS

    from gpures.bench.scenes import roman_wcs
    from gpures.wcs.kinks import fits_shows_all_over, shows_all_over

    shape = (100, 100)
    assert pixel_to_world(exposure_wcs(0, shape)).shows_all_over
    assert pixel_to_world(roman_wcs(0, shape)).shows_all_over
    assert world_to_pixel(frame_wcs(shape)).shows_all_over
    assert pixel_to_world(scenes.fits_wcs(shape)).shows_all_over
    smooth = models.Shift(1.0) & models.Polynomial1D(2) | models.AffineTransformation2D() | models.Pix2Sky_ZEA()
    assert shows_all_over(smooth)

    class Own(models.Polynomial1D):
        pass

    for other in (models.Gaussian2D(), models.Sine1D() & models.Shift(0.0), models.Pix2Sky_HPX(), models.Pix2Sky_TSC()):
        assert not shows_all_over(other)
    assert not shows_all_over(Own(2))
    assert not shows_all_over(models.fix_inputs(models.Polynomial2D(1), {"y": 1.0}))
    for code, expected in (("TAN", True), ("ZEA", True), ("HPX", False), ("CSC", False)):
        header = WCS(naxis=2)
        header.wcs.ctype = [f"RA---{code}", f"DEC--{code}"]
        assert fits_shows_all_over(header) == expected, code

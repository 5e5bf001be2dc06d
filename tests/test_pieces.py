"""Pixel maps of WCS with lookup tables: splines bent where the tables are, and every pixel where that fails."""

from __future__ import annotations

import numpy as np
import pytest
import scenes
from astropy.modeling import models
from astropy.wcs import DistortionLookupTable
from scipy.ndimage import zoom

import gpures
from gpures.box import Box
from gpures.exposure import pixmap as module
from gpures.exposure.pieces import Pieces
from gpures.exposure.pixmap import calc_pixmap

SHAPE = (260, 330)
OUTPUT = scenes.fits_wcs((340, 360), rotation=12.0)


def values(nodes, amplitude, seed):
    """A table of HST's kind: smooth but for some noise."""
    rng = np.random.default_rng(seed)
    few = rng.uniform(-1.0, 1.0, (4, 4))
    smooth = zoom(few, [n / 4 for n in nodes], order=1)
    return (amplitude * (smooth + 0.05 * rng.normal(size=nodes))).astype("f4")


def fits_with(npol=None, d2im=None, crpix=(0.0, 0.0), nodes=(6, 8), shape=SHAPE):
    """A FITS WCS with SIP, and tables whose first node is the image's first pixel, or none."""
    wcs = scenes.fits_wcs(shape, sip=2.0)
    steps = [n / (count - 1) for n, count in zip(shape[::-1], nodes[::-1], strict=True)]

    def pair(amplitude, seed):
        return [
            None if amplitude is None else DistortionLookupTable(values(nodes, amplitude, k), crpix, (0.5, 0.0), steps)
            for k in (seed, seed + 1)
        ]

    wcs.cpdis1, wcs.cpdis2 = pair(npol, 1)
    wcs.det2im1, wcs.det2im2 = pair(d2im, 3)
    wcs.wcs.set()
    return wcs


def gwcs_with(table, before=None):
    """A gwcs with a table, and something before it."""
    transform = table | scenes.sky_transform(SHAPE)
    return scenes.wcs_of(transform if before is None else before | transform, SHAPE)


def table_of_two(low=-3.0, high=400.0, nodes=7):
    """A model with two tables of two axes, that move pixels by some tenths."""
    at = np.linspace(low, high, nodes)
    grids = np.meshgrid(at, at, indexing="ij")
    moved = [grid + 0.2 * values((nodes, nodes), 1.0, k) for k, grid in enumerate(grids)]
    each = [models.Tabular2D((at, at), lookup_table=table, bounds_error=False) for table in moved]
    return models.Mapping((0, 1, 0, 1)) | each[0] & each[1]


def table_of_one(nodes=9):
    """A model with a table of one axis."""
    at = np.linspace(-3.0, 400.0, nodes)
    table = models.Tabular1D(at, lookup_table=at + 0.2 * np.sin(np.arange(nodes)), bounds_error=False)
    return table & models.Identity(1)


WCS = {
    "NPOL": lambda: fits_with(npol=0.2),
    "NPOL, another first node": lambda: fits_with(npol=0.2, crpix=(2.3, -1.6), nodes=(5, 12)),
    "D2IM": lambda: fits_with(d2im=0.1),
    "NPOL and D2IM": lambda: fits_with(npol=0.002, d2im=0.01),
    "a node at every second pixel": lambda: fits_with(npol=0.2, nodes=(3, 165)),
    "Tabular2D": lambda: gwcs_with(table_of_two()),
    "Tabular2D of a part": lambda: gwcs_with(table_of_two(), models.Shift(31.4) & models.Shift(-0.3)),
    "Tabular2D, turned and mirrored": lambda: gwcs_with(
        models.Mapping((1, 0)) | models.Scale(-1.0) & models.Identity(1) | models.Shift(300.0) & models.Identity(1)
        | table_of_two()
    ),
    "Tabular1D": lambda: gwcs_with(table_of_one()),
}  # fmt: skip


@pytest.mark.parametrize("name", WCS)
def test_tolerance_holds_with_tables(name):
    """A spline, and no pixel of it is farther from the WCS than the tolerance."""
    wcs = WCS[name]()
    got = calc_pixmap(wcs, OUTPUT, SHAPE)
    expected = calc_pixmap(wcs, OUTPUT, SHAPE, tolerance=0).array()
    assert got.full is None
    assert got.spline["coefficients_x"].size < expected.size / 2 / 6
    assert np.abs(got.array() - expected).max() <= 1e-6
    # It lies within the range of its coefficients, of which the kernels make use.
    for axis, name in enumerate(("coefficients_x", "coefficients_y")):
        low, high = got.spline[name].min(), got.spline[name].max()
        assert low - 1e-9 <= expected[..., axis].min()
        assert expected[..., axis].max() <= high + 1e-9


def test_part_of_an_image():
    """With a bounding box it holds inside, and is NaN outside."""
    wcs = fits_with(npol=0.2)
    wcs.pixel_bounds = [(10.2, 250.8), (-0.5, 200.4)]
    got, expected = (calc_pixmap(wcs, OUTPUT, SHAPE, tolerance=tolerance).array() for tolerance in (1e-6, 0))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    assert np.nanmax(np.abs(got - expected)) <= 1e-6


@pytest.mark.parametrize("moved", [2.0, -7.0])
def test_kinks_that_are_elsewhere(monkeypatch, moved):
    """What is believed of kinks is verified: where they are not there, every pixel is evaluated."""
    wcs = fits_with(npol=0.2)
    of = Pieces.of
    monkeypatch.setattr(module.Pieces, "of", lambda first, last, kinks, most: of(first, last, kinks + moved, most))
    assert calc_pixmap(wcs, OUTPUT, SHAPE).full is not None


def test_kinks_that_bend_elsewhere():
    """So it is where tables of the detector move pixels across the nodes of those of the image by much."""
    wcs = fits_with(npol=0.5, d2im=0.4, crpix=(1.0, 1.0))
    assert calc_pixmap(wcs, OUTPUT, SHAPE).full is not None


def test_tables_that_are_not_known():
    """And where a table looks for what is nearest, or is given no axis of pixels alone."""
    at = np.linspace(-3.0, 400.0, 9)
    nearest = models.Tabular1D(at, lookup_table=at + 0.1, method="nearest", bounds_error=False) & models.Identity(1)
    turned = models.Rotation2D(30.0)
    for wcs in (gwcs_with(nearest), gwcs_with(table_of_two(-300.0, 500.0, 17), turned)):
        assert calc_pixmap(wcs, OUTPUT, SHAPE).full is not None


def test_pieces():
    """Pieces end at kinks, are no longer than asked for, and of each a pixel is verified that is none of its points."""
    kinks = np.array([[-5.0, -5.0], [20.0, 20.0], [31.5, 31.5], [60.8, 63.2], [150.0, 150.0]])
    pieces = Pieces.of(10, 100, kinks, 16)
    assert {10, 20, 31, 32, 60, 61, 62, 63, 64, 100} <= set(pieces.ends.tolist())
    assert pieces.lengths.max() <= 16
    assert pieces.doubtful.tolist() == [61, 62, 63]
    assert pieces.count == pieces.points.size == np.unique(pieces.points).size
    checked = pieces.between()
    assert not np.isin(checked, pieces.points).any()
    assert checked.size == (pieces.lengths > 3).sum()
    cubic = 1e-6 * pieces.points**3 - 0.01 * pieces.points**2
    start, factors = pieces.factors(120)
    own = np.pad(pieces.coefficients(cubic), (0, 4))
    got = sum(factors[k] * own[start + k] for k in range(4))[10:101]
    at = np.arange(10, 101)
    np.testing.assert_allclose(got, 1e-6 * at**3 - 0.01 * at**2, atol=1e-10)


def test_same_mosaic():
    """A mosaic with the spline is that with every pixel evaluated, but for the tolerance."""
    wcs = fits_with(npol=0.2, d2im=0.0)
    model = scenes.model_of(wcs, SHAPE, seed=3)
    made = []
    for tolerance in (1e-6, 0):
        resample = gpures.Resample({"wcs": OUTPUT}, backend="cpu", pixmap_tolerance=tolerance, weight_type="exptime")
        resample.add_model(model)
        resample.finalize()
        made.append(resample.output_model)
    np.testing.assert_allclose(made[0]["wht"], made[1]["wht"], atol=1e-4 * made[1]["wht"].max())
    assert (made[0]["con"] != made[1]["con"]).mean() < 1e-3


def test_window_is_the_axis():
    """The first and the last pixel are ends, whatever the kinks."""
    window = Box(3, 250, 7, 200)
    pieces = Pieces.of(window.xmin, window.xmax, np.empty((0, 2)), 64)
    assert (pieces.ends[0], pieces.ends[-1]) == (3, 250)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_tables_of_nonsense(value):
    """A table of the detector with values that are no numbers costs no more than their pixels."""
    wcs = fits_with(npol=0.2, d2im=0.01)
    wcs.det2im1.data[0, 0] = value
    got, expected = (calc_pixmap(wcs, OUTPUT, SHAPE, tolerance=tolerance) for tolerance in (1e-6, 0))
    assert got.full is not None
    np.testing.assert_array_equal(got.full, expected.full)


def cylindrical(shape, longitude, scale, rotation=0.0):
    """A FITS WCS along the equator; scale in degrees."""
    wcs = scenes.fits_wcs(shape, 3600.0 * scale, rotation)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---CAR", "DEC--CAR"], (longitude, 0.0)
    wcs.wcs.set()
    return wcs


def test_seam_between_two_pixels():
    """A seam of the output along a column is found where that and the next one are ends of pieces."""
    output = cylindrical((260, 400), 0.0, 1.0, rotation=10.0)
    wcs = cylindrical(SHAPE, 180.03, 0.1)
    wcs.cpdis1 = fits_with(npol=0.05, nodes=(2, SHAPE[1])).cpdis1
    wcs.wcs.set()
    got, expected = (calc_pixmap(wcs, output, SHAPE, tolerance=tolerance) for tolerance in (1e-6, 0))
    assert np.isfinite(expected.jump)
    assert got.jump == expected.jump

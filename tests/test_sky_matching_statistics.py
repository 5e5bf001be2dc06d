"""Statistics of regions are those of going through all of their pixels each time, whatever the pixels are."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gpures.cleaning.statistics import STATISTICS, StatisticOptions, measured

SHAPE = (150, 210)


def rows(shape=SHAPE):
    """All pixels of an image."""
    return np.array([(row, 0, shape[1]) for row in range(shape[0])], np.int32)


def definition(values, options):
    """Value and number of pixels, by numpy."""
    values = values[np.isfinite(values)].astype(float)
    allowed = (
        -math.inf if options.lower is None else options.lower,
        math.inf if options.upper is None else options.upper,
    )
    low, high = allowed
    for number in range(options.nclip + 1):
        kept = values[(values >= low) & (values <= high)]
        if not kept.size:
            return math.nan, 0
        mean, deviation = kept.mean(), kept.std(ddof=1) if kept.size > 1 else 0.0
        if number < options.nclip:
            low = max(allowed[0], mean - options.lsigma * deviation)
            high = min(allowed[1], mean + options.usigma * deviation)
    if options.statistic in ("mean", "median"):
        return getattr(np, options.statistic)(kept), kept.size
    length, width = np.ptp(kept), options.binwidth * deviation
    if not 0 < width <= length:
        return 0.5 * (kept.min() + kept.max()), kept.size
    width = length / int(length / width)
    bins = round(length / width) + 1
    # A value on an edge is by rounding in the bin below it or above.
    counts = np.histogram(values, bins, (kept.min(), kept.min() + bins * width))[0].astype(float)
    if options.statistic == "midpt":
        half = counts.sum() / 2
        k = np.flatnonzero(np.cumsum(counts) >= half)[0]
        place = k + (half - counts[:k].sum()) / counts[k]
    else:
        k = int(counts.argmax())
        place = k + 0.5
        if 0 < k < bins - 1:
            before, after = counts[k] - counts[k - 1], counts[k] - counts[k + 1]
            place += 0.5 * (before - after) / (before + after) if before + after else 0.0
    return kept.min() + place * width, kept.size


def draw(kind):
    """Images of all kinds."""
    rng = np.random.default_rng(4)
    noise = rng.normal(20.0, 1.0, SHAPE)
    if kind == "outliers":
        return np.where(rng.random(SHAPE) < 0.3, 1e4 * rng.random(SHAPE), noise)
    if kind == "two peaks":
        return np.where(rng.random(SHAPE) < 0.5, noise, noise + 50.0)
    if kind == "skewed":
        return rng.exponential(3.0, SHAPE)
    if kind == "columns":
        return noise + 30.0 * (np.arange(SHAPE[1]) % 7 == 0)
    if kind == "sorted":
        return np.sort(noise.ravel()).reshape(SHAPE)
    if kind == "one row apart":
        noise[80] += 1e6
        return noise
    if kind == "large":
        return 1e5 + 1e3 * noise
    if kind == "tiny":
        return 1e-19 * noise
    if kind == "mostly one value":
        return np.where(rng.random(SHAPE) < 0.9, 7.0, noise)
    return noise


KINDS = ("noise", "outliers", "two peaks", "skewed", "columns", "sorted", "one row apart", "large", "tiny")


@pytest.mark.parametrize("options", [{}, {"nclip": 0}, {"nclip": 20, "lsigma": 2.0, "usigma": 1.5}])
@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("kind", [*KINDS, "mostly one value"])
def test_statistics(kind, statistic, options):
    options = StatisticOptions(statistic, **options)
    data = draw(kind)
    for dtype in (np.float32, np.float64):
        image = data.astype(dtype)
        value, pixels = definition(image, options)
        (found,) = measured(image, None, [rows()], options)
        # A pixel whose distance from the mean is, by rounding, what is clipped at, may count or not.
        assert found.pixels == pytest.approx(pixels, abs=2)
        close = 1e-5 if statistic in ("mean", "median") or dtype == np.float64 else 3e-3
        noise = np.std(image.astype(float)[np.abs(image - value) <= 5 * np.std(image.astype(float))])
        assert found.value == pytest.approx(value, rel=1e-6, abs=close * noise)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_limits_and_pixels_that_do_not_count(statistic):
    rng = np.random.default_rng(1)
    data = rng.normal(5.0, 1.0, SHAPE)
    data[::5] = np.nan
    data[1::5] = np.inf
    usable = rng.random(SHAPE) > 0.3
    data[~usable] = -1e30
    options = StatisticOptions(statistic, lower=4.0, upper=5.5)
    value, pixels = definition(data[usable], options)
    (found,) = measured(data, usable, [rows()], options)
    assert found.pixels == pixels
    assert found.value == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_numbers_near_the_smallest(statistic):
    image = (1e-43 * draw("noise")).astype(np.float32)
    (found,) = measured(image, None, [rows()], StatisticOptions(statistic))
    assert image.min() <= found.value <= image.max()


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("value", [0.0, -3.0, 1e30])
@pytest.mark.parametrize("count", [1, 2, 9, 700])
def test_few_or_equal_pixels(statistic, value, count):
    image = np.full((1, count), value)
    (found,) = measured(image, None, [rows(image.shape)], StatisticOptions(statistic))
    assert found == (value, count)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_no_pixels(statistic):
    options = StatisticOptions(statistic)
    nothing = np.empty((0, 3), np.int32)
    found = measured(np.full((3, 4), np.nan), None, [rows((3, 4)), nothing], options)
    found += measured(np.zeros((3, 4)), np.zeros((3, 4), bool), [rows((3, 4))], options)
    found += measured(np.zeros((3, 4)), None, [rows((3, 4))], StatisticOptions(statistic, lower=1.0))
    assert [measure.pixels for measure in found] == [0, 0, 0, 0]
    assert all(math.isnan(measure.value) for measure in found)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_results_do_not_depend_on_threads(statistic, monkeypatch):
    data = draw("outliers")
    regions = [rows()[k : 150 - 3 * k] for k in range(20)]
    results = []
    for threads in ("1", "2", "7"):
        monkeypatch.setenv("GPURES_NUM_THREADS", threads)
        results.append(measured(data, None, regions, StatisticOptions(statistic)))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("kind", ["i1", "u1", ">i2", "u2", "i4", ">u4", "i8", "u8", ">f4", ">f8"])
def test_arrays_of_any_type_byte_order_and_strides(kind):
    numbers = np.random.default_rng(6).integers(0, 100, (2 * SHAPE[0], 3 * SHAPE[1]))
    image = numbers.astype(kind)[::-2, 1::3]
    (found,) = measured(image, None, [rows()], StatisticOptions("mean", nclip=0))
    assert found == (pytest.approx(numbers[::-2, 1::3].mean(), rel=1e-12), image.size)


@pytest.mark.parametrize("region", [[(0, 0, 11)], [(8, 0, 1)], [(-1, 0, 1)], [(0, -1, 1)], [(0, 3, 2)]])
def test_regions_beside_the_image_are_refused(region):
    with pytest.raises(ValueError, match="beside the image"):
        measured(np.zeros((8, 10)), None, [np.array(region, np.int32)], StatisticOptions())

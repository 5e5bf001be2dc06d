"""Sky levels are those of `stcal.skymatch`, for models and for what stands in for it."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import scenes
import stcal.skymatch
from skies import BAD, model_at
from stcal.skymatch import SkyGroup, SkyImage, SkyStats

import gpures
from gpures.acceleration import original, used
from gpures.cleaning.statistics import STATISTICS, StatisticOptions, measured

SMALL = (160, 180)

METHODS = ("match", "global", "global+match", "local")


def image_of(model, statistic="mean", **limits):
    """Object of stcal's, of a model."""
    mask = ((model["dq"] & BAD) == 0) & np.isfinite(model["data"])
    wcs = model["wcs"]
    return SkyImage(
        model["data"].copy(), mask, wcs.__call__, wcs.invert, SkyStats(statistic, **limits), model["filename"]
    )


def plain_exposures(skies, shape=SMALL):
    """Models without distortion, which has no inverse that stcal would need."""
    rng = np.random.default_rng(3)
    return [
        model_at(
            sky,
            number,
            shape,
            scenes.imaging_wcs(shape, rotation=8.0 * number, shift=tuple(rng.uniform(-30, 30, 2))),
        )
        for number, sky in enumerate(skies)
    ]


def with_both(images, *args):
    """What stcal's function and that which stands in for it make of copies of images."""
    theirs, ours = copy.deepcopy(images), copy.deepcopy(images)
    original(stcal.skymatch.skymatch)(theirs, *args)
    with gpures.accelerate("cpu"):
        before = used["stcal.skymatch.skymatch"]
        stcal.skymatch.skymatch(ours, *args)
        done = used["stcal.skymatch.skymatch"] - before
    return theirs, ours, done


def members(images):
    """All images of a list of images and groups."""
    return [one for image in images for one in (image if isinstance(image, SkyGroup) else [image])]


def assert_alike(theirs, ours, atol):
    """Sky, its validity and the data are the same."""
    assert [image.is_sky_valid for image in members(theirs)] == [image.is_sky_valid for image in members(ours)]
    np.testing.assert_allclose([i.sky for i in ours], [i.sky for i in theirs], rtol=0, atol=atol)
    for one, other in zip(members(theirs), members(ours), strict=True):
        assert one.sky == pytest.approx(other.sky, abs=atol)
        np.testing.assert_allclose(other.image, one.image, rtol=1e-6, atol=atol)


@pytest.mark.parametrize("kind", ["f4", "f8", ">f4", "i2"])
@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("limits", [{}, {"lower": 3.5, "upper": 30.0, "nclip": 3, "lsig": 3.0, "usig": 2.5}])
@pytest.mark.parametrize("n", [31, 400])
def test_statistics_are_those_of_imagestats(kind, statistic, limits, n):
    """To 2e-6 of the noise, which is 1: to rounding in float32, as imagestats has everything."""
    rng = np.random.default_rng(n)
    data = rng.normal(5.0, 1.0, (n, n))
    data[rng.random(data.shape) < 0.05] += rng.exponential(40.0)
    if kind == "i2":
        data = np.round(data)
    data = data.astype(kind)
    usable = rng.random(data.shape) > 0.1
    value, pixels = SkyStats(statistic, **limits)(data[usable].astype("f4"))
    names = {"lsig": "lsigma", "usig": "usigma"}
    options = StatisticOptions(statistic, as_imagestats=True, **{names.get(k, k): v for k, v in limits.items()})
    rows = np.stack([np.arange(n), np.zeros(n), np.full(n, n)], axis=1).astype(np.int32)
    (found,) = measured(data, usable, [rows], options)
    assert found.pixels == pixels
    # Bins are counted from a standard deviation that imagestats takes in float32; whole numbers lie on their edges.
    binned = statistic in ("mode", "midpt")
    assert found.value == pytest.approx(value, abs=0.06 if binned and kind == "i2" else 1e-5 if binned else 2e-6)


@pytest.mark.parametrize("statistic", ["midpt", "mode"])
def test_places_in_histograms_are_not_too_low(statistic):
    """As imagestats' are, by half the difference between the bins' width and what it takes for that, per bin."""
    data = np.random.default_rng(1).normal(100.0, 1.0, (1500, 1500))
    rows = np.stack([np.arange(1500), np.zeros(1500), np.full(1500, 1500)], axis=1).astype(np.int32)
    (right,) = measured(data, None, [rows], StatisticOptions(statistic))
    (theirs,) = measured(data, None, [rows], StatisticOptions(statistic, as_imagestats=True))
    assert right.value == pytest.approx(100.0, abs=0.003 if statistic == "midpt" else 0.1)
    assert theirs.value < right.value


@pytest.mark.parametrize(("match_down", "subtract"), [(True, False), (False, True)])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("statistic", STATISTICS)
def test_what_stands_in_gives_the_same(statistic, method, match_down, subtract):
    """But for the pixels along the edges of overlaps, where the outlines are other ones by rounding."""
    models = plain_exposures([5, 6, 7, 6.5])
    images = [image_of(model, statistic) for model in models]
    images[1:3] = [SkyGroup(images[1:3])]
    theirs, ours, done = with_both(images, method, match_down, subtract)
    assert done == 1
    # A pixel more or less may be the lowest, where a histogram begins, whose bins imagestats takes for others.
    close = {"mode": 0.2, "midpt": 0.05}.get(statistic, 3e-3) if "match" in method else 1e-5
    assert_alike(theirs, ours, close)


def test_what_stands_in_goes_on_from_the_sky_that_there_was():
    images = [image_of(model) for model in plain_exposures([5, 6, 7])]
    for image, sky in zip(images, (1.0, 0.5, 2.0), strict=True):
        image.sky = sky
    for subtract in (False, True):
        theirs, ours, done = with_both(images, "global+match", True, subtract)
        assert done == 1
        assert_alike(theirs, ours, 2e-3)


def test_exposures_apart_are_as_stcal_has_them():
    models = [
        *plain_exposures([5, 6]),
        model_at(9, 2, SMALL, scenes.imaging_wcs(SMALL, ra=scenes.RA + 1)),
        *[model_at(sky, 3 + k, SMALL, scenes.imaging_wcs(SMALL, ra=scenes.RA - 1)) for k, sky in enumerate((8, 7))],
    ]
    for method in METHODS:
        theirs, ours, done = with_both([image_of(model) for model in models], method)
        assert done == 1
        assert_alike(theirs, ours, 2e-3)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda image: setattr(image, "skystat", lambda data: (float(np.mean(data)), data.size)),
        lambda image: setattr(image, "skystat", SkyStats("median")),
        lambda image: setattr(image, "image", image.image.astype(np.float16)),
        lambda image: setattr(image, "mask", image.mask.astype(np.uint8) > 0),
    ],
    ids=["function", "another statistic", "float16", "booleans"],
)
def test_what_gpures_does_not_do_is_left_to_stcal(spoil, request):
    images = [image_of(model) for model in plain_exposures([5, 6])]
    spoil(images[1])
    theirs, ours, done = with_both(images, "match")
    assert done == (1 if "booleans" in request.node.name else 0)
    assert_alike(theirs, ours, 2e-3)


def test_errors_are_those_of_stcal():
    for args, error in ((([], "match"), ValueError), (([3], "match"), TypeError), (([], "other"), ValueError)):
        with gpures.accelerate("cpu"), pytest.raises(error):
            stcal.skymatch.skymatch(*args)


def test_levels_of_models_are_those_of_stcal():
    """Also with a distortion, as far as that has the same area."""
    models = plain_exposures([5, 6, 7], (300, 310))
    images = [image_of(model, "median") for model in models]
    original(stcal.skymatch.skymatch)(images, "match", True, False)
    match = gpures.match_sky(models)
    np.testing.assert_allclose(match.levels, [image.sky for image in images], atol=2e-3)

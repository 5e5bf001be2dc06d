"""Outliers: medians, comparison, and what `gpures.flag_outliers` does with models."""

from __future__ import annotations

import copy
import re
import warnings

import numpy as np
import pytest
import scenes
from astropy.io import fits

import gpures
from gpures.box import Box
from gpures.cleaning.comparison import blotted, outliers
from gpures.cleaning.options import OutlierOptions
from gpures.cleaning.stack import Stack
from gpures.cleaning.threshold import weight_threshold
from gpures.exposure.pixmap import PixelMap, calc_pixmap

RNG = np.random.default_rng(17)
AS_THE_FIELD = {"snr": (5.0, 4.0), "scale": (1.2, 0.7), "sharpness": 0.0, "by_lower": False}


def cube(n, shape=(23, 37), bad=0.3, decimals=None, rng=RNG):
    """Images with NaN, infinities, and, rounded, values that are equal."""
    images = rng.normal(size=(n, *shape)).astype(np.float32)
    for value, share in ((np.nan, bad), (np.inf, 0.02), (-np.inf, 0.02)):
        images[rng.random(images.shape) < share] = value
    images[:, 0, 0] = np.nan
    return images if decimals is None else images.round(decimals)


def nanmedian(images):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.nanmedian(images, axis=0)


# The median


@pytest.mark.parametrize("decimals", [None, 0])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 11, 31, 32, 33, 40, 96, 97])
def test_medians(n, decimals):
    """They are numpy's, of odd and even numbers, with NaN, infinities and equal values; many are not sorted."""
    images = cube(n, decimals=decimals)
    stack = Stack(images.shape[1:])
    for image in images:
        stack.add(image, Box.whole(image.shape))
    median, lower = stack.median()
    np.testing.assert_array_equal(median, nanmedian(images))
    ranked, count = np.sort(images, axis=0), (~np.isnan(images)).sum(axis=0)
    rank = np.where(count <= 3, 0, (count - 1) // 2)
    wanted = np.take_along_axis(ranked, rank[None], axis=0)[0]
    np.testing.assert_array_equal(lower, np.where(count > 0, wanted, np.nan))
    np.testing.assert_array_equal(stack.median(least=2)[0], np.where(count > 1, median, np.nan))


@pytest.mark.parametrize("most_bytes", [None, 0, 3000])
def test_windows_and_levels(most_bytes):
    """Images on windows, less their levels, count where they are; in memory or in a file."""
    shape, windows = (
        (40, 50),
        [Box(3, 30, 0, 25), Box(10, 49, 5, 39), Box(0, 8, 30, 39), Box(48, 49, 38, 39), Box(5, 4, 3, 2)],
    )
    stack, whole, levels = Stack(shape, most_bytes), [], [1.0, -2.5, 3.0, 0.25, 7.0]
    for window, level in zip(windows, levels, strict=True):
        full = np.full(shape, np.nan, np.float32)
        image = full[window.slices]
        image[...] = RNG.normal(size=image.shape)
        stack.add(image, window)
        whole.append(full - np.float32(level))
    np.testing.assert_array_equal(stack.median(levels)[0], nanmedian(np.stack(whole)))


@pytest.mark.parametrize("n", [1, 2, 3, 6, 10, 40])
def test_clipped_means(n):
    """They are those of the definition: of what lies within three scatters, none below the typical, of the median."""
    images = cube(n)
    images[RNG.random(images.shape) < 0.1] += 50
    stack = Stack(images.shape[1:])
    for image in images:
        stack.add(image, Box.whole(image.shape))
    levels = RNG.normal(size=n)
    values = images - levels.astype(np.float32)[:, None, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        median = np.nanmedian(values, axis=0)
        apart = np.where(np.isnan(values), np.nan, np.where(np.isfinite(values), np.abs(values - median), np.inf))
        scatter = np.nanmedian(apart, axis=0)
        reach = 3 * 1.4826 * np.fmax(scatter, np.median(scatter[scatter > 0]) if (scatter > 0).any() else 0.0)
        wanted = np.nanmean(np.where(np.abs(values - median) <= reach, values, np.nan), axis=0)
    finite = np.isfinite(median) & np.isfinite(reach)
    np.testing.assert_allclose(stack.clipped_mean(levels)[finite], wanted[finite], rtol=0, atol=2e-5)
    assert np.isnan(stack.clipped_mean(levels)[np.isnan(median)]).all()


def test_threshold_of_weights():
    """It is that of the field: of the mean without what stands out."""
    stcal = pytest.importorskip("stcal.outlier_detection.utils")
    weight = RNG.normal(10, 1, (80, 90)).astype(np.float32)
    weight[RNG.random(weight.shape) < 0.02] = 300.0
    weight[RNG.random(weight.shape) < 0.2] = 0.0
    weight[3, 3] = np.nan
    assert weight_threshold(weight, 0.7) == pytest.approx(stcal.compute_weight_threshold(weight.copy(), 0.7), rel=1e-6)
    assert np.isnan(weight_threshold(np.zeros((4, 4), np.float32), 0.7))


# The comparison


def compared(shape=(61, 67)):
    """Data, errors, and what the data should be, with NaN in each."""
    expected = RNG.normal(0, 3, shape).astype(np.float32)
    data = expected + RNG.normal(0, 1, shape).astype(np.float32)
    hit = RNG.random(shape) < 0.1
    data[hit] += RNG.normal(0, 20, hit.sum()).astype(np.float32)
    err = RNG.uniform(0.5, 1.5, shape).astype(np.float32)
    for array in (data, expected, err):
        array[RNG.random(shape) < 0.03] = np.nan
    return data, err, expected


@pytest.mark.parametrize("backg", [0.0, 1.5])
def test_comparison_is_the_field_s(backg):
    """Without what is ours outliers are those of stcal's function, to the pixel."""
    stcal = pytest.importorskip("stcal.outlier_detection.utils")
    data, err, expected = compared()
    mask = outliers(data, err, expected.copy(), OutlierOptions(backg=backg, **AS_THE_FIELD))
    wanted = stcal.flag_resampled_crs(data, err, expected, 5.0, 4.0, 1.2, 0.7, backg)
    assert 50 < wanted.sum() < 1000
    np.testing.assert_array_equal(mask, wanted)


def test_outliers_grow():
    """What was found grows by a square, also at the edges; the third threshold takes what is more than it should."""
    data, err, expected = (np.full((9, 9), value, np.float32) for value in (0.0, 1.0, 0.0))
    data[4, 4], data[4, 5], data[3, 4], data[0, 0] = 50.0, 3.5, -3.5, 50.0
    field = {**AS_THE_FIELD, "snr": (5.0, 4.0, 3.0), "scale": (1.2, 0.7, 0.3)}
    mask = outliers(data, err, expected.copy(), OutlierOptions(**field))
    assert set(zip(*np.nonzero(mask), strict=True)) == {(4, 4), (4, 5), (0, 0)}
    mask = outliers(data, err, expected.copy(), OutlierOptions(grow=3, **AS_THE_FIELD))
    assert mask.sum() == 9 + 4
    assert mask[3:6, 3:6].all()
    assert mask[:2, :2].all()


def test_stars_are_no_outliers():
    """A star that is sharper in the exposure than in the median of others stays, and a hit of one pixel does not."""
    y, x = np.indices((41, 41)) - 20.0

    def star(variance):
        return (2000.0 * np.exp(-0.5 * (x**2 + y**2) / variance) / (2 * np.pi * variance)).astype(np.float32)

    data, expected, err = star(0.35), star(0.35 + 1 / 3), np.full((41, 41), 1.0, np.float32)
    hit = data.copy()
    hit[5, 5] = 30.0
    assert outliers(hit, err, expected.copy(), OutlierOptions(sharpness=0.0)).sum() > 1
    (found,) = zip(*np.nonzero(outliers(hit, err, expected.copy(), OutlierOptions())), strict=True)
    assert found == (5, 5)


def test_half_of_the_exposures_are_hit():
    """Where the median of an even number is half a hit, the lower value tells better."""
    data, err, expected, lower = (np.full((9, 9), value, np.float32) for value in (0.0, 1.0, 0.0, 0.0))
    data[4, 4], expected[4, 4] = 8.0, 4.5
    assert not outliers(data, err, expected.copy(), OutlierOptions(by_lower=False), lower=lower).any()
    assert outliers(data, err, expected.copy(), OutlierOptions(), lower=lower)[4, 4]


@pytest.mark.parametrize("kind", ["spline", "each pixel", "beside"])
def test_blotted_is_blot_image(kind):
    """The median at an exposure's pixels is what `gpures.blot_image` makes of it, of any pixel map."""
    frame = scenes.fits_wcs((90, 80))
    exposure = scenes.fits_wcs((300, 320) if kind == "spline" else (50, 60), rotation=7.0, shift=(3.3, 1.2))
    shape = exposure.array_shape
    pixmap = calc_pixmap(exposure, frame, shape, tolerance=1e-6 if kind == "spline" else 0)
    assert (pixmap.spline is not None) == (kind == "spline")
    if kind == "beside":
        pixmap = PixelMap.from_array(pixmap.array() + 1000.0)
    image = RNG.normal(size=(90, 80)).astype(np.float32)
    image[10, 10] = np.nan
    wanted = gpures.blot_image(image, pixmap.array(), fillval=np.nan, interp="linear", backend="cpu")
    np.testing.assert_array_equal(blotted(image, pixmap), wanted)
    assert np.isnan(wanted).all() == (kind == "beside")


# Models


def hit_models(n=4, shape=(60, 64)):
    """Models of one sky, each with hits of its own; and where these are."""
    models, hits = [], []
    rng = np.random.default_rng(3)
    for k in range(n):
        wcs = scenes.fits_wcs(shape, rotation=2.0 * k, shift=(1.3 * k, 0.7 * k))
        model = scenes.model_of(wcs, shape, seed=k)
        model["data"] = rng.normal(10.0 + k, 1.0, shape).astype(np.float32)
        model["dq"] = np.zeros(shape, np.uint32)
        model["err"] = np.ones(shape, np.float32)
        model["var_rnoise"] = np.ones(shape, np.float32)
        model |= {"level": 10.0 + k, "subtracted": False, "filename": f"{k}.fits"}
        hit = np.zeros(shape, bool)
        hit[rng.integers(10, 50, 12), rng.integers(10, 50, 12)] = True
        model["data"][hit] += 100.0
        models.append(model)
        hits.append(hit)
    return models, hits


@pytest.mark.parametrize("form", [np.asarray, lambda a: a.astype(">f8"), np.asfortranarray], ids=["f4", ">f8", "F"])
def test_models(form):
    """Hits are flagged, of exposures of different skies; a model gets another DQ array, and nothing else is changed."""
    models, hits = hit_models()
    for model in models:
        model["data"] = form(model["data"])
    before, arrays = copy.deepcopy(models), [model["dq"] for model in models]
    found = gpures.flag_outliers(models, backend="cpu")
    for k, (model, hit) in enumerate(zip(models, hits, strict=True)):
        assert found.masks[k][hit].all()
        assert (found.masks[k] & ~hit).sum() < 5
        np.testing.assert_array_equal(model["dq"], np.where(found.masks[k], 17, 0))
        assert not arrays[k].any()
        np.testing.assert_array_equal(model["data"], before[k]["data"])
        assert model["level"] == before[k]["level"]
    assert found.counts == [int(mask.sum()) for mask in found.masks]
    assert "3.fits" in found.report


def test_what_has_been_flagged_does_not_count():
    """Pixels that are bad are no part of the median, nor outliers; masked ones are bad."""
    models, hits = hit_models()
    for model, hit in zip(models, hits, strict=True):
        model["dq"][hit] = 4
    assert sum(gpures.flag_outliers(models, backend="cpu").counts) < 8
    models, hits = hit_models()
    for model, hit in zip(models, hits, strict=True):
        model["data"] = np.ma.MaskedArray(model["data"], hit)
    assert sum(gpures.flag_outliers(models, backend="cpu").counts) < 8


@pytest.mark.parametrize("kind", ["no error", "relative weights"])
@pytest.mark.parametrize("rotation", [0.0, 7.0])
def test_noise_where_two_meet(caplog, kind, rotation):
    """The noise follows from where exposures differ from others, and not from where one is alone, and like itself."""
    models, _ = hit_models(2)
    models[1]["wcs"] = scenes.fits_wcs((60, 64), shift=(45.0, 0.0), rotation=rotation)
    for model in models:
        model |= {"err": None, "var_rnoise": None, "var_poisson": None, "var_flat": None}
        if kind != "no error":
            model |= {"var_rnoise": np.full((60, 64), 1e-6, np.float32), "relative_weights": True}
    gpures.flag_outliers(models, backend="cpu")
    words = r"others, (\S+)," if kind == "no error" else r"taken (\S+) times"
    found = np.array(re.findall(words, caplog.text), float) * (1.0 if kind == "no error" else 1e-3)
    # Of two exposures the median is the mean, from which each differs by less than its noise.
    np.testing.assert_allclose(found, 0.7, atol=0.25)


def test_without_an_error(caplog):
    """An exposure without errors has those of its variances, or the scatter of its differences, which is said."""
    models, hits = hit_models()
    for model in models:
        model["err"] = None
    found = gpures.flag_outliers(models, backend="cpu")
    assert all(mask[hit].all() for mask, hit in zip(found.masks, hits, strict=True))
    assert "has no error" not in caplog.text
    models, hits = hit_models()
    for model in models:
        model |= dict.fromkeys(["err", "var_rnoise", "var_poisson", "var_flat"])
    found = gpures.flag_outliers(models, backend="cpu")
    assert all(mask[hit].all() for mask, hit in zip(found.masks, hits, strict=True))
    assert "3.fits has no error" in caplog.text


@pytest.mark.parametrize(("times", "words"), [(0.01, "too small"), (1.0, None), (100.0, "times as large")])
def test_errors_that_can_not_be(caplog, times, words):
    """Errors that are far from what exposures differ by are said; too small ones are taken for what they should be."""
    models, hits = hit_models()
    for model in models:
        model["err"] = model["err"] * np.float32(times)
        model["err"][30:33, 30:33] = 0.0  # nobody knows it
        model["err"][40, 40] = np.nan
    found = gpures.flag_outliers(models, backend="cpu")
    if times < 10:
        assert all(mask[hit].all() for mask, hit in zip(found.masks, hits, strict=True))
        assert sum(np.count_nonzero(mask & ~hit) for mask, hit in zip(found.masks, hits, strict=True)) < 20
    else:
        assert not any(found.counts)
    assert (words is None) == ("The errors of" not in caplog.text)
    assert words is None or words in caplog.text


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e8])
def test_relative_weights(tmp_path, caplog, factor):
    """Of weights that are right but for a factor that is found, whatever it is."""
    models, hits = hit_models()
    paths = []
    for k, model in enumerate(models):
        header = model["wcs"].to_fits()[0].header
        header.update({"EXPTIME": 10.0, "BUNIT": "ct/s", "OBS_ID": f"{k}"})
        weight = np.full(model["data"].shape, factor, np.float32)
        hdus = [fits.PrimaryHDU(model["data"] - model["level"], header), fits.ImageHDU(weight, name="WHT")]
        paths.append(tmp_path / f"{k}.fits")
        fits.HDUList(hdus).writeto(paths[-1])
    found = gpures.flag_outliers(paths, backend="cpu")
    for mask, hit in zip(found.masks, hits, strict=True):
        assert mask[hit].all()
        assert np.count_nonzero(mask & ~hit) < 5
    assert "0.fits[PRIMARY] has weights that are right but for a factor" in caplog.text


def test_pixels_of_the_frame_may_be_too_large(caplog):
    """Which is said."""
    models, _ = hit_models()
    wcs = scenes.fits_wcs((30, 32), scale=2 * scenes.SCALE)
    gpures.flag_outliers(models, output_wcs=wcs, backend="cpu")
    assert "Pixels of the frame in which outliers are looked for are 2 times as large" in caplog.text


def test_other_flags_and_options():
    """Flags may be others, thresholds a text."""
    models, hits = hit_models()
    gpures.flag_outliers(models, flags=4096, snr="5.0 4.0", scale="1.2, 0.7", grow=3, backend="cpu")
    assert all(set(np.unique(model["dq"])) == {0, 4096} for model in models)
    assert all((model["dq"] > 0).sum() > 4 * hit.sum() for model, hit in zip(models, hits, strict=True))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"snr": 5.0}, "'snr' must be two or three numbers"),
        ({"snr": "5 x"}, "'snr' must be two or three numbers"),
        ({"scale": (1.0, -1.0)}, "'scale' must be two or three numbers"),
        ({"grow": 2}, "'grow' must be an odd number of pixels, got 2"),
        ({"kernel_size": 0}, "'kernel_size' must be an odd number"),
        ({"maskpt": 2}, "'maskpt'"),
        ({"sharpness": -0.1}, "'sharpness'"),
        ({"by_lower": "no"}, "'by_lower'"),
        ({"backg": np.nan}, "'backg'"),
        ({"flags": 0}, "'flags' must be positive"),
        ({"flags": 1 << 33}, "'flags' must be positive and fit"),
        ({"kernel": "round"}, "'kernel'"),
    ],
)
def test_wrong_arguments(options, words):
    """They are errors that name the argument, and no model is changed."""
    models, _ = hit_models(2)
    with pytest.raises((TypeError, ValueError), match=words):
        gpures.flag_outliers(models, backend="cpu", **options)
    assert not any(model["dq"].any() for model in models)


def test_wrong_models():
    """Too few models, or one that can't be used, leave all as they were."""
    models, _ = hit_models(3)
    with pytest.raises(ValueError, match="at least two exposures"):
        gpures.flag_outliers(models[:1])
    with pytest.raises(TypeError, match="must be models"):
        gpures.flag_outliers([models[0], 5])
    with pytest.raises(ValueError, match="same model twice"):
        gpures.flag_outliers([models[0], models[0]])
    with pytest.raises(KeyError, match="has no 'wcs'"):
        gpures.flag_outliers([models[0], models[1] | {"wcs": None}])
    with pytest.raises(ValueError, match=r"0\.fits and 1\.fits can't be compared, as their values are in ct/s and Jy"):
        gpures.flag_outliers([models[0] | {"bunit_data": "ct/s"}, models[1] | {"bunit_data": "Jy"}])
    models[2]["data"] = np.zeros((3, 4, 5))
    with pytest.raises(ValueError, match="must be an image"):
        gpures.flag_outliers(models, output_wcs=models[0]["wcs"], backend="cpu")
    assert not any(model["dq"].any() for model in models)


def test_files(tmp_path):
    """Of files the masks are given; they are those of their models, and the files stay as they are."""
    models, hits = hit_models()
    paths = []
    for k, model in enumerate(models):
        header = model["wcs"].to_fits()[0].header
        header.update({"EXPTIME": 10.0, "BUNIT": "ct/s", "OBS_ID": f"{k}"})
        hdus = [fits.PrimaryHDU(model["data"] - model["level"], header), fits.ImageHDU(model["err"], name="ERR")]
        paths.append(tmp_path / f"{k}.fits")
        fits.HDUList(hdus).writeto(paths[-1])
    before = [path.read_bytes() for path in paths]
    found = gpures.flag_outliers(paths, backend="cpu")
    of_models = gpures.flag_outliers(models, output_wcs=found.wcs, backend="cpu")
    for k, mask in enumerate(found.masks):
        assert mask[hits[k]].all()
        assert np.count_nonzero(mask != of_models.masks[k]) < 3
    assert found.names == [f"{k}.fits[PRIMARY]" for k in range(4)]
    assert [path.read_bytes() for path in paths] == before


# On a GPU, or with its kernels on the host


@pytest.mark.also_on_ptx
@pytest.mark.parametrize("n", [1, 3, 4, 7, 16, 30, 32, 33, 40, 97])
def test_medians_on_the_device(cuda, n):
    """They are those of the CPU, of images on windows, whatever the number."""
    rng = np.random.default_rng(n)  # of its own, as few values may lie where others are clipped
    shape, levels = (23, 37), rng.normal(size=n)
    stacks = Stack(shape), Stack(shape)
    for k, image in enumerate(cube(n, decimals=1, rng=rng)):
        window = Box(k % 5, 36 - k % 3, k % 4, 22 - k % 6)
        stacks[0].add(image[window.slices].copy(), window)
        stacks[1].add(cuda.asarray(image[window.slices].copy()), window)
    for ours, theirs in zip(stacks[0].median(levels, 2), stacks[1].median(levels, 2), strict=True):
        np.testing.assert_array_equal(theirs.get(), ours)
    means = stacks[1].clipped_mean(levels).get(), stacks[0].clipped_mean(levels)
    assert np.count_nonzero(~np.isclose(*means, atol=1e-5, equal_nan=True)) < 5  # which lie where values are clipped


@pytest.mark.also_on_ptx
@pytest.mark.parametrize("options", [{}, AS_THE_FIELD, {"grow": 3}, {"kernel_size": 5, "snr": (4.0, 3.0)}])
def test_comparison_on_the_device(cuda, options):
    """So are outliers."""
    data, err, expected = compared()
    lower = expected - np.abs(RNG.normal(size=expected.shape)).astype(np.float32)
    wanted = outliers(data, err, expected.copy(), OutlierOptions(**options), lower=lower, background=0.3)
    there = cuda.asarray(expected), cuda.asarray(lower)
    found = outliers(data, err, there[0], OutlierOptions(**options), lower=there[1], background=0.3)
    assert wanted.any()
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.also_on_ptx
@pytest.mark.parametrize("kind", ["spline", "each pixel"])
def test_blotted_on_the_device(cuda, kind):
    """And the median at an exposure's pixels, to the rounding of their places."""
    frame = scenes.fits_wcs((90, 80))
    exposure = scenes.fits_wcs((300, 320), rotation=7.0, shift=(3.3, 1.2))
    pixmap = calc_pixmap(exposure, frame, exposure.array_shape, tolerance=1e-6 if kind == "spline" else 0)
    image = RNG.normal(size=(90, 80)).astype(np.float32)
    image[10, 10] = np.nan
    found = blotted(cuda.asarray(image), pixmap).get()
    np.testing.assert_allclose(found, blotted(image, pixmap), rtol=0, atol=1e-5)


def test_models_on_the_device(cuda):
    """Outliers of models are those that are found on the CPU."""
    models, _ = hit_models()
    of_cpu = gpures.flag_outliers([dict(model) for model in models], backend="cpu")
    found = gpures.flag_outliers(models, backend="cuda")
    for ours, theirs in zip(of_cpu.masks, found.masks, strict=True):
        assert np.count_nonzero(ours != theirs) < 3
    np.testing.assert_allclose(found.median, of_cpu.median, rtol=1e-5)
    assert found.counts[0] > 10

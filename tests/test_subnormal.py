"""Float32's subnormal numbers, below 1.2e-38, keep their values on every backend: they are numbers like others.

On a GPU they would be 0: CuPy has the compiler flush them. Expected values are those of float64, rounded once.
"""

from __future__ import annotations

import re

import numpy as np
import oracle
import pytest
import scenes
from cuda_on_ptx import TARGETS, ptx_of, target
from nvrtc import library

import gpures
from gpures.backend.base import MosaicLayout
from gpures.backend.choice import make_accumulators
from gpures.backend.cuda import kernels
from gpures.backend.cuda.cleaning import left_out
from gpures.box import Box
from gpures.cleaning.comparison import outliers
from gpures.cleaning.options import OutlierOptions
from gpures.cleaning.stack import Stack
from gpures.exposure.drops import KERNELS
from gpures.exposure.weights import Weight

pytestmark = pytest.mark.also_on_ptx

SHAPE = (12, 15)
TINY = 1e-40
STEP = float(np.finfo(np.float32).smallest_subnormal)

PIXMAP = np.stack(np.meshgrid(np.arange(SHAPE[1]), np.arange(SHAPE[0])), -1).astype(float)


def uniform(seed, size=TINY, dtype="f4"):
    """An image of numbers about a size."""
    return (size * np.random.default_rng(seed).uniform(0.5, 2.0, SHAPE)).astype(dtype)


def assert_near(got, expected, steps):
    """Images are the same to so many steps between subnormal numbers, and lose none of them."""
    got = np.asarray(got, float)
    assert np.all((got != 0) == (np.abs(expected) > STEP))
    np.testing.assert_allclose(got, expected, rtol=4 * 2.0**-24, atol=steps * STEP)


def frame(dtype="f4", fillval=None, **settings):
    planes = {"variance_names": ("var_flat",), "has_err": True, "has_dq": True}
    return MosaicLayout(SHAPE, "point", fillval, **planes, dtype=np.dtype(dtype), **settings)


def exposure(seed, dtype="f4", **settings):
    """One whose data, errors, variances and weights are subnormal in float32, in arrays of a type."""
    return oracle.exposure(
        uniform(seed, dtype=dtype),
        PIXMAP,
        weight=Weight(weight_map=uniform(seed + 100, dtype=dtype)),
        dq=np.full(SHAPE, seed, "u4"),
        err=uniform(seed + 200, dtype=dtype),
        variances={"var_flat": uniform(seed + 300, dtype=dtype)},
        variance_weight=3.0 * TINY,
        context_id=seed,
        **settings,
    )


def mean(images, weights):
    """Weighted mean of images."""
    return sum(image.astype(float) * weight.astype(float) for image, weight in zip(images, weights, strict=True)) / sum(
        weight.astype(float) for weight in weights
    )


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4"])
@pytest.mark.parametrize("accumulators", ["f4", "f8"])
def test_every_image(own_backend, accumulators, dtype):
    """Data, weights, errors and variances that are subnormal are averaged like others, and all flags are set."""
    exposures = [exposure(k, dtype) for k in range(3)]
    weights = [e.weight.weight_map for e in exposures]
    got = oracle.run(own_backend, frame(accumulators), exposures, scaling=0.25)
    assert_near(got["wht"], sum(w.astype(float) for w in weights), 4)
    assert_near(got["data"], mean([e.data for e in exposures], weights), 8)
    assert_near(got["err"], mean([e.err for e in exposures], weights), 8)
    assert_near(got["var_flat"], sum(e.variances["var_flat"].astype(float) for e in exposures) / 9 / 4, 8)
    assert np.all(got["con"] == 7)
    assert np.all(got["dq"] == 3)


def test_half_precision(own_backend):
    """Subnormal numbers of float16, which float32 has as others, are weights and data as well."""
    data, weights = np.full(SHAPE, 6e-8, "f2"), np.full(SHAPE, 3e-7, "f2")
    drizzle = gpures.Drizzle(kernel="point", out_shape=SHAPE, backend=own_backend)
    drizzle.add_image(data, 1.0, PIXMAP, weight_map=weights)
    np.testing.assert_array_equal(drizzle.out_img, data.astype("f4"))
    np.testing.assert_array_equal(drizzle.out_wht, weights.astype("f4"))


def test_a_weight_of_a_contribution(own_backend):
    """Shares of a drop whose weight is subnormal have their part in the mosaic."""
    weight = np.full(SHAPE, 64 * STEP, "f4")
    e = oracle.exposure(np.ones(SHAPE, "f4"), PIXMAP + 0.5, weight=Weight(weight_map=weight))
    got = oracle.run(own_backend, MosaicLayout(SHAPE, "square"), [e])
    assert_near(got["wht"][1:-1, 1:-1], np.full((SHAPE[0] - 2, SHAPE[1] - 2), 64 * STEP), 1)
    assert np.all(got["wht"][0, 1:-1] == 32 * STEP)
    np.testing.assert_allclose(got["data"][1:, 1:], 1.0, rtol=2**-20)


def test_weight_map(own_backend):
    """A map of weights has them as they were given."""
    e = exposure(1)
    got = make_accumulators(own_backend, frame()).weight_map(e)
    np.testing.assert_array_equal(got, e.weight.weight_map)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_times_of_exposures(own_backend, dtype):
    """Times add up."""
    exposures = [exposure(k, effective_time=(k + 1) * TINY) for k in range(3)]
    accumulators = make_accumulators(own_backend, frame(dtype, has_time=True))
    for e in exposures:
        accumulators.add(e)
    assert_near(accumulators.images()["exptime_map"], np.full(SHAPE, 6 * TINY), 3)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_merged_mosaics(own_backend, dtype):
    """Two mosaics give what all their exposures give in one."""
    exposures = [exposure(k) for k in range(4)]
    expected = oracle.run("cpu", frame("f8"), exposures)
    one, other = (make_accumulators(own_backend, frame(dtype)) for _ in range(2))
    for k, e in enumerate(exposures):
        (one, other)[k // 2].add(e)
    one.merge(other, 2, 2)
    got = dict(one.images()) | one.finish_variances(1.0)
    for name in ("wht", "data", "err", "var_flat"):
        assert_near(got[name], expected[name].astype(float), 8)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_what_is_filled(own_backend, dtype):
    """A pixel is filled where its weight is 0, and nowhere else; also with a subnormal number."""
    e = exposure(1)
    e.weight.weight_map[3, 4] = 0.0
    got = oracle.run(own_backend, frame(dtype, fillval=TINY), [e])
    expected = e.data.astype(float)
    expected[3, 4] = TINY
    assert_near(got["data"], expected, 2)


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "poly5", "sinc"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_blotted_images(own_backend, interpolation, dtype):
    """Interpolated images and their fill values."""
    image, pixmap = np.full(SHAPE, TINY, dtype), PIXMAP + 0.25
    pixmap[2, 3] = -50.0
    got = gpures.blot_image(image, pixmap, interp=interpolation, fillval=2 * TINY, backend=own_backend)
    inside = np.s_[:-1, :-1]
    expected = np.full(SHAPE, TINY)
    expected[2, 3] = 2 * TINY
    assert_near(got[inside], expected[inside], 2)


@pytest.mark.parametrize("options", [{"compute_err": "driz_err"}, {"compute_err": "from_var"}])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_images_that_stay_on_the_device(cuda, dtype, options):
    """They are those that come down: CuPy, which flushes, converts and divides none of them."""
    model = scenes.model_of(scenes.imaging_wcs(SHAPE), SHAPE)
    for name in ("data", "err", "var_rnoise", "var_poisson", "var_flat"):
        model[name] = uniform(len(name))
    output = {"wcs": scenes.frame_around(SHAPE, 1.3), "pixel_scale": 1.3 * scenes.SCALE}
    made = []
    for settings in ({"backend": "cpu"}, {"backend": "cuda", "to_host": False}):
        kept = {"weight_type": "exptime", "enable_var": True, "accumulator_dtype": dtype, **options, **settings}
        resample = gpures.Resample(output, **kept)
        resample.add_model(model)
        resample.finalize()
        made.append(resample.output_model)
    for name in ("data", "err", "var_rnoise", "var_poisson", "var_flat"):
        got, expected = made[1][name].get(), made[0][name]
        covered = np.isfinite(expected)
        assert np.any(covered & (expected != 0))
        np.testing.assert_allclose(got[covered], expected[covered], rtol=2**-20, atol=3 * STEP, err_msg=name)


def test_accumulators_of_the_caller(cuda):
    """Images on a device that a mosaic goes on with, in another type, keep their numbers."""
    given = uniform(3, dtype="f8")
    images = {"out_img": cuda.array(given), "out_wht": cuda.array(uniform(4, dtype="f8"))}
    drizzle = gpures.Drizzle(kernel="point", exptime=1.0, backend="cuda", disable_ctx=True, **images)
    np.testing.assert_array_equal(np.asarray(drizzle.out_img.get()), given.astype("f4"))


# ---- cleaning ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [4, 7, 16, 31, 40])
def test_medians_of_such_numbers(cuda, n):
    """Medians, scatter and clipped means, of values and levels that are subnormal, are those of the CPU."""
    images = np.random.default_rng(n).integers(-2000, 2000, (n, *SHAPE)).astype("f4") * np.float32(STEP)
    images[:, ::3, ::2][: n // 2] = np.nan
    levels = np.arange(n) * 64 * STEP
    stacks = Stack(SHAPE), Stack(SHAPE)
    for image in images:
        for stack, array in zip(stacks, (image, cuda.asarray(image)), strict=True):
            stack.add(array, Box.whole(SHAPE))
    ours, theirs = (stack.median(levels, 2) for stack in stacks)
    truth = np.nanmedian(images - levels[:, None, None], axis=0)
    np.testing.assert_allclose(ours[0], truth, rtol=0, atol=STEP)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(other.get(), one)
    np.testing.assert_array_equal(stacks[1].clipped_mean(levels).get(), stacks[0].clipped_mean(levels))


def test_pixels_of_little_weight(cuda):
    """A threshold of weights may be subnormal."""
    data, weight = uniform(1, 1.0), uniform(2)
    found = left_out(cuda.asarray(data), cuda.asarray(weight), TINY)
    np.testing.assert_array_equal(found.get(), np.where(weight > np.float32(TINY), data, np.nan))


@pytest.mark.parametrize("sharp", [False, True])
def test_outliers_among_such_numbers(cuda, sharp):
    """What differs by more than subnormal noise is found, and all of it is what the CPU finds."""
    rng = np.random.default_rng(5)
    steps = rng.integers(-300, 300, (4, 30, 34)).astype("f4") * np.float32(STEP)
    data, expected, lower, err = steps[0] + steps[1], steps[1], steps[2], np.abs(steps[3])
    data[rng.random(data.shape) < 0.05] += np.float32(5000 * STEP)
    options = OutlierOptions() if sharp else OutlierOptions(sharpness=0.0)
    wanted = outliers(data, err, expected.copy(), options, lower=lower, background=20 * STEP)
    there = cuda.asarray(expected), cuda.asarray(lower)
    found = outliers(data, err, there[0], options, lower=there[1], background=20 * STEP)
    assert 20 < np.count_nonzero(wanted) < wanted.size / 2
    np.testing.assert_array_equal(found, wanted)


# ---- what is compiled --------------------------------------------------------------------------------------------


def flushing(file, cuda, architecture, more=()):
    """Instructions in what is compiled of a file that flush subnormal numbers."""
    if library(cuda) is None:
        pytest.skip(f"NVRTC of CUDA {cuda} is not installed")
    text = ptx_of((kernels.source_folder() / "cuda" / file).read_text(), kernels.options() + more, cuda, architecture)
    assert ".entry" in text
    return re.findall(r"\w+\S*\.ftz\S*", text)


OTHERS = [pytest.param(each, marks=pytest.mark.long) for each in TARGETS if each != TARGETS[2]]


# Compilers differ: some know operations on bits that are the same as ones on numbers.
@pytest.mark.parametrize("file", ["mosaic.cu", "blot.cu", "cleaning.cu"])
@pytest.mark.parametrize("of", [TARGETS[2], *OTHERS], ids=str)
def test_nothing_flushes(of, file):
    """No instruction that is compiled flushes subnormal numbers, whichever way a kernel takes."""
    assert not flushing(file, *of)


@pytest.mark.ptx
@pytest.mark.usefixtures("cuda_of_ptx")
@pytest.mark.parametrize("kernel", KERNELS)
def test_no_drop_flushes(kernel):
    """Nor does one of a drop; CUDA's exponential looks so at the high half of a float64, where it does no harm."""
    found = flushing("splat.cu", *target(), kernels.splat_options(kernel, 2))
    harmless = [each for each in found if kernel == "gaussian" and re.match(r"(abs|setp\.\w+)\.ftz\.f32", each)]
    assert found == harmless

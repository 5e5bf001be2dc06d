"""`gpures.Drizzle`: the drizzle package's API, its results, and what it does where the package is wrong."""

from __future__ import annotations

import subprocess
import sys
import types

import numpy as np
import oracle
import pytest
from tolerances import EPS32, PRECISION, assert_close, assert_true

import gpures
from gpures.backend.base import MosaicLayout
from gpures.exposure.drops import KERNELS
from gpures.exposure.structs import MOST_PLANES
from gpures.exposure.weights import Weight

pytestmark = [
    pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel"),
    pytest.mark.filterwarnings("ignore:In lanczos kernel, pix"),
    pytest.mark.filterwarnings("ignore:Kernel reset to 'point'"),
]

SHAPE = (12, 14)


def identity(shape, dx=0.0, dy=0.0):
    """A pixel map that only shifts."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    return np.stack([x + dx, y + dy], -1)


def images_of(n, kernel="square", pixfrac=1.0, psr=1.1, data2=2, dq=True):
    """Arguments of add_image for n dithered images, and the shape of a frame that holds them."""
    rng = np.random.default_rng(5)
    side = oracle.frame_side(SHAPE, psr, kernel, pixfrac)
    images = []
    for k in range(n):
        images.append(
            {
                "data": rng.normal(size=SHAPE).astype("f4"),
                "exptime": 2.0 + k,
                "pixmap": oracle.pixel_map(SHAPE, (side / 2 + 0.37 * k, side / 2 - 0.21 * k), psr, 20.0 * k, warp=0.02),
                "data2": [rng.uniform(1, 2, SHAPE).astype("f4") for _ in range(data2)],
                "dq": rng.choice([0, 1, 4, 1 << 31], SHAPE).astype("u4") if dq else None,
                "iscale": 1.3,
                "pixel_scale_ratio": psr,
                "weight_map": rng.choice([0.0, 0.5, 2.0], SHAPE).astype("f4"),
                "wht_scale": 1.5,
                "pixfrac": pixfrac,
                "in_units": "counts" if k % 2 else "cps",
            }
        )
    return images, (side, side)


def exposures_of(images):
    """The same as the oracle takes them."""
    exposures = []
    for k, image in enumerate(images):
        iscale = image["iscale"] / (image["exptime"] if image["in_units"] == "counts" else 1.0)
        weight = Weight(weight_map=image["weight_map"].astype(float) * image["wht_scale"])
        ratio = float(np.float32(image["pixel_scale_ratio"]))
        made = oracle.exposure(image["data"], image["pixmap"], weight=weight, iscale=iscale, dq=image["dq"])
        made.context_id, made.squared = k, image["data2"]
        made.pixfrac, made.pixel_scale_ratio = image["pixfrac"], ratio
        exposures.append(made)
    return exposures


def added(images, **settings):
    """A Drizzle with images added."""
    driz = gpures.Drizzle(**settings)
    for image in images:
        driz.add_image(**image)
    return driz


def images_seen(driz):
    """Its images, by the names that the oracle has."""
    return {"data": driz.out_img, "wht": driz.out_wht, "con": driz.out_ctx, "dq": driz.out_dq}


# ---- the definition, and the package -------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("pixfrac", [1.0, 0.6])
def test_definition(backend, kernel, pixfrac):
    """All images are those of the definition, on every backend: data, weight, context, DQ, and squared weights."""
    images, shape = images_of(3, kernel, pixfrac)
    driz = added(images, kernel=kernel, out_shape=shape, backend=backend)
    frame, exposures = MosaicLayout(shape, kernel), exposures_of(images)
    truth = oracle.coadd(exposures, frame)
    assert_true(backend, "f4", images_seen(driz), truth, 3)
    precision = PRECISION[backend, "f4"]
    assert len(driz.out_img2) == 2
    sure = ~truth.unsure
    for got, squared in zip(driz.out_img2, oracle.coadd_squared(exposures, frame), strict=True):
        bound = precision.squared_bound(truth, squared, 3)
        assert_close(np.where(sure, got, 0), np.where(sure, squared[0], 0), bound, "squared")
    assert driz.total_exptime == 2.0 + 3.0 + 4.0
    assert driz.ctx_id == 3


@pytest.mark.parametrize("turn", [0.0, 90.0])
def test_squared_weights_of_a_large_image(own_backend, turn):
    """Squared weights reach every tile and block, side by side or not, and leave the other images as they are."""
    rng = np.random.default_rng(0)
    shape, frame = (70, 300), (320, 640)
    image = {
        "data": rng.normal(size=shape),
        "exptime": 1.0,
        "pixmap": oracle.pixel_map(shape, (510.0, 160.0), 1.0, turn),
    }
    variance = rng.uniform(1, 2, shape)
    driz = added([image | {"data2": variance}], out_shape=frame, backend=own_backend)
    plain = added([image], out_shape=frame, backend=own_backend)
    np.testing.assert_allclose(driz.out_img, plain.out_img, rtol=4 * EPS32, atol=1e-6)
    np.testing.assert_allclose(driz.out_wht, plain.out_wht, rtol=4 * EPS32)
    exposure = oracle.exposure(image["data"], image["pixmap"])
    exposure.squared = [variance]
    truth = oracle.coadd([exposure], MosaicLayout(frame))
    (squared,) = oracle.coadd_squared([exposure], MosaicLayout(frame))
    assert_close(driz.out_img2[0], squared[0], PRECISION[own_backend, "f4"].squared_bound(truth, squared, 1))


def test_variance_of_a_mean(backend):
    """Where images fall pixel on pixel, out_img2 is the variance of the weighted mean: sum(w^2 v) / sum(w)^2."""
    rng = np.random.default_rng(1)
    weights, variances = rng.uniform(1, 3, (4, 6, 7)), rng.uniform(1, 3, (4, 6, 7))
    driz = gpures.Drizzle(kernel="point", out_shape=(6, 7), backend=backend)
    for weight, variance in zip(weights, variances, strict=True):
        driz.add_image(np.zeros((6, 7)), 1.0, identity((6, 7)), data2=variance, weight_map=weight)
    expected = (weights**2 * variances).sum(0) / weights.sum(0) ** 2
    np.testing.assert_allclose(driz.out_img2[0], expected, rtol=20 * EPS32)


def test_large_weights(own_backend):
    """Inverse variances of 1e30 square to what float32 does not hold, and average all the same."""
    driz = gpures.Drizzle(kernel="point", out_shape=(6, 7), backend=own_backend)
    for _ in range(2):
        arrays = {"data2": np.full((6, 7), 1e-30), "weight_map": np.full((6, 7), 1e30)}
        driz.add_image(np.ones((6, 7)), 1.0, identity((6, 7)), **arrays)
    np.testing.assert_allclose(driz.out_img2[0], 0.5e-30, rtol=4 * EPS32)


def test_no_variance_is_none(backend):
    """None, or an empty array, among the variances stands for zeros; each image has the same number of them."""
    driz = gpures.Drizzle(out_shape=(6, 7), backend=backend)
    ones = np.ones((6, 7), "f4")
    driz.add_image(ones, 1.0, identity((6, 7)), data2=[ones, ones, None])
    driz.add_image(ones, 1.0, identity((6, 7)), data2=[ones, None, np.array([])])
    for image, expected in zip(driz.out_img2, (0.5, 0.25, 0.0), strict=True):
        np.testing.assert_allclose(image, expected, rtol=4 * EPS32)
    for data2 in (None, ones, [ones, ones]):
        with pytest.raises(ValueError, match=r"Mismatch between the number of 'out_img2' .* there are 3, got"):
            driz.add_image(ones, 1.0, identity((6, 7)), data2=data2)
    with pytest.raises(ValueError, match=f"'data2' may have at most {MOST_PLANES - 1} arrays"):
        gpures.Drizzle(out_shape=(6, 7)).add_image(ones, 1.0, identity((6, 7)), data2=[ones] * MOST_PLANES)


# ---- output arrays ---------------------------------------------------------------------------------------------------


def outputs(shape, planes=1):
    """Output arrays of an empty mosaic."""
    zeros = {name: np.zeros(shape, "f4") for name in ("out_img", "out_wht")}
    return zeros | {
        "out_ctx": np.zeros((planes, *shape), "i4"),
        "out_dq": np.zeros(shape, "u4"),
        "out_img2": [np.zeros(shape, "f4") for _ in range(2)],
    }


@pytest.mark.parametrize("layout", ["contiguous", "part of a larger array", "upside down"])
def test_arrays_given_are_up_to_date(own_backend, layout):
    """Arrays that are given are what is accumulated in: up to date after each image, and what the properties give."""
    images, shape = images_of(3)
    given = outputs(shape)
    if layout != "contiguous":
        for name, array in given.items():
            if name != "out_img2":
                larger = np.zeros((*array.shape[:-1], array.shape[-1] + 9), array.dtype)
                part = larger[..., 4:-5]
                given[name] = part if layout.startswith("part") else part[..., ::-1, :]
    driz = gpures.Drizzle(**given, backend=own_backend)
    for k, image in enumerate(images):
        driz.add_image(**image)
        expected = added(images[: k + 1], out_shape=shape, fillval=0.0, fillval2=0.0, backend=own_backend)
        for name, array in given.items():
            np.testing.assert_array_equal(array, getattr(expected, name), name)
            seen = getattr(driz, name)
            if name == "out_img2":
                assert all(a is b for a, b in zip(seen, array, strict=True))
            else:
                assert seen is array


def test_other_types_are_copied(own_backend):
    """Arrays of other types stay as they are; the properties give what was made of them."""
    images, shape = images_of(2, data2=0)
    given = {"out_img": np.zeros(shape), "out_wht": np.zeros(shape, ">f4"), "out_ctx": np.zeros(shape, "i8")}
    driz = added(images, **given, backend=own_backend)
    expected = added(images, out_shape=shape, fillval=0.0, backend=own_backend)
    for name, array in given.items():
        assert not array.any()
        np.testing.assert_array_equal(getattr(driz, name), getattr(expected, name))


def test_a_mosaic_goes_on(backend):
    """A mosaic continued from its arrays is the one that was never interrupted."""
    images, shape = images_of(4)
    whole = added(images, out_shape=shape, backend=backend)
    first = added(images[:2], out_shape=shape, backend=backend)
    names = ("out_img", "out_wht", "out_ctx", "out_dq", "out_img2")
    begun = {name: getattr(first, name) for name in names}
    second = added(images[2:], **begun, exptime=first.total_exptime, begin_ctx_id=2, backend=backend)
    for name in names:
        np.testing.assert_array_equal(getattr(second, name), getattr(whole, name), name)
    assert second.total_exptime == whole.total_exptime


def test_arrays_on_the_device(cuda):
    """CuPy arrays are accumulated in on the GPU, and given back."""
    images, shape = images_of(2, data2=0, dq=False)
    given = {name: cuda.zeros(shape, "f4") for name in ("out_img", "out_wht")}
    driz = added(images, **given, backend="cuda")
    expected = added(images, out_shape=shape, fillval=0.0, backend="cuda")
    for name, array in given.items():
        assert getattr(driz, name) is array
        np.testing.assert_array_equal(array.get(), getattr(expected, name))
    there = added(images, out_shape=shape, fillval=0.0, backend="cuda", to_host=False)
    assert isinstance(there.out_img, cuda.ndarray)
    np.testing.assert_array_equal(there.out_img.get(), expected.out_img)
    with pytest.raises(TypeError, match="'out_img' is on a GPU, and backend='cpu'"):
        gpures.Drizzle(out_img=cuda.zeros(shape, "f4"), backend="cpu")
    with pytest.raises(TypeError, match=r"'data', .* is on a GPU, and backend='cpu'"):
        added([images[0] | {"data": cuda.array(images[0]["data"])}], out_shape=shape, backend="cpu")


@pytest.mark.parametrize(
    ("fillval", "new", "given"),
    [
        (None, np.nan, 7.0), ("INDEF", np.nan, 7.0), ("", np.nan, 7.0), ("NaN", np.nan, np.nan),
        ("nan", np.nan, np.nan), (-1.5, -1.5, -1.5), ("-1.5", -1.5, -1.5), (0, 0.0, 0.0),
    ],
)  # fmt: skip
def test_fill_values(own_backend, fillval, new, given):
    """Pixels without contributions have the fill value; without one new ones are NaN, and those given stay."""
    image = {
        "data": np.ones((4, 4), "f4"),
        "exptime": 1.0,
        "pixmap": identity((4, 4), 1.0, 1.0),
        "data2": np.ones((4, 4)),
    }
    driz = gpures.Drizzle(out_shape=(30, 600), fillval=fillval, fillval2=fillval, backend=own_backend)
    assert np.array_equal(driz.out_img, np.full((30, 600), new, "f4"), equal_nan=True)
    driz.add_image(**image)
    for seen in (driz.out_img, driz.out_img2[0]):
        np.testing.assert_array_equal(seen[1:5, 1:5], 1.0)
        np.testing.assert_array_equal(np.delete(seen.ravel(), np.flatnonzero(driz.out_wht.ravel())), np.float32(new))
    sevens = {name: np.full((30, 600), 7.0, "f4") for name in ("out_img", "out_img2")}
    driz = added([image, image], **sevens, fillval=fillval, fillval2=fillval, backend=own_backend)
    for seen in (driz.out_img, driz.out_img2[0]):
        np.testing.assert_array_equal(np.delete(seen.ravel(), np.flatnonzero(driz.out_wht.ravel())), np.float32(given))


def test_cancelled_weights_are_filled(own_backend):
    """Where weights of both signs cancel there is none, and the fill value."""
    driz = gpures.Drizzle(kernel="point", out_shape=(4, 4), fillval=-2.0, backend=own_backend)
    for weight in (1.0, -1.0):
        driz.add_image(np.ones((4, 4)), 1.0, identity((4, 4)), weight_map=np.full((4, 4), weight))
    np.testing.assert_array_equal(driz.out_img, -2.0)


def test_context_grows(backend):
    """After 32 images the context has another plane; the last bit of a plane is as good as any to go on from."""
    ones = np.ones((5, 6), "f4")
    driz = gpures.Drizzle(out_shape=(5, 6), backend=backend)
    for k in range(33):
        assert driz.ctx_id == k
        driz.add_image(ones, 1.0, identity((5, 6)))
        assert driz.out_ctx.shape[0] == k // 32 + 1
    assert (driz.out_ctx[0] == -1).all()
    assert (driz.out_ctx[1] == 1).all()


def test_a_mosaic_of_32_images_goes_on(own_backend):
    """The sign bit of a context is a bit (the drizzle package takes such a mosaic for a broken one)."""
    arrays = {"out_wht": np.ones((5, 6), "f4"), "out_ctx": np.full((5, 6), -(2**31), "i4")}
    driz = gpures.Drizzle(out_img=np.ones((5, 6), "f4"), **arrays, exptime=1.0, begin_ctx_id=70, backend=own_backend)
    driz.add_image(np.ones((5, 6)), 1.0, identity((5, 6)))
    np.testing.assert_array_equal(driz.out_ctx[:, 2, 2], [-(2**31), 0, 1 << 6])
    planes = gpures.Drizzle(out_shape=(5, 6), begin_ctx_id=3, max_ctx_id=64, backend=own_backend).out_ctx
    assert planes.shape == (3, 5, 6)
    none = gpures.Drizzle(out_shape=(5, 6), disable_ctx=True, begin_ctx_id=-1, backend=own_backend)
    none.add_image(np.ones((5, 6)), 1.0, identity((5, 6)))
    assert none.out_ctx is None
    assert none.ctx_id is None


def test_frame_of_the_first_image(own_backend):
    """Without a shape the frame holds the first image's pixels, as (height, width); later maps have the same origin."""
    driz = gpures.Drizzle(kernel="point", backend=own_backend)
    assert driz.out_img is None
    assert driz.out_wht is None
    assert driz.out_img2 is None
    data = np.arange(15.0).reshape(3, 5)
    for _ in range(2):
        driz.add_image(data, 1.0, identity((3, 5), 100.0, -7.0))
        np.testing.assert_array_equal(driz.out_img, data)
    np.testing.assert_array_equal(driz.out_wht, 2.0)


# ---- images ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["f8", ">f4", "i2", "strided", "fortran"])
def test_inputs_of_any_layout(own_backend, change):
    """Types, byte orders and strides of the inputs make no difference, and nothing of them is changed."""
    rng = np.random.default_rng(2)
    names = ("data", "data2", "weight_map", "dq")
    arrays = {name: rng.integers(0, 90, SHAPE).astype("u4" if name == "dq" else "f4") for name in names}

    def changed(array):
        if change == "strided":
            wide = np.zeros((SHAPE[0] * 2, SHAPE[1] * 3), array.dtype)
            wide[::2, ::3] = array
            return wide[::2, ::3]
        if change == "fortran":
            return np.asfortranarray(array)
        return array.astype(">u2" if array.dtype == "u4" else change)

    pixmap = oracle.pixel_map(SHAPE, (15.0, 15.0), 1.0, 10.0)
    others = {name: changed(array) for name, array in arrays.items()}
    for array in others.values():
        array.setflags(write=False)
    expected = added([{"exptime": 1.0, "pixmap": pixmap, **arrays}], out_shape=(30, 30), backend=own_backend)
    got = added(
        [{"exptime": 1.0, "pixmap": np.asfortranarray(pixmap), **others}], out_shape=(30, 30), backend=own_backend
    )
    for name in ("out_img", "out_wht", "out_ctx", "out_dq", "out_img2"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), name)


def test_counts_of_misses(own_backend):
    """The numbers returned are those of pixels, and of rows, that fall beside the frame or have no coordinates."""
    driz = gpures.Drizzle(out_shape=(20, 20), backend=own_backend)
    ones = np.ones((20, 20))
    assert driz.add_image(ones, 1.0, identity((20, 20))) == (0, 0)
    assert driz.add_image(ones, 1.0, identity((20, 20), 5.0, -3.0)) == (3 * 20 + 17 * 5, 3)
    assert driz.add_image(ones, 1.0, identity((20, 20), 4.5, 0.0)) == (20 * 4, 0)
    assert driz.add_image(ones, 1.0, identity((20, 20), 300.0, 0.0)) == (400, 20)
    assert driz.add_image(ones, 1.0, identity((20, 20), 5.0, 0.0), xmin=10, xmax=19, ymin=2, ymax=4) == (3 * 5, 0)
    broken = identity((20, 20))
    broken[5, 7] = np.nan
    assert driz.add_image(ones, 1.0, broken) == (1, 0)  # its neighbours' corners are continued from their other sides
    flat = identity((20, 20))
    flat[..., 1] = 7.0  # drops without an area fall on the frame, but add nothing
    assert driz.add_image(ones, 1.0, flat) == (0, 0)
    for kernel, misses in (("point", 100), ("turbo", 100), ("lanczos3", 60), ("gaussian", 80)):
        other = gpures.Drizzle(kernel=kernel, out_shape=(20, 20), backend=own_backend)
        assert other.add_image(ones, 1.0, identity((20, 20), 5.0, 0.0))[0] == misses, kernel


def test_misses_of_many_blocks():
    """The same of an image of many blocks, turned, beside the definition: contributions of weight 1."""
    shape = (150, 170)
    exposure = oracle.exposure(np.ones(shape), oracle.pixel_map(shape, (60.0, 40.0), 1.0, 33.0))
    terms = oracle._Terms(exposure, MosaicLayout((100, 90)))
    hit = np.zeros(shape, bool)
    hit[terms.row, terms.column] = True
    driz = gpures.Drizzle(out_shape=(100, 90), backend="cpu")
    counts = driz.add_image(np.ones(shape), 1.0, exposure.pixmap.full)
    assert counts == ((~hit).sum(), (~hit).all(axis=1).sum())


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("ratio", [1.0, None])
def test_images_beside_the_frame(own_backend, kernel, ratio):
    """An image beside the frame changes nothing but the exposure time and the numbers of images."""
    driz = gpures.Drizzle(kernel=kernel, out_shape=(20, 20), fillval=0.0, backend=own_backend)
    image = {"data": np.ones((20, 20)), "pixmap": identity((20, 20), 300.0, 40.0), "pixel_scale_ratio": ratio}
    assert driz.add_image(exptime=2.0, **image) == (400, 20)
    assert not driz.out_wht.any()
    assert not driz.out_img.any()
    assert (driz.total_exptime, driz.ctx_id) == (2.0, 1)


@pytest.mark.parametrize("kernel", ["turbo", "gaussian", "lanczos3"])
def test_estimated_scale(own_backend, kernel):
    """pixel_scale_ratio=None takes the ratio of output over input pixels that the map has in its middle."""
    images, shape = images_of(1, kernel, psr=1.25)
    images[0]["pixmap"] = oracle.pixel_map(SHAPE, (14.0, 14.0), 1.25)
    given = added(images, kernel=kernel, out_shape=shape, backend=own_backend)
    estimated = added([images[0] | {"pixel_scale_ratio": None}], kernel=kernel, out_shape=shape, backend=own_backend)
    np.testing.assert_allclose(estimated.out_wht, given.out_wht, rtol=1e-5, atol=1e-6)


def test_borders_lose_nothing(own_backend):
    """A frame that an image sticks out of is the same part of a frame that holds it (drizzle loses contributions)."""
    data, pixmap = np.random.default_rng(0).normal(size=(60, 60)), oracle.pixel_map((60, 60), (50.0, 50.0), 1.0, 30.0)
    whole = added([{"data": data, "exptime": 1.0, "pixmap": pixmap}], out_shape=(100, 100), backend=own_backend)
    part = added([{"data": data, "exptime": 1.0, "pixmap": pixmap - 30.0}], out_shape=(40, 40), backend=own_backend)
    np.testing.assert_allclose(part.out_wht, whole.out_wht[30:70, 30:70], rtol=1e-5, atol=1e-9)


def test_point_at_small_pixfrac(backend):
    """Each image has its pixfrac; a small one makes points of its drops, with a warning."""
    data = np.random.default_rng(0).normal(size=(9, 9))
    driz = gpures.Drizzle(out_shape=(12, 12), backend=backend)
    with pytest.warns(UserWarning, match="Kernel reset to 'point'"):
        driz.add_image(data, 1.0, identity((9, 9), 1.3, 1.3), pixfrac=0.001)
    np.testing.assert_array_equal(driz.out_img[1:10, 1:10], data.astype("f4"))
    driz.add_image(data, 1.0, identity((9, 9), 1.3, 1.3), pixfrac=1.0)
    assert np.count_nonzero(driz.out_wht) == 100


def test_weights_that_are_no_numbers(own_backend):
    """A pixel whose weight is 0 or not finite has no effect, whatever its value."""
    data, weight = np.ones((9, 9)), np.ones((9, 9))
    data[2, 2], weight[2, 2] = np.nan, 0.0
    weight[3, 3], weight[4, 4] = np.nan, np.inf
    driz = gpures.Drizzle(kernel="point", out_shape=(9, 9), fillval=0.0, backend=own_backend)
    driz.add_image(data, 1.0, identity((9, 9)), weight_map=weight, data2=data)
    expected = np.ones((9, 9))
    expected[[2, 3, 4], [2, 3, 4]] = 0.0
    np.testing.assert_array_equal(driz.out_wht, expected)
    np.testing.assert_array_equal(driz.out_img, expected)


def test_limits(backend):
    """Limits beyond the image, and last ones of 0, are its edges."""
    ones = np.ones((9, 9), "f4")
    for limits, expected in [
        ({"xmin": 2, "xmax": 5, "ymin": 1, "ymax": 3}, (slice(1, 4), slice(2, 6))),
        ({"xmin": -3, "xmax": 99, "ymin": 4, "ymax": 0}, (slice(4, 9), slice(0, 9))),
        ({"xmax": np.int64(3)}, (slice(0, 9), slice(0, 4))),
    ]:
        driz = gpures.Drizzle(kernel="point", out_shape=(9, 9), backend=backend)
        driz.add_image(ones, 1.0, identity((9, 9)), **limits)
        used = np.zeros((9, 9))
        used[expected] = 1.0
        np.testing.assert_array_equal(driz.out_wht, used)


def test_deprecated_scale():
    """`scale` is both scales, with a warning that says what to use."""
    images, shape = images_of(1, "turbo")
    image = {name: images[0][name] for name in ("data", "exptime", "pixmap")}
    driz = gpures.Drizzle(kernel="turbo", out_shape=shape)
    with pytest.warns(DeprecationWarning, match="'scale' is deprecated .* use iscale=scale"):
        driz.add_image(**image, scale=1.1)
    same = added([image | {"iscale": 1.1**2, "pixel_scale_ratio": 1.1}], kernel="turbo", out_shape=shape)
    np.testing.assert_array_equal(driz.out_img, same.out_img)


# ---- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "error", "match"),
    [
        ({"kernel": "cube"}, ValueError, "Kernel 'cube' is not supported."),
        ({"fillval": "none"}, ValueError, "could not convert string to float: 'none'"),
        ({"exptime": -1.0}, ValueError, "Exposure time must be non-negative"),
        ({"exptime": 1.0}, ValueError, "Exposure time must be 0.0 for the first resampling"),
        ({"out_wht": np.ones((9, 9)), "exptime": 0.0}, ValueError, "Inconsistent exposure time"),
        ({"out_wht": np.ones((9, 9)), "exptime": 1.0}, ValueError, "Inconsistent values of supplied 'out_wht'"),
        ({"out_img": np.ones((9, 8))}, ValueError, r"Inconsistent data shapes specified: .* \[\(9, 8\), \(9, 9\)\]"),
        ({"out_img2": [None, np.ones((9, 8))]}, ValueError, "Inconsistent data shapes specified"),
        ({"out_dq": np.ones((9, 9), "u8")}, TypeError, "'out_dq' must be of an unsigned integer type .* Got uint64"),
        ({"out_ctx": np.ones(9)}, ValueError, "'out_ctx' must be either a 2D or 3D array"),
        ({"out_img": np.ones(9)}, ValueError, "'out_img' must be a 2D array. Got 1 dimensions"),
        ({"out_img": np.broadcast_to(np.float32(0), (9, 9))}, ValueError, "'out_img' can't be written to"),
        ({"begin_ctx_id": -1}, ValueError, "Invalid context image ID"),
        ({"begin_ctx_id": 2, "max_ctx_id": 1}, ValueError, "'max_ctx_id' cannot be smaller than 'begin_ctx_id'"),
        ({"out_shape": (0, 9)}, ValueError, "Invalid output frame shape"),
        ({"backend": "gpu"}, ValueError, "'backend' must be one of"),
    ],
)
def test_errors_of_construction(changed, error, match):
    """What is wrong with an argument is named."""
    with pytest.raises(error, match=match):
        gpures.Drizzle(**({"out_shape": (9, 9)} | changed))


@pytest.mark.parametrize(
    ("changed", "error", "match"),
    [
        ({"data": np.ones(9)}, ValueError, "'data' must be an image"),
        ({"data": np.ones((9, 9), complex)}, TypeError, "'data' must hold real numbers, got complex128"),
        ({"exptime": 0.0}, ValueError, r"'exptime' \*must\* be a strictly positive number"),
        ({"pixmap": identity((9, 8))}, ValueError, "'pixmap' shape is not consistent"),
        ({"pixmap": np.full((9, 9, 2), np.nan)}, ValueError, "No or too few valid pixels in the pixel map"),
        ({"data2": np.ones((9, 8))}, ValueError, "'data2' shape is not consistent"),
        ({"data2": [np.ones((9, 9)), np.ones((9, 8))]}, ValueError, r"'data2' shape\(s\) is not consistent"),
        ({"dq": np.ones((9, 8), int)}, TypeError, "'dq' must be of an unsigned integer type"),
        ({"dq": np.ones((9, 8), "u1")}, ValueError, "'dq' shape is not consistent"),
        ({"weight_map": np.ones((9, 8))}, ValueError, "'weight_map' shape is not consistent"),
        ({"wht_scale": 0.0}, ValueError, "'wht_scale' must be positive and finite, got 0.0"),
        ({"iscale": np.inf}, ValueError, "'iscale' must be positive and finite"),
        ({"pixel_scale_ratio": -1.0}, ValueError, "'pixel_scale_ratio' must be positive and finite"),
        ({"pixfrac": 2.5}, ValueError, "'pixfrac' must be a number between 0"),
        ({"in_units": "mJy"}, ValueError, "Unknown unit type 'mJy': 'in_units' must be"),
        ({"xmin": 5, "xmax": 5}, ValueError, "'xmax' must be > 'xmin'"),
        ({"xmin": 1.5}, TypeError, "integer"),
    ],
)
@pytest.mark.parametrize("begun", [True, False])
def test_errors_of_adding(changed, error, match, begun):
    """So is what is wrong with an image, before anything is changed."""
    driz = gpures.Drizzle(out_shape=(9, 9) if begun else None, fillval=0.0)
    image = {"data": np.ones((9, 9)), "exptime": 1.0, "pixmap": identity((9, 9))}
    with pytest.raises(error, match=match):
        driz.add_image(**(image | changed))
    assert (driz.total_exptime, driz.ctx_id) == (0.0, 0)
    assert driz.out_img2 is None
    assert driz.out_dq is None
    assert driz.out_img is None if not begun else not driz.out_img.any()


def test_imported_when_asked_for():
    """The API is there under its names, and costs `import gpures` nothing."""
    code = (
        "import sys, gpures; assert 'gpures.drizzle' not in sys.modules and 'gpures.drizzle.blot' not in sys.modules; "
    )
    code += "assert {'Drizzle', 'blot_image'} <= set(dir(gpures)); gpures.Drizzle, gpures.blot_image"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert isinstance(gpures, types.ModuleType)
    with pytest.raises(AttributeError, match="no attribute 'Blot'"):
        gpures.Blot  # noqa: B018

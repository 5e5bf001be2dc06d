"""The CUDA backend on the host: how threads map to pixels, how arrays go up, and what happens when something fails.

What the images must be is tested with all other backends; here they are compared with those of the backend "cpu".
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import subprocess
import sys
import threading
import types
import weakref
from importlib.util import find_spec

import hypothesis.extra.numpy as arrays
import numpy as np
import oracle
import pytest
import scenes
from cuda_on_host import CompileException, CUDARuntimeError, HostArray, HostCUDA, OutOfMemoryError
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EPS32, EPS64

import gpures
from gpures import _cpu
from gpures.backend import choice as backend
from gpures.backend.base import MosaicLayout
from gpures.backend.choice import why_unavailable
from gpures.backend.cuda import pieces, pinned, upload
from gpures.backend.cuda.kernels import Program
from gpures.exposure.drops import KERNELS
from gpures.exposure.exposure import WEIGHTS, Exposure
from gpures.exposure.pixmap import calc_pixmap, exposure_record
from gpures.exposure.records import set_drop
from gpures.exposure.structs import in_memory
from gpures.exposure.weights import Weight

pytestmark = pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel")

VARIANCES = ("var_rnoise", "var_flat")


def frame_of(shape, kernel="square", dtype="f4", **settings):
    return MosaicLayout(shape, kernel, None, VARIANCES, has_err=True, has_dq=True, dtype=np.dtype(dtype), **settings)


def exposure_of(shape, at, seed=0, **settings):
    """An exposure with everything on, its centre at `at` in the output frame."""
    rng = np.random.default_rng(seed)
    angle, warp = settings.pop("angle", 17.0), settings.pop("warp", 0.02)
    return oracle.exposure(
        rng.normal(size=shape).astype("f4"),
        oracle.pixel_map(shape, at, settings.get("pixel_scale_ratio", 1.0), angle, warp=warp),
        weight=Weight(variance=rng.uniform(0.5, 2, shape).astype("f4"), bad_bits=4),
        dq=rng.choice([0, 0, 4, 8], shape).astype("u4"),
        err=rng.uniform(size=shape).astype("f4"),
        variances={name: rng.uniform(0.5, 2, shape).astype("f4") for name in VARIANCES},
        variance_weight=None,
        **settings,
    )


def assert_same_image(name, got, expected, dtype="f4"):
    """An image is the same but for the order of sums of float64, which may change a rounding with each exposure."""
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(got, expected, name)
        return
    # Float64 sums of both signs (Lanczos weights) may cancel by a factor of some hundred.
    rtol = 4 * EPS32 if dtype == "f4" else 1e4 * EPS64
    scale = np.nanmax(np.abs(expected), initial=0.0)
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol * scale, err_msg=name)


def assert_same_images(got, expected, dtype="f4"):
    """All images are the same, in that sense."""
    assert got.keys() == expected.keys()
    for name in expected:
        assert_same_image(name, got[name], expected[name], dtype)


def assert_same(frame, exposures):
    """The backends cuda and cpu give the same images."""
    got = oracle.run("cuda", frame, exposures)
    assert_same_images(got, oracle.run("cpu", frame, exposures), f"f{frame.dtype.itemsize}")
    return got


# ---- threads and pixels ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_images_of_any_size(cuda, kernel, dtype):
    """Blocks may be full, partial, or have one row, column or pixel: every pixel is splatted once."""
    smallest = 2 if kernel == "square" else 1
    shapes = [(smallest, smallest), (8, 32), (9, 33), (7, 31), (16, 64), (17, smallest), (smallest, 65), (40, 70)]
    exposures = [
        exposure_of(shape, (48.0, 44.3), seed=k, context_id=k, pixel_scale_ratio=0.9) for k, shape in enumerate(shapes)
    ]
    got = assert_same(frame_of((90, 100), kernel, dtype), exposures)
    assert (got["wht"] != 0).any()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("x", [-60.0, -3.2, 33.0, 70.4, 130.0])
@pytest.mark.parametrize("y", [-60.0, -3.2, 25.0, 52.9, 130.0])
def test_windows_at_every_border(cuda, kernel, x, y):
    """An exposure inside, across each border, at each corner, and beyond."""
    got = assert_same(frame_of((53, 71), kernel), [exposure_of((20, 36), (x, y), context_id=33)])
    assert (got["wht"] != 0).any() == (-60 < x < 130 and -60 < y < 130)


@pytest.mark.also_on_ptx
@pytest.mark.parametrize("limits", [(0, 0, 0, 0), (3, 20, 5, 9), (31, 39, 7, 16), (39, 39, 0, 16)])
def test_part_of_an_image(cuda, limits):
    """Only the pixels within the limits take part, wherever they lie in a block."""
    assert_same(frame_of((60, 60)), [exposure_of((17, 40), (30.0, 30.0), limits=limits)])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("order", [1, 3, None])
def test_spline_maps(cuda, kernel, order):
    """A pixel map goes up as a spline, of either order, and gives what the CPU makes of it; its edges included."""
    shape = (100, 120)
    wcs = scenes.imaging_wcs(shape, distortion=2.0)
    output = scenes.frame_around(shape, 1.1, rotation=10.0)
    pixmap = calc_pixmap(wcs, output, shape, 1e-3, *((1, 1) if order is None else (9, order)))
    assert pixmap.full is None
    exposure = exposure_of(shape, (0, 0), pixel_scale_ratio=1.1)
    exposure.pixmap = pixmap
    assert_same(frame_of(output.array_shape, kernel), [exposure])


@pytest.mark.also_on_ptx
def test_every_plane_for_itself(cuda):
    """With no error, no variance, no DQ and no context an exposure is its data and weights alone."""
    exposure = exposure_of((20, 36), (40.0, 30.0))
    exposure.err, exposure.variances, exposure.dq = None, {}, None
    exposure.weight = Weight(constant=2.5)
    assert_same(MosaicLayout((60, 70), context_planes=0), [exposure])


def touched(frame, exposure):
    """Output pixels that the CPU finds touched."""
    images = oracle.run("cpu", frame, [exposure])
    return images["wht"] != 0


def window_of(exposure, frame):
    record = exposure_record(exposure.shape, exposure.pixmap, in_memory)
    set_drop(record, exposure, frame.kernel, in_memory)
    copies, whole = _cpu.copies(record.ctypes.data, frame.shape[1], frame.shape[0], 2)
    assert whole
    return copies[0][2] if copies else (0, -1, 0, -1)


@given(
    kernel=st.sampled_from(KERNELS),
    at=st.tuples(st.floats(-20, 120), st.floats(-20, 120)),
    angle=st.floats(0, 360),
    ratio=st.sampled_from([0.4, 1.0, 2.3]),
    pixfrac=st.sampled_from([0.3, 1.0, 2.0]),
    stepsize=st.sampled_from([None, 2, 7]),
    order=st.sampled_from([1, 3]),
)
def test_window_holds_what_is_touched(kernel, at, angle, ratio, pixfrac, stepsize, order):
    """The window of an exposure holds all that it contributes to, and little more, whatever its map is made of."""
    shape, frame = (21, 30), MosaicLayout((100, 100), kernel)
    exposure = oracle.exposure(
        np.ones(shape), oracle.pixel_map(shape, at, ratio, angle), pixfrac=pixfrac, pixel_scale_ratio=ratio
    )
    if stepsize is not None:
        matrix = np.array([[np.cos(np.radians(angle)), -np.sin(np.radians(angle))],
                           [np.sin(np.radians(angle)), np.cos(np.radians(angle))]]) / ratio  # fmt: skip
        centre = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2])
        models = scenes.models
        straight = models.AffineTransformation2D(matrix, translation=np.array(at) - matrix @ centre)
        wcs = scenes.wcs_of(straight | models.Scale(1e-3) & models.Scale(1e-3), shape, None)
        plain = scenes.wcs_of(models.Scale(1e-3) & models.Scale(1e-3), (100, 100), None)
        exposure.pixmap = calc_pixmap(wcs, plain, shape, stepsize=stepsize, order=order)
        assert exposure.pixmap.full is None
    x0, x1, y0, y1 = window_of(exposure, frame)
    rows, columns = np.nonzero(touched(frame, exposure))
    if rows.size:
        assert x0 <= columns.min() <= columns.max() <= x1
        assert y0 <= rows.min() <= rows.max() <= y1
        # No more than a pixel for rounding, half a drop for the corners of a turned image, and the drop's reach.
        margin = 3 + 2 * oracle.reach(kernel, pixfrac, ratio) + 2 / ratio
        x, y = exposure.pixmap.array()[..., 0], exposure.pixmap.array()[..., 1]
        assert x1 - x0 <= x.max() - x.min() + 2 * margin
        assert y1 - y0 <= y.max() - y.min() + 2 * margin


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e300])
def test_window_of_a_broken_map(cuda, value):
    """Coordinates that are no numbers, or beyond all frames, cost nothing but their own pixels."""
    exposure = exposure_of((20, 36), (40.0, 30.0))
    exposure.pixmap.full[3:9, 5:8] = value
    assert_same(frame_of((60, 70)), [exposure])


# ---- the way up --------------------------------------------------------------------------------------------------


@given(
    array=arrays.arrays(np.uint16, arrays.array_shapes(min_dims=1, max_dims=3, max_side=9)),
    most=st.sampled_from([2, 6, 32, 1 << 20]),
    turned=st.booleans(),
)
def test_pieces_make_the_whole(array, most, turned):
    """Pieces of an array are no longer than asked for, and together its contiguous copy, each byte once."""
    if turned and array.ndim == 2:
        array = array.T[::-1]
    copy = np.zeros(array.nbytes, np.uint8)
    count = 0
    for piece, offset in pieces.pieces_of(array, most):
        assert piece.nbytes <= most
        rows = np.ascontiguousarray(piece)
        copy[offset : offset + rows.nbytes] = rows.reshape(-1).view(np.uint8)
        count += piece.nbytes
    assert count == array.nbytes
    np.testing.assert_array_equal(copy.view(array.dtype), array.ravel())


@pytest.mark.parametrize("threads", ["1", "2", "5"])
@pytest.mark.parametrize("piece", [64, 1000, 4 << 20])
def test_pipeline(cuda, monkeypatch, threads, piece):
    """Exposures of all sizes, one upon another, through buffers that are used again and again: the same mosaic."""
    monkeypatch.setenv("GPURES_NUM_THREADS", threads)
    monkeypatch.setattr(pinned, "LARGEST", piece)
    shapes = [(9, 12), (30, 40), (5, 7), (31, 38), (2, 2), (30, 40), (16, 16), (40, 50)]
    exposures = [exposure_of(shape, (40.0 + k, 35.0), seed=k, context_id=k) for k, shape in enumerate(shapes)]
    assert_same(frame_of((80, 90)), exposures)


def test_memory_of_the_pool_may_still_be_in_use(host_cuda):
    """Copies into memory that the stream has freed wait for the work that the stream has left on it."""
    stream = host_cuda.cuda.Stream(non_blocking=True)
    uploader = upload.Uploader(host_cuda, stream)
    array = np.arange(4096, dtype="u1")
    with stream:
        before = host_cuda.zeros(array.size, "u1")
        del before
    (address,) = uploader.upload([array])
    uploader._copy.synchronize()
    stream.synchronize()
    there = np.frombuffer((ctypes.c_uint8 * array.size).from_address(address), "u1")
    np.testing.assert_array_equal(there, array)


def test_arrays_are_read_when_add_returns(cuda):
    """A caller may write to its arrays as soon as an exposure was added, though nothing of it is done yet."""
    frame = frame_of((60, 70))
    expected = oracle.run("cpu", frame, [exposure_of((20, 36), (40.0, 30.0), seed=k) for k in range(4)])
    accumulators = backend.make_accumulators("cuda", frame)
    for k in range(4):
        exposure = exposure_of((20, 36), (40.0, 30.0), seed=k)
        accumulators.add(exposure)
        for array in exposure.arrays().values():
            array[...] = 77
        exposure.pixmap.full[...] = 0.0
    np.testing.assert_array_equal(accumulators.images()["data"], expected["data"])


def count_uploads(monkeypatch):
    """Bytes of each array that goes up to a device from now on, as they go."""
    sizes, upload_them = [], upload.Uploader.upload

    def counting(self, arrays):
        sizes.extend(array.nbytes for array in arrays)
        return upload_them(self, arrays)

    monkeypatch.setattr(upload.Uploader, "upload", counting)
    return sizes


def test_what_goes_up_goes_in_one_piece(host_cuda, monkeypatch):
    """An exposure's arrays go up by one copy, which has no more than what aligns them beside them."""
    sizes, copied, copy = count_uploads(monkeypatch), [], host_cuda.cuda.runtime.memcpyAsync
    monkeypatch.setattr(host_cuda.cuda.runtime, "memcpyAsync", lambda *a: (copied.append(a[2]), copy(*a)))
    accumulators = backend.make_accumulators("cuda", frame_of((60, 70)))
    for k in range(3):
        accumulators.add(exposure_of((20, 36), (40.0, 30.0), seed=k))
    assert len(copied) == 3
    assert 0 <= sum(copied) - sum(sizes) < upload.ALIGNMENT * len(sizes)


def test_an_array_that_serves_twice_goes_up_once(host_cuda, monkeypatch):
    """The read-noise variance is a weight and a plane, and one array."""
    copied = count_uploads(monkeypatch)
    exposure = exposure_of((20, 36), (40.0, 30.0))
    exposure.weight = Weight(variance=exposure.variances["var_rnoise"])
    accumulators = backend.make_accumulators("cuda", frame_of((60, 70)))
    accumulators.add(exposure)
    planes = [exposure.data, exposure.err, exposure.dq, *exposure.variances.values()]
    assert sum(copied) == sum(plane.nbytes for plane in planes) + exposure.pixmap.full.nbytes


def test_one_number_goes_up_once(host_cuda, monkeypatch):
    """Of an array that has the same number everywhere, as `numpy.broadcast_to` makes it, that goes up; and counts."""
    copied = count_uploads(monkeypatch)
    shape = (30, 34)
    model = scenes.dithered_models(shape, 1)[0]
    same = {"var_rnoise": np.float32(0.5), "var_flat": np.array(2.0, ">f8"), "var_poisson": np.int16(3)}
    sizes, images = [], []
    for dense in (False, True):
        for name, value in same.items():
            array = np.broadcast_to(value, shape)
            model[name] = array.copy() if dense else array
        copied.clear()
        resample = gpures.Resample({"wcs": scenes.frame_around(shape)}, backend="cuda", compute_err="from_var")
        resample.add_model(model)
        sizes.append(sum(copied))
        resample.finalize()
        images.append(resample.output_model)
    assert sizes[1] - sizes[0] == (shape[0] * shape[1] - 1) * (4 + 8 + 2)
    for name in ("data", "wht", "err", *same):
        np.testing.assert_array_equal(images[0][name], images[1][name], name)


@pytest.mark.parametrize("options", [{}, {"fillval": -3.0, "covariance": 1}], ids=str)
@pytest.mark.parametrize("at", [(-11.0, -9.0), (70.0, 60.0), (30.0, 20.0)], ids=str)
def test_what_is_empty_does_not_come_down(host_cuda, monkeypatch, options, at):
    """Of images, what exposures have touched; the rest is made here, whatever it is."""
    came, copy, get = [], host_cuda.cuda.runtime.memcpyAsync, HostArray.get

    def counting(to, source, size, kind, stream):
        came.extend([size] * (kind == host_cuda.cuda.runtime.memcpyDeviceToHost))
        return copy(to, source, size, kind, stream)

    monkeypatch.setattr(host_cuda.cuda.runtime, "memcpyAsync", counting)
    monkeypatch.setattr(HostArray, "get", lambda array: (came.append(array.nbytes), get(array))[1])
    shape = (30, 34)
    settings = {"compute_err": "from_var", "propagate_dq": True, "enable_exptime_map": True, "fillval": "NaN"} | options
    frame = scenes.frame_around(shape, margin=60)
    models = [scenes.model_of(scenes.imaging_wcs(shape, shift=(at[0] - 10 * k, at[1])), shape, k) for k in range(2)]
    made = [gpures.Resample({"wcs": frame}, backend=name, **settings) for name in ("cuda", "cpu")]
    for resample in made:
        resample.add_models(models)
    names = ("data", "wht", "con", "dq", "exptime_map")
    came.clear()
    images = [{name: resample.output_model[name] for name in names} for resample in made]
    window = made[0]._accumulators.touched
    pixels = (window.xmax - window.xmin + 1) * (window.ymax - window.ymin + 1)
    assert 0 < pixels < 0.3 * frame.array_shape[0] * frame.array_shape[1]
    assert sum(came) <= 4 * 5 * pixels + 100
    for resample, image in zip(made, images, strict=True):
        resample.finalize()
        image |= {n: np.asarray(x) for n, x in resample.output_model.items() if isinstance(x, np.ndarray)}
    # Where drops but graze a pixel, a covariance has as few digits as they share with it.
    covariances = [image.pop("covariance", np.zeros(1)) for image in images]
    np.testing.assert_allclose(*covariances, rtol=1e-2, atol=1e-12)
    assert_same_images(*images)


def on_device(cuda, model):
    """A model with its arrays on the device."""
    return {key: cuda.array(value) if isinstance(value, np.ndarray) else value for key, value in model.items()}


def test_arrays_on_the_device_are_used_in_place(host_cuda, monkeypatch):
    """Arrays that are on the device are not copied; the caller may write to them, on its own stream, at once."""
    shape = (30, 34)
    output = {"wcs": scenes.frame_around(shape)}
    models = scenes.dithered_models(shape, 3)
    options = {"compute_err": "from_var", "propagate_dq": True}
    host = gpures.Resample(output, backend="cpu", **options)
    there = gpures.Resample(output, backend="cuda", **options)
    host.add_models(models)
    copied = count_uploads(monkeypatch)
    for model in models:
        model_there = on_device(host_cuda, model)
        there.add_model(model_there)
        stream = host_cuda.current_stream()
        for array in model_there.values():
            if isinstance(array, HostArray):
                stream.enqueue(lambda array=array: array._host.fill(9))
        stream.synchronize()  # which must not come before the splat
    assert sum(copied) == 3 * 16 * shape[0] * shape[1]  # pixel maps alone
    for resample in (host, there):
        resample.finalize()
    for name in ("data", "wht", "con", "dq", "err", "var_rnoise"):
        np.testing.assert_allclose(there.output_model[name], host.output_model[name], rtol=EPS32, err_msg=name)


def test_device_arrays_of_any_layout(cuda):
    """Strided and unaligned arrays on the device give what they would on the host."""
    frame = frame_of((60, 70))
    expected = oracle.run("cpu", frame, [exposure_of((20, 36), (40.0, 30.0))])
    exposure = exposure_of((20, 36), (40.0, 30.0))
    wide = np.zeros((40, 72), "f4")
    wide[::2, ::2] = exposure.data
    exposure.data = cuda.array(wide)[::2, ::2]
    unaligned = np.zeros(20 * 36 * 4 + 2, np.uint8)
    unaligned[2:] = exposure.err.reshape(-1).view(np.uint8)
    exposure.err = cuda.array(unaligned)[2:].view("f4").reshape(20, 36)
    assert_same_images(oracle.run("cuda", frame, [exposure]), expected)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_images_stay_on_the_device_if_asked(cuda, dtype):
    """With to_host=False all images are device arrays, of the same values and types."""
    shape = (30, 34)
    output = {"wcs": scenes.frame_around(shape)}
    for error in ("from_var", "driz_err"):
        options = {"compute_err": error, "propagate_dq": True, "backend": "cuda", "accumulator_dtype": dtype}
        here, there = gpures.Resample(output, **options), gpures.Resample(output, to_host=False, **options)
        for resample in (here, there):
            resample.add_models(scenes.dithered_models(shape, 3))
            resample.finalize()
        names = [name for name, image in here.output_model.items() if isinstance(image, np.ndarray)]
        assert {"data", "wht", "con", "dq", "err", "var_rnoise"} <= set(names)
        for name in names:
            assert isinstance(there.output_model[name], cuda.ndarray)
            assert there.output_model[name].dtype == here.output_model[name].dtype
            np.testing.assert_array_equal(there.output_model[name].get(), here.output_model[name], name)


def test_an_image_is_of_its_moment(cuda):
    """An image read in between, of another type than the sums, does not change with what is added afterwards."""
    shape = (30, 34)
    models = scenes.dithered_models(shape, 3)
    resample = gpures.Resample(
        {"wcs": scenes.frame_around(shape)}, backend="cuda", to_host=False, accumulator_dtype="f8"
    )
    resample.add_model(models[0])
    image = resample.output_model["data"]
    resample.add_models(models[1:])
    resample.finalize()
    alone = gpures.Resample({"wcs": scenes.frame_around(shape)}, backend="cpu")
    alone.add_model(models[0])
    assert_same_image("data", image.get(), alone.output_model["data"])


@pytest.mark.parametrize("name", ["cpu", "drizzle"])
@pytest.mark.parametrize("key", ["data", "dq", "var_rnoise"])
def test_device_arrays_need_the_device(cuda, name, key):
    """The other backends refuse arrays on a GPU, by name."""
    shape = (30, 34)
    model = scenes.dithered_models(shape, 1)[0]
    resample = gpures.Resample({"wcs": scenes.frame_around(shape)}, backend=name, good_bits=0)
    with pytest.raises(TypeError, match=f"'{key}' of model .* is on a GPU, and backend='{name}'"):
        resample.add_model(model | {key: cuda.array(model[key])})


def test_weight_map_of_device_arrays(cuda):
    """A hook's weight map is made on the device, from whatever is there."""
    exposure = exposure_of((20, 36), (40.0, 30.0))
    expected = backend.make_accumulators("cpu", frame_of((60, 70))).weight_map(exposure)
    accumulators = backend.make_accumulators("cuda", frame_of((60, 70)))
    np.testing.assert_array_equal(accumulators.weight_map(exposure), expected)
    exposure.dq = cuda.array(exposure.dq)
    exposure.weight = Weight(variance=cuda.array(exposure.weight.variance), bad_bits=4)
    np.testing.assert_array_equal(accumulators.weight_map(exposure), expected)


# ---- memory ------------------------------------------------------------------------------------------------------


def memory_of_many(count, size, measure):
    """What is measured now and then while so many exposures are added, of three sizes in turn."""
    accumulators = backend.make_accumulators("cuda", frame_of((40 * size, 50 * size)))
    exposures = [exposure_of((8 * size + k, 12 * size), (25.0 * size, 20.0 * size), seed=k) for k in range(3)]
    measured = set()
    for k in range(count):
        accumulators.add(exposures[k % 3])
        if k % 50 == 20:
            accumulators.images()
            gc.collect()
            measured.add(measure())
    return measured


def test_many_exposures_do_not_grow(host_cuda):
    """After the first few exposures no more memory is taken, however many follow."""
    assert len(memory_of_many(180, 1, lambda: (host_cuda.used[0], host_cuda.free_bytes()))) == 1


def test_many_exposures_do_not_grow_on_a_gpu(gpu):
    """Nor on a real device, in CuPy's pool or, where no other process takes of the device's memory, beside it."""
    pool, runtime = gpu.get_default_memory_pool(), gpu.cuda.runtime
    is_alone = "PYTEST_XDIST_WORKER" not in os.environ
    assert len(memory_of_many(500, 10, lambda: (pool.total_bytes(), is_alone and runtime.memGetInfo()[0]))) == 1


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_mosaic_of_real_size(gpu, kernel):
    """Many blocks at once, on every multiprocessor, whose adds meet: the same mosaic."""
    shape = (1024, 1100)
    exposures = [
        exposure_of(shape, (800.0 + 9.3 * k, 780.0 - 5.7 * k), seed=k, context_id=k, angle=30.0 * k, warp=1e-4)
        for k in range(3)
    ]
    assert_same(frame_of((1500, 1600), kernel), exposures)


def test_a_finished_mosaic_holds_nothing(host_cuda):
    """Memory is back in the pool when a mosaic is finished, and the next one takes it from there."""
    shape = (30, 34)
    for _ in range(3):
        resample = gpures.Resample({"wcs": scenes.frame_around(shape)}, backend="cuda")
        resample.add_models(scenes.dithered_models(shape, 3))
        resample.finalize()
        gc.collect()
        assert host_cuda.used[0] == 0
    pooled = host_cuda.free_bytes()
    resample.reset_arrays()
    assert host_cuda.used[0] + host_cuda.free_bytes() == pooled


def test_a_frame_too_large(monkeypatch):
    """What a mosaic needs is known before it is allocated."""
    cuda = HostCUDA(memory=10 << 20)
    monkeypatch.setitem(sys.modules, "cupy", cuda)
    with pytest.raises(MemoryError, match=r"1000 x 900 pixels needs 0\.0 GiB of memory on device 0 .*Use a smaller"):
        backend.make_accumulators("cuda", frame_of((900, 1000)))
    assert cuda.highest == 0


@pytest.mark.parametrize("what", ["sums", "arrays"])
def test_an_exposure_too_large(monkeypatch, what):
    """An exposure that does not fit is refused, says so, and leaves the mosaic as it was."""
    frame = MosaicLayout((300, 300), context_planes=0)
    small = oracle.exposure(np.ones((8, 8), "f4"), oracle.pixel_map((8, 8), (100.0, 100.0)))
    # Accumulators are 720 kB, the sums of the large one 1.4 MB, and its arrays, doubles, 2.2 MB.
    cuda = HostCUDA(memory={"sums": 2_000_000, "arrays": 4_000_000}[what])
    monkeypatch.setitem(sys.modules, "cupy", cuda)
    accumulators = backend.make_accumulators("cuda", frame)
    accumulators.add(small)
    before = accumulators.images()
    large = oracle.exposure(np.ones((300, 300)), oracle.pixel_map((300, 300), (150.0, 150.0)))
    with pytest.raises(MemoryError, match=f"{what}.* of an exposure .*GiB are free. Nothing of it was added"):
        accumulators.add(large)
    after = accumulators.images()
    for name in before:
        np.testing.assert_array_equal(after[name], before[name])
    accumulators.add(small)
    np.testing.assert_array_equal(accumulators.images()["wht"], 2 * before["wht"])


# ---- devices, streams, threads -----------------------------------------------------------------------------------


@pytest.fixture
def two_devices(monkeypatch):
    cuda = HostCUDA(devices=2)
    monkeypatch.setitem(sys.modules, "cupy", cuda)
    return cuda


@pytest.mark.parametrize("which", [1, "cuda:1", np.int64(1)])
def test_device(two_devices, which):
    """Everything of a mosaic is on the device asked for, and the caller's stays the current one."""
    shape = (30, 34)
    resample = gpures.Resample(
        {"wcs": scenes.frame_around(shape)}, backend="cuda", device=which, compute_err="driz_err"
    )
    resample.add_models(scenes.dithered_models(shape, 2, err=np.ones(shape, "f4")))
    assert two_devices.used[0] == 0
    assert two_devices.used[1] > 0
    assert two_devices.cuda.runtime.getDevice() == 0
    resample.output_model["data"]
    resample.finalize()
    assert two_devices.used == {0: 0, 1: 0}
    assert two_devices.cuda.runtime.getDevice() == 0
    assert two_devices.streams() == []


def test_the_callers_device_and_stream(two_devices):
    """Without `device` a mosaic is made on the caller's current device, whose stream stays current."""
    shape = (30, 34)
    with two_devices.cuda.Device(1):
        own = two_devices.cuda.Stream(non_blocking=True)
        with own:
            resample = gpures.Resample({"wcs": scenes.frame_around(shape)}, backend="cuda")
            resample.add_models(scenes.dithered_models(shape, 2))
            assert two_devices.current_stream() is own
    assert two_devices.used[0] == 0
    resample.finalize()  # from another device than it began on
    assert np.isfinite(resample.output_model["data"]).any()


@pytest.mark.parametrize("bad", [-1, 1.5, "gpu", "cuda:", True, "cuda:x"])
def test_bad_device(host_cuda, bad):
    """A device is a number or a name."""
    with pytest.raises(ValueError, match="'device' must be"):
        gpures.Resample({"wcs": scenes.frame_around((8, 8))}, backend="cuda", device=bad)


def test_arrays_of_another_device(two_devices):
    """Arrays on another device are copied over."""
    frame = frame_of((60, 70))
    expected = oracle.run("cpu", frame, [exposure_of((20, 36), (40.0, 30.0))])
    exposure = exposure_of((20, 36), (40.0, 30.0))
    exposure.data = two_devices.array(exposure.data)
    accumulators = backend.make_accumulators("cuda", frame, device=1)
    with two_devices.cuda.Device(0):
        accumulators.add(exposure)
    np.testing.assert_array_equal(accumulators.images()["data"], expected["data"])


@pytest.mark.parametrize("devices", [(0, 0), (0, 1)])
def test_two_mosaics_at_once(two_devices, devices):
    """Two mosaics, in two threads, on one device or on two, do not disturb each other."""
    two_at_once(devices)


def test_two_mosaics_on_one_device(cuda):
    """Nor do they on a real one."""
    two_at_once((0, 0))


def two_at_once(devices):
    frame = frame_of((60, 70))
    exposures = [[exposure_of((20, 36), (40.0, 30.0), seed=10 * n + k) for k in range(6)] for n in range(2)]
    expected = [oracle.run("cpu", frame, each) for each in exposures]
    got: dict = {}

    def work(n):
        accumulators = backend.make_accumulators("cuda", frame, device=devices[n])
        for exposure in exposures[n]:
            accumulators.add(exposure)
        got[n] = accumulators.images()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in range(2):
        assert_same_image("data", got[n]["data"], expected[n]["data"])


def test_kernels_are_compiled_once(host_cuda, monkeypatch):
    """A second mosaic, and all its exposures, take the kernels of the first."""
    modules = []
    compile_them = host_cuda.RawModule
    monkeypatch.setattr(host_cuda, "RawModule", lambda **k: (modules.append(k), compile_them(**k))[1])
    for _ in range(2):
        oracle.run("cuda", frame_of((60, 70)), [exposure_of((20, 36), (40.0, 30.0))])
        count = len(modules)
    oracle.run("cuda", frame_of((60, 70)), [exposure_of((20, 36), (40.0, 30.0))])
    assert len(modules) == count


def test_collected_in_the_middle_of_a_compilation(host_cuda):
    """A mosaic that the garbage collector takes while its thread compiles another's kernels does not hang it."""
    accumulators = backend.make_accumulators("cuda", frame_of((60, 70)))
    accumulators.add(exposure_of((20, 36), (40.0, 30.0)))
    with Program._lock:
        del accumulators
        gc.collect()
    assert host_cuda.used[0] == 0


# ---- failures ----------------------------------------------------------------------------------------------------


def construct(name="cuda", **options):
    return gpures.Resample({"wcs": scenes.frame_around((30, 34))}, backend=name, **options)


def broken(**changes):
    """A stand-in with something changed."""
    cuda = HostCUDA()
    for name, value in changes.items():
        setattr(cuda, name, value)
    return cuda


def no_driver():
    cuda = HostCUDA()
    cuda.cuda.runtime.driverGetVersion = lambda: 0
    return cuda


FAILURES = {
    "no cupy": (lambda: None, "needs CuPy: pip install 'cupy-cuda13x"),
    "no driver": (no_driver, "no NVIDIA driver on this machine"),
    "no device": (
        lambda: broken(failures={"getDeviceCount": CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device")}),
        "No GPU is visible: .*CUDA_VISIBLE_DEVICES",
    ),
    "none": (lambda: broken(devices=0), "No GPU is visible"),
    "an empty folder": (lambda: types.ModuleType("cupy"), "imported as 'cupy' is not CuPy"),
    "old driver": (
        lambda: broken(failures={"getDeviceCount": CUDARuntimeError("cudaErrorInsufficientDriver: insufficient")}),
        "driver is missing, or too old .*pip install 'cupy-cuda12x",
    ),
    "old device": (lambda: HostCUDA(capability=(6, 1)), "compute capability 6.1, and CUDA 13 compiles for 7.5"),
    "rather old device": (
        lambda: HostCUDA(capability=(7, 0)),
        "7.0, and CUDA 13 compiles for 7.5 .*pip install 'cupy-cuda12x",
    ),
    "no compiler": (
        lambda: broken(failures={"RawModule": RuntimeError("CuPy failed to load libnvrtc.so.13: OSError: ...")}),
        "compiling the kernel splat_square_4: .*NVRTC, or CUDA's headers are missing",
    ),
    "compiler fails": (
        lambda: broken(failures={"RawModule": CompileException("error: no such thing")}),
        "compiling the kernel .*no such thing.*NVRTC",
    ),
    "no binary": (
        lambda: broken(failures={"RawModule": CUDARuntimeError("cudaErrorNoKernelImageForDevice: no image")}),
        "too old, or too new",
    ),
}


@pytest.mark.parametrize("case", FAILURES)
def test_failures_at_the_beginning_say_what_to_do(monkeypatch, caplog, case):
    """Asked for, CUDA fails with what to do; "auto" takes the CPU and logs the same."""
    make, text = FAILURES[case]
    monkeypatch.setitem(sys.modules, "cupy", make())
    with pytest.raises(gpures.DeviceError, match=text):
        construct()
    monkeypatch.setattr(backend, "_told", set())
    with caplog.at_level(logging.INFO, "gpures"):
        resample = construct("auto")
    assert resample.backend == "cpu"
    assert caplog.messages[-1].startswith("Output") or "Resampling on the CPU" in caplog.text
    assert [record for record in caplog.records if "Resampling on the CPU" in record.message]
    monkeypatch.undo()


def test_memory_is_a_reason_to_fall_back(monkeypatch, caplog):
    """A frame that fits the host but not the device is made on the host, and the log says so."""
    monkeypatch.setitem(sys.modules, "cupy", HostCUDA(memory=1000))
    with caplog.at_level(logging.WARNING, "gpures"):
        assert construct("auto").backend == "cpu"
    assert "Resampling on the CPU. An output frame of" in caplog.text


def test_the_reason_is_a_warning_once(monkeypatch, caplog):
    """Who has CuPy but no GPU is told so once in a process, not with each mosaic."""
    monkeypatch.setitem(sys.modules, "cupy", broken(devices=0))
    monkeypatch.setattr(backend, "_told", set())
    with caplog.at_level(logging.INFO, "gpures"):
        for _ in range(3):
            construct("auto")
    levels = [record.levelname for record in caplog.records if "Resampling on the CPU" in record.message]
    assert levels == ["WARNING", "INFO", "INFO"]


def test_auto_takes_the_gpu(cuda):
    """Where there is a GPU, "auto" is "cuda"."""
    assert construct("auto").backend == "cuda"


@pytest.mark.parametrize("where", ["launch", "memcpyAsync"])
def test_failure_of_a_call_in_mid_run(host_cuda, where):
    """A call that fails in mid-run is an error, whatever the backend was chosen by, and never a silent fallback."""
    resample = construct("auto")
    models = scenes.dithered_models((30, 34), 2)
    resample.add_model(models[0])
    host_cuda.failures[where] = CUDARuntimeError("cudaErrorLaunchFailure: unspecified launch failure")
    with pytest.raises(gpures.DeviceError, match=r"failed in adding an exposure: cudaErrorLaunchFailure.*begin again"):
        resample.add_model(models[1])
    assert resample.backend == "cuda"
    assert len(resample.group_ids) == 1


@pytest.mark.parametrize("kernel", ["splat_square_4", "fold_f4"])
def test_failure_of_a_kernel_in_mid_run(host_cuda, kernel):
    """A kernel that fails is found at the latest when somebody looks at an image."""
    resample = construct()
    host_cuda.failures[kernel] = CUDARuntimeError("cudaErrorIllegalAddress: an illegal memory access")
    resample.add_model(scenes.dithered_models((30, 34), 1)[0])
    with pytest.raises(
        gpures.DeviceError, match=r"making the images: cudaErrorIllegalAddress.*can no longer be trusted"
    ):
        resample.output_model["data"]


def test_ending_after_a_failure(host_cuda):
    """A mosaic whose device has failed says so when another is to be begun, and holds nothing afterwards."""
    resample = construct()
    host_cuda.failures["splat_square_4"] = CUDARuntimeError("cudaErrorIllegalAddress: an illegal memory access")
    resample.add_model(scenes.dithered_models((30, 34), 1)[0])
    with pytest.raises(gpures.DeviceError, match="cudaErrorIllegalAddress"):
        resample.reset_arrays()
    del resample
    gc.collect()
    assert host_cuda.used[0] == 0


def test_out_of_memory_in_the_middle_of_beginning(host_cuda):
    """Memory that another process takes in the meantime is a memory error all the same."""
    host_cuda.failures["allocate"] = OutOfMemoryError("Out of memory allocating 8 bytes")
    with pytest.raises(MemoryError, match="Out of memory"):
        construct()


def test_a_broken_cupy_breaks_nothing_else(tmp_path):
    """With a CuPy that can't be imported, gpures imports, resamples on the CPU, and says what is wrong."""
    (tmp_path / "cupy.py").write_text("raise RuntimeError('libcudart.so.13 is of another version')")
    program = (
        "import gpures, logging; logging.basicConfig(level=logging.INFO)\n"
        "from astropy.wcs import WCS\n"
        "w = WCS(naxis=2); w.wcs.ctype = 'RA---TAN', 'DEC--TAN'; w.wcs.cdelt = -1e-5, 1e-5; w.array_shape = 20, 20\n"
        "print(gpures.Resample({'wcs': w}).backend)\n"
        "try: gpures.Resample({'wcs': w}, backend='cuda')\n"
        "except gpures.DeviceError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path, timeout=100
    )
    assert done.stdout.splitlines()[0] == "cpu"
    assert "can't be imported: libcudart.so.13 is of another version" in done.stdout.splitlines()[1]
    assert "Resampling on the CPU" in done.stderr


# ---- the stand-in ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(find_spec("cupy") is None, reason="needs CuPy")
def test_stand_in_has_cupys_names():
    """What the stand-in offers, CuPy has under the same names."""
    import cupy

    cuda = HostCUDA()
    names = [
        "zeros",
        "empty",
        "array",
        "asarray",
        "ascontiguousarray",
        "RawModule",
        "get_default_memory_pool",
        "ndarray",
    ]
    assert all(hasattr(cupy, name) and hasattr(cuda, name) for name in names)
    for name in vars(cuda.cuda):
        assert hasattr(cupy.cuda, name), name
    for name in vars(cuda.cuda.runtime):
        assert hasattr(cupy.cuda.runtime, name), name
    for name in ("get", "astype", "data", "device", "nbytes", "strides", "__cuda_array_interface__"):
        assert hasattr(cupy.ndarray, name), name
    for name in ("synchronize", "wait_event", "record"):
        assert hasattr(cupy.cuda.Stream, name), name
    for name in ("record", "synchronize"):
        assert hasattr(cupy.cuda.Event, name), name
    assert issubclass(cupy.cuda.memory.OutOfMemoryError, MemoryError)
    assert type(cupy.cuda.compiler.CompileException).__name__ == "type"


@pytest.mark.skipif(find_spec("cupy") is None or not why_unavailable("cuda"), reason="needs CuPy, and no GPU")
def test_cupy_without_a_gpu_says_why():
    """The real CuPy, on a machine without a driver or a device, gives an error that says so."""
    with pytest.raises(gpures.DeviceError, match=r"driver|No GPU is visible"):
        construct()


def test_stand_in_finds_a_missing_wait(host_cuda, monkeypatch):
    """Without the wait for the copies the stand-in gives another mosaic: so it would find that fault here."""
    frame = frame_of((60, 70))
    exposure = exposure_of((20, 36), (40.0, 30.0))
    expected = oracle.run("cpu", frame, [exposure])
    accumulators = backend.make_accumulators("cuda", frame)
    monkeypatch.setattr(accumulators._stream, "wait_event", lambda event: None)
    accumulators.add(exposure)
    assert not np.array_equal(accumulators.images()["data"], expected["data"])


@pytest.mark.also_on_ptx
def test_stand_ins_find_a_barrier_that_some_threads_miss(stand_in):
    """A kernel some of whose threads leave before a barrier is found."""
    code = 'extern "C" __global__ void leave(int* a)\n{\n    if (threadIdx.x == 1) return;\n    __syncthreads();\n}\n'
    kernel = stand_in.RawModule(code=code, options=("-std=c++17",)).get_function("leave")
    kernel((1,), (64,), (stand_in.zeros(1, "i4"),))
    with pytest.raises(AssertionError, match=r"some threads of a (block|warp) wait at a barrier"):
        stand_in.current_stream().synchronize()


@pytest.mark.also_on_ptx
def test_stand_ins_find_a_write_beside_an_array(stand_in):
    """A kernel that writes beyond its array is found."""
    code = 'extern "C" __global__ void beyond(int* a) { a[128] = 1; }\n'
    array = stand_in.zeros(128, "i4")
    stand_in.RawModule(code=code, options=("-std=c++17",)).get_function("beyond")((1,), (1,), (array,))
    with pytest.raises(AssertionError, match="beside an array"):
        stand_in.current_stream().synchronize()


def test_exposure_names_its_arrays():
    """Every array of an exposure is among those that go up."""
    exposure = exposure_of((20, 36), (40.0, 30.0))
    assert set(exposure.arrays()) == {"data", "err", "dq", WEIGHTS, *VARIANCES}
    plain = Exposure(exposure.data, exposure.pixmap, Weight(weight_map=exposure.err), exposure.limits)
    assert plain.arrays().keys() == {"data", WEIGHTS}
    assert plain.arrays()[WEIGHTS] is exposure.err


def test_mosaics_in_cycles(cuda):
    """A mosaic that the garbage collector takes as part of a cycle, as an error makes one, harms none that follows."""
    frame = frame_of((60, 70))
    exposures = [exposure_of((20, 36), (40.0, 30.0))]
    expected = oracle.run("cpu", frame, exposures)
    for _ in range(4):
        cycle = [backend.make_accumulators("cuda", frame)]
        cycle[0].add(exposures[0])
        cycle[0].cycle = cycle
        del cycle
        gc.collect()
        assert_same_images(oracle.run("cuda", frame, exposures), expected)


def test_streams_are_held_for_good(cuda):
    """Nobody but the program decides when a stream ends, so it can't end before a mosaic that the collector takes."""
    stream = weakref.ref(Program.of_device(cuda, 0).take_stream())
    gc.collect()
    assert stream() is not None

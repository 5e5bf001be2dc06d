"""Several GPUs in one process: a mosaic whose exposures are dealt to them is that of one.

They are two devices of the stand-in for CuPy (cuda_on_host.py), which refuses a kernel on one with memory of the other.
"""

from __future__ import annotations

import copy
import functools
import itertools
import logging
import sys
import types
from contextlib import suppress

import numpy as np
import oracle
import pytest
import scenes
import tolerances as tol
from cuda_on_host import CUDARuntimeError, HostArray, HostCUDA
from hypothesis import given, settings
from hypothesis import strategies as st
from merged import (
    ALL_PLANES,
    FRAME,
    MODELS,
    WAYS,
    assert_one_go,
    assert_same_state,
    finished,
    made,
    make_models,
    state,
)
from test_cuda import assert_same_images, exposure_of, frame_of
from test_interrupts import AtLine, Interrupt, equal, values
from test_merge import OPTIONS, assert_where_sure

import gpures
from gpures.acceleration import switch
from gpures.backend import MosaicLayout, make_accumulators
from gpures.backend.cuda import several
from gpures.backend.cuda.accumulators import CUDAAccumulators
from gpures.box import Box
from gpures.cli import build_parser
from gpures.errors import IncompleteError
from gpures.exposure.options import Options
from gpures.mosaicking.plan import make_plan
from gpures.mosaicking.report import plan_text

pytestmark = [
    pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel"),
    pytest.mark.filterwarnings("ignore:In lanczos kernel, pixfrac is ignored"),
]

BOTH = {"backend": "cuda", "device": [0, 1]}


def place(monkeypatch, cuda):
    monkeypatch.setitem(sys.modules, "cupy", cuda)
    return cuda


@pytest.fixture
def two(monkeypatch):
    """A machine with two GPUs."""
    return place(monkeypatch, HostCUDA(devices=2))


def each(resample):
    """The accumulators of each device."""
    return resample._accumulators._each


# ---- the same as on one ----------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(data=st.data())
def test_two_are_as_one(data):
    """Whatever the settings, the number of exposures, and when somebody looks."""
    options = data.draw(OPTIONS)
    count = data.draw(st.integers(1, 7))
    looks = data.draw(st.sets(st.integers(0, 6)))
    rows = data.draw(st.sampled_from([1, 9, 1000]))
    with pytest.MonkeyPatch.context() as monkeypatch:
        place(monkeypatch, HostCUDA(devices=2))
        resample = made([], **BOTH, **options)
        layout = resample._accumulators.layout
        monkeypatch.setattr(several, "AT_ONCE", rows * layout.bytes // layout.shape[0])
        for k in range(count):
            resample.add_model(MODELS[k])
            if k in looks:
                np.array(resample.output_model["data"])
        expected = made(MODELS[:count], "cuda", **options)
        eps = tol.EPS32 if options["accumulator_dtype"] == "f4" else tol.EPS64
        if options["kernel"] in ("gaussian", "lanczos3"):
            assert_where_sure(finished(resample), finished(expected), 1e4 * eps + tol.EPS32)
        else:
            assert_one_go(resample, expected, eps)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("devices", [2, 3])
def test_more_exposures_than_a_plane_of_the_context_has_bits(monkeypatch, devices, dtype):
    """Each exposure has its own bit, that of its number in the whole, wherever it was added."""
    place(monkeypatch, HostCUDA(devices=devices))
    options = ALL_PLANES | {"accumulator_dtype": dtype}
    resample = made(MODELS, "cuda", device="all", **options)
    assert len(each(resample)) == devices
    eps = tol.EPS32 if dtype == "f4" else tol.EPS64
    expected = made(MODELS, "cuda", **options)
    assert_one_go(resample, expected, eps)
    assert resample.output_model["con"].shape[0] == 2


@pytest.mark.filterwarnings("ignore:'wht' is infinite")
@pytest.mark.parametrize("size", [1e-30, 1e30, 3e38])
def test_weights_of_any_size_on_two(two, size):
    """Sums of weights beyond float32 are known to be so wherever they came about."""
    models = make_models(6)
    for k, model in enumerate(models):
        for name in ("var_rnoise", "var_poisson", "var_flat"):
            model[name] = model[name].astype(np.float64) / size * (1.0 if k % 2 else 1.5)
    resample, expected = made(models, **BOTH), made(models, "cuda")
    if size < 3e38:
        assert_one_go(resample, expected)
        return
    got, expected = finished(resample), finished(expected)
    assert np.isinf(expected["wht"]).any()
    np.testing.assert_array_equal(np.isinf(got["wht"]), np.isinf(expected["wht"]))
    tol.assert_close(got["data"], expected["data"], 400 * 2.0**-20, "data")


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_planes_with_squared_weights(two, dtype):
    """As `gpures.Drizzle` has them; and images that were begun before, and are gone on with."""
    rng = np.random.default_rng(4)
    exposures = [exposure_of((20, 36), (40.0 + k, 30.0), seed=k, context_id=k) for k in range(5)]
    for exposure in exposures:
        exposure.squared = [rng.uniform(1.0, 2.0, exposure.shape), rng.uniform(0.1, 0.2, exposure.shape)]
    begun = rng.uniform(1.0, 2.0, (60, 70)).astype(dtype)
    begun[:5] = 0.0
    got = []
    for device in (0, (0, 1)):
        held = make_accumulators("cuda", frame_of((60, 70), dtype=dtype), device)
        flags = np.full((60, 70), 64, np.uint32)
        held.take({"data": begun.copy(), "wht": begun.copy(), "dq": flags, "squared": [begun.copy(), np.nan]})
        for exposure in exposures:
            held.add(exposure)
        assert held.touched == Box.whole((60, 70))
        held.fill("squared", -1.0, Box.whole((60, 70)))
        images, variances = held.contents_on_host(held.touched)
        got.append(images | {f"{name} {k}": image for name, pair in variances.items() for k, image in enumerate(pair)})
    one, both = got
    bound = 60 * {"f4": tol.EPS32, "f8": tol.EPS64}[dtype]
    assert one.keys() == both.keys() >= {"squared/0", "squared/1", "dq", "con"}
    for name, image in one.items():
        if image.dtype.kind == "f":
            np.testing.assert_allclose(both[name], image, rtol=bound, atol=bound, err_msg=name)
        else:
            np.testing.assert_array_equal(both[name], image, name)
    assert (one["dq"] & 64).all()
    assert (one["squared/1"] == -1.0).any()


# ---- who gets what ---------------------------------------------------------------------------------------------------


def test_exposures_go_to_who_has_the_least_to_do(two):
    """Large exposures weigh as much as many small ones; the same in every run."""
    held = make_accumulators("cuda", frame_of((90, 100)), (0, 1))
    sizes = [(40, 40), (20, 20), (20, 20), (20, 20), (20, 20), (20, 20), (10, 10)]
    passes = []
    for k, size in enumerate(sizes):
        held.add(exposure_of(size, (50.0, 45.0), seed=k, context_id=k))
        passes.append(tuple(one.passes for one in held._each))
    assert passes == [(1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (2, 4), (2, 5)]
    assert held.passes == 7


def test_arrays_on_a_device_stay_there(two):
    """An exposure that lies on one of the devices goes no further; one on another is copied."""
    frame = frame_of((60, 70))
    exposures = [exposure_of((20, 36), (40.0, 30.0), seed=k, context_id=k) for k in range(4)]
    expected = oracle.run("cpu", frame, exposures)
    held = make_accumulators("cuda", frame, (0, 1))
    for exposure in exposures:
        with two.cuda.Device(1):
            exposure.data = two.array(exposure.data)
        held.weight_map(exposure)
        held.add(exposure)
    assert [one.passes for one in held._each] == [0, 4]
    assert_same_images(held.images() | held.finish_variances(1.0), expected)


@pytest.mark.parametrize("kind", ["f4", "f2"])
@pytest.mark.parametrize("step", [1, 2])
def test_models_on_a_device_stay_there(two, kind, step):
    """A model's arrays are looked at, converted and used where they are, whatever the current device is."""
    resample, expected = made([], **BOTH, **ALL_PLANES), made([], "cpu", **ALL_PLANES)
    for model in MODELS[:3]:
        model = model | {"data": np.repeat(model["data"].astype(kind), step, axis=1)[:, ::step]}
        expected.add_model(model)
        with two.cuda.Device(1):
            there = {key: two.array(value) for key, value in model.items() if isinstance(value, np.ndarray)}
            there["data"] = two.array(np.repeat(model["data"], step, axis=1))[:, ::step]
        resample.add_model(model | there)
        assert all(array.device.id == 1 for array in there.values())
    assert [one.passes for one in each(resample)] == [0, 3]
    pairs = zip(resample.exposures, expected.exposures, strict=True)
    assert all(one.is_same(other) for one, other in pairs)
    assert_one_go(resample, expected)


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize("layout", ["contiguous", "strided", "unaligned"])
def test_arrays_of_a_third_device(monkeypatch, layout, is_done):
    """They are copied over, whatever their layout, and may be written to, or freed, at once."""
    cuda = place(monkeypatch, HostCUDA(devices=3))
    frame = frame_of((60, 70))
    exposures = [exposure_of((20, 36), (40.0, 30.0), seed=k, context_id=k) for k in range(4)]
    expected = oracle.run("cpu", frame, exposures)
    held = make_accumulators("cuda", frame, (0, 1))
    for exposure in exposures:
        with cuda.cuda.Device(2):
            if layout == "contiguous":
                array = cuda.array(exposure.data)
            elif layout == "strided":
                wide = np.zeros((40, 72), "f4")
                wide[::2, ::2] = exposure.data
                array = cuda.array(wide)[::2, ::2]
            else:
                bytes_of = np.zeros(20 * 36 * 4 + 2, np.uint8)
                bytes_of[2:] = exposure.data.reshape(-1).view(np.uint8)
                array = cuda.array(bytes_of)[2:].view("f4").reshape(20, 36)
        exposure.data = array
        held.add(exposure)
        with cuda.cuda.Device(2):
            cuda.current_stream().enqueue(lambda to=array._host: to.fill(7))
            if is_done:
                cuda.current_stream().synchronize()
        exposure.data = array = None
    assert [one.passes for one in held._each] == [2, 2]
    assert_same_images(held.images() | held.finish_variances(1.0), expected)


def test_nobody_waits_for_another(two):
    """While exposures are added to one device, no work of the other is waited for."""
    held = make_accumulators("cuda", frame_of((60, 70)), (0, 1))
    exposures = [exposure_of((20, 36), (40.0, 30.0), seed=k, context_id=k) for k in range(6)]
    for k, exposure in enumerate(exposures):
        other = held._each[1 - k % 2]
        before = other._stream._done, other._uploader._copy._done
        held.add(exposure)
        assert held._each[k % 2].passes == k // 2 + 1
        assert (other._stream._done, other._uploader._copy._done) == before
    begun, done = ([getattr(one._stream, name) for one in held._each] for name in ("_begun", "_done"))
    assert all(a > b for a, b in zip(begun, done, strict=True))  # there was something to wait for


def test_only_what_was_touched_is_moved(two, monkeypatch):
    """Windows come together, in parts, and not frames."""
    moved = []
    merge_part = CUDAAccumulators.merge_part

    def told(self, other, window):
        moved.append(window)
        merge_part(self, other, window)

    monkeypatch.setattr(CUDAAccumulators, "merge_part", told)
    frame = frame_of((300, 400))
    monkeypatch.setattr(several, "AT_ONCE", 7 * frame.bytes // 300)
    places = (40.0, 30.0), (340.0, 30.0), (40.0, 35.0), (340.0, 35.0), (40.0, 200.0)
    exposures = [exposure_of((20, 36), at, seed=k, context_id=k) for k, at in enumerate(places)]
    held = make_accumulators("cuda", frame, (0, 1))
    for exposure in exposures:
        held.add(exposure)
    window = held._each[1].touched
    assert window.xmin > 250
    images, expected = held.images(), oracle.run("cpu", frame, exposures)
    assert_same_images(images, {name: expected[name] for name in images})
    assert len(moved) > 4
    for one, other in itertools.pairwise(moved):
        assert other.ymin == one.ymax + 1
    assert Box(window.xmin, window.xmax, moved[0].ymin, moved[-1].ymax) == window
    windows = [held.window_of(exposure) for exposure in exposures]
    assert held.touched == held._each[0].touched == functools.reduce(Box.united, windows)
    count = len(moved)
    held.images()
    assert len(moved) == count
    held.add(exposures[0])
    held.add(exposures[1])
    held.images()
    assert moved[count].xmin in (window.xmin, held._each[0].touched.xmin)


# ---- copies, and mosaics that are merged -----------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_copies_go_on(two, way):
    """A copy in the midst goes on by itself, on both devices, and so does what it was made of."""
    resample = made(MODELS[:3], **BOTH, **ALL_PLANES)
    before = copy.copy(resample._accumulators.passes)
    other = WAYS[way](resample)
    assert other._accumulators.passes == resample._accumulators.passes == before == 3
    for model in MODELS[3:7]:
        other.add_model(model)
    if way != "itself":
        assert all(one.passes for one in each(other)[1:])
        assert_one_go(resample, made(MODELS[:3], "cuda", **ALL_PLANES))
    assert_one_go(other, made(MODELS[:7], "cuda", **ALL_PLANES))


@pytest.mark.parametrize("way", ["copy", "deepcopy", "pickle"])
def test_a_copy_of_many(two, way):
    """Planes of the context image that only another device has are in a copy."""
    resample = copy.copy(made(MODELS[:31], **BOTH))  # which begins with the first device
    resample.add_model(MODELS[31])
    resample.add_model(MODELS[32])
    assert [len(one._context) for one in each(resample)] == [1, 2]
    other = WAYS[way](resample)
    for one in (resample, other):
        assert_one_go(one, made(MODELS[:33], "cuda"))


@pytest.mark.parametrize("of", [{"backend": "cpu"}, {"backend": "cuda", "device": 1}, BOTH, {"backend": "drizzle"}])
@pytest.mark.parametrize("into", [{"backend": "cpu"}, {"backend": "cuda", "device": 1}, BOTH])
def test_mosaics_are_merged(two, into, of):
    """Into one on several devices, and out of it, which is not changed."""
    merged, other = made(MODELS[:5], **into, **ALL_PLANES), made(MODELS[5:11], **of, **ALL_PLANES)
    before = state(other)
    merged.merge(other)
    assert_same_state(state(other), before)
    merged.add_model(MODELS[11])
    other.add_model(MODELS[12])
    rounding = 30.0 if of["backend"] == "drizzle" else 1.0
    assert_one_go(merged, made(MODELS[:12], "cuda", **ALL_PLANES), per_exposure=rounding)
    assert_one_go(other, made([*MODELS[5:11], MODELS[12]], "cuda", **ALL_PLANES), per_exposure=rounding)


def test_mosaics_without_exposures_are_merged(two):
    """With nothing in one of them."""
    merged, empty = made([], **BOTH), made([], **BOTH)
    merged.merge(empty)
    assert merged._accumulators.passes == 1
    merged.merge(made(MODELS[:3], **BOTH))
    merged.merge(empty)
    assert_one_go(merged, made(MODELS[:3], "cuda"))


def test_between_devices_memory_of_both_is_used_by_its_own(two):
    """A mosaic on one device goes into one on the other without the host."""
    merged, other = (made(MODELS[2 * k : 2 * k + 2], "cuda", device=k, **ALL_PLANES) for k in range(2))
    downloads = []
    get = HostArray.get
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(HostArray, "get", lambda self: (downloads.append(self.nbytes), get(self))[1])
        merged.merge(other)
    assert downloads == []
    assert_one_go(merged, made(MODELS[:4], "cuda", **ALL_PLANES))


# ---- all or nothing --------------------------------------------------------------------------------------------------


class Failing(gpures.Resample):
    """A hook that fails for some models."""

    bad = ()

    def add_model_hook(self, model, *args, **kwargs):
        if model["filename"] in self.bad:
            raise OSError("a hook's own")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_hook_that_fails(two, count):
    """Its exposure is taken out again, wherever it had gone."""
    resample = made(MODELS[:count], **BOTH, **ALL_PLANES, base=Failing)
    before, passes = state(resample), resample._accumulators.passes
    resample.bad = [MODELS[count]["filename"]]
    with pytest.raises(OSError, match="a hook's own"):
        resample.add_model(MODELS[count])
    assert resample._accumulators.passes == passes
    assert_same_state(state(resample), before)
    resample.bad = ()
    for model in MODELS[count : count + 2]:
        resample.add_model(model)
    assert_one_go(resample, made(MODELS[: count + 2], "cuda", **ALL_PLANES))


class Variances(gpures.Resample):
    """A subclass with variances of its own, in a second pass."""

    def resample_variance_arrays(self, *args, **kwargs):
        super().resample_variance_arrays(*args, **kwargs)


def test_variances_in_a_second_pass(two):
    """Which may be on another device than the first."""
    options = {"compute_err": "from_var"}
    resample = made(MODELS[:5], **BOTH, **options, base=Variances)
    assert all(sum(one.passes for one in each(resample)) == 10 for _ in "a")
    assert_one_go(resample, made(MODELS[:5], "cuda", **options, base=Variances))


@pytest.mark.parametrize("device", [0, 1])
def test_an_exposure_that_does_not_fit(two, device):
    """Nothing of it is added, and the mosaic is as it was: on the device that lacks memory, and on the other."""
    resample = made(MODELS[:device], **BOTH, **ALL_PLANES)
    before, passes = state(resample), resample._accumulators.passes
    two._free.clear()
    with two.cuda.Device(device):
        free = two.cuda.runtime.memGetInfo()[0]
        taken = two.empty(free // 512 * 512 - 512, np.uint8)
    with pytest.raises(MemoryError, match=f"on device {device}, .*Nothing of it was added"):
        resample.add_model(MODELS[device])
    assert resample._accumulators.passes == passes
    del taken
    assert_same_state(state(resample), before)
    for model in MODELS[device : device + 3]:
        resample.add_model(model)
    assert_one_go(resample, made(MODELS[: device + 3], "cuda", **ALL_PLANES))


@pytest.mark.parametrize("at", [0, 1, 2, 3])
@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_bringing_together_that_fails(two, monkeypatch, at, where, error):
    """What was brought over is there, and what was not is where it was; or, if that can't be told, all is refused."""
    resample = made(MODELS[:6], **BOTH, **ALL_PLANES)
    layout = resample._accumulators.layout
    monkeypatch.setattr(several, "AT_ONCE", 9 * layout.bytes // layout.shape[0])
    merge_part, count = CUDAAccumulators.merge_part, itertools.count()

    def failing(self, other, window):
        is_now = next(count) == at
        if not is_now or where == "after":
            merge_part(self, other, window)
        if is_now:
            raise error("now")

    with monkeypatch.context() as patch:
        patch.setattr(CUDAAccumulators, "merge_part", failing)
        with pytest.raises(error, match="now"):
            resample.output_model["data"]
    if where == "after":  # it is in both of them, and nobody can know
        with pytest.raises(IncompleteError):
            resample.add_model(MODELS[6])
        return
    assert resample._accumulators.passes == 6
    resample.add_model(MODELS[6])
    assert_one_go(resample, made(MODELS[:7], "cuda", **ALL_PLANES))


@pytest.mark.parametrize(("module", "step"), [("several.py", 5), ("accumulators.py", 67)])
def test_bringing_together_that_is_interrupted_at_any_line(two, monkeypatch, module, step):
    """After Ctrl-C in the midst of bringing together, nothing is lost or there twice, or all is refused."""
    resample = made(MODELS[:2], **BOTH)
    layout = resample._accumulators.layout
    monkeypatch.setattr(several, "AT_ONCE", 20 * layout.bytes // layout.shape[0])

    def two_more(one):
        one.add_model(MODELS[2])
        one.add_model(MODELS[3])

    both = copy.copy(resample)
    two_more(both)
    expected = values(both)
    outcomes = {"all": 0, "refused": 0}
    line = 0
    while True:
        one = copy.copy(resample)
        two_more(one)
        assert each(one)[1].passes
        interruption = AtLine(line, f"backend/cuda/{module}")
        with suppress(Interrupt), interruption:
            one.output_model["data"]
        if not interruption.raised:
            break
        try:
            got = values(one)
        except IncompleteError:
            outcomes["refused"] += 1
        else:
            assert equal(got, expected), line
            outcomes["all"] += 1
        line += step
    assert outcomes["all"] > 5
    assert 0 < outcomes["refused"] < 20


def test_a_device_that_fails(two):
    """A mosaic of which a part is lost is refused as a whole."""
    resample = made(MODELS[:2], **BOTH)
    two.failures["launch"] = CUDARuntimeError("cudaErrorLaunchFailure: unspecified launch failure")
    with pytest.raises(gpures.DeviceError, match="cudaErrorLaunchFailure"):
        resample.add_model(MODELS[2])
    del two.failures["launch"]
    with pytest.raises(IncompleteError):
        resample.add_model(MODELS[2])
    resample.reset_arrays()
    for model in MODELS[:3]:
        resample.add_model(model)
    assert_one_go(resample, made(MODELS[:3], "cuda"))


# ---- images ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", ["from_var", "driz_err"])
def test_images_stay_on_the_first_device(two, error):
    """With to_host=False they are device arrays there, and the caller's device stays the current one."""
    options = ALL_PLANES | {"compute_err": error}
    there = made(MODELS[:5], "cuda", device=["cuda:1", "cuda:0"], to_host=False, **options)
    there.finalize()
    expected = finished(made(MODELS[:5], "cuda", **options))
    images = {name: image for name, image in there.output_model.items() if hasattr(image, "device")}
    assert images.keys() >= {"data", "wht", "con", "dq", "err", "var_flat", "exptime_map", "sky"}
    for name, image in images.items():
        assert isinstance(image, HostArray)
        assert image.device.id == 1, name
        bound = tol.PER_EXPOSURE * 6 * tol.EPS32 * np.abs(expected[name]) if image.dtype.kind == "f" else 0
        tol.assert_close(image.get(), expected[name], bound, name)
    assert two.cuda.runtime.getDevice() == 0
    assert two.streams() == []


def test_a_finished_mosaic_holds_nothing_on_either(two):
    """On neither device; nor does one that could not be begun."""
    resample = made(MODELS[:4], **BOTH)
    assert all(two.used.values())
    finished(resample)
    assert two.used == {0: 0, 1: 0}
    with two.cuda.Device(1):
        taken = two.empty(two.memory - (4 << 20), np.uint8)
    with pytest.raises(MemoryError, match="on device 1 "):
        made([], **BOTH, accumulator_dtype="f8", frame=scenes.frame_around((400, 400)))
    assert two.used == {0: 0, 1: taken.nbytes}


def test_another_fill_value(two):
    """A fill value that changes is that of the images that come next."""
    resample = made(MODELS[:2], **BOTH, fillval=5.0)
    expected = made(MODELS[:2], "cuda", fillval=5.0)
    np.testing.assert_array_equal(resample.output_model["data"] == 5.0, expected.output_model["data"] == 5.0)
    for one in (resample, expected):
        one.fillval = 7.0
        one.add_model(MODELS[2])
    assert_one_go(resample, expected)


def test_drops_without_an_area_are_told_of(two, caplog):
    """Those of every device, once."""
    frame = MosaicLayout((60, 70), context_planes=0)
    held = make_accumulators("cuda", frame, (0, 1))
    for k in range(4):
        exposure = oracle.exposure(np.ones((8, 8), "f4"), oracle.pixel_map((8, 8), (30.0, 30.0)), context_id=k)
        exposure.pixmap.full[..., 1] = 30.0
        held.add(exposure)
    for _ in range(2):
        held.images()
    told = [int(record.args[0]) for record in caplog.records if "have no area" in record.msg]
    assert told == [128, 128]


# ---- which devices ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["cuda", "auto"])
@pytest.mark.parametrize(
    ("device", "numbers"),
    [
        ("all", (0, 1, 2)),
        ([2, 0], (2, 0)),
        (("cuda:1", 2), (1, 2)),
        (range(2), (0, 1)),
        ([types.SimpleNamespace(id=1), np.int64(0)], (1, 0)),
    ],
)
def test_which_devices(monkeypatch, backend, device, numbers):
    """All that can be used, or those that are asked for, in that order."""
    place(monkeypatch, HostCUDA(devices=3))
    resample = made(MODELS[:3], backend, device=device)
    assert resample.backend == "cuda"
    assert tuple(one._number for one in each(resample)) == numbers


@pytest.mark.parametrize("device", ["all", [0], ("cuda:0",)])
def test_one_is_as_ever(host_cuda, device):
    """Where it comes to one device nothing is dealt or brought together."""
    assert type(made([], "cuda", device=device)._accumulators) is CUDAAccumulators


def test_without_any(monkeypatch, caplog):
    """Where there is none, "auto" takes the CPU, and "cuda" says why it can't."""
    place(monkeypatch, HostCUDA(devices=0))
    with caplog.at_level(logging.INFO, "gpures"):
        assert made([], "auto", device="all").backend == "cpu"
    assert "Resampling on the CPU. No GPU is visible" in caplog.text
    with pytest.raises(gpures.DeviceError, match="No GPU is visible"):
        made([], "cuda", device="all")


def test_all_leaves_out_what_can_not_be_used(monkeypatch, caplog):
    """A GPU that is too old is left out of "all", and the log says so; asked for, it is refused."""
    cuda = place(monkeypatch, HostCUDA(devices=3))
    ages = {0: (9, 0), 1: (6, 1), 2: (9, 0)}
    properties = lambda n: {"name": b"Host", "major": ages[n][0], "minor": ages[n][1]}  # noqa: E731
    monkeypatch.setattr(cuda.cuda.runtime, "getDeviceProperties", properties)
    with caplog.at_level(logging.INFO, "gpures"):
        resample = made(MODELS[:2], "cuda", device="all")
    assert [one._number for one in each(resample)] == [0, 2]
    assert "A GPU is left out. Device 1 has the compute capability 6.1" in caplog.text
    with pytest.raises(gpures.DeviceError, match=r"Device 1 has the compute capability 6\.1"):
        made([], "cuda", device=[0, 1])


@pytest.mark.parametrize(
    ("device", "text"),
    [
        ([], r"A list of GPUs in 'device' must hold the number, .* of each, got \[\]"),
        ([0, None], r"must hold the number, .* of each, got \[0, None\]"),
        (["cuda", 1], r"must hold the number, .* of each, got \['cuda', 1\]"),
        ([0, 1, 0], r"must name each of them once, got \[0, 1, 0\], with 0 twice"),
        ((1, "cuda:1"), r"must name each of them once, got \(1, 'cuda:1'\), with 1 twice"),
        ([0, "gpu"], r"'device' must be None, the number of a GPU, .* got 'gpu'"),
        ([0, -1], r"'device' must be .* got -1"),
        ([0, True], r"'device' must be .* got True"),
        ([[0], 1], r"'device' must be .* got \[0\]"),
        ("ALL", r"'device' must be .* got 'ALL'"),
        ("0,1", r"'device' must be .* got '0,1'"),
        ({0, 1}, r"'device' must be .* got \{0, 1\}"),
    ],
)
@pytest.mark.parametrize("backend", ["cuda", "cpu"])
def test_what_names_no_devices(two, backend, device, text):
    """Is refused, with what it is."""
    with pytest.raises(ValueError, match=text):
        made([], backend, device=device)


def test_an_unknown_device(two):
    """Is refused by its number; "auto" takes the CPU, as with one."""
    with pytest.raises(gpures.DeviceError, match="'device' is 2, but the highest number of a GPU here is 1"):
        made([], "cuda", device=[0, 2])
    assert made([], "auto", device=[0, 2]).backend == "cpu"


def test_options_hold_numbers():
    """Whatever they were given as."""
    assert Options(device=["cuda:1", np.int64(0)]).device == (1, 0)
    assert Options(device=(3,)).device == 3
    assert Options(device="all").device == "all"


@pytest.mark.parametrize("device", ["all", [0, 1]])
def test_who_takes_one_device(two, device):
    """Says that it takes one, and where several are of use."""
    text = r"'device' must be None, the number .*: several GPUs make a mosaic of gpures.Resample or gpures.mosaic"
    with pytest.raises(ValueError, match=text):
        gpures.Drizzle(device=device)
    with pytest.raises(ValueError, match=text):
        gpures.blot_image(np.zeros((4, 4), "f4"), np.zeros((4, 4, 2)), device=device)


# ---- through the other doors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["all", [1, 0]])
def test_a_mosaic(two, device):
    """`gpures.mosaic` on several GPUs; the search for outliers takes the first."""
    models = make_models(4)
    options = {"output_wcs": FRAME, "compute_err": "driz_err"}
    used = []
    first = CUDAAccumulators.add
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(CUDAAccumulators, "add", lambda self, e: (used.append(self._number), first(self, e))[1])
        got = gpures.mosaic(models, backend="cuda", device=device, **options)
        assert sorted(used) == [0, 0, 1, 1]
        used.clear()
        gpures.mosaic(models, backend="cuda", device=device, reject_outliers=True, **options)
        assert used[: len(models)] == [0 if device == "all" else 1] * 4
    expected = gpures.mosaic(models, backend="cpu", **options)
    bound = tol.PER_EXPOSURE * 5 * tol.EPS32
    for name in ("data", "wht", "err"):
        tol.assert_close(got.model[name], expected.model[name], bound * np.abs(expected.model[name]), name)
    np.testing.assert_array_equal(got.model["con"], expected.model["con"])


def test_a_plan_tells_of_each_device(two):
    """Which they are, what the frame takes on each of them, and what each has left; one that lacks it is named."""
    options = {"output_wcs": FRAME, "backend": "cuda", "device": "all"}
    plan = make_plan(MODELS[:2], **options)
    text = plan_text(plan)
    assert plan.devices == (0, 1)
    assert "cuda, device 0: Host, device 1: Host" in text
    size = f"{plan.frame.bytes / 1024:.0f} KiB"
    assert f"{size} for the frame on each of 2 GPUs" in text
    assert "available: 1.0 GiB on device 0, 1.0 GiB on device 1" in text
    with two.cuda.Device(1):
        taken = two.empty(two.memory - (1 << 16), np.uint8)
    assert plan.available == two.memory - taken.nbytes
    with pytest.raises(MemoryError, match=r"needs 0\.0 GiB of memory .*, and 0\.0 GiB are available on device 1\."):
        make_plan(MODELS[:2], **options).check_room()
    auto = make_plan(MODELS[:2], **options | {"backend": "auto"})
    assert (auto.backend, auto.devices) == ("cpu", ())
    assert "device 1 " in auto.why_no_gpu
    with pytest.raises(gpures.DeviceError, match="'device' is 2, but"):
        make_plan(MODELS[:2], **options | {"device": [0, 2]})


@pytest.mark.parametrize(
    ("text", "device"), [("all", "all"), ("1", 1), ("0,1", [0, 1]), ("2, 0", [2, 0]), ("x", None), ("0,,1", None)]
)
def test_devices_on_the_command_line(capsys, text, device):
    """Numbers, or all of them."""
    given = ["mosaic", "a.fits", "-o", "b.fits", "--device", text]
    if device is None:
        with pytest.raises(SystemExit):
            build_parser().parse_args(given)
        assert f"must be numbers of GPUs, as '0' or '0,1', or 'all', got '{text}'" in capsys.readouterr().err
    else:
        assert build_parser().parse_args(given).device == device


@pytest.mark.parametrize(("device", "one"), [("all", None), ([1, 0], 1)])
def test_accelerated(two, device, one):
    """What stands in for stcal's resampler has them all, and what takes one has the first."""
    pytest.importorskip("stcal")
    with gpures.accelerate("cuda", device=device):
        assert switch._options().chosen()["device"] == (device if device == "all" else tuple(device))
        assert switch._place() == {"backend": "cuda", "device": one}
        from stcal.resample import Resample

        frame = {"wcs": FRAME, "pixel_scale": scenes.SCALE, "pixel_scale_ratio": 1.0}
        resample = Resample(frame)
        for model in MODELS[:4]:
            resample.add_model(model)
        assert [accumulators.passes for accumulators in each(resample)] == [2, 2]
        assert_one_go(resample, made(MODELS[:4], "cuda"))


# ---- the stand-in ----------------------------------------------------------------------------------------------------

KERNEL = (
    "struct Held { int n; int* array; };\n"
    'extern "C" __global__ void plain(int* a) { a[0] = 1; }\n'
    'extern "C" __global__ void in_struct(Held h) { h.array[0] = 1; }\n'
    'extern "C" __global__ void in_list(int** a) { a[0][0] = 1; }\n'
)


@pytest.mark.parametrize("how", ["plain", "in_struct", "in_list"])
def test_stand_in_refuses_a_kernel_with_memory_of_another_device(two, how):
    """However it gets there."""
    with two.cuda.Device(1):
        array = two.zeros(4, "i4")
        two.current_stream().synchronize()
    address = np.array([array[1:].data.ptr], np.uint64)
    argument = {"plain": array, "in_struct": np.array((7, 0, address[0]), "i4, i4, u8"), "in_list": None}[how]

    def launch():
        kernel = two.RawModule(code=KERNEL, options=("-std=c++17",)).get_function(how)
        kernel((1,), (1,), (two.asarray(address) if how == "in_list" else argument,))
        two.current_stream().synchronize()

    with two.cuda.Device(1):
        launch()
    assert array.get().sum() == 1
    with pytest.raises(CUDARuntimeError, match=f"{how}, on device 0, gets memory of device 1"):
        launch()


def test_stand_in_refuses_work_on_arrays_of_another_device(two):
    """Unless it is a copy, which has to be asked for."""
    with two.cuda.Device(1):
        there = two.array(np.arange(4.0))
        kernel = two.RawModule(code=KERNEL, options=("-std=c++17",)).get_function("plain")
        two.current_stream().synchronize()
    here = two.zeros(4, "f8")
    attempts = [
        lambda: there.astype("f4"),
        lambda: there.fill(0),
        lambda: there.__setitem__(..., 1.0),
        lambda: here.__setitem__(..., there),
        lambda: here != there,
        lambda: there / 2.0,
        lambda: two.ascontiguousarray(there[::2]),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError, match="array device = 1 while current = 0"):
            attempt()
    with pytest.raises(CUDARuntimeError, match="cudaErrorInvalidResourceHandle"):
        kernel((1,), (1,), (here,))
    for copied in (two.array(there), two.asarray(there), there.copy()):
        assert copied.device.id == 0
        np.testing.assert_array_equal(copied.get(), np.arange(4.0))


def test_stand_in_finds_a_copy_between_devices_that_nobody_waited_for(two):
    """What is strided is made contiguous on the other device first, whose stream has not done it yet."""
    with two.cuda.Device(1):
        there = two.array(np.arange(8.0))
        two.current_stream().synchronize()
    assert not np.array_equal(two.array(there[::2]).get(), np.arange(0.0, 8.0, 2.0))


# ---- saved, and in tiles ---------------------------------------------------------------------------------------------


def test_saved_on_several_gpus(two, tmp_path, monkeypatch):
    """Whatever each device has got since is saved, and one GPU or the CPU goes on with it."""
    from gpures.resample import checkpoint

    monkeypatch.setattr(checkpoint, "CHUNK", 16)
    going = made(MODELS[:3], **BOTH, **ALL_PLANES)
    for k in (3, 5, 6, 9):
        going.save(tmp_path / "c")
        assert_same_state(state(gpures.Resample.load(tmp_path / "c")), state(going))
        going.add_models(MODELS[k : k + 3])
    going.save(tmp_path / "c")
    expected = state(going)
    for backend, device in (("cuda", [1, 0]), ("cuda", 1), ("cpu", None)):
        assert_same_state(state(gpures.Resample.load(tmp_path / "c", backend=backend, device=device)), expected)


@pytest.mark.parametrize("part", [Box(0, 42, 0, 39), Box(5, 20, 7, 30)], ids=str)
def test_parts_of_frames(two, part):
    """Each device accumulates the same part."""
    from test_parts import accumulated, exposures, layout_of

    added = exposures(FRAME, MODELS[:5], **ALL_PLANES)
    layout = layout_of(FRAME.array_shape, **ALL_PLANES).of_part(part)
    one, _ = accumulated("cuda", layout, added)
    several_of_them = several.SeveralAccumulators(layout, (0, 1))
    for exposure in added:
        several_of_them.add(exposure)
    window = Box.whole(layout.shape)
    (images, variances), (got, got_variances) = (a.contents_on_host(window) for a in (one, several_of_them))
    assert images["wht"].any()
    for name, image in images.items():
        if image.dtype.kind == "f":
            there = images["wht"] != 0
            tol.assert_close(
                np.where(there, got[name], 0), np.where(there, image, 0), 1e-5 * np.abs(image) + 1e-6, name
            )
        else:
            np.testing.assert_array_equal(got[name], image, err_msg=name)
    for name, both in variances.items():
        for found, expected in zip(got_variances[name], both, strict=True):
            tol.assert_close(found, expected, 1e-5 * np.abs(expected) + 1e-6, name)

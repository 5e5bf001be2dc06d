"""Threads: their number changes no bit, and Python goes on while they work."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import oracle
import pytest
import scenes

from gpures import Resample
from gpures.backend.base import MosaicLayout
from gpures.backend.choice import make_accumulators
from gpures.exposure.drops import KERNELS
from gpures.exposure.weights import Weight
from gpures.machine.prefetch import interruptible
from gpures.machine.threads import sharing, thread_count

pytestmark = pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel")

COUNTS = (1, 2, 3, 7)
SHAPE = (150, 170)
VARIANCES = ("var_rnoise", "var_flat")


def exposures_of(kernel, seed=40, n=3):
    """Exposures of several blocks, that reach several tiles, with everything on."""
    rng = np.random.default_rng(seed)
    return [
        oracle.exposure(
            rng.normal(size=SHAPE).astype("f4"),
            oracle.pixel_map(SHAPE, (150 + 10 * k, 140 - 7 * k), 0.8, 30.0 * k, warp=0.01),
            weight=Weight(variance=rng.uniform(0, 2, SHAPE).astype("f4"), bad_bits=4),
            dq=rng.choice([0, 0, 4, 8], SHAPE).astype("i4"),
            err=rng.uniform(size=SHAPE).astype("f4"),
            variances={name: rng.uniform(0, 2, SHAPE).astype("f4") for name in VARIANCES},
            variance_weight=None,
            context_id=k,
            pixfrac=1.0 if kernel.startswith("lanczos") else 0.9,
            pixel_scale_ratio=0.8,
        )
        for k in range(n)
    ]


def frame_of(kernel, **settings):
    return MosaicLayout((290, 310), kernel, None, VARIANCES, has_err=True, has_dq=True, **settings)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_number_of_threads_changes_no_bit(monkeypatch, kernel, dtype):
    """Every image is the same to the last bit with one, two, three and seven threads."""
    exposures, images = exposures_of(kernel), []
    for n in COUNTS:
        monkeypatch.setenv("GPURES_NUM_THREADS", str(n))
        images.append(oracle.run("cpu", frame_of(kernel, dtype=np.dtype(dtype)), exposures))
    assert np.isnan(images[0]["data"]).any()
    for other in images[1:]:
        for name, image in images[0].items():
            assert image.tobytes() == other[name].tobytes(), name


@pytest.mark.parametrize("kernel", KERNELS)
def test_runs_repeat_themselves(kernel):
    """The same exposures give the same bits in every run."""
    exposures = exposures_of(kernel)
    one, other = (oracle.run("cpu", frame_of(kernel), exposures) for _ in range(2))
    for name, image in one.items():
        assert image.tobytes() == other[name].tobytes(), name


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_was_added_before_changes_no_bit(monkeypatch, kernel):
    """A thread's memory of other exposures, of other sizes and geometry, leaves no trace in a mosaic."""
    monkeypatch.setenv("GPURES_NUM_THREADS", "1")
    frame, rng = MosaicLayout((320, 310), kernel, None, dtype=np.dtype("f8")), np.random.default_rng(43)
    shape = (1500, 5)  # narrower than a block, and no multiple of a vector
    exposures = [
        oracle.exposure(rng.normal(size=shape), oracle.pixel_map(shape, (155, 160), psr, angle))
        for psr, angle in ((5.0, 10.0), (6.3, 67.0), (7.1, 205.0))
    ]
    expected = oracle.run("cpu", frame, exposures)
    for angle, psr in ((0.0, 1.0), (45.0, 0.1), (200.0, 7.0)):
        other = oracle.exposure(rng.normal(size=(64, 64)), oracle.pixel_map((64, 64), (90, 80), psr, angle))
        other.pixel_scale_ratio = psr
        oracle.run("cpu", MosaicLayout((200, 200), kernel), [other])
        for name, image in oracle.run("cpu", frame, exposures).items():
            assert image.tobytes() == expected[name].tobytes(), name


def test_more_threads_than_work(monkeypatch):
    """A hundred threads for an image of four pixels do no harm."""
    monkeypatch.setenv("GPURES_NUM_THREADS", "100")
    exposure = oracle.exposure(np.ones((2, 2)), oracle.pixel_map((2, 2), (9.5, 9.5)))
    assert oracle.run("cpu", MosaicLayout((20, 20)), [exposure])["wht"].sum() == 4.0


def test_mosaics_in_two_python_threads():
    """Mosaics made at the same time in several Python threads are those made one after the other."""
    jobs = [(kernel, seed) for kernel in ("square", "lanczos3", "turbo") for seed in (41, 42)] * 2

    def job(arguments):
        return oracle.run("cpu", frame_of(arguments[0]), exposures_of(*arguments))

    expected = [job(j) for j in jobs]
    with ThreadPoolExecutor(3) as pool:
        got = list(pool.map(job, jobs))
    for one, other in zip(got, expected, strict=True):
        for name, image in other.items():
            assert image.tobytes() == one[name].tobytes(), name


def test_resamplers_in_two_python_threads():
    """`Resample` objects used at the same time in two Python threads do not disturb each other."""

    def mosaic(seed):
        rng = np.random.default_rng(seed)
        resample = Resample({"wcs": scenes.sky((260, 250), 0.0), "pixel_scale_ratio": 1.0}, weight_type="exptime")
        for k in range(3):
            model = dict.fromkeys(("var_rnoise", "var_flat", "var_poisson"), np.ones(SHAPE, "f4"))
            model |= {
                "data": rng.normal(size=SHAPE),
                "dq": np.zeros(SHAPE, "i4"),
                "wcs": scenes.sky(SHAPE, 20.0 * k + seed),
            }
            model |= {"filename": f"{k}", "group_id": k, "exposure_time": 10.0, "measurement_time": 9.0}
            model |= {"start_time": 0.0, "end_time": 1.0, "duration": 1.0}
            model |= {"pixelarea_steradians": 2.35e-13, "level": 0.0, "subtracted": True}
            resample.add_model(model)
        resample.finalize()
        return {name: resample.output_model[name] for name in ("data", "wht", "con", "var_rnoise")}

    expected = [mosaic(seed) for seed in (1, 2)]
    with ThreadPoolExecutor(2) as pool:
        got = list(pool.map(mosaic, (1, 2)))
    for one, other in zip(got, expected, strict=True):
        for name, image in other.items():
            assert np.asarray(image).tobytes() == np.asarray(one[name]).tobytes(), name


def test_python_goes_on_during_an_add(monkeypatch):
    """The GIL is released: another Python thread is never held up for most of the time that an exposure takes."""
    monkeypatch.setenv("GPURES_NUM_THREADS", "1")
    shape = (500, 500)
    exposure = oracle.exposure(np.ones(shape, "f4"), oracle.pixel_map(shape, (300.0, 300.0)))
    accumulators = make_accumulators("cpu", MosaicLayout((600, 600), "lanczos3"))
    share = []
    for _ in range(5):  # another process may take the processor for once
        begin, end, ticks = [], [], []

        def add(begin=begin, end=end):
            begin.append(time.perf_counter())
            accumulators.add(exposure)
            end.append(time.perf_counter())

        worker = threading.Thread(target=add)
        worker.start()
        while not end:
            ticks.append(time.perf_counter())
            time.sleep(0)  # lets the other thread have the GIL
        worker.join()
        within = [begin[0], *(t for t in ticks if begin[0] < t < end[0]), end[0]]
        share.append(np.max(np.diff(within)) / (end[0] - begin[0]))
        if share[-1] < 0.5:
            break
    assert min(share) < 0.5, share


def test_thread_count(monkeypatch):
    """The number of threads is what the variable says, else that of the processors that the process may use."""
    monkeypatch.setenv("GPURES_NUM_THREADS", " 5 ")
    assert thread_count() == 5
    for unset in ("", " "):
        monkeypatch.setenv("GPURES_NUM_THREADS", unset)
        assert 1 <= thread_count() <= (os.cpu_count() or 1)


def test_shares_of_a_machine(monkeypatch):
    """Those who work at a time share the processors, of which each has one at least; the variable says otherwise."""
    monkeypatch.delenv("GPURES_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(12), raising=False)
    with sharing(5):
        assert thread_count() == interruptible(thread_count) == 2
        with ThreadPoolExecutor(1) as pool, sharing(3):
            assert thread_count() == 4
            assert pool.submit(thread_count).result() == 12  # nobody else's
        with sharing(100):
            assert thread_count() == 1
            monkeypatch.setenv("GPURES_NUM_THREADS", "7")
            assert thread_count() == 7
            monkeypatch.delenv("GPURES_NUM_THREADS")
    assert thread_count() == 12


@pytest.mark.parametrize("value", ["0", "-1", "2.5", "many", "1e2"])
def test_a_wrong_number_of_threads_is_refused(monkeypatch, value):
    """A variable that is no positive integer raises an error that names it and shows what it holds."""
    monkeypatch.setenv("GPURES_NUM_THREADS", value)
    with pytest.raises(ValueError, match=rf"GPURES_NUM_THREADS must be a positive integer, got '{value}'"):
        thread_count()

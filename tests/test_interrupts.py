"""Exceptions that come at any moment of an exposure, as Ctrl-C and a lack of memory do.

All of it is in the mosaic and counted, or nothing of it, or nobody can go on with what is left.
"""

from __future__ import annotations

import copy
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import scenes

import gpures
from gpures.errors import IncompleteError

SHAPE = (22, 25)
# Each so many-th line is tried: a prime, so that loops are met in turn.
STEPS = {"cpu": 5, "drizzle": 13, "cuda": 83}

# A file that was opened just before is closed by the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore:unclosed file:ResourceWarning"
)

PACKAGE = str(Path(gpures.__file__).parent)


class Interrupt(KeyboardInterrupt):
    """What the tests interrupt with."""


class AtLine:
    """Raises when so many lines of the package, or of one of its modules, have been run; says whether it has."""

    def __init__(self, number, module=""):
        self.left = number
        self.where = str(Path(PACKAGE, module))
        self.raised = False

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self.trace)
        return self

    def __exit__(self, *exception):
        sys.settrace(self.before)
        return False

    def trace(self, frame, event, argument):
        if not frame.f_code.co_filename.startswith(self.where):
            return None
        if event == "line" and not self.raised:
            self.left -= 1
            if self.left < 0:
                self.raised = True
                raise Interrupt
        return self.trace


def values(resample):
    """What a mosaic has: images, counts and times."""
    model = {k: np.array(v) if hasattr(v, "shape") else v for k, v in dict(resample.output_model).items() if k != "wcs"}
    return model | {"group_ids": resample.group_ids, "times": resample._total_exposure_time}


def equal(got, expected):
    """Whether both have the same values."""
    for key, value in expected.items():
        if isinstance(value, np.ndarray) or isinstance(got[key], np.ndarray):
            if value is None or got[key] is None or not np.array_equal(got[key], value, equal_nan=True):
                return False
        elif got[key] != value:
            return False
    return True


class WithHooks(gpures.Resample):
    """A subclass that does something with each model, and with its variances."""

    def add_model_hook(self, model, **kwargs):
        """Do nothing, but through Python."""
        super().add_model_hook(model, **kwargs)

    def resample_variance_arrays(self, model, **kwargs):
        """Do the same."""
        super().resample_variance_arrays(model, **kwargs)


def begun(base, backend, n):
    """A resampler with one model in it, and models for it."""
    models = scenes.dithered_models(SHAPE, n=n)
    frame = {"wcs": scenes.frame_around(SHAPE), "pixel_scale": scenes.SCALE}
    options = {"compute_err": "from_var", "propagate_dq": True, "enable_exptime_map": True}
    resample = base(frame, backend=backend, **options)
    resample.add_model(models[0])
    return resample, models


@pytest.mark.parametrize("base", [gpures.Resample, WithHooks])
def test_interrupted_at_any_line(backend, base):
    """After an exception at any line an exposure is in the mosaic and counted, or neither.

    A mosaic with a part of one refuses to go on; the CPU's can't be that but while it goes back.
    """
    resample, models = begun(base, backend, n=3)
    before = values(copy.copy(resample))
    with_it = copy.copy(resample)
    with_it.add_model(models[1])
    after = values(with_it)
    assert not equal(before, after)
    outcomes = {"before": 0, "after": 0, "refused": 0}
    line = 0
    while True:
        one = copy.copy(resample)
        try:
            with AtLine(line) as interruption:
                one.add_model(models[1])
        except Interrupt as error:
            noted = any("has been added" in note for note in getattr(error, "__notes__", []))
        except IncompleteError:
            noted = False
        if not interruption.raised:
            break
        try:
            got = values(one)
        except IncompleteError:
            outcomes["refused"] += 1
            with pytest.raises(IncompleteError, match="reset_arrays"):
                one.add_model(models[2])
            with pytest.raises(IncompleteError, match="reset_arrays"):
                one.finalize()
            one.reset_arrays()
            one.add_model(models[0])
            assert equal(values(one), before)
        else:
            if equal(got, before):
                outcomes["before"] += 1
                assert not noted
                one.add_model(models[1])
                assert equal(values(one), after)
            else:
                assert equal(got, after), line
                outcomes["after"] += 1
        line += STEPS[backend] if base is gpures.Resample else 2 * STEPS[backend] + 1
    assert outcomes["before"] > 5
    if backend == "cpu":
        assert outcomes["after"] > 0
        assert outcomes["refused"] == 0 if base is gpures.Resample else outcomes["refused"] < 10


@pytest.mark.parametrize("threads", ["1", "3"])
def test_interrupted_at_any_line_of_an_upload(cuda, monkeypatch, threads):
    """After it no copy is under way from memory, or into memory, that others may have by then."""
    monkeypatch.setenv("GPURES_NUM_THREADS", threads)
    monkeypatch.setattr("gpures.backend.cuda.pinned.LARGEST", 2048)  # two of an array
    resample, models = begun(gpures.Resample, "cuda", n=2)
    after = copy.copy(resample)
    after.add_model(models[1])
    after = values(after)
    line = 0
    while True:
        one = copy.copy(resample)
        try:
            with AtLine(line, "backend/cuda/upload.py") as interruption:
                one.add_model(models[1])
        except Interrupt:
            pass
        if not interruption.raised:
            break
        if line % 3:  # the others are dropped as they are
            if len(one.group_ids) == len(resample.group_ids):
                one.add_model(models[1])
            assert equal(values(one), after), line
        line += 4 if threads == "1" else 11
    assert line > 40


def test_an_end_that_was_interrupted(backend):
    """After an exception at any line of `finalize`, a second call finishes the same mosaic or refuses."""
    resample, _ = begun(gpures.Resample, backend, n=1)
    finished = copy.copy(resample)
    finished.finalize()
    expected = values(finished)
    line, done = 0, 0
    while True:
        one = copy.copy(resample)
        try:
            with AtLine(line) as interruption:
                one.finalize()
        except Interrupt:
            pass
        if not interruption.raised:
            break
        try:
            one.finalize()
        except IncompleteError:
            assert not one.is_finalized()
        else:
            done += 1
            assert equal(values(one), expected), line
        line += STEPS[backend]
    assert done > 3


def test_an_image_that_was_interrupted(backend):
    """The same of `Drizzle.add_image`, with arrays of the caller's, flags and squares that the first image begins."""
    (model,) = scenes.dithered_models(SHAPE, n=1)
    wcs = scenes.frame_around(SHAPE)
    pixmap = gpures.exposure.pixmap.calc_pixmap(model["wcs"], wcs, SHAPE).array()
    given = np.zeros(wcs.array_shape, np.float32, order="F")  # which can't be accumulated in

    def add(driz):
        return driz.add_image(
            model["data"], 2.0, pixmap, data2=model["var_rnoise"], dq=model["dq"].astype(np.uint32), pixfrac=0.9
        )

    def state(driz):
        images = [driz.out_img, driz.out_wht, driz.out_ctx, driz.out_dq, *(driz.out_img2 or [None])]
        return {"counts": (driz.ctx_id, driz.total_exptime)} | {
            str(k): None if i is None else np.array(i) for k, i in enumerate(images)
        }

    for options in ({}, {"out_img": given}):

        def begin(options=options):
            return gpures.Drizzle(backend=backend, fillval=-2.0, **{k: v.copy(order="K") for k, v in options.items()})

        before, one = state(begin()), begin()
        add(one)
        after = state(one)
        line, seen = 0, set()
        while True:
            one = begin()
            try:
                with AtLine(line) as interruption:
                    add(one)
            except Interrupt:
                pass
            if not interruption.raised:
                break
            try:
                got = state(one)
            except IncompleteError:
                seen.add("refused")
            else:
                seen.add("before" if equal(got, before) else "after")
                assert equal(got, before) or equal(got, after), line
            line += STEPS[backend]
        assert {"before", "after"} <= seen
        assert backend != "cpu" or "refused" not in seen


def test_signals_during_passes():
    """Signals at random moments of real passes leave every exposure whole, and counted as it is."""
    shape = (420, 430)
    models = scenes.dithered_models(shape, n=1) * 12
    frame = {"wcs": scenes.frame_around(shape), "pixel_scale": scenes.SCALE}
    resample = gpures.Resample(frame, backend="cpu", pixmap_tolerance=0)
    resample.add_model(models[0])
    one = np.array(resample.output_model["wht"], float)
    begin = time.perf_counter()
    resample.add_model(models[0])
    duration = time.perf_counter() - begin

    def raise_it(*_):
        raise Interrupt

    handler = signal.signal(signal.SIGALRM, raise_it)
    rng = np.random.default_rng(5)
    interrupted = 0
    try:
        for model in models:
            before = resample._n_res_models
            try:
                signal.setitimer(signal.ITIMER_REAL, max(1e-4, duration * rng.uniform(0.2, 1.05)))
                resample.add_model(model)
            except Interrupt:
                interrupted += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            with_it = resample._n_res_models
            assert with_it in (before, before + 1)
            np.testing.assert_allclose(resample.output_model["wht"], with_it * one, rtol=1e-5)
    finally:
        signal.signal(signal.SIGALRM, handler)
    assert interrupted > 2


def test_no_memory_for_a_pass(backend, monkeypatch):
    """Where a backend has no memory for an exposure, the mosaic is what it was, and goes on."""
    resample, models = begun(gpures.Resample, backend, n=3)
    before = values(copy.copy(resample))
    kind = type(resample._accumulators)

    def fail(*_):
        raise MemoryError("none left")

    name = "_arguments" if backend == "drizzle" else "_exposure_record"
    with monkeypatch.context() as patched:
        patched.setattr(kind, name, fail)
        with pytest.raises(MemoryError):
            resample.add_model(models[1])
    assert equal(values(resample), before)
    resample.add_model(models[1])
    assert resample.output_model["pointings"] == 2

"""Many models at once: the same mosaic, read ahead."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest
import scenes

import gpures
from gpures.machine.prefetch import interruptible, prefetched

SHAPE = (30, 34)


@pytest.fixture
def frame():
    return {"wcs": scenes.frame_around(SHAPE)}


def images(resample):
    resample.finalize()
    return {key: value for key, value in resample.output_model.items() if isinstance(value, np.ndarray)}


def test_same_as_one_by_one(backend, frame):
    """A mosaic of many at once is that of each in turn, to the last bit, for a list and for a generator."""
    options = {"backend": backend, "compute_err": "from_var", "propagate_dq": True, "n_input_models": 5}
    models = scenes.dithered_models(SHAPE, 5)
    each = gpures.Resample(frame, **options)
    for model in models:
        each.add_model(model)
    expected = images(each)
    for many in (models, (model for model in models)):
        resample = gpures.Resample(frame, **options)
        assert resample.add_models(many) == 5
        assert resample.group_ids == each.group_ids
        got = images(resample)
        assert got.keys() == expected.keys()
        for name in expected:
            np.testing.assert_array_equal(got[name], expected[name], name)


def test_nothing_to_add(frame):
    """No models are no error before the end."""
    resample = gpures.Resample(frame, backend="cpu")
    assert resample.add_models([]) == 0
    with pytest.raises(ValueError, match="no model has been added"):
        resample.finalize()


def test_models_in_memory(frame):
    """Of models that a generator makes, three are there at a time."""
    gone, most = [], 0

    def read():
        nonlocal most
        for k, model in enumerate(models):
            data = model["data"].copy()
            weakref.finalize(data, gone.append, k)
            most = max(most, k + 1 - len(gone))
            yield model | {"data": data}
            del data

    models = scenes.dithered_models(SHAPE, 3) * 4
    resample = gpures.Resample(frame, backend="cpu")
    assert resample.add_models(read(), progress=lambda done, total: time.sleep(0.02)) == 12
    assert most == 3


@pytest.mark.parametrize("bad", [(0,), (0, 1), (2,), (4,)])
def test_bad_models_left_out(backend, frame, bad):
    """Where errors are handled, the mosaic is that of the good models, and each bad one is told by its number."""
    models = scenes.dithered_models(SHAPE, 5)
    spoiled = [model | {"exposure_time": -1.0} if k in bad else model for k, model in enumerate(models)]
    told, progress = [], []
    resample = gpures.Resample(frame, backend=backend)
    added = resample.add_models(
        spoiled, lambda done, total: progress.append(done), lambda number, error: told.append((number, str(error)))
    )
    assert added == 5 - len(bad)
    assert progress == [1, 2, 3, 4, 5]
    assert [number for number, _ in told] == list(bad)
    assert all("exposure_time" in words for _, words in told)
    good = gpures.Resample(frame, backend=backend)
    good.add_models([model for k, model in enumerate(models) if k not in bad])
    for name in ("data", "wht", "con"):
        np.testing.assert_array_equal(resample.output_model[name], good.output_model[name], name)


def test_a_device_that_fails_is_no_bad_model(frame, monkeypatch):
    """An error of the GPU stops the mosaic, whoever handles those of models."""
    resample = gpures.Resample(frame, backend="cpu")

    def fail(exposure):
        raise gpures.DeviceError("gone")

    monkeypatch.setattr(resample._accumulators, "add", fail)
    with pytest.raises(gpures.DeviceError, match="gone"):
        resample.add_models(scenes.dithered_models(SHAPE, 2), on_error=lambda number, error: None)


@pytest.mark.parametrize("bad", [0, 2, 4])
def test_a_bad_model_stops(backend, frame, bad):
    """A bad model raises its own error, after those before it were added, and nothing of it or after it."""
    models = scenes.dithered_models(SHAPE, 5)
    spoiled = [*models[:bad], models[bad] | {"exposure_time": -1.0}, *models[bad + 1 :]]
    resample = gpures.Resample(frame, backend=backend)
    with pytest.raises(ValueError, match="exposure_time"):
        resample.add_models(spoiled)
    assert len(resample.group_ids) == bad
    before = gpures.Resample(frame, backend=backend)
    before.add_models(models[:bad])
    np.testing.assert_array_equal(resample.output_model["wht"], before.output_model["wht"])
    assert not [thread for thread in threading.enumerate() if thread.name == "gpures-prefetch"]


def test_a_wcs_that_fails_says_so_in_its_turn(frame):
    """What is wrong with a WCS is raised for its model, not for the one before."""
    models = scenes.dithered_models(SHAPE, 4)
    nowhere = scenes.wcs_of(scenes.models.Const1D(np.nan) & scenes.models.Const1D(np.nan), SHAPE, None)
    models[2] = models[2] | {"wcs": nowhere}
    resample = gpures.Resample(frame, backend="cpu")
    with pytest.raises(ValueError, match="valid pixels"):
        resample.add_models(models)
    assert len(resample.group_ids) == 2


def test_a_reader_that_fails(frame):
    """What the iterable raises comes through, after the models that it gave."""

    def read():
        yield from scenes.dithered_models(SHAPE, 2)
        raise OSError("no such exposure")

    resample = gpures.Resample(frame, backend="cpu")
    with pytest.raises(OSError, match="no such exposure"):
        resample.add_models(read())
    assert len(resample.group_ids) == 2


def test_memory_is_bounded():
    """A thread that is ahead waits: no more items are taken than are asked for."""
    taken = []

    def items():
        for k in range(20):
            taken.append(k)
            yield k

    for k, prepared in prefetched(items(), lambda k: 10 * k, most=2):
        assert prepared == 10 * k
        assert len(taken) <= k + 3
    assert taken == list(range(20))


def test_giving_up_in_the_middle():
    """Whoever stops taking items stops the thread, too."""
    for k, _ in prefetched(iter(range(10**9)), lambda k: k):
        if k == 5:
            break
    assert not [thread for thread in threading.enumerate() if thread.name == "gpures-prefetch"]


def blocked():
    """Two items, and then one that never comes."""
    yield from (1, 2)
    threading.Event().wait()


def test_a_producer_that_blocks():
    """Whoever stops waits for a producer that blocks half a second, and no longer."""
    items = prefetched(blocked(), lambda k: k)
    assert [next(items), next(items)] == [(1, 1), (2, 2)]
    start = time.perf_counter()
    items.close()
    assert time.perf_counter() - start < 1.0


def test_what_is_prepared_is_waited_for():
    """Whoever stops waits for what is being prepared, with state that is touched next, and nothing more is prepared."""
    begun, done = threading.Event(), []

    def prepare(k):
        if k == 1:
            begun.set()
            time.sleep(0.8)  # longer than a producer that blocks is waited for
        done.append(k)

    items = prefetched(iter(range(10)), prepare)
    next(items)
    begun.wait()
    items.close()
    assert done == [0, 1]
    time.sleep(0.05)
    assert done == [0, 1]


def test_apart():
    """What is called in a thread of its own gives its result, raises its error, and has the caller's context."""
    assert interruptible(lambda: threading.current_thread().name) == "gpures-interruptible"
    with pytest.raises(OSError, match="gone"):
        interruptible(lambda: open_nothing())
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        interruptible(lambda: np.float64(1) / np.float64(0))
    inside = []
    thread = threading.Thread(target=lambda: inside.append(interruptible(lambda: threading.current_thread().name)))
    thread.start()
    thread.join()
    assert inside == [thread.name]  # which no signal reaches


def open_nothing():
    raise OSError("gone")


EXITS = {
    "a producer that blocks": "add(read())",
    "a producer that computes": "add(models * 1000)",
    "a thread that adds": """
threading.Thread(target=add, args=(models * 1000,), daemon=True).start()
time.sleep(seconds)
""",
    "a thread that adds one by one": """
def forever():
    resample = gpures.Resample(frame, backend="cpu")
    while True:
        resample.add_model(models[0])

threading.Thread(target=forever, daemon=True).start()
time.sleep(seconds)
""",
}


@pytest.mark.parametrize("name", EXITS)
def test_python_goes_down(name):
    """Python ends without a crash or a wait, whatever daemon threads read or compute, at any moment."""
    program = f"""
import os, sys, threading, time
import numpy as np
import scenes, gpures

models = scenes.dithered_models((200, 200), 2)
frame = {{"wcs": scenes.frame_around((200, 200))}}
main = os.getpid()

def read():
    yield from models
    os.read(os.pipe()[0], 1)

def add(models):
    begin = time.monotonic()
    def progress(done, total):
        if threading.current_thread() is threading.main_thread() and time.monotonic() - begin > seconds:
            raise SystemExit(7)
        if models is not None and not hasattr(models, "__len__") and done == 2:
            raise SystemExit(7)
    gpures.Resample(frame, backend="cpu").add_models(models, progress=progress)

# Each in a child, which goes down as a whole process does.
for k in range(6):
    seconds = 0.01 + 0.017 * k
    child = os.fork()
    if child == 0:
        break
    begin = time.monotonic()
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), time.monotonic() - begin < 5)
else:
    sys.exit()
{EXITS[name]}
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"PYTHONPATH": os.path.dirname(__file__)},
    )
    status = 7 if "producer" in name else 0
    assert done.stdout.splitlines() == [f"{status} True"] * 6, done.stderr
    assert "terminate" not in done.stderr
    assert "Fatal" not in done.stderr


def test_subclass_sees_every_model(frame):
    """An overridden add_model is called for each model."""
    seen = []

    class Mine(gpures.Resample):
        def add_model(self, model):
            seen.append(model["group_id"])
            super().add_model(model)

    models = scenes.dithered_models(SHAPE, 3)
    mine = Mine(frame, backend="cpu")
    mine.add_models(models)
    assert seen == [model["group_id"] for model in models]
    plain = gpures.Resample(frame, backend="cpu")
    plain.add_models(models)
    np.testing.assert_array_equal(mine.output_model["data"], plain.output_model["data"])


def test_hook_is_called_in_turn(frame):
    """A hook sees each model after it was added, with its own pixel map."""
    seen = []

    class Mine(gpures.Resample):
        def add_model_hook(self, model, pixmap, **_):
            seen.append((model["group_id"], pixmap[0, 0, 0]))

    models = scenes.dithered_models(SHAPE, 3)
    Mine(frame, backend="cpu").add_models(models)
    assert [group for group, _ in seen] == [model["group_id"] for model in models]
    assert len({x for _, x in seen}) == 3


def test_progress(frame, capsys, caplog, monkeypatch):
    """Progress goes to a function, to a bar, or to the log."""
    models = scenes.dithered_models(SHAPE, 3)
    calls = []
    gpures.Resample(frame, backend="cpu").add_models(models, progress=lambda *done: calls.append(done))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    calls.clear()
    gpures.Resample(frame, backend="cpu").add_models(iter(models), progress=lambda *done: calls.append(done))
    assert calls == [(1, None), (2, None), (3, None)]
    gpures.Resample(frame, backend="cpu").add_models(models, progress=True)
    assert "3/3" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with caplog.at_level(logging.INFO, "gpures"):
        gpures.Resample(frame, backend="cpu").add_models(models, progress=True)
    assert re.search(r"drizzle: 1 of 3 exposures, \d+\.\d\d s each, \d+ s left", caplog.text)
    assert "3 of 3 exposures" in caplog.text
    with pytest.raises(TypeError, match="'progress' must be"):
        gpures.Resample(frame, backend="cpu").add_models(models, progress=3)

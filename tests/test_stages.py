"""Seconds by stage, for those who ask."""

from __future__ import annotations

import threading
import time

import pytest
import scenes

import gpures
from gpures import _cpu
from gpures.reporting import timing as stages

SHAPE = (60, 70)


def test_seconds_add_up():
    with stages.watched() as seconds:
        for _ in range(2):
            with stages.stage("one"):
                time.sleep(0.01)
        with stages.stage("two", lambda: time.sleep(0.01)):
            pass
    assert seconds.keys() == {"one", "two"}
    assert 0.02 <= seconds["one"] < 1
    assert 0.01 <= seconds["two"] < 1


def test_nobody_asks():
    waited = []
    with stages.stage("one", lambda: waited.append(1)), stages.phases(("a", "b")) as spent:
        assert spent is None
    assert not waited


def test_phases_share_the_wall_time():
    with stages.watched() as seconds, stages.phases(("a", "b", "c")) as spent:
        spent[:] = 3.0, 1.0, 0.0
        time.sleep(0.01)
    assert seconds["a"] == pytest.approx(3 * seconds["b"])
    assert 0.01 <= sum(seconds.values()) < 1
    with stages.watched() as seconds, stages.phases(("a",)):
        pass
    assert not seconds


def test_from_any_thread():
    def work():
        for _ in range(1000):
            with stages.stage("one"):
                pass

    with stages.watched() as seconds:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert 0 < seconds["one"] < 10


def test_one_at_a_time_and_over_after_an_error():
    with stages.watched(), pytest.raises(RuntimeError, match="timed already"):
        stages.watched().__enter__()
    with pytest.raises(KeyError), stages.watched():
        raise KeyError
    with stages.watched() as seconds:
        pass
    assert seconds == {}


def test_stages_of_a_mosaic(backend):
    """The stages are parts of what a mosaic takes, and the images are the same when they are timed."""
    options = {"backend": backend, "compute_err": "from_var"}
    models = scenes.dithered_models(SHAPE, 2)
    frame = {"wcs": scenes.frame_around(SHAPE)}
    unwatched, watched = (gpures.Resample(frame, **options) for _ in range(2))
    unwatched.add_models(models)
    unwatched.finalize()
    start = time.perf_counter()
    with stages.watched() as seconds:
        for model in models:
            watched.add_model(model)
        added = set(seconds)
        watched.finalize()
    assert sum(seconds.values()) < time.perf_counter() - start
    assert (
        added
        == {"pixel map"}
        | {"cpu": {"read", "splat", "fold"}, "cuda": {"upload", "splat", "fold"}, "drizzle": set()}[backend]
    )
    assert seconds.keys() - added == {"images", "variances", "error"}
    for name in ("data", "wht", "con", "err", "var_rnoise"):
        assert watched.output_model[name].tobytes() == unwatched.output_model[name].tobytes() or backend == "cuda"


def test_seconds_of_another_length():
    import numpy as np

    with pytest.raises(ValueError, match="one for each phase"):
        _cpu.add(0, 0, 1, np.zeros(2))

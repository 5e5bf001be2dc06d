"""The pass over an exposure by itself: all that comes before it made before, beside the calls that it replaces."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from gpures import Resample
from gpures.bench.cases import STANDARD, case_frame, case_scene
from gpures.bench.interleaved import add, wait
from gpures.bench.machine import installed
from gpures.bench.plan import Jobs, Plan
from gpures.exposure.exposure import Exposure
from gpures.machine.threads import thread_count

__all__ = ["Pass", "drizzle_seconds", "jobs", "thread_jobs", "threads_set"]


class Pass:
    """The standard case's exposures, checked and with their pixel maps, and a mosaic to add them to."""

    def __init__(self, plan: Plan):
        scene = case_scene(STANDARD, plan)
        self.models = scene.models
        self.frame = case_frame(STANDARD, scene)
        self.resample = Resample({"wcs": self.frame}, **STANDARD.options, backend=plan.backend)
        self.exposures: list[Exposure] = [self.resample._checked_exposure(model) for model in self.models]
        self.accumulators = self.resample._accumulators

    def seconds(self, repeats: int) -> list[float]:
        """Seconds of each pass, after one to warm up."""
        seconds = []
        for k in range(repeats + 1):
            start = time.perf_counter()
            self.accumulators.add(self.exposures[k % len(self.exposures)])
            wait(self.resample)
            seconds.append(time.perf_counter() - start)
        return seconds[1:]


def drizzle_seconds(work: Pass, repeats: int) -> list[float]:
    """Seconds of the four calls of drizzle: the data, with context, and the roots of three variances.

    Pixel map, weights and roots are there before, and so are the objects, of which the variances get new ones for
    each exposure.
    """
    from gpures.backend.reference import drizzle_class

    shape = work.frame.array_shape
    calls = []
    for exposure in work.exposures:
        xmin, xmax, ymin, ymax = exposure.limits
        common = {
            "exptime": exposure.exposure_time,
            "pixmap": exposure.pixmap.array(),
            "pixel_scale_ratio": exposure.pixel_scale_ratio,
            "iscale": exposure.iscale,
            "weight_map": work.accumulators.weight_map(exposure),
            "wht_scale": 1.0,
            "pixfrac": exposure.pixfrac,
            "in_units": "cps",
            "xmin": xmin,
            "xmax": xmax,
            "ymin": ymin,
            "ymax": ymax,
        }
        calls.append((exposure.data, [np.sqrt(v) for v in exposure.variances.values()], common))
    mosaic = drizzle_class()(kernel=work.resample.kernel, fillval=0.0, out_shape=shape, max_ctx_id=repeats)
    seconds = []
    for k in range(repeats + 1):
        data, roots, common = calls[k % len(calls)]
        objects = [
            drizzle_class()(kernel=work.resample.kernel, fillval=np.nan, out_shape=shape, disable_ctx=True)
            for _ in roots
        ]
        start = time.perf_counter()
        mosaic.add_image(data, **common)
        for drizzle, root in zip(objects, roots, strict=True):
            drizzle.add_image(root, **common)
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def jobs(plan: Plan) -> Jobs:
    """The pass beside the calls of drizzle."""

    def measure() -> list[dict[str, Any]]:
        work = Pass(plan)
        ours, theirs = work.seconds(plan.repeats), []
        if installed("drizzle"):
            theirs = drizzle_seconds(work, max(1, plan.repeats // 2))
            ours += work.seconds(plan.repeats)
        seconds, reference = statistics.median(ours), statistics.median(theirs) if theirs else None
        row = {
            "shape": list(work.exposures[0].shape),
            "frame": list(work.frame.array_shape),
            "gpures_s": seconds,
            "drizzle_s": reference,
            "ratio": reference / seconds if reference else None,
            "mpixel_per_s": work.models[0]["data"].size / seconds / 1e6,
            "gpures_all_s": ours,
            "drizzle_all_s": theirs,
        }
        return [row]

    yield "splat alone", measure


@contextmanager
def threads_set(count: int) -> Iterator[None]:
    """Have gpures take so many threads."""
    before = os.environ.get("GPURES_NUM_THREADS")
    os.environ["GPURES_NUM_THREADS"] = str(count)
    try:
        yield
    finally:
        if before is None:
            del os.environ["GPURES_NUM_THREADS"]
        else:
            os.environ["GPURES_NUM_THREADS"] = before


def thread_counts(most: int) -> list[int]:
    """1, 2, ... as many as there are; beyond eight, only those that double and the last."""
    return sorted({*range(1, min(most, 8) + 1), *(1 << k for k in range(4, most.bit_length())), most})


def thread_jobs(plan: Plan) -> Jobs:
    """The pass, and a whole exposure, with different numbers of threads; a GPU has none."""

    def measure(count: int) -> list[dict[str, Any]]:
        with threads_set(count):
            work = Pass(plan)
            splat = work.seconds(plan.repeats)
            add(work.resample, work.models, 0, 1)
            whole = [add(work.resample, work.models, k, 1) for k in range(1, plan.repeats + 1)]
        row = {
            "threads": count,
            "splat_s": statistics.median(splat),
            "add_model_s": statistics.median(whole),
            "splat_all_s": splat,
            "add_model_all_s": whole,
        }
        return [row]

    if plan.backend != "cuda":
        for count in thread_counts(thread_count()):
            yield f"{count} threads" if count > 1 else "1 thread", lambda count=count: measure(count)  # type: ignore[misc]

"""What an exposure takes at least: its bytes at the rate of the memory, its arithmetic at the rate of the processor."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from gpures.backend.base import MosaicLayout
from gpures.bench.interleaved import add
from gpures.bench.plan import Jobs, Plan
from gpures.bench.splat import Pass
from gpures.box import Box
from gpures.exposure.exposure import Exposure
from gpures.machine.threads import thread_count

__all__ = ["OVERLAP_OPERATIONS", "copy_rate", "distinct_arrays", "jobs", "least_bytes", "matrix_rate"]

# Operations in float64 (sums, products, quotients, comparisons, and choices of the lesser or greater) that the overlap
# takes for an input pixel whose drop lies around a point where four pixels meet, counted in kernels/overlap.h and
# kernels/splat.h: for each coordinate of the one corner that it does not share with the pixels before it; for the slope
# of its two own edges; for the point; for the distances; for the four crossings; for the four areas and their sum; to
# see that it does lie so; for each share.
OVERLAP_OPERATIONS = 2 * 7 + 2 * 7 + 4 + 10 + 4 * 2 + 4 * 3 + 3 + 30 + 4 * 3


def distinct_arrays(exposure: Exposure) -> list[Any]:
    """What an exposure's pass reads, images and pixel map; the variance that makes the weights serves twice."""
    return list({id(array): array for array in (exposure.arrays() | exposure.pixmap.arrays()).values()}.values())


def least_bytes(exposure: Exposure, frame: MosaicLayout, window: Box) -> int:
    """Bytes of memory that adding an exposure has to move at least.

    Each array that is read, once; in each pixel of the window each accumulator once in and once out: data and weight,
    err, each variance and its weight (4 or 8 bytes), context and DQ (4 bytes). The sums on the way are not counted, as
    a kernel could do without.
    """
    x0, x1, y0, y1 = window
    numbers = 2 + (exposure.err is not None) + 2 * len(exposure.variances)
    per_pixel = numbers * frame.dtype.itemsize + 4 * (bool(frame.context_planes) + frame.has_dq)
    return sum(array.nbytes for array in distinct_arrays(exposure)) + 2 * per_pixel * (x1 - x0 + 1) * (y1 - y0 + 1)


def copy_rate(size: int, threads: int, repeats: int = 5) -> float:
    """Bytes per second, those read and those written, of the fastest copy by so many threads."""
    source, to = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    parts = list(zip(np.array_split(to, threads), np.array_split(source, threads), strict=True))
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats + 1):
            start = time.perf_counter()
            list(pool.map(lambda part: np.copyto(*part), parts))
            best = min(best, time.perf_counter() - start)
    return 2 * size / best


def matrix_rate(side: int, repeats: int = 5) -> tuple[float, int]:
    """Operations per second of the fastest product of matrices of float64, and the threads that took part in it."""
    a = np.random.default_rng(0).random((side, side))
    best, threads = float("inf"), 1
    for _ in range(repeats + 1):
        start, spent = time.perf_counter(), time.process_time()
        a @ a
        seconds = time.perf_counter() - start
        if seconds < best:
            best, threads = seconds, max(1, round((time.process_time() - spent) / seconds))
    return 2 * side**3 / best, threads


def jobs(plan: Plan) -> Jobs:
    """Both limits of the standard case; those of a GPU are another matter (benchmarks/gpu.py)."""
    if plan.backend == "cpu":
        yield "memory and arithmetic", lambda: _limits(plan)


def _limits(plan: Plan) -> list[dict[str, Any]]:
    work, threads = Pass(plan), thread_count()
    splat = statistics.median(work.seconds(plan.repeats))
    add(work.resample, work.models, 0, 1)
    whole = statistics.median(add(work.resample, work.models, k, 1) for k in range(1, plan.repeats + 1))
    exposure = work.exposures[0]
    pixels = exposure.shape[0] * exposure.shape[1]

    size = least_bytes(exposure, work.accumulators.layout, work.accumulators.touched)
    bytes_per_s = copy_rate(plan.copied_bytes, threads)
    operations_per_s, blas_threads = matrix_rate(plan.matrix_side)
    # BLAS takes the threads that it likes; the limit is that of as many as gpures takes.
    own_rate = operations_per_s * threads / blas_threads

    def row(name: str, amount: int, rate: float, **more: Any) -> dict[str, Any]:
        limit = amount / rate
        found = {"name": name, "amount": amount, "per_s": rate, "limit_s": limit, "threads": threads}
        found |= {"splat_s": splat, "splat_over_limit": splat / limit}
        return found | {"add_model_s": whole, "add_model_over_limit": whole / limit} | more

    return [
        row("memory, bytes", size, bytes_per_s, copied_bytes=plan.copied_bytes),
        row(
            "overlap, operations",
            OVERLAP_OPERATIONS * pixels,
            own_rate,
            operations_per_pixel=OVERLAP_OPERATIONS,
            matrix_operations_per_s=operations_per_s,
            blas_threads=blas_threads,
        ),
    ]

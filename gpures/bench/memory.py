"""Memory that a mosaic takes above its inputs, measured in a process of its own."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import re
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from gpures import Resample
from gpures.bench import scenes
from gpures.bench.cases import CASES, Case, case_frame, frame_side
from gpures.bench.interleaved import add, finalize, reference_class, with_variances
from gpures.bench.plan import Jobs, Plan
from gpures.machine.memory import available_memory

__all__ = ["REFERENCE_BYTES", "above", "fits", "in_child", "jobs", "mosaic_bytes", "peak"]

# Memory that stcal takes at most for each pixel of the frame, with three variances, as measured here.
REFERENCE_BYTES = 130

# Side of the mosaic that is made before, so that modules and what they keep count for nobody.
SMALL_SIDE = 64

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def _status(field: str) -> int:
    """Bytes of a field of /proc/self/status."""
    found = re.search(rf"^{field}:\s*(\d+) kB", STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise OSError(f"{STATUS} has no {field}.")
    return int(found[1]) * 1024


def _most_ever() -> int:
    """Most memory that this process ever had, where there is no /proc."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def peak() -> int:
    """Most memory that this process has had, bytes; where there is no /proc, those before it may count too."""
    try:
        return _status("VmHWM")
    except OSError:
        return _most_ever()


def _give_back() -> None:
    """Have the C library give back what is free, which would be taken a second time without being seen."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)


def above(work: Callable[[], Any]) -> tuple[int, str]:
    """Most memory taken at any time while a function runs, beyond what there is before.

    Returns
    -------
    bytes : int
    method : str
        "VmHWM"; or "ru_maxrss", which is less where the process had more before than when the function began.
    """
    gc.collect()
    _give_back()
    try:
        CLEAR.write_text("5")
        before = _status("VmRSS")
    except OSError:
        before = _most_ever()
        work()
        return _most_ever() - before, "ru_maxrss"
    work()
    return _status("VmHWM") - before, "VmHWM"


def in_child(function: Callable, *arguments: Any) -> Any:
    """What a function gives in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def mosaic_bytes(case: Case, side: int, exposures: int, backend: str | None) -> tuple[int, str, int]:
    """Memory of a mosaic above its inputs, from making the resampler to its images.

    Parameters
    ----------
    case : Case
        Exposures, options and frame.
    side : int
        Side of the exposures.
    exposures : int
        Number of different exposures.
    backend : str or None
        gpures' backend; None for the reference.

    Returns
    -------
    bytes : int
    method : str
        As `above` gives them.
    device_bytes : int
        Memory taken on a device.
    """
    warnings.simplefilter("ignore")
    base, more = (Resample, {"backend": backend}) if backend else (reference_class(), {})

    def mosaic(scene: scenes.Scene) -> None:
        resampler = with_variances(base, scene.variances)
        frame = case_frame(case, scene)
        resample = resampler({"wcs": frame}, n_input_models=exposures, **case.options, **more)
        add(resample, scene.models, 0, len(scene.models))
        finalize(resample)

    make = scenes.roman if case.is_roman else scenes.nircam
    mosaic(make(SMALL_SIDE, 1))
    scene = make(side, exposures)
    size, method = above(lambda: mosaic(scene))
    device = 0
    if backend == "cuda":
        import cupy

        device = cupy.get_default_memory_pool().total_bytes()
    return size, method, device


def fits(pixels: int, bytes_per_pixel: float, part: float = 1.0) -> bool:
    """Whether a frame of so many pixels fits a part of the memory that is available."""
    available = available_memory()
    return available is None or pixels * bytes_per_pixel < part * available


def jobs(plan: Plan) -> Jobs:
    """A large frame of which little is touched, and the Roman-like mosaic."""

    def measure(case: Case, side: int) -> list[dict[str, Any]]:
        ours, method, device = in_child(mosaic_bytes, case, side, plan.memory_exposures, plan.backend)
        theirs = None
        if reference_class() is not None and fits(frame_side(case, side) ** 2, REFERENCE_BYTES):
            theirs, _, _ = in_child(mosaic_bytes, case, side, plan.memory_exposures, None)
        row = {
            "exposures": plan.memory_exposures,
            "shape": [side, side],
            "frame": [frame_side(case, side)] * 2,
            "gpures_bytes": ours,
            "device_bytes": device,
            "stcal_bytes": theirs,
            "method": method,
        }
        return [row]

    wanted = {"square, 8000": plan.memory_side} | ({"Roman, sky cell": plan.roman_side} if plan.roman_memory else {})
    for name, side in wanted.items():
        case = CASES[name]
        title = f"{name.split(',')[0]}, {frame_side(case, side)}"
        yield title, lambda case=case, side=side: measure(case, side)  # type: ignore[misc]

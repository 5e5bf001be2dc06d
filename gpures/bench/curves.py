"""Curves: seconds against files, the frame's side, threads, the angle between exposure and frame, and the scale ratio.

Of each exposure that is turned, or has another scale than the frame, it is asked what it takes beside one that lies
along the frame and has its scale: they take turns.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gpures import Resample
from gpures.backend.base import MosaicLayout
from gpures.bench import scenes
from gpures.bench.cases import CASES, STANDARD, frame_side
from gpures.bench.files import mosaic_seconds
from gpures.bench.interleaved import add, in_turns
from gpures.bench.memory import fits, in_child
from gpures.bench.plan import Jobs, Plan
from gpures.bench.scale import Files
from gpures.bench.splat import Pass, thread_counts, threads_set
from gpures.exposure.options import Options
from gpures.machine.threads import thread_count

__all__ = ["CURVES", "jobs"]

# The curves, by what grows.
CURVES = ("files", "frame", "threads", "angle", "scale ratio")

# What is resampled, where that makes a difference.
KINDS: dict[str, dict[str, Any]] = {
    "variances": dict(STANDARD.options),
    "data only": dict(CASES["data only"].options),
    "err and DQ": dict(CASES["err drizzled, DQ"].options),
}

# Of these, what is added to frames of all sides; the second has a third of the planes, so its frames may be larger.
OF_FRAMES = ("variances", "data only")

# Sides of a frame that holds an exposure at any angle, over the exposure's.
ROOM = 1.45

# Of the memory available, what a frame may be planned to take, and of the disk, what files may.
PART, PART_OF_DISK = 0.8, 0.5

# Bytes of a file for each pixel: data, flags, errors and three variances.
FILE_BYTES = 24


def jobs(plan: Plan) -> Jobs:
    """Every point of every curve; those of one kind of exposure, in turns, are one."""
    with TemporaryDirectory(prefix="gpures-bench-") as name:
        side = plan.curve_files_side
        room = PART_OF_DISK * shutil.disk_usage(name).free / (FILE_BYTES * side**2)
        counts = [count for count in plan.curve_files if count <= room]
        files = Files(Path(name) / "exposures", side, side, max(counts, default=0), plan.backend)
        for count in counts:
            yield f"files, {count}", lambda count=count: _files(plan, files, count)  # type: ignore[misc]
    for side in plan.curve_frames:
        for kind in OF_FRAMES:
            bytes_of_pixel = MosaicLayout.of(Options(**KINDS[kind]), (1, 1), scenes.VARIANCES, None).bytes
            if fits(side * side, bytes_of_pixel, PART):
                yield f"frame, {side} x {side}", lambda side=side, kind=kind: _frame(plan, side, kind)  # type: ignore[misc]
    if plan.backend != "cuda":
        for count in thread_counts(thread_count()):
            yield f"threads, {count}", lambda count=count: _threads(plan, count)  # type: ignore[misc]
    for kind in KINDS:
        yield f"angle, {kind}", lambda kind=kind: _angles(plan, kind)  # type: ignore[misc]
        yield f"scale ratio, {kind}", lambda kind=kind: _ratios(plan, kind)  # type: ignore[misc]


def _point(curve: str, series: str, x: float, seconds: float, over: float | None, all_s: list[float]) -> dict[str, Any]:
    """A point of a curve: its seconds, and what they are times those of another point."""
    name = f"{curve} {x:g}" + (f", {series}" if series else "")
    return {
        "name": name,
        "curve": curve,
        "series": series,
        "x": x,
        "gpures_s": seconds,
        "over": over,
        "gpures_all_s": all_s,
    }


def _files(plan: Plan, files: Files, count: int) -> list[dict[str, Any]]:
    """Files to a file, in a process of its own."""
    paths = [str(path) for path in files.paths()[:count]]
    output = str(files.folder / "mosaic.fits")
    found = [in_child(mosaic_seconds, paths, output, plan.backend)[0]["total"] for _ in range(plan.repeats)]
    return [_point("files", "", count, statistics.median(found), None, found)]


def _frame(plan: Plan, side: int, kind: str) -> list[dict[str, Any]]:
    """An exposure into a frame that has it in a corner, and the end of the mosaic."""
    scene = scenes.nircam(plan.curve_side)
    frame = scene.frame(side, middle_of=min(side, frame_side(STANDARD, plan.curve_side)))
    row = in_turns(scene.models, frame, plan.repeats, plan.reference_s, plan.backend, KINDS[kind])
    of_both = {kind: row["gpures_all_s"]}
    if KINDS[kind].get("enable_var", True):  # without variances there is nothing to be done in the end
        of_both[f"{kind}, finalize"] = [row["finalize_s"]]
    return [_point("frame", series, side, statistics.median(all_s), None, all_s) for series, all_s in of_both.items()]


def _threads(plan: Plan, count: int) -> list[dict[str, Any]]:
    """The standard case by so many threads."""
    with threads_set(count):
        work = Pass(plan)
        found = {"the pass": work.seconds(plan.repeats)}
        add(work.resample, work.models, 0, 1)
        found["exposure"] = [add(work.resample, work.models, k, 1) for k in range(1, plan.repeats + 1)]
    return [_point("threads", name, count, statistics.median(each), None, each) for name, each in found.items()]


def _beside(plan: Plan, scene: scenes.Scene, frames: Mapping[Any, Any], kind: str) -> dict[Any, list[float]]:
    """Seconds of an exposure into each frame, in turns, after one to warm up."""
    mosaics = {
        key: Resample({"wcs": frame}, **KINDS[kind], n_input_models=plan.repeats + 1, backend=plan.backend)
        for key, frame in frames.items()
    }
    found: dict[Any, list[float]] = {key: [] for key in frames}
    for k in range(plan.repeats + 1):
        for key, mosaic in mosaics.items():
            seconds = add(mosaic, scene.models, k, 1)
            found[key] += [seconds] if k else []
    return found


def _angles(plan: Plan, kind: str) -> list[dict[str, Any]]:
    """Exposures turned against the frame, as they are and mirrored."""
    scene = scenes.nircam(plan.curve_side)
    side = round(ROOM * plan.curve_side)
    frames = {(0.0, False): scene.frame(side)}
    for mirrored in (False, True):
        frames |= {(angle, mirrored): scene.frame(side, angle=angle, mirrored=mirrored) for angle in plan.angles}
    found = _beside(plan, scene, frames, kind)
    along = statistics.median(found[0.0, False])
    rows = []
    for (angle, mirrored), all_s in found.items():
        seconds = statistics.median(all_s)
        series = f"{kind}, mirrored" if mirrored else kind
        rows.append(_point("angle", series, angle, seconds, seconds / along, all_s))
    return rows


def _ratios(plan: Plan, kind: str) -> list[dict[str, Any]]:
    """Exposures on frames that cover them, whose pixels are so many times as large."""
    scene = scenes.nircam(plan.curve_side)
    side = frame_side(STANDARD, plan.curve_side)
    frames = {ratio: scene.frame(max(1, round(side / ratio)), ratio) for ratio in (1.0, *plan.ratios)}
    found = _beside(plan, scene, frames, kind)
    along = statistics.median(found[1.0])
    return [
        _point("scale ratio", kind, ratio, statistics.median(all_s), statistics.median(all_s) / along, all_s)
        for ratio, all_s in sorted(found.items())
    ]

"""How the seconds of an exposure grow: with its pixels, the frame's, the exposures before it, and the scale ratio."""

from __future__ import annotations

import itertools
from typing import Any

from gpures import Resample
from gpures.backend.base import MosaicLayout
from gpures.bench import scenes
from gpures.bench.cases import ERROR, STANDARD, frame_side
from gpures.bench.interleaved import add, in_turns, reference_class
from gpures.bench.memory import REFERENCE_BYTES, fits
from gpures.bench.plan import Jobs, Plan

__all__ = ["CURVES", "jobs"]

# The curves, by the name of what grows; the number of threads has a section of its own.
CURVES = ("input pixels", "output frame", "exposures", "scale ratio")

# Of the memory available, what a frame may take.
PART = 0.5


def jobs(plan: Plan) -> Jobs:
    """Every point of every curve, except that all exposures of a mosaic are one."""
    for side in plan.input_sides:
        yield f"input pixels, {side} x {side}", lambda side=side: _input(plan, side)  # type: ignore[misc]
    for side in plan.frame_sides:
        if fits(side * side, MosaicLayout((1, 1), variance_names=scenes.VARIANCES).bytes, PART):
            yield f"output frame, {side} x {side}", lambda side=side: _frame(plan, side)  # type: ignore[misc]
    yield f"exposures, 1 to {plan.exposures}", lambda: _exposures(plan)
    for ratio in plan.ratios:
        yield f"scale ratio, {ratio:g}", lambda ratio=ratio: _ratio(plan, ratio)  # type: ignore[misc]


def _timed(plan: Plan, curve: str, x: float, scene: scenes.Scene, frame: Any, with_reference: bool) -> dict[str, Any]:
    """A point of a curve."""
    reference = reference_class() if with_reference else None
    row = in_turns(scene.models, frame, plan.repeats, plan.reference_s, plan.backend, ERROR, reference=reference)
    return {"curve": curve, "x": x, "shape": list(scene.shape), "frame": list(frame.array_shape)} | row


def _input(plan: Plan, side: int) -> list[dict[str, Any]]:
    scene = scenes.nircam(side)
    frame = scene.frame(frame_side(STANDARD, side))
    return [_timed(plan, "input pixels", side * side, scene, frame, side in plan.reference_input_sides)]


def _frame(plan: Plan, side: int) -> list[dict[str, Any]]:
    scene = scenes.nircam(plan.side)
    frame = scene.frame(side, middle_of=min(side, frame_side(STANDARD, plan.side)))
    reference = side in plan.reference_frame_sides and fits(side * side, REFERENCE_BYTES)
    return [_timed(plan, "output frame", side * side, scene, frame, reference)]


def _exposures(plan: Plan) -> list[dict[str, Any]]:
    """Means over the first 1, 2, 4, ... exposures of a mosaic, from its making."""
    scene = scenes.nircam(plan.exposures_side, 4)
    frame = scene.frame(frame_side(STANDARD, plan.exposures_side))

    def seconds(resampler: Any, count: int, **more: Any) -> list[float]:
        options = {"n_input_models": plan.exposures} | ERROR | more
        add(resampler({"wcs": frame}, **options), scene.models, 0, 1)  # what is slow once in a process
        resample = resampler({"wcs": frame}, **options)
        return [add(resample, scene.models, k, 1) for k in range(count)]

    ours, theirs = seconds(Resample, plan.exposures, backend=plan.backend), []
    reference = reference_class()
    if reference is not None and plan.reference_exposures:
        theirs = seconds(reference, plan.reference_exposures)
    counts = [*itertools.takewhile(lambda n: n < plan.exposures, (1 << k for k in itertools.count())), plan.exposures]
    rows = []
    for count in counts:
        mean = sum(ours[:count]) / count
        reference_mean = sum(theirs[:count]) / count if count <= len(theirs) else None
        rows.append(
            {
                "name": f"exposures, {count}",
                "curve": "exposures",
                "x": count,
                "shape": list(scene.shape),
                "frame": list(frame.array_shape),
                "gpures_s": mean,
                "stcal_s": reference_mean,
                "ratio": reference_mean / mean if reference_mean else None,
                "gpures_all_s": ours[:count],
                "stcal_all_s": theirs[:count],
            }
        )
    return rows


def _ratio(plan: Plan, ratio: float) -> list[dict[str, Any]]:
    """An exposure on a frame that covers it, whose pixels are so many times as large."""
    scene = scenes.nircam(plan.ratio_side)
    frame = scene.frame(max(1, round(frame_side(STANDARD, plan.ratio_side) / ratio)), ratio)
    return [_timed(plan, "scale ratio", ratio, scene, frame, ratio in plan.reference_ratios)]

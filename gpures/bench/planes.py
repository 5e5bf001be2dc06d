"""What further planes cost: exposures without and with them, in turns."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from gpures import Resample
from gpures.bench.cases import STANDARD, case_frame, case_scene
from gpures.bench.interleaved import add
from gpures.bench.plan import Jobs, Plan
from gpures.bench.scenes import nircam
from gpures.exposure.drops import KERNELS

__all__ = ["PLANES", "TARGETS", "jobs"]

# Times that the others are repeated, as differences this small want more.
TURNS = 4

# Planes that tell of noise, and what they may cost.
PROPAGATED, FACTOR, COVARIANCE = "with variances propagated", "with noise factor", "with covariance to lag 2"
TARGETS = {PROPAGATED: 1.25, FACTOR: 1.5, COVARIANCE: 4.0}

# Options that add planes to the standard case.
PLANES: dict[str, dict[str, Any]] = {
    "standard case": {},
    "with exposure-time map": {"enable_exptime_map": True},
    "with one more array": {"extra_array_names": ["extra_a"]},
    "with two more arrays": {"extra_array_names": ["extra_a", "extra_b"]},
    PROPAGATED: {"variance_method": "propagated"},
    FACTOR: {"noise_factor": True},
    COVARIANCE: {"covariance": 2},
}

# Output over input pixel scale of finer frames.
FINER = 0.5


def jobs(plan: Plan) -> Jobs:
    """All of a case in one, exposure by exposure: differences this small are lost between runs."""
    yield "further planes", lambda: _standard(plan)
    yield "half-size pixels", lambda: _of_noise(plan, "square", FINER, (PROPAGATED, FACTOR, COVARIANCE))
    for kernel in KERNELS[1:]:
        for ratio in (1.0, FINER):
            yield f"{kernel}, {ratio:g}", lambda k=kernel, r=ratio: _of_noise(plan, k, r, (FACTOR,))  # type: ignore[misc]


def _standard(plan: Plan) -> list[dict[str, Any]]:
    scene = case_scene(STANDARD, plan)
    models = [model | {"extra_a": model["err"], "extra_b": model["data"]} for model in scene.models]
    return _measured(plan, models, case_frame(STANDARD, scene), {}, {name: name for name in PLANES})


def _of_noise(plan: Plan, kernel: str, ratio: float, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Planes that tell of noise, of a kernel and a scale ratio."""
    scene = nircam(plan.ratio_side)
    frame = scene.frame(round(1.05 * plan.ratio_side / ratio), ratio)
    alone = f"{kernel}, {'half-size' if ratio == FINER else 'equal'} pixels"
    rows = {alone: "standard case"} | {f"{alone}, {name.removeprefix('with ')}": name for name in names}
    return _measured(plan, scene.models, frame, {"kernel": kernel}, rows)


def _measured(
    plan: Plan, models: list[dict[str, Any]], frame: Any, base: dict[str, Any], rows: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Seconds of an exposure, by the names of rows, whose planes are those of a name; the first is the measure."""
    mosaics = {
        row: Resample({"wcs": frame}, **STANDARD.options | base, **PLANES[name], backend=plan.backend)
        for row, name in rows.items()
    }
    for mosaic in mosaics.values():
        add(mosaic, models, 0, 1)
    all_s: dict[str, list[float]] = {name: [] for name in mosaics}
    for k in range(1, TURNS * plan.repeats + 1):
        for name, mosaic in mosaics.items():
            all_s[name].append(add(mosaic, models, k, 1))
    alone = statistics.median(next(iter(all_s.values())))
    return [
        {
            "name": name,
            "gpures_s": statistics.median(seconds),
            "over_standard": statistics.median(seconds) / alone,
            "target": TARGETS.get(rows[name]),
            "gpures_all_s": seconds,
        }
        for name, seconds in all_s.items()
    ]

"""What further planes cost: exposures without and with them, in turns."""

from __future__ import annotations

import statistics
from typing import Any

from gpures import Resample
from gpures.bench.cases import STANDARD, case_frame, case_scene
from gpures.bench.interleaved import add
from gpures.bench.plan import Jobs, Plan

__all__ = ["PLANES", "jobs"]

# Times that the others are repeated, as differences this small want more.
TURNS = 4

# Options that add planes to the standard case.
PLANES: dict[str, dict[str, Any]] = {
    "standard case": {},
    "with exposure-time map": {"enable_exptime_map": True},
    "with one more array": {"extra_array_names": ["extra_a"]},
    "with two more arrays": {"extra_array_names": ["extra_a", "extra_b"]},
    "with variances propagated": {"variance_method": "propagated"},
    "with noise factor": {"noise_factor": True},
    "with covariance to lag 2": {"covariance": 2},
}


def jobs(plan: Plan) -> Jobs:
    """All of them in one, exposure by exposure: differences this small are lost between runs."""
    yield "further planes", lambda: _measure(plan)


def _measure(plan: Plan) -> list[dict[str, Any]]:
    scene = case_scene(STANDARD, plan)
    models = [model | {"extra_a": model["err"], "extra_b": model["data"]} for model in scene.models]
    frame = case_frame(STANDARD, scene)
    mosaics = {
        name: Resample({"wcs": frame}, **STANDARD.options, **options, backend=plan.backend)
        for name, options in PLANES.items()
    }
    for mosaic in mosaics.values():
        add(mosaic, models, 0, 1)
    all_s: dict[str, list[float]] = {name: [] for name in mosaics}
    for k in range(1, TURNS * plan.repeats + 1):
        for name, mosaic in mosaics.items():
            all_s[name].append(add(mosaic, models, k, 1))
    alone = statistics.median(all_s["standard case"])
    return [
        {
            "name": name,
            "gpures_s": statistics.median(seconds),
            "over_standard": statistics.median(seconds) / alone,
            "gpures_all_s": seconds,
        }
        for name, seconds in all_s.items()
    ]

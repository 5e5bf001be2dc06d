"""Timing of resamplers: the one under test and the reference, in turns."""

from __future__ import annotations

import math
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gpures import Resample
from gpures.bench.machine import installed
from gpures.originals import original

__all__ = ["Run", "add", "in_turns", "reference_class", "run", "wait", "with_variances"]

# On a device, exposures are added one behind the other, and what is timed is so many of them together.
ON_DEVICE_AT_ONCE = 8


def reference_class() -> Any:
    """`stcal.resample.Resample`, or None where it is not installed."""
    if not installed("stcal"):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from stcal.resample import Resample as STCALResample
    return original(STCALResample)


def with_variances(resampler: Any, names: Sequence[str]) -> Any:
    """A resampler of certain variance arrays."""
    if list(names) == list(resampler.variance_array_names):
        return resampler
    return type(resampler.__name__, (resampler,), {"variance_array_names": list(names)})


def wait(resample: Any) -> None:
    """Wait for what a resampler has begun on a device, if it uses one."""
    stream = getattr(getattr(resample, "_accumulators", None), "_stream", None)
    if stream is not None:
        stream.synchronize()


def add(resample: Any, models: Sequence[dict], first: int, count: int) -> float:
    """Add so many models, which take turns; seconds until all are in the mosaic."""
    start = time.perf_counter()
    for k in range(first, first + count):
        resample.add_model(models[k % len(models)])
    wait(resample)
    return time.perf_counter() - start


def finalize(resample: Any) -> float:
    """Finish a mosaic; seconds until its images are there."""
    start = time.perf_counter()
    resample.finalize()
    for name in ("data", "wht", "con"):
        resample.output_model[name]
    return time.perf_counter() - start


@dataclass
class Run:
    """Seconds of one mosaic.

    Attributes
    ----------
    first_s : float
        Of the first exposure, which warms up.
    all_s : list of float
        Of each further one; on a device, means of a few.
    finalize_s : float
        Of finishing it.
    """

    first_s: float
    all_s: list[float]
    finalize_s: float


def run(make: Callable[[], Any], models: Sequence[dict], repeats: int, at_most_s: float = math.inf) -> Run:
    """Time a mosaic.

    Parameters
    ----------
    make : callable
        Gives a new resampler.
    models : sequence of dict
        Exposures, which take turns.
    repeats : int
        Times that the time of an exposure is taken, after the first one.
    at_most_s : float, optional
        Seconds after which it is not taken again.
    """
    resample = make()
    at_once = ON_DEVICE_AT_ONCE if getattr(resample, "backend", "") == "cuda" else 1
    first = add(resample, models, 0, 1)
    seconds: list[float] = []
    while len(seconds) < repeats and (not seconds or sum(seconds) * at_once < at_most_s):
        seconds.append(add(resample, models, 1 + len(seconds) * at_once, at_once) / at_once)
    return Run(first, seconds, finalize(resample))


def in_turns(
    scene_models: Sequence[dict],
    frame: Any,
    repeats: int,
    reference_s: float,
    backend: str,
    options: dict[str, Any],
    only_ours: dict[str, Any] | None = None,
    reference: Any = None,
    resampler: Any = Resample,
) -> dict[str, Any]:
    """Seconds per exposure of gpures, then of the reference, then of gpures again.

    Parameters
    ----------
    scene_models : sequence of dict
        Exposures, which take turns.
    frame : gwcs.WCS
        Output frame.
    repeats : int
        Times that gpures is timed, in each turn; the reference half as often.
    reference_s : float
        Seconds after which the reference is not timed again.
    backend : str
        gpures' backend.
    options, only_ours : dict
        Options of both, and those that only gpures has.
    reference : class, optional
        The reference's resampler; none leaves it, and gpures' second turn, out.
    resampler : class, optional
        gpures'.

    Returns
    -------
    dict
        Medians, what they are of, and the ratio; None for what was not measured.
    """
    options = {"n_input_models": repeats + 1} | options

    own_options = options | (only_ours or {}) | {"backend": backend}
    if backend == "cuda":
        own_options["n_input_models"] = repeats * ON_DEVICE_AT_ONCE + 1

    def ours() -> Any:
        return resampler({"wcs": frame}, **own_options)

    turns = [run(ours, scene_models, repeats)]
    theirs = None
    if reference is not None:
        theirs = run(lambda: reference({"wcs": frame}, **options), scene_models, max(1, repeats // 2), reference_s)
        turns.append(run(ours, scene_models, repeats))
    all_s = [seconds for turn in turns for seconds in turn.all_s]
    seconds = statistics.median(all_s)
    pixels = scene_models[0]["data"].size
    row = {
        "gpures_s": seconds,
        "stcal_s": None,
        "ratio": None,
        "mpixel_per_s": pixels / seconds / 1e6,
        "first_s": turns[0].first_s,
        "finalize_s": statistics.median(turn.finalize_s for turn in turns),
        "gpures_all_s": all_s,
    }
    if theirs is not None:
        reference_seconds = statistics.median(theirs.all_s)
        row |= {
            "stcal_s": reference_seconds,
            "ratio": reference_seconds / seconds,
            "stcal_first_s": theirs.first_s,
            "stcal_finalize_s": theirs.finalize_s,
            "stcal_all_s": theirs.all_s,
        }
    return row

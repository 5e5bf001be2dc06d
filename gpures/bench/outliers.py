"""Detection of outliers, beside the steps of the field's pipelines out of stcal's functions: seconds and memory."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from gpures import flag_outliers
from gpures.bench import scenes
from gpures.bench.cases import STANDARD, frame_side
from gpures.bench.interleaved import reference_class
from gpures.bench.memory import SMALL_SIDE, above, in_child
from gpures.bench.plan import Jobs, Plan
from gpures.demo.cosmic_rays import cosmic_rays
from gpures.demo.nircam import READ_NOISE
from gpures.originals import original

__all__ = ["jobs", "reference_outliers", "stcal_resampler"]

# Everything but DO_NOT_USE, as the pipelines have it.
GOOD_BITS = "~1"

# Noise of the exposures, and cosmic rays in each so many pixels.
NOISE = 0.1
PIXELS_PER_RAY = 500


def stcal_resampler(frame: Any) -> Any:
    """Stcal's resampler with the options with which the pipelines look for outliers."""
    resampler = reference_class()
    return resampler(
        output_wcs={"wcs": frame},
        weight_type="ivm",
        good_bits=GOOD_BITS,
        pixfrac=1.0,
        kernel="square",
        fillval="NaN",
        enable_ctx=False,
        enable_var=False,
        compute_err=None,
    )


def _resampled_groups(models: Sequence[dict[str, Any]], frame: Any, maskpt: float) -> Iterator[np.ndarray]:
    """Each group of exposures resampled by itself, NaN where there is too little weight."""
    from stcal.outlier_detection.utils import compute_weight_threshold

    for _, members in groupby(models, key=lambda model: model["group_id"]):
        resample = stcal_resampler(frame)
        for model in members:
            resample.add_model(model)
        resample.finalize()
        data, weight = resample.output_model["data"], resample.output_model["wht"]
        data[weight < original(compute_weight_threshold)(weight, maskpt)] = np.nan
        yield data


def _median_of_groups(models: Sequence[dict[str, Any]], frame: Any, maskpt: float = 0.7) -> np.ndarray:
    """Median of groups of exposures, each resampled by itself."""
    from stcal.outlier_detection.median import MedianComputer

    groups = len({model["group_id"] for model in models})
    computer = original(MedianComputer)((groups, *frame.array_shape), in_memory=True)
    for k, data in enumerate(_resampled_groups(models, frame, maskpt)):
        computer.append(data, k)
    return computer.evaluate()


def reference_outliers(
    models: Sequence[dict[str, Any]],
    frame: Any,
    snr: tuple[float, float] = (5.0, 4.0),
    scale: tuple[float, float] = (1.2, 0.7),
    backg: float = 0.0,
    maskpt: float = 0.7,
) -> list[np.ndarray]:
    """Masks of outliers, by the steps of jwst's outlier detection of images.

    Parameters
    ----------
    models : sequence of dict
        Exposures; those of a group one after another.
    frame : gwcs.wcs.WCS
        In which the median is taken.
    snr, scale, backg, maskpt
        As the pipeline has them.

    Returns
    -------
    list of ndarray of bool (Ny, Nx)
    """
    from stcal.outlier_detection.utils import flag_resampled_crs, gwcs_blot

    median = _median_of_groups(models, frame, maskpt)
    masks = []
    for model in models:
        blot = gwcs_blot(median, frame, model["data"].shape, model["wcs"], fillval=np.nan)
        has_sky = model["subtracted"] is False and model["level"] is not None
        background = model["level"] if has_sky else backg
        masks.append(original(flag_resampled_crs)(model["data"], model["err"], blot, *snr, *scale, background))
    return masks


def _exposures(side: int, count: int) -> tuple[list[dict[str, Any]], Any]:
    """Exposures of noise and cosmic rays, and a frame that holds them."""
    scene = scenes.nircam(side, count)
    for k, model in enumerate(scene.models):
        rays = cosmic_rays(np.random.default_rng(k), scene.shape, side * side // PIXELS_PER_RAY)
        model["data"] += (NOISE / READ_NOISE * rays).astype(np.float32)
        model["err"] = np.full(scene.shape, NOISE, np.float32)
    return scene.models, scene.frame(frame_side(STANDARD, side))


def _found(models: Sequence[dict[str, Any]], frame: Any, backend: str | None) -> list[np.ndarray]:
    """Masks of outliers by gpures, or without a backend by the reference."""
    if backend is None:
        return reference_outliers(models, frame)
    copies = [dict(model) for model in models]
    return flag_outliers(copies, output_wcs=frame, good_bits=GOOD_BITS, backend=backend, progress=False).masks


def bytes_above(side: int, count: int, backend: str | None) -> tuple[int, str]:
    """Memory that the detection takes above its exposures, and how that was measured, as `memory.above` has it."""
    warnings.simplefilter("ignore")
    _found(*_exposures(SMALL_SIDE, 2), backend)
    models, frame = _exposures(side, count)
    return above(lambda: _found(models, frame, backend))


def jobs(plan: Plan) -> Jobs:
    """Both on the same exposures, in turns; and each in a process of its own for its memory."""
    yield f"{plan.outlier_exposures} exposures", lambda: _measure(plan)


def _measure(plan: Plan) -> list[dict[str, Any]]:
    side, count = plan.outlier_side, plan.outlier_exposures
    models, frame = _exposures(side, count)
    small = _exposures(SMALL_SIDE, 2)

    def seconds(backend: str | None) -> float:
        start = time.perf_counter()
        _found(models, frame, backend)
        return time.perf_counter() - start

    _found(*small, plan.backend)
    ours, reference = [seconds(plan.backend) for _ in range(plan.repeats)], None
    has_reference = reference_class() is not None
    if has_reference:
        _found(*small, None)
        reference = seconds(None)
        ours += [seconds(plan.backend) for _ in range(plan.repeats)]
    gpures_s = statistics.median(ours)
    gpures_bytes, method = in_child(bytes_above, side, count, plan.backend)
    row = {
        "exposures": count,
        "shape": [side, side],
        "frame": list(frame.array_shape),
        "gpures_s": gpures_s,
        "stcal_s": reference,
        "ratio": reference / gpures_s if reference else None,
        "gpures_all_s": ours,
        "gpures_bytes": gpures_bytes,
        "stcal_bytes": in_child(bytes_above, side, count, None)[0] if has_reference else None,
        "method": method,
    }
    return [row]

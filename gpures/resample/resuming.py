"""A finished mosaic, gone on with: what its images and facts do not hold is asked for beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gpures.arguments.arrays import as_host
from gpures.backend.pairs import sums_of
from gpures.box import row_blocks
from gpures.resample.resampler import Resample

__all__ = ["VARIANCE_WEIGHT", "resume", "variance_weights", "weights_to_keep"]

# What the sum of the weights of variances is called in a mosaic: one for all, or, with a name behind it, of each.
VARIANCE_WEIGHT = "vwht"

# Largest relative difference of two sums of weights in float32 that are the same.
ROUNDING = 2e-5


def resume(resample: Resample, mosaic: Mapping[str, Any], groups: Iterable[str], count: int) -> None:
    """Have a resampler that has just been made go on with a mosaic.

    Parameters
    ----------
    resample : gpures.Resample
        In the mosaic's frame, with its pixel scale and ratio and the options that it was made with.
    mosaic : mapping
        Output model, finalized, as `gpures.io.read_mosaic` gives it.
    groups : iterable of str
        Group IDs of the exposures in it.
    count : int
        Their number.

    Raises
    ------
    ValueError
        Weights were too large for the image of their sums.
    """
    if not np.isfinite(mosaic["wht"]).all():
        raise ValueError(
            "The mosaic can't be gone on with: its sums of weights are infinite, beyond what float32 holds."
        )
    layout, options = resample._accumulators.layout, resample._options
    empty = mosaic["wht"] == 0
    images: dict[str, Any] = {
        name: mosaic[name] for name in ("data", "wht", "con", "exptime_map") if name in _kept(layout)
    }
    if layout.has_dq:
        flags = mosaic.get("dq")
        if flags is None:  # no exposure in it had any
            flags = np.zeros(layout.shape, np.uint32)
        images["dq"] = flags if options.dq_of_empty is None else np.where(empty, np.uint32(0), flags)
    scaling = resample._error_scaling()
    if layout.has_err:
        images["err"] = mosaic["err"] * np.float32(scaling)
    if layout.propagates:  # what there is of them is in the mosaic
        had = [name for name in layout.variance_names if mosaic.get(name) is not None]
        resample._variances_had = tuple(sorted(had))
        unknown = np.broadcast_to(np.float32(np.nan), layout.shape)
        images |= {f"squared/{name}": mosaic[name] if name in had else unknown for name in layout.variance_names}
    images |= {name: mosaic[name] for name in layout.extra_names}
    if layout.noise_names:
        images["pairs"] = sums_of(mosaic, layout.whole_drops)
        had = [name for name in layout.noise_names if mosaic.get(name) is not None]
        resample._variances_had = tuple(sorted({*resample._variances_had, *had}))
        resample._reach_of_pairs = int(mosaic.get("covariance_reach") or 0)
    names = () if layout.propagates else layout.variance_names
    weights = _weights_of(mosaic, names, resample._variance_scaling())
    variances = {}
    for name, weight in weights.items():
        there = weight != 0
        variance = np.zeros(layout.shape, layout.dtype)
        np.divide(mosaic[name], resample._variance_scaling(), out=variance, where=there, casting="unsafe")
        variances[name] = variance, weight
    resample._accumulators.resume(images, variances)
    _resume_counters(resample, mosaic, groups, count)


def _kept(layout: Any) -> set[str]:
    """Names of the images that accumulators hold, but for averages that only some have."""
    kept = {"data", "wht"} | ({"con"} if layout.context_planes else set()) | ({"dq"} if layout.has_dq else set())
    return kept | ({"exptime_map"} if layout.has_time else set())


def _resume_counters(resample: Resample, mosaic: Mapping[str, Any], groups: Iterable[str], count: int) -> None:
    measured, start, end = (mosaic.get(name) for name in ("measurement_time", "start_time", "end_time"))
    resample._n_res_models = count
    resample._group_ids = list(dict.fromkeys(groups))
    resample._total_exposure_time = float(mosaic["exposure_time"])
    resample._duration = float(mosaic.get("duration") or 0.0)
    resample._total_measurement_time = float(measured or 0.0)
    resample._measurement_time_success = [measured is not None]
    resample._exptime_start = [] if start is None else [start]
    resample._exptime_end = [] if end is None else [end]
    dict.__setitem__(resample._output_model, "pointings", len(resample._group_ids))
    resample._defer_images()


def variance_weights(resample: Resample) -> dict[str, Any]:
    """Sums of the weights of each variance, before they go at the end of the mosaic.

    Parameters
    ----------
    resample : gpures.Resample
        Not finalized.
    """
    return resample._accumulators.variance_weights() if resample.enable_var else {}


def weights_to_keep(resample: Resample, mosaic: Mapping[str, Any], weights: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the sums of weights that a mosaic does not tell of, by what they are called in it.

    Where all exposures have read noise, and weights of variances are its inverse, the sum is that of the mosaic's.

    Parameters
    ----------
    resample : gpures.Resample
        Finalized.
    mosaic : mapping
        Its output model.
    weights : mapping
        As `variance_weights` gave them.
    """
    here = {name: as_host(weight) for name, weight in weights.items() if mosaic.get(name) is not None}
    if not here:
        return {}
    if "var_rnoise" in here:
        rnoise, scaling = as_host(mosaic["var_rnoise"]), resample._variance_scaling()
        parts = list(row_blocks(rnoise.shape))
        if all(_same(weight[rows], _told_by(rnoise[rows], scaling)) for rows in parts for weight in here.values()):
            return {}
    first, *others = here.values()
    if all(np.array_equal(weight, first, equal_nan=True) for weight in others):
        return {VARIANCE_WEIGHT: first.astype(np.float32, copy=False)}
    return {f"{VARIANCE_WEIGHT}_{name}": weight.astype(np.float32, copy=False) for name, weight in here.items()}


def _weights_of(mosaic: Mapping[str, Any], names: Iterable[str], scaling: float) -> dict[str, np.ndarray]:
    """Sums of the weights of a mosaic's variances."""
    found = {}
    for name in names:
        if mosaic.get(name) is None:
            continue
        weight = mosaic.get(f"{VARIANCE_WEIGHT}_{name}", mosaic.get(VARIANCE_WEIGHT))
        found[name] = _told_by(mosaic["var_rnoise"], scaling) if weight is None else weight
    return found


def _told_by(rnoise: np.ndarray, scaling: float) -> np.ndarray:
    """The sum of the weights, as the read noise of a mosaic tells it; 0 where there is none."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        weight = (scaling / rnoise.astype(np.float64)).astype(np.float32)
    return np.where(np.isfinite(weight), weight, np.float32(0))


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    with np.errstate(invalid="ignore"):
        return bool((np.abs(one - other) <= ROUNDING * np.abs(other)).all())

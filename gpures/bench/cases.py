"""Seconds per exposure, case by case, beside the reference; and where gpures' seconds go."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpures import Resample
from gpures.bench import scenes
from gpures.bench.interleaved import add, finalize, in_turns, reference_class, with_variances
from gpures.bench.plan import Jobs, Plan
from gpures.reporting import timing as stages

__all__ = ["CASES", "STANDARD", "Case", "breakdown", "case_frame", "case_scene", "frame_side", "jobs", "measure"]

ERROR = {"compute_err": "from_var"}

# Roman's pipeline evaluates the pixel map on a grid, and interpolates.
ROMAN = ERROR | {"pixmap_stepsize": 10, "pixmap_order": 3}


@dataclass(frozen=True)
class Case:
    """Exposures, a frame and options.

    Attributes
    ----------
    options : dict
        Options of gpures and of the reference.
    only_ours : dict
        Options that only gpures has.
    side : int
        Side of the frame for exposures of full size.
    is_roman : bool
        Roman-like exposures instead of NIRCam-like ones.
    ratio : float
        Output over input pixel scale.
    """

    options: dict[str, Any] = field(default_factory=dict)
    only_ours: dict[str, Any] = field(default_factory=dict)
    side: int = 2100
    is_roman: bool = False
    ratio: float = 1.0


CASES: dict[str, Case] = {
    "square, 2100": Case(ERROR),
    "square, 8000": Case(ERROR, side=8000),
    "every pixel of the WCS": Case(ERROR, {"pixmap_tolerance": 0}),
    "data only": Case({"enable_var": False}),
    "err drizzled, DQ": Case({"compute_err": "driz_err", "propagate_dq": True}),
    "exposure-time map": Case(ERROR, {"enable_exptime_map": True}),
    "pixfrac 0.7": Case(ERROR | {"pixfrac": 0.7}),
    "point": Case(ERROR | {"kernel": "point"}),
    "turbo": Case(ERROR | {"kernel": "turbo"}),
    "gaussian": Case(ERROR | {"kernel": "gaussian"}),
    "lanczos2": Case(ERROR | {"kernel": "lanczos2"}),
    "lanczos3": Case(ERROR | {"kernel": "lanczos3"}),
    "Roman, sky cell": Case(ROMAN, side=5000, is_roman=True, ratio=scenes.CELL_SCALE / scenes.ROMAN_SCALE),
    "Roman, own scale": Case(ROMAN, side=4400, is_roman=True),
}

# What all other figures are about.
STANDARD = CASES["square, 2100"]


@functools.lru_cache(maxsize=1)
def _scene(is_roman: bool, side: int, wcs: Any) -> scenes.Scene:
    return scenes.roman(side) if is_roman else scenes.nircam(side, wcs=wcs)


def case_scene(case: Case, plan: Plan) -> scenes.Scene:
    """Exposures of a case. They stay until those of another detector are asked for."""
    if case.is_roman:
        return _scene(True, plan.roman_side, None)
    return _scene(False, plan.side, plan.wcs)


def frame_side(case: Case, side: int) -> int:
    """Side of a case's frame for exposures of a side."""
    full = scenes.LARGE if case.is_roman else scenes.SMALL
    return side + round((case.side - full) * side / full)


def case_frame(case: Case, scene: scenes.Scene) -> Any:
    """Output frame of a case."""
    side = scene.shape[0]
    # NIRCam-like exposures lie in a corner of a large frame.
    corner = None if case.is_roman else frame_side(STANDARD, side)
    return scene.frame(frame_side(case, side), case.ratio, corner)


def jobs(plan: Plan) -> Jobs:
    """Each case once."""
    for name in CASES if plan.cases is None else plan.cases:
        case = CASES[name]
        if case.only_ours.keys() <= inspect.signature(Resample).parameters.keys():
            yield name, lambda case=case: [measure(case, plan)]  # type: ignore[misc]


def measure(case: Case, plan: Plan) -> dict[str, Any]:
    """Seconds of a case, and where they go."""
    scene = case_scene(case, plan)
    frame = case_frame(case, scene)
    reference = reference_class()
    if reference is not None:
        if "enable_exptime_map" in case.only_ours:
            reference = with_exposure_time(reference)
        reference = with_variances(reference, scene.variances)
    resampler = with_variances(Resample, scene.variances)
    row = {"shape": list(scene.shape), "frame": list(frame.array_shape), "ratio_of_scales": case.ratio}
    row |= in_turns(
        scene.models,
        frame,
        plan.repeats,
        plan.reference_s,
        plan.backend,
        case.options,
        case.only_ours,
        reference,
        resampler,
    )

    def make() -> Any:
        return resampler({"wcs": frame}, **case.options, **case.only_ours, backend=plan.backend)

    return row | breakdown(make, scene.models, plan.repeats)


def breakdown(make: Callable[[], Any], models: list[dict], exposures: int) -> dict[str, Any]:
    """Seconds by stage: of an exposure, the mean of so many after the first, and of finishing the mosaic."""
    resample = make()
    add(resample, models, 0, 1)
    with stages.watched() as spent:
        whole = add(resample, models, 1, exposures) / exposures
    each = {name: seconds / exposures for name, seconds in spent.items()}
    with stages.watched() as spent:
        finalize(resample)
    return {"stages_s": each | {"other": whole - sum(each.values())}, "finalize_stages_s": dict(spent)}


def with_exposure_time(reference: Any) -> Any:
    """The reference with a map of the exposure time, made as Roman's pipeline makes it.

    For each exposure an image of its exposure time is drizzled into a frame of its own, with weight 1 where the data
    have one, and added to the map.
    """
    from gpures.backend.reference import drizzle_class

    class WithExposureTime(reference):
        def add_model_hook(
            self, model: Any, pixmap: Any, pixel_scale_ratio: Any, iscale: Any, weight_map: Any, **limits: Any
        ) -> None:
            shape = self.output_array_shape
            if not hasattr(self, "exposure_time"):
                self.exposure_time = np.zeros(shape, np.float32)
            drizzle = drizzle_class()(kernel=self.kernel, fillval=0.0, out_shape=shape, disable_ctx=True)
            drizzle.add_image(
                np.full(weight_map.shape, model["exposure_time"], np.float32),
                exptime=1.0,
                pixmap=pixmap,
                weight_map=(weight_map > 0).astype(np.float32),
                in_units="cps",
                **limits,
            )
            self.exposure_time += drizzle.out_img

    return WithExposureTime

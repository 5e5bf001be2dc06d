"""Roman's map of exposure times, which romancal's resampler makes in its hook: made in the pass over the exposure.

The hook drizzles, once for each exposure, an image full of its effective exposure time, with weights of 1 where pixels
are good, and adds the mean to a total. That is what the kernels add in the same pass as the data (`Mosaic::time` of
``kernels/exposure.h``), so that no full maps need be made. A hook whose text is another, or that would give other bits,
is called as ever.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gpures.arguments.arrays import as_host, on_device
from gpures.backend.base import Accumulators, MosaicLayout
from gpures.exposure.exposure import Exposure
from gpures.originals import original
from gpures.resample.resampler import Resample

__all__ = ["ExposureTimes", "RidingTimes"]

# Of the hook and of the class that it calls, as romancal 1.1 has them.
KNOWN = {"a9a85f433762df2d64cd1a5a8fb92096ac7b6790e92cc338653d7065c60dc079"}

# Where romancal keeps that class' instance.
KEPT = "_exptime_resampler"

# A mean of equal numbers is off by less, relative to them.
MEAN_OFF = 1e-11

# Times whose sums and means have all digits of float32.
LEAST_TIME, MOST_TIME = 1e-15, 1e15


class ExposureTimes:
    """What stands for romancal's ``ExptimeResampler`` of a mosaic whose times ride the passes.

    Parameters
    ----------
    accumulators : Accumulators
        Where the times are accumulated.
    make : callable
        Makes an ``ExptimeResampler``, for exposures whose times do not.
    good_bits : int, str, list or None
        What it would be made with.
    """

    def __init__(self, accumulators: Accumulators, make: Callable[[], Any], good_bits: Any):
        self.good_bits = good_bits
        self._accumulators: Accumulators | None = accumulators
        self._make = make
        self._total: Any = None
        self._own: Any = None

    def rides(self, accumulators: Accumulators) -> bool:
        """Whether all of the times so far are in these accumulators."""
        return self._accumulators is accumulators

    def ride(self, accumulators: Accumulators) -> ExposureTimes:
        """The same for a copy of the accumulators."""
        return ExposureTimes(accumulators, self._make, self.good_bits)

    def leave(self) -> None:
        """Keep the times so far; what is added to the accumulators from now on is none of them."""
        if self._accumulators is not None:
            self._total, self._accumulators = self.exptime_total.copy(), None

    def take(self) -> None:
        """Keep the times of accumulators that nobody else needs."""
        self._total, self._accumulators = self.exptime_total, None

    @property
    def exptime_total(self) -> np.ndarray:
        """Sum of the exposure times, float32 (Ny, Nx)."""
        if self._accumulators is not None:
            with self._accumulators.context():
                self._accumulators.check_whole()
                return as_host(self._accumulators.images()["exptime_map"])
        return self._total if self._own is None else self._own.exptime_total

    def add_image(self, *args: Any, **options: Any) -> None:
        """Add an exposure as romancal does."""
        self.leave()
        if self._own is None:
            self._own = self._make()
            self._own.exptime_total += self._total
        self._own.add_image(*args, **options)

    def finalize(self) -> np.ndarray:
        """The sum, as romancal asks for it."""
        return self.exptime_total


class RidingTimes(Resample):
    """A resampler that has romancal's map of exposure times ride along, where its hook is known.

    Parameters
    ----------
    *args, **options
        As in `gpures.Resample`.
    """

    def _layout(self, n_input_models: int | None) -> MosaicLayout:
        layout = super()._layout(n_input_models)
        return replace(layout, has_time=True) if self._has_riding_times(layout) else layout

    def _add_with_hooks(self, model: Mapping[str, Any], checked: Exposure) -> None:
        rides = self._has_riding_times(self._accumulators.layout) and self._is_as_in_the_pass(model, checked)
        if rides and not hasattr(self, KEPT) and not self._accumulators.passes:
            resampler = _class_for(self.add_model_hook)
            recipe = (self.output_wcs, self.output_array_shape, self.good_bits, self.kernel)
            made = ExposureTimes(self._accumulators, functools.partial(resampler, *recipe), self.good_bits)
            setattr(self, KEPT, made)
        times = self.__dict__.get(KEPT)
        if rides and isinstance(times, ExposureTimes) and times.rides(self._accumulators):
            checked.effective_time = float(np.float32(model["effective_exposure_time"]))
            self._accumulators.add(checked)
            self._count_riding_time()
            return
        if isinstance(times, ExposureTimes):
            times.leave()
        super()._add_with_hooks(model, checked)

    def _count_riding_time(self) -> None:
        """Called when the time of an exposure has been added in its pass."""

    def _drop_accumulators(self) -> None:
        times = self.__dict__.get(KEPT)
        if isinstance(times, ExposureTimes) and hasattr(self, "_accumulators") and times.rides(self._accumulators):
            if self._accumulators.is_whole():
                times.take()
            else:  # what there is of them is not known
                delattr(self, KEPT)
        super()._drop_accumulators()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        times = self.__dict__.get(KEPT)
        if isinstance(times, ExposureTimes) and times._accumulators is not None:
            setattr(self, KEPT, times.ride(self._accumulators))

    def _has_riding_times(self, layout: MosaicLayout) -> bool:
        """Whether what is accumulated has a place for romancal's map, and its hook would make that and nothing else."""
        hook = getattr(self.add_model_hook, "__func__", None)
        return (
            not self.enable_exptime_map
            and layout.dtype == np.float32
            and self._backend != "drizzle"
            and not any(self._period)
            and self.kernel == "square"
            and self.pixfrac == 1.0
            and not self._is_overridden("resample_variance_arrays")
            and hook is not None
            and _is_known(hook)
            and _drizzles(hook)
            and bool(getattr(self, "compute_exptime", False))
            and self.dq_flag_name_map is _names_for(hook)["dqflags"].pixel
        )

    def _is_as_in_the_pass(self, model: Mapping[str, Any], checked: Exposure) -> bool:
        """Whether the hook would give a model's time the bits, and the places, that it has in the pass."""
        time, times = model.get("effective_exposure_time"), self.__dict__.get(KEPT)
        xmin, xmax, ymin, ymax = checked.limits
        return (
            self._accumulators.layout.has_time
            and (not isinstance(times, ExposureTimes) or times.good_bits == self.good_bits)
            and _has_one_mean(time)
            and math.isinf(checked.pixmap.jump)
            and xmin < xmax
            and ymin < ymax
            and not any(np.ma.isMaskedArray(model[name]) or on_device(model[name]) for name in ("data", "dq"))
        )


def _has_one_mean(time: Any) -> bool:
    """Whether any weighted mean of a time with itself is, in float32, that time."""
    if isinstance(time, (bool, np.bool_)) or not isinstance(time, (int, float, np.integer, np.float32)):
        return False
    seconds = float(time)
    if seconds != 0.0 and not LEAST_TIME < abs(seconds) < MOST_TIME:
        return False
    return bool(np.float32(seconds * (1.0 - MEAN_OFF)) == np.float32(seconds * (1.0 + MEAN_OFF)))


@functools.cache
def _is_known(hook: Callable[..., None]) -> bool:
    """Whether a hook is romancal's, of a version that was looked at, and weighs all good pixels with 1."""
    try:
        text = inspect.getsource(hook) + inspect.getsource(_class_for(hook))
    except (KeyError, OSError, TypeError):  # no source, or no such class
        return False
    if hashlib.sha256(text.encode()).hexdigest() not in KNOWN:
        return False
    data, flags = np.array([[np.nan, np.inf, 1.0, -1.0]], np.float32), np.array([[0, 4, 6, 2]], np.uint32)
    weights = _names_for(hook)["build_driz_weight"]({"data": data, "dq": flags}, weight_type=None, good_bits=4)
    return np.array_equal(weights, [[1, 1, 0, 0]])


def _class_for(hook: Any) -> Any:
    """The class that romancal's hook makes an instance of."""
    return getattr(hook, "__func__", hook).__globals__["ExptimeResampler"]


def _names_for(hook: Callable[..., None]) -> dict[str, Any]:
    """What the module of that class has."""
    return _class_for(hook).add_image.__globals__


def _drizzles(hook: Callable[..., None]) -> bool:
    """Whether that class drizzles with drizzle's, or what stands for it."""
    from drizzle.resample import Drizzle

    return original(_names_for(hook)["Drizzle"]) is original(Drizzle)

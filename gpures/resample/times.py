"""Exposure times, counted once for each group of exposures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from gpures.arguments.arrays import got, named
from gpures.arguments.values import checked_real, is_real
from gpures.exposure.weights import measured_time
from gpures.resample.output_model import OutputModel

__all__ = ["GroupTimes", "TimeCounters", "times_of"]

# What of the first model of a group is counted: entries of the model.
GroupTimes = dict[str, Any]

COUNTED = ("start_time", "end_time", "exposure_time", "measurement_time", "duration")

# What could be compared with its like, and is no start or end all the same.
NO_TIMES = (bool, np.bool_, list, tuple, dict, set, frozenset)


def times_of(model: Mapping[str, Any]) -> GroupTimes:
    """What of a model `TimeCounters.update_time` counts, and what it is called.

    Parameters
    ----------
    model : mapping
        Input model.
    """
    return {name: model.get(name) for name in ("filename", "group_id", *COUNTED)}


class TimeCounters:
    """The part of `gpures.Resample` that keeps times.

    Exposures of the same ``group_id`` were taken at the same time (by several detectors, say), so only the first of a
    group counts.
    """

    # Attributes that count.
    counters = (
        "_total_exposure_time",
        "_duration",
        "_total_measurement_time",
        "_measurement_time_success",
        "_exptime_start",
        "_exptime_end",
    )

    _group_ids: list[Any]
    _output_model: OutputModel
    _n_res_models: int

    def init_time_counters(self) -> None:
        """Set all counters to zero; begin with the times of an output model that has some."""
        self._total_exposure_time = 0.0
        self._duration = 0.0
        self._total_measurement_time = 0.0
        self._measurement_time_success: list[bool] = []
        start, end = self._output_model.get("start_time"), self._output_model.get("end_time")
        self._exptime_start = [] if start is None else [start]
        self._exptime_end = [] if end is None else [end]

    def _check_time(self, model: Mapping[str, Any]) -> None:
        """Check what of a model's times `exposure_of` does not, so that `update_time` and the end can't fail.

        Raises
        ------
        TypeError
            Start, end or group can't be compared with those of the models before.
        ValueError
            Start or end is not a time, such as NaN.
        """
        group_id = model["group_id"]
        try:
            comparable = not np.ndim(group_id) if isinstance(group_id, np.ndarray) else True
            bool(comparable and group_id in self._group_ids)
        except Exception:
            comparable = False
        if not comparable:
            raise TypeError(f"{named('group_id', model)} must be a name or a number, got {got(group_id)}.")
        for key, times in (("start_time", self._exptime_start), ("end_time", self._exptime_end)):
            if (time := model[key]) is None:
                continue
            if isinstance(time, NO_TIMES) or (isinstance(time, np.ndarray) and time.ndim):
                raise TypeError(f"{named(key, model)} must be a time or None, got {got(time)}.")
            try:
                is_time = bool(time == time)
                first = times[0] if times else time
                bool(time < first)
                bool(time > first)
            except Exception as error:
                before = f" {got(times[0])} before it" if times else " other times"
                raise TypeError(f"{named(key, model)} must be comparable with{before}, got {got(time)}.") from error
            if not is_time or (is_real(time) and not math.isfinite(checked_real(time, key, model))):
                raise ValueError(f"{named(key, model)} must be a time or None, got {got(time)}.")

    def update_time(self, model: Mapping[str, Any]) -> None:
        """Count a model's times, unless its group has been counted.

        Parameters
        ----------
        model : mapping
            Input model with ``group_id``, ``start_time``, ``end_time``, ``exposure_time``, ``duration`` and, if it has
            one, ``measurement_time`` (seconds; start and end in any unit that can be compared). Those that are None
            do not count.
        """
        if model["group_id"] in self._group_ids:
            return
        # The first and the last are kept, which are all that the next model's have to be comparable with.
        if model["start_time"] is not None:
            self._exptime_start = [min([*self._exptime_start, model["start_time"]])]
        if model["end_time"] is not None:
            self._exptime_end = [max([*self._exptime_end, model["end_time"]])]
        if model["exposure_time"] is not None:
            self._total_exposure_time += float(model["exposure_time"])
        time, is_measured = measured_time(model)
        self._measurement_time_success.append(is_measured)
        if time is not None:
            self._total_measurement_time += float(time)
        if model["duration"] is not None:
            self._duration += float(model["duration"])

    def finalize_time_info(self) -> None:
        """Write the totals into the output model.

        Raises
        ------
        ValueError
            No model was added.
        """
        if not self._n_res_models:
            raise ValueError("Nothing to finalize: no model has been added.")
        model = self._output_model
        model["exposure_time"] = self._total_exposure_time
        model["start_time"] = min(self._exptime_start, default=None)
        model["end_time"] = max(self._exptime_end, default=None)
        model["duration"] = self._duration
        model["elapsed_exposure_time"] = self._duration
        if all(self._measurement_time_success):
            model["measurement_time"] = self._total_measurement_time

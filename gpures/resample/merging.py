"""Mosaics of one frame that are merged, each of which has some of the exposures."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from gpures.arguments.arrays import got
from gpures.backend.base import Accumulators
from gpures.errors import IncompleteError
from gpures.exposure.options import Options
from gpures.reporting.tables import listed
from gpures.resample.added import AddedModel, in_both
from gpures.resample.hooks import Hooks
from gpures.resample.output_model import OutputModel
from gpures.resample.times import GroupTimes
from gpures.wcs.same_frame import offset_of_frames
from gpures.wcs.seams import Period
from gpures.wcs.transforms import Transform

__all__ = ["Merging"]

# Frames are the same where their pixels lie within so many pixels of each other.
SAME_FRAME = 1e-5

# Pixel scale ratios that differ by less, relatively, are the same.
SAME_RATIO = 1e-6

# Names that an error shows.
MOST_NAMES = 5


class Merging(Hooks):
    """The part of `gpures.Resample` that merges mosaics."""

    _accumulators: Accumulators
    _exposures: list[AddedModel]
    _finalized: bool
    _given_ratio: float | None
    _group_ids: list[Any]
    _group_times: list[GroupTimes]
    _lock: threading.RLock
    _n_res_models: int
    _reach_of_pairs: int
    _options: Options
    _output_model: OutputModel
    _output_wcs: Any
    _period: Period
    _undo: Any
    _pixel_scale_ratio: float | None
    _wcs_lock: threading.Lock
    _world_to_pixel: Transform

    _all_or_nothing: Callable[[Callable[[], str]], AbstractContextManager[None]]
    _count_group: Callable[[GroupTimes], None]
    _check_time: Callable[[Any], None]
    _defer_images: Callable[[], None]
    _settle: Callable[[Any], None]

    def merge(self, other: Merging) -> None:
        """Add all that another mosaic of the same frame has accumulated, which is not changed.

        The mosaic is then what it would be had the exposures of the other one been added after its own, up to
        rounding: images and variances, flags and times; in the context image their bits come after its own. So parts of
        a mosaic can be made by several processes, and merged in any order: a copy, by ``copy`` or ``pickle``, is how
        they travel. Only that part of the frame is looked at to which the other's exposures have contributed.

        What is set here holds for the result (such as the fill value), and settings that act on single exposures, such
        as ``kernel``, may have been others. Drops that are sized by the pixel scale ratio need one ratio for all: give
        ``"pixel_scale_ratio"`` in ``output_wcs``.

        Parameters
        ----------
        other : gpures.Resample
            Not finalized, with other exposures, and of any backend. Its output WCS may be another object that does the
            same; the same planes are accumulated in it, in the same type, and weights are made of the same
            (``weight_type``).

        Raises
        ------
        RuntimeError
            This mosaic is finalized. Nothing is changed by this error, nor by any of the following ones.
        TypeError
            ``other`` is no such object; or a subclass does something with each model and has no ``merge`` for what it
            made of them.
        ValueError
            ``other`` is finalized, of another frame or with other settings, or has an exposure that is in this one.
        IncompleteError
            The addition of an exposure to one of both was interrupted.

        Examples
        --------
        Two parts, each of one exposure:

        >>> from gpures import Resample
        >>> from gpures.demo.nircam import NATIVE_SCALE, NRCB5, make_exposures
        >>> from gpures.demo.scene import make_scene
        >>> from gpures.demo.sky import frame_around
        >>> models = make_exposures(make_scene(NRCB5["CRVAL1"], NRCB5["CRVAL2"]), 2, (64, 64))
        >>> frame = {"wcs": frame_around(models, NATIVE_SCALE, margin=2)}
        >>> parts = [Resample(frame, good_bits="~1") for _ in models]
        >>> for part, model in zip(parts, models):
        ...     part.add_model(model)
        >>> parts[0].merge(parts[1])
        >>> [exposure.name for exposure in parts[0].exposures] == [model["filename"] for model in models]
        True
        """
        if not isinstance(other, Merging):
            raise TypeError(f"'other' must be a gpures.Resample, got {got(other)}.")
        if other is self:
            raise ValueError("'other' must be another mosaic, got this one itself.")
        with ExitStack() as held:
            for one in sorted((self, other), key=id):  # in one order, whoever merges what at the same time
                held.enter_context(one._lock)
            self._check_states(other)
            self._check_settings(other)
            self._check_frame(other)
            self._check_exposures(other)
            self._check_ratio(other)
            self._check_noise_of(other)
            with self._all_or_nothing(lambda: "The mosaic 'other' has been merged: it must not be merged again."):
                first = self._n_res_models
                self._count_merged(other)
                self._defer_images()
                self._accumulators.merge(other._accumulators, first, other._n_res_models)

    def _check_states(self, other: Merging) -> None:
        """Refuse what is finished, or holds a part of an exposure, or more than is known here."""
        if self._finalized:
            raise RuntimeError("Nothing can be merged into a mosaic that is finalized: merge before 'finalize'.")
        if other._finalized:
            raise ValueError("'other' must not be finalized, got a mosaic that is: merge before 'finalize'.")
        for name, one in (("This mosaic", self), ("'other'", other)):
            one._settle(one._undo)
            if not one._accumulators.is_whole():
                raise IncompleteError(
                    f"{name} must hold whole exposures, got a part of one, whose addition was interrupted: begin it "
                    "anew, with 'reset_arrays' or a new object."
                )
            if one._is_overridden("add_model_hook") and type(one).merge is Merging.merge:
                raise TypeError(
                    f"{name} is a {type(one).__name__}, whose 'add_model_hook' makes something of each model that only "
                    "its class can merge: expected a method 'merge' of that class, which calls this one."
                )
            if len(one._exposures) != one._n_res_models:
                raise ValueError(
                    f"{name} must know which exposures are in it, got one that was gone on with from a finished mosaic "
                    "and does not."
                )

    def _check_settings(self, other: Merging) -> None:
        """Refuse a mosaic that accumulates something else."""
        settings = other._settings()
        for name, ours in self._settings().items():
            if settings[name] != ours:
                raise ValueError(f"'other' must have the {name!r} of this mosaic, {ours!r}, got {settings[name]!r}.")

    def _settings(self) -> dict[str, Any]:
        """What must be the same in all parts of a mosaic, by the arguments' names."""
        layout, options = self._accumulators.layout, self._options
        return {
            "enable_ctx": options.enable_ctx,
            "enable_var": options.enable_var,
            "variance_array_names": sorted(layout.variance_names),
            "compute_err": "driz_err" if layout.has_err else options.compute_err,
            "propagate_dq": layout.has_dq,
            "extra_array_names": sorted(layout.extra_names),
            "enable_exptime_map": layout.has_time,
            "accumulator_dtype": layout.dtype.name,
            "weight_type": options.weight_type,
            "variance_method": options.variance_method,
            "precision": options.precision,
            "covariance": str(options.covariance),  # True is not 1 here
            "noise_factor": options.noise_factor,
            "resample_variance_arrays": "overridden" if layout.propagates and layout.variances_apart else "as it is",
            "pixel_scale_ratio": self._given_ratio,
        }

    def _check_frame(self, other: Merging) -> None:
        """Refuse a mosaic of another frame."""
        shapes = [one._accumulators.layout.shape for one in (self, other)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"'other' must have the frame of this mosaic, of the shape {shapes[0]}, got {shapes[1]}.")
        if other._output_wcs is self._output_wcs:
            return
        with self._wcs_lock, other._wcs_lock:
            off = offset_of_frames(self._output_wcs, other._output_wcs, self._world_to_pixel, shapes[0], self._period)
        if not off <= SAME_FRAME:
            differs = f"off by up to {off:.3g} pixels" if math.isfinite(off) else "of another part, or kind, of the sky"
            raise ValueError(f"'other' must have the output WCS of this mosaic, got one that is {differs}.")

    def _check_exposures(self, other: Merging) -> None:
        """Refuse exposures that would be in the mosaic twice, and times that can't be compared with those here."""
        if shared := in_both(self._exposures, other._exposures):
            names = listed([repr(exposure.name) for exposure in shared], MOST_NAMES)
            raise ValueError(
                f"'other' must have exposures that are not in this mosaic, got {len(shared)} of "
                f"{len(other._exposures)} that are: {names}."
            )
        for times in other._group_times:
            self._check_time(times)

    def _check_ratio(self, other: Merging) -> None:
        """Refuse drops that were sized by another pixel scale ratio than exposures here are."""
        ours, theirs = self._pixel_scale_ratio, other._pixel_scale_ratio
        same = ours is not None and theirs is not None and abs(ours - theirs) <= SAME_RATIO * ours
        if ours is None or same:
            return
        for exposure in other._exposures:
            if exposure.is_sized_by_ratio:
                raise ValueError(
                    f"'other' must have the pixel scale ratio of this mosaic, {ours:.8g}, which sizes the drops of "
                    f"'{exposure.name}', got {theirs}: give 'pixel_scale_ratio' in 'output_wcs' to both."
                )

    def _check_noise_of(self, other: Merging) -> None:
        """Refuse a mosaic whose noise is made of other variance arrays."""
        if not self._accumulators.layout.noise_names or not (self._n_res_models and other._n_res_models):
            return
        names = [name for name in self._accumulators.layout.noise_names if name != "err"]
        ours, theirs = ([name for name in names if name in one._variances_had] for one in (self, other))
        if ours != theirs:
            raise ValueError(
                f"'other' must have the noise of this mosaic, of the variance arrays {ours}, got {theirs}: "
                "'covariance' and 'noise_factor' need one kind for all."
            )

    def _count_merged(self, other: Merging) -> None:
        self._n_res_models += other._n_res_models
        self._exposures = [*self._exposures, *other._exposures]
        self._variances_had = tuple(sorted({*self._variances_had, *other._variances_had}))
        self._reach_of_pairs = max(self._reach_of_pairs, other._reach_of_pairs)
        for times in other._group_times:
            self._count_group(times)
        if self._pixel_scale_ratio is None and other._pixel_scale_ratio is not None:
            self._pixel_scale_ratio = other._pixel_scale_ratio
            if self._output_model.get("pixel_scale_ratio") is None:
                self._output_model["pixel_scale_ratio"] = other._pixel_scale_ratio

"""What subclasses of the resampler may do with an exposure besides: stcal's hooks, and the arrays they are handed."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpures.arguments.values import checked_scale
from gpures.backend.base import Accumulators, Part, usual_drop
from gpures.backend.pairs import too_short
from gpures.box import Box
from gpures.exposure.drops import ratio_in_single, sizing_ratio
from gpures.exposure.exposure import Exposure
from gpures.exposure.from_model import exposure_of_variances
from gpures.exposure.input_model import InputModel
from gpures.exposure.options import Options
from gpures.exposure.pixmap import PixelMap
from gpures.typing import ModelLike
from gpures.wcs.seams import Period

__all__ = ["Hooks"]

log = logging.getLogger(__name__)


class Hooks:
    """The part of `gpures.Resample` that calls the hooks of a subclass, which cost nothing where there are none."""

    _accumulators: Accumulators
    _options: Options
    _output_array_shape: tuple[int, int]
    _period: Period
    _pixel_scale_ratio: float | None
    # Names of the variances that any exposure has.
    _variances_had: tuple[str, ...] = ()

    # Longest lag of pairs of output pixels that any exposure contributes to, where covariances have a longest lag.
    _reach_of_pairs = 0

    # Of the pixel map that a hook was handed last.
    _jump = math.inf

    # What the sums were where an exposure goes, while its hooks are called.
    _parts: list[Part] | None = None

    def _variance_names(self) -> Sequence[str]:
        """Variance arrays that are resampled."""
        raise NotImplementedError

    def _add_with_hooks(self, model: Mapping[str, Any], checked: Exposure) -> None:
        """Add an exposure and call a subclass' hooks. If one of these raises, the sums are what they were."""
        variances = checked.variances
        own_variances = self._is_overridden("resample_variance_arrays")
        if own_variances:
            checked.variances = {}
        self._parts = [self._accumulators.part(self._accumulators.window_of(checked))]
        try:
            self._accumulators.add(checked)
            if self._is_overridden("add_model_hook"):
                self._call_with_maps(self.add_model_hook, model, checked)
            if own_variances and variances:
                self._call_with_maps(self.resample_variance_arrays, model, checked)
        except BaseException:
            for part in reversed(self._parts):
                self._accumulators.put_back(part)
            raise
        finally:
            self._parts = None

    def _count_variances(self, exposure: Exposure) -> None:
        known = exposure.variances.keys() - set(exposure.unknown)
        self._variances_had = tuple(sorted({*self._variances_had, *known}))

    def _count_pairs(self, exposure: Exposure) -> None:
        given, before = self._options.covariance, self._reach_of_pairs
        if isinstance(given, bool):
            return
        kernel = self._accumulators.kernel_of(exposure)
        self._reach_of_pairs = max(before, usual_drop(exposure, kernel, self._output_array_shape))
        if before <= given < self._reach_of_pairs:
            log.warning(too_short(given, self._reach_of_pairs))

    def _is_overridden(self, name: str) -> bool:
        return getattr(getattr(self, name), "__func__", None) is not getattr(Hooks, name)

    def _call_with_maps(self, method: Callable[..., None], model: Mapping[str, Any], checked: Exposure) -> None:
        """Call a hook with the full pixel map and weight map, which nobody else needs."""
        xmin, xmax, ymin, ymax = checked.limits
        self._jump = checked.pixmap.jump
        arguments = {
            "model": model,
            "pixmap": checked.pixmap.array(),
            "pixel_scale_ratio": self._pixel_scale_ratio,
            "iscale": checked.iscale,
            "weight_map": self._accumulators.weight_map(checked),
            "xmin": xmin,
            "xmax": xmax,
            "ymin": ymin,
            "ymax": ymax,
        }
        parameters = inspect.signature(method).parameters
        takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
        if "pixel_scale_ratio" not in parameters and not takes_any:  # hooks written before it was an argument
            del arguments["pixel_scale_ratio"]
        method(**arguments)

    def add_model_hook(
        self,
        model: ModelLike,
        pixmap: NDArray[np.float64],
        pixel_scale_ratio: float | None,
        iscale: float,
        weight_map: NDArray[np.float32],
        xmin: int,
        xmax: int,
        ymin: int,
        ymax: int,
    ) -> None:
        """Do more with a model that was added; for subclasses.

        Parameters
        ----------
        model : gpures.typing.Model
            The model.
        pixmap : ndarray of float64 (Ny, Nx, 2)
            Output coordinates x, y of the input pixels' centres.
        pixel_scale_ratio : float or None
            Output over input pixel scale.
        iscale : float
            Factor to the data.
        weight_map : ndarray of float32 (Ny, Nx)
            Weights.
        xmin, xmax, ymin, ymax : int
            Input pixels used, the last ones included.
        """

    def resample_variance_arrays(
        self,
        model: ModelLike,
        pixmap: NDArray[np.float64],
        pixel_scale_ratio: float | None,
        iscale: float,
        weight_map: NDArray[np.float32] | None,
        xmin: int | None,
        xmax: int | None,
        ymin: int | None,
        ymax: int | None,
    ) -> None:
        """Resample a model's variances and add them, with the pixel map and weights given.

        `add_model` does this in the same pass as the data. Only where a subclass overrides this method does it call
        it, and this one is there for that subclass to call in turn. Variances that are propagated have the weights that
        are given here, whatever those of the data.

        Parameters
        ----------
        model : gpures.typing.Model
            The model.
        pixmap : ndarray of float64 (Ny, Nx, 2)
            Output coordinates x, y of the input pixels' centres.
        pixel_scale_ratio : float or None
            Output over input pixel scale; None for that of the mosaic.
        iscale : float
            Factor to the data, whose square is that to the variances.
        weight_map : ndarray of float32 (Ny, Nx) or None
            Weights; None for 1.
        xmin, xmax, ymin, ymax : int or None
            Input pixels used, the last ones included; None, or beyond the image, means its edge.

        Raises
        ------
        KeyError, TypeError, ValueError
            Something in the model is missing or wrong, or the weights have another shape than the pixel map.
        RuntimeError
            ``variance_method`` is "propagated", and the class does not override this method.
        """
        layout = self._accumulators.layout
        if layout.propagates and not layout.variances_apart:
            raise RuntimeError(
                "'resample_variance_arrays' adds variances that have been added with the data: with "
                f"variance_method='propagated' it can be called where a class overrides it, got {type(self).__name__}."
            )
        passed = exposure_of_variances(
            InputModel(model),
            self._options,
            self._variance_names(),
            PixelMap.from_array(pixmap, self._period, self._jump),
            weight_map,
            (xmin, xmax, ymin, ymax),
        )
        self._count_variances(passed)
        ratio = self._pixel_scale_ratio if pixel_scale_ratio is None else pixel_scale_ratio
        passed.pixel_scale_ratio = self._kernel_scale_ratio(ratio, passed.pixmap, passed.limits)
        passed.iscale = checked_scale(iscale, "iscale")
        if self._parts is not None:
            window = self._accumulators.window_of(passed)
            if self._parts[0].window.united(window) != self._parts[0].window:  # with a pixel map of the hook's own
                self._parts.append(self._accumulators.part(window))
        self._accumulators.add(passed)

    def _kernel_scale_ratio(self, ratio: float | None, pixmap: PixelMap, limits: Box) -> float:
        """Pixel scale ratio that sizes the drops."""
        ratio = sizing_ratio(
            ratio, self._options.drop, lambda: pixmap.mean_scale_ratio(self._output_array_shape, limits)
        )
        return ratio_in_single(ratio) if self._options.accumulator_dtype == np.float32 else float(ratio)

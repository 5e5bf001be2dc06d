"""How exposures lie in a frame, and with what weights: what their contributions are made of."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpures.arguments.arrays import got, on_device
from gpures.arguments.values import checked_scale, first_device
from gpures.backend.operator import CPUOperator, window_in_frame
from gpures.box import Box
from gpures.cleaning.given import given_exposures, good_bits_of
from gpures.errors import DeviceError
from gpures.exposure.drops import ratio_in_single, sizing_ratio, warn_of_kernel
from gpures.exposure.exposure import Exposure
from gpures.exposure.from_model import exposure_of
from gpures.exposure.input_model import InputModel
from gpures.exposure.options import Options
from gpures.exposure.pixmap import PixelMap, calc_pixmap
from gpures.exposure.weights import VARIANCE_OF
from gpures.io import Input
from gpures.resample.output_frame import OutputFrame
from gpures.resample.output_model import OutputModel
from gpures.wcs.seams import period_of
from gpures.wcs.transforms import checked_wcs, pixel_to_world, world_to_pixel

__all__ = ["Geometry", "Placed"]

log = logging.getLogger(__name__)

# What a model needs for its contributions alone; the others of `gpures.Resample` have defaults.
NEEDED = ("data", "dq", "wcs", "exposure_time", "pixelarea_steradians")
DEFAULTS = dict.fromkeys(("filename", "group_id", "start_time", "end_time", "duration", "measurement_time", "level"))


@dataclass(frozen=True)
class Placed:
    """An exposure in a frame.

    Attributes
    ----------
    exposure : Exposure
        All that is known of it.
    model : InputModel
        What it was made of.
    window : Box
        The part of the frame that it may contribute to; it may be empty.
    """

    exposure: Exposure
    model: InputModel
    window: Box


class Geometry(OutputFrame):
    """A frame, and the options with which exposures are drizzled onto it.

    Parameters
    ----------
    exposures : object
        Models, paths, or images of files: see `given_exposures`.
    frame : dict, gwcs.wcs.WCS or astropy.wcs.WCS
        As `gpures.Resample` takes ``output_wcs``, or the WCS alone.
    **options
        Those of `gpures.Resample` that mean something here.

    Attributes
    ----------
    exposures : list of mapping or gpures.io.Input
        The exposures, one by one.
    backend : {"cpu", "cuda"}
        Where it is computed.
    device : int or None
        The GPU.
    to_host : bool
        Whether results are numpy arrays in any case.

    Raises
    ------
    TypeError, ValueError
        An argument can't be used.
    DeviceError
        The GPU can't be used.
    """

    def __init__(self, exposures: Any, frame: Any, **options: Any):
        self.exposures: list[Any] = given_exposures(exposures)
        options["good_bits"], self._flag_names = good_bits_of(self.exposures, options["good_bits"])
        self._options = Options(**options, enable_ctx=False, enable_var=False)
        if self._options.backend == "drizzle":
            raise ValueError(
                "'backend' must be 'auto', 'cpu' or 'cuda', got 'drizzle': the drizzle package gives sums of "
                "contributions, and not these one by one."
            )
        if (
            isinstance(self._options.device, (tuple, str))
            and first_device(self._options.device) != self._options.device
        ):
            raise ValueError(f"'device' must be one GPU, got {got(self._options.device)}: an operator lies on one.")
        self._output_model = OutputModel({})
        OutputFrame.__init__(self, _output_wcs(frame))
        self._world_to_pixel = world_to_pixel(self._output_wcs)
        self.period = period_of(self._output_wcs)
        self.backend, self.device = _chosen(self._options)
        self.to_host = self._options.to_host

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (Ny, Nx) of the frame."""
        return self._output_array_shape

    @property
    def kernel(self) -> str:
        """Name of the kernel that the drops have."""
        return self._options.drop

    def warn_of_kernel(self, stacklevel: int) -> None:
        """Warn of what the kernel does not do, as `warnings.warn` would it in the caller."""
        warn_of_kernel(self._options.kernel, self._options.pixfrac, stacklevel + 1)

    def placed(self, exposure: Any) -> Placed:
        """Read and check an exposure.

        Parameters
        ----------
        exposure : mapping or gpures.io.Input
            One of the exposures. The first with a pixel scale settles the pixel scale ratio, if the frame has none.

        Raises
        ------
        KeyError, RuntimeError, TypeError, ValueError
            Something in it is missing or wrong.
        """
        if isinstance(exposure, Input):
            # All of it, as pixels of JWST that are NaN in any array are bad; and what weights are made of.
            exposure = exposure.read({*exposure.sizes, VARIANCE_OF.get(self._options.weight_type, "data")})
        for key in NEEDED:
            if key not in exposure:
                raise KeyError(f"Attempt to access non-existent key '{key}' in a data model.")
        model = InputModel({**DEFAULTS, "subtracted": False, **exposure})
        checked_wcs(model["wcs"], "wcs", model)
        checked = exposure_of(model, self._options, (), self._flag_names, lambda shape: self._pixmap(model, shape))
        checked.name = f"model '{model.name}'"
        self._compute_pixel_scale_ratio(model)
        ratio = sizing_ratio(
            self._pixel_scale_ratio, self.kernel, lambda: checked.pixmap.mean_scale_ratio(self.shape, checked.limits)
        )
        checked.pixel_scale_ratio = ratio_in_single(ratio)
        checked.iscale = checked_scale(self._get_intensity_scale(model), "iscale", model)
        if self.backend == "cpu" and any(map(on_device, checked.arrays().values())):
            names = ", ".join(repr(key) for key, value in model.items() if on_device(value))
            raise TypeError(
                f"{names} of model '{model.name}' is on a GPU, and this is computed in host memory: pass array.get(), "
                "or use backend='cuda' where there is a choice."
            )
        return Placed(checked, model, window_in_frame(checked, self.kernel, self.shape))

    def _pixmap(self, model: InputModel, shape: tuple[int, int]) -> PixelMap:
        return calc_pixmap(
            model["wcs"],
            self._world_to_pixel,
            shape,
            tolerance=self._options.pixmap_tolerance,
            stepsize=self._options.pixmap_stepsize,
            order=self._options.pixmap_order,
            period=self.period,
        )

    def pixel_to_pixel(self, wcs: Any) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
        """Pixel coordinates of an exposure's WCS, arrays of float64, to those of the frame; no bounding box counts."""
        forward = pixel_to_world(wcs, self._world_to_pixel.axes.sky)

        def evaluate(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            x, y = self._world_to_pixel(*forward(x, y))
            return x, y

        return evaluate

    def operator(self, exposure: Exposure, window: Box) -> Any:
        """The matrix of an exposure on a window of the frame, which is not empty.

        Returns
        -------
        CPUOperator or CUDAOperator
        """
        if self.device is None:
            return CPUOperator(exposure, self.kernel, self.shape, window)
        from gpures.backend.cuda.operator import CUDAOperator

        return CUDAOperator(exposure, self.kernel, self.shape, window, self.device)


def _output_wcs(frame: Any) -> Mapping[str, Any]:
    """What `gpures.Resample` takes as ``output_wcs``, of a frame that is that or a WCS.

    Raises
    ------
    TypeError, ValueError
        It is neither.
    """
    output = frame if isinstance(frame, Mapping) else {"wcs": frame}
    if output.get("wcs") is None:
        raise ValueError(f"'frame' must be a WCS, or a dict with one under 'wcs', got {got(frame)}.")
    checked_wcs(output["wcs"], "frame")
    return output


def _chosen(options: Options) -> tuple[str, int | None]:
    """The backend, and the number of the GPU."""
    if options.backend == "cpu":
        return "cpu", None
    from gpures.backend.cuda.device import select

    try:
        return "cuda", select(first_device(options.device))
    except DeviceError as error:
        if options.backend == "cuda":
            raise
        log.info("Drizzling on the CPU. %s", error)
        return "cpu", None

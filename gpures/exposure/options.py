"""What a resampling is set to: checked once, when it is made, and never changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from gpures.arguments.values import (
    checked_backend,
    checked_compute_err,
    checked_device,
    checked_dtype,
    checked_lag,
    checked_names,
    checked_number,
    checked_switch,
    checked_word,
    fill_number,
)
from gpures.exposure.drops import LARGEST_PIXFRAC, checked_kernel, effective_kernel
from gpures.exposure.weights import VARIANCE_OF, check_weight_type, checked_flag
from gpures.typing import Flags

__all__ = ["IMAGES", "LIVE", "MADE_AT_THE_END", "MOST_LAG", "PRECISIONS", "VARIANCE_METHODS", "Options"]

#: Those of a mosaic's entries that are made of pairs of output pixels, at its end.
MADE_AT_THE_END = ("covariance", "covariance_lags", "noise_factor")

#: Images of a mosaic that no array of the models is named after.
IMAGES = ("data", "wht", "con", "dq", "err", "exptime_map", *MADE_AT_THE_END)

#: The largest lag of covariances, in output pixels: of all lags to it there are 1985 planes.
MOST_LAG = 31

#: What the variances of a mosaic are: those that stcal makes, or those of its data.
VARIANCE_METHODS = ("stcal", "propagated")

#: In what drops and the sums of an exposure are computed: float64, or float32.
PRECISIONS = ("double", "single")

#: Options that may change between two exposures: they act on what comes next.
LIVE = ("pixfrac", "kernel", "fillval", "weight_type", "good_bits", "pixmap_stepsize", "pixmap_order")


@dataclass(frozen=True)
class Options:
    """Options of `gpures.Resample`, with its names, defaults and meanings.

    Attributes
    ----------
    pixfrac : float
        Linear size of a drop in input pixels, 0 to 2.
    kernel : {"square", "gaussian", "point", "turbo", "lanczos2", "lanczos3"}
        Shape of a drop.
    fillval : float, str or None
        Value of output pixels without contributions.
    weight_type : {"ivm", "ivm-sky", "exptime"}
        What weights are made of.
    good_bits : int, str, list or None
        DQ flags to be ignored.
    enable_ctx : bool
        Whether there is a context image.
    enable_var : bool
        Whether variance arrays are resampled.
    compute_err : {"from_var", "driz_err"} or None
        How the error is computed, if it is.
    propagate_dq : bool
        Whether there is an output DQ array.
    pixmap_stepsize : float
        Spacing of the grid on which the WCS is evaluated, in input pixels.
    pixmap_order : int
        Order of the spline through that grid, 1 or 3.
    backend : {"auto", "cuda", "cpu", "drizzle"}
        Where it is computed.
    device : int, str, tuple of int or None
        The GPU, where the backend is "cuda", or several: "all", or their numbers.
    to_host : bool
        Whether images are numpy arrays in any case.
    pixmap_tolerance : float
        Largest error of the pixel map, in output pixels.
    extra_array_names : tuple of str
        Names of the further arrays that are averaged like the data.
    enable_exptime_map : bool
        Whether there is a map of the exposure time.
    accumulator_dtype : numpy.dtype
        Type of the accumulated sums, float32 or float64.
    dq_of_empty : int or None
        DQ flags of output pixels without data.
    variance_method : {"stcal", "propagated"}
        What variances, and errors that are averaged, are in the mosaic.
    covariance : bool or int
        Whether there are covariances of output pixels: True for all lags, or the largest lag.
    noise_factor : bool
        Whether there is an image of the noise factor.
    deterministic : bool
        Whether a GPU adds so that the order does not matter.
    precision : {"double", "single"}
        In what drops and the sums of an exposure are computed.

    Raises
    ------
    TypeError, ValueError
        One of them has a value that it can't have, or two contradict each other. The text names it.
    """

    pixfrac: float = 1.0
    kernel: str = "square"
    fillval: float | str | None = 0.0
    weight_type: str = "ivm"
    good_bits: Flags = 0
    enable_ctx: bool = True
    enable_var: bool = True
    compute_err: str | None = None
    propagate_dq: bool = False
    pixmap_stepsize: float = 1
    pixmap_order: int = 1
    _: KW_ONLY
    backend: str = "auto"
    device: Any = None
    to_host: bool = True
    pixmap_tolerance: float = 1e-6
    extra_array_names: Sequence[str] = ()
    enable_exptime_map: bool = False
    accumulator_dtype: DTypeLike = np.dtype("f4")  # noqa: RUF009  (dtypes are immutable)
    dq_of_empty: int | None = None
    variance_method: str = "stcal"
    covariance: bool | int = False
    noise_factor: bool = False
    deterministic: bool = False
    precision: str = "double"

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {
            "pixfrac": checked_number(self.pixfrac, "pixfrac", 0.0, LARGEST_PIXFRAC),
            "kernel": checked_kernel(self.kernel),
            "weight_type": check_weight_type(self.weight_type),
            "compute_err": checked_compute_err(self.compute_err),
            "pixmap_stepsize": checked_number(self.pixmap_stepsize, "pixmap_stepsize", 1, math.inf),
            "backend": checked_backend(self.backend),
            "device": checked_device(self.device),
            "pixmap_tolerance": checked_number(self.pixmap_tolerance, "pixmap_tolerance", 0.0, math.inf),
            "extra_array_names": checked_names(self.extra_array_names, IMAGES),
            "variance_method": checked_word(self.variance_method, "variance_method", VARIANCE_METHODS),
            "covariance": checked_lag(self.covariance, "covariance", MOST_LAG),
            "precision": checked_word(self.precision, "precision", PRECISIONS),
        }
        switches = ("enable_ctx", "enable_var", "propagate_dq", "to_host", "enable_exptime_map", "noise_factor")
        for name in (*switches, "deterministic"):
            checked[name] = checked_switch(getattr(self, name), name)
        checked["accumulator_dtype"] = checked_dtype(self.accumulator_dtype, checked["backend"])
        checked["dq_of_empty"] = checked_flag(self.dq_of_empty, checked["propagate_dq"])
        fill_number(self.fillval)  # which stays as it was given
        # good_bits and pixmap_order mean something to an exposure alone, and are checked there, as in the reference.
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @classmethod
    def names(cls) -> list[str]:
        """Names of all options.

        Returns
        -------
        list of str
            In their order.
        """
        return [field.name for field in fields(cls)]

    def chosen(self) -> dict[str, Any]:
        """The options that are not the defaults.

        Returns
        -------
        dict
            Values by name.
        """
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) is not field.default
        }

    @property
    def drop(self) -> str:
        """Name of the kernel that drops of that size have."""
        return effective_kernel(self.kernel, self.pixfrac)

    @property
    def averages_err(self) -> bool:
        """Whether the error is made of those of the models."""
        return self.compute_err == "driz_err"

    @property
    def propagates(self) -> bool:
        """Whether variances are those of the mosaic's data, by the squares of the data's weights."""
        return self.variance_method == "propagated"

    @property
    def is_single(self) -> bool:
        """Whether drops and the sums of an exposure may be computed in float32."""
        return self.precision == "single"

    @property
    def pairs(self) -> bool:
        """Whether pairs of output pixels are accumulated."""
        return self.covariance is not False or self.noise_factor

    def arrays(self, variance_names: tuple[str, ...]) -> frozenset[str]:
        """Names of the arrays that a model needs.

        Parameters
        ----------
        variance_names : tuple of str
            Names of the variance arrays that are resampled, where any are.

        Returns
        -------
        frozenset of str
            Names, "data" and "dq" among them.
        """
        names = {"data", "dq", *self.extra_array_names}
        names |= {VARIANCE_OF[self.weight_type]} if self.weight_type in VARIANCE_OF else set()
        names |= set(variance_names) if self.enable_var else set()
        return frozenset(names | {"err"} if self.averages_err else names)

"""What a resampling is set to: checked once, when it is made, and never changed."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any

import numpy as np

from gpures.arguments.values import (
    checked_backend,
    checked_compute_err,
    checked_dtype,
    checked_names,
    checked_number,
    checked_switch,
    device_number,
    fill_number,
)
from gpures.exposure.drops import LARGEST_PIXFRAC, checked_kernel, effective_kernel
from gpures.exposure.weights import VARIANCE_OF, check_weight_type, checked_flag

__all__ = ["IMAGES", "LIVE", "Options"]

#: Images of a mosaic that no array of the models is named after.
IMAGES = ("data", "wht", "con", "dq", "err", "exptime_map")

#: Options that may change between two exposures: they act on what comes next.
LIVE = ("pixfrac", "kernel", "fillval", "weight_type", "good_bits", "pixmap_stepsize", "pixmap_order")


@dataclass(frozen=True)
class Options:
    """Options of `gpures.Resample`, with its names, defaults and meanings.

    Raises
    ------
    TypeError, ValueError
        One of them has a value that it can't have, or two contradict each other. The text names it.
    """

    pixfrac: float = 1.0
    kernel: str = "square"
    fillval: Any = 0.0
    weight_type: str = "ivm"
    good_bits: Any = 0
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
    extra_array_names: tuple[str, ...] = ()
    enable_exptime_map: bool = False
    accumulator_dtype: np.dtype = np.dtype("f4")  # noqa: RUF009  (dtypes are immutable)
    dq_of_empty: int | None = None

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {
            "pixfrac": checked_number(self.pixfrac, "pixfrac", 0.0, LARGEST_PIXFRAC),
            "kernel": checked_kernel(self.kernel),
            "weight_type": check_weight_type(self.weight_type),
            "compute_err": checked_compute_err(self.compute_err),
            "pixmap_stepsize": checked_number(self.pixmap_stepsize, "pixmap_stepsize", 1, math.inf),
            "backend": checked_backend(self.backend),
            "device": getattr(self.device, "id", self.device),
            "pixmap_tolerance": checked_number(self.pixmap_tolerance, "pixmap_tolerance", 0.0, math.inf),
            "extra_array_names": checked_names(self.extra_array_names, IMAGES),
        }
        for name in ("enable_ctx", "enable_var", "propagate_dq", "to_host", "enable_exptime_map"):
            checked[name] = checked_switch(getattr(self, name), name)
        checked["accumulator_dtype"] = checked_dtype(self.accumulator_dtype, checked["backend"])
        checked["dq_of_empty"] = checked_flag(self.dq_of_empty, checked["propagate_dq"])
        fill_number(self.fillval)  # which stays as it was given
        # good_bits and pixmap_order mean something to an exposure alone, and are checked there, as in the reference.
        device_number(self.device)
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @classmethod
    def names(cls) -> list[str]:
        """Names of all options."""
        return [field.name for field in fields(cls)]

    def chosen(self) -> dict[str, Any]:
        """The options that are not the defaults."""
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
        """Whether the error is averaged like the data."""
        return self.compute_err == "driz_err"

    def arrays(self, variance_names: tuple[str, ...]) -> frozenset[str]:
        """Names of the arrays that a model needs, of whose variances those are resampled."""
        names = {"data", "dq", *self.extra_array_names}
        names |= {VARIANCE_OF[self.weight_type]} if self.weight_type in VARIANCE_OF else set()
        names |= set(variance_names) if self.enable_var else set()
        return frozenset(names | {"err"} if self.averages_err else names)

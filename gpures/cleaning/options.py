"""How outliers are looked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from gpures.arguments.arrays import got
from gpures.arguments.values import checked_integer, checked_number, checked_switch

__all__ = ["OutlierOptions", "Thresholds"]

Thresholds: TypeAlias = Sequence[float] | str


@dataclass(frozen=True)
class OutlierOptions:
    """How outliers are looked for, with the names and the first two thresholds of the field.

    Attributes
    ----------
    snr : (float, float, float)
        How many times its noise a pixel must differ from what it should be: to be found; to be found where another one
        in its surroundings is beyond the first threshold; and to be more than it should beside what was found. Without
        the third nothing is looked for there.
    scale : (float, float, float)
        What is added to these thresholds, times the greatest step from the pixel to its neighbours in what it should
        be.
    backg : float
        Background that is subtracted from the differences, in the unit of the data.
    maskpt : float
        Pixels of a resampled exposure with a weight below so many times the mean one are left out of the median.
    kernel_size : int
        Side of a pixel's surroundings, pixels; an odd number.
    grow : int
        Side of the square by which what was found is grown, pixels; an odd number, 1 for not at all.
    sharpness : float
        A difference counts where so much of it is left if the exposure is smoothed as what it is compared with is, so
        that no star is taken for a cosmic ray; 0 counts all.
    by_lower : bool
        Whether the lower of the two values in the middle, of three the least, takes the median's place where that
        stands out from it, as it does where half of the exposures are hit.

    Raises
    ------
    TypeError, ValueError
        One has a value that it can't have.
    """

    snr: Thresholds = (5.0, 4.0, 3.3)
    scale: Thresholds = (1.2, 0.7, 0.15)
    backg: float = 0.0
    maskpt: float = 0.7
    kernel_size: int = 3
    grow: int = 1
    sharpness: float = 0.25
    by_lower: bool = True

    def __post_init__(self) -> None:
        snr, scale = _thresholds(self.snr, "snr"), _thresholds(self.scale, "scale")
        if len(snr) > len(scale):
            scale = (*scale, scale[1])
        object.__setattr__(self, "snr", snr)
        object.__setattr__(self, "scale", scale[: len(snr)])
        checked_number(self.backg, "backg", -math.inf, math.inf)
        checked_number(self.maskpt, "maskpt", 0.0, 1.0)
        checked_number(self.sharpness, "sharpness", 0.0, 1.0)
        checked_switch(self.by_lower, "by_lower")
        for name in ("kernel_size", "grow"):
            side = checked_integer(getattr(self, name), name)
            if side < 1 or side % 2 == 0:
                raise ValueError(f"'{name}' must be an odd number of pixels, got {side}.")


def _thresholds(value: Any, name: str) -> tuple[float, ...]:
    """Two or three thresholds, which may be a text with blanks or commas between them, as pipelines have it."""
    parts = value.replace(",", " ").split() if isinstance(value, str) else value
    try:
        numbers = tuple(float(part) for part in parts) if np.iterable(parts) else ()
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) not in (2, 3) or not all(math.isfinite(number) and number >= 0 for number in numbers):
        raise ValueError(f"'{name}' must be two or three numbers, not negative, such as (5.0, 4.0), got {got(value)}.")
    return numbers

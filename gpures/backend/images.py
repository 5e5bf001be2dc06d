"""Images in the types that they are given out in."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from gpures.arguments.arrays import on_device

__all__ = ["in_type", "warn_of_range"]


def warn_of_range(name: str, dtype: DTypeLike) -> None:
    """Warn that an image goes beyond the range of its type."""
    largest = np.finfo(dtype).max
    warnings.warn(
        f"'{name}' is infinite where it is beyond {largest:.1e}, the largest {np.dtype(dtype)}.", RuntimeWarning, 2
    )


def in_type(image: Any, dtype: DTypeLike, name: str, convert: Callable[[Any, DTypeLike], Any]) -> Any:
    """An image in a type; infinite, with a warning, where it leaves the range of that.

    Parameters
    ----------
    image : ndarray or cupy.ndarray
        Of real numbers.
    dtype : dtype
        The type.
    name : str
        What the warning calls it.
    convert : callable
        Makes an image one of a type.
    """
    left: list[Any] = []
    with np.errstate(over="call", call=lambda *what: left.append(what)):
        converted = convert(image, dtype)
    if left or (on_device(image) and _has_infinity(converted) and not _has_infinity(image)):
        warn_of_range(name, dtype)
    return converted


def _has_infinity(image: Any) -> bool:
    """Whether an image is infinite anywhere; one of integers is not."""
    return image.dtype.kind == "f" and bool((image > np.finfo(image.dtype).max).any())

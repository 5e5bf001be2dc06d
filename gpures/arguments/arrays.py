"""Arguments and arrays of an input model as the kernels read them: converted once, and checked, at the door."""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

__all__ = [
    "aligned",
    "as_array",
    "as_flags",
    "as_host",
    "check_aligned",
    "converted",
    "got",
    "model_name",
    "named",
    "on_device",
    "own_device",
    "readable",
    "real",
    "unmasked",
]

log = logging.getLogger(__name__)

# Errors show no more of a value than fits a line.
SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = 80


def model_name(model: Mapping) -> str:
    """File name of a model, or "Unknown"."""
    name = model.get("filename")
    return name if isinstance(name, str) and name.strip() else "Unknown"


def named(name: str, model: Mapping | None = None) -> str:
    """How an error calls an argument, or what a model has under that name."""
    return f"'{name}'" if model is None else f"'{name}' of model '{model_name(model)}'"


def got(value: Any) -> str:
    """What an argument is, in few words, for an error."""
    try:
        return SHORT.repr(value)
    except Exception:  # whatever its __repr__ does; an integer of too many digits has none
        return f"one of the type {type(value).__name__}"


def on_device(array: Any) -> bool:
    """Whether an array lies in the memory of a CUDA device."""
    return hasattr(array, "__cuda_array_interface__")


def as_array(array: Any) -> Any:
    """A numpy array; or, of what lies on a CUDA device, a CuPy array, of the same memory if kernels can read that."""
    if not on_device(array):
        return np.asarray(array)
    import cupy

    return aligned(cupy.asarray(array))


def is_aligned(array: Any) -> bool:
    """Whether all elements of an array lie at multiples of their size, as a GPU reads and writes them."""
    item = array.dtype.itemsize
    return all(place % item == 0 for place in (array.__cuda_array_interface__["data"][0], *array.strides))


def aligned(array: Any) -> Any:
    """A CuPy array itself, or, where its elements do not lie at multiples of their size, a copy whose do.

    CuPy's own kernels can't read such elements either, so the current stream copies them byte by byte.
    """
    if is_aligned(array):
        return array
    item = array.dtype.itemsize
    each = type(array)((*array.shape, item), np.uint8, array.data, (*array.strides, 1))
    return each.copy().view(array.dtype)[..., 0]


def check_aligned(array: Any, name: str) -> None:
    """Refuse an argument that is to be written to, and lies on a GPU where its elements can't be; ValueError."""
    if on_device(array) and hasattr(array, "dtype") and not is_aligned(array):
        raise ValueError(
            f"'{name}' can't be written to, as its elements do not lie at multiples of their size on the GPU: pass a "
            "copy of it."
        )


def own_device(array: Any) -> AbstractContextManager:
    """Have the device that a CuPy array lies on be the current one for a while, so that it stays there."""
    number = getattr(getattr(array, "device", None), "id", None)
    if not on_device(array) or number is None:
        return nullcontext()
    import cupy

    device: AbstractContextManager = cupy.cuda.Device(number)
    return device


def as_host(array: Any) -> np.ndarray:
    """A numpy array: a copy of what lies on a CUDA device."""
    with own_device(array):
        return as_array(array).get() if on_device(array) else np.asarray(array)


def as_flags(array: Any) -> Any:
    """An array of integers as the bits that they hold: those of a signed type in the unsigned one of its width."""
    return array.view(array.dtype.str.replace("i", "u")) if array.dtype.kind == "i" else array


def converted(array: Any, name: str, model: Mapping | None = None) -> tuple[Any, np.ndarray | None]:
    """An argument, or an array of a model, as an array, and which of its pixels are masked.

    The one place where what a caller passes becomes an array. Strides and byte order stay as they are; half and long
    doubles, which the kernels don't read, become float32 and float64. Of `numpy.ma.MaskedArray`, of astropy's
    ``NDData`` and of all that has a ``mask`` as these, that counts; of a quantity the value is taken, and the log says
    so.

    Parameters
    ----------
    array : object
        What the caller passed: an array, on a GPU or not, or what `numpy.asarray` takes.
    name : str
        What the error calls it.
    model : mapping, optional
        The model that it is of, for the error's words.

    Returns
    -------
    array : ndarray or cupy.ndarray
        Of any type and shape.
    mask : ndarray of bool, or None
        Of the array's shape; None where nothing is masked.

    Raises
    ------
    TypeError, ValueError
        It is no array and can't become one, or its mask is not of its shape.
    """
    values, mask, unit = array, None, None
    if type(array) is not np.ndarray and not on_device(array):
        mask, unit = getattr(array, "mask", None), getattr(array, "unit", None)
        if not isinstance(array, np.ndarray) and hasattr(array, "uncertainty"):  # astropy's NDData
            values = array.data
    try:
        values = as_array(values)
    except (MemoryError, RecursionError):
        raise
    except Exception as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{named(name, model)} can't be made an array, got {type(array).__name__}: {error}") from error
    if values.dtype.kind == "f" and values.dtype.itemsize not in (4, 8):
        values = values.astype(np.float64 if values.dtype.itemsize > 8 else np.float32)
    if unit is not None and not callable(unit):
        log.warning("%s has the unit %s: its values are taken, whatever the unit.", named(name, model), unit)
    if mask is None or callable(mask):  # of a table's column, say, it is a method
        return values, None
    mask = np.asarray(mask)
    if mask.dtype != bool or (mask.ndim and mask.shape != values.shape):
        raise ValueError(
            f"{named(name, model)} must have a mask of booleans of its shape {values.shape}, got one of {mask.dtype} "
            f"and {mask.shape}."
        )
    return values, np.broadcast_to(mask, values.shape) if mask.any() else None


def real(array: Any, name: str, model: Mapping | None = None) -> Any:
    """The array itself.

    Parameters
    ----------
    array : ndarray or cupy.ndarray
        Of any shape.
    name : str
        What the error calls it.
    model : mapping, optional
        The model that it is of, for the error's words.

    Raises
    ------
    TypeError
        It does not hold real numbers.
    """
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{named(name, model)} must hold real numbers, got {array.dtype}.")
    return array


def unmasked(array: Any, mask: np.ndarray | None) -> Any:
    """An array of real numbers that is NaN where it is masked."""
    if mask is None:
        return array
    floating = np.float32 if array.dtype.itemsize <= (4 if array.dtype.kind == "f" else 2) else np.float64
    return np.where(mask, floating(np.nan), array.astype(floating, copy=False))


def readable(array: Any, name: str, model: Mapping | None = None) -> Any:
    """An argument, or an array of a model, as the kernels read it: `converted`, and NaN where it is masked.

    Parameters
    ----------
    array : object
        As `converted` takes it.
    name : str
        What the error calls it.
    model : mapping, optional
        The model that it is of, for the error's words.

    Raises
    ------
    TypeError, ValueError
        It can't become an array, or does not hold real numbers.
    """
    values, mask = converted(array, name, model)
    return unmasked(real(values, name, model), mask)

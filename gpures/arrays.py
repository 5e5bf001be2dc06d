"""Arrays of an input model as the kernels read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["as_array", "as_flags", "as_host", "model_name", "on_device", "readable"]


def model_name(model: Mapping) -> str:
    """File name of a model, or "Unknown"."""
    name = model.get("filename")
    return name if isinstance(name, str) and name.strip() else "Unknown"


def on_device(array: Any) -> bool:
    """Whether an array lies in the memory of a CUDA device."""
    return hasattr(array, "__cuda_array_interface__")


def as_array(array: Any) -> Any:
    """A numpy array; or, of what lies on a CUDA device, a CuPy array of the same memory."""
    if not on_device(array):
        return np.asarray(array)
    import cupy

    return cupy.asarray(array)


def as_host(array: Any) -> np.ndarray:
    """A numpy array: a copy of what lies on a CUDA device."""
    return as_array(array).get() if on_device(array) else np.asarray(array)


def as_flags(array: Any) -> Any:
    """An array of integers as the bits that they hold: those of a signed type in the unsigned one of its width."""
    return array.view(array.dtype.str.replace("i", "u")) if array.dtype.kind == "i" else array


def readable(array: Any, name: str, model: Mapping | None = None) -> Any:
    """An argument, or an array of a model, as the kernels read it: half and long doubles are converted.

    Strides and byte order stay as they are.

    Raises
    ------
    TypeError
        It does not hold real numbers.
    """
    array = as_array(array)
    if array.dtype.kind not in "fiub":
        of_model = "" if model is None else f" of model '{model_name(model)}'"
        raise TypeError(f"'{name}'{of_model} must hold real numbers, got {array.dtype}.")
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        return array.astype(np.float64 if array.dtype.itemsize > 8 else np.float32)
    return array

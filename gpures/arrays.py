"""Arrays of an input model as the kernels read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["model_name", "readable"]


def model_name(model: Mapping) -> str:
    """File name of a model, or "Unknown"."""
    name = model.get("filename")
    return name if isinstance(name, str) and name.strip() else "Unknown"


def readable(array: Any, name: str, model: Mapping) -> np.ndarray:
    """The array as the kernels read it: strides and byte order as they are, half and long doubles converted.

    Raises
    ------
    TypeError
        It does not hold real numbers.
    """
    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"'{name}' of model '{model_name(model)}' must hold real numbers, got {array.dtype}.")
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        return array.astype(np.float64 if array.dtype.itemsize > 8 else np.float32)
    return array

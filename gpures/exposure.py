"""One checked input.

Everything that can be wrong with a model is found here, before anything is added.
"""

from __future__ import annotations

import logging
import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpures.arrays import as_array, model_name, readable
from gpures.pixmap import PixelMap
from gpures.weights import Weight

__all__ = ["WEIGHTS", "Exposure"]

log = logging.getLogger(__name__)

# No names that an array of a model may have.
WEIGHTS = "(weights)"
SQUARED = "(squared {})"

# Key of a time that some missions give beside the exposure time.
EFFECTIVE = "effective_exposure_time"


@dataclass
class Exposure:
    """What a backend needs of one exposure.

    Attributes
    ----------
    data : ndarray (Ny, Nx)
        Image. None in a pass over the variances alone.
    pixmap : PixelMap
        Output coordinates of the pixels.
    weight : Weight
        What the pixels' weights are made of.
    limits : (int, int, int, int)
        xmin, xmax, ymin, ymax of the pixels used, the last ones included.
    context_id : int
        Number of the exposure in the context image.
    dq : ndarray of int (Ny, Nx), optional
        Data quality flags.
    err : ndarray (Ny, Nx), optional
        Error, averaged like the data.
    extras : dict of ndarray (Ny, Nx)
        Further arrays, averaged like the data.
    variances : dict of ndarray (Ny, Nx)
        Variances that the exposure has.
    squared : list of ndarray (Ny, Nx)
        Arrays that are averaged with squared weights, and scaled by the square of ``iscale``.
    variance_weight : float or None
        Weight of its variances in the mosaic; None for the inverse of the drizzled ``var_rnoise``.
    exposure_time : float
        Seconds.
    effective_time : float
        Seconds that the map of the exposure time gets.
    pixfrac : float
        Linear size of a drop in input pixels.
    pixel_scale_ratio : float
        Output over input pixel scale.
    iscale : float
        Factor to data, error and roots of variances.
    level : float
        Sky subtracted from the data.
    kernel : str, optional
        Its kernel, where that is not the frame's.
    name : str
        What warnings call it.
    """

    data: np.ndarray | None
    pixmap: PixelMap
    weight: Weight
    limits: tuple[int, int, int, int]
    context_id: int = 0
    dq: np.ndarray | None = None
    err: np.ndarray | None = None
    extras: dict[str, np.ndarray] = field(default_factory=dict)
    variances: dict[str, np.ndarray] = field(default_factory=dict)
    squared: list[np.ndarray] = field(default_factory=list)
    variance_weight: float | None = 1.0
    exposure_time: float = 1.0
    effective_time: float = 1.0
    pixfrac: float = 1.0
    pixel_scale_ratio: float = 1.0
    iscale: float = 1.0
    level: float = 0.0
    kernel: str | None = None
    name: str = "an image"

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (Ny, Nx) of the input image."""
        return self.pixmap.shape

    def arrays(self) -> dict[str, Any]:
        """Its images by name; that of what the weights are made of is ``WEIGHTS``."""
        weight = self.weight.variance if self.weight.weight_map is None else self.weight.weight_map
        arrays = {"data": self.data, "err": self.err, "dq": self.dq, WEIGHTS: weight} | self.extras | self.variances
        arrays |= {SQUARED.format(k): array for k, array in enumerate(self.squared)}
        return {name: array for name, array in arrays.items() if array is not None}


def checked_data(model: Mapping) -> np.ndarray:
    """The data array of a model.

    Raises
    ------
    RuntimeError
        It is not two-dimensional.
    TypeError
        It does not hold real numbers.
    ValueError
        It is empty.
    """
    data = as_array(model["data"])
    if data.ndim != 2:
        raise RuntimeError(
            f"Input model '{model_name(model)}' is not a 2D image: its 'data' has {data.ndim} dimensions, "
            f"of shape {data.shape}."
        )
    if data.size == 0:
        raise ValueError(f"Input model '{model_name(model)}' is empty: its 'data' has the shape {data.shape}.")
    return readable(data, "data", model)


def checked_dq(model: Mapping, shape: tuple[int, int], propagate: bool) -> np.ndarray:
    """The DQ array of a model.

    Raises
    ------
    TypeError
        It does not hold integers, or, where it is to be propagated, not such that fit in 32 bits.
    ValueError
        It has not the shape of the data.
    """
    dq = as_array(model["dq"])
    if not np.issubdtype(dq.dtype, np.integer):
        raise TypeError(f"'dq' of model '{model_name(model)}' must be an array of integers, got {dq.dtype}.")
    if dq.shape != shape:
        raise ValueError(
            f"'dq' of model '{model_name(model)}' must have the shape of its data, {shape}, got {dq.shape}."
        )
    if propagate and dq.dtype.itemsize > 4 and (dq.min() < -(2**31) or dq.max() >= 2**32):
        raise TypeError(f"'dq' of model '{model_name(model)}' has flags beyond 32 bits, which can't be propagated.")
    return dq


def checked_err(model: Mapping, shape: tuple[int, int]) -> np.ndarray:
    """The error array of a model.

    Raises
    ------
    ValueError
        It is missing or has not the shape of the data.
    """
    err = model.get("err")
    if err is None or np.shape(err) != shape:
        got = "none" if err is None else f"one of shape {np.shape(err)}"
        raise ValueError(
            f"compute_err='driz_err' needs an 'err' array of the shape {shape} in model '{model_name(model)}', "
            f"got {got}."
        )
    return readable(err, "err", model)


def checked_extras(model: Mapping, names: Sequence[str], shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """The further arrays of a model.

    Raises
    ------
    ValueError
        One has not the shape of the data.
    """
    for name in names:
        if np.shape(model[name]) != shape:
            raise ValueError(
                f"'{name}' of model '{model_name(model)}' must have the shape of its data, {shape}, got "
                f"{np.shape(model[name])}."
            )
    return {name: readable(model[name], name, model) for name in names}


def checked_variances(model: Mapping, names: Sequence[str], shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Those variance arrays that a model has, in the order of their names; others are passed over with a word."""
    return {name: readable(model[name], name, model) for name in names if has_variance(model, name, shape)}


def has_variance(model: Mapping, name: str, shape: tuple[int, int]) -> bool:
    """Whether a model has a variance array of the shape of its data."""
    variance = model.get(name)
    if variance is None or np.size(variance) == 0:
        log.debug("No data for '%s' for model '%s'. Skipping ...", name, model_name(model))
        return False
    if np.shape(variance) != shape:
        log.warning("Data shape mismatch for '%s' for model '%s'. Skipping ...", name, model_name(model))
        return False
    return True


def checked_effective_time(model: Mapping) -> float:
    """Time for which a model's detector collected light, in seconds: the exposure time where it tells nothing else.

    Raises
    ------
    TypeError
        It is not a number.
    ValueError
        It is not finite and positive.
    """
    return checked_exposure_time(model, "exposure_time" if model.get(EFFECTIVE) is None else EFFECTIVE)


def checked_exposure_time(model: Mapping, key: str = "exposure_time") -> float:
    """Exposure time of a model, in seconds.

    Raises
    ------
    TypeError
        It is not a number.
    ValueError
        It is not finite and positive.
    """
    time = real_number(model[key], key, model)
    if not (math.isfinite(time) and time > 0):
        raise ValueError(f"'{key}' of model '{model_name(model)}' must be a strictly positive number, got {time!r}.")
    return float(time)


def sky_level(model: Mapping) -> float:
    """Sky level still to be subtracted from a model's data, in its units.

    Raises
    ------
    TypeError
        It is not a number.
    ValueError
        It is not finite.
    """
    if model["subtracted"] or model["level"] is None:
        return 0.0
    level = real_number(model["level"], "level", model)
    if not math.isfinite(level):
        raise ValueError(f"'level' of model '{model_name(model)}' must be finite, got {level!r}.")
    return float(level)


def checked_scale(value: Any, name: str) -> float:
    """A factor or ratio, which must be finite and positive.

    Raises
    ------
    TypeError
        It is not a number.
    ValueError
        It is not finite and positive.
    """
    if not is_real(value):
        raise TypeError(f"'{name}' must be a number, got {value!r}.")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"'{name}' must be positive and finite, got {value!r}.")
    return float(value)


def real_number(value: Any, name: str, model: Mapping) -> Any:
    """A real number of a model.

    Raises
    ------
    TypeError
        It is something else.
    """
    if not is_real(value):
        raise TypeError(f"'{name}' of model '{model_name(model)}' must be a number, got {value!r}.")
    return value


def is_real(value: Any) -> bool:
    """Whether a value is a real number, Python's or numpy's."""
    return isinstance(value, numbers.Real) or (isinstance(value, np.ndarray) and value.ndim == 0)


def check_numbers(model: Mapping) -> None:
    """Check those numbers of a model that may be None.

    Raises
    ------
    TypeError
        One is something else than a number.
    ValueError
        One is not finite.
    """
    for key in ("duration", "measurement_time", "pixelarea_steradians"):
        if model[key] is not None and not math.isfinite(real_number(model[key], key, model)):
            raise ValueError(f"'{key}' of model '{model_name(model)}' must be finite or None, got {model[key]!r}.")


def given_weight(weight_map: Any, shape: tuple[int, ...], model: Mapping) -> Weight:
    """Weights that a hook gives: a map, or None for 1 everywhere.

    Raises
    ------
    ValueError
        The map has another shape than the pixel map.
    """
    if weight_map is None:
        return Weight()
    if np.shape(weight_map) != shape:
        raise ValueError(f"'weight_map' must have the shape of the pixel map, {shape}, got {np.shape(weight_map)}.")
    return Weight(weight_map=readable(weight_map, "weight_map", model))


def clipped_limits(limits: tuple, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Limits as a hook may give them: None or beyond the image means its edge."""
    xmin, xmax, ymin, ymax = limits
    last_x, last_y = shape[1] - 1, shape[0] - 1
    return (
        max(0, xmin or 0),
        last_x if xmax is None else min(xmax, last_x),
        max(0, ymin or 0),
        last_y if ymax is None else min(ymax, last_y),
    )

"""How a model becomes an exposure: everything that can be wrong with it is found here, before anything is added."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gpures.arguments.arrays import got, named, readable, real
from gpures.arguments.values import LARGEST, SMALLEST, checked_real, checked_switch
from gpures.exposure.exposure import Exposure, clipped_limits
from gpures.exposure.input_model import InputModel
from gpures.exposure.options import Options
from gpures.exposure.pixmap import PixelMap
from gpures.exposure.weights import Weight, bad_bits, left_out, measured_time, union, weight_of
from gpures.wcs.transforms import resample_range

__all__ = ["exposure_of", "exposure_of_variances", "image_of", "sky_level"]

log = logging.getLogger(__name__)

# Key of a time that some missions give beside the exposure time.
EFFECTIVE = "effective_exposure_time"


def exposure_of(
    model: InputModel,
    options: Options,
    variance_names: Sequence[str],
    flag_names: Mapping[str, int] | None,
    pixmap: Callable[[tuple[int, int]], PixelMap],
) -> Exposure:
    """All of a model that can be taken from it alone; ``context_id``, ``iscale`` and the scale ratio are not set yet.

    Parameters
    ----------
    model : InputModel
        Each of its arrays is converted here, once, and whatever is made of the model later sees that array.
    options : Options
        What the resampling is set to.
    variance_names : sequence of str
        Variance arrays that are resampled.
    flag_names : mapping or None
        Numbers of DQ flags by name, where ``good_bits`` has names.
    pixmap : callable
        Shape (Ny, Nx) of the data to the model's pixel map.

    Raises
    ------
    KeyError, RuntimeError, TypeError, ValueError
        Something in the model is missing or wrong; the text says what, what it got and what it expected.
    """
    data = _data_of(model)
    shape = data.shape
    time = _checked_time(model, "exposure_time")
    for key in ("duration", "measurement_time"):
        _checked_time(model, key, may_be_none=True)
    _check_area(model)
    dq = dq_of(model, shape, options.propagate_dq)
    weight = weight_of(model, shape, bad_bits(options.good_bits, flag_names, dq.dtype), options.weight_type)
    if (mask := union(model.mask("data"), model.mask("dq"))) is not None:
        dq, bad = left_out(dq, weight.bad_bits, mask)
        weight = replace(weight, bad_bits=bad)
    return Exposure(
        data=data,
        weight=weight,
        dq=dq if options.propagate_dq or weight.bad_bits else None,
        err=image_of(model, "err", shape) if options.averages_err else None,
        extras={name: image_of(model, name, shape) for name in options.extra_array_names},
        **_variances_of(model, shape, variance_names, options),
        exposure_time=time,
        effective_time=_effective_time(model) if options.enable_exptime_map else time,
        pixfrac=options.pixfrac,
        kernel=options.drop,
        level=sky_level(model),
        limits=resample_range(shape, model["wcs"]),
        pixmap=pixmap(shape),  # last, as it takes longest
    )


def _data_of(model: InputModel) -> np.ndarray:
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
    given = model["data"]
    data = model.converted("data")
    if data.ndim != 2:
        what = "is None" if given is None else f"has {data.ndim} dimensions, of shape {data.shape}"
        raise RuntimeError(f"Input model '{model.name}' is not a 2D image: its 'data' {what}.")
    if data.size == 0:
        raise ValueError(f"Input model '{model.name}' is empty: its 'data' has the shape {data.shape}.")
    return real(data, "data", model)


def dq_of(model: InputModel, shape: tuple[int, int], propagate: bool) -> np.ndarray:
    """The DQ array of a model.

    Raises
    ------
    TypeError
        It does not hold integers, or, where it is to be propagated, not such that fit in 32 bits.
    ValueError
        It has not the shape of the data.
    """
    given = model["dq"]
    dq = model.converted("dq")
    if dq.dtype.kind not in "iu":
        what = "None" if given is None else dq.dtype
        raise TypeError(f"'dq' of model '{model.name}' must be an array of integers, got {what}.")
    if dq.shape != shape:
        raise ValueError(f"'data' and 'dq' of model '{model.name}' must have one shape, got {shape} and {dq.shape}.")
    if propagate and dq.dtype.itemsize > 4 and (dq.min() < -(2**31) or dq.max() >= 2**32):
        raise TypeError(f"'dq' of model '{model.name}' has flags beyond 32 bits, which can't be propagated.")
    return dq


def image_of(model: InputModel, name: str, shape: tuple[int, int]) -> np.ndarray:
    """An array of a model that is needed.

    Parameters
    ----------
    model : InputModel
        The model.
    name : str
        The array's.
    shape : (int, int)
        Shape (Ny, Nx) of its data.

    Raises
    ------
    TypeError
        It does not hold real numbers.
    ValueError
        It is None or has not the shape of the data.
    """
    there = "none" if model[name] is None else model.array(name).shape
    if there != shape:
        raise ValueError(f"'{name}' of model '{model.name}' must have the shape of its data, {shape}, got {there}.")
    return model.array(name)


def _variances_of(model: InputModel, shape: tuple[int, int], names: Sequence[str], options: Options) -> dict[str, Any]:
    """What an exposure has of a model's variances, in the order of their names: ``variances`` and so on.

    Those that are missing, empty or of another shape than the data are passed over, with a word in the log. Where they
    are propagated they are not known in any pixel.
    """
    variances, unknown = {}, []
    for name in names:
        if model.get(name) is None or model.array(name).size == 0:
            log.debug("No data for '%s' for model '%s'. Skipping ...", name, model.name)
        elif model.array(name).shape != shape:
            log.warning("Data shape mismatch for '%s' for model '%s'. Skipping ...", name, model.name)
        else:
            variances[name] = model.array(name)
            continue
        if options.propagates:
            variances[name] = np.broadcast_to(np.float32(np.nan), shape)
            unknown.append(name)
    weight = _variance_weight_of(model, variances, options)
    return {"variances": variances, "unknown": tuple(unknown), "variance_weight": weight}


def _variance_weight_of(model: InputModel, variances: Mapping[str, np.ndarray], options: Options) -> float | None:
    """What weights a model's variances in the mosaic; None for the inverse of its drizzled ``var_rnoise``."""
    if options.propagates:  # which has the weights of the data
        return 1.0
    if options.weight_type == "exptime":
        return float(measured_time(model)[0])
    if "var_rnoise" in variances:
        return None
    if variances:
        log.warning("No 'var_rnoise' in model '%s': its variances have weight 1.", model.name)
    return 1.0


def _checked_time(model: InputModel, key: str, may_be_none: bool = False) -> float:
    """A time of a model in seconds: positive, or, where it may be None, zero or more; 0 for None.

    Raises
    ------
    TypeError
        It is not a number.
    ValueError
        It is not finite, or too short or too long for float32, in which it may serve as a weight.
    """
    if may_be_none and model[key] is None:
        return 0.0
    time = checked_real(model[key], key, model)
    if not (0.0 < time < LARGEST and time >= SMALLEST) and not (may_be_none and time == 0.0):
        kind = "finite and not negative" if may_be_none else "a strictly positive number"
        raise ValueError(f"'{key}' of model '{model.name}' must be {kind}, got {got(model[key])}.")
    return time


def _effective_time(model: InputModel) -> float:
    """Time for which a model's detector collected light, in seconds: the exposure time where it tells nothing else."""
    return _checked_time(model, "exposure_time" if model.get(EFFECTIVE) is None else EFFECTIVE)


def sky_level(model: Mapping) -> float:
    """Sky level still to be subtracted from a model's data, in its units.

    Raises
    ------
    TypeError
        It is not a number, or ``"subtracted"`` is neither True nor False.
    ValueError
        It is not finite.
    """
    is_subtracted = model["subtracted"] is not None and checked_switch(model["subtracted"], "subtracted", model)
    if is_subtracted or model["level"] is None:
        return 0.0
    level = checked_real(model["level"], "level", model)
    if not abs(level) <= LARGEST:
        raise ValueError(f"{named('level', model)} must be finite, got {got(model['level'])}.")
    return level


def _check_area(model: InputModel) -> None:
    """Check the nominal pixel area of a model; what is not positive stands for none, as None does.

    Raises
    ------
    TypeError
        It is not a number.
    ValueError
        It is not finite.
    """
    area = model["pixelarea_steradians"]
    if area is not None and not abs(checked_real(area, "pixelarea_steradians", model)) <= LARGEST:
        raise ValueError(
            f"'pixelarea_steradians' of model '{model.name}' must be finite and positive, or None, got {got(area)}."
        )


def exposure_of_variances(
    model: InputModel,
    options: Options,
    variance_names: Sequence[str],
    pixmap: PixelMap,
    weight_map: Any,
    limits: tuple,
) -> Exposure:
    """A model's variances alone, with the pixel map, weights and limits that a hook gives; None for weights of 1.

    Parameters
    ----------
    model : InputModel
        The model.
    options : Options
        What the resampling is set to.
    variance_names : sequence of str
        Variance arrays that are resampled.
    pixmap : PixelMap
        Of its pixels.
    weight_map : ndarray (Ny, Nx) or None
        Weights; None for 1.
    limits : tuple
        Limits xmin, xmax, ymin, ymax of the pixels used, as `clipped_limits` takes them.

    Raises
    ------
    KeyError, TypeError, ValueError
        Something in the model is missing or wrong, or the weights have another shape than the pixel map.
    """
    if weight_map is not None:
        weight_map = readable(weight_map, "weight_map", model)
        if weight_map.shape != pixmap.shape:
            raise ValueError(
                f"'weight_map' must have the shape of the pixel map, {pixmap.shape}, got {weight_map.shape}."
            )
    return Exposure(
        data=None,
        pixmap=pixmap,
        weight=Weight(weight_map=weight_map),
        limits=clipped_limits(limits, pixmap.shape),
        **_variances_of(model, pixmap.shape, variance_names, options),
        exposure_time=_checked_time(model, "exposure_time"),
        pixfrac=options.pixfrac,
        kernel=options.drop,
    )

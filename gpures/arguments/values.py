"""Checks of arguments: each gives the value to use, or an error that names it."""

from __future__ import annotations

import contextlib
import math
import numbers
import operator
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpures import _cpu
from gpures.arguments.arrays import got, named

__all__ = [
    "BACKENDS",
    "LARGEST",
    "LARGEST_SIDE",
    "MOST_IMAGES",
    "NOT_GIVEN",
    "SMALLEST",
    "check_sides",
    "checked_backend",
    "checked_compute_err",
    "checked_count",
    "checked_device",
    "checked_dtype",
    "checked_folder",
    "checked_integer",
    "checked_lag",
    "checked_names",
    "checked_number",
    "checked_order",
    "checked_ratio",
    "checked_real",
    "checked_scale",
    "checked_shape",
    "checked_switch",
    "checked_word",
    "device_number",
    "fill_number",
    "first_device",
    "is_real",
    "noted",
    "warn_of_deprecation",
]

# The smallest and the largest positive number of float32, in which weights and images are kept.
SMALLEST = float(np.finfo(np.float32).smallest_subnormal)
LARGEST = float(np.finfo(np.float32).max)

# Scale ratios within a factor of this are taken: beyond, a drop is as small as the rounding of its coordinates, or as
# large as any frame, and somebody has taken degrees for arcsec.
LARGEST_RATIO = 1e8

#: Longest side of an image or a frame (pixels), that of the kernels.
LARGEST_SIDE = _cpu.LARGEST_SIDE

# Images that a context image can be asked to tell apart: their numbers are 32-bit integers.
MOST_IMAGES = 1 << 31

#: Names of the backends, and "auto" for a choice.
BACKENDS = ("auto", "cuda", "cpu", "drizzle")

# Keys of an output model, and of input models, that hold no images.
META = (
    *("wcs", "pixfrac", "kernel", "fillval", "weight_type", "variance_method", "precision", "pixelarea_steradians"),
    *("pixelarea_arcsecsq", "pixel_scale_ratio", "pointings", "exposure_time", "elapsed_exposure_time"),
    *("measurement_time", "duration", "effective_exposure_time", "start_time", "end_time", "level", "subtracted"),
    *("filename", "group_id", "bunit_data"),
)

#: Default of arguments that are deprecated.
NOT_GIVEN: Any = object()


def noted(error: Exception, note: str) -> Exception:
    """An error whose text is the drizzle package's, to the letter, with what else there is to say as a note."""
    error.add_note(note)
    return error


def is_real(value: Any) -> bool:
    """Whether a value is a real number, Python's or numpy's: no boolean, and nothing masked or with a unit."""
    if isinstance(value, np.ndarray):
        return (
            value.ndim == 0 and value.dtype.kind in "fiu" and not hasattr(value, "mask") and not hasattr(value, "unit")
        )
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def checked_real(value: Any, name: str, model: Mapping | None = None) -> float:
    """A real number, an argument or of a model, as a float; infinite where it is larger than any.

    Parameters
    ----------
    value : object
        What the caller passed.
    name : str
        What the error calls it.
    model : mapping, optional
        The model that it is of, for the error's words.

    Raises
    ------
    TypeError
        It is something else.
    """
    if not is_real(value):
        raise TypeError(f"{named(name, model)} must be a number, got {got(value)}.")
    try:
        return float(value)
    except OverflowError:  # an integer, or a fraction, that no float holds
        return math.inf if value > 0 else -math.inf


def checked_scale(value: Any, name: str, model: Mapping | None = None) -> float:
    """A factor, which must be positive and finite in float32.

    Parameters
    ----------
    value : object
        What the caller passed.
    name : str
        What the error calls it.
    model : mapping, optional
        The model that it is of, for the error's words.

    Raises
    ------
    TypeError
        It is not a number.
    ValueError
        It is not finite and positive.
    """
    scale = checked_real(value, name, model)
    if not (scale > 0.0 and math.isfinite(scale)):
        raise ValueError(f"{named(name, model)} must be positive and finite, got {got(value)}.")
    if not SMALLEST <= scale <= LARGEST:
        raise ValueError(f"{named(name, model)} must lie between {SMALLEST:.2g} and {LARGEST:.2g}, got {got(value)}.")
    return scale


def checked_ratio(value: Any, name: str = "pixel_scale_ratio") -> float:
    """A ratio of pixel scales, of any instruments that there could be.

    Raises
    ------
    TypeError
        It is not a number.
    ValueError
        It is not positive, or beyond `LARGEST_RATIO` or the inverse of that.
    """
    ratio = checked_scale(value, name)
    if not 1.0 / LARGEST_RATIO <= ratio <= LARGEST_RATIO:
        raise ValueError(f"'{name}' must lie between {1.0 / LARGEST_RATIO} and {LARGEST_RATIO}, got {got(value)}.")
    return ratio


def checked_switch(value: Any, name: str, model: Mapping | None = None) -> bool:
    """True or False, Python's or numpy's, or 1 or 0; TypeError if it is something else.

    Parameters
    ----------
    value : object
        What the caller passed.
    name : str
        What the error calls it.
    model : mapping, optional
        The model that it is of, for the error's words.
    """
    if isinstance(value, (bool, np.bool_)) or (isinstance(value, numbers.Integral) and int(value) in (0, 1)):
        return bool(value)
    raise TypeError(f"{named(name, model)} must be True or False, got {got(value)}.")


def checked_lag(value: Any, name: str, largest: int) -> bool | int:
    """Whether there are covariances: False, True for all lags, or the largest lag; TypeError or ValueError else.

    Parameters
    ----------
    value : object
        What the caller passed.
    name : str
        What the error calls it.
    largest : int
        The largest lag that there may be.
    """
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    lag = checked_integer(value, name)
    if not 1 <= lag <= largest:
        raise ValueError(f"'{name}' must be False, True, or a largest lag of 1 to {largest} pixels, got {got(value)}.")
    return lag


def checked_number(value: Any, name: str, low: float, high: float) -> Any:
    """A number within bounds; ValueError if it is not.

    Parameters
    ----------
    value : object
        What the caller passed.
    name : str
        What the error calls it.
    low, high : float
        Bounds, which are allowed values.
    """
    if not (is_real(value) and low <= value <= high):
        bound = f"between {low} and {high}" if math.isfinite(high) else f"at least {low}"
        raise ValueError(f"'{name}' must be a number {bound}, got {got(value)}.")
    return value.item() if isinstance(value, np.ndarray) else value


def checked_folder(folder: str | os.PathLike[str], name: str) -> Path:
    """Path of a folder that is there, or can be made.

    Raises
    ------
    NotADirectoryError
        It is a file; the text names the argument ``name``.
    """
    path = Path(folder)
    if os.path.lexists(path) and not path.is_dir():
        raise NotADirectoryError(f"'{name}' must be a folder, and {path} is a file.")
    return path


def checked_integer(value: Any, name: str) -> int:
    """An integer, Python's or numpy's; TypeError if it is something else."""
    try:
        if not isinstance(value, (bool, np.bool_)):
            return operator.index(value)
    except TypeError:
        pass
    raise TypeError(f"'{name}' must be an integer, got {got(value)}.")


def checked_count(value: Any, name: str) -> int | None:
    """A number of images, or None; ValueError if it is not 1 or more, or more than a context image can tell apart."""
    if value is None:
        return None
    try:
        count = checked_integer(value, name)
    except TypeError:
        count = 0
    if not 0 < count <= MOST_IMAGES:
        raise ValueError(f"'{name}' must be None or an integer of at least 1, got {got(value)}.")
    return count


def warn_of_deprecation(name: str, instead: str) -> None:
    """Warn who called the caller of an argument that the drizzle package has deprecated."""
    warnings.warn(f"'{name}' is deprecated since drizzle 2.2: use {instead}.", DeprecationWarning, stacklevel=3)


def checked_compute_err(value: Any) -> Any:
    """A way of computing the error; ValueError if there is none of that name."""
    if not (value is None or value is False or (isinstance(value, str) and value in ("from_var", "driz_err"))):
        raise ValueError(f"'compute_err' must be 'from_var', 'driz_err' or None, got {got(value)}.")
    return value


def checked_word(value: Any, name: str, words: Sequence[str]) -> str:
    """One of some words; ValueError, which calls it by its name, if it is none of them.

    Parameters
    ----------
    value : object
        What was given.
    name : str
        The argument's.
    words : sequence of str
        Those that it may be.
    """
    if not isinstance(value, str) or value not in words:
        raise ValueError(f"'{name}' must be {' or '.join(map(repr, words))}, got {got(value)}.")
    return value


def checked_dtype(value: Any, backend: str) -> np.dtype:
    """The type of a backend's accumulators; ValueError if it has no such."""
    try:
        dtype = None if value is None else np.dtype(value)  # whose own default is float64
    except Exception:  # whatever it makes of it
        dtype = None
    if dtype is None or dtype not in (np.float32, np.float64):
        raise ValueError(f"'accumulator_dtype' must be 'f4' or 'f8', got {got(value)}.")
    if backend == "drizzle" and dtype != np.float32:
        raise ValueError("backend='drizzle' accumulates in float32: 'accumulator_dtype' must be 'f4'.")
    return dtype


def checked_names(names: Any, taken: Sequence[str]) -> tuple[str, ...]:
    """Names of further arrays; ValueError if they are no names, occur twice, or those of other images or meta data."""
    try:
        given = (names,) if isinstance(names, str) else tuple(names)
    except TypeError as error:
        raise TypeError(f"'extra_array_names' must be a sequence of names, got {got(names)}.") from error
    bad = [name for name in given if not isinstance(name, str) or not name or given.count(name) > 1]
    bad += [name for name in given if isinstance(name, str) and name in (*taken, *META)]
    if bad:
        raise ValueError(
            f"'extra_array_names' must be distinct names, none of {tuple(taken)} or of meta data, got {got(bad[0])}."
        )
    return given


def checked_shape(shape: Any, name: str = "array_shape", of: str = "output frame") -> tuple[int, int]:
    """The shape of an image; ValueError if it has no pixels, or more along an axis than coordinates can tell.

    Parameters
    ----------
    shape : object
        What the caller passed: (Ny, Nx).
    name : str, optional
        What the error calls it.
    of : str, optional
        What the error says that it is the shape of.
    """
    try:
        ny, nx = (checked_integer(n, name) for n in shape)
    except (TypeError, ValueError):  # no sequence, not of two, not of integers
        ny = nx = 0
    if ny < 1 or nx < 1:
        raise ValueError(f"Invalid {of} shape: {got(shape)}. '{name}' must be two integers (Ny, Nx), 1 or more.")
    check_sides((ny, nx), f"The {of}")
    return ny, nx


def check_sides(shape: Sequence[int], what: str) -> None:
    """Refuse what has sides too long to be counted; ``what`` begins the ValueError."""
    if max(shape) > LARGEST_SIDE:
        raise ValueError(
            f"{what} may have sides of at most {LARGEST_SIDE:,} pixels, got the shape {got(tuple(shape))}."
        )


def checked_order(order: Any) -> int:
    """The order of the spline through a pixel map's grid; ValueError if it is none that there is."""
    try:
        known = checked_integer(order, "pixmap_order") in (1, 3)
    except TypeError:
        known = False
    if not known:
        raise ValueError(f"'pixmap_order' should be either 1 or 3, got {got(order)}.")
    return operator.index(order)


def fill_number(fillval: Any, name: str = "fillval") -> float | None:
    """Fill value as a number, or None for "leave as it is".

    Raises
    ------
    ValueError
        It is a string that holds no number, or a number beyond float32, in which images are.
    TypeError
        It is neither a number nor a string nor None.
    """
    if fillval is None or (isinstance(fillval, str) and fillval.strip().upper() in ("", "INDEF")):
        return None
    if isinstance(fillval, str):
        try:
            value = float(fillval)
        except ValueError as error:
            raise noted(error, f"'{name}' must be a number, 'NaN', 'INDEF' or None, got {got(fillval)}.") from None
    else:
        value = checked_real(fillval, name)
    if abs(value) > LARGEST and (math.isfinite(value) or not (isinstance(fillval, str) or fillval == value)):
        raise ValueError(f"'{name}' must be a number that float32 holds, got {got(fillval)}.")
    return value


def checked_backend(backend: str) -> str:
    """Name of the backend asked for; for "auto" what ``GPURES_BACKEND`` says, if that is set.

    Raises
    ------
    ValueError
        The name, or the variable's, is not one of ``BACKENDS``.
    """
    name, source = backend, "'backend'"
    if isinstance(backend, str) and backend == "auto" and os.environ.get("GPURES_BACKEND"):
        name, source = os.environ["GPURES_BACKEND"], "GPURES_BACKEND"
    if not isinstance(name, str) or name not in BACKENDS:
        raise ValueError(f"{source} must be one of {BACKENDS}, got {got(name)}.")
    return name


def checked_device(device: Any) -> Any:
    """What an argument means that may name several GPUs: "all", their numbers, or one as `device_number` takes it.

    Parameters
    ----------
    device : int, str, cupy.cuda.Device, list, tuple or None
        The argument.

    Returns
    -------
    int, str, tuple of int or None
        A tuple has at least two numbers.

    Raises
    ------
    ValueError
        It means no device, or one twice.
    """
    if isinstance(device, str) and device == "all":
        return device
    if not isinstance(device, (list, tuple, range)):
        device_number(device)
        return getattr(device, "id", device)
    numbers = [device_number(each) for each in device]
    if not numbers or None in numbers:
        raise ValueError(
            f"A list of GPUs in 'device' must hold the number, or 'cuda:<number>', of each, got {got(device)}."
        )
    if twice := [number for number in numbers if numbers.count(number) > 1]:
        raise ValueError(
            f"A list of GPUs in 'device' must name each of them once, got {got(device)}, with {twice[0]} twice."
        )
    return tuple(numbers) if len(numbers) > 1 else numbers[0]


def first_device(device: Any) -> Any:
    """One GPU, for what takes no more, of what `checked_device` gives: of "all" the caller's current one."""
    if isinstance(device, tuple):
        return device[0]
    return None if isinstance(device, str) and device == "all" else device


def device_number(device: Any) -> int | None:
    """Number of the device that an argument means; None for the caller's current device.

    Raises
    ------
    ValueError
        It means none.
    """
    if device is None or (isinstance(device, str) and device == "cuda"):
        return None
    if isinstance(device, str):
        match = re.fullmatch(r"cuda:(\d+)", device)
        if match:
            return int(match[1])
    elif not isinstance(device, bool):
        with contextlib.suppress(TypeError):
            if (number := operator.index(getattr(device, "id", device))) >= 0:  # CuPy's devices have an id
                return number
    several = isinstance(device, (list, tuple, range)) or (isinstance(device, str) and device == "all")
    hint = ": several GPUs make a mosaic of gpures.Resample or gpures.mosaic" if several else ""
    raise ValueError(f"'device' must be None, the number of a GPU, 'cuda' or 'cuda:<number>', got {got(device)}{hint}.")

"""What there is in an exposure, and in a mosaic: pixels that have a number and a weight, and why others have none."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from gpures.arguments.arrays import on_device
from gpures.box import row_blocks
from gpures.exposure.options import Options
from gpures.exposure.weights import VARIANCE_OF, bad_bits, measured_time
from gpures.resample.resampler import Resample

__all__ = [
    "Content",
    "content_of",
    "idle_exposures",
    "pixels_with_data",
    "resampler_of",
    "used_pixels",
    "with_content",
]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Content:
    """What there is in an exposure.

    Attributes
    ----------
    pixels : int
        Of all.
    used : int
        Those that have a number and a weight.
    weight : float
        Sum of their weights.
    why : str
        Why the others have none, where that is all of them.
    """

    pixels: int
    used: int
    weight: float
    why: str = ""


def content_of(
    model: Mapping[str, Any], options: Options, flag_names: Mapping[str, int] | None = None
) -> Content | None:
    """Count the pixels of a model that will be used.

    Parameters
    ----------
    model : mapping
        As `gpures.Resample.add_model` takes it.
    options : gpures.exposure.options.Options
        What the resampling is set to.
    flag_names : mapping, optional
        Numbers of DQ flags by name, where ``good_bits`` has names.

    Returns
    -------
    Content or None
        None of a model in whose arrays something is wrong, which shows when it is added, or that lies on a GPU.
    """
    found = _arrays_of(model, options, flag_names)
    if found is None:
        return None
    data, dq, variance, bad = found
    used, weight = 0, 0.0
    for rows in row_blocks(data.shape):
        pixels = _used(found, rows)
        if variance is not None:
            block = _native(np.ma.getdata(variance)[rows])
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                weights = np.float32(1) / block
            weights[~pixels] = 0
            weight += float(weights.sum())
        used += int(np.count_nonzero(pixels))
    if variance is None:
        weight = used * (measured_time(model)[0] if options.weight_type == "exptime" else 1.0)
    return Content(data.size, used, weight, "" if used else _why(data, dq, bad, variance))


def used_pixels(
    model: Mapping[str, Any], options: Options, flag_names: Mapping[str, int] | None = None
) -> np.ndarray | None:
    """Which pixels of a model will be used; parameters, and None, as of `content_of`."""
    found = _arrays_of(model, options, flag_names)
    if found is None:
        return None
    return np.concatenate([_used(found, rows) for rows in row_blocks(found[0].shape)])


_Arrays: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray | None, int]


def _arrays_of(model: Mapping[str, Any], options: Options, flag_names: Mapping[str, int] | None) -> _Arrays | None:
    """Data, DQ, and variance of which weights are made, and bad bits, where all are in order and in memory."""
    data: Any = model.get("data")
    dq: Any = model.get("dq")
    variance: Any = model.get(VARIANCE_OF.get(options.weight_type, ""))
    arrays = [array for array in (data, dq, variance) if array is not None]
    if any(not isinstance(array, np.ndarray) or on_device(array) for array in arrays) or len(arrays) < 2:
        return None
    if data.ndim != 2 or data.dtype.kind not in "fiub" or dq is None or dq.dtype.kind not in "iu":
        return None
    if dq.shape != data.shape:
        return None
    if variance is not None and (variance.shape != data.shape or variance.dtype.kind not in "fiu"):
        variance = None  # its pixels have weight 1
    return data, dq, variance, bad_bits(options.good_bits, flag_names, dq.dtype)


def _used(arrays: _Arrays, rows: slice) -> Any:
    """Pixels of some rows that have a number and a weight."""
    data, dq, variance, bad = arrays
    pixels = _has_number(data[rows]) & _is_good(dq[rows], bad)
    return pixels if variance is None else pixels & _has_weight(_native(np.ma.getdata(variance)[rows]))


def _why(data: np.ndarray, dq: np.ndarray, bad: int, variance: np.ndarray | None) -> str:
    """What is wrong with pixels none of which is used; each counts once, for what is said first."""
    numbers = _has_number(data)
    good = _is_good(dq, bad)
    flagged, weightless = numbers & ~good, numbers & good
    if variance is not None:
        weightless &= ~_has_weight(_native(np.ma.getdata(variance)))
    bits = int(np.bitwise_or.reduce(dq[flagged], axis=None)) & bad if flagged.any() else 0
    names = "+".join(str(1 << k) for k in range(bits.bit_length()) if bits >> k & 1)
    masked = np.ma.getmaskarray(data) & _is_finite(data)
    reasons = {
        "NaN or infinite": ~numbers & ~masked,
        "left out by a mask, or for lack of a weight": masked,
        f"flagged as bad (DQ {names})": flagged,
        "without weight (variance that is zero, negative, infinite or NaN)": weightless,
    }
    counts = {words: int(np.count_nonzero(pixels)) for words, pixels in reasons.items()}
    return ", ".join(f"{count} {words}" for words, count in counts.items() if count)


def _has_number(data: np.ndarray) -> Any:
    finite = _is_finite(data)
    return finite & ~np.ma.getmaskarray(data) if isinstance(data, np.ma.MaskedArray) else finite


def _is_finite(data: np.ndarray) -> np.ndarray:
    return np.isfinite(_native(np.ma.getdata(data))) if data.dtype.kind == "f" else np.ones(data.shape, bool)


def _native(array: np.ndarray) -> np.ndarray:
    """An array in the machine's byte order, in which it is compared faster."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _is_good(dq: np.ndarray, bad: int) -> Any:
    flags = np.ascontiguousarray(np.ma.getdata(dq))
    size = flags.dtype.itemsize
    # Bits are where they are: in the array's byte order there is nothing to be swapped but the mask.
    mask = np.array(bad, f"u{size}").astype(flags.dtype.str.replace("i", "u")).view(f"u{size}")
    return (flags.view(f"u{size}") & mask) == 0


def _has_weight(variance: np.ndarray) -> Any:
    """Whether the inverse is a weight; `gpures.exposure.weights` has which array it is made of."""
    with np.errstate(invalid="ignore"):
        return (variance > 0) & (variance < np.inf)


# ---- planes of a mosaic ----------------------------------------------------------------------------------------------


def with_content(options: Options, offered: Collection[str] | None) -> tuple[Options, tuple[str, ...]]:
    """Options of a mosaic without the planes that no exposure has anything for.

    Parameters
    ----------
    options : gpures.exposure.options.Options
        What was asked for.
    offered : collection of str or None
        Names of the arrays that exposures have; None where that is not known.

    Returns
    -------
    options : gpures.exposure.options.Options
        Without variances, flags, and an error that is made of variances, where there are none.
    names : tuple of str
        Of the variances.
    """
    names = tuple(Resample.variance_array_names)
    if offered is not None:
        names = tuple(name for name in names if name in offered)
        options = replace(options, enable_var=options.enable_var and bool(names))
        if options.propagate_dq and "dq" not in offered and options.dq_of_empty is None:
            log.warning("No exposure has DQ flags: there are none in the mosaic.")
            options = replace(options, propagate_dq=False)
    if not options.enable_var and options.compute_err == "from_var":
        options = replace(options, compute_err=None)
    return options, names


def resampler_of(
    names: Sequence[str], flag_names: Mapping[str, int] | None = None, base: type[Resample] = Resample
) -> type[Resample]:
    """`gpures.Resample`, or a class of its kind, with these variances alone.

    Parameters
    ----------
    names : sequence of str
        Names of the variance arrays; none where there are no variances.
    flag_names : mapping, optional
        Numbers of DQ flags by name, where ``good_bits`` has names.
    base : type, optional
        The class.
    """
    own: dict[str, Any] = {}
    if names and list(names) != list(Resample.variance_array_names):
        own["variance_array_names"] = list(names)
    if flag_names is not None:
        own["dq_flag_name_map"] = flag_names
    return type(Resample.__name__, (base,), own) if own else base


# ---- mosaics ---------------------------------------------------------------------------------------------------------


def pixels_with_data(wht: Any) -> int:
    """Number of a mosaic's pixels that have a weight.

    Parameters
    ----------
    wht : ndarray or cupy.ndarray
        Image of the weights.
    """
    return sum(int((wht[rows] != 0).sum()) for rows in row_blocks(wht.shape))


def idle_exposures(context: Any, count: int) -> list[int]:
    """Numbers of the exposures that no pixel of a mosaic has anything of.

    Parameters
    ----------
    context : ndarray or cupy.ndarray
        Context image (planes, Ny, Nx).
    count : int
        Number of exposures.
    """
    seen = []
    for plane in context:
        bits = 0
        for rows in row_blocks(plane.shape):
            block = plane[rows].ravel()
            bits |= int(np.bitwise_or.reduce(block.get() if on_device(block) else block))
        seen.append(bits)
    return [k for k in range(count) if not seen[k // 32] >> k % 32 & 1]

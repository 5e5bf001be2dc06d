"""Smaller versions of a mosaic, to be looked at: each of half the side of the one before.

Pixels of numbers are means, with the weights, over those pixels of a square that have a weight: that is what a mosaic
of larger pixels would have. They are NaN where there is none. The weight is the mean over the square, with 0 for what
has none, so that it stays on its scale: times the square's number of pixels it is the sum, the weight of the mean. Of
integers, whose bits tell something, it is the first pixel.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from gpures.io.zarr_layout import is_filled
from gpures.machine.threads import thread_count

__all__ = ["MOST_THREADS", "fill_of_overview", "is_kept", "levels_of", "make_overview"]

# Side of the last one, pixels, at most.
SMALLEST = 1024

# Each has some chunks in memory.
MOST_THREADS = 8


def is_kept(name: str) -> bool:
    """Whether an image is kept for those who go on with the mosaic, and not looked at."""
    return name.startswith("vwht")


def fill_of_overview(name: str, fill: np.ndarray) -> np.ndarray:
    """What pixels of an overview are that nothing is in: 0 of weights, NaN of other numbers.

    Parameters
    ----------
    name : str
        Image.
    fill : ndarray ()
        What they are in the mosaic.
    """
    if name == "wht":
        return np.zeros((), fill.dtype)
    return np.full((), np.nan, fill.dtype) if fill.dtype.kind == "f" else fill


def levels_of(shape: tuple[int, int]) -> list[int]:
    """The sides of the squares that are one pixel of each overview.

    Parameters
    ----------
    shape : (int, int)
        Shape (Ny, Nx) of the mosaic.
    """
    levels: list[int] = []
    while -(-max(shape) // (1 << len(levels))) > SMALLEST:
        levels.append(2 << len(levels))
    return levels


def make_overview(images: Mapping[str, Any], smaller: Mapping[str, Any], fill: Mapping[str, np.ndarray]) -> None:
    """Make versions of half the side, some chunks at a time.

    Parameters
    ----------
    images : mapping
        Arrays of a store by name, (Ny, Nx) or (planes, Ny, Nx).
    smaller : mapping
        Those to be written to, of half the side.
    fill : mapping
        What pixels are that are not written.
    """
    (ny, nx), (rows, columns) = smaller["data"].shape, smaller["data"].chunks
    places = [
        (slice(y, min(y + rows, ny)), slice(x, min(x + columns, nx)))
        for y, x in itertools.product(range(0, ny, rows), range(0, nx, columns))
    ]
    with ThreadPoolExecutor(min(thread_count(), MOST_THREADS)) as pool:
        for _ in pool.map(partial(_make_chunk, images, smaller, fill), places):
            pass


def _make_chunk(
    images: Mapping[str, Any], smaller: Mapping[str, Any], fill: Mapping[str, np.ndarray], place: tuple[slice, slice]
) -> None:
    whole = tuple(slice(2 * part.start, 2 * part.stop) for part in place)
    weight = _weight_of(images, whole)
    for name, array in smaller.items():
        for plane in itertools.product(*map(range, array.shape[:-2])):
            if array.dtype.kind != "f":
                if _is_unwritten(images[name], plane, whole):
                    continue
                made = images[name][(*plane, *whole)][::2, ::2]
            elif weight is None:
                continue
            else:
                made = _sums(weight) / 4 if name == "wht" else _means(images[name][(*plane, *whole)], weight)
            made = np.ascontiguousarray(made, array.dtype)
            if not is_filled(made, fill[name]):
                array[(*plane, *place)] = made


def _weight_of(images: Mapping[str, Any], whole: tuple[slice, ...]) -> np.ndarray | None:
    """Weights, float64, and 0 where there is no pixel; None where there is none at all.

    Those of the Lanczos kernels that are negative are left out.
    """
    data, weights = images["data"], images.get("wht")
    if _is_unwritten(data, (), whole) and not np.isfinite(data.fill_value):
        return None
    if weights is not None and weights.fill_value == 0 and _is_unwritten(weights, (), whole):
        return None
    there = np.isfinite(data[whole])
    if weights is None:
        return there.astype(np.float64)
    weight = weights[whole].astype(np.float64)
    return np.where(there & (weight > 0) & (weight < np.inf), weight, 0.0)


def _is_unwritten(array: Any, plane: tuple[int, ...], whole: tuple[slice, ...]) -> bool:
    """Whether no chunk of a part is there: most of a frame may be empty."""
    folder = os.path.join(array.store.root, array.path, "c", *map(str, plane))
    sides = zip(whole, array.shape[-2:], array.chunks[-2:], strict=True)
    numbers = [range(part.start // side, -(-min(part.stop, size) // side)) for part, size, side in sides]
    return not any(os.path.exists(f"{folder}/{row}/{column}") for row, column in itertools.product(*numbers))


def _means(pixels: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted means of those pixels that are numbers."""
    known = np.isfinite(pixels)
    weight = np.where(known, weight, 0.0)
    total, sums = _sums(weight), _sums(np.where(known, pixels, 0.0) * weight)
    return np.divide(sums, total, out=np.full(total.shape, np.nan), where=total > 0)


def _sums(image: np.ndarray) -> np.ndarray:
    """Sums over squares of two by two pixels, the last ones of which may be cut off."""
    ny, nx = image.shape
    if ny % 2 or nx % 2:
        image = np.pad(image, ((0, ny % 2), (0, nx % 2)))
    rows = image[::2] + image[1::2]
    return rows[:, ::2] + rows[:, 1::2]

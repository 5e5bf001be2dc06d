"""Smaller versions of a mosaic, to be looked at: each of half the side of the one before.

Pixels of numbers are means, with the weights, over those pixels of a square that have a weight: that is what a mosaic
of larger pixels would have. They are NaN where there is none. The weight is the mean over the square, with 0 for what
has none, so that it stays on its scale: times the square's number of pixels it is the sum, the weight of the mean. Of
integers, whose bits tell something, it is the first pixel.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from gpures.arguments.arrays import as_host
from gpures.box import Box
from gpures.io.zarr_layout import is_filled
from gpures.machine.threads import thread_count

__all__ = ["MOST_THREADS", "Make", "Overview", "by_threads", "fill_of_overview", "is_kept", "levels_of"]

# Side of the last one, pixels, at most.
SMALLEST = 1024

# Each has some chunks in memory.
MOST_THREADS = 8

# Rows of an overview that are made at a time, so that what is between is in a core's cache.
ROWS = 32


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


@dataclass(frozen=True)
class Overview:
    """Versions of half the side, which are made of some chunks at a time, by whoever has time.

    Attributes
    ----------
    images : mapping
        Arrays of a store by name, (Ny, Nx) or (planes, Ny, Nx).
    smaller : mapping
        Those to be written to, of half the side.
    fill : mapping
        What pixels are that are not written.
    pixels : mapping
        Images that are in memory, of those in the store.
    first : (int, int)
        Where their first pixel is, x and y.
    """

    images: Mapping[str, Any]
    smaller: Mapping[str, Any]
    fill: Mapping[str, np.ndarray]
    pixels: Mapping[str, Any]
    first: tuple[int, int] = (0, 0)

    @property
    def places(self) -> list[tuple[slice, slice]]:
        """Parts that are made at a time, which are the chunks."""
        ny, nx = self.images["data"].shape
        return self.places_of(Box(0, nx - 1, 0, ny - 1))

    def places_of(self, part: Box) -> list[tuple[slice, slice]]:
        """Those of them that are made of one part of the images alone."""
        (ny, nx), (rows, columns) = self.images["data"].shape, self.smaller["data"].chunks
        along_y, along_x = _chunks_of(part.ymin, part.ymax, ny, rows), _chunks_of(part.xmin, part.xmax, nx, columns)
        return list(itertools.product(along_y, along_x))

    def clear(self, place: tuple[slice, slice]) -> None:
        """Have nothing in one of them, in which there may be something of what was written before."""
        for array in self.smaller.values():
            index = [part.start // side for part, side in zip(place, array.chunks[-2:], strict=True)]
            for plane in itertools.product(*map(range, array.shape[:-2])):
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(array.store.root, array.path, "c", *map(str, (*plane, *index))))

    def make(self, place: tuple[slice, slice]) -> None:
        """Make one of them."""
        whole = tuple(slice(2 * part.start, 2 * part.stop) for part in place)
        weight = self._weights(whole)
        total = None if weight is None else _sums(weight)
        for name, array in self.smaller.items():
            for plane in itertools.product(*map(range, array.shape[:-2])):
                if array.dtype.kind != "f":
                    if _is_unwritten(self.images[name], plane, whole):
                        continue
                    made = self._pixels(name, (*plane, *whole))[::2, ::2]
                elif weight is None or total is None:
                    continue
                else:
                    made = total / 4 if name == "wht" else _means(self._pixels(name, (*plane, *whole)), weight, total)
                made = np.ascontiguousarray(made, array.dtype)
                if not is_filled(made, self.fill[name]):
                    array[(*plane, *place)] = made

    def _pixels(self, name: str, where: tuple[Any, ...]) -> np.ndarray:
        if name not in self.pixels:
            return self.images[name][where]
        *plane, rows, columns = where
        x, y = self.first
        there = slice(rows.start - y, rows.stop - y), slice(columns.start - x, columns.stop - x)
        return as_host(self.pixels[name][(*plane, *there)])

    def _weights(self, whole: tuple[slice, ...]) -> np.ndarray | None:
        """Weights, and 0 where there is no pixel; None where there is none at all.

        Those of the Lanczos kernels that are negative are left out.
        """
        data, weights = self.images["data"], self.images.get("wht")
        if _is_unwritten(data, (), whole) and not np.isfinite(data.fill_value):
            return None
        if weights is not None and weights.fill_value == 0 and _is_unwritten(weights, (), whole):
            return None
        there = np.isfinite(self._pixels("data", whole))
        if weights is None:
            return there.astype(np.float64)
        weight = self._pixels("wht", whole)
        return np.where(there & (weight > 0) & (weight < np.inf), weight, weight.dtype.type(0))


# What makes some places of an overview.
Make: TypeAlias = Callable[[Overview, Sequence[tuple[slice, slice]]], None]


def by_threads(overview: Overview, places: Sequence[tuple[slice, slice]]) -> None:
    """Make some places of an overview."""
    with ThreadPoolExecutor(min(thread_count(), MOST_THREADS)) as pool:
        for _ in pool.map(overview.make, places):
            pass


def _chunks_of(first: int, last: int, size: int, chunk: int) -> list[slice]:
    """Along an axis, the chunks of an overview that are made of the pixels from a first to a last one alone."""
    smaller = -(-size // 2)
    starts = range(-(-first // (2 * chunk)) * chunk, last // 2 + 1, chunk)
    chunks = [slice(start, min(start + chunk, smaller)) for start in starts]
    return [each for each in chunks if min(2 * each.stop, size) <= last + 1]


def _is_unwritten(array: Any, plane: tuple[int, ...], whole: tuple[slice, ...]) -> bool:
    """Whether no chunk of a part is there: most of a frame may be empty."""
    folder = os.path.join(array.store.root, array.path, "c", *map(str, plane))
    sides = zip(whole, array.shape[-2:], array.chunks[-2:], strict=True)
    numbers = [range(part.start // side, -(-min(part.stop, size) // side)) for part, size, side in sides]
    return not any(os.path.exists(f"{folder}/{row}/{column}") for row, column in itertools.product(*numbers))


def _means(pixels: np.ndarray, weight: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Means of those pixels that are numbers, over squares of which these are the weights and their sums."""
    means = np.full(total.shape, np.nan)
    for first in range(0, len(total), ROWS):
        rows, half = slice(2 * first, 2 * (first + ROWS)), slice(first, first + ROWS)
        known, of_row, of_square = np.isfinite(pixels[rows]), weight[rows].astype(np.float64), total[half]
        with np.errstate(invalid="ignore"):  # infinity by 0
            weighted = pixels[rows] * of_row
        if not known.all():
            weighted[~known] = 0.0
            if not (known | (of_row == 0)).all():
                of_square = _sums(np.where(known, of_row, 0.0))
        np.divide(_sums(weighted), of_square, out=means[half], where=of_square > 0)
    return means


def _sums(image: np.ndarray) -> np.ndarray:
    """Sums, float64, over squares of two by two pixels, the last ones of which may be cut off."""
    ny, nx = image.shape
    if ny % 2 or nx % 2:
        image = np.pad(image, ((0, ny % 2), (0, nx % 2)))
    rows = np.add(image[::2], image[1::2], dtype=np.float64)
    return rows[:, ::2] + rows[:, 1::2]

"""Exposures that were resampled by themselves, each on its window of one frame, and their median."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from gpures import _cpu
from gpures.arguments.arrays import as_host, on_device
from gpures.backend.stack import image_records
from gpures.box import Box
from gpures.exposure.structs import CLIPPED, STACK
from gpures.machine.memory import available_memory
from gpures.machine.threads import thread_count

__all__ = ["Stack"]

# Standard deviations of a normal distribution in a median of absolute deviations; and how many of them a value may
# differ from the median.
PER_DEVIATION, TIMES = 1.4826, 3.0

# Share of the memory that is available which images may take; further ones go to the disk.
SHARE = 0.5


@dataclass(frozen=True)
class _Image:
    """An image on its window of the frame, NaN where it has no value: in memory, mapped from a file, or on a GPU."""

    values: Any
    window: Box


class Stack:
    """Images on windows of one frame.

    What does not fit in memory lies in a temporary file, of which the median is taken in rows: what is in memory then
    is rows of all images.

    Parameters
    ----------
    shape : (int, int)
        Shape (Ny, Nx) of the frame.
    most_bytes : int, optional
        Memory that images may take; by default half of what is available.
    """

    def __init__(self, shape: tuple[int, int], most_bytes: int | None = None):
        self.shape = shape
        if most_bytes is None and (available := available_memory()) is not None:
            most_bytes = int(SHARE * available)
        self._left = most_bytes
        self._images: list[_Image] = []
        self._file: IO[bytes] | None = None

    def add(self, values: Any, window: Box) -> None:
        """Add an image.

        Parameters
        ----------
        values : ndarray or cupy.ndarray of float32 (Ny, Nx)
            The image on its window; NaN where it has no value. All are on one GPU, and stay there, or none.
        window : Box
            Pixels of the frame that it covers.
        """
        if on_device(values):
            self._images.append(_Image(values, window))
            return
        values = np.ascontiguousarray(values, np.float32)
        if self._left is not None and values.size:
            if values.nbytes > self._left:
                values = self._on_disk(values)
            else:
                self._left -= values.nbytes
        self._images.append(_Image(values, window))

    def _on_disk(self, values: np.ndarray) -> np.ndarray:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="gpures-")  # noqa: SIM115  (it lives as long as the stack)
            weakref.finalize(self, self._file.close)
        place = self._file.seek(0, 2)
        values.tofile(self._file)
        self._file.flush()
        return np.memmap(self._file, np.float32, "r", place, values.shape)

    def median(self, levels: Sequence[float] | None = None, least: int = 1) -> tuple[Any, Any]:
        """Median of the images at each pixel of the frame, of those that have a value there.

        Parameters
        ----------
        levels : sequence of float, optional
            What is subtracted from each of them.
        least : int, optional
            How many there must be.

        Returns
        -------
        median, lower : ndarray or cupy.ndarray of float32 (Ny, Nx)
            In the memory of the images; NaN where fewer have a value. Of an even number of values the median is the
            mean of the two in the middle, and the other one is the lower of these; of three it is the least.
        """
        made = self._made(levels, ("out", "lower"), least=least)
        return made["out"], made["lower"]

    def clipped_mean(self, levels: Sequence[float] | None = None, times: float = TIMES) -> Any:
        """Mean of those values at each pixel of the frame that are near their median.

        Parameters
        ----------
        levels : sequence of float, optional
            What is subtracted from each image.
        times : float, optional
            How many times their scatter values may differ from the median. The scatter is their median deviation, as a
            standard deviation, but no less than what it is in half of the frame: few values may be close by chance.

        Returns
        -------
        ndarray or cupy.ndarray of float32 (Ny, Nx)
            In the memory of the images; NaN where none has a value.
        """
        made = self._made(levels, ("out", "scatter"))
        scatter = as_host(made["scatter"])
        some = scatter[scatter > 0]
        record: Any = np.zeros((), CLIPPED)
        record["times"], record["noise"] = times * PER_DEVIATION, np.median(some) if some.size else 0.0
        return self._made(levels, ("out",), (record, made["out"], made["scatter"]))["out"]

    def _made(
        self, levels: Sequence[float] | None, names: Sequence[str], clipped: Any = None, least: int = 1
    ) -> dict[str, Any]:
        """Images that a stack gives, by the fields of its record; the clipped mean by its own record."""
        levels = [0.0] * len(self._images) if levels is None else levels
        stack: Any = np.zeros((), STACK)
        stack["images"], stack["least"] = len(self._images), least
        stack["ny"], stack["nx"] = self.shape
        images = [(image.values, image.window) for image in self._images]
        if images and on_device(images[0][0]):
            from gpures.backend.cuda.cleaning import stacked_on_device

            return stacked_on_device(stack, images, levels, names, clipped)
        records = image_records(images, levels, lambda array: array.ctypes.data)
        stack["image"] = records.ctypes.data
        made = {name: np.empty(self.shape, np.float32) for name in names}
        if clipped is None:
            for name, array in made.items():
                stack[name] = array.ctypes.data
            _cpu.median(stack.ctypes.data, thread_count())
        else:
            record, *held = clipped
            for name, array in zip(("median", "scatter", "out"), (*held, made["out"]), strict=True):
                record[name] = array.ctypes.data
            _cpu.clipped_mean(stack.ctypes.data, record.ctypes.data, thread_count())
        return made

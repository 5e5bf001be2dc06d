"""Kernels that go over the pixels of an image, on the caller's current stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from gpures.arguments.arrays import aligned, on_device
from gpures.backend.cuda.device import explained, import_cupy
from gpures.backend.cuda.kernels import THREADS_OF_PIXELS, Program

__all__ = ["Device", "device_of", "of_type"]

# The most blocks of a grid whose threads go over an image.
MOST_BLOCKS = 65536


class Device:
    """A device as the kernels of one file are called on it.

    Parameters
    ----------
    cupy : module
        CuPy.
    number : int
        The device's, which is the current one.
    file : str
        Where the kernels are.

    Attributes
    ----------
    cupy : module
        CuPy.
    """

    def __init__(self, cupy: Any, number: int, file: str):
        self.cupy = cupy
        self._program, self._file = Program.of_device(cupy, number), file

    def array(self, array: Any, dtype: Any) -> Any:
        """An array on the device, contiguous and aligned: itself, if it is all that.

        Parameters
        ----------
        array : ndarray or cupy.ndarray
            The array.
        dtype : dtype
            What it shall be of.
        """
        array = array if on_device(array) else np.ascontiguousarray(array, dtype)
        return self.cupy.ascontiguousarray(of_type(aligned(self.cupy.asarray(array)), dtype))

    def entries(self, kernel: str) -> Any:
        """The kernel that takes the entries of a matrix, for the drops of a kernel."""
        return self._program.entries(kernel)

    def call(self, name: str, pixels: int, *arguments: Any) -> None:
        """Call a kernel for so many pixels.

        Parameters
        ----------
        name : str
            Of its entry point.
        pixels : int
            Their number; for none nothing is called.
        *arguments
            What the kernel gets.
        """
        if blocks := min(-(-pixels // THREADS_OF_PIXELS), MOST_BLOCKS):
            self._program.of_file(self._file, name)((blocks,), (THREADS_OF_PIXELS,), arguments)


@contextmanager
def device_of(number: int, what: str, file: str) -> Iterator[Device]:
    """Make a device the current one for a while.

    Parameters
    ----------
    number : int
        The device's.
    what : str
        What is done there, for errors.
    file : str
        Where its kernels are, of ``kernels/cuda``.
    """
    cupy = import_cupy()
    with explained(what), cupy.cuda.Device(number):
        yield Device(cupy, number, file)


def of_type(array: Any, dtype: DTypeLike) -> Any:
    """A device array in a type, itself if it is of that, on the caller's current stream.

    From float64 to float32 and back by kernels of ours: CuPy's own take the subnormal numbers of float32 for 0.

    Parameters
    ----------
    array : cupy.ndarray
        Of elements that lie at multiples of their size.
    dtype : dtype
        The type.
    """
    dtype = np.dtype(dtype)
    name = {("f8", "f4"): "convert_f4", ("f4", "f8"): "convert_f8"}.get((array.dtype.str[1:], dtype.str[1:]))
    if name is None:
        return array.astype(dtype, copy=False)
    with device_of(array.device.id, "converting an array", "mosaic.cu") as device:
        made = device.cupy.empty(array.shape, dtype)
        device.call(name, made.size, device.cupy.ascontiguousarray(array), made, np.int64(made.size))
        return made

"""An exposure's contributions as a sparse matrix, on the CPU; and images of noise that are drizzled by it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpures import _cpu
from gpures.backend.base import copies_in_frame, flat_drops_told, united
from gpures.box import Box
from gpures.exposure.exposure import Exposure
from gpures.exposure.pixmap import exposure_record
from gpures.exposure.records import set_drop, set_weights
from gpures.exposure.structs import OPERATOR, in_memory
from gpures.machine.memory import available_memory
from gpures.machine.threads import thread_count

__all__ = [
    "CPUOperator",
    "bytes_of_entries",
    "check_size",
    "exclusive",
    "index_type",
    "operator_record",
    "scipy_matrix",
    "window_in_frame",
]

GIB = 2.0**30

# The largest index of 32 bits, as scipy and CuPy have it.
MOST_NARROW = np.iinfo(np.int32).max


def index_type(*counts: int) -> np.dtype:
    """Type of a matrix' indices, of which these are the largest."""
    return np.dtype(np.int32 if max(counts) <= MOST_NARROW else np.int64)


def exclusive(counts: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Where each row begins, of so many entries each, behind one more 0: (rows + 1,)."""
    starts = np.zeros(counts.size + 1, dtype)
    np.cumsum(counts[:-1], dtype=dtype, out=starts[2:])
    return starts


def bytes_of_entries(entries: int, rows: int, index: np.dtype) -> int:
    """Memory of a matrix.

    Parameters
    ----------
    entries, rows : int
        How many it has.
    index : dtype
        Type of its indices.
    """
    return entries * (8 + index.itemsize) + (rows + 1) * index.itemsize


def window_in_frame(exposure: Exposure, kernel: str, shape: tuple[int, int]) -> Box:
    """The part of a frame that an exposure may contribute to; it may be empty.

    Parameters
    ----------
    exposure : Exposure
        The exposure.
    kernel : str
        Name of its kernel.
    shape : (int, int)
        Shape (Ny, Nx) of the frame.
    """
    return united(copies_in_frame(exposure, kernel, shape)[0], shape)


def operator_record(exposure: Exposure, window: Box) -> np.ndarray:
    """An OPERATOR of an exposure and a window of the frame, without its arrays."""
    record = np.zeros((), OPERATOR)
    record["nx"] = exposure.shape[1]
    for name, limit in zip(("x0", "x1", "y0", "y1"), window, strict=True):
        record[name] = limit
    return record


class CPUOperator:
    """The matrix of an exposure, whose rows are the pixels of a window of a frame, and whose columns are its own.

    Parameters
    ----------
    exposure : Exposure
        Whose arrays are in host memory.
    kernel : str
        Name of its kernel.
    frame : (int, int)
        Shape (Ny, Nx) of the frame.
    window : Box
        The window, which is not empty.
    device : None
        None.

    Attributes
    ----------
    starts, columns, weights : ndarray
        The matrix as `scipy.sparse.csr_array` has it: ``indptr``, ``indices`` and ``data``.
    window : Box
        The window.
    shape : (int, int)
        Shape (Ny, Nx) of the exposure.

    Raises
    ------
    MemoryError
        There is too little for it.
    """

    def __init__(self, exposure: Exposure, kernel: str, frame: tuple[int, int], window: Box, device: Any = None):
        self.window, self.shape = window, exposure.shape
        rows, pixels = math.prod(window.shape), math.prod(exposure.shape)
        record = exposure_record(exposure.shape, exposure.pixmap, in_memory)
        set_drop(record, exposure, kernel, in_memory)
        set_weights(record, exposure, in_memory)
        self._record = operator_record(exposure, window)
        check_size(8 * rows, available_memory(), exposure.name)
        counts, flat = np.zeros(rows, np.uint32), np.zeros(1, np.uint64)
        self._record["next"], self._record["passed_over"] = counts.ctypes.data, flat.ctypes.data
        ny, nx = frame
        _cpu.take_entries(record.ctypes.data, self._record.ctypes.data, nx, ny, thread_count())
        flat_drops_told(int(flat[0]), exposure.name)
        entries = int(counts.sum(dtype=np.int64))
        index = index_type(entries, rows, pixels)
        check_size(bytes_of_entries(entries, rows, index), available_memory(), exposure.name)
        self.starts, self.columns, self.weights = exclusive(counts, index), np.empty(entries, index), np.empty(entries)
        self._record["wide"], self._record["passed_over"] = index.itemsize > 4, 0
        self._point()
        if entries:
            _cpu.take_entries(record.ctypes.data, self._record.ctypes.data, nx, ny, thread_count())
            _cpu.sort_rows(self._record.ctypes.data, thread_count())

    def _point(self) -> None:
        """Have the kernels find the arrays where they are."""
        self._record["next"] = self.starts[1:].ctypes.data
        self._record["columns"], self._record["weights"] = self.columns.ctypes.data, self.weights.ctypes.data

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Those of a copy, or of what was unpickled, are elsewhere."""
        self.__dict__.update(state)
        self._record = self._record.copy()
        self._point()

    def add_products(self, image: np.ndarray | None, sums: np.ndarray) -> None:
        """Add the drizzled sums of an image of the exposure to those of the frame.

        Parameters
        ----------
        image : ndarray of float64 (Ny, Nx) or None
            The image; None for 1 everywhere.
        sums : ndarray of float64 (Ny, Nx)
            Of the frame's pixels.
        """
        if self.weights.size:
            _cpu.add_products(self._record.ctypes.data, image, sums, thread_count())

    def matrix(self, shape: tuple[int, int], to_host: bool = True) -> Any:
        """The matrix as scipy's, over the same memory.

        Parameters
        ----------
        shape : (int, int)
            Its shape.
        to_host : bool
            True.
        """
        return scipy_matrix(self.weights, self.columns, self.starts, shape)


def scipy_matrix(weights: np.ndarray, columns: np.ndarray, starts: np.ndarray, shape: tuple[int, int]) -> Any:
    """A matrix of scipy's.

    Parameters
    ----------
    weights, columns, starts : ndarray
        Its ``data``, ``indices`` and ``indptr``, sorted.
    shape : (int, int)
        Its shape.
    """
    from scipy.sparse import csr_array

    matrix = csr_array((weights, columns, starts), shape=shape)
    matrix.has_sorted_indices = True
    return matrix


def check_size(size: int, available: int | None, name: str) -> None:
    """Refuse an operator that does not fit.

    Parameters
    ----------
    size : int
        Bytes that it takes.
    available : int or None
        Bytes that there are, where that is known.
    name : str
        What the exposure is called.

    Raises
    ------
    MemoryError
        It does.
    """
    if available is not None and size > available:
        raise MemoryError(
            f"The operator of {name} needs {size / GIB:.2f} GiB of memory, and {available / GIB:.2f} GiB are "
            "available. Take a smaller frame, or a part of the exposure."
        )

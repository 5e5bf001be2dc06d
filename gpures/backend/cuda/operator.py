"""An exposure's contributions as a sparse matrix, on a GPU."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from gpures.arguments.arrays import on_device
from gpures.backend.base import copies_in_frame, flat_drops_told
from gpures.backend.cuda.device import memory_info
from gpures.backend.cuda.kernels import BLOCK_OF_SPLAT
from gpures.backend.cuda.over_pixels import Device, device_of
from gpures.backend.operator import (
    bytes_of_entries,
    check_size,
    exclusive,
    index_type,
    operator_record,
    scipy_matrix,
)
from gpures.box import Box
from gpures.exposure.exposure import Exposure
from gpures.exposure.pixmap import exposure_record
from gpures.exposure.records import set_drop, set_weights

__all__ = ["CUDAOperator"]


class CUDAOperator:
    """The matrix of an exposure on a GPU, as `gpures.backend.operator.CPUOperator` is it.

    Parameters
    ----------
    exposure : Exposure
        Whose arrays are in host memory or on any GPU.
    kernel, frame, window
        As there.
    device : int
        Number of the GPU.

    Raises
    ------
    MemoryError
        There is too little for it, or it has more entries than 32 bits count.
    """

    def __init__(self, exposure: Exposure, kernel: str, frame: tuple[int, int], window: Box, device: int):
        self.window, self.shape, self._number = window, exposure.shape, device
        with self._device("making an operator") as on:
            rows = math.prod(window.shape)
            index = np.dtype(np.int32)
            _check_memory(on, 8 * rows, exposure.name)
            kept: list[Any] = []
            record = _exposure_there(on, exposure, kernel, kept)
            copies = [
                copy for copy in copies_in_frame(exposure, kernel, frame)[0] if not copy[2].common(window).is_empty
            ]
            self._record = operator_record(exposure, window)
            counts, flat = on.cupy.zeros((rows,), np.uint32), on.cupy.zeros((1,), np.uint64)
            self._record["next"], self._record["passed_over"] = counts.data.ptr, flat.data.ptr
            self._take(on, exposure, kernel, record, copies)
            counted = counts.get()
            flat_drops_told(int(flat.get()[0]), exposure.name)
            entries = int(counted.sum(dtype=np.int64))
            if index_type(entries, rows, math.prod(exposure.shape)) != index:
                raise MemoryError(
                    f"The operator of {exposure.name} has {entries} entries in {rows} rows, and on a GPU they are "
                    "counted to 2147483647: use backend='cpu', or take a smaller frame or a part of the exposure."
                )
            del counts
            _check_memory(on, bytes_of_entries(entries, rows, index), exposure.name)
            self.starts = on.cupy.asarray(exclusive(counted, index))
            self.columns, self.weights = on.cupy.empty((entries,), index), on.cupy.empty((entries,), np.float64)
            self._record["passed_over"] = 0
            self._point()
            if entries:
                self._take(on, exposure, kernel, record, copies)
                on.call("sort_rows", rows, self._record)
            on.cupy.cuda.get_current_stream().synchronize()  # before what is kept goes

    def _point(self) -> None:
        self._record["next"] = self.starts.data.ptr + self.starts.dtype.itemsize
        if self.weights.size:
            self._record["columns"], self._record["weights"] = self.columns.data.ptr, self.weights.data.ptr

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._record = self._record.copy()
        self._point()

    def _device(self, what: str) -> Any:
        return device_of(self._number, what, "rows.cu")

    def _take(self, on: Device, exposure: Exposure, kernel: str, record: np.ndarray, copies: list) -> None:
        """Have entries counted, or taken."""
        i0, i1, j0, j1 = exposure.limits
        across, up = BLOCK_OF_SPLAT
        grid = (-(-(i1 - i0 + 1) // across), -(-(j1 - j0 + 1) // up))
        for shift_x, shift_y, _ in copies:
            record["pixmap"]["shift_x"], record["pixmap"]["shift_y"] = shift_x, shift_y
            on.entries(kernel)(grid, BLOCK_OF_SPLAT, (record, self._record))

    def add_products(self, image: Any, sums: Any) -> None:
        """Add the drizzled sums of an image of the exposure to those of the frame, as `CPUOperator` does."""
        if self.weights.size:
            with self._device("drizzling by an operator") as on:
                address = np.uint64(0) if image is None else image
                on.call(
                    "add_products", math.prod(self.window.shape), self._record, address, sums, np.int64(sums.shape[1])
                )

    def matrix(self, shape: tuple[int, int], to_host: bool = True) -> Any:
        """The matrix as scipy's, or as CuPy's over the same memory.

        Parameters
        ----------
        shape : (int, int)
            Its shape.
        to_host : bool
            Whether it is scipy's.
        """
        if to_host:
            return scipy_matrix(self.weights.get(), self.columns.get(), self.starts.get(), shape)
        from cupyx.scipy.sparse import csr_matrix

        with self._device("making a matrix"):
            return csr_matrix((self.weights, self.columns, self.starts), shape=shape)


def _exposure_there(on: Device, exposure: Exposure, kernel: str, kept: list[Any]) -> np.ndarray:
    """An EXPOSURE whose arrays are on a device, where what is `kept` holds them."""

    def there(array: Any) -> Any:
        return None if array is None else on.array(array, array.dtype.newbyteorder("="))

    def place(array: Any) -> tuple[int, tuple[int, ...]]:
        array = array if on_device(array) else on.cupy.asarray(np.ascontiguousarray(array))
        kept.append(array)
        return array.data.ptr, array.strides

    weight = exposure.weight
    weight = replace(weight, weight_map=there(weight.weight_map), variance=there(weight.variance))
    exposure = replace(exposure, weight=weight, dq=there(exposure.dq))
    record = exposure_record(exposure.shape, exposure.pixmap.without_formula(), place)
    set_drop(record, exposure, kernel, place)
    set_weights(record, exposure, place)
    return record


def _check_memory(on: Device, size: int, name: str) -> None:
    check_size(size, memory_info(on.cupy)[0], name)

"""CPU backend: the walk of ``kernels/cpu`` over numpy arrays."""

from __future__ import annotations

import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from gpures import _cpu
from gpures.accumulators import BITS_PER_PLANE, KERNELS, Accumulators, Frame
from gpures.arrays import view
from gpures.exposure import Exposure
from gpures.threads import thread_count

__all__ = ["CPUAccumulators"]


# From this size on an array gets small pages, each of which has memory only once it is touched. In a smaller one
# nearly all rows are touched from end to end, and large pages are faster.
SMALL_PAGES_FROM = 64 << 20


def zeros(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Array of zeros whose memory is taken only where it is written to."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < SMALL_PAGES_FROM:
        return np.zeros(shape, dtype)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(pages, dtype).reshape(shape)


class CPUAccumulators(Accumulators):
    """Accumulators in memory.

    A frame's untouched parts take neither time nor memory. What is kept are weighted means and their weights (see
    ``kernels/fold.h``), so "data", "wht" and "err" are images at any time but for their fill value.
    """

    def __init__(self, frame: Frame):
        super().__init__(frame)
        self._data = zeros(frame.shape, frame.dtype)
        self._weight = zeros(frame.shape, frame.dtype)
        self._err = zeros(frame.shape, frame.dtype) if frame.has_err else None
        self._dq = zeros(frame.shape, np.uint32) if frame.has_dq else None
        self._context = zeros((frame.context_planes, *frame.shape), np.int32) if frame.context_planes else None
        # Variance and its own weight, by name.
        self._variances = {
            name: (zeros(frame.shape, frame.dtype), zeros(frame.shape, frame.dtype)) for name in frame.variance_names
        }

    def add(self, exposure: Exposure) -> None:  # noqa: D102
        if self.frame.kernel == "square" and min(exposure.shape) < 2:
            raise ValueError(f"A square drop needs at least 2 x 2 pixels to know a pixel's size, got {exposure.shape}.")
        only_variances = exposure.data is None
        planes = []
        if exposure.data is not None:
            planes.append(_plane(exposure.data, self._data, exposure.iscale, offset=exposure.level))
        if self._err is not None and exposure.err is not None:
            planes.append(_plane(exposure.err, self._err, exposure.iscale))
        variance_weight_plane = -1
        for name, variance in exposure.variances.items():
            if name == "var_rnoise" and exposure.variance_weight is None:
                variance_weight_plane = len(planes)
            mean, weight = self._variances[name]
            planes.append(_plane(variance, mean, exposure.iscale, variance_weight=weight))
        if not planes:
            return
        parameters = self._parameters(exposure)
        parameters |= {
            "pixmap": exposure.pixmap.parameters(),
            "kernel": KERNELS.index(self.frame.kernel),
            "pixfrac": exposure.pixfrac,
            "pixel_scale_ratio": exposure.pixel_scale_ratio,
            "planes": planes,
            "variance_weight_plane": variance_weight_plane,
            "variance_weight": 1.0 if exposure.variance_weight is None else exposure.variance_weight,
        }
        mosaic = {
            "ny": self.frame.shape[0],
            "nx": self.frame.shape[1],
            "doubles": self.frame.dtype == np.float64,
            "weight": 0 if only_variances else self._weight.ctypes.data,
            "context": 0,
            "context_bit": exposure.context_id % BITS_PER_PLANE,
            "dq": 0 if only_variances or self._dq is None else self._dq.ctypes.data,
        }
        if self._context is not None and not only_variances:
            mosaic["context"] = self._context_plane(exposure.context_id // BITS_PER_PLANE).ctypes.data
        self._touch(_cpu.add(parameters, mosaic, thread_count()))

    def _parameters(self, exposure: Exposure) -> dict[str, Any]:
        """What weights are made of; the arrays that the addresses point to are held by the exposure."""
        weight = exposure.weight
        parameters: dict[str, Any] = {
            "ny": exposure.shape[0],
            "nx": exposure.shape[1],
            "limits": exposure.limits,
            "weight": weight.constant,
        }
        if weight.weight_map is not None:
            parameters["weight_map"] = view(weight.weight_map)
        elif weight.variance is not None:
            parameters["variance"] = view(weight.variance)
        if exposure.dq is not None:
            parameters |= {"dq": view(exposure.dq), "bad_bits": weight.bad_bits}
        return parameters

    def _context_plane(self, plane: int) -> np.ndarray:
        assert self._context is not None
        if plane >= len(self._context):
            grown = zeros((plane + 1, *self.frame.shape), np.int32)
            grown[: len(self._context)] = self._context
            self._context = grown
        return self._context[plane]

    def weight_map(self, exposure: Exposure) -> np.ndarray:  # noqa: D102
        weights = np.empty(exposure.shape, np.float32)
        _cpu.weight_map(self._parameters(exposure), weights, thread_count())
        return weights

    def images(self) -> dict[str, np.ndarray]:  # noqa: D102
        images = {"data": self._data, "wht": self._weight}
        fillval = np.nan if self.frame.fillval is None else self.frame.fillval
        if fillval != 0.0:
            _cpu.fill(self._data, self._weight, self.touched, fillval, thread_count())
        if self._err is not None:
            if fillval != 0.0:
                _cpu.fill(self._err, self._weight, self.touched, fillval, thread_count())
            images["err"] = self._err
        if self._context is not None:
            images["con"] = self._context
        if self._dq is not None:
            images["dq"] = self._dq
        return images

    def finish_variances(self, scaling: float) -> dict[str, np.ndarray]:  # noqa: D102
        images = {}
        while self._variances:
            name, (variance, weight) = self._variances.popitem()
            _cpu.finish_variance(variance, weight, self.touched, scaling, thread_count())
            images[name] = variance
        return images


def _plane(
    array: np.ndarray,
    mean: np.ndarray,
    scale: float,
    offset: float = 0.0,
    variance_weight: np.ndarray | None = None,
) -> dict[str, Any]:
    return {
        "view": view(array),
        "offset": offset,
        "scale": scale,
        "root": variance_weight is not None,
        "mean": mean.ctypes.data,
        "weight": 0 if variance_weight is None else variance_weight.ctypes.data,
    }

"""CPU backend: the walk of ``kernels/cpu`` over numpy arrays."""

from __future__ import annotations

import itertools
import math
import mmap
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import DTypeLike

from gpures import _cpu
from gpures.backend.base import Accumulators, Part, cut
from gpures.backend.planes import Plane, PlaneAccumulators
from gpures.box import Box
from gpures.exposure.exposure import Exposure
from gpures.exposure.pixmap import exposure_record
from gpures.exposure.records import set_weights
from gpures.exposure.structs import Squared, in_memory
from gpures.machine.threads import thread_count
from gpures.reporting.timing import phases

__all__ = ["CPUAccumulators"]


class _Pages(mmap.mmap):
    """Memory of an array alone, whose pages may be replaced by others."""


# From this size on an array gets small pages, each of which has memory only once it is touched. In a smaller one
# nearly all rows are touched from end to end, and large pages are faster.
SMALL_PAGES_FROM = 64 << 20


def _zeros(shape: tuple[int, ...], dtype: DTypeLike, advice: str = "MADV_NOHUGEPAGE") -> np.ndarray:
    """Array of zeros whose memory is taken only where it is written to."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < SMALL_PAGES_FROM or not hasattr(mmap, "MAP_PRIVATE"):  # not on Windows, which does so by itself
        return np.zeros(shape, dtype)
    pages = _Pages(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, advice):
        pages.madvise(getattr(mmap, advice))
    return np.frombuffer(pages, dtype).reshape(shape)


def _pages_of(array: np.ndarray) -> _Pages | None:
    """Pages that `_zeros` has made an array of; None where it has not."""
    buffer = getattr(array.base, "base", None)  # below the array that has no shape yet
    pages = getattr(buffer, "obj", buffer)
    return pages if isinstance(pages, _Pages) else None


def _has_own_pages(array: np.ndarray) -> bool:
    return _pages_of(array) is not None


def _enlarge_pages(array: np.ndarray, rows: Iterable[tuple[int, int]]) -> None:
    """Have memory of some rows of an array come in large pieces; of one that has pages of its own."""
    pages = _pages_of(array)
    if pages is None or array.ndim < 2 or not hasattr(mmap, "MADV_HUGEPAGE"):
        return
    *_, ny, nx = array.shape
    of_row = nx * array.itemsize
    for plane, (first, end) in itertools.product(range(math.prod(array.shape[:-2])), rows):
        start = (plane * ny + first) * of_row
        begin = start - start % mmap.PAGESIZE
        pages.madvise(mmap.MADV_HUGEPAGE, begin, start + (end - first) * of_row - begin)


class CPUAccumulators(PlaneAccumulators):
    """Accumulators in memory; a frame's untouched parts take neither time nor memory."""

    backend = "cpu"

    def _zeros(self, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
        return _zeros(shape, dtype)

    def expect(self, rows: Callable[[], Sequence[tuple[int, int]]]) -> None:  # noqa: D102
        # In a context of several planes each exposure touches one.
        arrays = [array for name, array in self._held().items() if name != self.context_name or len(array) == 1]
        if any(map(_has_own_pages, arrays)):
            expected = rows()
            for array in arrays:
                _enlarge_pages(array, expected)

    def _address(self, array: np.ndarray) -> int:
        return array.ctypes.data

    def _copy(self, array: np.ndarray) -> np.ndarray:
        return array.copy()

    def _part_to_copy(self) -> Part:
        touched = self.touched
        return Part(touched, {name: cut(array, touched) for name, array in self._held().items()}, self._done, touched)

    def _is_set(self, flag: np.ndarray) -> bool:
        return bool(flag[0])

    def _show_weights(self, weight: np.ndarray) -> None:
        _cpu.show_weights(weight, thread_count())

    def _planes(self, exposure: Exposure) -> list[Plane]:
        planes = super()._planes(exposure)
        if self._pairs is None or not self.layout.whole_drops or self.layout.max_lag > 0:
            return planes
        # Sums over whole drops ride along where they are known; the kernels expect the first one in front.
        of_drops, squares = self._pairs[0], self._pairs[1]
        squared = Plane(None, squares, squared=Squared.VALUES, is_sum=True)
        return [Plane(None, of_drops, is_sum=True), *planes, squared]

    def _pass(self, exposure: Exposure, planes: list[Plane], only_variances: bool) -> None:
        record = self._exposure_record(exposure, planes, in_memory)
        mosaic = self._mosaic_record(exposure, only_variances)
        if self._pairs is not None:
            pairs = self._pairs_record(exposure, in_memory)
            mosaic["pairs"] = pairs.ctypes.data
        with phases(_cpu.PHASES) as seconds:
            _cpu.add(record.ctypes.data, mosaic.ctypes.data, thread_count(), seconds, self._done)
        self._tell_of_passed_over(int(self._flat_drops[0]), exposure.name)

    def _merge(self, other: Accumulators, window: Box, first: int, count: int) -> None:
        if isinstance(other, CPUAccumulators):
            contents = other.contents(window)
        else:
            contents = self._as_here(other.contents_on_host(window), np.asarray)
        if "pairs" in contents[0]:
            self._reach_lag(other.layout.max_lag)
        record = self._merge_record(contents, window, first, count)
        _cpu.merge(record.ctypes.data, thread_count(), self._done)

    def weight_map(self, exposure: Exposure) -> np.ndarray:  # noqa: D102
        record = exposure_record(exposure.shape, None, in_memory)
        set_weights(record, exposure, in_memory)
        weights = np.empty(exposure.shape, np.float32)
        _cpu.weight_map(record.ctypes.data, weights, thread_count())
        return weights

    def _taken(self, image: np.ndarray, dtype: np.dtype) -> np.ndarray:
        return np.require(image, dtype, ["C", "ALIGNED", "WRITEABLE"])

    def _fill(self, image: np.ndarray, value: float, window: Box) -> None:
        _cpu.fill_window(image, self._weight, window, value, thread_count())

    def _fill_whole(self, image: np.ndarray, value: float) -> None:
        _cpu.fill(image, self._weight, self.touched, _has_own_pages(image), value, thread_count())

    def noise_factor(self) -> np.ndarray:  # noqa: D102
        record, (image, own) = self._finished_pairs(), self._new_image()
        _cpu.noise_factor(record.ctypes.data, self._weight, self.touched, own, image, thread_count())
        return image

    def _new_image(self) -> tuple[np.ndarray, bool]:
        image = _zeros(self.layout.shape, np.float32, "MADV_HUGEPAGE")  # all that is not shared is written to
        return image, _has_own_pages(image)

    def finish_covariances(self) -> np.ndarray:  # noqa: D102
        record, pairs = self._finished_pairs(), self._pairs
        assert pairs is not None
        _cpu.covariances(record.ctypes.data, self._weight, self.touched, _has_own_pages(pairs), thread_count())
        self._pairs = None
        return pairs[self.layout.whole_drops :]

    def finish_variances(self, scaling: float) -> dict[str, np.ndarray]:  # noqa: D102
        def finish(variance: np.ndarray, weight: np.ndarray) -> np.ndarray:
            own = _has_own_pages(variance)
            _cpu.finish_variance(variance, weight, self.touched, own, scaling, thread_count())
            return variance

        return self._finished(finish)

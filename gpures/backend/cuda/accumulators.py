"""CUDA backend: the kernels of ``kernels/cuda`` over arrays that live on a GPU.

An exposure's arrays go up through pinned buffers on a stream of their own (`gpures.backend.cuda.upload`), while the
exposure before is still splatted; `add` returns when the host's arrays have been read. Nothing comes down before
somebody looks at an image.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from gpures import _cpu
from gpures.arguments.arrays import aligned, on_device
from gpures.backend.base import BITS_PER_PLANE, Accumulators, Contents, MosaicLayout, Part
from gpures.backend.cuda.bad_pixels import BadPixels
from gpures.backend.cuda.device import explained, import_cupy, memory_info, select
from gpures.backend.cuda.download import download
from gpures.backend.cuda.kernels import BLOCK_OF_SPLAT, Program
from gpures.backend.cuda.over_pixels import of_type
from gpures.backend.cuda.pieces import Carried
from gpures.backend.cuda.upload import Uploader
from gpures.backend.planes import Plane, PlaneAccumulators
from gpures.box import Box
from gpures.exposure.exposure import WEIGHTS, Exposure
from gpures.exposure.pixmap import exposure_record
from gpures.exposure.records import set_weights
from gpures.exposure.structs import BITS, LANCZOS_ORDER, SCALING, WINDOW, in_memory, lanczos_table, view
from gpures.reporting.timing import stage

__all__ = ["CUDAAccumulators"]

GIB = 2.0**30

# Threads of a block of the kernels of mosaic.cu; the grid of those that walk over a whole image.
THREADS = 256
MOST_BLOCKS = 4096

# Rows that a grid can have.
MOST_ROWS = 65535

# Passes over an exposure, as kernels/cuda/sums.h has them: where sums depend on the order, and where they must not.
# Contributions to an output pixel are counted in 32 bits there.
MOST_COUNTED = 1 << 32
SUMMING = {False: ("added",), True: ("measured", "counted")}


class CUDAAccumulators(PlaneAccumulators):
    """Accumulators on a GPU.

    Parameters
    ----------
    frame : MosaicLayout
        What is accumulated.
    device : int, str or None
        The GPU, as `gpures.backend.cuda.device.select` takes it.
    to_host : bool
        Whether images are numpy arrays; else they are CuPy arrays and stay where they are.

    Raises
    ------
    DeviceError
        The device can't be used.
    MemoryError
        The accumulators need more memory than is free on it.
    ValueError
        What is accumulated can't be deterministic there.
    """

    backend = "cuda"
    takes_device_arrays = True

    def __init__(self, frame: MosaicLayout, device: Any = None, to_host: bool = True):
        frame.check_for_gpu()
        self._number = select(device)
        self._cupy = import_cupy()
        self._to_host = to_host
        self._sums: Any = None
        self._timed: Any = None
        with self._current("beginning a mosaic", accumulating=False):
            _check_device_memory(self._cupy, frame, self._number)
            self._program = Program.of_device(self._cupy, self._number)
            self._stream = self._program.take_stream()
            # Its share of the pool may hold images of the mosaic before, which the caller has let go but still reads.
            self._follow(self._cupy.cuda.get_current_stream())
            # Compiled now, so that what is wrong with the compiler is found before the first exposure.
            variances = 0 if frame.variances_apart else len(frame.variance_names)
            planes = 1 + frame.has_err + len(frame.extra_names) + variances
            squared = frame.has_err + variances if frame.propagates else 0
            for summing in SUMMING[frame.deterministic]:
                self._program.splat(frame.kernel, planes, squared, summing=summing, single=self._is_single(frame))
            self._program.whole("fold_counted_f4" if frame.deterministic else "fold_f4", frame.deterministic)
            if frame.noise_names:
                self._program.pairs(frame.kernel)
            self._uploader = Uploader(self._cupy, self._stream)
            with self._stream:
                super().__init__(frame)

    def close(self) -> None:
        """Give memory back to CuPy's pool, and the stream, whose share of the pool the next mosaic takes over."""
        stream, self._stream = getattr(self, "_stream", None), None
        if stream is None:
            return
        try:
            with self._current("ending a mosaic"):
                stream.synchronize()
            self._program.give_stream(stream)
        finally:
            self.__dict__ |= dict.fromkeys(
                (
                    *("_data", "_weight", "_beyond", "_err", "_dq", "_context", "_time", "_pairs"),
                    *("_sums", "_timed", "_flat_drops", "_uploader"),
                )
            )
            self._variances, self._propagated, self._extras, self._squared = {}, {}, {}, []

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # as when the interpreter ends, or the device has failed
            self.close()

    # ---- the device --------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _current(self, doing: str, accumulating: bool = True) -> Iterator[None]:
        """Make the device the current one for a while; the caller's comes back in the end."""
        with explained(doing, accumulating), self._cupy.cuda.Device(self._number):
            yield

    @contextlib.contextmanager
    def context(self) -> Iterator[None]:  # noqa: D102
        # What the caller's stream does with an image ends before the next exposure is folded into it.
        with self._current("working on an image"):
            yield
            self._follow(self._cupy.cuda.get_current_stream())

    def _follow(self, stream: Any) -> None:
        """Have later work wait for what is on another stream of the current device now."""
        self._stream.wait_event(stream.record())

    def _zeros(self, shape: tuple[int, ...], dtype: DTypeLike) -> Any:
        return self._cupy.zeros(shape, dtype)

    def _address(self, array: Any) -> int:
        return array.data.ptr

    def _copy(self, array: Any) -> Any:
        with self._stream:
            return self._cupy.array(array)

    def _is_set(self, flag: Any) -> bool:
        self._stream.synchronize()
        return bool(flag.get()[0])

    def _show_weights(self, weight: Any) -> None:
        self._over_image("show_weights", weight.size, weight, np.int64(weight.size))

    def _launch(self, kernel: Any, grid: tuple[int, ...], block: tuple[int, ...], *parameters: Any) -> None:
        with self._stream:
            kernel(grid, block, parameters)

    def _over_image(self, name: str, count: int, *parameters: Any) -> None:
        """Launch one of those kernels that walk over an image, whose type is that of the accumulators or float32."""
        blocks = min(-(-count // THREADS), MOST_BLOCKS)
        self._launch(self._whole(name), (blocks,), (THREADS,), *parameters)

    def _whole(self, name: str) -> Any:
        """One of the kernels of ``mosaic.cu``."""
        return self._program.whole(name, self.layout.deterministic)

    @property
    def _type(self) -> str:
        return f"f{self.layout.dtype.itemsize}"

    # ---- one exposure ------------------------------------------------------------------------------------------

    def _pass(self, exposure: Exposure, planes: list[Plane], only_variances: bool) -> None:
        with self._current("adding an exposure"):
            with self._stream:
                mosaic = self._mosaic_record(exposure, only_variances)
            copies, whole = self.copies_of(exposure)
            window = self.window_of(exposure, copies)
            x0, x1, y0, y1 = window
            done = (self.passes + 1, *window)
            if x0 > x1:
                self._done[:] = done
                return
            width, height = x1 - x0 + 1, y1 - y0 + 1
            i0, i1, j0, j1 = exposure.limits
            if self.layout.deterministic:
                _check_count((i1 - i0 + 1) * (j1 - j0 + 1) * len(copies))
            kernel = self.kernel_of(exposure)
            squared = sum(bool(plane.squared) for plane in planes)
            marks_time = bool(mosaic["time"])
            single = self._is_single(self.layout)
            passes, marking, fold = self._kernels(kernel, len(planes), squared, whole, marks_time, single)
            pairs = None if self._pairs is None else self._program.pairs(kernel, whole)
            size = width * height
            marks = -(-size * (len(planes) + 2) // 2) if self.layout.deterministic else 0  # two in the room of a sum
            numbers = size * (len(planes) + 1)
            sums = self._sums_of(-(-numbers // 2) if single else numbers + marks, window)
            timed = self._timed_of(size) if mosaic["time"] else 0
            wait = self._stream.synchronize
            exposure, bad = self._without_flags(exposure)
            arrays = [*exposure.arrays().values(), *exposure.pixmap.arrays().values()]
            if kernel in LANCZOS_ORDER:
                arrays.append(lanczos_table(LANCZOS_ORDER[kernel]))
            if bad is not None:
                arrays.append(bad)
            with contextlib.ExitStack() as there:
                with stage("upload", wait):
                    place = there.enter_context(self._on_device(arrays))
                record = self._exposure_record(exposure, planes, place)
                if exposure.pixmap.formula is not None:
                    centres = self._centres_of(record)
                    record["pixmap"]["full"] = centres.data.ptr
                if bad is not None:
                    address, strides = place(bad)
                    record["dq"], record["bad_bits"] = (address, *strides, BITS, 0), 1
                scaling = np.zeros((), SCALING)
                if single and not self._scale_for_floats(record, scaling):
                    single = False
                    passes, marking, fold = self._kernels(kernel, len(planes), squared, whole, marks_time, single)
                    sums = self._sums_of(numbers, window)
                of_window = sums.data.ptr, size, *window.moved(*self.layout.first), timed
                sums_record = np.array((*of_window, scaling), WINDOW)
                across, up = BLOCK_OF_SPLAT
                grid = (-(-(i1 - i0 + 1) // across), -(-(j1 - j0 + 1) // up))
                self._begun = self.passes + 1
                with stage("splat", wait):
                    for splat, (shift_x, shift_y, _) in itertools.product(passes, copies):
                        record["pixmap"]["shift_x"], record["pixmap"]["shift_y"] = shift_x, shift_y
                        parameters = record, mosaic, sums_record
                        self._launch(splat, grid, BLOCK_OF_SPLAT, *parameters)
                        if splat is not passes[-1]:
                            continue
                        if timed:
                            self._launch(marking, grid, BLOCK_OF_SPLAT, *parameters)
                        if pairs is not None:
                            of_pairs = self._pairs_record(exposure, place)
                            self._launch(pairs, grid, BLOCK_OF_SPLAT, record, mosaic, of_pairs)
                with stage("fold", wait):
                    self._launch(fold, (-(-width // THREADS), min(height, MOST_ROWS)), (THREADS,), *parameters)
                self._done[:] = done

    def _centres_of(self, record: np.ndarray) -> Any:
        """The pixel map of an exposure that has a formula."""
        ny, nx = int(record["ny"]), int(record["nx"])
        with self._stream:
            centres = self._cupy.empty((ny, nx, 2), np.float64)
        self._over_image("full_pixmap", ny * nx, record, centres)
        return centres

    @staticmethod
    def _is_single(frame: MosaicLayout) -> bool:
        """Whether drops and sums may be floats: where sums are whole numbers, or there are pairs, they are doubles."""
        return frame.single and not frame.deterministic and not frame.noise_names

    def _kernels(
        self, kernel: str, planes: int, squared: int, whole: bool, marks_time: bool, single: bool
    ) -> tuple[list[Any], Any, Any]:
        """The splats of a pass, the one that marks where good pixels are, if there is one, and the fold."""
        is_counted = self.layout.deterministic
        how = SUMMING[is_counted]
        passes = [self._program.splat(kernel, planes, squared, whole, summing, single) for summing in how]
        marking = self._program.splat(kernel, 0, 0, whole, how[-1], single) if marks_time else None
        of_sums = "single_" if single else "counted_" if is_counted else ""
        return passes, marking, self._whole(f"fold_{of_sums}{self._type}")

    def _scale_for_floats(self, record: np.ndarray, scaling: np.ndarray) -> bool:
        """Scale an exposure whose drops and sums may be floats, and tell by what; False if it needs doubles."""
        if not _cpu.floats_may_do(record.ctypes.data):
            return False
        x0, x1, y0, y1 = (int(record[name]) for name in ("x0", "x1", "y0", "y1"))
        with self._stream:
            measured = self._cupy.zeros(2 + int(record["planes"]), np.uint32)
            self._over_image("measure_sizes", (x1 - x0 + 1) * (y1 - y0 + 1), record, measured)
            below, *exponents = (int(number) for number in measured.get())
        # As the bits of doubles have them; of nothing they are 0.
        largest, *of_values = (math.ldexp(1.0, n - 1023) if n else 0.0 for n in exponents)
        least = math.ldexp(1.0, 1024 - below) if below else math.inf
        return _cpu.scale_for_floats(record.ctypes.data, least, largest, np.array(of_values), scaling.ctypes.data)

    def _without_flags(self, exposure: Exposure) -> tuple[Exposure, BadPixels | None]:
        """An exposure without its DQ flags, and which pixels are bad, if that is all that the flags are here for."""
        bad_bits = exposure.weight.bad_bits
        if self._dq is not None or exposure.dq is None or on_device(exposure.dq):
            return exposure, None
        view(exposure.dq, exposure.shape, in_memory)  # fails if it has changed its shape
        return replace(exposure, dq=None), BadPixels(exposure.dq, bad_bits) if bad_bits else None

    def carried(self, exposure: Exposure) -> list[Carried]:
        """What of an exposure goes up, each once: not what is on the device.

        Parameters
        ----------
        exposure : Exposure
            As it is added.
        """
        exposure, bad = self._without_flags(exposure)
        arrays = [*exposure.arrays().values(), *exposure.pixmap.arrays().values()]
        distinct = {id(array): _carried(array) for array in arrays if not on_device(array)}
        return [*distinct.values()] + ([] if bad is None else [bad])

    def _reach_lag(self, lag: int) -> None:
        with self._current("making room for covariances"), self._stream:
            super()._reach_lag(lag)

    def _sums_of(self, count: int, window: Box) -> Any:
        """Memory for the sums of one exposure, all zero: those before left it so."""
        if self._sums is None or self._sums.size < count:
            self._sums = None
            try:
                with self._stream:
                    self._sums = self._cupy.zeros(count, np.float64)
            except MemoryError as error:
                free, _ = memory_info(self._cupy)
                x0, x1, y0, y1 = window
                raise MemoryError(
                    f"The sums of an exposure over its {x1 - x0 + 1} x {y1 - y0 + 1} output pixels need "
                    f"{8 * count / GIB:.2f} GiB of memory on device {self._number}, and {free / GIB:.2f} GiB are free. "
                    "Nothing of it was added. Free memory there, or resample fewer variances, or onto a coarser frame."
                ) from error
        return self._sums

    def _timed_of(self, count: int) -> int:
        """Address of one mark for each pixel of a window, none of which is set: those before left it so."""
        if self._timed is None or self._timed.size < count:
            self._timed = None
            with self._stream:
                self._timed = self._cupy.zeros(count, np.uint32)
        return self._address(self._timed)

    @contextlib.contextmanager
    def _on_device(self, arrays: Any) -> Iterator[Any]:
        """Have arrays on the device for a while; gives the function that tells the place of each.

        Host arrays are copied, each once. Those that are on the device are used where they are; the caller's stream and
        this one wait for each other.
        """
        distinct = {id(array): array for array in arrays}
        host = {key: _carried(array) for key, array in distinct.items() if not on_device(array)}
        try:
            addresses = dict(zip(host, self._uploader.upload(list(host.values())), strict=True))
        except MemoryError as error:
            size = sum(array.nbytes for array in host.values())
            free, _ = memory_info(self._cupy)
            raise MemoryError(
                f"The arrays of an exposure need {size / GIB:.2f} GiB of memory on device {self._number}, and "
                f"{free / GIB:.2f} GiB are free. Nothing of it was added. Free memory there, or use backend='cpu'."
            ) from error
        there = {key: self._transferable(array) for key, array in distinct.items() if key not in host}
        callers = {array.device.id: self._callers_stream(array.device.id) for array in there.values()}
        for number, stream in callers.items():
            with self._cupy.cuda.Device(number):
                written = stream.record()
            self._stream.wait_event(written)
        here = {key: self._usable(array) for key, array in there.items()}

        def place(array: Any) -> tuple[int, tuple[int, ...]]:
            key = id(array)
            if key in here:
                return here[key].data.ptr, here[key].strides
            if isinstance(array, BadPixels):
                return addresses[key], array.strides
            if host[key] is not array:  # the same number everywhere
                return addresses[key], (0,) * array.ndim
            strides = [array.dtype.itemsize]
            for n in array.shape[:0:-1]:
                strides.insert(0, strides[0] * n)
            return addresses[key], tuple(strides)

        try:
            yield place
        finally:
            self._uploader.consumed()
            for number, stream in callers.items():
                # The caller may write to its arrays, or free them, on its own stream at once.
                read = self._stream.record()
                with self._cupy.cuda.Device(number):
                    stream.wait_event(read)

    def _callers_stream(self, number: int) -> Any:
        """The caller's current stream on a device."""
        with self._cupy.cuda.Device(number):
            return self._cupy.cuda.get_current_stream()

    def _transferable(self, array: Any) -> Any:
        """A device array as it can go to this device: made so on its own one, by the caller's stream there."""
        if array.device.id == self._number:
            return array
        with self._cupy.cuda.Device(array.device.id):
            return self._cupy.ascontiguousarray(aligned(array))

    def _usable(self, array: Any) -> Any:
        """A device array as the kernels read it: on this device, and aligned."""
        with self._stream:
            array = aligned(array)
            return array if array.device.id == self._number else self._cupy.array(array)

    def weight_map(self, exposure: Exposure) -> np.ndarray:  # noqa: D102
        with self._current("making a weight map"):
            arrays = [array for name, array in exposure.arrays().items() if name in (WEIGHTS, "dq")]
            with self._stream:
                weights = self._cupy.empty(exposure.shape, np.float32)
            with self._on_device(arrays) as place:
                record = exposure_record(exposure.shape, None, place)
                set_weights(record, exposure, place)
                self._over_image("weight_map", weights.size, record, weights)
            self._stream.synchronize()
            return weights.get()

    # ---- merging -----------------------------------------------------------------------------------------------

    def _merge(self, other: Accumulators, window: Box, first: int, count: int) -> None:
        if self._pairs is not None:
            self._reach_lag(other.layout.max_lag)
        with self._current("merging mosaics"), self._or_as_before(window):
            if isinstance(other, CUDAAccumulators):
                contents = self._contents_of(other, window)
            else:
                with self._stream:
                    contents = self._as_here(other.contents_on_host(window), self._cupy.asarray)
            with self._stream:
                record = self._merge_record(contents, window, first, count)
            x0, x1, y0, y1 = window
            self._over_image(f"merge_{self._type}", (x1 - x0 + 1) * (y1 - y0 + 1), record)
            self._stream.synchronize()  # before the other is added to, or copies of it go
            self._done[:] = (self.passes + 1, *window)

    def _contents_of(self, other: CUDAAccumulators, window: Box) -> Contents:
        """What others hold in a part of the frame, in this device's memory."""
        images, variances = other.contents(window)
        if other._number == self._number:
            other._stream.synchronize()  # all of its exposures are in it
            return images, variances

        def here(image: Any) -> Any:
            with other._current("copying a mosaic"), other._stream:
                there = self._cupy.ascontiguousarray(image)  # as it goes from device to device
                other._stream.synchronize()
            with self._stream:
                image = self._cupy.array(there)
                self._stream.synchronize()  # before what is there goes
            return image

        return (
            {name: here(image) for name, image in images.items()},
            {name: (here(v), here(t)) for name, (v, t) in variances.items()},
        )

    def merge_part(self, other: CUDAAccumulators, window: Box) -> None:
        """Have here besides what others hold in a part of the frame, whose exposures have numbers of the same mosaic.

        Parameters
        ----------
        other : CUDAAccumulators
            Of the same frame, with the same planes. They are not changed.
        window : Box
            That part, which is not empty.

        Raises
        ------
        MemoryError
            Nothing was merged.
        """
        self._merge(other, window, 0, 0 if other._context is None else len(other._context) * BITS_PER_PLANE)

    def contents_on_host(self, window: Box) -> Contents:  # noqa: D102
        with self._current("copying a mosaic"), self._stream:
            self._stream.synchronize()
            return super().contents_on_host(window)

    # ---- images ------------------------------------------------------------------------------------------------

    def images(self) -> dict[str, Any]:  # noqa: D102
        with self._current("making the images"):
            images = {name: self._out(image) for name, image in super().images().items()}
            self.tell_of_flat_drops()
            return images

    def _fill_whole(self, image: Any, value: float) -> None:
        self._launch_fill(image, value, Box.whole(self.layout.shape))

    # ---- going back, and copies --------------------------------------------------------------------------------

    def part(self, window: Box) -> Part:  # noqa: D102
        with self._current("copying a mosaic"):
            with self._stream:
                part = super().part(window)
            self._stream.synchronize()  # for who reads it on another stream
        return part

    def put_back(self, part: Part) -> None:  # noqa: D102
        with self._current("going back"), self._stream:
            if self._begun > self.passes:  # what was not folded would go into the next exposure
                self._sums = self._timed = None
            super().put_back(part)
            self._stream.synchronize()  # before the part goes, whose memory may be another stream's to give away

    def _here(self, image: Any) -> Any:
        return self._cupy.asarray(image)

    def _recipe(self) -> tuple:
        return *super()._recipe(), self._number, self._to_host

    # ---- images, and the mosaic before -------------------------------------------------------------------------

    def tell_of_flat_drops(self) -> None:
        """Log how many drops without an area there are more than when this was called last."""
        with self._current("looking at drops"):
            self._stream.synchronize()
            self._tell_of_passed_over(int(self._flat_drops.get()[0]), "the exposures so far")

    def _launch_fill(self, image: Any, value: float, window: Box) -> None:
        x0, x1, y0, y1 = window
        count = (x1 - x0 + 1) * (y1 - y0 + 1)
        record = np.zeros((), WINDOW)
        for name, limit in zip(("x0", "x1", "y0", "y1"), window, strict=True):
            record[name] = limit
        nx = np.int64(self.layout.shape[1])
        self._over_image(f"fill_{self._type}", count, image, self._weight, nx, record, np.float64(value))

    def _fill(self, image: Any, value: float, window: Box) -> None:
        with self._current("filling an image"):
            self._launch_fill(image, value, window)

    def take(self, images: dict[str, Any], next_id: int = 0) -> None:  # noqa: D102
        with self._current("beginning a mosaic", accumulating=False):
            self._follow(self._cupy.cuda.get_current_stream())
            with self._stream:
                super().take(images, next_id)
            self._stream.synchronize()  # until the host's arrays have been read

    def image(self, name: str) -> Any:  # noqa: D102
        with self._current("looking at an image"):
            image = super().image(name)
            self.tell_of_flat_drops()  # and so the stream is waited for, for who looks at it on another one
        return image

    def _taken(self, image: Any, dtype: np.dtype) -> Any:
        if not on_device(image):
            return self._cupy.asarray(np.ascontiguousarray(image, dtype))
        return self._cupy.ascontiguousarray(of_type(self._usable(self._cupy.asarray(image)), dtype))

    def finish_variances(self, scaling: float) -> dict[str, Any]:  # noqa: D102
        def finish(variance: Any, weight: Any) -> Any:
            count = variance.size
            name = f"finish_variance_{self._type}"
            self._over_image(name, count, variance, weight, np.int64(count), np.float64(scaling))
            return self._out(variance)

        with self._current("making the variances"):
            self._sums = self._timed = None
            return self._finished(finish)

    def noise_factor(self) -> Any:  # noqa: D102
        with self._current("making the noise factor"):
            with self._stream:
                image = self._cupy.empty(self.layout.shape, np.float32)
            self._over_pairs("noise_factor", image)
            return self._out(image)

    def finish_covariances(self) -> Any:  # noqa: D102
        with self._current("making covariances"):
            self._over_pairs("covariances")
            pairs, self._pairs = self._pairs, None
            return self._out(pairs)[self.layout.whole_drops :]

    def _over_pairs(self, name: str, *images: Any) -> None:
        ny, nx = self.layout.shape
        record, sides = self._finished_pairs(), (np.int32(nx), np.int32(ny))
        self._over_image(f"{name}_{self._type}", nx * ny, record, self._weight, *sides, *images)

    def error_image(self, variances: list[Any]) -> Any:  # noqa: D102
        if not variances or not all(on_device(variance) for variance in variances):
            return super().error_image(variances)
        cupy = self._cupy
        with self._current("making the error image"):
            arrays = [cupy.ascontiguousarray(of_type(variance, np.float32)) for variance in variances]
            addresses = cupy.asarray(np.array([array.data.ptr for array in arrays], np.uint64))
            error = cupy.empty(self.layout.shape, np.float32)
            self._follow(cupy.cuda.get_current_stream())
            numbers = np.int32(len(arrays)), np.int32(self.layout.propagates)
            self._over_image("error_image", error.size, addresses, *numbers, error, np.int64(error.size))
            self._stream.synchronize()
        return error

    def in_type(self, image: Any, dtype: DTypeLike) -> Any:  # noqa: D102
        return of_type(image, dtype) if on_device(image) else super().in_type(image, dtype)

    def divided(self, image: Any, divisor: float) -> Any:  # noqa: D102
        if not on_device(image) or image.dtype != np.float32:
            return super().divided(image, divisor)
        # As numpy divides, but by way of float64: in float32 CuPy takes subnormal numbers for 0.
        return of_type(of_type(image, np.float64) / float(np.float32(divisor)), np.float32)

    def _out(self, image: Any) -> Any:
        """An image for the caller."""
        self._stream.synchronize()
        if not self._to_host:
            return image
        touched, (ny, nx) = self.touched, self.layout.shape
        corners = [Box(x, x, y, y) for y in (0, ny - 1) for x in (0, nx - 1)]
        beside = [corner for corner in corners if corner.common(touched).is_empty]
        if not beside:
            return self._downloaded(image, np.empty(image.shape, image.dtype))
        # Beside what exposures have touched all pixels are alike: one of them will do.
        like = image[beside[0].slices].get()
        made = np.zeros(image.shape, image.dtype)  # which takes no memory until it is written to
        if not touched.is_empty:
            self._downloaded(image[touched.slices], made[touched.slices])
        if like.tobytes().strip(b"\0"):  # after the threads of the download have come by its memory
            for part in touched.rest((ny, nx)):
                made[part.slices] = like
        return made

    def _downloaded(self, image: Any, into: np.ndarray) -> np.ndarray:
        """An image, in an array of the host."""
        with self._stream:
            image = self._cupy.ascontiguousarray(image)
        download(image, into, self._uploader.buffers, self._stream, self._cupy)
        return into


def _carried(array: Any) -> Any:
    """What of a host array goes up: of one that has the same number everywhere, by its strides, that."""
    if isinstance(array, np.ndarray) and array.ndim == 2 and array.size > 1 and not any(array.strides):
        return array[:1, :1]
    return array


def _check_count(count: int) -> None:
    """Refuse an exposure that may contribute to an output pixel more often than is counted.

    Raises
    ------
    ValueError
        It may.
    """
    if count >= MOST_COUNTED:
        raise ValueError(f"deterministic=True takes exposures of at most {MOST_COUNTED} pixels, got one of {count}.")


def _check_device_memory(cupy: Any, frame: MosaicLayout, number: int) -> None:
    """Refuse a frame whose accumulators would not fit on the current device.

    Raises
    ------
    MemoryError
        They need more than is free.
    """
    free, total = memory_info(cupy)
    if frame.bytes > free:
        raise MemoryError(
            f"An output frame of {frame.shape[1]} x {frame.shape[0]} pixels needs {frame.bytes / GIB:.1f} GiB of "
            f"memory on device {number} with these options, and {free / GIB:.1f} GiB are available there (of "
            f"{total / GIB:.1f}). Use a smaller frame or a larger pixel scale, turn off enable_var or enable_ctx, or "
            "use backend='cpu'."
        )

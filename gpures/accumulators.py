"""What every backend offers: the accumulators of one mosaic.

A backend's accumulators take exposures one by one and give images at any time. What they hold is theirs; `Resample`
sees only the methods below.
"""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gpures import _cpu
from gpures.arguments import check_sides
from gpures.exposure import Exposure
from gpures.records import exposure_record, in_memory, set_drop
from gpures.threads import thread_count

__all__ = ["Accumulators", "Frame"]

log = logging.getLogger(__name__)

BITS_PER_PLANE = 32

FLOAT32 = np.dtype(np.float32)


@dataclass(frozen=True)
class Frame:
    """What is accumulated, and how; fixed for the life of the accumulators.

    Attributes
    ----------
    shape : (int, int)
        Shape (Ny, Nx) of the output frame.
    kernel : str
        Name of the kernel.
    fillval : float or None
        Value of pixels without contribution; None leaves what is there (NaN in a new image).
    variance_names : tuple of str
        Variance arrays.
    context_planes : int
        Planes of the context image to begin with; 0 for none at all.
    has_err, has_dq : bool
        Whether errors are averaged and DQ flags propagated.
    extra_names : tuple of str
        Further arrays that are averaged like the data.
    has_time : bool
        Whether there is a map of the exposure time.
    dtype : dtype
        Type of the accumulated sums, float32 or float64.

    Raises
    ------
    ValueError
        A side is too long to be counted.
    """

    shape: tuple[int, int]
    kernel: str = "square"
    fillval: float | None = 0.0
    variance_names: tuple[str, ...] = ()
    context_planes: int = 1
    has_err: bool = False
    has_dq: bool = False
    dtype: np.dtype = FLOAT32
    extra_names: tuple[str, ...] = ()
    has_time: bool = False

    def __post_init__(self) -> None:
        check_sides(self.shape, "The output frame")

    @property
    def bytes(self) -> int:
        """Memory of the accumulators, and of the error image that is made of them."""
        per_pixel = (2 + self.has_err + self.has_time + len(self.extra_names)) * self.dtype.itemsize
        per_pixel += 2 * len(self.variance_names) * self.dtype.itemsize
        per_pixel += 4 * (self.context_planes + self.has_dq + bool(self.variance_names))
        return per_pixel * self.shape[0] * self.shape[1]


class Accumulators(ABC):
    """Accumulators of one mosaic.

    Attributes
    ----------
    backend : str
        Name of the backend.
    frame : Frame
        What is accumulated.
    touched : (int, int, int, int)
        xmin, xmax, ymin, ymax of the part of the frame that exposures may have contributed to, the last ones included;
        xmin > xmax where there is none.
    window : (int, int, int, int)
        The same of the last exposure alone.
    takes_device_arrays : bool
        Whether an exposure's arrays may lie on a GPU.
    """

    backend: ClassVar[str]
    takes_device_arrays: ClassVar[bool] = False

    def __init__(self, frame: Frame):
        self.frame = frame
        self.touched = self.window = (frame.shape[1], -1, frame.shape[0], -1)

    def _touch(self, part: tuple[int, int, int, int]) -> None:
        self.window = x0, x1, y0, y1 = part
        if x0 <= x1:
            a0, a1, b0, b1 = self.touched
            self.touched = min(a0, x0), max(a1, x1), min(b0, y0), max(b1, y1)

    @abstractmethod
    def add(self, exposure: Exposure) -> None:
        """Add all planes of an exposure; or, where its data are None, its variances alone."""

    @abstractmethod
    def weight_map(self, exposure: Exposure) -> np.ndarray:
        """Weights of an exposure's pixels, (Ny, Nx) float32."""

    @abstractmethod
    def images(self) -> dict[str, np.ndarray]:
        """What there is so far: "data", "wht"; "con", "dq", "err", "exptime_map", further arrays if they are wanted."""

    @abstractmethod
    def take(self, images: dict[str, Any], next_id: int = 0) -> None:
        """Go on with images of a mosaic that was begun before, in place of its own.

        Parameters
        ----------
        images : dict
            Some of "data", "wht", "con", "dq", and under "squared" a list of those averages whose weights are squared.
            A number for a new image full of it. Contiguous arrays of the right types, in its memory, are used in place.
        next_id : int, optional
            Number in the context image of the exposure that comes next.
        """

    @abstractmethod
    def image(self, name: str) -> Any:
        """One of those images, or the list "squared", as it is: what is accumulated in, without a fill value."""

    @abstractmethod
    def fill(self, name: str, value: float, window: tuple[int, int, int, int]) -> None:
        """Set the pixels without weight of an image, or of those under "squared", in a part of the frame."""

    @abstractmethod
    def finish_variances(self, scaling: float) -> dict[str, np.ndarray]:
        """Variance images times `scaling`; called once, after the last exposure."""

    def misses(self, exposure: Exposure) -> tuple[int, int]:
        """How many of an exposure's pixels fall beside the frame, and how many of its rows do so altogether."""
        record = exposure_record(exposure.shape, exposure.pixmap, in_memory)
        set_drop(record, exposure, self.kernel_of(exposure), in_memory)
        ny, nx = self.frame.shape
        return _cpu.misses(record.ctypes.data, nx, ny, thread_count())

    def kernel_of(self, exposure: Exposure) -> str:
        """Name of an exposure's kernel."""
        return exposure.kernel or self.frame.kernel

    def error_image(self, variances: list) -> np.ndarray:
        """Root of the sum of those variance images that are not NaN; NaN where all are."""
        error = np.empty(self.frame.shape, np.float32)
        arrays = [np.ascontiguousarray(variance, dtype=np.float32) for variance in variances]
        _cpu.error_from_variances(arrays, error, self.touched, thread_count())
        return error

    def close(self) -> None:  # noqa: B027  (most have nothing to do)
        """Give up what is held on a device; nothing can be added afterwards."""

    def context(self) -> AbstractContextManager:
        """What arithmetic on its images needs: the current device, where that matters."""
        return nullcontext()


def check_memory(frame: Frame) -> None:
    """Refuse a frame whose accumulators would not fit in memory.

    Raises
    ------
    MemoryError
        They need more than is available.
    """
    available = available_memory()
    if available is not None and frame.bytes > available:
        raise MemoryError(
            f"An output frame of {frame.shape[1]} x {frame.shape[0]} pixels needs {frame.bytes / 2**30:.1f} GiB of "
            f"memory with these options, and {available / 2**30:.1f} GiB are available. Use a smaller frame or a "
            "larger pixel scale, or turn off enable_var or enable_ctx."
        )


def available_memory() -> int | None:
    """Bytes of memory that can be had without swapping; None where the system does not say."""
    try:
        with open("/proc/meminfo") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None

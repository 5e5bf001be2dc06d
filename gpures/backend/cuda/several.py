"""Several GPUs in one process: each has accumulators of its own, and what they hold is brought together at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np

from gpures.arguments.arrays import on_device
from gpures.backend.base import Accumulators, Contents, MosaicLayout, Part
from gpures.backend.cuda.accumulators import CUDAAccumulators
from gpures.box import Box
from gpures.exposure.exposure import Exposure

__all__ = ["SeveralAccumulators"]

# Bytes of accumulators that go from one device to another at a time.
AT_ONCE = 1 << 28

ZERO = np.zeros((), np.uint8)  # as any type holds it


class SeveralAccumulators(Accumulators):
    """Accumulators on several GPUs.

    Exposures are dealt to them, and none waits for another. When somebody looks, the first one gets what the others
    hold, part by part, and they are empty: so what all of them hold together is the mosaic at any time.

    Parameters
    ----------
    frame : MosaicLayout
        What is accumulated.
    devices : sequence of int
        Numbers of the GPUs, the first of which gets the images.
    to_host : bool
        Whether images are numpy arrays; else they are CuPy arrays on the first GPU.

    Raises
    ------
    DeviceError
        One of them can't be used.
    MemoryError
        The accumulators, which each of them has for the whole frame, need more memory than is free on one of them.
    """

    backend = "cuda"
    takes_device_arrays = True

    def __init__(self, frame: MosaicLayout, devices: Sequence[int], to_host: bool = True):
        super().__init__(frame)
        self._devices, self._to_host = tuple(devices), to_host
        self._work = [0] * len(devices)  # that each of them has got
        self._is_moving = False
        with ExitStack() as made:
            self._each = [made.enter_context(closing(CUDAAccumulators(frame, n, to_host))) for n in self._devices]
            made.pop_all()
        self._first, *self._others = self._each

    def close(self) -> None:  # noqa: D102
        with ExitStack() as all_of_them:  # whatever one of them raises
            for each in self._each:
                all_of_them.callback(each.close)

    def context(self) -> AbstractContextManager:  # noqa: D102
        return self._first.context()

    # ---- what is in it -----------------------------------------------------------------------------------------

    @property
    def passes(self) -> int:  # noqa: D102
        return int(self._done[0]) + sum(each.passes for each in self._each)

    @property
    def touched(self) -> Box:  # noqa: D102
        return reduce(Box.united, [each.touched for each in self._each])

    @property
    def changed(self) -> list[Box]:  # noqa: D102
        return [box for each in self._each for box in each.changed]

    def begin_changes(self) -> None:  # noqa: D102
        for each in self._each:
            each.begin_changes()

    def is_whole(self) -> bool:  # noqa: D102
        return super().is_whole() and not self._is_moving and all(each.is_whole() for each in self._each)

    # ---- adding ------------------------------------------------------------------------------------------------

    def _add(self, exposure: Exposure) -> None:
        number = self._for(exposure)
        self._each[number].add(exposure)
        self._done[1:] = self._each[number].window
        self._work[number] += _work_of(exposure)

    def _for(self, exposure: Exposure) -> int:
        """Which of them takes an exposure: the one that its arrays lie on, else the one with the least work so far."""
        for array in exposure.arrays().values():
            if on_device(array) and array.device.id in self._devices:
                return self._devices.index(array.device.id)
        return self._work.index(min(self._work))

    def weight_map(self, exposure: Exposure) -> np.ndarray:  # noqa: D102
        return self._each[self._for(exposure)].weight_map(exposure)

    # ---- bringing together -------------------------------------------------------------------------------------

    def _gathered(self) -> CUDAAccumulators:
        """The first of them, once it has what the others held."""
        for other in self._others:
            window = other.touched
            for band, rest in _bands(window, AT_ONCE * self.layout.shape[0] // self.layout.bytes):
                self._move(other, band, rest)
            if window.xmin <= window.xmax:
                other.tell_of_flat_drops()
        return self._first

    def _move(self, other: CUDAAccumulators, band: Box, rest: Box) -> None:
        """Have the first of them get what another one holds in a part of the frame, which has more in the rest."""
        passes = self._first.passes
        self._is_moving = True  # if this is interrupted between the two, all is lost
        try:
            self._first.merge_part(other, band)
        except BaseException:
            self._is_moving = self._first.passes > passes
            raise
        # One pass more there, and one less here.
        other.put_back(_nothing(other, band, other.passes - 1, rest))
        self._is_moving = False

    def _merge(self, other: Accumulators, window: Box, first: int, count: int) -> None:
        self._first.merge(other._gathered() if isinstance(other, SeveralAccumulators) else other, first, count)

    def contents(self, window: Box) -> Contents:  # noqa: D102
        return self._gathered().contents(window)

    def contents_on_host(self, window: Box) -> Contents:  # noqa: D102
        return self._gathered().contents_on_host(window)

    # ---- going back, and copies --------------------------------------------------------------------------------

    def part(self, window: Box) -> Part:  # noqa: D102
        part = self._gathered().part(window)
        return replace(part, done=np.array((self.passes, *self.window), np.int64))

    def put_back(self, part: Part) -> None:  # noqa: D102
        self._is_broken = True  # if this is interrupted, all is lost
        for other in self._others:  # which held nothing then
            window = other.touched.united(part.window)
            other.put_back(_nothing(other, window, 0, Box.nothing(self.layout.shape)))
        self._first.put_back(part)
        self._done[:] = (0, *part.done[1:])
        self._is_broken = False

    def take_over(self, part: Part) -> None:  # noqa: D102
        self._first.take_over(part)
        self._done[:] = (0, *part.done[1:])

    def _recipe(self) -> tuple:
        return self._gathered()._recipe()[0], self._devices, self._to_host

    # ---- images ------------------------------------------------------------------------------------------------

    def images(self) -> dict[str, Any]:  # noqa: D102
        first = self._gathered()
        first.fillval = self.fillval
        return first.images()

    def take(self, images: dict[str, Any], next_id: int = 0) -> None:  # noqa: D102
        self._gathered().take(images, next_id)
        # The others begin with the same planes; they have their own of the context image.
        given = {name: image for name, image in images.items() if name != "con" or image is None}
        empty: dict[str, Any] = {name: None if image is None else 0 for name, image in given.items()}
        if "squared" in images:
            empty["squared"] = [0] * len(images["squared"])
        for other in self._others:
            other.take(empty, next_id)
        self.layout = self._first.layout

    def _places(self, images: Any, variances: Any) -> dict[str, Any]:
        return self._first._places(images, variances)

    def variance_weights(self) -> dict[str, Any]:  # noqa: D102
        return self._gathered().variance_weights()

    def image(self, name: str) -> Any:  # noqa: D102
        return self._gathered().image(name)

    def fill(self, name: str, value: float, window: Box) -> None:  # noqa: D102
        self._gathered().fill(name, value, window)

    def finish_variances(self, scaling: float) -> dict[str, Any]:  # noqa: D102
        return self._gathered().finish_variances(scaling)

    def noise_factor(self) -> Any:  # noqa: D102
        return self._gathered().noise_factor()

    def finish_covariances(self) -> Any:  # noqa: D102
        covariances = self._gathered().finish_covariances()
        self.layout = self._first.layout
        return covariances

    def error_image(self, variances: list[Any]) -> Any:  # noqa: D102
        return self._first.error_image(variances)


def _work_of(exposure: Exposure) -> int:
    """Work that an exposure is, in pixels that are read."""
    x0, x1, y0, y1 = exposure.limits
    return (x1 - x0 + 1) * (y1 - y0 + 1) * len(exposure.arrays())


def _bands(window: Box, rows: int) -> Iterator[tuple[Box, Box]]:
    """Parts of a window of so many rows, at least one, and what comes after each."""
    x0, x1, y0, y1 = window
    rows = max(rows, 1)
    for y in range(y0, y1 + 1, rows):
        last = min(y + rows - 1, y1)
        yield Box(x0, x1, y, last), Box(x0, x1, last + 1, y1) if last < y1 else Box(x1 + 1, x0 - 1, y1 + 1, y0 - 1)


def _nothing(accumulators: CUDAAccumulators, window: Box, passes: int, touched: Box) -> Part:
    """A part of the frame with nothing in it, where so many passes are complete, and have touched what they have."""
    done = np.array((passes, *Box.nothing(accumulators.layout.shape)), np.int64)
    return Part(window, dict.fromkeys(accumulators._held(), ZERO), done, touched)

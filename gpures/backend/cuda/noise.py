"""Mosaics of noise that is made of a counter, on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpures.backend.cuda.operator import CUDAOperator
from gpures.backend.cuda.over_pixels import device_of

__all__ = ["CUDANoise"]


class CUDANoise:
    """Sums on a GPU, as `gpures.backend.noise.CPUNoise` has them.

    Parameters
    ----------
    shape : (int, int)
        Shape (Ny, Nx) of the frame.
    device : int
        Number of the GPU.
    """

    def __init__(self, shape: tuple[int, int], device: int):
        self._number = device
        with self._device("making room for noise") as on:
            self.weights, self._sums = (on.cupy.zeros(shape, np.float64) for _ in range(2))

    def _device(self, what: str) -> Any:
        return device_of(self._number, what, "rows.cu")

    def here(self, sigma: np.ndarray) -> Any:  # noqa: D102
        with self._device("sending standard deviations") as on:
            return on.array(sigma, np.float64)

    def weigh(self, operator: CUDAOperator) -> None:  # noqa: D102
        operator.add_products(None, self.weights)

    def add(self, operator: CUDAOperator, sigma: Any, seed: int, realization: int, exposure: int) -> None:  # noqa: D102
        operator.add_products(self.noise(sigma, seed, realization, exposure), self._sums)

    def noise(self, sigma: Any, seed: int, realization: int, exposure: int) -> Any:  # noqa: D102
        with self._device("making noise") as on:
            noise = on.cupy.empty(sigma.shape, np.float64)
            numbers = np.uint64(seed), np.uint32(realization), np.uint32(exposure), np.int64(sigma.size)
            on.call("make_noise", -(-sigma.size // 2), *numbers, sigma, noise)
        return noise

    def take(self, empty: float) -> Any:  # noqa: D102
        with self._device("making a mosaic of noise") as on:
            image = on.cupy.empty(self._sums.shape, np.float32)
            numbers = np.int64(image.size), np.float64(empty)
            on.call("take_means", image.size, self._sums, self.weights, image, *numbers)
            return image

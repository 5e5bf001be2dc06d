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
            self.weights = on.cupy.zeros(shape, np.float64)

    def _device(self, what: str) -> Any:
        return device_of(self._number, what, "rows.cu")

    def sums(self) -> Any:  # noqa: D102
        with self._device("making room for noise") as on:
            return on.cupy.zeros(self.weights.shape, np.float64)

    def here(self, sigma: np.ndarray) -> Any:  # noqa: D102
        with self._device("sending standard deviations") as on:
            return on.array(sigma, np.float64)

    def weigh(self, operator: CUDAOperator) -> None:  # noqa: D102
        operator.add_products(None, self.weights)

    def add(  # noqa: D102
        self, sums: Any, operator: CUDAOperator, sigma: Any, seed: int, realization: int, exposure: int
    ) -> None:
        operator.add_products(self.noise(sigma, seed, realization, exposure), sums)

    def noise(self, sigma: Any, seed: int, realization: int, exposure: int) -> Any:  # noqa: D102
        with self._device("making noise") as on:
            noise = on.cupy.empty(sigma.shape, np.float64)
            numbers = np.uint64(seed), np.uint32(realization), np.uint32(exposure), np.int64(sigma.size)
            on.call("make_noise", -(-sigma.size // 2), *numbers, sigma, noise)
        return noise

    def mean(self, sums: Any, empty: float) -> Any:  # noqa: D102
        with self._device("making a mosaic of noise") as on:
            image = on.cupy.empty(sums.shape, np.float32)
            numbers = np.int64(image.size), np.float64(empty)
            on.call("take_means", image.size, sums, self.weights, image, *numbers)
            return image

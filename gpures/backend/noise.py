"""Mosaics of noise that is made of a counter, on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpures import _cpu
from gpures.backend.operator import CPUOperator
from gpures.machine.threads import thread_count

__all__ = ["CPUNoise"]


class CPUNoise:
    """A frame, to whose sums noise of exposures is drizzled.

    Parameters
    ----------
    shape : (int, int)
        Shape (Ny, Nx) of the frame.
    device : None
        None.

    Attributes
    ----------
    weights : ndarray of float64 (Ny, Nx)
        Sums of the weights of all exposures.
    """

    def __init__(self, shape: tuple[int, int], device: Any = None):
        self.weights = np.zeros(shape)

    def sums(self) -> np.ndarray:
        """Sums of the frame's pixels (Ny, Nx), to which nothing has been added: of one realization alone."""
        return np.zeros_like(self.weights)

    def here(self, sigma: np.ndarray) -> np.ndarray:
        """An image (Ny, Nx) of standard deviations, as `add` takes it."""
        return np.ascontiguousarray(sigma, np.float64)

    def weigh(self, operator: CPUOperator) -> None:
        """Count the weights of an exposure."""
        operator.add_products(None, self.weights)

    def add(
        self, sums: np.ndarray, operator: CPUOperator, sigma: np.ndarray, seed: int, realization: int, exposure: int
    ) -> None:
        """Drizzle the noise of an exposure.

        Parameters
        ----------
        sums : ndarray of float64 (Ny, Nx)
            What it is added to.
        operator : CPUOperator
            The exposure's.
        sigma : ndarray of float64 (Ny, Nx)
            Standard deviations of its pixels.
        seed, realization, exposure : int
            What the noise is a function of, beside the pixel.
        """
        operator.add_products(self.noise(sigma, seed, realization, exposure), sums)

    def noise(self, sigma: np.ndarray, seed: int, realization: int, exposure: int) -> np.ndarray:
        """That noise itself (Ny, Nx)."""
        noise = np.empty_like(sigma)
        _cpu.make_noise(seed, realization, exposure, sigma, noise, thread_count())
        return noise

    def mean(self, sums: np.ndarray, empty: float) -> np.ndarray:
        """The mean of what was added, float32; pixels without weight have a given value."""
        image = np.full_like(sums, empty)
        np.divide(sums, self.weights, out=image, where=self.weights != 0)
        with np.errstate(over="ignore"):  # an infinity is what float32 has for it
            return image.astype(np.float32)

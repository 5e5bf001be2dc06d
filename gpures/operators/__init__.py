"""Drizzling as a linear operator, and what is simulated with it."""

from gpures.operators.noise import NoiseRealizations, noise_realizations
from gpures.operators.operator import drizzle_operator

__all__ = ["NoiseRealizations", "drizzle_operator", "noise_realizations"]

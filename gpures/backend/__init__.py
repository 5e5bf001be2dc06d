"""Accumulators of a mosaic, on a CPU, a GPU, or the drizzle package, and the choice among them."""

from gpures.backend.base import Accumulators, Frame, IncompleteError
from gpures.backend.choice import BACKENDS, checked_backend, make_accumulators, why_unavailable

__all__ = [
    "BACKENDS",
    "Accumulators",
    "Frame",
    "IncompleteError",
    "checked_backend",
    "make_accumulators",
    "why_unavailable",
]

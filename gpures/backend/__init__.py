"""Accumulators of a mosaic, on a CPU, a GPU, or the drizzle package, and the choice among them."""

from gpures.backend.base import Accumulators, MosaicLayout
from gpures.backend.choice import BACKENDS, checked_backend, make_accumulators, why_unavailable
from gpures.errors import IncompleteError

__all__ = [
    "BACKENDS",
    "Accumulators",
    "IncompleteError",
    "MosaicLayout",
    "checked_backend",
    "make_accumulators",
    "why_unavailable",
]

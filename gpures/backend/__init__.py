"""Accumulators of a mosaic, on a CPU, a GPU, or the drizzle package, and the choice among them."""

from gpures.arguments.values import BACKENDS, checked_backend
from gpures.backend.base import Accumulators, MosaicLayout
from gpures.backend.choice import make_accumulators, why_unavailable
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

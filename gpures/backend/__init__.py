"""The choice of a backend."""

from __future__ import annotations

import os

from gpures.accumulators import Accumulators, Frame

__all__ = ["BACKENDS", "make_accumulators", "resolve"]

BACKENDS = ("auto", "cpu", "drizzle")


def resolve(backend: str) -> str:
    """Name of the backend to use: "auto" is ``GPURES_BACKEND`` if that is set, else the best there is.

    Raises
    ------
    ValueError
        The name, or the variable's, is not one of ``BACKENDS``.
    """
    name, source = backend, "'backend'"
    if backend == "auto" and os.environ.get("GPURES_BACKEND"):
        name, source = os.environ["GPURES_BACKEND"], "GPURES_BACKEND"
    if name not in BACKENDS:
        raise ValueError(f"{source} must be one of {BACKENDS}, got {name!r}.")
    return "cpu" if name == "auto" else name


def make_accumulators(backend: str, frame: Frame) -> Accumulators:
    """Accumulators of a frame on a backend, by its name as `resolve` gives it."""
    match backend:
        case "cpu":
            from gpures.backend.cpu import CPUAccumulators

            return CPUAccumulators(frame)
        case "drizzle":
            from gpures.backend.drizzle import DrizzleAccumulators

            return DrizzleAccumulators(frame)
    raise ValueError(f"There is no backend {backend!r}.")

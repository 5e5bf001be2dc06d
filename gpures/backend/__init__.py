"""The choice of a backend."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

from gpures.accumulators import Accumulators, Frame, check_memory
from gpures.arrays import got
from gpures.cuda.device import DeviceError

__all__ = ["BACKENDS", "checked_backend", "make_accumulators"]

log = logging.getLogger(__name__)

_told: set[str] = set()  # reasons for not using a GPU that were logged

BACKENDS = ("auto", "cuda", "cpu", "drizzle")


def checked_backend(backend: str) -> str:
    """Name of the backend asked for; for "auto" what ``GPURES_BACKEND`` says, if that is set.

    Raises
    ------
    ValueError
        The name, or the variable's, is not one of ``BACKENDS``.
    """
    name, source = backend, "'backend'"
    if isinstance(backend, str) and backend == "auto" and os.environ.get("GPURES_BACKEND"):
        name, source = os.environ["GPURES_BACKEND"], "GPURES_BACKEND"
    if not isinstance(name, str) or name not in BACKENDS:
        raise ValueError(f"{source} must be one of {BACKENDS}, got {got(name)}.")
    return name


def make_accumulators(backend: str, frame: Frame, device: Any = None, to_host: bool = True) -> Accumulators:
    """Accumulators of a frame.

    Parameters
    ----------
    backend : str
        As `checked_backend` gives it. "auto" is the GPU where one can be used, else the CPU; why not is logged.
    frame : Frame
        What is accumulated.
    device, to_host
        As in `gpures.Resample`.

    Raises
    ------
    DeviceError, MemoryError, ImportError
        The backend asked for can't be used, or has not the memory.
    """
    match backend:
        case "auto":
            try:
                return make_accumulators("cuda", frame, device, to_host)
            except (DeviceError, MemoryError) as error:
                # Who has CuPy expects a GPU to be used, and wants to be told why not, once.
                surprising = "cupy" in sys.modules and str(error) not in _told
                _told.add(str(error))
                log.log(logging.WARNING if surprising else logging.INFO, "Resampling on the CPU. %s", error)
            return make_accumulators("cpu", frame)
        case "cuda":
            from gpures.backend.cuda import CUDAAccumulators

            return CUDAAccumulators(frame, device, to_host)
        case "cpu":
            from gpures.backend.cpu import CPUAccumulators

            check_memory(frame)
            return CPUAccumulators(frame)
        case "drizzle":
            from gpures.backend.drizzle import DrizzleAccumulators

            check_memory(frame)
            return DrizzleAccumulators(frame)
    raise ValueError(f"There is no backend {backend!r}.")

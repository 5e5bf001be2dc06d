"""The choice of a backend."""

from __future__ import annotations

import logging
import sys
from typing import Any

import numpy as np

from gpures.backend.base import Accumulators, MosaicLayout, check_memory
from gpures.errors import DeviceError
from gpures.machine.threads import thread_count

__all__ = ["blot", "in_one_line", "make_accumulators", "why_unavailable"]

log = logging.getLogger(__name__)

_told: set[str] = set()  # reasons for not using a GPU that were logged


def make_accumulators(backend: str, frame: MosaicLayout, device: Any = None, to_host: bool = True) -> Accumulators:
    """Accumulators of a frame.

    Parameters
    ----------
    backend : str
        As `checked_backend` gives it. "auto" is the GPU where one can be used, else the CPU; why not is logged.
    frame : MosaicLayout
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
            from gpures.backend.cuda.accumulators import CUDAAccumulators
            from gpures.backend.cuda.device import selected
            from gpures.backend.cuda.several import SeveralAccumulators

            numbers = selected(device)
            if len(numbers) > 1:
                return SeveralAccumulators(frame, numbers, to_host)
            return CUDAAccumulators(frame, numbers[0], to_host)
        case "cpu":
            from gpures.backend.cpu import CPUAccumulators

            check_memory(frame)
            return CPUAccumulators(frame)
        case "drizzle":
            from gpures.backend.reference import DrizzleAccumulators

            if frame.frame is not None:
                raise ValueError(
                    "backend 'drizzle' accumulates whole frames alone, as the package loses contributions at borders."
                )
            check_memory(frame)
            return DrizzleAccumulators(frame)
    raise ValueError(f"There is no backend {backend!r}.")


def why_unavailable(backend: str, device: Any = None) -> str | None:
    """Why a backend can't be used here; None if it can.

    Parameters
    ----------
    backend : {"cuda", "cpu", "drizzle"}
        Its name.
    device : int, str or tuple of int, optional
        The GPU, or several, as `gpures.exposure.options.Options` has them; by default the current one.
    """
    try:
        thread_count()  # may be set to nonsense, which all of them refuse
        make_accumulators(backend, MosaicLayout((2, 2)), device).close()
    except DeviceError as error:
        return str(error)
    except Exception as error:
        return in_one_line(error)
    return None


def in_one_line(error: Exception) -> str:
    """An error in one line, with what caused it."""
    words = str(error) if isinstance(error, (ImportError, ValueError)) else f"{type(error).__name__}: {error}"
    if error.__cause__ is not None:
        words = f"{words} ({error.__cause__})"
    return " ".join(words.split())


def blot(backend: str, record: np.ndarray, data: Any, pixmap: Any, out_img: Any, device: Any, to_host: bool) -> Any:
    """Interpolate an image.

    Parameters
    ----------
    backend : {"cuda", "cpu", "drizzle"}
        Who does it.
    record : ndarray of BLOT
        All but the arrays.
    data, pixmap, out_img, device, to_host
        As in `gpures.blot_image`.

    Returns
    -------
    ndarray
        The output.
    """
    if backend == "cuda":
        from gpures.backend.cuda.blot import blot_on_device

        return blot_on_device(record, data, pixmap, out_img, device, to_host)
    from gpures.backend.blot import blot_by_reference, blot_on_cpu

    shape = int(record["out_ny"]), int(record["out_nx"])
    made = np.empty(shape, np.float32) if out_img is None else np.require(out_img, np.float32, ["C", "A"])
    (blot_by_reference if backend == "drizzle" else blot_on_cpu)(record, data, pixmap, made)
    if out_img is None or np.may_share_memory(made, out_img):
        return made if out_img is None else out_img
    out_img[...] = made
    return out_img

"""Interpolation of an image: what a BLOT is told of its arrays, and who interpolates in the host's memory."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from gpures import _cpu
from gpures.exposure.structs import INTERPOLATIONS, LANCZOS_ORDER, in_memory, lanczos_table
from gpures.machine.threads import thread_count
from gpures.originals import original

__all__ = ["OLDER_NAMES", "blot_by_reference", "blot_on_cpu", "factors_of", "set_arrays", "type_of"]

# Names of drizzle 2.2 for what 3.0 has under others.
OLDER_NAMES = {"lan3": "lanczos3", "lan5": "lanczos5"}


def type_of(data: Any) -> type:
    """Type in which the kernels read an image: float64 if it has that many digits, else float32."""
    return np.float64 if data.dtype.itemsize > (4 if data.dtype.kind == "f" else 2) else np.float32


def factors_of(interp: str) -> np.ndarray:
    """Table of the factors of an interpolant; a zero for those that have none."""
    return lanczos_table(LANCZOS_ORDER[interp]) if interp in LANCZOS_ORDER else np.zeros(1)


def set_arrays(record: np.ndarray, arrays: tuple, address: Any) -> None:
    """Tell a BLOT where its arrays are: the image, the pixel map, the output and the table of factors.

    Parameters
    ----------
    record : ndarray of `gpures.exposure.structs.BLOT`
        Gets the addresses.
    arrays : tuple of ndarray
        The four, in this order.
    address : callable
        Array to its address, on the machine that blots.
    """
    record["doubles"] = arrays[0].dtype == np.float64
    for name, array in zip(("data", "pixmap", "out", "lanczos"), arrays, strict=True):
        record[name] = address(array)


def blot_on_cpu(record: np.ndarray, data: np.ndarray, pixmap: np.ndarray, made: np.ndarray) -> None:
    """Blot by the kernels on this machine's threads, as a BLOT says.

    Parameters
    ----------
    record : ndarray of `gpures.exposure.structs.BLOT`
        Shapes, scales and the interpolation.
    data : ndarray of float32 or float64 (Ny, Nx)
        Image.
    pixmap : ndarray (My, Mx, 2)
        For each pixel of the output its x and y in the image.
    made : ndarray of float32 (My, Mx)
        Where the output goes.
    """
    data, pixmap = np.require(data, type_of(data), ["C", "A"]), np.require(pixmap, np.float64, ["C", "A"])
    table = factors_of(INTERPOLATIONS[record["interpolation"]])
    set_arrays(record, (data, pixmap, made, table), lambda array: in_memory(array)[0])
    _cpu.blot(record.ctypes.data, thread_count())


def blot_by_reference(record: np.ndarray, data: np.ndarray, pixmap: np.ndarray, made: np.ndarray) -> None:
    """Blot by the drizzle package, as a BLOT says.

    Parameters
    ----------
    record : ndarray of `gpures.exposure.structs.BLOT`
        Shapes, scales and the interpolation.
    data : ndarray of float32 or float64 (Ny, Nx)
        Image.
    pixmap : ndarray (My, Mx, 2)
        For each pixel of the output its x and y in the image.
    made : ndarray of float32 (My, Mx)
        Where the output goes.
    """
    from drizzle.resample import blot_image

    blot = original(blot_image)  # also while another is in its place
    interp = INTERPOLATIONS[record["interpolation"]]
    settings = {"fillval": float(record["fill"]), "iscale": float(record["scale"])}
    if interp == "sinc":
        settings["sinscl"] = float(record["sinc_scale"])
    data, pixmap = data.astype(np.float32, copy=False), np.asarray(pixmap, np.float64)
    names = [interp, *(old for old, new in OLDER_NAMES.items() if new == interp)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for name in names:
            try:
                blot(data, pixmap, out_img=made, interp=name, **settings)
                return
            except Exception as error:
                if name == names[-1] or "Unknown interp" not in str(error):
                    raise

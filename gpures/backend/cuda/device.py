"""CUDA devices: which there are, why one can't be used, and errors that say what to do."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gpures.arguments.values import device_number
from gpures.errors import DeviceError
from gpures.extras import install

__all__ = ["DeviceError", "DeviceInfo", "devices", "explained", "import_cupy", "memory_info", "select", "selected"]

log = logging.getLogger(__name__)

#: Oldest compute capability that the kernels are compiled for: 7.0 (Volta) by CUDA 12, 7.5 (Turing) by CUDA 13.
OLDEST = {12: (7, 0), 13: (7, 5)}

# What to do about an error, by the name that CUDA gives it; {install} is how CuPy is had.
ADVICE = {
    "cudaErrorNoDevice": "No GPU is visible: look at `nvidia-smi`, and at CUDA_VISIBLE_DEVICES.",
    "cudaErrorInsufficientDriver": "The NVIDIA driver is missing, or too old for the CUDA version of the installed "
    "CuPy: update the driver, or {install}.",
    "cudaErrorUnsupportedPtxVersion": "The NVIDIA driver is too old for the installed CuPy: update it, or {install}.",
    "cudaErrorNoKernelImageForDevice": "The GPU is too old, or too new, for the CUDA version of the installed CuPy: "
    "{install}.",
    "cudaErrorInvalidDevice": "There is no GPU of that number: `gpures info` lists them.",
    "cudaErrorDevicesUnavailable": "Another process has the GPU to itself: look at `nvidia-smi`.",
    "cudaErrorSystemDriverMismatch": "The NVIDIA driver was updated without a restart: restart the machine.",
}
ADVICE["CUDA_ERROR_NO_BINARY_FOR_GPU"] = ADVICE["cudaErrorNoKernelImageForDevice"]

COMPILER = "The compiler for the kernels, NVRTC, or CUDA's headers are missing or of another version: {install}."

LOST = (
    "What was accumulated on the device can no longer be trusted: begin again in a new process, with backend='cpu' if "
    "it happens again; CUDA_LAUNCH_BLOCKING=1 shows where."
)


@dataclass(frozen=True)
class DeviceInfo:
    """A CUDA device.

    Attributes
    ----------
    number : int
        As ``device=`` takes it.
    name : str
        As the driver gives it.
    capability : (int, int)
        Compute capability.
    memory, free : int
        Bytes of its memory, in all and free.
    """

    number: int
    name: str
    capability: tuple[int, int]
    memory: int
    free: int


def _install() -> str:
    return f"{install('cuda13')} (drivers from 580 on) or {install('cuda12')} (drivers from 525 on)"


def import_cupy() -> Any:
    """The cupy module.

    Raises
    ------
    DeviceError
        It is not installed, or can't be imported.
    """
    try:
        import cupy
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
            raise DeviceError(f"backend='cuda' needs CuPy: {_install()}.") from error
        raise DeviceError(f"CuPy is installed but can't be imported: {_first_lines(error)}. {_install()}.") from error
    except Exception as error:  # a broken installation may raise anything
        raise DeviceError(f"CuPy is installed but can't be imported: {_first_lines(error)}. {_install()}.") from error
    if not hasattr(cupy, "cuda"):  # an empty folder, left by a CuPy that was removed
        raise DeviceError(f"What is imported as 'cupy' is not CuPy: {cupy!r}. {_install()}.")
    return cupy


@contextlib.contextmanager
def explained(doing: str, accumulating: bool = False) -> Iterator[None]:
    """Turn CUDA's errors into `DeviceError` with what to do about them, and memory errors into `MemoryError`.

    Parameters
    ----------
    doing : str
        What is being done, for the text: "adding an exposure".
    accumulating : bool, optional
        Whether a mosaic is lost with it.
    """
    try:
        yield
    except (DeviceError, MemoryError):
        raise
    except Exception as error:
        text = _explanation(error, accumulating)
        if text is None:
            raise
        raise DeviceError(f"The GPU failed in {doing}: {_first_lines(error)}. {text}") from error


def _explanation(error: Exception, accumulating: bool) -> str | None:
    """What to do about an error; None if it is not one of CUDA's or CuPy's."""
    name = type(error).__name__
    if name in ("CompileException", "NVRTCError") or "nvrtc" in str(error).lower():
        return COMPILER.format(install=_install())
    if name not in ("CUDARuntimeError", "CUDADriverError", "CUDABackendError"):
        return None
    code = re.match(r"\w+", str(error))
    advice = ADVICE.get(code.group() if code else "")
    if advice is not None:
        return advice.format(install=_install())
    return LOST if accumulating else "`gpures info` shows the state of the devices."


def _first_lines(error: Exception, length: int = 300) -> str:
    """An error's text in one line, without the pages that a compiler or a library's banner may add."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= length else text[:length] + " ..."


def select(device: Any = None) -> int:
    """Number of the device to use, once it is known to be usable.

    Parameters
    ----------
    device : int, str, cupy.cuda.Device or None
        Its number, "cuda" or "cuda:1", a device object; None for the caller's current device.

    Raises
    ------
    DeviceError
        It can't be used, or there is no such.
    ValueError
        ``device`` is none of these.
    """
    number = device_number(device)
    cupy = import_cupy()
    with explained("looking for a device"):
        if cupy.cuda.runtime.driverGetVersion() == 0:
            raise DeviceError("There is no NVIDIA driver on this machine, so no GPU can be used.")
        count = cupy.cuda.runtime.getDeviceCount()
        if count == 0:
            raise DeviceError(ADVICE["cudaErrorNoDevice"])
        if number is None:
            number = cupy.cuda.runtime.getDevice()
        if number >= count:
            raise DeviceError(f"'device' is {device!r}, but the highest number of a GPU here is {count - 1}.")
        capability = _capability(cupy, number)
        major = cupy.cuda.runtime.runtimeGetVersion() // 1000
        oldest = OLDEST.get(major, max(OLDEST.values()))
        if capability < oldest:
            raise DeviceError(
                f"Device {number} has the compute capability {_dotted(capability)}, and CUDA {major} compiles for "
                f"{_dotted(oldest)} and later. Use backend='cpu', or another device"
                + (f", or CUDA 12: {install('cuda12')}." if capability >= min(OLDEST.values()) else ".")
            )
    return number


def selected(device: Any = None) -> tuple[int, ...]:
    """Numbers of the devices to use, once they are known to be usable.

    Parameters
    ----------
    device : int, str, tuple of int, cupy.cuda.Device or None
        One, as `select` takes it; numbers of several; "all" for those that can be used.

    Raises
    ------
    DeviceError, ValueError
        As `select`; of "all" where none of them can be used.
    """
    if isinstance(device, tuple):
        return tuple(select(number) for number in device)
    if not (isinstance(device, str) and device == "all"):
        return (select(device),)
    usable = []
    for number in [info.number for info in devices()]:
        try:
            usable.append(select(number))
        except DeviceError as error:
            log.info("A GPU is left out. %s", error)
    return tuple(usable) or (select(None),)  # which says why there is none


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _capability(cupy: Any, number: int) -> tuple[int, int]:
    properties = cupy.cuda.runtime.getDeviceProperties(number)
    return properties["major"], properties["minor"]


def devices() -> list[DeviceInfo]:
    """All CUDA devices that answer, usable or not; none if there is no driver or no CuPy."""
    found: list[DeviceInfo] = []
    try:
        cupy = import_cupy()
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception:
        return found
    for number in range(count):
        with contextlib.suppress(Exception):
            properties = cupy.cuda.runtime.getDeviceProperties(number)
            name = properties["name"].decode() if isinstance(properties["name"], bytes) else properties["name"]
            with cupy.cuda.Device(number):
                free, total = cupy.cuda.runtime.memGetInfo()
            found.append(DeviceInfo(number, name, _capability(cupy, number), total, free))
    return found


def memory_info(cupy: Any) -> tuple[int, int]:
    """Bytes of the current device's memory that can be had, those in CuPy's pool among them; and of all of it."""
    free, total = cupy.cuda.runtime.memGetInfo()
    return free + cupy.get_default_memory_pool().free_bytes(), total

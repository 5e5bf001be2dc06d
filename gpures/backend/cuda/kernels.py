"""The CUDA kernels: ``kernels/cuda/*.cu``, compiled for a device when they are first needed."""

from __future__ import annotations

import hashlib
import importlib.resources
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

from gpures import _cpu
from gpures.backend.cuda.device import explained
from gpures.exposure.structs import (
    BLOT,
    CLIPPED,
    COMPARISON,
    EXPOSURE,
    MERGE,
    MOSAIC,
    OPERATOR,
    PAIRS,
    STACK,
    STACK_IMAGE,
    WINDOW,
)

__all__ = [
    "BLOCK_OF_SPLAT",
    "THREADS_OF_PIXELS",
    "UNFUSED",
    "Program",
    "digest_of",
    "entries_name",
    "entries_options",
    "options",
    "pairs_name",
    "pairs_options",
    "source_folder",
    "splat_name",
    "splat_options",
]

# Input pixels, and threads, of a block of splat.cu, (x, y). A warp takes 32 of one row, whose drops fall on
# neighbouring output pixels, so that its atomic adds share sectors of memory.
BLOCK_OF_SPLAT = (32, 8)

# Threads of a block that go over the pixels of an image.
THREADS_OF_PIXELS = 128

# Options for a file in which products and sums are rounded one by one.
UNFUSED = ("-fmad=false",)


@lru_cache
def source_folder() -> Path:
    """Folder of the kernels' source: beside the extension, but for an editable installation."""
    beside = Path(_cpu.__file__).parent / "kernels"
    return beside if beside.is_dir() else Path(str(importlib.resources.files("gpures") / "kernels"))


def digest_of(folder: Path) -> str:
    """Digest of a folder of kernels, as kernels/CMakeLists.txt makes it."""
    sources = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in (".h", ".cpp", ".cu")
    )
    lines = [f"{source} {hashlib.sha256((folder / source).read_bytes()).hexdigest()}\n" for source in sources]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@lru_cache
def options() -> tuple[str, ...]:
    """Options of the compiler. CuPy's cache knows nothing of the headers, so their digest is among them."""
    folder = source_folder()
    sizes = {"EXPOSURE": EXPOSURE, "MOSAIC": MOSAIC, "WINDOW": WINDOW, "MERGE": MERGE, "BLOT": BLOT}
    sizes |= {
        "OPERATOR": OPERATOR,
        "PAIRS": PAIRS,
        "CLIPPED": CLIPPED,
        "STACK": STACK,
        "STACK_IMAGE": STACK_IMAGE,
        "COMPARISON": COMPARISON,
    }
    return (
        "-std=c++17",
        f"-I{folder}",
        f"-I{folder / 'cuda'}",
        f"-DGPURES_KERNELS={digest_of(folder)}",
        f"-DGPURES_STACK_THREADS={THREADS_OF_PIXELS}",
        *(f"-DGPURES_{name}_BYTES={record.itemsize}" for name, record in sizes.items()),
    )


def splat_name(
    kernel: str, planes: int, squared: int = 0, whole: bool = True, summing: str = "added", single: bool = False
) -> str:
    """Name of the entry point that splats so many planes with a kernel, the last of them with squared weights.

    Parameters
    ----------
    kernel : str
        Shape of the drops.
    planes : int
        Number of images that are averaged.
    squared : int, optional
        How many of them, the last ones, with squared weights.
    whole : bool, optional
        Whether all pixels with coordinates have all their neighbours beside them in the output.
    summing : {"added", "measured", "counted"}, optional
        How contributions get into the sums, see ``kernels/cuda/sums.h``.
    single : bool, optional
        Whether drops and sums are floats, see ``kernels/cuda/cells.h``.
    """
    name = f"splat_{kernel}_{planes}" + (f"_squared_{squared}" if squared else "") + ("" if whole else "_anywhere")
    return name + ("" if summing == "added" else f"_{summing}") + "_single" * single


def splat_options(
    kernel: str, planes: int, squared: int = 0, whole: bool = True, summing: str = "added", single: bool = False
) -> tuple[str, ...]:
    """Further options for that entry point.

    Parameters
    ----------
    kernel, planes, squared, whole, summing, single
        As `splat_name` takes them.
    """
    name = splat_name(kernel, planes, squared, whole, summing, single)
    width, height = BLOCK_OF_SPLAT
    macros = {"SPLAT": name, "KERNEL": kernel.upper(), "PLANES": planes, "SQUARED": squared, "WHOLE": int(whole)}
    macros |= {"WIDTH": width, "HEIGHT": height, "SUMMING": summing.upper(), "SINGLE": int(single)}
    # Contributions that are the same to the last bit, whatever the compiler makes of them and for which device.
    unfused = () if summing == "added" else UNFUSED
    return (*(f"-DGPURES_{macro}={value}" for macro, value in macros.items()), *unfused)


def entries_name(kernel: str) -> str:
    """Name of the entry point that takes the entries of a matrix, for the drops of a kernel."""
    return f"take_entries_{kernel}"


def entries_options(kernel: str) -> tuple[str, ...]:
    """Further options for that entry point."""
    return f"-DGPURES_ENTRIES={entries_name(kernel)}", f"-DGPURES_KERNEL={kernel.upper()}"


def pairs_name(kernel: str, whole: bool = True) -> str:
    """Name of the entry point that adds the pairs of a kernel's drops.

    Parameters
    ----------
    kernel, whole
        As `splat_name` takes them.
    """
    return f"pairs_{kernel}" + ("" if whole else "_anywhere")


def pairs_options(kernel: str, whole: bool = True) -> tuple[str, ...]:
    """Further options for that entry point.

    Parameters
    ----------
    kernel, whole
        As `splat_name` takes them.
    """
    width, height = BLOCK_OF_SPLAT
    macros = {"PAIRS": pairs_name(kernel, whole), "KERNEL": kernel.upper(), "WHOLE": int(whole)}
    macros |= {"WIDTH": width, "HEIGHT": height}
    return tuple(f"-DGPURES_{macro}={value}" for macro, value in macros.items())


class Program:
    """The kernels on one device.

    Parameters
    ----------
    cupy : module
        CuPy.
    device : int
        Number of the device, which must be the current one when a function is asked for.
    """

    _programs: dict[tuple[int, int], Program] = {}
    # Reentrant: a mosaic that the garbage collector takes gives its stream back in the middle of anything.
    _lock = threading.RLock()

    def __init__(self, cupy: Any, device: int):
        self._cupy = cupy
        self._device = device
        self._functions: dict[tuple[str, tuple[str, ...]], Any] = {}
        # All that were made are held here. When the garbage collector takes a mosaic that is part of a cycle, it has
        # CuPy's stream destroy itself before or after the mosaic waits for it and gives it back, as it happens.
        self._streams: list[Any] = []
        self._free_streams: list[Any] = []

    @classmethod
    def of_device(cls, cupy: Any, device: int) -> Program:
        """The one program of a device."""
        with cls._lock:
            return cls._programs.setdefault((id(cupy), device), cls(cupy, device))

    def take_stream(self) -> Any:
        """A stream of one's own. CuPy keeps the memory that was used on a stream for that stream, so they go round."""
        with self._lock:
            if not self._free_streams:
                self._streams.append(self._cupy.cuda.Stream(non_blocking=True))
                return self._streams[-1]
            return self._free_streams.pop()

    def give_stream(self, stream: Any) -> None:
        """Give a stream back, with no work left on it."""
        with self._lock:
            self._free_streams.append(stream)

    def splat(
        self,
        kernel: str,
        planes: int,
        squared: int = 0,
        whole: bool = True,
        summing: str = "added",
        single: bool = False,
    ) -> Any:
        """Entry point of ``splat.cu``, as `splat_name` names it."""
        what = kernel, planes, squared, whole, summing, single
        return self._function("splat.cu", splat_name(*what), splat_options(*what))

    def pairs(self, kernel: str, whole: bool = True) -> Any:
        """Entry point of ``pairs.cu``, as `pairs_name` names it."""
        return self._function("pairs.cu", pairs_name(kernel, whole), pairs_options(kernel, whole))

    def whole(self, name: str, unfused: bool = False) -> Any:
        """Entry point of ``mosaic.cu``, by its name; or one whose products and sums are rounded one by one."""
        return self._function("mosaic.cu", name, UNFUSED if unfused else ())

    def entries(self, kernel: str) -> Any:
        """Entry point of ``operator.cu``, as `entries_name` names it."""
        return self._function("operator.cu", entries_name(kernel), entries_options(kernel))

    def of_file(self, file: str, name: str) -> Any:
        """Entry point of a file that is compiled as it is, such as ``blot.cu``."""
        return self._function(file, name, UNFUSED if file == "rows.cu" else ())

    def _function(self, file: str, name: str, more: tuple[str, ...]) -> Any:
        function = self._functions.get((name, more))
        if function is None:
            with self._lock, explained(f"compiling the kernel {name}"):
                code = (source_folder() / "cuda" / file).read_text()
                function = self._cupy.RawModule(code=code, options=options() + more).get_function(name)
                self._functions[name, more] = function
        return function

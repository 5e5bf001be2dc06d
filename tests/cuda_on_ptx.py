"""CUDA on the host (`cuda_on_host`), with the PTX of the kernels in the place of their host code.

The PTX is what CuPy has NVRTC make of the source on a device. GPURES_PTX says of which version of CUDA the compiler is,
and for which architecture: "13:compute_90", say.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from cuda_on_host import CompileException, CUDARuntimeError, HostArray, HostCUDA
from nvrtc import CompileError, compile_ptx, library
from ptx.interpreter import Counted, Kernel, Module, digest, made_once

#: Version of CUDA and architecture, of each that is tested.
TARGETS = [(12, "compute_70"), (13, "compute_75"), (13, "compute_90"), (13, "compute_120")]


def target() -> tuple[int, str]:
    """The one in use."""
    cuda, architecture = os.environ.get("GPURES_PTX", "13:compute_75").split(":")
    return int(cuda), architecture


def why_not() -> str | None:
    """Why there is no PTX here; None where there is."""
    return None if library(target()[0]) else f"NVRTC of CUDA {target()[0]} is not installed"


def ptx_of(code: str, options: tuple[str, ...], cuda: int, architecture: str) -> str:
    """PTX of a source, which the compiler sees once in all runs."""

    def compile_to(path: Path) -> None:
        path.write_text(compile_ptx(cuda, code, architecture, options))

    return made_once(f"{digest(str(cuda), architecture, code, *options)}.ptx", compile_to).read_text()


@lru_cache(maxsize=64)
def module_of(code: str, options: tuple[str, ...], cuda: int, architecture: str) -> Module:
    """Its kernels."""
    return Module(ptx_of(code, options, cuda, architecture))


class PTXModule:
    """Kernels as `cuda_on_host.RawModule` has them, of PTX."""

    _launches = itertools.count()

    def __init__(self, cuda: HostCUDA, code: str, options: tuple):
        self._cuda, self._kernels = cuda, {}
        try:
            self._module = module_of(code, tuple(options), *target())
        except CompileError as error:
            raise CompileException(str(error)) from error

    def get_function(self, name: str):
        """A kernel."""
        try:
            entry = self._kernels[name] = Kernel(self._module, name)
        except KeyError:
            raise CUDARuntimeError(f"cudaErrorSymbolNotFound: {name}") from None

        def kernel(grid, block, arguments):
            self._cuda.check_launch(name, grid, block)
            # By value, as of now, and so is what memory there is.
            values = [np.array(a.data.ptr, np.uint64) if isinstance(a, HostArray) else np.array(a) for a in arguments]
            memory, seed = self._cuda.memory_in_use(), next(self._launches)

            def work():
                entry.launch(grid, block, values, memory, seed)
                self._cuda.fail_if_asked(name)

            self._cuda.current_stream().enqueue(work)

        return kernel

    def counted(self, name: str) -> Iterator[Counted]:
        """Instructions of a kernel that was got, with their counts."""
        return self._kernels[name].counted()


def ptx_cuda(module: type = PTXModule) -> HostCUDA:
    """A stand-in for CuPy that runs PTX."""
    return HostCUDA(module=module)

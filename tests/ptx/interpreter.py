"""Runs PTX on the CPU: `interpreter.cpp` and its headers, from Python.

Exact where the instruction set is; not the payloads of NaN, the order of atomics, and what the driver's own compiler
makes of it later. What the interpreter does not know it refuses: textures, approximate functions, float16, atomics of
float32, variables outside functions.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import itertools
import os
import subprocess
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

FOLDER = Path(__file__).parent

# Each operation rounds by itself, as PTX has it.
OPTIONS = ("-std=c++17", "-O1", "-ffp-contract=off", "-shared", "-fPIC", "-w")


class PTXError(Exception):
    """PTX that can't be run."""


class Counted(NamedTuple):
    """An instruction, and how often it was run: by warps, by threads.

    Of one that reaches global memory also the sectors of 32 bytes and the words that the warps' accesses took, and how
    many lanes were at the busiest of these.
    """

    text: str
    warps: int
    threads: int
    sectors: int
    words: int
    busiest: int


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """A file that is kept, made by whichever process is the first to want it.

    Parameters
    ----------
    name : str
        Of the file: what it depends on, as a digest, and its suffix.
    make : callable
        Makes it at the path that it gets.
    """
    folder = Path(tempfile.gettempdir()) / f"gpures-ptx-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    made = folder / name
    with open(f"{made}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            with tempfile.TemporaryDirectory(dir=folder) as own:
                make(Path(own, name))
                Path(own, name).rename(made)
    return made


def digest(*texts: str) -> str:
    """Digest of texts."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


@lru_cache
def library() -> ctypes.PyDLL:
    """The interpreter, compiled once for each source and compiler."""
    compiler = os.environ.get("CXX") or (sysconfig.get_config_var("CXX") or "c++").split()[0]
    sources = sorted(path for path in FOLDER.iterdir() if path.suffix in (".h", ".cpp"))

    def compile_to(path: Path) -> None:
        subprocess.run([compiler, *OPTIONS, str(FOLDER / "interpreter.cpp"), "-o", str(path)], check=True)

    key = digest(compiler, *OPTIONS, *(path.read_text() for path in sources))
    loaded = ctypes.PyDLL(str(made_once(f"{key}.so", compile_to)))
    for name in ("ptx_load", "ptx_kernel"):
        getattr(loaded, name).restype = ctypes.c_void_p
    for name in ("ptx_message", "ptx_instruction"):
        getattr(loaded, name).restype = ctypes.c_char_p
    return loaded


class Module:
    """The kernels of a PTX text.

    Raises
    ------
    PTXError
        There is something in it that the interpreter does not know.
    """

    def __init__(self, text: str):
        self.handle = ctypes.c_void_p(library().ptx_load(text.encode()))
        if not self.handle:
            raise PTXError(library().ptx_message().decode())

    def __del__(self):
        if getattr(self, "handle", None):
            library().ptx_free(self.handle)


class Kernel:
    """A kernel of a module.

    Raises
    ------
    KeyError
        The module has none of this name.
    """

    def __init__(self, module: Module, name: str):
        self._module = module  # alive as long as this
        self._kernel = ctypes.c_void_p(library().ptx_kernel(module.handle, name.encode()))
        if not self._kernel:
            raise KeyError(name)
        sizes = (library().ptx_parameter(self._kernel, n) for n in itertools.count())
        self._sizes = list(itertools.takewhile(lambda size: size >= 0, sizes))

    def launch(self, grid, block, values: Sequence[np.ndarray], memory: Sequence[tuple[int, int]], seed: int) -> None:
        """Run a grid.

        Parameters
        ----------
        grid, block : tuple of int
            As in CUDA.
        values : sequence of ndarray
            The parameters.
        memory : sequence of (int, int)
            Where each array of global memory begins and ends.
        seed : int
            Of the order in which blocks and warps run.

        Raises
        ------
        AssertionError
            A thread did what it must not, or was where others are: the words say what, and in which instruction.
        """
        assert [value.nbytes for value in values] == self._sizes
        sizes = [np.array((*size, 1, 1)[:3], np.uint32) for size in (grid, block)]
        addresses = np.array([value.ctypes.data for value in values], np.uint64)
        ranges = np.array(sorted(memory), np.uint64).reshape(-1, 2)
        parameters = (ctypes.c_void_p(array.ctypes.data) for array in (*sizes, addresses, ranges))
        done = library().ptx_launch(self._kernel, *parameters, ctypes.c_long(len(ranges)), ctypes.c_uint64(seed))
        assert done, library().ptx_message().decode()

    def counted(self) -> Iterator[Counted]:
        """Each instruction in turn, with its counts of all launches."""
        counts = (ctypes.c_uint64 * 5)()
        number = 0
        while text := library().ptx_instruction(self._kernel, number, counts):
            yield Counted(text.decode(), *counts)
            number += 1

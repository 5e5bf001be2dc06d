"""The compiler that CuPy uses, NVRTC, without CuPy and without a GPU: straight from NVIDIA's wheels."""

from __future__ import annotations

import ctypes
import re
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from gpures.backend.cuda import kernels

#: The wheels, by major version of CUDA.
WHEELS = {12: "nvidia-cuda-nvrtc-cu12", 13: "nvidia-cuda-nvrtc"}


class CompileError(Exception):
    """What the compiler says."""


@lru_cache
def library(cuda: int) -> ctypes.CDLL | None:
    """NVRTC of a version of CUDA; None where its wheel is not installed."""
    try:
        found = [file for file in files(WHEELS[cuda]) or [] if re.fullmatch(rf"libnvrtc\.so\.{cuda}", file.name)]
    except PackageNotFoundError:
        return None
    return ctypes.CDLL(str(Path(found[0].locate()))) if found else None


def compiled(cuda: int, code: str, options: tuple[str, ...], kind: str) -> tuple[bytes, str]:
    """What NVRTC makes of a source, "PTX" or "CUBIN", and its log. The last option is CuPy's, behind all others.

    Raises
    ------
    CompileError
        It makes nothing of it.
    """
    nvrtc = library(cuda)
    assert nvrtc is not None
    handle, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(handle), code.encode(), b"kernels.cu", 0, None, None) == 0
    options = (*options, "-ftz=true")
    arguments = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    failed = nvrtc.nvrtcCompileProgram(handle, len(options), arguments)
    nvrtc.nvrtcGetProgramLogSize(handle, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(handle, log)
    made = b""
    if not failed and getattr(nvrtc, f"nvrtcGet{kind}Size")(handle, ctypes.byref(size)) == 0:
        result = ctypes.create_string_buffer(size.value)
        assert getattr(nvrtc, f"nvrtcGet{kind}")(handle, result) == 0
        made = result.raw
    nvrtc.nvrtcDestroyProgram(ctypes.byref(handle))
    text = log.value.decode()
    if not made:
        raise CompileError(text)
    return made, text


def compile_ptx(cuda: int, code: str, architecture: str, options: tuple[str, ...] = ()) -> str:
    """PTX of a source, as CuPy has it made."""
    return compiled(cuda, code, (*options, f"-arch={architecture}"), "PTX")[0].rstrip(b"\0").decode()


def compile_cuda(
    cuda: int, file: str, architecture: str, more: tuple[str, ...] = (), *, frames: bool = False
) -> dict[str, tuple[int, int]]:
    """Registers and bytes of spills of each entry point of a .cu file, compiled with CuPy's options and ours.

    With `frames` bytes of arrays that are no registers count as well.
    """
    code = (kernels.source_folder() / "cuda" / file).read_text()
    options = (*kernels.options(), *more, f"-arch={architecture}", "--ptxas-options=-v")
    _, text = compiled(cuda, code, options, "CUBIN")
    used = {}
    for part in text.split("Compiling entry function")[1:]:
        spilled = sum(int(n) for n in re.findall(r"(\d+) bytes spill", part))
        spilled += int(re.search(r"(\d+) bytes stack frame", part)[1]) if frames else 0
        used[part.split("'")[1]] = int(re.search(r"Used (\d+) registers", part)[1]), spilled
    assert used, text
    return used

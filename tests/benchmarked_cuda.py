"""What benchmarks/gpu_figures.py asks of CuPy and gpures does not, of its stand-in."""

from __future__ import annotations

import types

from cuda_on_host import HostCUDA


def as_benchmarks_ask(cuda: HostCUDA, name: str = "Host") -> HostCUDA:
    """The stand-in with all of it, on a device of a name. Every kernel takes a millisecond."""
    cuda.allocators = []
    cuda.cuda.set_allocator = cuda.allocators.append
    cuda.cuda.get_elapsed_time = lambda start, end: 1.0
    cuda.cuda.runtime.memcpyDeviceToDevice = 3
    cuda.cuda.nvrtc = types.SimpleNamespace(getVersion=lambda: (13, 0))
    cuda.free_all_blocks = lambda: None
    cuda.used_bytes = lambda: cuda.used[0]
    cuda.total_bytes = lambda: cuda.used[0] + cuda.free_bytes()
    properties = cuda.cuda.runtime.getDeviceProperties
    cuda.cuda.runtime.getDeviceProperties = lambda number: properties(number) | {"name": name.encode()}
    return cuda

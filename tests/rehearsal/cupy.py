"""Stands for CuPy where benchmarks/gpu.py is rehearsed: a machine with a GPU, which is the interpreter of PTX."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarked_cuda import as_benchmarks_ask
from cuda_on_ptx import ptx_cuda

sys.modules[__name__] = as_benchmarks_ask(ptx_cuda(), "Rehearsal, of a processor named H100")

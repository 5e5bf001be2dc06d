"""Where tests run the kernels of the backend "cuda", as parameters of fixtures.

Not in conftest.py: there are several of that name, and which one a test would import depends on what else is collected.
"""

from __future__ import annotations

import pytest

from gpures.backend.choice import why_unavailable

# Whether there is a GPU to test on, and if not, why.
NO_GPU = why_unavailable("cuda")

# The kernels of the backend "cuda" run on the host wherever the tests do, in two ways, and on a GPU where there is one.
ON_HOST = "cuda-on-host"
ON_PTX = pytest.param("cuda-on-ptx", marks=pytest.mark.ptx)
ON_GPU = pytest.param("cuda", marks=pytest.mark.gpu)


def cupy_of(request, name):
    """CuPy, or its stand-in, in place."""
    if name == ON_HOST:
        return request.getfixturevalue("host_cuda")
    if name in ON_PTX.values:
        return request.getfixturevalue("cuda_of_ptx")
    if NO_GPU:
        pytest.skip(NO_GPU)
    import cupy

    return cupy

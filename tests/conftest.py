"""Fixtures that all tests share."""

from __future__ import annotations

import signal
import sys

import hypothesis
import pytest
from cuda_on_host import HostCUDA

from gpures.backend.choice import why_unavailable

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # As shells start what runs in the background; it would be inherited by the processes that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, so that a failure is due to the last change; the profile "fresh" draws others, see
# tests/explore.py.
hypothesis.settings.register_profile("gpures", deadline=None, max_examples=40, derandomize=True, database=None)
hypothesis.settings.register_profile("fresh", deadline=None, max_examples=100, database=None, print_blob=True)
hypothesis.settings.load_profile("gpures")


# Whether there is a GPU to test on, and if not, why.
NO_GPU = why_unavailable("cuda")


def pytest_collection_modifyitems(config, items):
    """Leave tests that need a GPU out where there is none, unless they are asked for."""
    if NO_GPU is None or "gpu" in config.option.markexpr:
        return
    needing = [item for item in items if item.get_closest_marker("gpu")]
    if needing:
        items[:] = [item for item in items if item not in set(needing)]
        config.hook.pytest_deselected(items=needing)


@pytest.fixture
def host_cuda(monkeypatch):
    """CUDA on the host: CuPy's stand-in, in CuPy's place."""
    cuda = HostCUDA()
    monkeypatch.setitem(sys.modules, "cupy", cuda)
    return cuda


# The kernels of the backend "cuda" run on the host wherever the tests do, and on a GPU where there is one.
ON_HOST = "cuda-on-host"
ON_GPU = pytest.param("cuda", marks=pytest.mark.gpu)


def cupy_of(request, name):
    """CuPy, or its stand-in, in place."""
    if name == ON_HOST:
        return request.getfixturevalue("host_cuda")
    if NO_GPU:
        pytest.skip(NO_GPU)
    import cupy

    return cupy


@pytest.fixture(params=[ON_HOST, ON_GPU])
def cuda(request):
    """CuPy's stand-in and, where there is a GPU, CuPy."""
    return cupy_of(request, request.param)


@pytest.fixture(params=[ON_GPU])
def gpu(request):
    """CuPy, on a GPU alone."""
    return cupy_of(request, request.param)


@pytest.fixture(params=["cpu", ON_HOST, ON_GPU])
def own_backend(request):
    """Name of each backend on our own kernels."""
    if request.param == "cpu":
        return request.param
    cupy_of(request, request.param)
    return "cuda"


@pytest.fixture(params=["cpu", "drizzle", ON_HOST, ON_GPU])
def backend(request):
    """Name of each backend in turn."""
    if request.param in ("cpu", "drizzle"):
        return request.param
    cupy_of(request, request.param)
    return "cuda"

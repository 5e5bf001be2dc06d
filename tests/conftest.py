"""Fixtures that all tests share."""

from __future__ import annotations

import os
import signal
import sys

import hypothesis
import pytest
from cuda_on_host import HostCUDA
from cuda_on_ptx import ptx_cuda, why_not
from on_backends import NO_GPU, ON_GPU, ON_HOST, ON_PTX, cupy_of

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # As shells start what runs in the background; it would be inherited by the processes that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, so that a failure is due to the last change; the profile "fresh" draws others, see
# tests/explore.py.
hypothesis.settings.register_profile("gpures", deadline=None, max_examples=40, derandomize=True, database=None)
hypothesis.settings.register_profile("fresh", deadline=None, max_examples=100, database=None, print_blob=True)
hypothesis.settings.load_profile("gpures")


def pytest_collection_modifyitems(config, items):
    """Leave out what `-m` does not ask for: on a GPU where there is none, and but for a short set what takes long."""
    asked = config.option.markexpr
    left_out = set()
    if NO_GPU is not None and "gpu" not in asked:
        left_out |= {item for item in items if item.get_closest_marker("gpu")}
    if "ptx" not in asked:
        on_ptx = (item for item in items if item.get_closest_marker("ptx"))
        left_out |= {item for item in on_ptx if not item.get_closest_marker("also_on_ptx")}
    if "long" not in asked:
        left_out |= {item for item in items if item.get_closest_marker("long")}
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture
def host_cuda(monkeypatch):
    """CUDA on the host: CuPy's stand-in, in CuPy's place."""
    cuda = HostCUDA()
    monkeypatch.setitem(sys.modules, "cupy", cuda)
    return cuda


@pytest.fixture
def cuda_of_ptx(monkeypatch):
    """The same, of the code that CUDA's compiler makes for a GPU."""
    if reason := why_not():
        (pytest.fail if "GPURES_PTX" in os.environ else pytest.skip)(reason)
    cuda = ptx_cuda()
    monkeypatch.setitem(sys.modules, "cupy", cuda)
    return cuda


@pytest.fixture(params=[ON_HOST, ON_PTX, ON_GPU])
def cuda(request):
    """CuPy's stand-ins and, where there is a GPU, CuPy."""
    return cupy_of(request, request.param)


@pytest.fixture(params=[ON_HOST, ON_PTX])
def stand_in(request):
    """CuPy's stand-ins alone."""
    return cupy_of(request, request.param)


@pytest.fixture(params=[ON_GPU])
def gpu(request):
    """CuPy, on a GPU alone."""
    return cupy_of(request, request.param)


@pytest.fixture(params=["cpu", ON_HOST, ON_PTX, ON_GPU])
def own_backend(request):
    """Name of each backend on our own kernels."""
    if request.param == "cpu":
        return request.param
    cupy_of(request, request.param)
    return "cuda"


@pytest.fixture(params=["cpu", "drizzle", ON_HOST, ON_PTX, ON_GPU])
def backend(request):
    """Name of each backend in turn."""
    if request.param in ("cpu", "drizzle"):
        return request.param
    cupy_of(request, request.param)
    return "cuda"

"""Fixtures that all tests share."""

from __future__ import annotations

import sys

import hypothesis
import pytest
from cuda_on_host import HostCUDA

from gpures.backend import BACKENDS
from gpures.cuda.device import why_not

# The same examples in every run, so that a failure is due to the last change; `--hypothesis-profile=explore` draws
# others, and more.
hypothesis.settings.register_profile("gpures", deadline=None, max_examples=40, derandomize=True, database=None)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=1000, database=None)
hypothesis.settings.load_profile("gpures")


# Whether there is a GPU to test on, and if not, why.
NO_GPU = why_not()


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


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.gpu) if name == "cuda" else name for name in BACKENDS if name != "auto"
    ]
    + [ON_HOST]
)
def backend(request):
    """Name of each backend in turn."""
    if request.param == ON_HOST:
        request.getfixturevalue("host_cuda")
        return "cuda"
    if request.param == "cuda" and NO_GPU:
        pytest.skip(NO_GPU)
    return request.param

"""Fixtures that all tests share."""

from __future__ import annotations

import hypothesis
import pytest

from gpures.backend import BACKENDS

# The same examples in every run, so that a failure is due to the last change; `--hypothesis-profile=explore` draws
# others, and more.
hypothesis.settings.register_profile("gpures", deadline=None, max_examples=40, derandomize=True, database=None)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=1000, database=None)
hypothesis.settings.load_profile("gpures")


@pytest.fixture(params=[name for name in BACKENDS if name != "auto"])
def backend(request):
    """Name of each backend in turn."""
    return request.param

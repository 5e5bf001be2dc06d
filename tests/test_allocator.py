"""Memory that is kept for the next arrays, in processes that are told to give it back at once."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

# Page faults of arrays that come and go: before, in nested blocks, by another thread's block, and after.
FAULTS = """
import json, resource, threading
import numpy as np
from gpures.machine.allocator import keeping_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(1 << 17)
        np.ones(1 << 17)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

found = [faults()]
with keeping_memory():
    faults()
    with keeping_memory():
        found.append(faults())
    found.append(faults())
try:
    with keeping_memory():
        raise KeyError
except KeyError:
    pass
found.append(faults())
print(json.dumps(found))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is glibc's")
def test_memory_is_kept_meanwhile_and_not_afterwards():
    """Where the allocator is told to keep nothing, arrays of a block have the pages of those before, and no others."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS],
        env=os.environ | {"MALLOC_TRIM_THRESHOLD_": "65536"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    before, nested, within, after = json.loads(done.stdout)
    assert before > 1000
    assert max(nested, within) < before / 10
    assert after > before / 2

"""Memory: what happens where there is little of it, and that none is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

# Adds exposures while the address space may grow by less and less; prints for each limit what came of it. What is
# started or imported on the way is there before, so that the limit meets the exposure; the first one has been added. A
# thread is started without limits: Python waits for ever for one that has no memory to say that it has begun.
LIMITED = '''
import json, resource, sys, threading
import numpy as np
import oracle
from gpures.backend.base import MosaicLayout
from gpures.backend.choice import make_accumulators

SHAPE, FRAME = (200, 200), MosaicLayout((300, 300), kernel=sys.argv[1], variance_names=("var_rnoise",), has_err=True)
UNLIMITED = resource.getrlimit(resource.RLIMIT_AS)
rng = np.random.default_rng(1)

def exposure(k):
    images = rng.uniform(0.5, 1.0, (3, *SHAPE)).astype("f4")
    pixmap = oracle.pixel_map(SHAPE, (150.0, 150.0), angle=10.0 * k)
    return oracle.exposure(images[0], pixmap, err=images[1], variances={"var_rnoise": images[2]}, context_id=k)

def used():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()

def limit(room):
    resource.setrlimit(resource.RLIMIT_AS, UNLIMITED)
    resource.setrlimit(resource.RLIMIT_AS, (used() + room, UNLIMITED[1]))

def all_that_is_free():
    """Memory that the process has, and uses for nothing."""
    kept = []
    limit(0)
    for size in (1 << k for k in range(26, 11, -1)):
        try:
            while True:
                kept.append(np.empty(size, "u1"))
        except MemoryError:
            pass
    return kept

def added(accumulators, which):
    try:
        accumulators.add(which)
    except MemoryError:
        return "MemoryError"
    return "added"

def sweep():
    first, second = exposure(0), exposure(1)
    whole = make_accumulators("cpu", FRAME)
    states = {}
    whole.add(first)
    states["MemoryError"] = {name: np.array(image) for name, image in whole.images().items()}
    whole.add(second)
    states["added"] = {name: np.array(image) for name, image in whole.images().items()}
    for room in json.loads(sys.argv[2]):
        accumulators = make_accumulators("cpu", FRAME)
        accumulators.add(first)
        try:
            free = all_that_is_free()
            limit(room)
            outcome = added(accumulators, second)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, UNLIMITED)
            free = None
        got = accumulators.images()
        right = all(np.array_equal(got[name], image) for name, image in states[outcome].items())
        print(json.dumps([room, outcome, right]), flush=True)

if sys.argv[3] == "main":
    sweep()
else:
    thread = threading.Thread(target=sweep)
    thread.start()
    thread.join()
'''

#: Bytes of address space that are left, in turn; a pass asks for one to three MiB.
ROOMS = [*range(0, 4 << 20, 1 << 17), 1 << 24, 1 << 32]

#: Of glibc: what is freed goes back to the system at once.
KEEPS_NOTHING = {"MALLOC_MMAP_THRESHOLD_": "4096", "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_TOP_PAD_": "0"}


@pytest.mark.skipif(sys.platform != "linux", reason="the address space of a process is limited on Linux alone")
@pytest.mark.parametrize("thread", ["main", "another"])
@pytest.mark.parametrize("kernel", ["square", "lanczos3"])
def test_little_address_space(kernel, thread):
    """With any room left an exposure is added, to the last bit, or there is a MemoryError and nothing of it is."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, kernel, json.dumps(ROOMS), thread],
        cwd=Path(__file__).parent,
        env=os.environ | KEEPS_NOTHING,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert [room for room, *_ in outcomes] == ROOMS
    assert all(right for *_, right in outcomes), outcomes
    assert outcomes[0][1] == "MemoryError"
    assert outcomes[-1][1] == "added"


# Adds 2000 small exposures; prints the memory that is resident after 200 and after all, and the time that a hundred
# took, from then on.
GROWING = """
import json, resource, sys, time
import numpy as np
import scenes
import gpures

SHAPE = (12, 14)

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

frame = scenes.frame_around(SHAPE)
(model,) = scenes.dithered_models(SHAPE, n=1)
if sys.argv[1] == "Resample":
    options = {"compute_err": "from_var", "propagate_dq": True, "n_input_models": 2000}
    resample = gpures.Resample({"wcs": frame, "pixel_scale": scenes.SCALE}, backend=sys.argv[2], **options)
    def add(k):
        resample.add_model(model | {"filename": f"{k}", "group_id": f"{k % 7}"})
else:
    pixmap = gpures.exposure.pixmap.calc_pixmap(model["wcs"], frame, SHAPE).array()
    drizzle = gpures.Drizzle(out_shape=frame.array_shape, backend=sys.argv[2], max_ctx_id=1999)
    def add(k):
        drizzle.add_image(model["data"], 1.0, pixmap, weight_map=np.ones(SHAPE, "f4"))
sizes, times = [], []
for k in range(2000):
    if k % 100 == 0:
        times.append(time.process_time())
    add(k)
    if k + 1 in (200, 2000):
        sizes.append(resident())
print(json.dumps([sizes, np.diff(times[2:]).tolist()]))
"""

#: Bytes per exposure that a mosaic may take: its name, its group and the times that are kept of each are some hundred
#: bytes; an image of it would be 700, and its pixel map 2700.
PER_EXPOSURE = 500

#: What the allocator may take at once.
AT_ONCE = 1 << 20


@pytest.mark.parametrize("what", ["Resample", "Drizzle"])
def test_no_growth(what):
    """The 2000th exposure takes as much time as the 200th, and no memory is left with any."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", GROWING, what, "cpu"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (before, after), times = json.loads(done.stdout)
    assert after - before < 1800 * PER_EXPOSURE + AT_ONCE, (before, after)
    # Of the processor's time, and the best of five hundreds, as other processes disturb.
    first, last = min(times[:5]), min(times[-5:])
    assert last < 1.5 * first, times
    assert np.isfinite(times).all()

"""Memory: what happens where there is little of it, and that none is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import oracle
import pytest

from gpures.backend import cpu
from gpures.backend.base import MosaicLayout
from gpures.backend.choice import make_accumulators
from gpures.bench import memory
from gpures.box import Box
from gpures.mosaicking.reach import filled_rows

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


@pytest.mark.long
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


#: A frame of which exposures touch a few rows: the rest of it is what pages show that are there once.
FRAME = (1900, 1600)
SHOWN = "memfd:gpures"


def noise_layout(fillval, dtype="f4", frame=FRAME):
    """Layout of a mosaic with an image of each kind."""
    names = ("var_rnoise", "var_flat")
    pairs = {"noise_names": names, "max_lag": 1, "whole_drops": True}
    return MosaicLayout(
        frame, fillval=fillval, variance_names=names, has_err=True, has_dq=True, dtype=np.dtype(dtype), **pairs
    )


def placed_exposures():
    """Exposures at several heights of the frame, the first in its middle."""
    rng = np.random.default_rng(3)
    for k, y in enumerate((900.0, 940.0, 300.0)):
        images = rng.uniform(0.5, 1.0, (4, 40, 50)).astype("f4")
        pixmap = oracle.pixel_map((40, 50), (700.0, y), angle=20.0 * k)
        variances = {"var_rnoise": images[2], "var_flat": images[3]}
        yield oracle.exposure(images[0], pixmap, err=images[1], variances=variances, context_id=k)


def finished(layout, made_on_the_way=lambda images: None):
    """All images of a mosaic; and what is made of those that there are before its last exposure is added."""
    accumulators = make_accumulators("cpu", layout)
    *first, last = placed_exposures()
    for exposure in first:
        accumulators.add(exposure)
    made = made_on_the_way(accumulators.images())
    accumulators.add(last)
    images = dict(accumulators.images()) | {"noise_factor": accumulators.noise_factor()}
    images["covariance"] = accumulators.finish_covariances()
    images |= accumulators.finish_variances(0.7)
    images["error"] = accumulators.error_image([images[name] for name in layout.variance_names])
    return images, made


def shown_pages():
    """How many mappings of this process show such pages."""
    return Path("/proc/self/maps").read_text().count(SHOWN)


def same_bits(images, expected):
    return images.keys() == expected.keys() and all(
        image.dtype == expected[name].dtype and image.tobytes() == expected[name].tobytes()
        for name, image in images.items()
    )


@pytest.fixture
def small_pages(monkeypatch):
    """Pages for arrays of any size."""
    monkeypatch.setattr(cpu, "SMALL_PAGES_FROM", 1)


@pytest.mark.skipif(sys.platform != "linux", reason="pages are shared on Linux alone")
@pytest.mark.parametrize("fillval", [np.nan, 7.5, 0.0])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_pages_that_are_shared(fillval, dtype, monkeypatch):
    """Images in which most pages are there once are those that are written, to the last bit, and lose no memory."""
    layout = noise_layout(fillval, dtype)
    monkeypatch.setattr(cpu, "SMALL_PAGES_FROM", sys.maxsize)
    expected, looked_at = finished(layout, lambda images: images["data"].copy())
    assert shown_pages() == 0
    monkeypatch.setattr(cpu, "SMALL_PAGES_FROM", 1)
    images, made = finished(layout, lambda images: images["data"].copy())
    assert shown_pages() > 50
    assert same_bits(images, expected)
    assert made.tobytes() == looked_at.tobytes()
    images["error"][5, 7] = images["covariance"][0, 5, 7] = 3.0  # of one pixel alone, and of one image
    for name in ("error", "covariance"):
        assert np.count_nonzero(images[name] == 3.0) == 1
    assert np.isnan(images["var_flat"][5, 7])
    copy = images["error"].copy()
    copy[5, 7] = np.nan
    assert copy.tobytes() == expected["error"].tobytes()
    del images, made
    assert shown_pages() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="pages are shared on Linux alone")
def test_pages_where_no_file_may_be_opened(small_pages):
    """Where the system gives no memory to share, images are written."""
    import resource

    layout = noise_layout(np.nan)
    expected, _ = finished(layout)
    assert shown_pages() > 50
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        images, _ = finished(layout)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    written = shown_pages()
    assert same_bits(images, expected)
    del expected
    assert shown_pages() == 0 < written


@pytest.mark.skipif(not memory.CLEAR.exists(), reason="the peak of a process is known on Linux alone")
def test_finishing_takes_no_memory_for_what_is_untouched():
    """A frame of 6000 x 6000 pixels, of which a mosaic touches few: five images that are NaN elsewhere."""
    frame = MosaicLayout(
        (6000, 6000), fillval=np.nan, variance_names=("var_rnoise", "var_flat"), has_err=True, has_dq=True
    )

    def finish():
        accumulators = make_accumulators("cpu", frame)
        for exposure in placed_exposures():
            accumulators.add(exposure)
        images = dict(accumulators.images()) | accumulators.finish_variances(1.0)
        error = accumulators.error_image([images[name] for name in frame.variance_names])
        assert np.isnan([*(images[name][-1, -1] for name in ("data", "err", *frame.variance_names)), error[0, 0]]).all()
        assert np.isfinite(images["data"][900, 700])

    size, _ = memory.above(finish)
    rows = 5 * 4 * 6000 * 800  # bytes of the rows that exposures are in
    assert size < 1.5 * rows < 0.25 * (5 * 4 * 6000**2)


def test_rows_that_are_expected(small_pages):
    """Large pieces of memory for rows that will be filled make no other images."""
    layout = noise_layout(np.nan)
    expected, _ = finished(layout)
    asked = []

    def rows():
        asked.append(1)
        return [(0, 7), (850, FRAME[0])]

    accumulators = make_accumulators("cpu", layout)
    accumulators.expect(rows)
    assert asked
    for exposure in placed_exposures():
        accumulators.add(exposure)
    for name, image in accumulators.images().items():
        assert image.tobytes() == expected[name].tobytes()


def test_rows_that_exposures_fill():
    """Bands of a frame most of which exposures lie in; none where they leave most of each row."""
    shape = (1000, 2000)
    across = [Box(x, x + 499, 100, 699) for x in (0, 500, 1000)]
    ((first, end),) = filled_rows(across, shape)
    assert abs(first - 100) < 20
    assert abs(end - 700) < 20
    assert filled_rows(across[:2], shape) == []
    assert filled_rows([Box.whole(shape)], shape) == [(0, 1000)]
    assert filled_rows([], shape) == []

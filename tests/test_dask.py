"""Mosaics that the workers of dask make are those of one process, whatever happens to workers."""

from __future__ import annotations

import contextlib
import http.server
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from functools import partial

import distributed
import numpy as np
import pytest
import scenes
from astropy.io import fits

import gpures
from gpures.cli import main
from gpures.errors import FileError
from gpures.extras import install
from gpures.mosaicking import SkyCell, mosaic_cells, tiling, workers
from gpures.mosaicking import distributed as by_workers
from gpures.mosaicking.plan import make_plan
from gpures.mosaicking.sources import find

pytestmark = [
    # Of clusters of dask, which try the port of the dashboard and leave the socket.
    pytest.mark.filterwarnings("ignore:Port 8787 is", "ignore:unclosed <socket.socket:ResourceWarning"),
]

QUIET = {"progress": None, "backend": "cpu"}


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch):
    """Several tiles of several batches, though the exposures are small."""
    monkeypatch.setattr(tiling, "GRAIN", 128)
    monkeypatch.setattr(by_workers, "MOST", 2)


@pytest.fixture(scope="module")
def cluster():
    two = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": "2GB"}
    with distributed.LocalCluster(dashboard_address=None, **two) as made:
        yield made


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster) as made:
        made.wait_for_workers(2, timeout=60)
        yield made


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Files of exposures, two by two of one time."""
    folder = tmp_path_factory.mktemp("exposures")
    rng = np.random.default_rng(3)
    shape = (150, 160)
    found = []
    for k in range(9):
        header = scenes.fits_wcs(shape, rotation=9.0 * k, shift=(40 * k, -25 * (k % 4))).to_fits(relax=True)[0].header
        header.update({"EXPTIME": 30.0 + k, "BUNIT": "MJy/sr", "MJD-OBS": 60000.0 + k, "OBSERVER": "A"})
        hdus = [fits.PrimaryHDU(rng.normal(5, 1, shape).astype(np.float32), header)]
        hdus.append(fits.ImageHDU(rng.choice([0, 0, 0, 4], shape).astype(np.int16), name="DQ"))
        hdus.append(fits.ImageHDU(rng.uniform(0.5, 1.5, shape).astype(np.float32), name="VAR_RNOISE"))
        found.append(folder / f"e{k}.fits")
        fits.HDUList(hdus).writeto(found[-1])
    return found


def assert_same(got, expected):
    """Two stores hold the same mosaic, up to the rounding of merges."""
    got, expected = gpures.io.read_mosaic(got), gpures.io.read_mosaic(expected)
    assert list(got) == list(expected)
    for name, value in expected.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            np.testing.assert_allclose(got[name], value, 3e-6, 1e-6, err_msg=name)
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(got[name], value, err_msg=name)
        elif name not in ("wcs", "history"):
            assert got[name] == value, name


OPTIONS = [
    {"propagate_dq": True, "enable_exptime_map": True},
    {"kernel": "turbo", "pixfrac": 0.7, "weight_type": "exptime", "variance_method": "propagated", "fillval": 0.0},
    {"enable_ctx": False, "enable_var": False, "compute_err": None, "pixel_scale_ratio": 0.6},
    {"covariance": True, "noise_factor": True},
    {"covariance": 2, "noise_factor": True, "kernel": "turbo", "fillval": 1.0},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_same_by_workers(client, tmp_path, paths, options):
    """All planes, times, records and headers."""
    whole = gpures.mosaic(paths, tmp_path / "whole.zarr", **QUIET | options)
    made = gpures.mosaic(paths, tmp_path / "out.zarr", client=client, **QUIET | options)
    assert len(made.plan.tiles) > 2
    assert_same(tmp_path / "out.zarr", tmp_path / "whole.zarr")
    assert made.added == whole.added
    assert (made.pixels, made.data_pixels, made.used) == (whole.pixels, whole.data_pixels, whole.used)
    assert made.report.partition("backend")[0] == whole.report.partition("backend")[0]


def test_models_in_memory(client, tmp_path):
    """They go to the workers with the plan."""
    models = scenes.dithered_models((60, 64), n=5)
    options = {"output_wcs": scenes.frame_around((60, 64), ratio=0.3, margin=20)}
    gpures.mosaic(models, tmp_path / "whole.zarr", **QUIET | options)
    gpures.mosaic(models, tmp_path / "out.zarr", client=client, **QUIET | options)
    assert_same(tmp_path / "out.zarr", tmp_path / "whole.zarr")


def test_left_out_by_workers(client, tmp_path, paths):
    """Bad ones and copies, which lie in other batches than their originals: others move up in the context."""
    nan, broken, copy = (tmp_path / f"{name}.fits" for name in ("nan", "broken", "copy"))
    nan.write_bytes(paths[1].read_bytes())
    with fits.open(nan, mode="update") as hdus:
        hdus[0].data[:] = np.nan
        hdus[0].header["EXPTIME"] = 77.0
    broken.write_bytes(paths[2].read_bytes()[:30000])
    copy.write_bytes(paths[0].read_bytes())
    every = [paths[0], nan, *paths[1:5], broken, *paths[5:], copy]
    whole = gpures.mosaic(every, tmp_path / "whole.zarr", skip_bad=True, **QUIET)
    made = gpures.mosaic(every, tmp_path / "out.zarr", skip_bad=True, client=client, **QUIET)
    assert made.added == whole.added
    assert len(made.added) == 9
    assert sorted(made.skipped) == sorted(whole.skipped)
    assert_same(tmp_path / "out.zarr", tmp_path / "whole.zarr")


def test_what_is_wrong_with_an_exposure(client, tmp_path, paths):
    """It is an error that names it; nothing is left, and the workers are free."""
    broken = tmp_path / "broken.fits"
    with fits.open(paths[2]) as hdus:
        hdus["VAR_RNOISE"].data = hdus["VAR_RNOISE"].data[:50]
        hdus.writeto(broken)
    with pytest.raises(ValueError, match=r"broken\.fits"):
        gpures.mosaic([*paths, broken], tmp_path / "out.zarr", client=client, **QUIET)
    assert os.listdir(tmp_path) == ["broken.fits"]
    assert client.submit(int, 7, pure=False).result(timeout=30) == 7


def test_workers_interrupted(client, tmp_path, paths, monkeypatch):
    """Ctrl-C frees the workers while they have work to do, and leaves nothing."""
    at_work = []

    def interrupted(futures, **_):
        at_work.extend(future for future in futures if not future.done())
        raise KeyboardInterrupt

    monkeypatch.setattr(distributed, "as_completed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        gpures.mosaic(paths, tmp_path / "out.zarr", client=client, **QUIET)
    assert at_work
    assert all(future.cancelled() for future in at_work)
    assert os.listdir(tmp_path) == []
    deadline = time.monotonic() + 30
    while any(client.processing().values()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(client.processing().values())
    assert os.listdir(tmp_path) == []
    monkeypatch.undo()
    assert client.submit(int, 7, pure=False).result(timeout=30) == 7


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"output": "x.fits"}, "they write to a store in zarr, and 'output' is x.fits"),
        ({"output": None}, "only files of the suffixes"),
        ({"output": "x.zarr", "reject_outliers": True}, "look at the whole of it"),
    ],
)
def test_what_workers_do_not_make(client, paths, monkeypatch, tmp_path, options, words):
    """It is refused before they begin."""
    monkeypatch.chdir(tmp_path)
    options = dict(options)
    with pytest.raises(ValueError, match=f"The workers of 'client' can't make this mosaic: .*{words}"):
        gpures.mosaic(paths, options.pop("output"), client=client, **QUIET | options)
    with pytest.raises(TypeError, match=r"'client' must be a distributed\.Client, got"):
        gpures.mosaic(paths, "x.zarr", client="tcp://nowhere", **QUIET)


def test_tiles_for_workers(tmp_path, paths):
    """They are as small as the workers' memory asks for, and so many that all of them have work."""
    plan = make_plan(paths, tmp_path / "x.zarr", **QUIET)
    plan.cut_for(1, None)
    few = len(plan.tiles)
    plan.cut_for(4, None)
    assert len(plan.tiles) > few
    plan.cut_for(1, 20_000_000)
    per_pixel = plan.frame.bytes / (plan.shape[0] * plan.shape[1])
    assert all((t.xmax - t.xmin + 1) * (t.ymax - t.ymin + 1) * per_pixel < 4_000_000 for t in plan.tiles)
    with pytest.raises(MemoryError, match=r"A worker has .* GiB for a task, and .* GiB are needed"):
        plan.cut_for(1, 1_000_000)


def test_memory_of_gpus_counts(client, monkeypatch):
    """Where workers have GPUs, a tile has to fit there."""
    monkeypatch.setattr(client, "run", lambda ask: {"a": 10**9, "b": 5 * 10**8, "c": None})
    assert workers.room_of_workers(client, "auto") == (2, 5 * 10**8)
    assert workers.room_of_workers(client, "cpu") == (2, 2 * 10**9)
    monkeypatch.undo()
    assert workers.room_of_workers(client, "cuda") == (2, 2 * 10**9)  # none here


# ---- workers that die ------------------------------------------------------------------------------------------------

KILLS = int(os.environ.get("GPURES_TEST_KILLS", "3"))


def test_workers_are_killed(cluster, client, tmp_path, paths):
    """At random moments, one after another: none of the exposures is lost or counted twice."""
    gpures.mosaic(paths, tmp_path / "whole.zarr", **QUIET)
    begin = time.monotonic()
    gpures.mosaic(paths, tmp_path / "first.zarr", client=client, **QUIET)
    lasts = time.monotonic() - begin
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for kill in range(KILLS):
        client.wait_for_workers(2, timeout=120)
        victims = [worker.pid for worker in cluster.workers.values()]
        timer = threading.Timer(rng.uniform(0, lasts), os.kill, (rng.choice(victims), signal.SIGKILL))
        timer.start()
        out = tmp_path / f"out{kill}.zarr"
        gpures.mosaic(paths, out, client=client, **QUIET)
        timer.join()
        assert_same(out, tmp_path / "whole.zarr")


def test_workers_of_too_little_memory(tmp_path, paths):
    """They die of what they are asked for, which ends with an error that says so, and nothing is left."""
    import dask

    little = {"n_workers": 1, "threads_per_worker": 1, "memory_limit": "150MB", "dashboard_address": None}
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(**little) as cluster,
        distributed.Client(cluster) as client,
        pytest.raises(MemoryError, match=r"Workers have died of one task after .* because their memory"),
    ):
        gpures.mosaic(paths, tmp_path / "out.zarr", client=client, **QUIET)
    assert os.listdir(tmp_path) == []


# ---- programs of their own -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def program(*arguments):
    """A program of dask that runs meanwhile."""
    with subprocess.Popen([sys.executable, "-m", "dask", *arguments], stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=30)


def test_scheduler_and_workers_as_programs(tmp_path, paths, capsys):
    """``gpures mosaic --scheduler`` with a scheduler and workers that somebody else has started."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    command = ["mosaic", *map(str, paths), "-q", "--backend", "cpu"]
    assert main([*command, "-o", str(tmp_path / "whole.zarr")]) == 0
    one_thread = ("--nthreads", "1", "--no-dashboard", "--memory-limit", "2GB")
    with (
        program("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"),
        program("worker", address, "--nworkers", "2", *one_thread),
    ):
        assert main([*command, "-o", str(tmp_path / "out.zarr"), "--scheduler", address]) == 0
    assert_same(tmp_path / "out.zarr", tmp_path / "whole.zarr")
    assert main([*command, "-o", str(tmp_path / "x.zarr"), "--scheduler", "tcp://127.0.0.1:1"]) == 1
    assert "There is no scheduler at 'tcp://127.0.0.1:1'" in capsys.readouterr().err
    assert not (tmp_path / "x.zarr").exists()


def test_workers_of_ones_own(tmp_path, paths):
    """``--scheduler local`` starts and ends them."""
    command = ["mosaic", *map(str, paths[:4]), "-q", "--backend", "cpu"]
    assert main([*command, "-o", str(tmp_path / "whole.zarr")]) == 0
    assert main([*command, "-o", str(tmp_path / "out.zarr"), "--scheduler", "local"]) == 0
    assert_same(tmp_path / "out.zarr", tmp_path / "whole.zarr")


@pytest.mark.parametrize("form", [list, iter, lambda names: "e?.fits"])
def test_paths_of_a_folder_that_is_not_the_workers(client, tmp_path, paths, monkeypatch, form):
    """Paths and masks are meant as the caller has them."""
    folder, names = tmp_path / "here", [path.name for path in paths[:3]]
    (folder / "masks").mkdir(parents=True)
    for name in names:
        (folder / name).symlink_to(paths[0].parent / name)
        mask = np.zeros((150, 160), np.uint8)
        mask[20:60] = 1
        fits.PrimaryHDU(mask).writeto(folder / "masks" / name)
    monkeypatch.chdir(folder)
    options = {"masks": "masks/*.fits", **QUIET}
    gpures.mosaic([folder / name for name in names], tmp_path / "whole.zarr", **options)
    gpures.mosaic(form(names), "out.zarr", client=client, **options)
    assert_same(folder / "out.zarr", tmp_path / "whole.zarr")
    if form is list:
        cells = [SkyCell("a", *gpures.io.read_mosaic("out.zarr")["wcs"](100.0, 100.0), 200, 200, 0.5)]
        made = list(mosaic_cells(names, "{cell}.fits", cells, client=client, **options))
        assert made[0].exposures == 3
        assert (folder / "a.fits").exists()


def test_without_dask(monkeypatch, tmp_path, paths, capsys):
    """What is missing is said, and how to have it."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    command = ["mosaic", *map(str, paths), "-q", "-o", str(tmp_path / "x.zarr"), "--scheduler", "local"]
    assert main(command) == 1
    assert install("dask") in capsys.readouterr().err


def test_workers_fetch_what_they_read(tmp_path, client, paths):
    """Each from the URL, once, into a copy of its own."""
    fetched = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            fetched.append(self.path)
            super().do_GET()

        def log_message(self, *_):
            pass

    make = partial(Handler, directory=str(paths[0].parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), make) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        urls = [f"http://127.0.0.1:{server.server_port}/{path.name}" for path in paths]
        made = gpures.mosaic(urls, tmp_path / "there.zarr", client=client, **QUIET)
        server.shutdown()
    gpures.mosaic(paths, tmp_path / "here.zarr", client=client, **QUIET)
    there, here = (gpures.io.read_mosaic(tmp_path / f"{name}.zarr") for name in ("there", "here"))
    np.testing.assert_array_equal(there["data"], here["data"])
    assert len(made.exposures) == len(paths)
    counts = Counter(fetched)
    assert set(counts) == {f"/{path.name}" for path in paths}
    assert 1 < max(counts.values()) <= 3  # for the plan, and by each worker


@pytest.mark.parametrize("suffix", ["fits", "zarr"])
def test_cells_by_workers(tmp_path, client, paths, suffix):
    """Each cell is a task, and the mosaic that one process makes of it, to the last bit."""
    ra, dec = map(float, scenes.fits_wcs((60, 64)).wcs.crval)
    cells = [SkyCell(f"c{k}", ra, dec, 100, 90, scenes.SCALE, 10.0, 150.0 - 90 * k, 45.0) for k in range(5)]
    cells.append(SkyCell("far", ra + 90.0, dec, 100, 90, scenes.SCALE))
    alone = {each.name: each for each in mosaic_cells(paths, tmp_path / f"a{{cell}}.{suffix}", cells, **QUIET)}
    seen = mosaic_cells(paths, tmp_path / f"b{{cell}}.{suffix}", cells, client=client, **QUIET)
    there = {each.name: each for each in seen}
    assert {name: (each.exposures, each.data_pixels) for name, each in there.items()} == {
        name: (each.exposures, each.data_pixels) for name, each in alone.items()
    }
    made = [name for name, each in alone.items() if each.path is not None]
    assert len(made) > 1
    assert there["far"].path is None
    for name in made:
        a, b = (gpures.io.read_mosaic(tmp_path / f"{which}{name}.{suffix}") for which in "ab")
        for image in ("data", "wht", "con"):
            np.testing.assert_array_equal(a[image], b[image])
    again = list(mosaic_cells(paths, tmp_path / f"b{{cell}}.{suffix}", cells, client=client, **QUIET))
    assert [each.words for each in again if each.name in made] == ["there already"] * len(made)


def test_a_cell_that_fails(tmp_path, client, paths):
    """Its error is that of one process; nothing is left on the workers."""
    ra, dec = map(float, scenes.fits_wcs((60, 64)).wcs.crval)
    cells = [SkyCell(f"c{k}", ra, dec, 100, 90, scenes.SCALE, 10.0, 100.0 - 20 * k, 45.0) for k in range(4)]
    bad = tmp_path / "bad.fits"
    bad.write_bytes(paths[0].read_bytes())
    sources = find([str(bad), *map(str, paths[1:])])
    bad.write_bytes(bad.read_bytes()[:5000])
    with pytest.raises(FileError, match=r"bad\.fits"):
        list(mosaic_cells(sources, tmp_path / "{cell}.fits", cells, client=client, **QUIET))
    assert not any(client.processing().values())

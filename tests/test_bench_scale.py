"""`gpures bench --scale`: that it measures what it says, on little, and says what is missing."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from test_bench import TINY, blocked, quietly

from gpures import bench, io
from gpures.bench import scale, scenes, table
from gpures.cli import main
from gpures.errors import MissingDependencyError
from gpures.extras import install
from gpures.mosaicking import tiling

pytestmark = pytest.mark.filterwarnings("ignore")

SMALL = dataclasses.replace(
    TINY,
    repeats=1,
    side=100,
    tiles=(4,),
    tiled_side=1024,
    tiled_exposures=2,
    tiled_exposure_side=100,
    save_side=250,
    merge_side=100,
    many_exposures=10,
    many_side=24,
    many_frame_side=100,
)


@pytest.fixture(scope="module", autouse=True)
def _small_tiles():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiling, "GRAIN", 512)
        yield


@pytest.fixture(scope="module")
def report(_small_tiles):
    """Measured by threads of this process, where else there are others."""

    @contextlib.contextmanager
    def cluster(workers):
        distributed = pytest.importorskip("distributed")
        made = {"n_workers": workers, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
        with distributed.LocalCluster(**made) as workers, distributed.Client(workers) as client:
            yield client

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scale, "in_child", lambda function, *arguments: function(*arguments))
        patch.setattr(scale, "cluster", cluster)
        return quietly(SMALL, [bench.SCALE])


def test_rows(report):
    assert bench.failures(report) == []
    rows = {row["name"]: row for row in report[bench.SCALE]}
    assert {name: (row["target"], row["at_least"], row["unit"]) for name, row in rows.items()} == {
        "FITS, 4 tiles / one piece": (1.25, False, "s"),
        "zarr, 4 tiles / one piece": (1.25, False, "s"),
        "save / zarr alone": (2.0, False, "s"),
        "save 1 more / save": (None, False, "s"),
        "a += b / merge": (0.5, True, "s"),
        "1 worker / 2 workers": (1.7, True, "s"),
        "2 workers / no workers": (1.3, False, "s"),
        "memory, 10 / 1": (1.05, False, "bytes"),
        "memory, 10 / 1, context": (None, False, "bytes"),
        "memory, 4 tiles / limit": (1.0, False, "bytes"),
    }
    for row in rows.values():
        assert len(row["all"]) == (SMALL.repeats if row["unit"] == "s" else 1)
        assert all(one > 0 and other > 0 for one, other in row["all"])
        assert row["ratio"] == statistics.median(one / other for one, other in row["all"])
    # Data, weight, three variances with their weights, and the context, of 100 x 100 pixels, but for a thin edge.
    assert rows["a += b / merge"]["bytes"] == pytest.approx(100**2 * 9 * 4, rel=0.05)


@pytest.mark.parametrize(
    ("target", "at_least", "reached"),
    [(2.0, False, True), (1.9, False, False), (2.0, True, True), (2.1, True, False), (None, False, None)],
)
def test_a_row_is_of_ratios_within_turns(target, at_least, reached):
    """Their median, 2, is not the ratio of the medians."""
    row = scale.ratio_row([(2.0, 1.0), (30.0, 10.0), (10.0, 10.0)], target, at_least)
    assert (row["ratio"], row["amount"], row["beside"], row["reached"]) == (2.0, 10.0, 10.0, reached)
    cells = table.CELLS[bench.SCALE](row, {})
    assert cells[:3] == ["10.0 s", "10.0 s", "2.00x"]
    sign = ">=" if at_least else "<="
    assert cells[3:] == (["-", "-"] if target is None else [f"{sign} {target:g}x", "yes" if reached else "no"])


def test_exposures_fill_the_frame(tmp_path):
    """Each lies in its place, up to its distortion, and its file has the WCS, the arrays and the flags of its model."""
    files = scale.Files(tmp_path / "files", 64, 224, 36, "cpu")
    paths = files.paths()
    frame = files.options["output_wcs"]
    middle = np.array([31.5])
    for k, path in enumerate(paths):
        column, row = k % 6, k // 6
        with fits.open(path) as hdus:
            wcs = WCS(hdus[0].header)
            x, y = frame.invert(*wcs.all_pix2world(middle, middle, 0))
            assert x[0] == pytest.approx(31.5 + 32 * column, abs=0.5)
            assert y[0] == pytest.approx(31.5 + 32 * row, abs=0.5)
            own = scenes.placed_wcs(scale._place(k, 6, 64, 224), (64, 64))
            np.testing.assert_allclose(wcs.all_pix2world(3.0, 50.0, 0), own(3.0, 50.0), rtol=0, atol=1e-9)
            model = scenes.make_model(k, (64, 64), own)
            np.testing.assert_array_equal(hdus["DQ"].data, model["dq"])
            for name in ("err", *scenes.VARIANCES):
                np.testing.assert_array_equal(hdus[name.upper()].data, model[name])
    before = paths[0].stat().st_mtime_ns
    assert files.paths()[0].stat().st_mtime_ns == before
    scale._made(files, tmp_path / "m.fits", 1)
    with fits.open(tmp_path / "m.fits") as hdus:
        assert np.isfinite(hdus[1].data[2:-2, 2:-2]).all()
    with pytest.raises(RuntimeError, match="made in 1 tiles, and 4 were asked for"):
        scale._made(files, tmp_path / "m.fits", 4)
    made = io.read_mosaic(tmp_path / "m.fits")
    assert made["wht"].max() > 0


def test_zarr_alone_writes_all_arrays(tmp_path):
    """What saving is measured beside."""
    zarr = pytest.importorskip("zarr")
    rng = np.random.default_rng(0)
    images = {"data": rng.random((50, 70), np.float32), "con": rng.integers(0, 9, (2, 50, 70), np.int32)}
    scale._write_alone(tmp_path / "alone", images | {"number": np.ones(3)})
    group = zarr.open_group(tmp_path / "alone", mode="r")
    assert sorted(group) == ["con", "data"]
    for name, image in images.items():
        np.testing.assert_array_equal(group[name][...], image)


def test_what_is_missing_is_said(monkeypatch):
    """Whatever needs it has no figure, and the rest has."""
    blocked(monkeypatch, "zarr", "distributed")
    monkeypatch.setattr(scale, "in_child", lambda function, *arguments: function(*arguments))
    report = quietly(SMALL, [bench.SCALE])
    errors = {row["name"]: row["error"] for row in report[bench.SCALE] if "error" in row}
    assert list(errors) == ["tiles, zarr", "save", "workers"]
    for name, words in errors.items():
        assert words.startswith(MissingDependencyError.__name__)
        assert install("dask" if name == "workers" else "zarr") in words
    assert [row["reached"] is not None for row in report[bench.SCALE] if row["name"].startswith("FITS")] == [True]


def test_on_a_gpu_nothing_is_measured():
    assert list(scale.jobs(dataclasses.replace(SMALL, backend="cuda"))) == []


@pytest.mark.parametrize(
    ("words", "sections"),
    [
        (["--scale"], [bench.SCALE]),
        (["--scale", "--only", "limits"], ["limits", bench.SCALE]),
        (["--scale", "--case", "point"], ["cases", bench.SCALE]),
        ([], list(bench.SECTIONS)),
    ],
)
def test_command(words, sections, monkeypatch, tmp_path):
    """It is measured where it is asked for, and only then."""
    asked = []
    monkeypatch.setattr(bench, "run", lambda plan, sections, *paths: asked.append(list(sections)) or True)
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *words]) == 0
    assert asked == [sections]

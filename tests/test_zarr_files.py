"""Mosaics in zarr appear whole or not at all; `gpures mosaic` writes and takes them, and `gpures plot` draws them."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import files
import matplotlib.pyplot as plt
import numpy as np
import pytest
import scenes
import zarr
import zarr_mosaics as zm

import gpures
from gpures import io, plot
from gpures.box import Box
from gpures.cli import main
from gpures.io import zarr_reader
from gpures.io.mosaic_reader import seen

OLD, NEW = zm.planes(1), zm.planes(2)


@pytest.fixture(params=["exchanged", "put aside"])
def way(request, monkeypatch):
    """With what Linux has to exchange folders, and without."""
    if request.param == "put aside":
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace())


def names(folder):
    return sorted(os.listdir(folder))


def is_of(path, images):
    """Whether a mosaic has such data."""
    return zm.same_bits(io.read_mosaic(path)["data"], images["data"])


# ---- appearing -------------------------------------------------------------------------------------------------------


def test_new(way, tmp_path):
    """It has its name when it is finished, and not before."""
    with zm.begun(tmp_path / "m.zarr", NEW) as store:
        store.write_images(NEW)
        assert not (tmp_path / "m.zarr").exists()
        store.finish()
    assert names(tmp_path) == ["m.zarr"]
    assert is_of(tmp_path / "m.zarr", NEW)


def test_overwriting(way, tmp_path):
    """The old one is there until the new one is, and gone then; the folder's mode stays."""
    path = zm.written(tmp_path / "m.zarr", OLD)
    path.chmod(0o750)
    with zm.begun(path, NEW, overwrite=True) as store:
        store.write_images(NEW)
        assert is_of(path, OLD)
        (part,) = tmp_path.glob(".gpures-*")
        assert stat.S_IMODE(part.stat().st_mode) == 0o750
        store.finish()
    assert names(tmp_path) == ["m.zarr"]
    assert is_of(path, NEW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o750


def test_of_a_link_the_target_is_replaced(way, tmp_path):
    """As with files."""
    (tmp_path / "there").mkdir()
    zm.written(tmp_path / "there" / "m.zarr", OLD)
    (tmp_path / "link.zarr").symlink_to(tmp_path / "there" / "m.zarr")
    io.write(tmp_path / "link.zarr", zm.mosaic_of(NEW), overwrite=True)
    assert (tmp_path / "link.zarr").is_symlink()
    assert is_of(tmp_path / "there" / "m.zarr", NEW)
    assert names(tmp_path / "there") == ["m.zarr"]


def a_folder(path):
    path.mkdir()
    (path / "thesis.tex").write_text("all of it")


def a_store(path):
    zarr.create_array(path, shape=(3, 3), dtype="f4", zarr_format=3)


def a_mosaic_with_a_note(path):
    zm.written(path, OLD)
    (path / "notes.txt").write_text("my notes")


def a_mosaic_with_a_folder(path):
    zm.written(path, OLD)
    (path / "mine").mkdir()


def a_later_mosaic(path):
    zm.written(path, OLD)
    (path / "zarr.json").write_text((path / "zarr.json").read_text().replace('"schema": 1', '"schema": 9'))


THINGS = [a_folder, a_store, a_mosaic_with_a_note, a_mosaic_with_a_folder, a_later_mosaic, lambda path: path.touch()]


def content(folder):
    return {str(each): each.is_file() and each.read_bytes() for each in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("make", THINGS)
def test_what_is_never_replaced(way, tmp_path, make):
    """Nothing but a mosaic of gpures, and nothing else besides, is replaced, at the beginning or in the end."""
    make(tmp_path / "m.zarr")
    before = content(tmp_path)
    with pytest.raises(FileExistsError, match=r"m\.zarr"):
        io.write(tmp_path / "m.zarr", zm.mosaic_of(NEW), overwrite=True)
    with pytest.raises(FileExistsError, match=r"m\.zarr"):
        io.write(tmp_path / "m.zarr", zm.mosaic_of(NEW))
    assert content(tmp_path) == before
    with zm.begun(tmp_path / "n.zarr", NEW, overwrite=True) as store:
        shutil.move(tmp_path / "m.zarr", tmp_path / "n.zarr")
        before = content(tmp_path / "n.zarr")
        with pytest.raises(FileExistsError, match=r"n\.zarr"):
            store.finish()
    assert names(tmp_path) == ["n.zarr"]
    assert content(tmp_path / "n.zarr") == before


@pytest.mark.parametrize("make", [lambda path: zm.written(path, OLD), a_folder, lambda path: path.mkdir()])
def test_one_that_appears_meanwhile_stays(way, tmp_path, make):
    """Without overwrite nothing is replaced, an empty folder included."""
    with zm.begun(tmp_path / "m.zarr", NEW) as store:
        make(tmp_path / "m.zarr")
        before = content(tmp_path / "m.zarr")
        with pytest.raises(FileExistsError, match="by now"):
            store.finish()
    assert names(tmp_path) == ["m.zarr"]
    assert content(tmp_path / "m.zarr") == before


def test_the_file_of_another_kind(tmp_path):
    """A folder is not replaced by a file."""
    zm.written(tmp_path / "m.zarr", OLD)
    shutil.move(tmp_path / "m.zarr", tmp_path / "m.fits")
    with pytest.raises(OSError, match="folder"):
        io.write(tmp_path / "m.fits", zm.resampled(), overwrite=True)
    assert is_of(shutil.move(tmp_path / "m.fits", tmp_path / "m.zarr"), OLD)


@pytest.mark.parametrize("where", ["zarr_overviews.Overview.make", "atomic_folder.sync", "zarr_writer.units_of"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_leaves_the_old_one(tmp_path, monkeypatch, where, error):
    """Whatever happens before the end, what was there stays, and nothing else."""
    path = zm.written(tmp_path / "m.zarr", OLD)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr("gpures.io.zarr_overviews.SMALLEST", 20)
    monkeypatch.setattr(f"gpures.io.{where}", fail)
    with pytest.raises(type(error)):
        io.write(path, zm.mosaic_of(NEW), overwrite=True)
    assert names(tmp_path) == ["m.zarr"]
    assert is_of(path, OLD)


def test_that_it_can_not_be_put_in_place(tmp_path, monkeypatch):
    """Where folders can't be exchanged, and the new one can't be moved in, the old one is put back."""
    path = zm.written(tmp_path / "m.zarr", OLD)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace())
    rename = os.rename

    def fail(old, new):
        if str(new) == str(path) and not str(old).endswith(".old"):
            raise PermissionError(1, "no", new)
        rename(old, new)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(PermissionError):
        io.write(path, zm.mosaic_of(NEW), overwrite=True)
    assert names(tmp_path) == ["m.zarr"]
    assert is_of(path, OLD)


KILLED = """
    import sys, time
    sys.path.insert(0, {tests!r})
    import zarr_mosaics as zm
    images = zm.planes(2)
    store = zm.begun({path!r}, images, overwrite=True)
    print("begun", flush=True)
    while True:
        store.write_images(images)
"""


def test_a_process_that_is_killed(tmp_path):
    """What it left is removed by the next that writes there, and not while it lives; what was there is as it was."""
    path = zm.written(tmp_path / "m.zarr", OLD)
    program = textwrap.dedent(KILLED).format(tests=os.path.dirname(__file__), path=str(path))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        zm.written(tmp_path / "other.zarr", OLD)
        (left,) = (name for name in names(tmp_path) if name.startswith(".gpures-"))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert left in names(tmp_path)
    assert is_of(path, OLD)
    io.write(path, zm.mosaic_of(NEW), overwrite=True)
    assert names(tmp_path) == ["m.zarr", "other.zarr"]
    assert is_of(path, NEW)


# ---- gpures.mosaic ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Exposures of JWST."""
    folder = tmp_path_factory.mktemp("exposures")
    return [files.jwst_file(folder / f"jw{k}_cal.fits", seed=k, rotation=3.0 * k) for k in range(3)]


QUIET = ["--backend", "cpu", "-q"]


def assert_same(one, other):
    """Compare two mosaics in files: images, exposures, facts."""
    one, other = io.read_mosaic(one), io.read_mosaic(other)
    images = {name for name, value in other.items() if isinstance(value, np.ndarray)}
    assert images == {name for name, value in one.items() if isinstance(value, np.ndarray)}
    for name in images:
        assert zm.same_bits(one[name], other[name]), name
    for name in ("exposures", "history", "bunit_data", "exposure_time", "pointings", "kernel"):
        assert one[name] == other[name], name


def test_the_command(paths, tmp_path, capsys):
    """``gpures mosaic -o m.zarr`` makes what it makes in FITS, tells its size, and replaces it when told so."""
    for name in ("m.fits", "m.zarr"):
        assert main(["mosaic", *map(str, paths), "-o", str(tmp_path / name), "--backend", "cpu"]) == 0
    told = capsys.readouterr().out
    assert f"{tmp_path / 'm.zarr'}, 0." in told
    made = {suffix: io.read_mosaic(tmp_path / f"m.{suffix}") for suffix in ("fits", "zarr")}
    images = {name for name, value in made["fits"].items() if isinstance(value, np.ndarray)}
    for name in images:
        assert zm.same_bits(made["zarr"][name], made["fits"][name]), name
    assert made["zarr"]["exposures"] == made["fits"]["exposures"]
    again = ["mosaic", *map(str, paths[:1]), "-o", str(tmp_path / "m.zarr"), *QUIET]
    assert main(again) == 2
    assert main([*again, "--overwrite"]) == 0
    assert len(io.read_mosaic(tmp_path / "m.zarr")["exposures"]) == 1
    (tmp_path / "n.zarr").mkdir()
    assert main(["mosaic", *map(str, paths), "-o", str(tmp_path / "n.zarr"), *QUIET, "--overwrite"]) == 2
    assert "n.zarr" in capsys.readouterr().err
    assert names(tmp_path) == ["m.fits", "m.zarr", "n.zarr"]


def test_gone_on_with(paths, tmp_path):
    """A mosaic in zarr takes further exposures in its place, as one in FITS does."""
    for suffix in ("fits", "zarr"):
        gpures.mosaic(paths[:2], tmp_path / f"m.{suffix}", backend="cpu", progress=False)
        gpures.mosaic(paths[2:], add_to=tmp_path / f"m.{suffix}", backend="cpu", progress=False)
    made = {suffix: io.read_mosaic(tmp_path / f"m.{suffix}") for suffix in ("fits", "zarr")}
    for name in ("data", "wht", "con", "err", "var_rnoise"):
        assert zm.same_bits(made["zarr"][name], made["fits"][name]), name
    assert made["zarr"]["exposures"] == made["fits"]["exposures"]
    assert made["zarr"]["history"][:-1] != made["zarr"]["history"]
    assert len(made["zarr"]["exposures"]) == 3
    assert names(tmp_path) == ["m.fits", "m.zarr"]


def test_in_its_frame(paths, tmp_path):
    """``--like m.zarr`` takes its frame."""
    first, second = tmp_path / "first.zarr", tmp_path / "second.zarr"
    assert main(["mosaic", *map(str, paths), "-o", str(first), "--scale", "0.08", *QUIET]) == 0
    assert main(["mosaic", str(paths[1]), "-o", str(second), "--like", str(first), *QUIET]) == 0
    one, other = io.read_mosaic(first), io.read_mosaic(second)
    assert one["data"].shape == other["data"].shape
    np.testing.assert_array_equal(one["wcs"](3.0, 4.0), other["wcs"](3.0, 4.0))


def test_mosaics_of_mosaics(paths, tmp_path):
    """Mosaics in zarr are exposures, by path or pattern; one that holds another's exposure is told of."""
    for k, path in enumerate(paths):
        gpures.mosaic(path, tmp_path / f"m{k}.zarr", backend="cpu", progress=False)
        gpures.mosaic(path, tmp_path / f"m{k}.asdf", backend="cpu", progress=False)
    options = {"backend": "cpu", "progress": False, "output_wcs": tmp_path / "m0.zarr"}
    of_zarr = gpures.mosaic(str(tmp_path / "m*.zarr"), **options)
    of_asdf = gpures.mosaic(str(tmp_path / "m*.asdf"), **options)
    assert len(of_zarr.exposures) == 3
    for name in ("data", "wht", "con"):
        np.testing.assert_array_equal(of_zarr.model[name], of_asdf.model[name], name)
    assert all(record.digest for record in of_zarr.exposures)
    assert len({record.digest for record in of_zarr.exposures}) == 3


# ---- pictures --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A mosaic of 6000 x 5000 pixels with a star in it, in zarr, and its output model."""
    shape = ny, nx = 6000, 5000
    rng = np.random.default_rng(3)
    y, x = np.ogrid[:ny, :nx]
    data = (rng.normal(1, 0.1, (ny // 100, nx // 100)).repeat(100, 0).repeat(100, 1)).astype(np.float32)
    data += 50 * np.exp(-0.5 * (((x - 3000) / 60) ** 2 + ((y - 4000) / 60) ** 2)).astype(np.float32)
    wht = (1 + (x > 2500) + 0 * y).astype(np.float32)
    wht[:500] = 0
    data[:500] = np.nan
    con = (wht > 0).astype(np.int32)[None] | ((wht > 1).astype(np.int32)[None] << 1)
    dq = np.where(con[0] == 1, np.uint32(4), np.uint32(0))
    model = {"wcs": scenes.imaging_wcs(shape), "data": data, "wht": wht, "con": con, "dq": dq, "fillval": "NaN"}
    model |= {"err": (0.1 * np.abs(data)).astype(np.float32), "kernel": "square"}
    path = tmp_path_factory.mktemp("large") / "m.zarr"
    io.write(path, model, unit="MJy/sr")
    return path, model


@pytest.fixture
def pixels_read(monkeypatch):
    """How many pixels have been read of each array."""
    read = {}
    get = zarr_reader.Plane.__getitem__

    def counted(plane, key):
        values = get(plane, key)
        if plane.ndim > 1:  # else it is the WCS
            read[plane.name] = read.get(plane.name, 0) + values.size
        return values

    monkeypatch.setattr(zarr_reader.Plane, "__getitem__", counted)
    return read


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


DRAWN = {"data": plot.mosaic, "wht": plot.weight, "err": plot.error, "con": plot.depth, "dq": plot.dq}


@pytest.mark.parametrize("name", DRAWN)
def test_the_whole_by_its_overview(large, pixels_read, name):
    """A picture of the whole is that of the pixels themselves, but for blocks of another size, and few are read."""
    path, model = large
    (drawn,), (expected,) = DRAWN[name](path).images, DRAWN[name](model | {"bunit_data": "MJy/sr"}).images
    assert sum(pixels_read.values()) < 0.3 * model["data"].size
    assert all(array.startswith("overviews/4/") for array in pixels_read)
    assert drawn.get_array().shape == (1500, 1250)
    assert drawn.get_extent() == [-0.5, 4999.5, -0.5, 5999.5]
    rows, columns = np.mgrid[650:5900:100, 50:5000:100]

    def values_at(image):
        left, right, bottom, top = image.get_extent()
        ny, nx = image.get_array().shape
        at = ((rows + 0.5) / (top - bottom) * ny).astype(int), ((columns + 0.5) / (right - left) * nx).astype(int)
        return image.get_array()[at]

    one, other = values_at(drawn), values_at(expected)
    assert not np.ma.getmaskarray(one).any()
    if name in ("con", "dq", "wht"):
        np.testing.assert_array_equal(one, other)
    else:
        np.testing.assert_allclose(one, other, rtol=0.1)
    assert np.ma.getmaskarray(drawn.get_array())[:120].all() or name == "dq"


def test_a_part_by_its_own_pixels(large, pixels_read):
    """A cut-out has the mosaic's own pixels, and no others are read than those."""
    path, model = large
    ra, dec = model["wcs"](3000.0, 4000.0)
    size = 100 * scenes.SCALE
    (drawn,), (expected,) = (plot.mosaic(each, around=(ra, dec), size=size).images for each in (path, model))
    np.testing.assert_array_equal(drawn.get_array(), expected.get_array())
    assert drawn.get_extent() == expected.get_extent()
    assert set(pixels_read) == {"data", "wht"}
    assert max(pixels_read.values()) < 4 * 102**2


def test_a_part_by_its_overview(large, pixels_read):
    """One of more pixels than a page has is drawn of the overview, at its place."""
    path, model = large
    ra, dec = model["wcs"](2501.0, 3003.0)
    axes = plot.mosaic(path, around=(ra, dec), size=(3001 * scenes.SCALE, 2001 * scenes.SCALE))
    (drawn,) = axes.images
    assert set(pixels_read) == {"overviews/2/data", "overviews/2/wht"}
    left, right, bottom, top = drawn.get_extent()
    assert [(edge + 0.5) % 2 for edge in (left, right, bottom, top)] == [0, 0, 0, 0]
    low, high = axes.get_xlim()
    assert left <= low < left + 4
    assert right - 4 < high <= right
    row, column = np.unravel_index(np.argmax(drawn.get_array()), drawn.get_array().shape)
    assert abs(left + 2 * column - 3000) < 20
    assert abs(bottom + 2 * row - 4000) < 20


def test_all_pictures(large, tmp_path, pixels_read):
    """``gpures plot m.zarr``, and the other pictures, take a path of zarr."""
    path, model = large
    assert main(["plot", str(path), "-o", str(tmp_path / "m.png"), "--dpi", "50"]) == 0
    assert (tmp_path / "m.png").stat().st_size > 10_000
    assert sum(pixels_read.values()) < model["data"].size
    ra, dec = model["wcs"](3000.0, 4000.0)
    assert main(["plot", str(path), "-o", str(tmp_path / "n.png"), "--around", str(ra), str(dec), "--size", "3"]) == 0
    plot.side_by_side({"one": path, "other": path}, around=(ra, dec), size=3.0)
    exposure = scenes.model_of(scenes.imaging_wcs((60, 60)), (60, 60))
    plot.before_after(exposure, path)
    difference = plot.difference(path, model)
    assert (difference.largest, difference.alone) == (0.0, 0)


def test_a_broken_one_is_not_drawn(large, tmp_path, capsys):
    """The command says what is wrong."""
    path = shutil.copytree(large[0], tmp_path / "m.zarr")
    (path / "overviews/4/data/c/0/0").unlink()
    assert main(["plot", str(path), "-o", str(tmp_path / "m.png")]) == 2
    assert "overviews/4/data/c/0/0 is missing" in capsys.readouterr().err
    assert not (tmp_path / "m.png").exists()


def test_parts_that_are_not_written(tmp_path):
    """A mosaic with no more than a tile of it written is drawn and read as that."""
    images = {"data": NEW["data"], "wht": NEW["wht"]}
    with zm.begun(tmp_path / "m.zarr", images) as store:
        for name, image in images.items():
            store.write(name, Box(16, 47, 32, 47), image[32:48, 16:48])
        store.finish()
    model = seen(tmp_path / "m.zarr")
    assert np.isnan(model["data"][...]).sum() == 70 * 90 - 16 * 32
    (drawn,) = plot.mosaic(tmp_path / "m.zarr").images
    assert drawn.get_array().count() == 16 * 32

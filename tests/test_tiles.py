"""Mosaics that are made in tiles are those that are made in one piece, and keep to the memory that they may use."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import scenes
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

import gpures
from gpures.box import Box
from gpures.cli import main
from gpures.io import fits_parts
from gpures.io.context import renumbered, spread
from gpures.machine.memory import used_memory
from gpures.mosaicking import tiling
from gpures.mosaicking.build import build
from gpures.mosaicking.plan import OF_PROCESS, make_plan
from gpures.mosaicking.tiling import checked_limit, tiles_of

OF_FILE = ["DATE", "CHECKSUM", "FILENAME"]
QUIET = {"progress": None}


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch):
    """Tiles of whole rectangles that a thread has, so that sums are those of one piece to the last bit."""
    monkeypatch.setattr(tiling, "GRAIN", 512)


def exposure(path, k, shape=(300, 400), shift=(0, 0), **keywords):
    """A file with flags and errors."""
    rng = np.random.default_rng(k)
    header = scenes.fits_wcs(shape, rotation=7.0 * k, shift=shift).to_fits(relax=True)[0].header
    header.update({"EXPTIME": 30.0 + k, "BUNIT": "MJy/sr", "MJD-OBS": 60000.0 + k, "OBSERVER": "A"} | keywords)
    data = rng.normal(5, 1, shape).astype(np.float32)
    dq = rng.choice([0, 0, 0, 4], shape).astype(np.int16)
    err = rng.uniform(0.5, 1.5, shape).astype(np.float32)
    hdus = [fits.PrimaryHDU(data, header), fits.ImageHDU(dq, name="DQ"), fits.ImageHDU(err, name="ERR")]
    fits.HDUList(hdus).writeto(path)
    return path


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Exposures along a diagonal, so that some tiles have none."""
    folder = tmp_path_factory.mktemp("exposures")
    return [exposure(folder / f"e{k}.fits", k, shift=(250 * k, -120 * k)) for k in range(6)]


def in_tiles(paths, out, pixels=400_000, room=3_000_000, **options):
    """A mosaic whose tiles have at most so many pixels."""
    plan = make_plan(paths, out, **QUIET | options)
    plan.tiles, plan.shelf_bytes = tiles_of(plan.shape, pixels), room
    return build(plan, None)


def assert_same_files(got, expected):
    """Two mosaics are equal to the last bit, sums of their data and tables too."""
    with fits.open(got, checksum=True) as one, fits.open(expected, checksum=True) as other:
        for hdus in (one, other):
            del hdus[0].header["HISTORY"]
            for hdu in hdus:
                assert hdu.header["DATASUM"]
                hdu.header.comments["DATASUM"] = ""
        report = fits.FITSDiff(one, other, ignore_keywords=OF_FILE)
        assert report.identical, report.report()


OPTIONS = [
    {},
    {"propagate_dq": True, "enable_exptime_map": True, "kernel": "turbo", "pixfrac": 0.8, "rotation": 30.0},
    {"enable_ctx": False, "fillval": 0.0, "dq_of_empty": 1, "propagate_dq": True, "compute_err": "driz_err"},
    {"enable_var": False, "compute_err": None, "weight_type": "exptime", "fillval": -1.0},
    {"accumulator_dtype": "f8", "pixel_scale_ratio": 0.7},
    {"variance_method": "propagated"},
    {"variance_method": "propagated", "compute_err": "driz_err", "kernel": "turbo", "fillval": 2.0},
    {"covariance": 2, "noise_factor": True, "compute_err": "driz_err", "enable_var": False, "pixel_scale_ratio": 0.5},
    {"covariance": True, "noise_factor": True, "compute_err": "driz_err", "pixfrac": 0.8, "rotation": 30.0},
]


# With covariances a frame has a dozen planes more.
LONG = [pytest.param(options, marks=pytest.mark.long) for options in OPTIONS if "covariance" in options]
OTHERS = [options for options in OPTIONS if "covariance" not in options]


@pytest.mark.parametrize("options", [*OTHERS, *LONG], ids=str)
@pytest.mark.parametrize(("pixels", "room"), [(10**6, 0), (300_000, 10**9)])
def test_the_same_file(tmp_path, paths, caplog, options, pixels, room):
    """Whatever the options are, and whether or not exposures can be kept between tiles."""
    whole = gpures.mosaic(paths, tmp_path / "whole.fits", **QUIET | options)
    said = sorted(record.getMessage() for record in caplog.records)
    caplog.clear()
    made = in_tiles(paths, tmp_path / "tiles.fits", pixels, room, **options)
    assert sorted(record.getMessage() for record in caplog.records if "tiles" not in record.getMessage()) == said
    assert len(made.plan.tiles) > 1
    assert_same_files(tmp_path / "tiles.fits", tmp_path / "whole.fits")
    assert made.data_pixels == whole.data_pixels
    assert made.pixels == whole.pixels
    assert made.added == whole.added
    assert made.used == whole.used
    assert made.report.partition("backend")[0] == whole.report.partition("backend")[0]


def test_on_a_gpu(tmp_path, cuda, paths):
    """There sums are added in any order."""
    gpures.mosaic(paths[:3], tmp_path / "whole.fits", backend="cpu", propagate_dq=True, **QUIET)
    in_tiles(paths[:3], tmp_path / "tiles.fits", backend="cuda", propagate_dq=True)
    with fits.open(tmp_path / "tiles.fits") as one, fits.open(tmp_path / "whole.fits") as other:
        for hdu in other[1:6]:
            np.testing.assert_allclose(one[hdu.name].data, hdu.data, 3e-6, 1e-6, err_msg=hdu.name)
        np.testing.assert_array_equal(one["DQ"].data, other["DQ"].data)


def test_models_in_memory(tmp_path):
    """Of models as well, of which two by two are of one group."""
    shape = (200, 220)
    models = scenes.dithered_models(shape, n=5)
    for k, model in enumerate(models):
        model["group_id"] = f"visit {k // 2}"
        model["exposure_time"] = 10.0 + k
    frame = scenes.frame_around(shape, ratio=0.3, margin=300)
    options = {"output_wcs": frame}
    gpures.mosaic(models, tmp_path / "whole.fits", **QUIET | options)
    made = in_tiles(models, tmp_path / "tiles.fits", **options)
    assert len(made.plan.tiles) > 3
    assert_same_files(tmp_path / "tiles.fits", tmp_path / "whole.fits")


@pytest.mark.parametrize("lacking", [[0, 1], [0, 1, 2, 3]])
def test_propagated_variances_that_some_lack(tmp_path, lacking):
    """An error does not depend on which of the exposures reach a tile."""
    shape = (200, 220)
    models = [scenes.model_of(scenes.imaging_wcs(shape, shift=(170 * k, 20 * k)), shape, seed=k) for k in range(4)]
    for k in lacking:
        models[k]["var_flat"] = None
    options = {"output_wcs": scenes.frame_around(shape, ratio=0.5, margin=700), "variance_method": "propagated"}
    gpures.mosaic(models, tmp_path / "whole.fits", **QUIET | options)
    made = in_tiles(models, tmp_path / "tiles.fits", **options)
    assert len(made.plan.tiles) > 3
    assert_same_files(tmp_path / "tiles.fits", tmp_path / "whole.fits")
    err, wht = (fits.getdata(tmp_path / "tiles.fits", name) for name in ("ERR", "WHT"))
    assert np.isfinite(err).any()
    assert np.isnan(err[wht > 0]).any() == (len(lacking) < 4)


# ---- exposures that are left out -------------------------------------------------------------------------------------


def test_exposures_that_are_left_out(tmp_path, paths):
    """Those that are empty, can't be read, or are copies: others move up in the context, as in one piece."""
    rng = np.random.default_rng(1)
    every = []
    for k in range(70):
        every.append(exposure(tmp_path / f"x{k}.fits", k, (40, 50), shift=rng.integers(-250, 250, 2)))
    for k in (3, 40):
        with fits.open(every[k], mode="update") as hdus:
            hdus[0].data[:] = np.nan
    every[33].write_bytes(every[33].read_bytes()[:12000])
    every.insert(11, tmp_path / "copy.fits")
    every[11].write_bytes(every[0].read_bytes())
    whole = gpures.mosaic(every, tmp_path / "whole.fits", skip_bad=True, **QUIET)
    made = in_tiles(every, tmp_path / "tiles.fits", skip_bad=True)
    assert len(made.plan.tiles) > 1
    assert made.added == whole.added
    assert len(made.added) == 67
    assert sorted(made.skipped) == sorted(whole.skipped)
    assert_same_files(tmp_path / "tiles.fits", tmp_path / "whole.fits")


def test_what_is_wrong_with_an_exposure(tmp_path, paths):
    """Without 'skip_bad' it is an error, and nothing is left."""
    bad = exposure(tmp_path / "bad.fits", 9, shift=(300, -100))
    bad.write_bytes(bad.read_bytes()[:200000])
    with pytest.raises(gpures.io.FileError, match=r"bad\.fits"):
        in_tiles([*paths, bad], tmp_path / "tiles.fits")
    assert sorted(os.listdir(tmp_path)) == ["bad.fits"]


def test_exposures_beside_the_frame(tmp_path, paths, caplog):
    """One that reaches no pixel counts as it does in one piece, and is told of."""
    frame = gpures.mosaic(paths[:3], **QUIET).wcs
    frame.array_shape = (600, 620)
    gone = exposure(tmp_path / "gone.fits", 3, (30, 30), shift=(-900, 0))
    options = {"output_wcs": frame}
    gpures.mosaic([*paths, gone], tmp_path / "whole.fits", **QUIET | options)
    expected = [record.message for record in caplog.records if "nothing of it" in record.message]
    caplog.clear()
    in_tiles([*paths, gone], tmp_path / "tiles.fits", **options)
    assert [record.message for record in caplog.records if "nothing of it" in record.message] == expected
    assert_same_files(tmp_path / "tiles.fits", tmp_path / "whole.fits")


@given(st.lists(st.integers(0, 99), unique=True, max_size=99), st.integers(0, 2**32 - 1))
def test_renumbered_contexts(numbers, seed):
    """Each exposure's bit moves to its new place, and those of others are gone."""
    bits = np.random.default_rng(seed).random((100, 3, 4)) < 0.5
    context = np.zeros((4, 3, 4), np.uint32)
    for k, image in enumerate(bits):
        context[k // 32] |= image.astype(np.uint32) << np.uint32(k % 32)
    got = renumbered(context.view(np.int32), numbers).view(np.uint32)
    for k in range(128):
        image = (got[k // 32] >> np.uint32(k % 32)) & 1
        np.testing.assert_array_equal(image, bits[numbers[k]] if k < len(numbers) else 0)


# ---- the file --------------------------------------------------------------------------------------------------------


def test_images_in_which_nothing_is(tmp_path, paths):
    """They are not in the file, and what lies behind them moves up."""
    odd = []
    for k, path in enumerate(paths[:3]):
        odd.append(tmp_path / path.name)
        with fits.open(path) as hdus:
            hdus.append(fits.ImageHDU(np.full((300, 400), np.nan, np.float32), name="VAR_POISSON"))
            hdus.append(fits.ImageHDU(np.full((300, 400), 2.0 + k, np.float32), name="VAR_RNOISE"))
            hdus.writeto(odd[-1])
    options = {"propagate_dq": True}
    gpures.mosaic(odd, tmp_path / "whole.fits", **QUIET | options)
    made = in_tiles(odd, tmp_path / "tiles.fits", **options)
    assert "var_poisson" in made.plan.frame.variance_names
    assert_same_files(tmp_path / "tiles.fits", tmp_path / "whole.fits")


@pytest.mark.parametrize("room", [0, 200])
def test_headers_that_grow(tmp_path, paths, monkeypatch, room):
    """Where there is no room for what was found out, all is moved."""
    monkeypatch.setattr(fits_parts, "ROOM", room)
    monkeypatch.setattr(fits_parts, "AT_ONCE", 10_000)
    before = fits_parts.FITSMosaic._hdus
    grows = {"by": 0}

    def hdus(self, facts, unit, exposures, header, history):
        grows["by"] += 150
        more = {f"X{k:05d}": k for k in range(grows["by"] - 150)}
        return before(self, facts, unit, exposures, dict(header) | more, history)

    monkeypatch.setattr(fits_parts.FITSMosaic, "_hdus", hdus)
    gpures.mosaic(paths, tmp_path / "whole.fits", **QUIET)
    in_tiles(paths, tmp_path / "tiles.fits")
    with fits.open(tmp_path / "tiles.fits", mode="update", checksum=True) as file:
        assert file[0].header["X00149"] == 149
        for k in range(150):
            del file[0].header[f"X{k:05d}"]
    assert_same_files(tmp_path / "tiles.fits", tmp_path / "whole.fits")


def test_sparse(tmp_path, paths):
    """What is zero takes no room on the disk."""
    frame = {"output_shape": (3000, 3000), "fillval": 0.0, "enable_var": False, "compute_err": None}
    in_tiles(paths[:1], tmp_path / "tiles.fits", **frame)
    status = os.stat(tmp_path / "tiles.fits")
    assert status.st_blocks * 512 < 0.1 * status.st_size


def test_gone_on_with_afterwards(tmp_path, paths):
    """A file that was made in tiles is a mosaic like others, unless it can't tell the weights of its variances."""
    gpures.mosaic(paths[:4], tmp_path / "whole.fits", **QUIET)
    in_tiles(paths[:4], tmp_path / "tiles.fits")
    for name in ("whole", "tiles"):
        gpures.mosaic(paths[4:], add_to=tmp_path / f"{name}.fits", **QUIET)
    assert_same_files(tmp_path / "tiles.fits", tmp_path / "whole.fits")
    odd = tmp_path / "odd.fits"
    with fits.open(paths[1]) as hdus:
        hdus.append(fits.ImageHDU(np.full((300, 400), 2.0, np.float32), name="VAR_POISSON"))
        hdus.writeto(odd)
    gpures.mosaic([odd, paths[0]], tmp_path / "whole2.fits", weight_type="exptime", **QUIET)
    in_tiles([odd, paths[0]], tmp_path / "tiles2.fits", weight_type="exptime")
    with fits.open(tmp_path / "whole2.fits") as one, fits.open(tmp_path / "tiles2.fits") as other:
        kept = [hdu.name for hdu in one if hdu.name.startswith("VWHT")]
        assert "OPTIONS" not in other[0].header
        assert not [hdu.name for hdu in other if hdu.name.startswith("VWHT")]
    assert kept
    with pytest.raises(gpures.io.FileError, match="does not tell with which options it was made"):
        gpures.mosaic(paths[2:3], add_to=tmp_path / "tiles2.fits", **QUIET)


def test_written_in_pieces(tmp_path, paths, monkeypatch):
    """A system may write or read less than it is asked for, as it does where a disk is nearly full."""
    write, read, short = os.pwrite, os.pread, []

    def writing(file, content, at):
        piece = memoryview(content)[: max(1, len(content) * 2 // 3)]
        short.append(len(piece) < len(content))
        return write(file, piece, at)

    every = [paths[0], exposure(tmp_path / "none.fits", 1, shift=(100, 0)), *paths[1:3]]
    with fits.open(every[1], mode="update") as hdus:
        hdus[0].data[:] = np.nan  # so that others move up in the context, which is read again
    gpures.mosaic(every, tmp_path / "whole.fits", **QUIET)
    monkeypatch.setattr(os, "pwrite", writing)
    monkeypatch.setattr(os, "pread", lambda file, count, at: read(file, max(1, count * 2 // 3), at))
    in_tiles(every, tmp_path / "tiles.fits")
    monkeypatch.undo()
    assert any(short)
    assert_same_files(tmp_path / "tiles.fits", tmp_path / "whole.fits")


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_interrupted(tmp_path, paths, monkeypatch, error):
    """Nothing is left, and what was there is as it was."""
    (tmp_path / "out.fits").write_text("mine")
    write, calls = fits_parts.FITSMosaic.write, []

    def failing(self, *args):
        calls.append(args)
        if len(calls) == 9:
            raise error("on purpose")
        write(self, *args)

    monkeypatch.setattr(fits_parts.FITSMosaic, "write", failing)
    with pytest.raises(error):
        in_tiles(paths, tmp_path / "out.fits", overwrite=True)
    assert os.listdir(tmp_path) == ["out.fits"]
    assert (tmp_path / "out.fits").read_text() == "mine"


@pytest.mark.parametrize("options", [*OPTIONS[:3], OPTIONS[-1]], ids=str)
def test_in_zarr(tmp_path, paths, options):
    """A store that tiles go to is that of one piece."""
    gpures.mosaic(paths, tmp_path / "whole.zarr", **QUIET | options)
    in_tiles(paths, tmp_path / "tiles.zarr", **options)
    whole, tiles = (gpures.io.read_mosaic(tmp_path / f"{name}.zarr") for name in ("whole", "tiles"))
    assert list(whole) == list(tiles)
    for name, value in whole.items():
        if isinstance(value, np.ndarray):
            assert tiles[name].tobytes() == value.tobytes(), name
        elif name not in ("wcs", "history"):
            assert tiles[name] == value, name


@pytest.mark.parametrize("suffix", ["fits", "zarr"])
def test_images_that_nothing_is_in(tmp_path, paths, suffix):
    """A mosaic made in tiles has those alone that one of one piece has: no variance that is NaN everywhere."""
    empty = tmp_path / "empty.fits"
    with fits.open(paths[0]) as hdus:
        variance = np.full((300, 400), np.nan, np.float32)
        variance[150, 200] = 2.0
        hdus["DQ"].data[150, 200] = 1  # which nobody has a use for
        hdus.append(fits.ImageHDU(variance, name="VAR_POISSON"))
        hdus.writeto(empty)
    gpures.mosaic([empty, *paths[1:3]], tmp_path / f"whole.{suffix}", **QUIET)
    made = in_tiles([empty, *paths[1:3]], tmp_path / f"tiles.{suffix}")
    assert "var_poisson" in made.plan.frame.variance_names
    whole, tiles = (gpures.io.read_mosaic(tmp_path / f"{name}.{suffix}") for name in ("whole", "tiles"))
    assert list(tiles) == list(whole)
    assert "var_poisson" not in whole


def test_left_out_in_zarr(tmp_path, paths):
    """There, too, others move up in the context."""
    every = [paths[0], exposure(tmp_path / "none.fits", 1, shift=(100, 0)), *paths[1:]]
    with fits.open(every[1], mode="update") as hdus:
        hdus[0].data[:] = np.nan
    gpures.mosaic(every, tmp_path / "whole.zarr", **QUIET)
    in_tiles(every, tmp_path / "tiles.zarr")
    whole, tiles = (gpures.io.read_mosaic(tmp_path / f"{name}.zarr") for name in ("whole", "tiles"))
    np.testing.assert_array_equal(tiles["con"], whole["con"])
    assert int(np.bitwise_or.reduce(tiles["con"], axis=None)) == (1 << len(paths)) - 1


# ---- tiles and memory ------------------------------------------------------------------------------------------------


@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(0, 4_000_000))
def test_tiles_cover_a_frame_once(ny, nx, pixels):
    """All pixels are in one tile, none of which is too large."""
    try:
        tiles = tiles_of((ny, nx), pixels)
    except MemoryError:
        assert pixels < min(ny, tiling.GRAIN) * min(nx, tiling.GRAIN)
        return
    assert sum((t.xmax - t.xmin + 1) * (t.ymax - t.ymin + 1) for t in tiles) == nx * ny
    for tile in tiles:
        assert Box.whole((ny, nx)).common(tile) == tile
        assert (tile.xmax - tile.xmin + 1) * (tile.ymax - tile.ymin + 1) <= pixels
        assert tile.xmin % tiling.GRAIN == tile.ymin % tiling.GRAIN == 0
    assert len({(tile.xmin, tile.ymin) for tile in tiles}) == len(tiles)


@pytest.mark.parametrize(
    ("text", "size"),
    [("8GB", 8 * 10**9), ("7.5 GiB", int(7.5 * 2**30)), ("500m", 5 * 10**8), ("1000", 1000), (None, None)],
)
def test_limits(text, size):
    """As one writes them."""
    assert checked_limit(text) == size


@pytest.mark.parametrize("text", ["", "8 PB", "-1", "GB", 0, -5, True, float("nan"), float("inf"), [1], "0"])
def test_limits_that_are_none(text):
    """The error says what was expected."""
    with pytest.raises(ValueError, match=r"'memory_limit' must be a number of bytes, or a text such as '8GB', got"):
        checked_limit(text)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"output": None}, "only files of the suffixes"),
        ({"output": "x.asdf"}, "only files of the suffixes"),
        ({"output": "x.fits.gz"}, "only files of the suffixes"),
        ({"reject_outliers": True}, "look at the whole of it"),
        ({"checkpoint": "c"}, "'checkpoint' saves the whole of it"),
        ({"backend": "drizzle"}, "makes whole mosaics alone"),
    ],
)
def test_what_is_made_in_one_piece_alone(tmp_path, paths, monkeypatch, options, words):
    """It is refused where it does not fit, and made as before where it does."""
    monkeypatch.chdir(tmp_path)
    options = {"output": "x.fits"} | options
    output = options.pop("output")
    with pytest.raises(ValueError, match=rf"'memory_limit' is .* can't be made in tiles: .*{words}"):
        make_plan(paths, output, memory_limit="1MB", **QUIET | options)
    assert not make_plan(paths, output, memory_limit="500GB", **QUIET | options).tiles


def test_too_little_for_any_tile(tmp_path, paths):
    """The least that does is told."""
    with pytest.raises(MemoryError, match=r"A tile of 512 x 512 pixels and the exposures in work need"):
        make_plan(paths, tmp_path / "x.fits", memory_limit="1MB", **QUIET)


def test_tiles_without_being_asked(tmp_path, paths, monkeypatch):
    """Where the machine has too little memory for one piece."""
    from gpures.mosaicking import plan

    whole = make_plan(paths, tmp_path / "tiles.fits", **QUIET)
    monkeypatch.setattr(plan, "available_memory", lambda: int(0.8 * whole.needed))
    made = gpures.mosaic(paths, tmp_path / "tiles.fits", **QUIET)
    assert len(made.plan.tiles) > 1
    monkeypatch.undo()
    gpures.mosaic(paths, tmp_path / "whole.fits", **QUIET)
    assert_same_files(tmp_path / "tiles.fits", tmp_path / "whole.fits")


PEAK = """if True:
    import resource, sys
    from gpures.cli import main
    status = main(sys.argv[1:])
    peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1]
    print("peak", int(peak) * 1024)
    sys.exit(status)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the system does not tell of memory")
@pytest.mark.parametrize("limit", [700, pytest.param(550, marks=pytest.mark.long)])
def test_the_limit_holds(tmp_path, paths, limit):
    """As the process's peak, of a frame that would take more."""
    command = ["mosaic", *map(str, paths), "-o", str(tmp_path / "x.fits"), "--scale", "0.012", "-q", "--backend", "cpu"]
    command += ["--exptime-map", "--propagate-dq", "--no-context"]
    ran = subprocess.run(
        [sys.executable, "-c", PEAK, *command, "--memory-limit", f"{limit}MB"], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    peak = int(re.search(r"peak (\d+)", ran.stdout)[1])
    assert peak < limit * 1e6
    with fits.open(tmp_path / "x.fits") as hdus:
        size = sum(hdu.data.nbytes for hdu in hdus[1:7])
    assert size > limit * 1e6


def test_plan_and_report(tmp_path, paths, capsys):
    """What will be done, and what was, tell of tiles."""
    whole = make_plan(paths, tmp_path / "x.fits", pixel_scale=0.02, **QUIET)
    limit = used_memory() + OF_PROCESS + int(0.8 * whole.needed)  # of this process, which has had other tests
    command = ["mosaic", *map(str, paths), "-o", str(tmp_path / "x.fits"), "--scale", "0.02"]
    command += ["--memory-limit", str(limit)]
    assert main([*command, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^tiles +\d+ of up to \d+ x \d+ pixels", told, re.MULTILINE), told


@pytest.mark.parametrize(
    "numbers", [range(5), [3, 31, 32, 40, 41, 95], [*range(20, 60), 64, 100], list(range(1, 97, 2))]
)
def test_context_of_some(numbers):
    """Bits of the exposures of a tile, spread to those that they have among all, and taken together again."""
    rng = np.random.default_rng(len(numbers))
    there = rng.random((len(numbers), 3, 4)) < 0.5
    planes = np.zeros((-(-len(numbers) // 32), 3, 4), np.uint32)
    whole = np.zeros((4, 3, 4), np.uint32)
    for k, (number, image) in enumerate(zip(numbers, there, strict=True)):
        planes[k // 32] |= image.astype(np.uint32) << np.uint32(k % 32)
        whole[number // 32] |= image.astype(np.uint32) << np.uint32(number % 32)
    got = spread(planes.view(np.int32), numbers)
    assert got.keys() == {number // 32 for number in numbers}
    for plane, image in enumerate(whole.view(np.int32)):
        np.testing.assert_array_equal(got.get(plane, np.zeros((3, 4), np.int32)), image)
    np.testing.assert_array_equal(renumbered(whole.view(np.int32), numbers)[: len(planes)], planes.view(np.int32))

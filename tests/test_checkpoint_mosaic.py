"""``gpures mosaic --checkpoint``: whatever interrupts it, the same command goes on to the same mosaic."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import scenes
from astropy.io import fits
from merged import MODELS

import gpures
from gpures.cli import main
from gpures.errors import FileError
from gpures.resample.checkpoint import GENERATION
from gpures.resample.resampler import Resample

SHAPE = (40, 44)

# Of the file alone, or of how it was called.
OF_FILE = ["DATE", "CHECKSUM", "DATASUM", "FILENAME"]

OPTIONS = {"checkpoint_every": 2, "progress": None, "backend": "cpu"}


@pytest.fixture
def paths(tmp_path):
    """Files of several kinds and forms."""
    rng = np.random.default_rng(4)
    found = []
    for k in range(7):
        wcs = scenes.fits_wcs(SHAPE, rotation=7.0 * k, shift=(k, -k))
        header = wcs.to_fits(relax=True)[0].header
        header.update({"EXPTIME": 30.0 + k, "BUNIT": "ct/s", "MJD-OBS": 60000.0 + k, "OBSERVER": "A", "FILTER": "r"})
        data = rng.normal(5, 1, SHAPE).astype(np.float32)
        dq = rng.choice([0, 0, 0, 4], SHAPE).astype(np.int16)
        hdus = [fits.PrimaryHDU(data, header), fits.ImageHDU(dq, name="DQ")]
        found.append(tmp_path / f"e{k}.fits")
        fits.HDUList(hdus).writeto(found[-1])
    return found


class StopError(Exception):
    """What stops a mosaic."""


@pytest.fixture
def counts(monkeypatch):
    """How often exposures were added and mosaics saved; what is under "stop" stops after so many of these."""
    told = {"added": 0, "saved": 0, "stop": None, "error": StopError("here")}
    add, save = Resample._add, Resample._save

    def adding(self, *args):
        if told["stop"] == ("added", told["added"]):
            raise told["error"]
        told["added"] += 1
        return add(self, *args)

    def saving(self, *args):
        save(self, *args)
        told["saved"] += 1
        if told["stop"] == ("saved", told["saved"]):
            raise told["error"]

    monkeypatch.setattr(Resample, "_add", adding)
    monkeypatch.setattr(Resample, "_save", saving)
    return told


def assert_same_files(got, expected):
    """Two mosaics are the same, their tables and headers too."""
    with fits.open(got) as one, fits.open(expected) as other:
        for hdus in (one, other):
            assert hdus[0].header["HISTORY"]
            del hdus[0].header["HISTORY"]
        report = fits.FITSDiff(one, other, ignore_keywords=OF_FILE)
        assert report.identical, report.report()


def in_steps(paths, out, folder, counts, stops, **options):
    """A mosaic that is interrupted, and begun again, several times."""
    options = OPTIONS | options
    for stop in stops:
        counts |= {"stop": stop, "added": 0, "saved": 0}
        with pytest.raises(type(counts["error"]), match="here"):
            gpures.mosaic(paths, out, checkpoint=folder, **options)
        assert not out.exists()
    counts |= {"stop": None, "added": 0, "saved": 0}
    return gpures.mosaic(paths, out, checkpoint=folder, **options)


STOPS = [[("added", 3)], [("saved", 1)], [("saved", 1), ("saved", 1), ("added", 1)], [("added", 0), ("added", 6)]]


@pytest.mark.parametrize("stops", STOPS)
@pytest.mark.parametrize("options", [{}, {"propagate_dq": True, "enable_exptime_map": True, "kernel": "turbo"}])
def test_the_same_after_interruptions(tmp_path, paths, counts, stops, options):
    """To the last bit, with the exposures in their order; what was saved is not added again."""
    gpures.mosaic(paths, tmp_path / "whole.fits", **OPTIONS, **options)
    made = in_steps(paths, tmp_path / "out.fits", tmp_path / "c", counts, stops, **options)
    assert_same_files(tmp_path / "out.fits", tmp_path / "whole.fits")
    assert made.added == [f"{path.name}[PRIMARY]" for path in paths]
    saved = {3: 2, 6: 6}.get(stops[-1][1], 2) if len(stops) < 3 else 4
    assert counts["added"] == 7 - saved
    assert not (tmp_path / "c").exists()


def test_every_exposure(tmp_path, paths, counts):
    """Saved after each; and a checkpoint that has all of them is finished without another one."""
    in_steps(paths, tmp_path / "out.fits", tmp_path / "c", counts, [("saved", 7)], checkpoint_every=1)
    assert counts["added"] == 0
    gpures.mosaic(paths, tmp_path / "whole.fits", **OPTIONS)
    assert_same_files(tmp_path / "out.fits", tmp_path / "whole.fits")


def test_added_to_another(tmp_path, paths, counts):
    """A mosaic that is gone on with, and is interrupted; the old one stays until the end."""
    for name in ("a", "b"):
        gpures.mosaic(paths[:3], tmp_path / f"{name}.fits", **OPTIONS)
    gpures.mosaic(paths[3:], add_to=tmp_path / "a.fits", **OPTIONS)
    before = (tmp_path / "b.fits").read_bytes()
    counts["stop"] = ("saved", 1)
    with pytest.raises(StopError):
        gpures.mosaic(paths[3:], add_to=tmp_path / "b.fits", checkpoint=tmp_path / "c", **OPTIONS)
    assert (tmp_path / "b.fits").read_bytes() == before
    counts["stop"] = None
    gpures.mosaic(paths[3:], add_to=tmp_path / "b.fits", checkpoint=tmp_path / "c", **OPTIONS)
    assert_same_files(tmp_path / "b.fits", tmp_path / "a.fits")


def test_models_in_memory(tmp_path, counts):
    """They are known again by their names and pixels, though a caller has made them anew."""
    models = MODELS[:6]
    wcs = scenes.frame_around(models[0]["data"].shape)
    options = OPTIONS | {"output_wcs": wcs}
    whole = gpures.mosaic(models, **options)
    counts["stop"] = ("saved", 2)
    with pytest.raises(StopError):
        gpures.mosaic(models, checkpoint=tmp_path / "c", **options)
    counts |= {"stop": None, "added": 0}
    anew = [model | {"data": model["data"].copy()} for model in models]
    made = gpures.mosaic(anew, checkpoint=tmp_path / "c", **options)
    assert counts["added"] == 2
    assert made.model["data"].tobytes() == whole.model["data"].tobytes()
    assert made.model["con"].tobytes() == whole.model["con"].tobytes()
    counts["stop"] = ("saved", 4)
    with pytest.raises(StopError):
        gpures.mosaic(models, checkpoint=tmp_path / "c", **options)
    anew[1]["data"][3] += 1
    with pytest.raises(FileError, match="is not among the exposures, or has changed"):
        gpures.mosaic(anew, checkpoint=tmp_path / "c", **options)


@pytest.mark.parametrize("is_bad", ["unreadable", "empty"])
def test_exposures_that_are_skipped(tmp_path, paths, counts, is_bad):
    """They are tried again, and do not shift the others."""
    if is_bad == "empty":
        with fits.open(paths[1], mode="update") as hdus:
            hdus[0].data[:] = np.nan
    else:
        content = paths[1].read_bytes()
        paths[1].write_bytes(content[:5000])
    gpures.mosaic(paths, tmp_path / "whole.fits", skip_bad=True, **OPTIONS)
    made = in_steps(paths, tmp_path / "out.fits", tmp_path / "c", counts, [("saved", 1), ("saved", 1)], skip_bad=True)
    assert_same_files(tmp_path / "out.fits", tmp_path / "whole.fits")
    assert len(made.skipped) == 1
    assert counts["added"] == 2


def test_copies_of_what_is_in_it(tmp_path, paths, counts):
    """A copy under another name is used once, though its original was added by another process."""
    copy = tmp_path / "copy.fits"
    copy.write_bytes(paths[0].read_bytes())
    every = [*paths, copy]
    gpures.mosaic(every, tmp_path / "whole.fits", **OPTIONS)
    made = in_steps(every, tmp_path / "out.fits", tmp_path / "c", counts, [("saved", 1)])
    assert_same_files(tmp_path / "out.fits", tmp_path / "whole.fits")
    assert len(made.added) == 7


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.fixture
def stopped(tmp_path, paths, counts):
    """A checkpoint of four exposures."""
    counts["stop"] = ("saved", 2)
    with pytest.raises(StopError):
        gpures.mosaic(paths, tmp_path / "out.fits", checkpoint=tmp_path / "c", **OPTIONS)
    counts["stop"] = None
    return tmp_path / "c"


OTHERS = [
    ({"pixfrac": 0.8}, "pixfrac"),
    ({"kernel": "gaussian"}, "kernel"),
    ({"pixmap_tolerance": 1e-3}, "pixmap_tolerance"),
    ({"accumulator_dtype": "f8"}, "accumulator_dtype"),
    ({"deterministic": True}, "deterministic"),
    ({"pixel_scale_ratio": 0.5}, "in a frame of the shape"),
    ({"rotation": 10.0}, "in a(nother)? frame"),
    ({"flux_scale": "none"}, "flux_scale"),
    ({"good_bits": 4}, "good_bits"),
]


@pytest.mark.parametrize(("changes", "words"), OTHERS)
@pytest.mark.filterwarnings("ignore:Kernel '.*' is not a flux-conserving kernel")
def test_another_mosaic(tmp_path, paths, stopped, changes, words):
    """Other options make another mosaic; what was saved stays."""
    with pytest.raises(FileError, match=rf"the checkpoint is of another mosaic: it was begun .*{words}"):
        gpures.mosaic(paths, tmp_path / "out.fits", checkpoint=stopped, **OPTIONS | changes)
    assert [name for name in os.listdir(stopped) if GENERATION.fullmatch(name)]
    assert not (tmp_path / "out.fits").exists()


def test_exposures_that_are_not_there(tmp_path, paths, stopped):
    """Nor may one be in it that is not asked for, or is another one by now."""
    with pytest.raises(FileError, match="of another mosaic"):
        gpures.mosaic(paths[1:], tmp_path / "out.fits", checkpoint=stopped, **OPTIONS)
    with fits.open(paths[2], mode="update") as hdus:
        hdus[0].data[3, 3] += 1
    with pytest.raises(FileError, match=r"has e2.fits.PRIMARY., which is not among the exposures, or has changed"):
        gpures.mosaic(paths, tmp_path / "out.fits", checkpoint=stopped, **OPTIONS)


def test_more_exposures_in_a_given_frame(tmp_path, paths, counts):
    """Those that have come since are added."""
    frame = gpures.mosaic(paths, **OPTIONS).wcs
    options = OPTIONS | {"output_wcs": frame}
    counts["stop"] = ("saved", 2)
    with pytest.raises(StopError):
        gpures.mosaic(paths[:5], tmp_path / "out.fits", checkpoint=tmp_path / "c", **options)
    counts["stop"] = None
    gpures.mosaic(paths, tmp_path / "out.fits", checkpoint=tmp_path / "c", **options)
    gpures.mosaic(paths, tmp_path / "whole.fits", **options)
    assert_same_files(tmp_path / "out.fits", tmp_path / "whole.fits")


def test_in_use(tmp_path, paths, stopped):
    """Two processes do not go on with the same one."""
    program = """if True:
        import sys
        from gpures.resample.checkpoint import in_use
        with in_use(sys.argv[1]):
            print("held", flush=True)
            input()
    """
    with subprocess.Popen(
        [sys.executable, "-c", program, stopped], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(FileError, match="another process goes on with this checkpoint"):
            gpures.mosaic(paths, tmp_path / "out.fits", checkpoint=stopped, **OPTIONS)
        other.communicate("\n")
    gpures.mosaic(paths, tmp_path / "out.fits", checkpoint=stopped, **OPTIONS)


def test_arguments_that_do_not_go_together(tmp_path, paths):
    """They are refused before a file is read."""
    for options, words in [
        ({"reject_outliers": True}, "'checkpoint' saves what has been added"),
        ({"checkpoint_every": 0}, "'checkpoint_every' must be"),
    ]:
        with pytest.raises(ValueError, match=words):
            gpures.mosaic(paths, tmp_path / "out.fits", **OPTIONS | {"checkpoint": tmp_path / "c"} | options)
    models = (model for model in MODELS[:2])
    with pytest.raises(ValueError, match="Models from a generator are not there any more"):
        gpures.mosaic(models, checkpoint=tmp_path / "c", output_wcs=scenes.frame_around(SHAPE), **OPTIONS)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("")
    with pytest.raises(FileError, match="give an empty folder"):
        gpures.mosaic(paths, tmp_path / "out.fits", **OPTIONS | {"checkpoint": tmp_path / "full"})
    assert os.listdir(tmp_path / "full") == ["mine"]


def test_command(tmp_path, paths, counts, capsys):
    """What the command line says."""
    command = ["mosaic", *map(str, paths), "-o", str(tmp_path / "out.fits"), "--checkpoint", str(tmp_path / "c")]
    command += ["--every", "3", "--backend", "cpu"]
    assert main([*command, "--dry-run"]) == 0
    assert f"checkpoint      {tmp_path / 'c'}, after every 3 exposures" in capsys.readouterr().out
    assert not (tmp_path / "c").exists()
    counts |= {"stop": ("added", 5), "error": KeyboardInterrupt()}
    assert main(command) == 130
    assert "nothing was written. The same command goes on with the checkpoint." in capsys.readouterr().err
    counts |= {"stop": None, "added": 0}
    assert main([*command, "--pixfrac", "0.5"]) == 1
    assert "it was begun with --pixfrac 1.0, and this one has 0.5" in capsys.readouterr().err
    assert main(command) == 0
    assert counts["added"] == 4
    told = capsys.readouterr().out
    assert "exposures       7" in told
    assert "checkpoint" in told


# ---- killed ----------------------------------------------------------------------------------------------------------

# One process that has imported everything forks those that are killed.
HARNESS = """
    import json, os, signal, sys, time
    from gpures.cli import main
    from gpures.resample.resampler import Resample
    import zarr
    main(json.loads(sys.argv[1]) + ["-q", "-o", sys.argv[2]])
    for line in sys.stdin:
        arguments, seconds = json.loads(line)
        added = os.memfd_create("added")
        child = os.fork()
        if child == 0:
            add = Resample._add
            def counting(*all):
                add(*all)
                os.write(added, b"x")
            Resample._add = counting
            os._exit(main(arguments))
        if seconds is not None:
            time.sleep(seconds)
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps([status, os.fstat(added).st_size]), flush=True)
        os.close(added)
"""

KILLS = int(os.environ.get("GPURES_TEST_KILLS", "8"))


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs a file in memory")
def test_killed_at_any_moment(tmp_path, paths):
    """SIGKILL at random moments: in the end the same mosaic, and no more than an interval is added again each time."""
    whole, out, folder = (tmp_path / name for name in ("whole.fits", "out.fits", "c"))
    command = ["mosaic", *map(str, paths), "--backend", "cpu", "--threads", "1"]
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HARNESS), json.dumps(command), str(whole)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    every = 2

    def run(seconds):
        arguments = [*command, "-q", "-o", str(out), "--checkpoint", str(folder), "--every", str(every)]
        process.stdin.write(json.dumps([arguments, seconds]) + "\n")
        process.stdin.flush()
        begin = time.monotonic()
        status, added = json.loads(process.stdout.readline())
        return status, added, time.monotonic() - begin

    with process:
        lasts = []
        for _ in range(2):
            status, added, seconds = run(None)
            assert (status, added) == (0, len(paths))
            assert_same_files(out, whole)
            out.unlink()
            lasts.append(seconds)
        seed = random.SystemRandom().randrange(1 << 32)
        print(f"seed {seed}")
        rng = random.Random(seed)
        killed, saved, in_all = 0, 0, 0
        while killed < KILLS:
            status, added, _ = run(rng.uniform(0.0, 1.1 * min(lasts)))
            in_all += added
            if status == -signal.SIGKILL:
                killed += 1
                before, saved = saved, len(state_of(folder)["exposures"]) if (folder / "zarr.json").exists() else 0
                if not out.exists():
                    assert saved >= before
                    assert saved + every >= before + added
                    continue
            else:
                assert status == 0
            assert_same_files(out, whole)
            out.unlink()
            saved = 0
            if status != 0 and folder.exists():  # killed between the mosaic's end and the removal of the folder
                gpures.resample.checkpoint.remove(folder)
        process.stdin.close()
    print(f"{killed} times killed, {in_all} exposures added")


def state_of(folder):
    """What a checkpoint knows."""
    return gpures.resample.checkpoint.Checkpoint(folder).state

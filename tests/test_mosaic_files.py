"""Mosaics of files: ``gpures.mosaic`` with paths, and ``gpures mosaic`` on the command line."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import textwrap

import files
import numpy as np
import pytest
import scenes
from astropy.io import fits

import gpures
from gpures import cli
from gpures.cli import mosaic as command
from gpures.io import FileError
from gpures.machine.threads import thread_count

SHAPE = (40, 50)
N = 3


def write_exposure(path, k, unit="MJy/sr", time=100.0, **changes):
    """A plain FITS file: image, error, flags; turned by 5 degrees times k."""
    wcs = scenes.fits_wcs(SHAPE, rotation=5.0 * k, flip=True, shift=(1.3 * k, -0.7 * k))
    model = scenes.model_of(wcs, SHAPE, seed=k) | changes
    primary = fits.PrimaryHDU()
    primary.header["EXPTIME"] = time + k
    hdus = fits.HDUList([primary])
    for name in ("data", "err", "dq"):
        array = model[name].astype(np.int32) if name == "dq" else model[name]
        hdu = fits.ImageHDU(array, name="SCI" if name == "data" else name.upper(), header=wcs.to_header())
        if name != "dq":
            hdu.header["BUNIT"] = unit
        hdus.append(hdu)
    hdus.writeto(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with exposures, a file that is none, and a list."""
    folder = tmp_path_factory.mktemp("exposures")
    paths = [write_exposure(folder / f"exposure{k}_img.fits", k) for k in range(N)]
    (folder / "broken.fits").write_bytes(paths[0].read_bytes()[:7000])
    write_exposure(folder / "electrons.fits", 1, unit="electron/s")
    (folder / "list.txt").write_text("# three exposures\n\n" + "\n".join(map(str, paths)) + "\n")
    return folder


@pytest.fixture
def paths(folder):
    return [folder / f"exposure{k}_img.fits" for k in range(N)]


def run(*arguments, **environment):
    """Run ``gpures`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "gpures", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"GPURES_BACKEND": "cpu"} | environment,
        check=False,
    )


# From Python


@pytest.mark.parametrize("suffix", [".fits", ".asdf"])
def test_files_in_a_file_out(folder, paths, tmp_path, suffix):
    """A pattern, paths and models make one mosaic, and the file has it, with a WCS that says where it is."""
    output = tmp_path / f"mosaic{suffix}"
    made = gpures.mosaic(f"{folder}/exposure*.fits", output, backend="cpu", progress=False)
    assert made.path == output
    assert os.listdir(tmp_path) == [output.name]
    assert len(made.added) == N
    assert made.model["exposure_time"] == sum(100.0 + k for k in range(N))
    models = [model for path in paths for model in gpures.io.read(path)]
    for inputs in (paths, models, [paths[0], *models[1:]], iter(map(str, paths))):
        again = gpures.mosaic(inputs, backend="cpu", progress=False)
        np.testing.assert_array_equal(again.model["data"], made.model["data"])
        np.testing.assert_array_equal(again.model["err"], made.model["err"])
    wcs = gpures.io.read_wcs(output)
    assert tuple(wcs.array_shape) == made.model["data"].shape
    x, y = np.array([0.0, 30.0, 60.0]), np.array([5.0, 40.0, 20.0])
    np.testing.assert_allclose(wcs.pixel_to_world_values(x, y), made.wcs(x, y), rtol=0, atol=1e-11)
    (read,) = gpures.io.read(output)
    np.testing.assert_array_equal(read["data"], made.model["data"])
    assert read["bunit_data"] == "MJy/sr"


MAKE = {
    "jwst": (
        lambda path, k: files.jwst_file(path / f"jw{k}_cal.fits", seed=k, rotation=3.0 * k),
        "~DO_NOT_USE+NON_SCIENCE",
    ),
    "roman": (lambda path, k: files.roman_file(path / f"r{k}_cal.asdf", seed=k, rotation=3.0 * k), "~DO_NOT_USE"),
    "hst": (lambda path, k: files.hst_file(path / f"j{k}_flt.fits", seed=k), 0),
}


def per_output_pixel(model, scale):
    """A model whose values are per pixel of a scale in arcsec, and not of the area that they were of."""
    factor = np.radians(scale / 3600.0) ** 2 / model["values_area"]
    scaled = {"data": factor, "level": factor} | dict.fromkeys(("var_rnoise", "var_poisson", "var_flat"), factor**2)
    return model | {name: model[name] * by for name, by in scaled.items() if model[name] is not None}


@pytest.mark.parametrize(
    ("mission", "values"),
    [(mission, values) for mission in MAKE for values in ("auto", "surface-brightness")],
)
def test_missions(tmp_path, mission, values):
    """Files of a mission become what the resampler makes of their models, with the flags that the mission forgives.

    Values per pixel, as Roman's in DN/s and HST's, are those of the output's pixels before, unless told otherwise.
    """
    make, good_bits = MAKE[mission]
    is_scaled = values == "auto" and mission != "jwst"
    paths = [make(tmp_path, k) for k in range(2)]
    options = {"backend": "cpu", "progress": False, "propagate_dq": True, "values": values}
    made = gpures.mosaic(paths, tmp_path / "out.asdf", **options)
    by_name = gpures.mosaic(paths, good_bits=good_bits, **options)
    resample = gpures.Resample(
        made.plan.output_wcs,
        fillval="NaN",
        compute_err="from_var",
        propagate_dq=True,
        good_bits=made.plan.options.good_bits,
        backend="cpu",
    )
    for path in paths:
        for model in gpures.io.read(path):
            resample.add_model(per_output_pixel(model, made.plan.pixel_scale) if is_scaled else model)
    resample.finalize()
    assert np.isfinite(made.model["err"]).sum() > 1000
    assert made.model["exposure_time"] == resample.output_model["exposure_time"]
    for name, image in resample.output_model.items():
        if isinstance(image, np.ndarray) and name not in made.model:  # which no exposure had
            assert name.startswith("var_"), name
            assert np.isnan(image).all(), name
        elif isinstance(image, np.ndarray):
            np.testing.assert_allclose(made.model[name], image, 3e-6 if is_scaled else 0, err_msg=name)
            np.testing.assert_array_equal(by_name.model[name], made.model[name], name)


def test_names_of_flags(folder, tmp_path):
    """Flags that a mission does not have are an error with those that it has; plain files have no names of flags."""
    path = files.jwst_file(tmp_path / "jw_cal.fits")
    with pytest.raises(ValueError, match=r"'good_bits' must be flags.*'SATURATET'.*There are .*SATURATED"):
        gpures.mosaic(path, good_bits="~SATURATET", progress=False)
    for inputs in ([folder / "exposure0_img.fits"], [folder / "exposure0_img.fits", path]):
        with pytest.raises(ValueError, match="flags have names only where all exposures are JWST's"):
            gpures.mosaic(inputs, good_bits="SATURATED", progress=False)


def test_missions_together(folder, paths, tmp_path):
    """Exposures of two missions are co-added if they have one unit, and only without flags."""
    path = files.jwst_file(tmp_path / "jw_cal.fits")
    made = gpures.mosaic([path, *paths], backend="cpu", progress=False)
    assert len(made.added) == 4
    assert made.plan.options.good_bits == 0
    with pytest.raises(FileError, match=r"j_flt\.fits.*electron/s.*jw_cal\.fits.*MJy/sr"):
        gpures.mosaic([path, files.hst_file(tmp_path / "j_flt.fits")], backend="cpu", progress=False)


def test_in_the_frame_of_a_mosaic(paths, tmp_path):
    """A mosaic in the frame of another one's file has its pixels."""
    made = gpures.mosaic(paths, tmp_path / "one.fits", pixel_scale=0.05, rotation=20.0, backend="cpu", progress=False)
    alike = gpures.mosaic(paths, output_wcs=tmp_path / "one.fits", pixel_scale=None, backend="cpu", progress=False)
    assert alike.model["data"].shape == made.model["data"].shape
    # The drops' corners go through another form of the same WCS.
    np.testing.assert_allclose(alike.model["data"], made.model["data"], rtol=1e-4)


def test_broken_files(folder, paths, tmp_path):
    """A file that can't be used is an error that names it, or is left out, as is one that is not there."""
    inputs = [paths[0], folder / "broken.fits", paths[1], folder / "missing.fits"]
    with pytest.raises(FileError, match=r"broken\.fits: "):
        gpures.mosaic(inputs[:3], tmp_path / "out.fits", backend="cpu", progress=False)
    with pytest.raises(FileNotFoundError, match=r"missing\.fits: no such file"):
        gpures.mosaic(inputs[2:], tmp_path / "out.fits", backend="cpu", progress=False)
    assert os.listdir(tmp_path) == []
    made = gpures.mosaic(inputs, backend="cpu", progress=False, skip_bad=True)
    assert len(made.added) == 2
    assert [os.path.basename(name) for name, _ in made.skipped] == ["missing.fits", "broken.fits"]


def test_a_file_that_changes_meanwhile(paths, tmp_path):
    """A file that is gone once it is its turn is named."""
    copies = [tmp_path / path.name for path in paths]
    for path, copy in zip(paths, copies, strict=True):
        copy.write_bytes(path.read_bytes())
    inputs = [image for copy in copies for image in gpures.io.inputs(copy)]
    copies[1].unlink()
    with pytest.raises(FileError, match=str(copies[1])):
        gpures.mosaic(inputs, backend="cpu", progress=False)
    assert len(gpures.mosaic(inputs, skip_bad=True, backend="cpu", progress=False).added) == 2


def test_units_of_files(folder, paths):
    """Files with different units are an error that names both."""
    with pytest.raises(ValueError, match=r"electrons\.fits.*electron/s.*exposure0_img\.fits.*MJy/sr"):
        gpures.mosaic([*paths, folder / "electrons.fits"], backend="cpu", progress=False)


def test_patterns(folder):
    """What a pattern matches comes in the order of names; one that matches nothing, and a folder, are errors."""
    made = gpures.mosaic(str(folder / "exposure[0-1]*"), backend="cpu", progress=False)
    assert [os.path.basename(source.path) for source in made.plan.sources] == [
        "exposure0_img.fits",
        "exposure1_img.fits",
    ]
    with pytest.raises(FileNotFoundError, match="no such file, and nothing matches it"):
        gpures.mosaic(str(folder / "nothing*.fits"), progress=False)
    with pytest.raises(IsADirectoryError, match=r"is a folder: give the files in it, such as '.*\*\.fits'"):
        gpures.mosaic(folder, progress=False)


def test_output_is_checked_first(paths, tmp_path, monkeypatch):
    """A file that can't be written is an error before anything is read."""
    monkeypatch.setattr(gpures.io, "inputs", None)
    with pytest.raises(
        ValueError, match=r"'output' must end in one of \.fits, \.fits\.gz, \.asdf, \.zarr, got .*mosaic\.png"
    ):
        gpures.mosaic(paths, tmp_path / "mosaic.png")
    with pytest.raises(FileNotFoundError, match="and there is no folder"):
        gpures.mosaic(paths, tmp_path / "nowhere" / "mosaic.fits")
    with pytest.raises(IsADirectoryError, match="must be a file, and"):
        gpures.mosaic(paths, tmp_path)
    old = tmp_path / "old.fits"
    old.write_text("precious")
    with pytest.raises(FileExistsError, match=r"old\.fits, which exists: choose another name, or give overwrite=True"):
        gpures.mosaic(paths, old)
    assert old.read_text() == "precious"


def test_overwriting(paths, tmp_path):
    """A file is replaced on request, once the new one is complete; an input never is."""
    old = tmp_path / "old.fits"
    old.write_text("precious")
    with pytest.raises(FileError):
        gpures.mosaic([paths[0], old], tmp_path / "old.fits", overwrite=True, backend="cpu", progress=False)
    assert old.read_text() == "precious"
    gpures.mosaic(paths, old, overwrite=True, backend="cpu", progress=False)
    assert len(gpures.io.inputs(old)) == 1
    copy = tmp_path / "copy.fits"
    copy.write_bytes(paths[0].read_bytes())
    with pytest.raises(ValueError, match=r"copy\.fits, which is one of the inputs: choose another name"):
        gpures.mosaic([*paths, copy], copy, overwrite=True, backend="cpu", progress=False)
    assert copy.read_bytes() == paths[0].read_bytes()


def test_a_disk_that_is_full(paths, tmp_path, monkeypatch):
    """What fails while the mosaic is written leaves neither file nor part of one."""

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        gpures.mosaic(paths, tmp_path / "out.fits", backend="cpu", progress=False)
    assert os.listdir(tmp_path) == []


# On the command line


def test_command(paths, tmp_path):
    """``gpures mosaic`` writes what the function makes, shows progress and ends with a table."""
    output = tmp_path / "mosaic.fits"
    done = run("mosaic", *paths, "-o", output, "--scale", 0.05, "--pixfrac", 0.8)
    assert done.returncode == 0, done.stderr
    assert "drizzle: 100%|" in done.stderr
    assert f"{N}/{N}" in done.stderr
    for words in (
        "exposures       3, ",
        "303.0 s",
        "0.05 arcsec",
        "square, pixfrac 0.8",
        "cpu, ",
        "splat",
        str(output),
    ):
        assert words in done.stdout
    made = gpures.mosaic(paths, pixel_scale=0.05, pixfrac=0.8, backend="cpu", progress=False)
    (read,) = gpures.io.read(output)
    np.testing.assert_array_equal(read["data"], made.model["data"])
    assert os.listdir(tmp_path) == ["mosaic.fits"]


def test_lists_and_silence(folder, paths, tmp_path, capsys, monkeypatch):
    """Arguments come from a file, empty lines and remarks aside; a quiet run says nothing; threads are as told."""
    monkeypatch.setenv("GPURES_NUM_THREADS", "2")
    output = tmp_path / "mosaic.fits"
    assert cli.main(["mosaic", f"@{folder / 'list.txt'}", "-o", str(output), "--quiet", "--threads", "1"]) == 0
    assert thread_count() == 1
    assert capsys.readouterr() == ("", "")
    (read,) = gpures.io.read(output)
    made = gpures.mosaic(paths, backend="cpu", progress=False)
    np.testing.assert_array_equal(read["data"], made.model["data"])


def test_progress_without_a_bar(paths, tmp_path, capsys, monkeypatch):
    """Where tqdm is not installed, lines tell how far it is; and the log is afterwards what it was."""
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    logger = logging.getLogger("gpures.reporting.progress")
    before = logger.level, logger.propagate, list(logger.handlers)
    assert cli.main(["mosaic", *map(str, paths), "-o", str(tmp_path / "out.fits"), "--backend", "cpu"]) == 0
    told = capsys.readouterr().err
    assert "headers: 3 of 3 files, " in told
    assert "drizzle: 2 of 3 exposures, " in told
    assert " s left" in told
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


def test_dry_run(paths, tmp_path, capsys):
    """A dry run shows the plan, and writes nothing."""
    arguments = ["--dry-run", "--scale-ratio", "0.5", "--rotation", "first"]
    assert cli.main(["mosaic", *map(str, paths), "-o", str(tmp_path / "mosaic.fits"), *arguments]) == 0
    table = capsys.readouterr().out
    for words in (
        "3 (3 fits), 303.0 s in all",
        "exposure2_img.fits[SCI,1]",
        "50 x 40",
        "MJy/sr",
        "0.5 times the first",
    ):
        assert words in table
    assert "for 3 exposures at a time" in table
    assert os.listdir(tmp_path) == []


def test_dry_run_reads_headers_alone(paths, capsys, monkeypatch):
    """A dry run does not read an image, and needs no output; beyond the memory it says so and fails."""
    monkeypatch.setattr(gpures.io.Input, "read", None)
    assert cli.main(["mosaic", *map(str, paths), "--dry-run", "-q"]) == 0
    assert "memory  " in capsys.readouterr().out
    assert cli.main(["mosaic", *map(str, paths), "--dry-run", "-q", "--scale", "1e-6"]) == command.NOT_BEGUN
    shown = capsys.readouterr()
    assert "memory  " in shown.out
    assert "GiB are available" in shown.err


def test_errors(folder, paths, tmp_path, capsys):
    """What can't be done is told in a line, with the exit status of its kind, and no file is left."""
    output = str(tmp_path / "out.fits")
    inputs = [*map(str, paths)]

    def fails(status, words, *arguments):
        assert cli.main(["mosaic", *map(str, arguments), "-q", "--backend", "cpu"]) == status
        told = capsys.readouterr().err
        assert told.startswith("gpures mosaic: ")
        assert words in told
        assert os.listdir(tmp_path) == []

    fails(command.NOT_BEGUN, "missing.fits: no such file", folder / "missing.fits", "-o", output)
    fails(command.NOT_BEGUN, "broken.fits: ", folder / "broken.fits", "-o", output)
    fails(command.NOT_BEGUN, "--output must end in", *inputs, "-o", "mosaic.jpg")
    fails(command.NOT_BEGUN, "--pixfrac must be a number", *inputs, "-o", output, "--pixfrac", 3)
    fails(
        command.NOT_BEGUN,
        "--like has its own frame: --scale can't be given beside it",
        *inputs,
        "-o",
        output,
        "--like",
        inputs[0],
        "--scale",
        1,
    )
    fails(command.NOT_BEGUN, "has no array 'sky'", *inputs, "-o", output, "--extra", "sky")
    mask = folder / "masks" / f"{paths[0].stem}_mask.fits"
    mask.parent.mkdir()
    mask.touch()
    masks = ("--reject-outliers", "--save-masks", mask.parent)
    fails(command.NOT_FINISHED, "is there already: --save-masks must be another", *inputs, "-o", output, *masks)
    for arguments, words in (
        (["x.fits"], "-o/--output"),
        (["x.fits", "-o", "y.fits", "--scale", "1", "--scale-ratio", "1"], "not allowed with"),
        (["x.fits", "-o", "y.fits", "--threads", "0"], "--threads: must be at least 1"),
    ):
        with pytest.raises(SystemExit) as error:
            cli.main(["mosaic", *arguments])
        assert error.value.code == 2
        assert words in capsys.readouterr().err


def test_skipping_on_the_command_line(folder, paths, tmp_path, capsys):
    """With --skip-bad a mosaic is made without bad files, and the table says so."""
    arguments = [
        "mosaic",
        str(folder / "broken.fits"),
        *map(str, paths),
        "-o",
        str(tmp_path / "out.fits"),
        "--skip-bad",
    ]
    assert cli.main([*arguments, "--backend", "cpu"]) == 0
    table = capsys.readouterr().out
    assert "skipped         1" in table
    assert "broken.fits: " in table


EVERY_OPTION = {
    "--scale": (("0.05",), {"pixel_scale": 0.05}),
    "--scale-ratio": (("2",), {"pixel_scale_ratio": 2.0}),
    "--rotation": (("-30.5",), {"rotation": -30.5}),
    "--crval": (("150.1", "-2.2"), {"crval": [150.1, -2.2]}),
    "--crpix": (("10.5", "-3"), {"crpix": [10.5, -3.0]}),
    "--shape": (("30", "20"), {"output_shape": [30, 20]}),
    "--align": (("tangent",), {"align": "tangent"}),
    "--like": (("a.fits",), {"output_wcs": "a.fits"}),
    "--ext": (("SCI,2",), {"ext": ["SCI,2"]}),
    "--plane": (("3",), {"plane": 3}),
    "--mask-ext": (("BPM",), {"mask_ext": ["BPM"]}),
    "--weight-ext": (("4",), {"weight_ext": ["4"]}),
    "--masks": (("*.bpm.fits",), {"masks": "*.bpm.fits"}),
    "--weights": (("none",), {"weights": "none"}),
    "--wcs": (("fits",), {"wcs": "fits"}),
    "--bad-bits": (("1+16",), {"bad_bits": "1+16"}),
    "--values": (("per-pixel",), {"values": "per-pixel"}),
    "--flux-scale": (("MAGZPT",), {"flux_scale": "MAGZPT"}),
    "--allow-mixed": ((), {"allow_mixed": True}),
    "--match-sky": ((), {"match_sky": "match"}),
    "--sky-method": (("global",), {"match_sky": "global"}),
    "--sky-statistic": (("mode",), {"sky_statistic": "mode"}),
    "--reject-outliers": ((), {"reject_outliers": True}),
    "--outlier-snr": (("6", "5", "4"), {"outlier_snr": [6.0, 5.0, 4.0]}),
    "--outlier-scale": (("1", "0.5"), {"outlier_scale": [1.0, 0.5]}),
    "--outlier-backg": (("-1",), {"outlier_backg": -1.0}),
    "--outlier-maskpt": (("0.5",), {"outlier_maskpt": 0.5}),
    "--outlier-kernel-size": (("5",), {"outlier_kernel_size": 5}),
    "--outlier-grow": (("3",), {"outlier_grow": 3}),
    "--combine": (("median",), {"combine": ["median"]}),
    "--save-masks": (("masks",), {"save_masks": "masks"}),
    "--checkpoint": (("work",), {"checkpoint": "work"}),
    "--every": (("3",), {"checkpoint_every": 3}),
    "--memory-limit": (("8GB",), {"memory_limit": "8GB"}),
    "--kernel": (("turbo",), {"kernel": "turbo"}),
    "--pixfrac": (("0.5",), {"pixfrac": 0.5}),
    "--fillval": (("INDEF",), {"fillval": "INDEF"}),
    "--weight-type": (("exptime",), {"weight_type": "exptime"}),
    "--good-bits": (("~DO_NOT_USE",), {"good_bits": "~DO_NOT_USE"}),
    "--no-context": ((), {"enable_ctx": False}),
    "--no-variances": ((), {"enable_var": False}),
    "--add-to": (("m.fits",), {"add_to": "m.fits"}),
    "--compute-err": (("driz_err",), {"compute_err": "driz_err"}),
    "--variance-method": (("propagated",), {"variance_method": "propagated"}),
    "--covariance": (("2",), {"covariance": 2}),
    "--noise-factor": ((), {"noise_factor": True}),
    "--precision": (("single",), {"precision": "single"}),
    "--propagate-dq": ((), {"propagate_dq": True}),
    "--exptime-map": ((), {"enable_exptime_map": True}),
    "--dq-of-empty": (("1",), {"dq_of_empty": 1}),
    "--extra": (("sky",), {"extra_array_names": ["sky"]}),
    "--pixmap-tolerance": (("0",), {"pixmap_tolerance": 0.0}),
    "--pixmap-stepsize": (("10",), {"pixmap_stepsize": 10.0}),
    "--pixmap-order": (("3",), {"pixmap_order": 3}),
    "--accumulator-dtype": (("f8",), {"accumulator_dtype": "f8"}),
    "--deterministic": ((), {"deterministic": True}),
    "--backend": (("cpu",), {"backend": "cpu"}),
    "--device": (("0,1",), {"device": [0, 1]}),
}


@pytest.mark.parametrize("option", EVERY_OPTION)
def test_options(option):
    """Each option is the argument of its name, and nothing else is given."""
    values, expected = EVERY_OPTION[option]
    parsed = cli.build_parser().parse_args(["mosaic", "x.fits", "-o", "y.fits", option, *values])
    assert command._options(parsed) == expected


def test_every_argument_has_an_option():
    """All that the function and the resampler take can be said on the command line; but for what serves programs."""
    import inspect

    given = {name for _, arguments in EVERY_OPTION.values() for name in arguments}
    own = {"inputs", "output", "client", "skip_bad", "overwrite", "progress", "options"}
    wanted = set(inspect.signature(gpures.mosaic).parameters) - own
    wanted |= set(inspect.signature(gpures.Resample).parameters) - {"n_input_models", "to_host"}
    assert given == wanted


@pytest.mark.parametrize(("option", "text", "value"), [("--good-bits", "none", None), ("--compute-err", "none", None)])
def test_none_on_the_command_line(option, text, value):
    """What is switched off with None in Python is switched off with "none"."""
    parsed = cli.build_parser().parse_args(["mosaic", "x.fits", option, text])
    assert list(command._options(parsed).values()) == [value]
    assert command._options(cli.build_parser().parse_args(["mosaic", "x", "--rotation", "first"])) == {"rotation": None}


# Interrupted


PAUSES = {
    "headers": "import gpures.io as module; name = 'inputs'",
    "reading": "from gpures.io import Input as module; name = 'read'",
    "adding": "from gpures import Resample as module; name = '_add'",
    "writing": "from gpures.io.atomic import Destination as module; name = 'publish'",
}


@pytest.mark.parametrize("stage", PAUSES)
def test_interrupted(paths, tmp_path, stage):
    """Ctrl-C, at any stage, ends with status 130 and a short message, and leaves neither a file nor a part of one."""
    program = f"""
        import sys, time
        from gpures.cli import main
        {PAUSES[stage]}

        def pause(*arguments, original=getattr(module, name), **others):
            print("here", flush=True)
            time.sleep(1.5)
            return original(*arguments, **others)

        setattr(module, name, pause)
        sys.exit(main())
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), "mosaic", *map(str, paths), "-o", str(tmp_path / "out.fits")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"GPURES_BACKEND": "cpu"},
    )
    assert process.stdout.readline() == "here\n"
    if stage == "reading":
        assert process.stdout.readline() == "here\n"  # by now in the thread that reads ahead
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == command.INTERRUPTED, err
    assert err.rstrip().endswith("gpures mosaic: interrupted; nothing was written.")
    assert "Traceback" not in err
    assert os.listdir(tmp_path) == []

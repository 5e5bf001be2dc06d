"""What the command line says: in its options' names, in a line, once, and never a traceback."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import starfield
from astropy.io import fits

from gpures import cli, startup
from gpures.cli import mosaic as command
from gpures.cli.words import in_options, option_names, said_once
from gpures.demo.hst import find_exposure
from gpures.extras import install

QUIET = ["-q", "--backend", "cpu"]


def parsed(*arguments):
    """Options of ``gpures mosaic``, as its function gets them."""
    return command._options(cli.build_parser().parse_args(["mosaic", "x.fits", *arguments]))


def refused(capsys, *arguments, status=2):
    """What ``gpures mosaic`` says when it fails."""
    assert cli.main(["mosaic", *map(str, arguments), *QUIET]) == status
    told = capsys.readouterr().err
    assert told.startswith("gpures mosaic: ")
    assert "Traceback" not in told
    return told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scale", "-1"], "--scale must be positive"),
        (["--scale-ratio", "0"], "--scale-ratio must be positive"),
        (["--shape", "0", "4"], "--shape must be two positive integers"),
        (["--pixfrac", "-2"], "--pixfrac must be a number"),
        (["--fillval", "abc"], "--fillval must be a number"),
        (["--crval", "150", "95"], "--crval must be a right ascension"),
        (["--rotation", "nan"], "--rotation must be an angle"),
        (["--pixmap-tolerance", "-1"], "--pixmap-tolerance must be"),
        (["--dq-of-empty", "1"], "needs --propagate-dq"),
        (["--like", "nowhere.fits", "--scale", "1"], "--like has its own frame: --scale can't be given beside it"),
        (
            ["--like", "nowhere.fits", "--align", "tangent"],
            "--like has its own frame: --align can't be given beside it",
        ),
    ],
)
def test_wrong_options_are_found_before_files_are_read(tmp_path, capsys, arguments, words):
    """They are called as on the command line, and no file is opened: there is none."""
    assert words in refused(capsys, tmp_path / "none.fits", "-o", tmp_path / "m.fits", *arguments)


def test_every_option_has_its_name():
    """Arguments are called by their options, also those that switch something off."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--like", dest="output_wcs")
    parser.add_argument("-o", "--output")
    parser.add_argument("--no-variances", dest="enable_var", action="store_false")
    names = option_names(parser)
    text = "'output_wcs' beside 'output' and 'enable_var=False', 'inputs', 'else', 'x=3'"
    assert in_options(text, names) == "--like beside --output and --no-variances, FILE, 'else', 'x=3'"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "made with pixfrac=1.0, and can't be with pixfrac=0.5.",
            "made with --pixfrac 1.0, and can't be with --pixfrac 0.5.",
        ),
        ("with kernel='square', not kernel='turbo'", "with --kernel 'square', not --kernel 'turbo'"),
        ("with enable_ctx=True, not enable_ctx=False.", "with no --no-context, not --no-context."),
        ("with allow_mixed=False, not allow_mixed=True", "with no --allow-mixed, not --allow-mixed"),
        ("with x=1, of /d/pixfrac=1/a.fits", "with x=1, of /d/pixfrac=1/a.fits"),
    ],
)
def test_values_of_options(text, told):
    """Arguments and their values become options with these, and paths stay what they are."""
    parser = argparse.ArgumentParser()
    for option in ("--pixfrac", "--kernel"):
        parser.add_argument(option)
    parser.add_argument("--no-context", dest="enable_ctx", action="store_false")
    parser.add_argument("--allow-mixed", action="store_true")
    assert in_options(text, option_names(parser)) == told


@pytest.mark.parametrize(
    ("given", "degrees"),
    [
        (("150.5", "-2.25"), (150.5, -2.25)),
        (("10:00:00", "+02:30:00"), (150.0, 2.5)),
        (("10:00:00", "-02:30:00"), (150.0, -2.5)),
        (("10h00m00s", "-2d30m0s"), (150.0, -2.5)),
        (("150d30m", "+2d0m0s"), (150.5, 2.0)),
        (("0:0:1.5", "-0:0:1.5"), (1.5 / 240, -1.5 / 3600)),
        (("1.5e2", "-1e-3"), (150.0, -0.001)),
    ],
)
def test_tangent_points(given, degrees):
    """Degrees, hours and minutes; what begins with a minus is no option."""
    np.testing.assert_allclose(parsed("--crval", *given)["crval"], degrees, rtol=0, atol=1e-12)


@pytest.mark.parametrize("given", [("ten", "2"), ("10:70:00", "2"), ("10:00:00", "x")])
def test_what_is_no_position(capsys, given):
    """It is refused with what was expected."""
    with pytest.raises(SystemExit):
        parsed("--crval", *given)
    assert "argument --crval: must be degrees, such as 150 2.5" in capsys.readouterr().err


def test_a_warning_of_many_files_is_given_once(capsys):
    """The first is printed, then the number of the others with some names; what differs is printed each time."""
    log = logging.getLogger("gpures.test")
    with said_once({"output_wcs": "--like"}):
        for k in range(400):
            log.warning("%s has no exposure time (%r): 1 s is taken.", f"{k}.fits", None)
            log.warning("Input model '%s' has no area.", f"{k}.fits")
            log.warning("'output_wcs' has one.")
        log.warning("%s has no exposure time (%r): 1 s is taken.", "399.fits", None)
        log.warning("%s has no exposure time (%r): 1 s is taken.", "x.fits", "abc")
        log.warning("Skipped: %s", "a.fits is bad.")
        log.warning("Skipped: %s", "b.fits is bad.")
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "0.fits has no exposure time (None): 1 s is taken.",
        "Input model '0.fits' has no area.",
        "--like has one.",
        "x.fits has no exposure time ('abc'): 1 s is taken.",
        "Skipped: a.fits is bad.",
        "Skipped: b.fits is bad.",
        "... and 399 more, 1.fits, 2.fits, 3.fits, ...: ... has no exposure time (None): 1 s is taken.",
        "... and 399 more, 1.fits, 2.fits, 3.fits, ...: Input model '...' has no area.",
    ]


NONSENSE = {
    "no projection": {"CTYPE1": "RA---XXX", "CTYPE2": "DEC--XXX"},
    "two right ascensions": {"CTYPE2": "RA---TAN"},
    "mixed": {"CTYPE1": "GLON-TAN"},
    "no sky": {"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"},
    "no matrix": {"CD1_1": 0.0, "CD1_2": 0.0},
    "a pole beyond poles": {"CRVAL2": 200.0},
    "far away": {"CRPIX1": 1e15},
    "a text": {"CD1_1": "abc"},
    "another unit": {"CUNIT1": "parsec"},
    "tiny": {f"CD{i}_{j}": 1e-30 for i in (1, 2) for j in (1, 2)},
    "huge": {"CD1_1": 1e10, "CD2_2": 1e10},
}


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_has_no_traceback(tmp_path, capsys, what):
    """A WCS of nonsense is an error of one line that names the file, alone and as a frame."""
    header = starfield.header_in()
    header.update(NONSENSE[what])
    fits.writeto(tmp_path / "bad.fits", np.ones(starfield.SHAPE, np.float32), header)
    good = starfield.star_file(tmp_path / "good.fits")
    told = refused(capsys, tmp_path / "bad.fits", "-o", tmp_path / "m.fits")
    assert "bad.fits" in told
    assert told.count("\n") == 1
    if what != "huge":  # all of the sky in a pixel is odd, but a frame
        refused(capsys, good, "--like", tmp_path / "bad.fits", "-o", tmp_path / "m.fits")
    assert not (tmp_path / "m.fits").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"hello\nworld\n", "neither FITS nor ASDF"), (b"", "is empty"), (bytes(range(256)), "neither FITS nor ASDF")],
)
def test_what_is_no_image(tmp_path, capsys, content, words):
    """Nor has a text, an empty file, or a folder."""
    (tmp_path / "x.fits").write_bytes(content)
    good = starfield.star_file(tmp_path / "good.fits")
    for arguments in ([tmp_path / "x.fits"], [good, "--like", tmp_path / "x.fits"]):
        assert words in refused(capsys, *arguments, "-o", tmp_path / "m.fits")
    for arguments in ([tmp_path], [good, "--like", tmp_path]):
        assert "folder" in refused(capsys, *arguments, "-o", tmp_path / "m.fits")


def test_names_of_any_alphabet(tmp_path, capsys):
    """Files are read, written and drawn under names of any alphabet, and with capitals in their ends."""
    one = starfield.star_file(tmp_path / "ü ñ.fits")
    output = tmp_path / "Ω é.FITS.GZ"
    assert cli.main(["mosaic", str(one), "-o", str(output), *QUIET]) == 0
    assert output.read_bytes().startswith(b"\x1f\x8b")
    starfield.assert_stars(output)
    assert cli.main(["plot", str(output), "-o", str(tmp_path / "ß.PNG")]) == 0
    assert (tmp_path / "ß.PNG").read_bytes().startswith(b"\x89PNG")
    assert "ends" not in capsys.readouterr().err
    assert "--output must end in one of .fits, .fits.gz, .asdf" in refused(capsys, one, "-o", tmp_path / "x.fits.fz")


def test_room_for_packed_files(tmp_path, capsys, monkeypatch):
    """Of what is packed at the end, too little room is an error if it is certain, and else said before the work."""
    import shutil

    one = starfield.star_file(tmp_path / "one.fits")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: (10**6, 10**6 - 30_000, 30_000))
    assert cli.main(["mosaic", str(one), "-o", str(tmp_path / "m.fits.gz"), *QUIET]) == 0
    assert "MB to be packed, and 0.0 MB are free: it may turn out not to fit" in capsys.readouterr().err
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: (10**6, 10**6 - 10, 10))
    assert cli.main(["mosaic", str(one), "-o", str(tmp_path / "n.fits.gz"), *QUIET]) == 2
    assert "needs 0.0 MB, and 0.0 MB are free" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("program", ["module", "script"])
def test_interrupted_while_it_starts(tmp_path, program):
    """Ctrl-C while modules are imported ends the program with the status 130, and without a traceback."""
    code = "import runpy, sys; sys.argv[0] = '/bin/gpures'; from gpures.cli import main; sys.exit(main(sys.argv[1:]))"
    how = ["-m", "gpures"] if program == "module" else ["-c", code]
    # A module that is imported late and does not come back: the moment of the signal is certain.
    (tmp_path / "argparse.py").write_text("import os, time\nopen(os.environ['MARK'], 'w').close()\ntime.sleep(60)\n")
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "MARK": str(tmp_path / "mark")}
    with subprocess.Popen(
        [sys.executable, *how, "mosaic", "x.fits", "--dry-run"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        for _ in range(600):
            if (tmp_path / "mark").exists():
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert process.returncode == startup.INTERRUPTED
    assert told == "gpures: interrupted; nothing was written.\n"


def test_importing_the_package_leaves_signals_alone():
    """Who imports gpures keeps the handler of Ctrl-C."""
    code = "import signal; before = signal.getsignal(signal.SIGINT); import gpures.cli; "
    code += "assert signal.getsignal(signal.SIGINT) is before"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pixel_scale_by_both_names():
    """The options of the scale have the names of the arguments as well, and messages say the short ones."""
    for option, long, name in (
        ("--scale", "--pixel-scale", "pixel_scale"),
        ("--scale-ratio", "--pixel-scale-ratio", "pixel_scale_ratio"),
    ):
        assert parsed(option, "0.5") == parsed(long, "0.5")
        assert parsed(long, "0.5")[name] == 0.5
        assert cli.build_parser().parse_args(["mosaic", "x.fits"]).names[name] == option


FIGURES = str(Path(__file__).parents[1] / "benchmarks" / "results" / "cpu.json")


@pytest.mark.parametrize(
    "arguments",
    [
        ["info", "--json"],
        ["mosaic", "--help"],
        ["bench", "--from", FIGURES],
        ["mosaic", str(find_exposure()), "--dry-run", "-q"],
    ],
)
def test_nobody_reads_what_is_printed(arguments):
    """As after `gpures info | head -0`: nothing is said of it."""
    program = [sys.executable, "-m", "gpures", *arguments]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as begun:
        begun.stdout.close()
        told = begun.stderr.read()
    assert told == ""
    assert begun.returncode in (0, 128 + signal.SIGPIPE)  # by how much waits to be printed


def test_a_plot_without_matplotlib_says_what_to_install():
    """Rather than that there is no module of that name."""
    code = "import sys; sys.modules['matplotlib'] = None; from gpures.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "plot", "x.fits", "-o", "x.png"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == f"gpures plot: gpures.plot needs matplotlib, which is not installed: {install('plot')}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("plot {exposure} -o x.foo", "plot: --output must end in one of .avif, .eps,"),
        ("plot {exposure} -o x.foo", ", got x.foo."),
        ("plot {exposure} -o .", "plot: --output must be a file, and . is a folder."),
        ("plot {exposure} -o nowhere/x.png", "plot: nowhere/x.png: there is no folder nowhere"),
        ("plot {exposure} -o x.png --dpi nan", "argument --dpi: must be a positive number, got nan"),
        ("plot {exposure} -o x.png --dpi -5", "argument --dpi: must be a positive number, got -5"),
        ("plot {exposure} -o x.png --dpi many", "argument --dpi: must be a positive number, got many"),
        ("demo -o file", "demo: --outdir must be a folder, and file is a file."),
        ("demo -o file/x", "demo: file/x: Not a directory"),
        ("bench --quick --plot x.foo", "bench: --plot must end in one of .avif, .eps,"),
        ("bench --from nowhere.json", "bench: nowhere.json: No such file or directory"),
        (
            "mosaic {exposure} -o there.fits",
            "--output is there.fits, which exists: choose another name, or give --overwrite.",
        ),
        ("mosaic {exposure} -o x.fits --checkpoint file", "mosaic: --checkpoint must be a folder, and file is a file."),
        (
            "mosaic {exposure} -o x.fits --reject-outliers --save-masks file",
            "mosaic: --save-masks must be a folder, and file is a file.",
        ),
        (
            "mosaic {exposure} -o x.fits --extra sky",
            "[SCI,1] has no array 'sky', which --extra asks for; there are data, dq, err,",
        ),
    ],
)
def test_what_is_wrong_with_files_is_said_before_work_begins(tmp_path, monkeypatch, capsys, arguments, words):
    """In the options' words and without numbers of errors, and nothing is drawn, read or written."""
    monkeypatch.chdir(tmp_path)
    for name in ("file", "there.fits"):
        Path(name).write_text("")
    monkeypatch.setattr("gpures.plot.overview", None)
    monkeypatch.setattr("gpures.bench.measure", None)
    monkeypatch.setattr("gpures.mosaicking.build.build", None)
    try:
        status = cli.main(arguments.format(exposure=find_exposure()).split())
    except SystemExit as left:
        status = left.code
    assert status == 2
    told = capsys.readouterr().err
    assert words in told
    assert "Errno" not in told
    assert sorted(os.listdir()) == ["file", "there.fits"]

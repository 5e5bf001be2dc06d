"""`gpures run`: a program finds what Python gives it, its resampling is on gpures, and its end is passed on."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
import stcal.resample

import gpures
from gpures import cli
from gpures.acceleration import program

STANDS_IN = "issubclass(stcal.resample.Resample, gpures.Resample)"

SCRIPT = f"""
import json, pathlib, sys
import gpures, stcal.resample
import beside_it
seen = [__name__, sys.argv, __file__, {STANDS_IN}, vars(sys.modules["__main__"]) is globals()]
pathlib.Path("seen.json").write_text(json.dumps(seen))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with a script and the module that it needs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "script.py").write_text(SCRIPT)
    (tmp_path / "scripts" / "beside_it.py").write_text("")
    yield tmp_path
    sys.modules.pop("beside_it", None)


def run(*arguments):
    """Exit status of `gpures run`."""
    with pytest.raises(SystemExit) as end:
        sys.exit(cli.main(["run", *arguments]))
    return end.value.code


def test_script(folder):
    """A script is __main__, has its arguments, its folder on the path, and gpures at work; then all is as before."""
    argv, path, reference = sys.argv, list(sys.path), stcal.resample.Resample
    assert run("--backend", "cpu", "scripts/script.py", "--backend", "x", "-m", "--", "y") is None
    name, seen_argv, file, accelerated, is_main = json.loads((folder / "seen.json").read_text())
    assert (name, accelerated, is_main) == ("__main__", True, True)
    assert seen_argv == ["scripts/script.py", "--backend", "x", "-m", "--", "y"]
    assert file == "scripts/script.py"
    assert sys.argv is argv
    assert sys.path == path
    assert stcal.resample.Resample is reference


def test_module(folder, monkeypatch):
    """With -m, a module of the working folder runs as by `python -m`, options of its own included."""
    monkeypatch.chdir(folder / "scripts")
    assert run("-m", "script", "--report") is None
    name, argv, file, accelerated, _ = json.loads((folder / "scripts" / "seen.json").read_text())
    assert (name, accelerated) == ("__main__", True)
    assert argv == [file, "--report"] == [str(folder / "scripts" / "script.py"), "--report"]


@pytest.mark.parametrize(
    ("last_line", "status"), [("", 0), ("sys.exit(5)", 5), ("sys.exit('why')", 1), ("raise ValueError('why')", 1)]
)
def test_status_of_a_process(folder, last_line, status):
    """The exit status and the last words are the program's, with the report before or after."""
    (folder / "it.py").write_text(f"import sys\nprint('to stdout')\n{last_line}\n")
    done = subprocess.run(
        [sys.executable, "-m", "gpures", "run", "--report", "it.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == status
    assert done.stdout == "to stdout\n"
    assert "nothing that it stands in for" in done.stderr
    assert ("why" in done.stderr) == ("why" in last_line)


def entry_points(monkeypatch, **functions):
    """Have these functions as the console entry points of the environment."""
    monkeypatch.setattr(
        program.importlib.metadata,
        "entry_points",
        lambda group, name: [EntryPoint(name, functions[name], group)] if name in functions else [],
    )


@pytest.mark.parametrize(("returned", "status"), [("None", None), ("0", 0), ("3", 3), ("'words'", "words")])
def test_console_entry_point(folder, monkeypatch, capsys, returned, status):
    """An entry point is called with its arguments in sys.argv; what it returns is the status."""
    (folder / "entry.py").write_text(
        "import sys, gpures, stcal.resample\n"
        f"def main():\n    print(sys.argv[1:], {STANDS_IN})\n    return {returned}\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    entry_points(monkeypatch, strun="entry:main")
    try:
        assert run("strun", "calwebb_image3", "--steps.resample.skip=no") == status
        assert capsys.readouterr().out == "['calwebb_image3', '--steps.resample.skip=no'] True\n"
    finally:
        sys.modules.pop("entry", None)


def test_entry_point_of_this_environment():
    """The console entry points that are installed are found, that of gpures for one."""
    with pytest.raises(SystemExit) as end:
        cli.main(["run", "gpures", "--version"])
    assert end.value.code == 0


def test_script_on_the_path(folder, monkeypatch, capsys):
    """A Python script on the PATH runs without its suffix; another program is refused, as it runs in no Python."""
    for name, first in (("a_python_script", f"#!{sys.executable}"), ("a_shell_script", "#!/bin/sh")):
        (folder / name).write_text(f"{first}\nprint('ran')\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    assert run("a_python_script") is None
    assert capsys.readouterr().out == "ran\n"
    assert run("a_shell_script") == 2
    assert "is not a Python script: its first line names no Python" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["no_such_program"], "there is no file 'no_such_program', no console entry point, and no program on the PATH"),
        (["no/such.py"], "there is no file 'no/such.py'"),
        (["-m", "no_such_module"], "there is no module 'no_such_module'"),
        (["-m", "no_such_package.module"], "there is no module 'no_such_package.module'"),
    ],
)
def test_programs_that_are_not_there(folder, capsys, arguments, text):
    """What can't be found is said, with status 2."""
    assert run(*arguments) == 2
    assert text in capsys.readouterr().err


def test_backend_that_can_not_be_used(folder, monkeypatch, capsys):
    """A GPU that is asked for and is not there ends it before the program begins."""
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert run("--backend", "cuda", "scripts/script.py") == 2
    assert "gpures run: backend='cuda' needs CuPy" in capsys.readouterr().err
    assert not (folder / "seen.json").exists()


def test_errors_of_the_program_are_its_own(folder, monkeypatch):
    """What a program raises comes through, though it be an error that gpures itself knows."""
    (folder / "it.py").write_text("import gpures\nraise gpures.DeviceError('lost')\n")
    with pytest.raises(gpures.DeviceError, match="lost"):
        cli.main(["run", "it.py"])


RESAMPLES = (
    f"import sys\nsys.path.insert(0, {os.path.dirname(__file__)!r})\n"
    "import scenes\nfrom stcal.resample import Resample\n"
    "resample = Resample({'wcs': scenes.frame_around((34, 29)), 'pixel_scale': scenes.SCALE})\n"
    "[resample.add_model(model) for model in scenes.dithered_models((34, 29), n=3)]\n"
    "resample.finalize()\n"
)


def test_report(folder, capsys):
    """The report counts what was done on gpures, and its stages."""
    (folder / "it.py").write_text(RESAMPLES)
    assert run("--backend", "cpu", "--report", "it.py") is None
    report = capsys.readouterr().err
    assert "3 x stcal.resample.Resample.add_model" in report
    assert "s pixel map" in report


def test_last_line_and_logged_lines(folder, capsys, caplog):
    """Without a report a line says what ran on gpures, and stcal's logger has the lines that stcal would log."""
    (folder / "it.py").write_text(RESAMPLES)
    with caplog.at_level(logging.INFO, "stcal"):
        assert run("--backend", "cpu", "it.py") is None
    assert capsys.readouterr().err == "gpures: 3 x stcal.resample.Resample.add_model\n"
    told = [record.getMessage() for record in caplog.records if record.name == "stcal.resample.resample"]
    assert "Driz parameter kernel: square" in told
    assert sum(line.startswith("Drizzling (34, 29) --> ") for line in told) == 3

    (folder / "other.py").write_text("")
    assert run("other.py") is None
    assert capsys.readouterr().err == "gpures: nothing that it stands in for was called\n"

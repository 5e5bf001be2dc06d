"""The documentation: its examples, and those of docstrings, give what they show; its pages build without a warning."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import gpures

ROOT = Path(__file__).parents[1]
PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.rst") if ">>>" in path.read_text())
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

# Of a build from nothing, some fifteen seconds of a core; so much is room for a slow machine, not a wish.
LIMIT_S = 600


def modules_with_examples() -> list[str]:
    """Modules of the package in whose source an example stands."""
    folder = ROOT / "gpures"
    names = [module.name for module in pkgutil.walk_packages([str(folder)], "gpures.", onerror=lambda name: None)]
    paths = {name: folder.joinpath(*name.split(".")[1:]) for name in ["gpures", *names]}
    sources = {
        name: path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
        for name, path in paths.items()
    }
    return [name for name, path in sources.items() if path.is_file() and ">>>" in path.read_text()]


@pytest.mark.parametrize("page", PAGES)
def test_examples_of_pages(page, tmp_path, monkeypatch):
    """Each page's examples give, in their order, what the page shows; files are written to an empty folder."""
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(str(ROOT / "docs" / page), module_relative=False, optionflags=FLAGS)
    assert result.attempted > 0
    assert result.failed == 0


def test_pages_are_found():
    """The pages with examples are those that one expects, so that none is lost by its name."""
    assert {"index.rst", "tutorial.rst", "troubleshooting.rst"} <= set(PAGES)


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_of_docstrings(name, tmp_path, monkeypatch):
    """Examples in docstrings give what they show."""
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(importlib.import_module(name), optionflags=FLAGS).failed == 0


def test_public_classes_have_examples():
    """What the package is for is shown where people look it up."""
    assert "gpures.resample" in modules_with_examples()
    assert ">>>" in gpures.Resample.__doc__


def test_pages_build(tmp_path):
    """All pages build, without a network and without a warning: links, names of tests, figures and figures' numbers."""
    command = [sys.executable, "-m", "sphinx", "-q", "--fail-on-warning", "--keep-going", "-D", "disable_intersphinx=1"]
    done = subprocess.run(
        [*command, str(ROOT / "docs"), str(tmp_path / "html")],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        env=os.environ | {"MPLBACKEND": "agg"},
    )
    assert done.returncode == 0, done.stderr
    maths = (tmp_path / "html" / "maths.html").read_text()
    assert maths.count("<img") >= 5

"""The house: as its page draws it, and as the checker of imports is told."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gpures.moved import PLACES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "house.rst").read_text()


def layers():
    """Rooms and files by the checker's layers, the topmost first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return [line.split(" | ") for line in contracts[0]["layers"]]


def drawn():
    """The same as the page draws them, where a line that ends in | goes on in the next one."""
    block = PAGE[PAGE.index("The rooms\n") : PAGE.index("A room's ``__init__.py``")]
    found, goes_on = [], False
    for name, words in re.findall(r"^   gpures/(\w+)(?:/|\.py) +(.+)$", block, re.MULTILINE):
        found = [*found[:-1], [*found[-1], name]] if goes_on else [*found, [name]]
        goes_on = words.endswith("|")
    return found


def test_rooms_are_drawn_as_they_are():
    """The page draws the rooms in the checker's order, and none that is not there, and there is no other."""
    known = [sorted(line) for line in layers() if line != ["__main__"]]
    assert [sorted(line) for line in drawn()] == known
    there = {
        path.stem for path in (ROOT / "gpures").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert there - {"__init__", "__main__"} == {name for line in known for name in line}


@pytest.mark.parametrize(
    "page", ["docs/house.rst", "README.md", "docs/maths.rst", "CONTRIBUTING.md", "docs/contributing.rst"]
)
def test_paths_that_pages_name_exist(page):
    """Each path of the sources that a page names is there; so are files named beside one, in its folder."""
    if not (ROOT / page).exists():
        pytest.skip(f"there is no {page}")
    missing = []
    for line in (ROOT / page).read_text().splitlines():
        paths = re.findall(
            r"\b(?:gpures|kernels|tests|benchmarks|docs)/[\w/]*(?:\w+\.(?:py|h|cpp|cu|rst|json)|/(?!\w))", line
        )
        missing += [path for path in paths if not (ROOT / path).exists()]
        if paths and "docs/house.rst" in page:
            folder = (ROOT / paths[-1]) if paths[-1].endswith("/") else (ROOT / paths[-1]).parent
            beside = re.findall(r"(?<![\w/.])\w+\.(?:py|h|cpp|cu)\b", line)
            missing += [name for name in beside if not (folder / name).exists()]
    assert not missing


def test_imports_keep_to_the_rooms(tmp_path):
    """Every import, deferred ones and those of types included, goes to a room below, and none in a circle."""
    pytest.importorskip("importlinter")
    checked = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    done = subprocess.run(checked, cwd=ROOT, capture_output=True, text=True)
    assert "0 broken" in done.stdout, done.stdout


@pytest.mark.parametrize("before", PLACES)
def test_places_before(before):
    """What is imported from where a module was is the module itself, where it is now."""
    if before in ("gpures.plot.page", "gpures.bench.turns"):
        pytest.importorskip("matplotlib")
    assert importlib.import_module(before) is importlib.import_module(PLACES[before])


def test_places_before_are_found_by_attribute():
    """Who imported the package alone finds them as well."""
    code = "import gpures; gpures.pixmap.calc_pixmap; gpures.records.KERNELS; gpures.stages.watched"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_test_imports_what_is_called_as_another_is():
    """There are several conftest.py, and whichever is collected first would be imported."""
    found = [
        path.name for path in (ROOT / "tests").rglob("*.py") if re.search(r"(from|import) conftest\b", path.read_text())
    ]
    assert [name for name in found if name != "test_house.py"] == []

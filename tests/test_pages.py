"""The pages of the documentation, built without a network: links, pictures, maths, and how a browser shows them."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from gpures.cli import build_parser

ROOT = Path(__file__).parents[1]
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.rst"))]

# Of a build from nothing, some thirty seconds of a core; so much is room for a slow machine, not a wish.
LIMIT_S = 900

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")


class Page(HTMLParser):
    """What a page names, and what it shows as text."""

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.files, self.ids, self.text, self.maths = [], [], set(), [], 0
        self._within = []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids |= {found[key] for key in ("id", "name") if found.get(key)}
        self.maths += tag == "math"
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if found.get("src"):
            self.files.append(found["src"])
        if tag == "link" and found.get("rel") in ("stylesheet", "icon", "preload", "shortcut icon"):
            self.files.append(found["href"])
        if tag in ("pre", "code", "script", "style"):
            self._within.append(tag)

    def handle_endtag(self, tag):
        if self._within and self._within[-1] == tag:
            self._within.pop()

    def handle_data(self, data):
        if not self._within:
            self.text.append(data)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Folder of the pages; notebooks are among them without their outputs, which test_notebooks.py makes.

    GPURES_TEST_PAGES is a folder in which they are already.
    """
    if built := os.environ.get("GPURES_TEST_PAGES"):
        return Path(built)
    folder = tmp_path_factory.mktemp("pages") / "html"
    command = [sys.executable, "-m", "sphinx", "-q", "--fail-on-warning", "--keep-going"]
    settings = ["-D", "disable_intersphinx=1", "-D", "nb_execution_mode=off"]
    done = subprocess.run(
        [*command, *settings, str(ROOT / "docs"), str(folder)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        env=os.environ | {"MPLBACKEND": "agg"},
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def parsed(pages):
    """The same, read."""
    return {path: Page(path) for path in pages.rglob("*.html") if "_static" not in path.parts}


def test_pages_build(pages, parsed):
    """All pages build without a warning: names of tests, figures and figures' numbers."""
    pictures = {path.name: sum(name.endswith(".png") for name in page.files) for path, page in parsed.items()}
    assert {"which_tool.html", "recipes.html", "names.html", "testing.html", "06-clean-mosaics.html"} <= pictures.keys()
    assert pictures["maths.html"] >= 5
    assert pictures["tutorial.html"] >= 2
    assert any(name.endswith(".png") for name in parsed[pages / "index.html"].files)


def test_links_lead_somewhere(parsed):
    """Each link to a page of ours, and to a place on it."""
    lost = []
    for path, page in parsed.items():
        if "_modules" in path.parts:  # sources, which lead back by names of Sphinx's own
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            places = parsed[there].ids if there in parsed and parts.fragment else {unquote(parts.fragment)}
            if not there.exists() or unquote(parts.fragment) not in places:
                lost.append((path.name, link))
    assert not lost


def test_nothing_comes_from_elsewhere(parsed):
    """Pictures, styles and scripts are beside the pages: they need no network."""
    for path, page in parsed.items():
        for name in page.files:
            parts = urlsplit(name)
            assert not parts.scheme or parts.scheme == "data", (path.name, name)
            assert not parts.netloc, (path.name, name)
            assert parts.scheme or (path.parent / unquote(parts.path)).exists(), (path.name, name)


def test_maths_is_no_tex(pages, parsed):
    """Formulas are MathML, and no TeX is left in the text of any page."""
    assert parsed[pages / "maths.html"].maths > 100
    for path, page in parsed.items():
        assert not re.search(r"\\(frac|begin|mathrm|sum|sqrt|left|text)\b|\$\$|:math:", "".join(page.text)), path.name


def test_nothing_public_is_described_twice(pages):
    """Each class and function has one page, under one name."""
    names = [path.stem for path in (pages / "api").glob("*.html")]
    found = {}
    for name in names:
        module, _, attribute = name.rpartition(".")
        found.setdefault(id(getattr(importlib.import_module(module), attribute)), []).append(name)
    assert len(found) > 50
    assert not [each for each in found.values() if len(each) > 1]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_commands_of_pages_are_understood(path):
    """What a page shows on a command line has options that there are."""
    blocks = re.findall(r"(?:code-block:: shell\n|```\n)(.*?)(?=\n\S|```|\Z)", path.read_text(), re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    parser = build_parser()
    parser.exit_on_error = False
    for line in lines:
        if line.startswith("gpures ") and "[" not in line and "..." not in line and "@" not in line:
            words = shlex.split(line, comments=True)[1:]
            try:
                parser.parse_args(words)
            except (SystemExit, argparse.ArgumentError) as error:
                pytest.fail(f"{line}: {error}")


def test_names_of_options():
    """The page of names has options of the command line that there are, and arguments of the functions."""
    text = (ROOT / "docs" / "names.rst").read_text()
    parser = build_parser()
    (commands,) = (a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    known = set(commands["mosaic"]._option_string_actions)
    named = set(re.findall(r"``(--[a-z-]+)", text))
    assert len(named) > 20
    assert named <= known


def browser():
    """A Chromium, if there is one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


# Notes what a person would see: pictures that are not there, and whether the page is wider than the window.
LOOK = """<script>addEventListener("load", () => {
  const seen = document.documentElement.dataset;
  seen.lost = [...document.images].filter(image => !image.naturalWidth).map(image => image.src).join(" ");
  seen.beyond = document.documentElement.scrollWidth - innerWidth;
  seen.flat = [...document.querySelectorAll("math")].filter(each => each.getBoundingClientRect().height < 4).length;
})</script>"""


@pytest.mark.skipif(browser() is None, reason=f"there is no browser here: none of {', '.join(BROWSERS)}")
@pytest.mark.parametrize("width", [1280, 500])
def test_in_a_browser(pages, parsed, width):
    """Chromium has nothing to complain of, shows all pictures and formulas, and need not be moved sideways."""
    for name in ("index", "tutorial", "maths", "command_line", "names"):
        page = pages / f"looked_at_{name}.html"
        page.write_text((pages / f"{name}.html").read_text().replace("</body>", LOOK + "</body>"))
        options = ["--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"]
        options += [f"--window-size={width},1000", "--virtual-time-budget=5000", "--dump-dom"]
        done = subprocess.run(
            [browser(), *options, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
        )
        complaints = [line for line in done.stderr.splitlines() if re.search(r"Uncaught|Failed to load|ERR_", line)]
        assert not complaints, name
        seen = dict(re.findall(r' data-(lost|beyond|flat)="([^"]*)"', done.stdout.partition("<head>")[0]))
        assert seen["lost"] == "", name
        assert int(seen["beyond"]) <= 0, (name, seen)
        assert seen["flat"] == "0", name

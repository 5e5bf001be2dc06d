"""What the pages take from the code, so that no number and no name stands in two places.

``.. measured:: SECTION FILE.json``
    a table of a report of ``gpures bench`` in benchmarks/results, and where it was measured;
``.. commands::``
    the help of the command line, and of each command;
``:test:`name```
    a test of that name, which must exist.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

from gpures.bench import table
from gpures.cli import build_parser

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def grid(headings: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a list-table, numbers to the right."""
    lines = [".. list-table::", "   :header-rows: 1", "   :class: numbers", ""]
    for cells in [headings, *rows]:
        lines += [f"   {'*' if k == 0 else ' '} - {cell}" for k, cell in enumerate(cells)]
    return [*lines, ""]


class Measured(Directive):
    """Table of a section of a report."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        """Make it."""
        section, name = self.arguments
        path = RESULTS / name
        report = json.loads(path.read_text())
        self.state.document.settings.record_dependencies.add(str(path))
        if "about" in report and section in report:
            rows = [[row["name"], *table.CELLS[section](row, report)] for row in report[section] if "error" not in row]
            lines = grid(["", *table.COLUMNS[section]], rows)
            lines += ["; ".join(table.about(report["about"])) + f" (``benchmarks/results/{name}``).", ""]
        else:
            lines = [f"Not in ``benchmarks/results/{name}`` yet; ``gpures bench --only {section}`` measures it.", ""]
        container = nodes.container()
        self.state.nested_parse(StringList(lines, source=str(path)), 0, container)
        return container.children


class Commands(Directive):
    """Help of the command line, and a section for each command."""

    def run(self) -> list[nodes.Node]:
        """Make it."""
        parser = build_parser()
        (commands,) = (a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction))
        found: list[nodes.Node] = [help_of(parser)]
        for name, command in commands.items():
            section = nodes.section(ids=[f"gpures-{name}"], names=[f"gpures {name}"])
            section += [nodes.title(text=f"gpures {name}"), help_of(command)]
            found.append(section)
        return found


def help_of(parser: argparse.ArgumentParser) -> nodes.Node:
    """Help of a parser, as wide as a page."""
    own = parser.formatter_class
    parser.formatter_class = lambda prog: own(prog, max_help_position=28, width=88)
    text = parser.format_help()
    return nodes.literal_block(text, text, language="text")


def test_role(name: str, rawtext: str, text: str, lineno: int, inliner: Any, **_: Any) -> tuple[list, list]:
    """Name of a test, with its file."""
    for path in sorted((ROOT / "tests").glob("test_*.py")):
        if re.search(rf"^def {re.escape(text)}\(", path.read_text(), re.MULTILINE):
            return [nodes.literal(rawtext, f"{path.name}::{text}", classes=["test"])], []
    message = inliner.reporter.error(f"There is no test {text!r}.", line=lineno)
    return [inliner.problematic(rawtext, rawtext, message)], [message]


def setup(app: Any) -> dict[str, bool]:
    """Tell Sphinx."""
    app.add_directive("measured", Measured)
    app.add_directive("commands", Commands)
    app.add_role("test", lambda *args, **_: test_role(*args[:5]))
    return {"parallel_read_safe": True}

"""What the pages say of the repository, counted when they are built.

``.. counted:: tests``
    how many tests there are, and what of;
``.. changes::``
    what changed since the last release, from changes/, and CHANGELOG.md.
"""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

ROOT = Path(__file__).parents[1]


def tests_of(tree: Path) -> dict[str, int]:
    """What there is of tests: functions, files, lines, by what they are about."""
    paths = sorted((tree / "tests").rglob("*.py"))
    functions = [
        (node, path)
        for path in paths
        if path.name.startswith("test_")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]

    def lines(found: list[Path]) -> int:
        return sum(len(path.read_text().splitlines()) for path in found)

    drawn = sum(any("given" in ast.unparse(mark) for mark in node.decorator_list) for node, _ in functions)
    each = sum(any(argument.arg == "backend" for argument in node.args.args) for node, _ in functions)
    compared = sum(bool(re.search(r"\boracle\.", ast.unparse(node))) for node, _ in functions)
    kernels = [path for path in (tree / "kernels").rglob("*") if path.suffix in (".h", ".cpp", ".cu")]
    ptx = [path for path in (tree / "tests" / "ptx").iterdir() if path.suffix in (".h", ".cpp", ".py")]
    return {
        "test functions, most of which run with many values": len(functions),
        "of them, on each backend": each,
        "of them, whose values Hypothesis draws": drawn,
        "of them, that compare with the definition by themselves": compared,
        "lines of tests and of what they compare with": lines(paths),
        "lines of the interpreter of PTX": lines(ptx),
        "lines of the package": lines(sorted((tree / "gpures").rglob("*.py"))),
        "lines of the kernels": lines(kernels),
    }


class Counted(Directive):
    """A table of numbers."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Make it."""
        assert self.arguments == ["tests"]
        lines = [".. list-table::", "   :class: numbers", ""]
        for words, number in tests_of(ROOT).items():
            lines += [f"   * - {words}", f"     - {number:,}"]
        return parsed(self, lines)


def as_rst(markdown: str) -> list[str]:
    """The little Markdown that these files have."""
    lines: list[str] = []
    text = re.sub(r"`+([^`]+)`+", r"``\1``", markdown)
    text = re.sub(r"\[([^]]+)\]\(([^)]+)\)", r"`\1 <\2>`__", text)
    for line in text.splitlines():
        if found := re.match(r"(#+) (.*)", line):
            lines += ["", f"**{found[2]}**", ""]
        else:
            lines.append(line)
    return lines


def fragments() -> list[str]:
    """What changed since the last release, by its kind."""
    kinds = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]["type"]
    lines: list[str] = []
    for kind in kinds:
        paths = sorted((ROOT / "changes").glob(f"*.{kind['directory']}.md"))
        lines += [f"## {kind['name']}"] if paths else []
        for path in paths:
            first, *rest = path.read_text().strip().splitlines()
            lines += ["", f"- {first}", *(f"  {line}" for line in rest), ""]
    return as_rst("\n".join(lines))


class Changes(Directive):
    """What changed."""

    def run(self) -> list[nodes.Node]:
        """Make it."""
        title, _, released = (ROOT / "CHANGELOG.md").read_text().partition("<!-- the releases -->")
        assert title
        lines = ["**Since the last release**", "", *fragments(), "", *as_rst(released)]
        return parsed(self, lines)


def parsed(directive: Directive, lines: list[str]) -> list[nodes.Node]:
    """Nodes of lines of reStructuredText."""
    container = nodes.container()
    directive.state.nested_parse(StringList(lines, source=__file__), 0, container)
    return container.children


def setup(app: Any) -> dict[str, bool]:
    """Tell Sphinx."""
    app.add_directive("counted", Counted)
    app.add_directive("changes", Changes)
    return {"parallel_read_safe": True}

"""What the pages take from the code, so that no number and no name stands in two places.

``.. measured:: SECTION``
    of each report of ``gpures bench`` in benchmarks/results a section's table, and where it was measured: of those of
    everything, or where none of these has it, of those of parts;
``.. measured:: plot``
    the plot of each report of everything;
``.. measured:: gpus``
    the table of each report of ``benchmarks/gpu.py`` there;
``.. predicted:: rates``, ``table``, ``stops`` or ``ways``
    tables of benchmarks/results/scale_model.json;
``.. predicted:: gpus``
    the one of benchmarks/results/gpu_model.json;
``.. commands::``
    the help of the command line, and of each command;
``:test:`name```
    the test of that name, which must exist, and once.
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

from gpures.bench import SCALE, table
from gpures.bench.plot import draw
from gpures.cli import build_parser

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def grid(headings: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a list-table, numbers to the right."""
    lines = [".. list-table::", "   :header-rows: 1", "   :class: numbers", ""]
    for cells in [headings, *rows]:
        lines += [f"   {'*' if k == 0 else ' '} - {cell}" for k, cell in enumerate(cells)]
    return [*lines, ""]


def reports(section: str) -> dict[Path, dict[str, Any]]:
    """The reports of ``gpures bench`` that a section is taken from."""
    found = {path: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    found = {path: report for path, report in found.items() if "about" in report}
    whole = {path: report for path, report in found.items() if "cases" in report}
    has_it = any(report.get(section) for report in whole.values())
    return whole if section == "plot" or has_it else found


GPU_COLUMNS = ["`add_model`", "`add_models`", "arrays on the GPU", "splat, fold", "stcal", "stcal / gpures"]


def gpu_rows(report: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Of a report of ``benchmarks/gpu.py``, each case's name, and what GPU_COLUMNS say of it."""

    def milliseconds(case: dict[str, Any], part: str) -> str:
        return f"{1e3 * case[part]['per_exposure_s']:.1f} ms" if part in case else ""

    rows = []
    for name, case in report["benchmark"].items():
        if not isinstance(case, dict) or "kernels" not in case:
            continue
        kernels = case["kernels"]
        cells = [milliseconds(case, part) for part in ("add_model", "add_models", "device_arrays")]
        cells.append(f"{1e3 * kernels['splat_s']:.2f}, {1e3 * kernels['fold_s']:.2f} ms")
        seconds = case.get("stcal", {}).get("per_exposure_s")
        best = min(case[part]["per_exposure_s"] for part in ("add_model", "add_models") if part in case)
        cells += [f"{seconds:.1f} s", f"{seconds / best:.0f}\N{MULTIPLICATION SIGN}"] if seconds else ["", ""]
        rows.append((name, cells))
    return rows


class Measured(Directive):
    """A section of the reports."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Make it."""
        (section,) = self.arguments
        if section == "gpus":
            return self.parsed(self.gpus())
        lines = []
        for path, report in reports(section).items():
            self.state.document.settings.record_dependencies.add(str(path))
            lines += self.plot(path, report) if section == "plot" else self.table(section, path, report)
        if not lines:
            command = {"plot": "gpures bench", SCALE: "gpures bench --scale"}.get(
                section, f"gpures bench --only {section}"
            )
            lines = [f"Not in ``benchmarks/results`` yet; ``{command}`` measures it.", ""]
        return self.parsed(lines)

    def parsed(self, lines: list[str]) -> list[nodes.Node]:
        """What lines say."""
        container = nodes.container()
        self.state.nested_parse(StringList(lines, source=__file__), 0, container)
        return container.children

    def gpus(self) -> list[str]:
        """Lines of a table for each GPU, and what it was."""
        lines = []
        for path in sorted(RESULTS.glob("gpu-*.json")):
            self.state.document.settings.record_dependencies.add(str(path))
            report = json.loads(path.read_text())
            headings = [words.replace("`", "``") for words in GPU_COLUMNS]  # which are Markdown's
            lines += grid(["", *headings], [[name.replace("_", ", "), *cells] for name, cells in gpu_rows(report)])
            told, copied = report["versions"], report["benchmark"]["ceilings"]
            rates = ", ".join(
                f"{words} {rate / 1e9:.3g} GB/s"
                for words, rate in (
                    ("memory of the device copied at", copied["device"]["bytes_per_s"]),
                    ("pinned memory to it at", copied["pinned"]["bytes_per_s"]),
                    ("memory of the host at", max(v for k, v in copied["host_copy"].items() if "threads" in k)),
                )
            )
            lines += [
                f"{told['device']}, driver {told['driver']}, CuPy {told['cupy']}, {told['threads']} threads of "
                f"{told['processor']}; {rates}; {report['date']}, commit {report['commit'][:7]} "
                f"(``benchmarks/results/{path.name}``).",
                "",
            ]
        return lines

    def table(self, section: str, path: Path, report: dict[str, Any]) -> list[str]:
        """Lines of a table, and where it was measured."""
        rows = [
            [row["name"], *table.CELLS[section](row, report)] for row in report.get(section, ()) if "error" not in row
        ]
        about = "; ".join(table.about(report["about"]))
        return (
            [*grid(["", *table.COLUMNS[section]], rows), f"{about} (``benchmarks/results/{path.name}``).", ""]
            if rows
            else []
        )

    def plot(self, path: Path, report: dict[str, Any]) -> list[str]:
        """Lines of an image, which is drawn."""
        folder = Path(self.state.document.settings.env.srcdir, "plots")
        folder.mkdir(exist_ok=True)
        draw(report, folder / f"{path.stem}.png")
        return [f".. image:: plots/{path.stem}.png", f"   :alt: The figures of {path.name}, drawn.", ""]


class Predicted(Directive):
    """A table of what benchmarks/scale_model.py predicts, or gpu_model.py."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Make it."""
        path = RESULTS / ("gpu_model.json" if self.arguments == ["gpus"] else "scale_model.json")
        self.state.document.settings.record_dependencies.add(str(path))
        found = json.loads(path.read_text())
        container = nodes.container()
        lines = [*getattr(self, self.arguments[0])(found), self.origin(found, path), ""]
        self.state.nested_parse(StringList(lines, source=__file__), 0, container)
        return container.children

    def origin(self, found: dict[str, Any], path: Path) -> str:
        """Line that says what the figures are."""
        told = found["predicted"]
        return f"Predicted, not measured: {told['date']}, commit {told['commit']} (``benchmarks/results/{path.name}``)."

    def gpus(self, found: dict[str, Any]) -> list[str]:
        """Milliseconds of an exposure on GPUs."""

        def milliseconds(seconds: float) -> str:
            return f"{seconds * 1e3:.2g}"

        rows = []
        for name, card in found["cards"].items():
            cells = [name, milliseconds(card["rotations"]["0"]["upload_s"])]
            for angle in ("0", "1", "20"):
                of_angle = card["rotations"][angle]
                cells.append(f"{milliseconds(of_angle['kernels_s'])}")
                cells.append(f"{milliseconds(of_angle['seconds'])}, {of_angle['limited_by']}")
            cells += [milliseconds(card["single"][angle]["kernels_s"]) for angle in ("0", "20")]
            rows.append([*cells, card["source"]])
        headings = ["", "Upload"]
        headings += [word for angle in ("0°", "1°", "20°") for word in (f"Kernels, {angle}", f"Exposure, {angle}")]
        headings += ["Kernels, single, 0°", "20°"]
        return grid([*headings, "Specified in"], rows)

    def rates(self, found: dict[str, Any]) -> list[str]:
        """What is assumed, and what is measured."""
        rates = found["rates"]
        assumed = [
            [f"``{name}``", f"{value:.4g} {unit}", f"assumed: {why}"] for name, value, unit, why in rates["assumed"]
        ]
        sources = rates["sources"]
        measured = [
            [f"``{key}``", f"{value:.4g}", f"cpu.json, {sources[key]}"] for key, value in rates["measured"].items()
        ]
        return grid(["", "Value", "Where it is from"], assumed + measured)

    def table(self, found: dict[str, Any]) -> list[str]:
        """What so many workers need."""
        headings = ["", "Context", "Tiles", "Read, TB", "Moved, TB", "of it between nodes", "Merged, TB", "Written, TB"]
        sizes = "read", "moved", "moved_between_nodes", "merged", "written"
        rows = [
            [row["name"], row["context"], f"{row['tiles']}", *terabytes(row, *sizes), minutes(row), busiest(row)]
            for row in found["table"]
        ]
        return grid([*headings, "Minutes", "Busiest"], rows)

    def stops(self, found: dict[str, Any]) -> list[str]:
        """Where it stops scaling."""
        rows = []
        for scan in found["workers"]:
            units = "GPUs" if scan["kind"] == "gpu" else "CPU nodes"
            last = next((row for row in scan["rows"] if row["units"] == scan["stops_at"]), scan["rows"][-1])
            least = min(scan["rows"], key=lambda row: row["seconds"])
            here, best = f"{last['units']}, {minutes(last)} min", f"{least['units']}, {minutes(least)} min"
            rows.append([units, scan["context"], here, best, busiest(least)])
        return grid(["", "Context", "Worth it up to", "Fastest with", "Busiest then"], rows)

    def ways(self, found: dict[str, Any]) -> list[str]:
        """What could be done otherwise."""
        names = {"gpu": "64 GPUs", "cpu": "64 CPU nodes"}
        rows = [
            [
                f"{names[row['kind']]}: {row['name']}",
                *terabytes(row, "read", "moved", "merged"),
                minutes(row),
                busiest(row),
            ]
            for row in found["ways"]
        ]
        return grid(["", "Read, TB", "Moved, TB", "Merged, TB", "Minutes", "Busiest"], rows)


def terabytes(row: dict[str, Any], *names: str) -> list[str]:
    """Bytes of a prediction."""
    return [f"{row['bytes'][name] / 1e12:.3g}" for name in names]


def minutes(row: dict[str, Any]) -> str:
    """Time of a prediction."""
    return f"{row['seconds'] / 60:.3g}"


def busiest(row: dict[str, Any]) -> str:
    """What of a prediction is busy for most of the time, and whether workers have the memory."""
    name = row["limited_by"]
    return f"``{name}``, {row['busy'][name]:.0%}" + ("" if row["fits"] else "; too little memory")


class Commands(Directive):
    """Help of the command line, and a section for each command."""

    def run(self) -> list[nodes.Node]:
        """Make it."""
        parser = build_parser()
        (commands,) = (a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction))
        found: list[nodes.Node] = [nodes.paragraph(text=parser.description)]
        for name, command in commands.items():
            section = nodes.section(ids=[f"gpures-{name}"], names=[f"gpures {name}"])
            section += [nodes.title(text=f"gpures {name}"), *help_of(command, name)]
            found.append(section)
        return found


def help_of(parser: argparse.ArgumentParser, name: str) -> list[nodes.Node]:
    """Help of a command: lists of its options, which are as wide as the page."""
    usage = " ".join(parser.format_usage().split()).removeprefix("usage: ")
    found: list[nodes.Node] = [nodes.literal_block(usage, usage, language="text", classes=["usage"])]
    found.append(as_it_is(parser.description or ""))
    formatter = parser._get_formatter()
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.help != argparse.SUPPRESS]
        if not actions:
            continue
        options = nodes.definition_list(classes=["options"])
        for action in actions:
            words = formatter._format_action_invocation(action)
            term = nodes.term("", "", nodes.literal(words, words), ids=[f"gpures-{name}-{action.dest}"])
            told = as_it_is(formatter._expand_help(action))
            options += nodes.definition_list_item("", term, nodes.definition("", told))
        found += [nodes.rubric(text=(group.title or "").capitalize()), options]
    return found + [as_it_is(text) for text in (parser.epilog or "").split("\n\n") if text]


def as_it_is(text: str) -> nodes.Node:
    """Paragraph in which ``--`` is no dash."""
    paragraph = nodes.paragraph(text=text)
    paragraph["support_smartquotes"] = False
    return paragraph


def test_role(name: str, rawtext: str, text: str, lineno: int, inliner: Any, **_: Any) -> tuple[list, list]:
    """Name of a test, or of a class's test as ``TestClass::test_name``, with its file."""
    owner, _, test = text.rpartition("::")
    place = rf"^class {re.escape(owner)}\b.*?^    def {re.escape(test)}\(" if owner else rf"^def {re.escape(test)}\("
    paths = sorted((ROOT / "tests").glob("test_*.py"))
    found = [path.name for path in paths if re.search(place, path.read_text(), re.MULTILINE | re.DOTALL)]
    if len(found) == 1:
        return [nodes.literal(rawtext, f"{found[0]}::{text}", classes=["test"])], []
    words = f"There are several tests {text!r}: in {', '.join(found)}." if found else f"There is no test {text!r}."
    message = inliner.reporter.error(words, line=lineno)
    return [inliner.problematic(rawtext, rawtext, message)], [message]


def setup(app: Any) -> dict[str, bool]:
    """Tell Sphinx."""
    app.add_directive("measured", Measured)
    app.add_directive("predicted", Predicted)
    app.add_directive("commands", Commands)
    app.add_role("test", lambda *args, **_: test_role(*args[:5]))
    return {"parallel_read_safe": True}

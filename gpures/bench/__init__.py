"""Benchmark of gpures beside the reference: seconds, memory, growth, and what the machine allows.

Machines differ and so do moments: it is the ratio within one run that means something.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpures.extras import install

if TYPE_CHECKING:
    from gpures.bench.plan import Jobs, Plan

__all__ = ["BY_THEMSELVES", "CURVES", "SCALE", "SECTIONS", "measure", "plan_of", "redraw", "run"]

SECTIONS = ("cases", "splat", "planes", "outliers", "files", "memory", "threads", "growth", "limits")

# Sections that are measured by themselves.
SCALE, CURVES = BY_THEMSELVES = ("scale", "curves")

# What each package that may be missing is for.
WANTED = {"stcal": "comparison", "drizzle": "comparison of the pass alone", "matplotlib": "plot"}


def _jobs(section: str, plan: Plan) -> Jobs:
    """What a section measures."""
    from gpures.bench import cases, curves, files, growth, limits, memory, outliers, planes, scale, splat

    makers: dict[str, Callable[[Plan], Jobs]] = {
        "cases": cases.jobs,
        "splat": splat.jobs,
        "planes": planes.jobs,
        "outliers": outliers.jobs,
        "files": files.jobs,
        "memory": memory.jobs,
        "threads": splat.thread_jobs,
        "growth": growth.jobs,
        "limits": limits.jobs,
        SCALE: scale.jobs,
        CURVES: curves.jobs,
    }
    return makers[section](plan)


def plan_of(
    quick: bool = False,
    backend: str = "auto",
    repeats: int | None = None,
    cases: Sequence[str] | None = None,
    wcs: Path | None = None,
) -> Plan:
    """How much is measured.

    Parameters
    ----------
    quick : bool, optional
        Little.
    backend : str, optional
        gpures' backend.
    repeats : int, optional
        Times that each figure is taken.
    cases : sequence of str, optional
        Names of the cases, instead of the plan's.
    wcs : Path, optional
        ASDF file with the WCS of the exposures.

    Raises
    ------
    ValueError
        There is no such case, or no repeat.
    FileNotFoundError
        There is no such file.
    """
    from gpures.bench.cases import CASES
    from gpures.bench.plan import FULL, QUICK

    changes: dict[str, Any] = {"backend": backend, "wcs": wcs}
    if repeats is not None:
        if repeats < 1:
            raise ValueError(f"--repeats must be at least 1, got {repeats}")
        changes["repeats"] = repeats
    if cases:
        if unknown := sorted(set(cases) - set(CASES)):
            known = ", ".join(map(repr, CASES))
            raise ValueError(f"there is no case {', '.join(map(repr, unknown))}, but {known}")
        changes["cases"] = tuple(cases)
    if wcs is not None and not wcs.is_file():
        raise FileNotFoundError(f"there is no file {wcs}")
    return dataclasses.replace(QUICK if quick else FULL, **changes)


def missing(packages: Sequence[str] = tuple(WANTED)) -> list[str]:
    """What can't be had for want of a package, and how to get it."""
    from gpures.bench.machine import installed

    return [
        f"{package} is not installed, so there is no {WANTED[package]}: {install('bench')}"
        for package in packages
        if not installed(package)
    ]


def on_stderr(words: str) -> None:
    """Show what is being done; on a terminal, in one line that is written over."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{words}")
    elif words:
        sys.stderr.write(f"{words}\n")
    sys.stderr.flush()


def _write(path: Path, report: Mapping[str, Any]) -> None:
    """Write a report in one step, so that nobody finds a half."""
    from gpures.io.atomic import written

    with written(path, overwrite=True) as file:
        file.write((json.dumps(report, indent=1) + "\n").encode())


def measure(
    plan: Plan,
    sections: Sequence[str] = SECTIONS,
    keep: Callable[[Mapping[str, Any]], None] = lambda report: None,
    echo: Callable[[str], None] = print,
    tell: Callable[[str], None] = on_stderr,
) -> dict[str, Any]:
    """Measure, and show each row when it is there.

    Parameters
    ----------
    plan : Plan
        How much.
    sections : sequence of str, optional
        Which of `SECTIONS`, and of `BY_THEMSELVES`.
    keep : callable, optional
        Gets the report whenever there is more in it.
    echo : callable, optional
        Takes each line of the table.
    tell : callable, optional
        Takes what is being measured.

    Returns
    -------
    dict
        The report, fit for JSON: "about" the machine, and each section's rows. What fails leaves its reason in its
        row.
    """
    from gpures.bench import machine, table
    from gpures.machine.threads import thread_count

    start = time.perf_counter()
    about = machine.about() | {
        "backend": plan.backend,
        "device": device_name() if plan.backend == "cuda" else None,
        "threads": thread_count(),
        "repeats": plan.repeats,
        "missing": missing(),
        "seconds": 0.0,
    }
    report: dict[str, Any] = {"about": about}
    for line in [*table.about(about), *about["missing"]]:
        echo(line)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for section in sections:
            rows: list[dict[str, Any]] = []
            for name, function in _jobs(section, plan):
                tell(f"{section}: {name} ...")
                try:
                    found = [{"name": name} | row for row in function()]
                except Exception as error:  # no reason to lose what comes after it
                    found = [{"name": name, "error": f"{type(error).__name__}: {error}"}]
                tell("")
                report[section] = rows
                if not rows:
                    for line in table.headings(section):
                        echo(line)
                for row in found:
                    rows.append(row)
                    echo(table.row(section, row, report))
                about["seconds"] = round(time.perf_counter() - start, 1)
                keep(report)
            if not rows:
                echo(f"\n{table.TITLES[section]}: not measured on the backend {plan.backend}")
    return report


def device_name() -> str:
    """Name of the GPU."""
    from gpures.backend.cuda.device import devices

    return devices()[0].name


def failures(report: Mapping[str, Any]) -> list[str]:
    """Names of what could not be measured."""
    return [row["name"] for section in (*SECTIONS, *BY_THEMSELVES) for row in report.get(section, ()) if "error" in row]


def _plot(report: Mapping[str, Any], path: Path, echo: Callable[[str], None]) -> None:
    from gpures.bench.machine import installed

    if installed("matplotlib"):
        from gpures.bench.plot import draw

        draw(report, path)
        echo(f"  {path}")


def run(
    plan: Plan, sections: Sequence[str], json_path: Path, plot_path: Path, echo: Callable[[str], None] = print
) -> bool:
    """Measure; write a report and a plot of it.

    Parameters
    ----------
    plan : Plan
        How much; its backend may be "auto".
    sections : sequence of str
        Which of `SECTIONS`, and of `BY_THEMSELVES`.
    json_path, plot_path : Path
        Files for the report and the plot; their folders are made.
    echo : callable, optional
        Takes each line of the table.

    Returns
    -------
    bool
        Whether nothing failed.

    Raises
    ------
    gpures.DeviceError
        The backend can't be used.
    """
    plan = dataclasses.replace(plan, backend=backend_in_use(plan.backend))
    for path in (json_path, plot_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    report = measure(plan, sections, lambda found: _write(json_path, found), echo)
    _write(json_path, report)
    failed = failures(report)
    echo("")
    if failed:
        echo(f"FAILED: {', '.join(failed)}")
    echo(f"done in {report['about']['seconds']:.0f} s; written:")
    echo(f"  {json_path}")
    _plot(report, plot_path, echo)
    return not failed


def backend_in_use(backend: str) -> str:
    """Name of the backend that "auto" is here."""
    from gpures.arguments.values import checked_backend
    from gpures.backend.base import MosaicLayout
    from gpures.backend.choice import make_accumulators

    accumulators = make_accumulators(checked_backend(backend), MosaicLayout((2, 2)))
    accumulators.close()
    return accumulators.backend


def redraw(json_path: Path, plot_path: Path, echo: Callable[[str], None] = print) -> None:
    """Show a report as a table, and draw it.

    Raises
    ------
    OSError, ValueError
        The file can't be read, or is no report.
    """
    from gpures.bench import table

    report = json.loads(json_path.read_text())
    if not isinstance(report, dict) or "about" not in report:
        raise ValueError(f"{json_path} is no report of 'gpures bench'")
    for line in [*table.lines(report), "", *missing(["matplotlib"])]:
        echo(line)
    _plot(report, plot_path, echo)

"""The report as text: for each section a heading, and a row of what was measured as soon as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gpures.reporting import tables

__all__ = ["about", "headings", "lines", "row"]

# Of the first column and of the others.
FORMATS = "<30", ">12"

# Of each section, the columns beside the first one.
COLUMNS: dict[str, tuple[str, ...]] = {
    "cases": ("gpures, s", "stcal, s", "ratio", "Mpixel/s", "first, s", "finalize, s"),
    "splat": ("gpures, s", "drizzle, s", "ratio", "Mpixel/s"),
    "planes": ("gpures, s", "/ standard", "target"),
    "outliers": ("gpures, s", "stcal, s", "ratio", "gpures, MiB", "stcal, MiB", "ratio"),
    "files": ("all, s", "headers, s", "writing, s", "further, s", "CPU, s"),
    "memory": ("gpures, MiB", "stcal, MiB", "ratio", "GPU, MiB"),
    "threads": ("splat, s", "speed-up", "/ drizzle", "exposure, s", "speed-up"),
    "growth": ("gpures, s", "stcal, s", "ratio"),
    "curves": ("gpures, s", "/ straight"),
    "scale": ("measured", "beside it", "ratio", "target", "reached"),
    "limits": ("amount, G", "rate, G/s", "least, s", "splat, s", "/ least", "exposure, s", "/ least"),
}

TITLES = {
    "cases": "Seconds per exposure (add_model; medians after the first)",
    "splat": "The pass alone, beside drizzle's calls for data and variances",
    "planes": "What further planes cost (exposures in turns)",
    "outliers": "Detection of outliers, beside the steps of JWST's pipeline, and most memory above the inputs",
    "files": "Files to a file, in a new process (further: each file after the first)",
    "memory": "Most memory above the inputs",
    "threads": "Threads",
    "growth": "Growth of the seconds per exposure",
    "curves": "Curves: seconds against files, frame, threads, angle and scale ratio",
    "scale": "Large mosaics: tiles, saving, merging, workers, memory (medians of ratios)",
    "limits": "Least that the machine allows for the standard case",
}


def seconds(value: float | None) -> str:
    """Three digits, however short."""
    if value is None:
        return "-"
    return f"{value:.4f}" if value < 0.1 else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def times(value: float | None, digits: int = 1) -> str:
    """A ratio."""
    return "-" if value is None else f"{value:.{digits}f}x"


def mebibytes(value: float | None) -> str:
    """A size in MiB."""
    return "-" if value is None else f"{value / 2**20:.0f}"


def _cases(found: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    return [
        seconds(found["gpures_s"]),
        seconds(found["stcal_s"]),
        times(found["ratio"]),
        f"{found['mpixel_per_s']:.1f}",
        seconds(found["first_s"]),
        seconds(found["finalize_s"]),
    ]


def _splat(found: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    rate = f"{found['mpixel_per_s']:.1f}"
    return [seconds(found["gpures_s"]), seconds(found["drizzle_s"]), times(found["ratio"]), rate]


def _planes(found: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    target = found.get("target")
    return [seconds(found["gpures_s"]), times(found["over_standard"], 2), "-" if target is None else f"<= {target:g}x"]


def _outliers(found: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    taken = [seconds(found["gpures_s"]), seconds(found["stcal_s"]), times(found["ratio"])]
    ours, theirs = found["gpures_bytes"], found["stcal_bytes"]
    ratio = theirs / ours if ours and theirs is not None else None
    return [*taken, mebibytes(ours), mebibytes(theirs), times(ratio)]


def _files(found: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    return [seconds(found[key]) for key in ("all_s", "headers_s", "writing_s", "further_s", "processor_s")]


def _memory(found: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    ours, theirs = found["gpures_bytes"], found["stcal_bytes"]
    ratio = theirs / ours if ours and theirs is not None else None
    device = mebibytes(found["device_bytes"]) if found["device_bytes"] else "-"
    return [mebibytes(ours), mebibytes(theirs), times(ratio), device]


def _threads(found: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    alone: Mapping[str, Any] = next((row for row in report.get("threads", ()) if row.get("threads") == 1), {})
    drizzle: float | None = next((row.get("drizzle_s") for row in report.get("splat", ())), None)

    def over(whole: float | None, part: float) -> float | None:
        return None if whole is None else whole / part

    return [
        seconds(found["splat_s"]),
        times(over(alone.get("splat_s"), found["splat_s"]), 2),
        times(over(drizzle, found["splat_s"])),
        seconds(found["add_model_s"]),
        times(over(alone.get("add_model_s"), found["add_model_s"]), 2),
    ]


def _growth(found: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    return [seconds(found["gpures_s"]), seconds(found["stcal_s"]), times(found["ratio"])]


def _curves(found: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    return [seconds(found["gpures_s"]), times(found["over"], 2)]


def _limits(found: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    return [
        f"{found['amount'] / 1e9:.3f}",
        f"{found['per_s'] / 1e9:.1f}",
        seconds(found["limit_s"]),
        seconds(found["splat_s"]),
        times(found["splat_over_limit"]),
        seconds(found["add_model_s"]),
        times(found["add_model_over_limit"]),
    ]


def _scale(found: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    show, unit = (seconds, "s") if found["unit"] == "s" else (mebibytes, "MiB")
    target = "-" if found["target"] is None else f"{'>=' if found['at_least'] else '<='} {found['target']:g}x"
    reached = {None: "-", True: "yes", False: "no"}[found["reached"]]
    return [
        f"{show(found['amount'])} {unit}",
        f"{show(found['beside'])} {unit}",
        times(found["ratio"], 2),
        target,
        reached,
    ]


CELLS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], list[str]]] = {
    "cases": _cases,
    "splat": _splat,
    "planes": _planes,
    "outliers": _outliers,
    "files": _files,
    "memory": _memory,
    "threads": _threads,
    "growth": _growth,
    "curves": _curves,
    "limits": _limits,
    "scale": _scale,
}


def headings(section: str) -> list[str]:
    """Lines above a section's rows."""
    return ["", TITLES[section], tables.row(["", *COLUMNS[section]], FORMATS)]


def row(section: str, found: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    """Line of what was measured, or of why it was not."""
    name = found["name"]
    if "error" in found:
        return tables.row([name, f" FAILED: {found['error']}"], FORMATS)
    return tables.row([name, *CELLS[section](found, report)], FORMATS)


def about(found: Mapping[str, Any]) -> list[str]:
    """What was measured, where and when."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items() if version)
    device = f", {found['device']}" if found["device"] else ""
    return [
        f"gpures {found['commit']}, backend {found['backend']}, {found['date']}",
        f"{found['processor']}, {found['threads']} of {found['cpus']} CPUs{device}",
        f"Python {found['python']}, {versions}",
    ]


def lines(report: Mapping[str, Any]) -> list[str]:
    """The whole report."""
    found = about(report["about"])
    for section in COLUMNS:
        if report.get(section):
            found += headings(section) + [row(section, each, report) for each in report[section]]
    return found

"""The report as a page of plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from gpures.bench.table import about
from gpures.io.atomic import written

__all__ = ["draw"]

DPI = 130

# Okabe and Ito's colours, which those with any colour vision tell apart.
OURS, THEIRS, GREY = "#0072B2", "#E69F00", "#999999"
STAGES = {
    "pixel map": "#56B4E9",
    "upload": "#F0E442",
    "read": "#009E73",
    "splat": "#0072B2",
    "fold": "#D55E00",
    "other": "#DDDDDD",
}

RC = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "lines.markersize": 4.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
}

# Of the page, inches: its width and margins; the height of a bar, of a panel, and of the room below one for its axis
# and the title of the next; the room between two panels of bars for the names, and left of a panel of curves.
WIDTH, LEFT, RIGHT, TOP = 11.0, 1.75, 0.3, 1.0
BAR, PANEL, BELOW = 0.27, 2.1, 0.85
HALVES, THIRDS = 1.2, 0.65

# Panels of curves side by side.
ACROSS = 3

Rows = Sequence[Mapping[str, Any]]
Panel = Callable[[Any, Mapping[str, Any]], None]


def _good(report: Mapping[str, Any], section: str) -> Rows:
    """A section's rows but for those that failed."""
    return [row for row in report.get(section, ()) if "error" not in row]


def _logarithmic(axes: Any) -> None:
    """Both axes, with numbers as people write them."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(low / 1.3, high * 1.3)
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())
    axes.grid()


def _named(axes: Any, names: Sequence[str]) -> np.ndarray:
    """Places of horizontal bars, the first one on top, with their names."""
    places = np.arange(len(names))
    axes.set_yticks(places, names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(axis="x")
    return places


def _end(axes: Any, place: float, value: float, words: str) -> None:
    """Words at the end of a bar."""
    axes.annotate(words, (value, place), (3, 0), textcoords="offset points", va="center", fontsize=8)


def _ratios(axes: Any, report: Mapping[str, Any]) -> None:
    """Times as fast as the reference; where there is none, megapixels per second."""
    rows = [*_good(report, "cases"), *_good(report, "splat")]
    compared = any(row["ratio"] is not None for row in rows)
    places = _named(axes, [row["name"] for row in rows])
    values = [(row["ratio"] if compared else row["mpixel_per_s"]) or 0.0 for row in rows]
    axes.barh(places, values, 0.7, color=OURS)
    for place, value in zip(places, values, strict=True):
        _end(axes, place, value, (f"{value:.1f}" if value < 10 else f"{value:.0f}") if value else "not compared")
    axes.margins(x=0.1)
    axes.set_title("Times as fast as stcal (the pass alone: as drizzle)" if compared else "Megapixels per second")


def _breakdown(axes: Any, report: Mapping[str, Any]) -> None:
    """Seconds of an exposure by stage, the cases in the order of the panel beside it."""
    rows = [row for row in _good(report, "cases") if row.get("stages_s")]
    # A row more for each of the panel beside it, so that the bars stand in line.
    places = _named(axes, [row["name"] for row in rows] + [""] * len(_good(report, "splat")))[: len(rows)]
    axes.set_yticklabels([])
    left = np.zeros(len(rows))
    known = [*STAGES, *sorted({name for row in rows for name in row["stages_s"]} - set(STAGES))]
    for stage in known:
        values = np.array([max(0.0, row["stages_s"].get(stage, 0.0)) for row in rows])
        if values.any():
            axes.barh(places, values, 0.7, left, color=STAGES.get(stage, "black"), label=stage)
            left += values
    finalize = np.array([row["finalize_s"] for row in rows])
    axes.barh(places, finalize, 0.7, left, color="none", edgecolor="#555555", label="finalize, once", linewidth=0.8)
    axes.set_title("Seconds per exposure, by stage")
    axes.legend(loc="lower right", handlelength=1.2)


def _pairs(axes: Any, names: Sequence[str], ours: Sequence[float], theirs: Sequence[float | None]) -> None:
    """A bar of gpures' and one of the reference's under each name."""
    places = _named(axes, names)
    for offset, label, colour, values in ((-0.2, "gpures", OURS, ours), (0.2, "stcal", THEIRS, theirs)):
        known = [(place, value) for place, value in zip(places, values, strict=True) if value is not None]
        if known:
            axes.barh([p + offset for p, _ in known], [v for _, v in known], 0.36, color=colour, label=label)
        for place, value in known:
            _end(axes, place + offset, value, f"{value:.3g}")
    axes.margins(x=0.2)
    axes.legend(loc="lower right")


def _memory(axes: Any, report: Mapping[str, Any]) -> None:
    rows = _good(report, "memory")
    sizes = [[row[key] and row[key] / 2**30 for row in rows] for key in ("gpures_bytes", "stcal_bytes")]
    _pairs(axes, [row["name"] for row in rows], *sizes)
    axes.set_title("Most memory above the inputs, GiB")


def _limits(axes: Any, report: Mapping[str, Any]) -> None:
    """Seconds of the standard case, and the least that they could be."""
    rows = _good(report, "limits")
    bars = [(f"least, {row['name'].split(',')[0]}", row["limit_s"], GREY) for row in rows]
    bars += [("the pass", rows[0]["splat_s"], OURS), ("the exposure", rows[0]["add_model_s"], OURS)]
    places = _named(axes, [name for name, _, _ in bars])
    axes.barh(places, [value for _, value, _ in bars], 0.7, color=[colour for _, _, colour in bars])
    for place, (_, value, _) in zip(places, bars, strict=True):
        _end(axes, place, value, f"{value:.3g}")
    axes.margins(x=0.2)
    axes.set_title("Standard case, and the least that is possible here, s")


def _curve(axes: Any, rows: Rows, key: str, label: str, colour: str, marker: str, **style: Any) -> None:
    """A line through those points that have a value."""
    points = sorted((row["x"], row[key]) for row in rows if row[key] is not None)
    if points:
        axes.plot(*zip(*points, strict=True), marker=marker, color=colour, label=label, **style)


def _ideal(axes: Any, rows: Rows) -> None:
    """What it would be if each further thread did its share."""
    ideal = [rows[0]["gpures_s"] * rows[0]["x"] / row["x"] for row in rows]
    axes.plot([row["x"] for row in rows], ideal, ":", color=GREY, label="ideal")


def _growth(name: str, label: str) -> Panel:
    """Panel of a curve of growth."""

    def panel(axes: Any, report: Mapping[str, Any]) -> None:
        rows = [row for row in _good(report, "growth") if row["curve"] == name]
        _curve(axes, rows, "gpures_s", "gpures", OURS, "o")
        _curve(axes, rows, "stcal_s", "stcal", THEIRS, "s")
        _logarithmic(axes)
        places = sorted({row["x"] for row in rows})
        words = [f"{np.sqrt(x):.0f}²" if name in SQUARES else f"{x:g}" for x in places]
        axes.set_xticks(places, words)
        axes.set_xlabel(label)
        axes.set_title(f"Seconds per exposure against {name}")
        axes.legend()

    return panel


def _against(name: str) -> Panel:
    """Panel of what `gpures bench --curves` measures against something: a line for each series."""

    def panel(axes: Any, report: Mapping[str, Any]) -> None:
        rows = [row for row in _good(report, "curves") if row["curve"] == name]
        beside = any(row["over"] is not None for row in rows)
        # A kind of exposure has its colour, and a second line of it is dashed.
        kinds = list(dict.fromkeys(row["series"].split(",")[0] for row in rows))
        for series in dict.fromkeys(row["series"] for row in rows):
            of_series = [row for row in rows if row["series"] == series]
            kind, _, second = series.partition(", ")
            k = kinds.index(kind) % len(SERIES)
            style = {"linestyle": "--", "markerfacecolor": "white"} if second else {}
            key, label = "over" if beside else "gpures_s", "" if second else kind or "gpures"
            _curve(axes, of_series, key, label, SERIES[k], MARKERS[k], **style)
        for second in dict.fromkeys(row["series"].partition(", ")[2] for row in rows):
            if second:
                axes.plot([], [], "--", color=GREY, label=second)
        if name == "threads":
            _ideal(axes, [row for row in rows if row["series"] == rows[0]["series"]])
        if name == "angle":
            axes.set_ylim(bottom=0.0)
            axes.grid()
        else:
            _logarithmic(axes)
            axes.set_xticks(sorted({row["x"] for row in rows}))
            axes.tick_params(axis="x", labelrotation=45 if name == "frame" else 0)
        axes.set_xlabel(AGAINST[name])
        axes.set_title(WHAT.get(name, f"Seconds per exposure against {name}"))
        axes.legend(ncols=2 if name == "angle" else 1)

    return panel


def _threads(axes: Any, report: Mapping[str, Any]) -> None:
    rows = [dict(row, x=row["threads"], gpures_s=row["splat_s"]) for row in _good(report, "threads")]
    _curve(axes, rows, "add_model_s", "the exposure", OURS, "o")
    _curve(axes, rows, "gpures_s", "the pass", "#56B4E9", "^")
    _ideal(axes, rows)
    _logarithmic(axes)
    axes.set_xticks([row["x"] for row in rows])
    axes.set_xlabel("threads")
    axes.set_title("Seconds against threads")
    axes.legend()


# Curves of growth: what grows, and its axis; and those that grow by squares.
CURVES = {
    "input pixels": "pixels of the exposure",
    "output frame": "pixels of the frame",
    "exposures": "exposures so far",
    "scale ratio": "output over input pixel scale",
}
SQUARES = ("input pixels", "output frame")

# Those of the section "curves", likewise, and the colours of their lines.
AGAINST = {
    "files": "files",
    "frame": "side of the frame, pixels",
    "threads": "threads",
    "angle": "angle between exposure and frame, degrees",
    "scale ratio": "output over input pixel scale",
}
SERIES = (OURS, THEIRS, "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
MARKERS = "osD^v<"

# What is measured, where it is something else than seconds per exposure.
WHAT = {
    "files": "Seconds of a mosaic",
    "angle": "Times as long as along the frame",
    "scale ratio": "Times as long as at one scale",
}


def _bar_panels(report: Mapping[str, Any]) -> list[Panel]:
    """Those of bars that have something in them."""
    panels = {"memory": _memory, "limits": _limits}
    return [panel for section, panel in panels.items() if _good(report, section)]


def _curve_panels(report: Mapping[str, Any]) -> list[Panel]:
    """Those of curves that have something in them; a curve through one point is none."""
    panels: list[Panel] = [_threads] if len(_good(report, "threads")) > 1 else []
    grown = [row["curve"] for row in _good(report, "growth")]
    panels += [_growth(name, label) for name, label in CURVES.items() if grown.count(name) > 1]
    against = [row["curve"] for row in _good(report, "curves")]
    return panels + [_against(name) for name in AGAINST if against.count(name) > 1]


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draw a report.

    Parameters
    ----------
    report : mapping
        What `gpures.bench.measure` gives, or its JSON.
    path : pathlib.Path
        PNG file to write.
    """
    cases = len(_good(report, "cases")) + len(_good(report, "splat"))
    bars, curves = _bar_panels(report), _curve_panels(report)
    upper = BAR * max(cases, 6)
    # Tops of the rows of panels, and what is below the last one.
    tops = np.cumsum([TOP, *[upper + BELOW] * bool(cases), *[PANEL + BELOW] * (bool(bars) + -(-len(curves) // ACROSS))])
    height = float(tops[-1])
    half, third = (WIDTH - LEFT - RIGHT - HALVES) / 2, (WIDTH - RIGHT - ACROSS * THIRDS) / ACROSS
    with mpl.rc_context(RC):
        figure = Figure(figsize=(WIDTH, height))

        def axes_at(left: float, top: float, width: float, tall: float) -> Any:
            return figure.add_axes((left / WIDTH, 1.0 - (top + tall) / height, width / WIDTH, tall / height))

        for k, line in enumerate(about(report["about"])):
            size, weight = (11, "bold") if k == 0 else (8.5, "normal")
            figure.text(0.3 / WIDTH, 1.0 - (0.15 + 0.21 * k) / height, line, va="top", fontsize=size, weight=weight)
        row = 0
        if cases:
            _ratios(axes_at(LEFT, tops[row], half + 0.5 * HALVES, upper), report)
            if any(each.get("stages_s") for each in _good(report, "cases")):
                _breakdown(axes_at(LEFT + half + HALVES, tops[row], half, upper), report)
            row += 1
        for k, panel in enumerate(bars):
            panel(axes_at(LEFT + k * (half + HALVES), tops[row], half, PANEL), report)
        row += bool(bars)
        for k, panel in enumerate(curves):
            left = THIRDS + k % ACROSS * (third + THIRDS)
            panel(axes_at(left, tops[row + k // ACROSS], third, PANEL), report)
        with written(path, overwrite=True) as file:
            FigureCanvasAgg(figure).print_figure(file, dpi=DPI, facecolor="white", format="png")

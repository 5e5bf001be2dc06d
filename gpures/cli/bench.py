"""``gpures bench``: measure speed and memory."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gpures.cli.pictures import checked_picture
from gpures.cli.words import option_names, say, tell_error

__all__ = ["add_to"]


def add_to(commands: Any) -> None:
    """Declare ``gpures bench``."""
    from gpures.bench import SECTIONS

    parser = commands.add_parser(
        "bench",
        help="measure speed and memory, beside stcal where it is installed",
        description="Measure seconds per exposure, where they go, memory, how both grow, and what the machine allows; "
        "beside stcal and drizzle, where they are installed, in the same process. A table is shown as it grows; "
        "all figures go to a JSON file, and a plot of them to another.",
    )
    parser.add_argument("--quick", action="store_true", help="fewer cases and smaller sizes: a minute or so")
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, metavar="SECTION", help=f"these of {', '.join(SECTIONS)}"
    )
    parser.add_argument(
        "--scale", action="store_true", help="large mosaics: tiles, workers, saving, merging, memory (ten minutes)"
    )
    parser.add_argument(
        "--curves", action="store_true", help="seconds against files, frame, threads, angle and scale ratio"
    )
    parser.add_argument("--case", action="append", metavar="NAME", help="this case; may be given more than once")
    parser.add_argument("--repeats", type=int, metavar="N", help="times that each figure is taken (5; with --quick 3)")
    parser.add_argument(
        "--backend", choices=("auto", "cuda", "cpu"), default="auto", help="what is measured (default: %(default)s)"
    )
    parser.add_argument("--wcs", metavar="FILE.asdf", help="WCS under 'wcs', of 2048 x 2048 pixels, for all exposures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the figures (gpures_bench/bench.json)")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="file for the plot (gpures_bench/bench.png)")
    parser.add_argument(
        "--from", type=Path, dest="shown", metavar="FILE.json", help="measure nothing, and show and draw these figures"
    )
    parser.set_defaults(run=_run, names=option_names(parser))


def _run(arguments: argparse.Namespace) -> int:
    """Measure, or show what was measured; 0 when nothing failed, 1 when something did, 2 when it cannot run."""
    from gpures import bench
    from gpures.errors import DeviceError

    folder = Path("gpures_bench")
    try:
        if arguments.plot is not None and find_spec("matplotlib") is not None:
            arguments.plot = checked_picture(arguments.plot, "plot")
        if arguments.shown is not None:
            bench.redraw(arguments.shown, arguments.plot or arguments.shown.with_suffix(".png"), say)
            return 0
        plan = bench.plan_of(
            arguments.quick, arguments.backend, arguments.repeats, arguments.case, arguments.wcs and Path(arguments.wcs)
        )
        by_themselves = [name for name in bench.BY_THEMSELVES if getattr(arguments, name)]
        usual = ("cases",) if arguments.case else () if by_themselves else bench.SECTIONS
        sections = [*(arguments.only or usual), *by_themselves]
        figures, plot = arguments.json or folder / "bench.json", arguments.plot or folder / "bench.png"
        fine = bench.run(plan, sections, figures, plot, say)
    except (DeviceError, ImportError, OSError, ValueError) as error:
        tell_error("bench", error, arguments.names)
        return 2
    return 0 if fine else 1

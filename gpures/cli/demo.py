"""``gpures demo``: show that it works."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from gpures.cli.words import option_names, say, tell_error

__all__ = ["add_to"]


def add_to(commands: Any) -> None:
    """Declare ``gpures demo``."""
    parser = commands.add_parser(
        "demo",
        help="drizzle a real HST exposure and simulated NIRCam-like data sets",
        description="Drizzle a real HST exposure and two simulated NIRCam-like data sets, one of them full of cosmic "
        "rays that are left out, compare all with the reference algorithm and write FITS files and pictures.",
    )
    parser.add_argument(
        "-o",
        "--outdir",
        type=Path,
        default=Path("gpures_demo"),
        help="folder for the files (default: %(default)s)",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=("hst", "nircam", "rays"),
        help="run this data set only; may be given more than once",
    )
    parser.set_defaults(run=_run, names=option_names(parser))


def _run(arguments: argparse.Namespace) -> int:
    """Run the demo; 0 when it agrees with the reference, 1 when it does not, 2 when it cannot run."""
    from gpures import demo

    try:
        agrees = demo.run(arguments.outdir, arguments.only or tuple(demo.DATASETS), say)
    except (demo.MissingDependencyError, OSError) as error:
        tell_error("demo", error, arguments.names)
        return 2
    return 0 if agrees else 1

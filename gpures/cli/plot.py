"""``gpures plot``: draw a mosaic."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from gpures.cli.pictures import checked_picture
from gpures.cli.positions import Position, take_negative
from gpures.cli.words import option_names, said_once, tell_error

__all__ = ["add_to"]


def add_to(commands: Any) -> None:
    """Declare ``gpures plot``."""
    parser = commands.add_parser(
        "plot",
        help="draw a mosaic and what comes with it",
        description="Draw the planes of a mosaic's file (FITS, ASDF or zarr) beside each other: data, weight, depth, "
        "error, and what else there is, on axes of the sky. Any FITS image will do; one without a WCS is drawn on "
        "pixels.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the mosaic")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="PICTURE",
        help="file for the picture; its suffix says which kind",
    )
    parser.add_argument(
        "--plane",
        action="append",
        metavar="NAME",
        help="draw this plane only: data, wht, con (its depth), err, dq, var_rnoise, ...; may be given more than once",
    )
    parser.add_argument(
        "--around",
        action=Position,
        nargs=2,
        metavar=("RA", "DEC"),
        help="draw the part around this position: degrees, or 10:00:00 +02:00:00, or 10h0m0s +2d0m0s",
    )
    parser.add_argument(
        "--size", type=float, metavar="ARCSEC", help="width and height of that part (default: a fifth of the frame)"
    )
    parser.add_argument("--dpi", type=_dots, default=150, help="dots per inch (default: %(default)s)")
    take_negative(parser)
    parser.set_defaults(run=_run, names=option_names(parser))


def _dots(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text}")
    return number


def _run(arguments: argparse.Namespace) -> int:
    """Draw a mosaic's file; 0 when the picture is there, 2 when it can't be drawn."""
    try:
        from gpures import plot  # before matplotlib: it says what to do where that is not
        from gpures.io.atomic import written

        from matplotlib.figure import Figure  # isort: skip

        figure, path = Figure(), checked_picture(arguments.output, "output")
        with said_once(arguments.names), written(path, overwrite=True) as file:
            plot.overview(arguments.file, figure, planes=arguments.plane, around=arguments.around, size=arguments.size)
            figure.savefig(file, format=path.suffix.removeprefix(".").lower(), dpi=arguments.dpi)
    except (ImportError, OSError, ValueError) as error:
        tell_error("plot", error, arguments.names)
        return 2
    return 0

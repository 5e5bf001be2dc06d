"""Command line of gpures."""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["main"]


def _version() -> str:
    """Version of the installed package."""
    try:
        return importlib.metadata.version("gpures")
    except importlib.metadata.PackageNotFoundError:
        return "unknown (gpures is not installed as a package)"


def _run_demo(arguments: argparse.Namespace) -> int:
    """Run the demo; 0 when it agrees with the reference, 1 when it does not, 2 when it cannot run."""
    from . import demo

    try:
        agrees = demo.run(arguments.outdir, arguments.only or tuple(demo.DATASETS))
    except (demo.MissingDependencyError, FileNotFoundError) as error:
        print(f"gpures demo: {error}", file=sys.stderr)
        return 2
    return 0 if agrees else 1


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare ``gpures demo``."""
    parser = commands.add_parser(
        "demo",
        help="drizzle a real HST exposure and a simulated NIRCam-like data set",
        description="Drizzle a real HST exposure and a simulated NIRCam-like data set, compare both with the "
        "reference algorithm and write FITS files and pictures.",
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
        choices=("hst", "nircam"),
        help="run this data set only; may be given more than once",
    )
    parser.set_defaults(run=_run_demo)


# Each entry declares one subcommand and sets ``run``, a function of the parsed arguments that returns the
# exit status.
COMMANDS: tuple[Callable[[argparse._SubParsersAction[argparse.ArgumentParser]], None], ...] = (_add_demo,)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser with every subcommand.

    Returns
    -------
    argparse.ArgumentParser
        The parser.
    """
    parser = argparse.ArgumentParser(prog="gpures", description="Drizzle for astronomy's mosaics.")
    parser.add_argument("--version", action="version", version=f"gpures {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in COMMANDS:
        add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Arguments without the program's name; by default those of the process.

    Returns
    -------
    int
        Exit status.
    """
    parsed = build_parser().parse_args(arguments)
    status: int = parsed.run(parsed)
    return status


if __name__ == "__main__":
    sys.exit(main())

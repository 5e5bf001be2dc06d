"""Command line of gpures."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
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


def _run_info(arguments: argparse.Namespace) -> int:
    """Print what gpures finds on this machine."""
    from . import info

    found = info.collect()
    print(json.dumps(found, indent=2) if arguments.json else info.text(found))
    return 0


def _add_info(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare ``gpures info``."""
    parser = commands.add_parser(
        "info",
        help="show versions, backends and GPUs",
        description="Show versions, which backends can be used here or why not, and the GPUs.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run_info)


def _run_selftest(arguments: argparse.Namespace) -> int:
    """Check the backends; 0 when all checks pass, else 1."""
    from . import selftest

    return 0 if selftest.run(arguments.backend, arguments.device) else 1


def _add_selftest(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare ``gpures selftest``."""
    parser = commands.add_parser(
        "selftest",
        help="check the results of the backends on this machine",
        description="Check the results of the backends on this machine: against what the definition of drizzling "
        "gives, and against each other.",
    )
    parser.add_argument(
        "--backend",
        choices=("cuda", "cpu", "drizzle", "all"),
        default="all",
        help="check this one only (default: all that can be used here)",
    )
    parser.add_argument("--device", type=int, help="number of the GPU (default: the current one)")
    parser.set_defaults(run=_run_selftest)


# Each entry declares one subcommand and sets ``run``, a function of the parsed arguments that returns the
# exit status.
COMMANDS: tuple[Callable[[argparse._SubParsersAction[argparse.ArgumentParser]], None], ...] = (
    _add_demo,
    _add_info,
    _add_selftest,
)


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

"""``gpures run``: run a program whose resampling gpures does."""

from __future__ import annotations

import argparse
import sys
from typing import Any

__all__ = ["add_to"]


def add_to(commands: Any) -> None:
    """Declare ``gpures run``."""
    parser = commands.add_parser(
        "run",
        usage="gpures run [-h] [--backend {auto,cuda,cpu,drizzle}] [--report] [-m] PROGRAM ...",
        help="run a Python program whose resampling gpures does",
        description="Run a Python program, such as a pipeline's `strun`, in this process, with gpures doing what stcal "
        "and drizzle would do in it. Processes that it forks share that; those that it spawns do not.",
    )
    parser.add_argument(
        "--backend",
        choices=("auto", "cuda", "cpu", "drizzle"),
        default="auto",
        help="where to resample (default: %(default)s)",
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="print at the end what was done on gpures with its time, rather than in one line",
    )
    parser.add_argument("-m", dest="module", action="store_true", help="PROGRAM is a module, as for `python -m`")
    parser.add_argument("program", metavar="PROGRAM", help="path of a script, console entry point, or script on PATH")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="its arguments")
    parser.set_defaults(run=_run, own_signals=True)


def _run(arguments: argparse.Namespace) -> int:
    """Run a program with acceleration on; its exit status, or 2 when it cannot run."""
    from gpures.acceleration.program import run
    from gpures.errors import ProgramError

    try:
        status = run(arguments.program, arguments.arguments, arguments.module, arguments.backend, arguments.report)
    except ProgramError as error:
        print(f"gpures run: {error}", file=sys.stderr)
        return 2
    sys.exit(status)  # which takes whatever an entry point returns

"""``gpures selftest``: check the results of the backends."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add_to"]


def add_to(commands: Any) -> None:
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
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    """Check the backends; 0 when all checks pass, else 1."""
    from gpures.checks import selftest

    return 0 if selftest.run(arguments.backend, arguments.device) else 1

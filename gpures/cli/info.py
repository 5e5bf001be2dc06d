"""``gpures info``: versions, backends and GPUs."""

from __future__ import annotations

import argparse
import json
from typing import Any

__all__ = ["add_to"]


def add_to(commands: Any) -> None:
    """Declare ``gpures info``."""
    parser = commands.add_parser(
        "info",
        help="show versions, backends and GPUs",
        description="Show versions, which backends can be used here or why not, and the GPUs.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    """Print what gpures finds on this machine."""
    from gpures.checks import info

    found = info.collect()
    print(json.dumps(found, indent=2) if arguments.json else info.text(found))
    return 0

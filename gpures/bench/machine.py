"""Where it is measured. Of the standard library alone, as benchmarks/gpu.py uses it where gpures is not installed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

__all__ = ["about", "commit", "installed", "processor"]

PACKAGES = ("gpures", "numpy", "scipy", "astropy", "gwcs", "stcal", "drizzle", "matplotlib")

# Where this file is, in the source tree and in an installed package alike.
FOLDER = Path(__file__).resolve().parent


def commit(folder: Path = FOLDER) -> str | None:
    """Commit of the checkout of gpures that a folder belongs to; None if it belongs to none."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False, cwd=folder)
        return done.stdout.strip()

    try:
        # An environment may lie in the checkout of another program.
        if not Path(git("rev-parse", "--show-toplevel"), "gpures", "bench", "machine.py").is_file():
            return None
        return git("describe", "--always", "--dirty") or None
    except OSError:
        return None


def processor() -> str:
    """Name of the processor."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def installed(package: str) -> bool:
    """Whether a package can be imported."""
    return importlib.util.find_spec(package) is not None


def about() -> dict[str, Any]:
    """Date, source and machine, fit for JSON."""
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit() or versions["gpures"],
        "processor": processor(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
    }

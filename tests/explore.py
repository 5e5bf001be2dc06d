"""Runs the tests that draw their examples on others than `make test` does: `make test-explore MINUTES=10`.

The seed of each round is printed, and `python -P tests/explore.py 0 SEED` is that round again.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: Tests that draw.
SCENES = ["tests/test_scenes_property.py", "tests/test_scenes_wcs_property.py"]
DRAWING = [*SCENES, "tests/test_properties.py", "tests/test_cuda.py"]


def main() -> None:
    """Rounds of new seeds, until the time is over or one fails."""
    minutes, seed = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else secrets.randbelow(2**32)
    end = time.monotonic() + 60 * minutes
    while True:
        print(f"Seed {seed}; again: python -P tests/explore.py 0 {seed}", flush=True)
        command = [sys.executable, "-P", "-m", "pytest", "-q", "-x", "-n", "auto", "-k", "not coordinates_beyond"]
        command += ["--hypothesis-profile=fresh", f"--hypothesis-seed={seed}", *DRAWING]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            sys.exit(f"Failed with the seed {seed}.")
        if time.monotonic() >= end:
            return
        seed = secrets.randbelow(2**32)


if __name__ == "__main__":
    main()

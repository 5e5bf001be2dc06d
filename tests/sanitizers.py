"""The suite on kernels that were built with GCC's sanitizers: `make test-sanitizers`.

`python tests/sanitizers.py address` has memory that is read or written beside arrays found, and all that is undefined
in C++, divisions by zero among it; `... thread` has races found. Both build the extension into an environment of their
own (build/sanitize-...), which sees the packages of the one that runs this, and nothing of this folder's gpures.

A run in which nothing is found proves nothing if the wrong extension was loaded, or the sanitizer looked elsewhere. So
the loaded one is printed and has to be that environment's, and before the tests faults are provoked, on each of the
walks that this processor has: each must be found, or the run fails.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import threading
import time
import venv
import zlib
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent

# Scenes of all kinds first; then what has ways of its own through the kernels. The many scenes of test_kernels.py that
# differ in numbers alone are left out, and so are the drizzle package and PTX, whose code is built without.
ON_KERNELS = ["scenes_property", "kernels", "overlap", "properties", "extremes", "masks", "seams", "weights", "blot"]
ON_KERNELS += ["edges", "turned", "single", "propagated", "covariance", "operator", "formula", "merge"]
AROUND_THEM = ["pixmap", "arrays", "extra_arrays", "drizzle_api", "live_objects", "threads", "malformed"]
AROUND_THEM += ["sky_matching_statistics", "outliers", "tables", "noise", "deterministic", "staging", "carried"]
MANY_SCENES = "test_kernels and (definition or near_1e or no_farther)"
CHOSEN = f"not (drizzle- or drizzle] or on-ptx or reference or ({MANY_SCENES}))"


@dataclass(frozen=True)
class Sanitizer:
    """How to build and run with one.

    Attributes
    ----------
    built_with : str
        What CMake is told.
    library : str
        What the interpreter must have loaded first, as it was built without.
    environment : dict
        What its runs have.
    controls : dict
        Faults to be provoked, and a pattern of what is said when they are found.
    runs : list of (dict, list of str)
        Environment and arguments of pytest, of each run of the suite.
    parts : int
        Into how many parts a run is cut, of which there is another one each week.
    """

    built_with: str
    library: str
    environment: dict[str, str]
    controls: dict[str, str]
    runs: list[tuple[dict[str, str], list[str]]] = field(default_factory=list)
    parts: int = 1


def files(*names: str) -> list[str]:
    """Arguments of pytest: test files."""
    return [f"tests/test_{name}.py" for name in names]


SANITIZERS = {
    "address": Sanitizer(
        "address;undefined",
        "libasan.so",
        {
            # All of what Python allocates is under watch; it keeps what it has to the end, which is no leak of ours.
            "PYTHONMALLOC": "malloc",
            "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=1:allocator_may_return_null=1",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            # For tests/cuda_on_host.py.
            "GPURES_HOST_SANITIZE": "address,undefined,float-divide-by-zero",
        },
        {
            "read_beside": "heap-buffer-overflow",
            "divide_by_zero": r"pixmap\.h:[0-9:]+ runtime error: division by zero",
            "divide_by_zero_on_cuda": r"kernels\.cpp:[0-9:]+ runtime error: division by zero",
        },
        [
            ({}, [*files(*ON_KERNELS, *AROUND_THEM), "-k", CHOSEN]),
            ({"GPURES_ISA": "baseline"}, [*files(*ON_KERNELS), "-k", f"{CHOSEN} and not cuda"]),
        ],
        parts=8,  # the whole takes two hours
    ),
    "thread": Sanitizer(
        "thread",
        "libtsan.so",
        {"TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1"},
        {"race": "data race"},
        # Those of test_interrupts.py that interrupt threads, and not single lines of Python.
        [
            (
                {"GPURES_NUM_THREADS": "4"},
                [
                    *files("threads", "interrupts", "blot", "live_objects", "staging", "merge", "noise", "turned"),
                    "-k",
                    "not (cuda or drizzle or any_line)",
                ],
            )
        ],
    ),
}


# ---- faults that are to be found ---------------------------------------------------------------------------------


def read_beside():
    """An image that is a row shorter than it says."""
    import oracle

    from gpures.backend.base import MosaicLayout

    row = np.ones((1, 41), "f4")
    data = np.lib.stride_tricks.as_strided(np.ones((39, 41), "f4"), (40, 41), row.strides)
    oracle.run("cpu", MosaicLayout((60, 60)), [oracle.exposure(data, oracle.pixel_map(data.shape, (30.0, 30.0)))])


def divide_by_zero():
    """Output pixels of no size, which Python does not let through: asked for where a pixel has no neighbours."""
    import oracle

    from gpures.backend.base import MosaicLayout

    pixmap = oracle.pixel_map((5, 5), (9.0, 9.0))
    pixmap[2, 2] = np.nan
    oracle.run("cpu", MosaicLayout((20, 20)), [oracle.exposure(np.ones((5, 5)), pixmap, pixel_scale_ratio=0.0)])


def divide_by_zero_on_cuda():
    """A kernel as tests/cuda_on_host.py compiles them."""
    from cuda_on_host import HostCUDA

    cuda = HostCUDA()
    code = 'extern "C" __global__ void invert(double* x) { x[0] = 1.0 / x[0]; }'
    x = cuda.zeros(1, "f8")
    cuda.RawModule(code=code).get_function("invert")((1,), (1,), (x,))
    x.get()


def race():
    """Two exposures at a time into one mosaic, which the classes' locks do not let through."""
    import oracle

    from gpures.backend.base import MosaicLayout
    from gpures.backend.choice import make_accumulators

    accumulators = make_accumulators("cpu", MosaicLayout((300, 300)))
    exposure = oracle.exposure(np.ones((250, 250)), oracle.pixel_map((250, 250), (150.0, 150.0), angle=20.0))
    adding = [threading.Thread(target=lambda: [accumulators.add(exposure) for _ in range(10)]) for _ in range(2)]
    for thread in adding:
        thread.start()
    for thread in adding:
        thread.join()


# ---- in the environment ------------------------------------------------------------------------------------------


def loaded() -> Path:
    """The extension that is in use; it has to be the environment's own."""
    from gpures import _cpu

    path = Path(_cpu.__file__).resolve()
    if not path.is_relative_to(Path(sys.prefix).resolve()):
        raise SystemExit(f"The extension is {path}, which is none of {sys.prefix}.")
    return path


class Share:
    """Plugin of pytest: leaves one of so many parts of the tests, which does not depend on how they are ordered."""

    def __init__(self, number: int, parts: int):
        self.number, self.parts = number % parts, parts

    def pytest_collection_modifyitems(self, items):
        """Leave the part."""
        items[:] = [item for item in items if zlib.crc32(item.nodeid.encode()) % self.parts == self.number]
        print(f"{len(items)} tests: part {self.number} of {self.parts}.", flush=True)


def run_here(what: str, arguments: list[str]) -> int:
    """Provoke a fault, or run the tests."""
    print(f"The extension in use: {loaded()}", flush=True)
    if what == "pytest":
        import pytest

        share = Share(int(os.environ["GPURES_PART"]), int(os.environ["GPURES_PARTS"]))
        return int(pytest.main(["-q", "-x", "--capture=sys", "-p", "no:cacheprovider", *arguments], [share]))
    sys.path.insert(0, str(ROOT / "tests"))
    globals()[what]()
    return 0


# ---- around it ---------------------------------------------------------------------------------------------------


def preloaded(sanitizer: Sanitizer) -> str:
    """Libraries that the interpreter has to begin with: the sanitizer's, and the one whose exceptions it watches."""
    compiler = os.environ.get("CXX", "c++")
    paths = []
    for name in (sanitizer.library, "libstdc++.so"):
        found = subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
        path = Path(found.stdout.strip())
        if not path.is_absolute():
            raise SystemExit(f"{compiler} has no {name}; sanitizers are run with GCC's.")
        paths.append(str(path.resolve()))
    return " ".join(paths)


def build(name: str, sanitizer: Sanitizer) -> Path:
    """An environment with gpures and its extension, built with a sanitizer; its interpreter."""
    folder = ROOT / "build" / f"sanitize-{name}"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, symlinks=True)
        # After its own packages come those of this interpreter; as they are only named here, no file of theirs that
        # would have this folder's gpures imported is looked at.
        (packages,) = folder.glob("lib/python*/site-packages")
        (packages / "others.pth").write_text("\n".join(p for p in sys.path if p.endswith("-packages")) + "\n")
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--force-reinstall"]
    command += ["-C", f"cmake.define.GPURES_SANITIZE={sanitizer.built_with}", "-C", f"build-dir={folder}/build"]
    command += ["-C", "install.strip=false"]  # where faults are is told in lines of the source
    subprocess.run([*command, *os.environ.get("GPURES_PIP_OPTIONS", "").split(), ROOT], check=True)
    return python


def run_there(python: Path, sanitizer: Sanitizer, variables: dict[str, str], *arguments: str, **options):
    """Run this file in an environment; its result."""
    environment = os.environ | sanitizer.environment | variables
    environment |= {"LD_PRELOAD": preloaded(sanitizer), "PYTHONSAFEPATH": "1"}
    environment.pop("PYTHONPATH", None)
    command = [python, str(Path(__file__).resolve()), "--here", *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, check=False, **options)


def check_controls(python: Path, sanitizer: Sanitizer) -> None:
    """Fail unless every provoked fault is found, by every walk there is."""
    for isa in ("", "avx2", "baseline"):
        for control, words in sanitizer.controls.items():
            done = run_there(python, sanitizer, {"GPURES_ISA": isa}, control, capture_output=True, text=True)
            if done.returncode == 0 or not re.search(words, done.stderr):
                print(done.stdout, done.stderr)
                raise SystemExit(f"'{control}' was not found on the walk '{isa}': nothing that passes is proof.")
            print(f"Found, as it should be, on the walk {isa or 'in use'!r}: {control}.", flush=True)


def main() -> None:
    """Build, provoke faults, run the tests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", help=f"one of {', '.join(SANITIZERS)}")
    parser.add_argument("arguments", nargs="*", help="arguments of pytest, in place of the tests chosen here")
    parser.add_argument(
        "--part", type=int, default=date.today().isocalendar().week, help="part of the tests; that of the week"
    )
    parser.add_argument("--all", action="store_true", help="all parts")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options, further = parser.parse_known_args()
    if options.here:
        sys.exit(run_here(options.what, options.arguments + further))
    sanitizer = SANITIZERS[options.what]
    begin = time.monotonic()
    python = build(options.what, sanitizer)
    print(f"Built in {time.monotonic() - begin:.0f} s.", flush=True)
    check_controls(python, sanitizer)
    own = options.arguments + further
    parts = {"GPURES_PART": str(options.part), "GPURES_PARTS": str(1 if own or options.all else sanitizer.parts)}
    for variables, arguments in [({}, own)] if own else sanitizer.runs:
        begin = time.monotonic()
        done = run_there(python, sanitizer, variables | parts, "pytest", *arguments)
        print(f"{options.what} {variables}: {time.monotonic() - begin:.0f} s.", flush=True)
        if done.returncode:
            sys.exit(f"The tests with the sanitizer '{options.what}' failed.")


if __name__ == "__main__":
    main()

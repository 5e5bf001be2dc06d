r"""Proof of the CUDA backend on a Linux machine with a GPU, which may be offline: installation, tests, figures.

    python benchmarks/gpu.py [--wheels FOLDER] [--out FILE.json] [--quick] [--only STAGE ...] [--limit SECONDS]
    python benchmarks/gpu.py --rehearse

The stages are

    install     with --wheels: a virtual environment over the running one, the wheels in it, gpures built from this tree
    versions    of the device, the driver, and all that is between them and gpures
    tests       those that need a GPU
    sanitizer   a small mosaic under compute-sanitizer's memcheck, racecheck (shared memory only) and initcheck
    selftest    gpures' own
    benchmark   seconds per exposure, and what bounds them (gpu_figures.py)

Each writes its part of the JSON when it is done, the benchmark each figure; one that fails, or runs over its share of
the time, leaves its reason and the end of its output there, and the next one begins. The exit status is 0 if none did.

``--rehearse`` goes through all of it without a GPU, with the tests' interpreter of PTX (tests/ptx) in its place and
tests/rehearsal in that of NVIDIA's programs: as little as is all of it, none of whose figures mean anything.

The machine needs Python >= 3.11, CuPy, numpy, scipy and pytest, and to build gpures a compiler, cmake, ninja, nanobind,
scikit-build-core and setuptools. Whatever it lacks of the rest comes as wheels, here for Python 3.12 on x86-64 (33 MB):

    pip download --dest wheels --no-deps --only-binary=:all: --implementation cp --python-version 3.12 \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
        --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
        astropy astropy-iers-data pyerfa gwcs asdf asdf-astropy asdf-coordinates-schemas asdf-standard \
        asdf-transform-schemas asdf-wcs-schemas jmespath semantic-version setuptools-scm vcs-versioning \
        stcal 'drizzle<3' spherical-geometry astropy-healpix tweakwcs stsci.imagestats stsci.stimage \
        shapely hypothesis sortedcontainers zarr numcodecs donfig google-crc32c msgspec dask locket partd

The names up to vcs-versioning are what gpures and its build need, the last lines are for stcal and the tests. Their
commoner needs (attrs, click, cloudpickle, fsspec, packaging, pillow, pyarrow, pyyaml, requests, scikit-image,
toolz, typing-extensions, xarray) are expected on the machine; without --no-deps, pip adds them, numpy and scipy too.
Test files that import something that is not there are left out, and named.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import platform
import re
import runpy
import shutil
import signal
import site
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parent.parent
FIGURES = Path(__file__).with_name("gpu_figures.py")
MODEL = Path(__file__).with_name("gpu_model.py")
REHEARSAL = ROOT / "tests" / "rehearsal"

# Seconds for everything.
LIMIT_S, QUICK_LIMIT_S, REHEARSAL_LIMIT_S = 540.0, 200.0, 1800.0

# Seconds that a command has to end by itself, and to write what it has, once its time is over.
GRACE_S = 10.0

TOOLS = ("memcheck", "racecheck", "initcheck")

# initcheck is slow, and knows only of what the kernels write that it looks at: gpures' own, and CuPy's copies.
OWN_KERNELS = ("splat_", "fold_", "merge_", "fill_", "convert_", "show_weights", "finish_variance_", "error_image")
OWN_KERNELS += ("weight_map", "pairs_", "covariances_", "noise_factor_", "take_entries_", "sort_rows", "add_products")
OWN_KERNELS += ("make_noise", "measure_sizes", "full_pixmap")
LOOKED_AT = (*OWN_KERNELS, "cupy_copy")

# What the tests import besides gpures' own needs.
NEEDED_BY_TESTS = ("hypothesis", "shapely", "drizzle", "stcal", "asdf", "matplotlib")

MOST_WORKERS = 12


class StageError(Exception):
    """Why a stage failed, with what it has found before and the end of its output."""

    def __init__(self, reason: str, output: str = "", found: dict | None = None):
        super().__init__(reason)
        self.tail = output[-3000:]
        self.found = found or {}


@dataclass
class Site:
    """Where the stages run.

    Attributes
    ----------
    python : str
        The interpreter; `install` puts that of its environment here.
    folder : Path
        For what the stages write, empty at first.
    environment : Path
        Folder of the virtual environment, where one is made.
    wheels : Path or None
        Folder of the wheels to install.
    quick : bool
        Whether fewer figures will do.
    rehearses : bool
        Whether none of them mean anything.
    """

    python: str
    folder: Path
    environment: Path
    wheels: Path | None = None
    quick: bool = False
    rehearses: bool = False

    @property
    def how_much(self) -> list[str]:
        """What is to be done of what FIGURES does, as its options."""
        return ["--tiny"] if self.rehearses else ["--quick"] if self.quick else []


@dataclass
class Done:
    """A command that ended; without a status, it was ended when its time was over."""

    status: int | None
    output: str
    seconds: float

    def check(self, what: str, found: dict | None = None) -> Done:
        """Itself, if it succeeded.

        Raises
        ------
        StageError
            It failed, or its time was over.
        """
        if self.status is None:
            raise StageError(f"{what}: over its limit, after {self.seconds:.0f} s", self.output, found)
        if self.status:
            raise StageError(f"{what}: exit status {self.status}", self.output, found)
        return self


def run(
    at: Site,
    command: list,
    limit_s: float,
    cwd: Path | None = None,
    more_environment: dict[str, str] | None = None,
    poll: Callable[[], None] = lambda: None,
) -> Done:
    """Run a command and whatever it starts, for so many seconds at most; `poll` is called about once in each."""
    # One cache of compiled kernels for all stages, and not the user's: what a cold one costs is measured apart.
    environment = os.environ | {"CUPY_CACHE_DIR": str(at.folder / "cupy"), "PYTHONUNBUFFERED": "1"}
    start = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=cwd or at.folder,
            env=environment | (more_environment or {}),
            start_new_session=True,
        )
        status = None
        try:
            while status is None and (left := start + limit_s - time.monotonic()) > 0:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    status = process.wait(min(1.0, left))
                poll()
        finally:
            if status is None:
                _end(process)
        log.seek(0)
        return Done(status, log.read().decode(errors="replace"), time.monotonic() - start)


def _end(process: subprocess.Popen) -> None:
    """End a command kindly, so that pytest writes its report; then it and all that it started, for certain."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.send_signal(signal.SIGINT)
        process.wait(GRACE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


# ---- stages ----------------------------------------------------------------------------------------------------------


def install(at: Site, limit_s: float, progress: Callable) -> dict:
    """Make the environment of the later stages, if there are wheels for one."""
    if at.wheels is None:
        return {"summary": "no wheels: the running environment is used"}
    wheels = sorted(at.wheels.glob("*.whl"))
    found = {"wheels": [wheel.name for wheel in wheels]}
    if not wheels:
        raise StageError(f"there are no wheels in {at.wheels}")
    deadline = time.monotonic() + limit_s

    def do(what: str, *command: object) -> Done:
        return run(at, list(command), deadline - time.monotonic()).check(what, found)

    # Without pip: the running environment's serves, and Python may have come without the means to install one.
    do("venv", sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", at.environment)
    at.python = str(at.environment / "bin" / "python")
    # The packages that an environment over another one sees are those of the Python below both.
    inner = do("venv", at.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").output.strip()
    Path(inner, "running_environment.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    pip = (at.python, "-m", "pip", "install", "--no-index", "--no-deps", "--no-compile", "--no-cache-dir")
    pip += ("--disable-pip-version-check", "--root-user-action=ignore", "--quiet")
    do("the wheels", *pip, *wheels)
    start = time.monotonic()
    build = f"--config-settings=build-dir={at.folder / 'build'}"
    do("building gpures", *pip, "--no-build-isolation", "--force-reinstall", build, ROOT)
    return found | {"build_s": time.monotonic() - start, "summary": f"gpures built, {len(wheels)} wheels"}


def versions(at: Site, limit_s: float, progress: Callable) -> dict:
    """What is measured, and on what."""
    part = at.folder / "versions.json"
    run(at, [at.python, FIGURES, "versions", part], limit_s).check("versions")
    found = read_json(part)
    words = f"{found['device']}, driver {found['driver']}, CuPy {found['cupy']}, gpures {found['gpures']}"
    return found | {"summary": words}


def tests(at: Site, limit_s: float, progress: Callable) -> dict:
    """Run the tests that need a GPU."""
    deadline = time.monotonic() + limit_s
    imports = {path: imported_by(path) for path in sorted((ROOT / "tests").glob("test_*.py"))}
    wanted = {*NEEDED_BY_TESTS, "xdist"}.union(*imports.values())
    code = f"import importlib.util as u; print(*(n for n in {sorted(wanted)!r} if u.find_spec(n) is None))"
    ask = [at.python, "-c", code]
    missing = set(run(at, ask, limit_s, cwd=ROOT / "tests").check("looking for what the tests need").output.split())
    left_out = [path.name for path, names in imports.items() if names & missing]
    found: dict = {"missing": sorted(missing - {"xdist"}), "left_out": left_out}
    report = at.folder / "tests.xml"
    # -P: the installed package, not the source tree that this begins in. Of the plugins that may be installed only
    # one is wanted: the tests take warnings for errors, those of plugins too.
    command = [at.python, "-P", "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    command += ["--continue-on-collection-errors", *(f"--ignore=tests/{name}" for name in left_out)]
    if "xdist" not in missing:
        command += ["-p", "xdist.plugin", "-n", str(min(MOST_WORKERS, os.cpu_count() or 1))]
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = run(at, command, deadline - time.monotonic() - GRACE_S, cwd=ROOT, more_environment=alone)
    counts = junit_counts(report.read_text()) if report.exists() else {}
    found |= counts
    words = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if outcome != "failures")
    done.check(f"pytest ({words})", found)
    if not counts.get("passed"):
        raise StageError("pytest: no test was run", done.output, found)
    return found | {"summary": words + "".join(f", no {name}" for name in found["missing"])}


def imported_by(path: Path) -> set[str]:
    """Packages that a file imports at once, and those that files beside it do which it imports."""
    names: set[str] = set()
    for statement in ast.parse(path.read_text()).body:
        if isinstance(statement, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            names.add(statement.module.partition(".")[0])
    beside = {name: path.with_name(f"{name}.py") for name in names}
    return names.union(*(imported_by(file) for file in beside.values() if file.exists()))


def junit_counts(text: str) -> dict:
    """Numbers of tests by outcome, and the names of those that failed, of a report in JUnit's format."""
    counts: dict = {"passed": 0, "failed": 0, "errors": 0, "skipped": 0, "failures": []}
    kinds = {"failure": "failed", "error": "errors", "skipped": "skipped"}
    for case in ET.fromstring(text).iter("testcase"):
        element, outcome = next(
            ((case.find(tag), kind) for tag, kind in kinds.items() if case.find(tag) is not None), (None, "passed")
        )
        counts[outcome] += 1
        if element is not None and outcome != "skipped":
            message = (element.get("message") or "").strip().split("\n")[0][:200]
            counts["failures"].append(f"{case.get('classname')}::{case.get('name')}: {message}")
    return counts


def sanitizer(at: Site, limit_s: float, progress: Callable) -> dict:
    """Run a small mosaic under each of compute-sanitizer's tools that looks at memory."""
    program = shutil.which("compute-sanitizer", path=f"{os.environ.get('PATH', '')}:/usr/local/cuda/bin")
    if program is None:
        return {"summary": "compute-sanitizer: not found"}
    deadline = time.monotonic() + limit_s
    part = at.folder / "mosaic.json"
    mosaic = [at.python, FIGURES, "small-mosaic", part, *at.how_much]
    # Once without: the kernels are compiled then, and what is wrong without a tool is not the tool's.
    run(at, mosaic, limit_s).check("the small mosaic")
    found: dict = read_json(part)
    tails = ""
    for k, tool in enumerate(TOOLS):
        options = [program, "--tool", tool]
        if tool == "memcheck":
            options += ["--padding", "256"]  # else what is written beside one array may lie in the next
        if tool == "initcheck":
            options += [part for name in LOOKED_AT for part in ("--kernel-name", f"kns={name}")]
        done = run(at, options + mosaic, (deadline - time.monotonic()) / (len(TOOLS) - k))
        errors = sanitizer_errors(done.output)
        found |= {f"{tool}_errors": errors, f"{tool}_status": done.status, f"{tool}_s": done.seconds}
        if errors != 0 or done.status != 0:
            tails += f"--- {tool}\n{done.output[:1000]}\n...\n{done.output[-500:]}\n"
        progress(found)
    if tails:
        raise StageError("compute-sanitizer found errors, or did not come to its end", tails, found)
    return found | {"summary": ", ".join(f"{tool} {found[f'{tool}_errors']} errors" for tool in TOOLS)}


def sanitizer_errors(output: str) -> int | None:
    """Number of errors, or of races, that compute-sanitizer tells of; None if it does not say."""
    numbers = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: (\d+)", output)
    return sum(int(number) for number in numbers) if numbers else None


def selftest(at: Site, limit_s: float, progress: Callable) -> dict:
    """Run gpures' own test of an installation."""
    done = run(at, [at.python, "-m", "gpures", "selftest", "--backend", "cuda"], limit_s)
    done.check("selftest", {"exit_status": done.status})
    return {"exit_status": done.status, "output": done.output[-2000:], "summary": "passed"}


def benchmark(at: Site, limit_s: float, progress: Callable) -> dict:
    """Measure; what has been measured is in the JSON at once."""
    part = at.folder / "figures.json"
    command = [at.python, FIGURES, "figures", part, *at.how_much]
    done = run(at, command, limit_s, poll=lambda: progress(read_json(part)))
    done.check("figures", read_json(part))
    return read_json(part)


# Each with its share of the time. What one leaves is shared by those that follow.
STAGES: dict[str, tuple[Callable, float]] = {
    "install": (install, 20.0),
    "versions": (versions, 5.0),
    "tests": (tests, 60.0),
    "sanitizer": (sanitizer, 25.0),
    "selftest": (selftest, 8.0),
    "benchmark": (benchmark, 45.0),
}


# ---- the report ------------------------------------------------------------------------------------------------------


def read_json(path: Path) -> dict:
    """What is in a file, or nothing if there is none."""
    return json.loads(path.read_text()) if path.exists() else {}


def write_json(path: Path, content: dict) -> None:
    """Write a file in one step, so that nobody finds a half."""
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(content, indent=1) + "\n")
    new.replace(path)


def commit() -> str | None:
    """Commit of the source tree, if this is one; asked of its own file, as gpures may not be installed yet."""
    ask = runpy.run_path(str(ROOT / "gpures" / "bench" / "machine.py"))["commit"]
    return ask(ROOT)


def why_no_gpu(at: Site, limit_s: float) -> str | None:
    """Why the backend can't be used in the stages' environment; None if it can."""
    code = "from gpures.checks.info import why_unavailable; print(why_unavailable('cuda') or '')"
    try:
        done = run(at, [at.python, "-c", code], limit_s).check("importing gpures")
    except StageError as error:
        return f"no GPU was looked for: {error}\n{error.tail}"
    return f"no GPU: {done.output.strip()}" if done.output.strip() else None


def run_stages(
    at: Site,
    names: list[str],
    report: dict,
    write: Callable[[], None],
    limit_s: float,
    no_gpu: Callable[[Site, float], str | None] = why_no_gpu,
) -> bool:
    """Run stages one after the other; whether all succeeded.

    Parameters
    ----------
    at : Site
        Where.
    names : list of str
        Which of `STAGES`; those that come after "install" need a GPU.
    report : dict
        Takes what each found under its name.
    write : callable
        Called whenever there is more in the report.
    limit_s : float
        Seconds for all of them.
    no_gpu : callable
        Says why there is no GPU; called before the first stage that needs one.
    """
    deadline = time.monotonic() + limit_s
    reason, looked = None, False
    for k, name in enumerate(names):
        start = time.monotonic()
        stage, share = STAGES[name]
        limit = max(0.0, deadline - start) * share / sum(STAGES[later][1] for later in names[k:])

        def progress(found: dict, name: str = name) -> None:
            if report.get(name) != found:
                report[name] = dict(found)
                write()

        try:
            if name != "install" and not looked:
                reason, looked = no_gpu(at, limit), True
            if name != "install" and reason:
                raise StageError(reason)
            result = {"ok": True} | stage(at, limit, progress)
        except StageError as error:
            result = {"ok": False, "error": str(error)} | error.found
            if error.tail:
                result["tail"] = error.tail
        except Exception as error:  # the fault of this file, and no reason to lose the stages that follow
            result = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        result["seconds"] = round(time.monotonic() - start, 3)
        report[name] = result
        write()
        words = result.get("summary", "done") if result["ok"] else "FAILED: " + result["error"].split("\n")[0]
        print(f"{name:<11}{words[:100]:<101}{result['seconds']:7.1f} s", flush=True)
    return all(report[name]["ok"] for name in names)


def table(figures: dict) -> list[str]:
    """Lines of a table of what was measured, targets beside it."""
    lines = []
    for case, parts in figures.items():
        if not isinstance(parts, dict):
            continue
        for part, values in parts.items():
            if not isinstance(values, dict):
                values = {"": values}
            for key, value in values.items():
                if part == "targets":
                    reached = "reached" if value["reached"] else "NOT REACHED"
                    lines.append(f"{case:<16}{key:<46}{value['value']:>12.4g}  target {value['target']:g}: {reached}")
                elif isinstance(value, (int, float, str)):
                    name = f"{part} {key}".strip()
                    shown = f"{value:>12.4g}" if isinstance(value, float) else f"{value!s:>12}"
                    lines.append(f"{case:<16}{name:<46}{shown[:110]}")
    return lines


def rehearsed() -> dict[str, str]:
    """The environment in which there seems to be a GPU, of which few tests are run."""
    before = os.environ.get("PYTHONPATH")
    return {
        "PYTHONPATH": os.pathsep.join([str(REHEARSAL), *([before] if before else [])]),
        "PATH": os.pathsep.join([str(REHEARSAL), os.environ.get("PATH", "")]),
        "PYTEST_ADDOPTS": "-k 'test_part_of_an_image or test_blot_of_one'",
        "GPURES_BACKEND": "cuda",
    }


def predicted(report: dict) -> list[str]:
    """Lines that have what benchmarks/gpu_model.py predicts beside what was measured."""
    return runpy.run_path(str(MODEL))["beside"](report["device"], report.get("benchmark", {}))


def main(arguments: list[str] | None = None) -> int:
    """Run the stages; 0 if all succeeded, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheels", type=Path, help="folder of wheels to install into an environment of its own")
    parser.add_argument("--environment", type=Path, help="folder of that environment; the default is a temporary one")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="file for what is found (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="fewer figures, in about a third of the time")
    parser.add_argument("--rehearse", action="store_true", help="all of it without a GPU, and without meaning")
    parser.add_argument("--only", nargs="+", choices=list(STAGES), metavar="STAGE", help=f"of {', '.join(STAGES)}")
    parser.add_argument("--limit", type=float, help=f"seconds for all ({LIMIT_S:g}; with --quick {QUICK_LIMIT_S:g})")
    parser.add_argument("--commit", help="commit of the source tree, where git can't tell")
    options = parser.parse_args(arguments)
    usual = REHEARSAL_LIMIT_S if options.rehearse else QUICK_LIMIT_S if options.quick else LIMIT_S
    limit_s = options.limit or usual
    if options.rehearse:
        os.environ |= rehearsed()
    # What the others run in is always made first.
    names = [name for name in STAGES if name == "install" or not options.only or name in options.only]

    start = time.monotonic()
    report: dict = {
        "date": time.strftime("%Y-%m-%d"),
        "commit": options.commit or commit() or "unknown",
        "device": None,
        "python": platform.python_version(),
        "quick": options.quick,
        "rehearsed": options.rehearse,
        "limit_s": limit_s,
    }

    def write() -> None:
        report["device"] = report.get("versions", {}).get("device")
        write_json(options.out, report)

    with tempfile.TemporaryDirectory(prefix="gpures-gpu-") as folder:
        at = Site(
            python=sys.executable,
            folder=Path(folder),
            environment=(options.environment or Path(folder, "environment")).resolve(),
            wheels=options.wheels and options.wheels.resolve(),
            quick=options.quick,
            rehearses=options.rehearse,
        )
        fine = run_stages(at, names, report, write, limit_s)
    report["seconds"] = round(time.monotonic() - start, 3)
    write()
    lines = table(report.get("benchmark", {})) + predicted(report)
    print(*lines, f"{report['seconds']:.0f} s in all; {options.out}", sep="\n")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())

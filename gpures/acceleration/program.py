"""A program, run in this process with acceleration on: ``gpures run``."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import runpy
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpures.acceleration.switch import accelerate, used
from gpures.errors import DeviceError, ProgramError
from gpures.reporting import timing as stages
from gpures.reporting.tables import row

__all__ = ["ProgramError", "run"]


def run(
    program: str, arguments: Sequence[str] = (), module: bool = False, backend: str = "auto", report: bool = False
) -> Any:
    """Run a Python program in this process, with `gpures.accelerate` on.

    It finds `sys.argv`, `sys.path` and ``__main__`` as if Python had started it.

    Parameters
    ----------
    program : str
        A path to a script, the name of a console entry point of this environment, or that of a Python script on the
        PATH, in this order; with ``module`` the name of a module, as for ``python -m``.
    arguments : sequence of str, optional
        Its arguments.
    module : bool, optional
        Whether it is a module.
    backend : str, optional
        As in `gpures.accelerate`.
    report : bool, optional
        Whether to print at the end, on the standard error, a table of what was done on gpures and its seconds, in place
        of a line of what was done.

    Returns
    -------
    int, str or None
        What an entry point returns, which is an exit status as `sys.exit` takes it; else None.

    Raises
    ------
    ProgramError
        There is no such program, or acceleration can't be had.
    SystemExit
        The program's own, as everything else that it raises.
    """
    name, folder, start = _module(program) if module else _program(program)
    try:
        acceleration = accelerate(backend)
    except (DeviceError, ImportError) as error:
        raise ProgramError(str(error)) from error
    before, begin = used.copy(), time.perf_counter()
    with acceleration, _as_main_program([name, *arguments], folder):
        if not report:
            try:
                return start()
            finally:
                _print_line(used - before)
        with stages.watched() as seconds:
            try:
                return start()
            finally:
                _print_report(time.perf_counter() - begin, used - before, seconds)


Found = tuple[str, str | None, Callable[[], Any]]  # sys.argv[0], the first folder of sys.path, and what runs it


def _module(name: str) -> Found:
    folder = os.getcwd()
    with _as_main_program([name], folder):
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            found = None
    if found is None:
        raise ProgramError(f"there is no module {name!r}, neither here nor in this environment ({sys.prefix}).")
    return name, folder, lambda: runpy.run_module(name, run_name="__main__", alter_sys=True) and None


def _program(name: str) -> Found:
    path = Path(name)
    if path.suffix == ".py" or path.name != name:
        return _script(path, "")
    if entry_points := tuple(importlib.metadata.entry_points(group="console_scripts", name=name)):
        return shutil.which(name) or name, None, lambda: entry_points[0].load()()
    return _script(Path(shutil.which(name) or name), ", no console entry point, and no program on the PATH")


def _script(path: Path, nor: str) -> Found:
    if not path.exists():
        raise ProgramError(f"there is no file '{path}'{nor}.")
    if path.suffix not in (".py", ".pyc", ".pyz") and path.is_file():
        with path.open("rb") as file:
            first = file.readline()
        if not (first.startswith(b"#!") and b"python" in first):
            raise ProgramError(
                f"'{path}' is not a Python script: its first line names no Python. Only what runs in this Python "
                "process can be accelerated."
            )
    return str(path), str(path.resolve().parent), lambda: runpy.run_path(str(path), run_name="__main__") and None


@contextmanager
def _as_main_program(argv: list[str], folder: str | None) -> Iterator[None]:
    """Have `sys.argv` and `sys.path` as they are when Python starts a program."""
    argv_before, path_before = sys.argv, sys.path
    sys.argv = argv
    if folder is not None:
        sys.path = [folder, *(sys.path if sys.flags.safe_path else sys.path[1:])]
    try:
        yield
    finally:
        sys.argv, sys.path = argv_before, path_before


def _print_line(calls: dict[str, int]) -> None:
    done = ", ".join(f"{count} x {name}" for name, count in sorted(calls.items()))
    print(f"gpures: {done or 'nothing that it stands in for was called'}", file=sys.stderr)


def _print_report(wall: float, calls: dict[str, int], seconds: dict[str, float]) -> None:
    lines = [f"gpures: {wall:.1f} s, of them {sum(seconds.values()):.1f} s in gpures"]
    done = [row((count, f" x {name}"), (">8d", "")) for name, count in sorted(calls.items())]
    lines += done or ["  nothing that it stands in for"]
    longest_first = sorted(seconds.items(), key=lambda item: -item[1])
    lines += [row((spent, f" s {name}"), (">8.2f", "")) for name, spent in longest_first]
    print("\n".join(lines), file=sys.stderr)

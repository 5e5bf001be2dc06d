"""Command line of gpures."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


def _run_bench(arguments: argparse.Namespace) -> int:
    """Measure, or show what was measured; 0 when nothing failed, 1 when something did, 2 when it cannot run."""
    from . import DeviceError, bench

    folder = Path("gpures_bench")
    try:
        if arguments.shown is not None:
            bench.redraw(arguments.shown, arguments.plot or arguments.shown.with_suffix(".png"))
            return 0
        plan = bench.plan_of(
            arguments.quick, arguments.backend, arguments.repeats, arguments.case, arguments.wcs and Path(arguments.wcs)
        )
        sections = arguments.only or (("cases",) if arguments.case else bench.SECTIONS)
        figures, plot = arguments.json or folder / "bench.json", arguments.plot or folder / "bench.png"
        fine = bench.run(plan, sections, figures, plot)
    except (DeviceError, ImportError, OSError, ValueError) as error:
        print(f"gpures bench: {error}", file=sys.stderr)
        return 2
    return 0 if fine else 1


def _add_bench(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare ``gpures bench``."""
    from .bench import SECTIONS

    parser = commands.add_parser(
        "bench",
        help="measure speed and memory, beside stcal where it is installed",
        description="Measure seconds per exposure, where they go, memory, how both grow, and what the machine allows; "
        "beside stcal and drizzle, where they are installed, in the same process. A table is shown as it grows; "
        "all figures go to a JSON file, and a plot of them to another.",
    )
    parser.add_argument("--quick", action="store_true", help="fewer cases and smaller sizes: a minute or so")
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, metavar="SECTION", help=f"these of {', '.join(SECTIONS)}"
    )
    parser.add_argument("--case", action="append", metavar="NAME", help="this case; may be given more than once")
    parser.add_argument("--repeats", type=int, metavar="N", help="times that each figure is taken (5; with --quick 3)")
    parser.add_argument(
        "--backend", choices=("auto", "cuda", "cpu"), default="auto", help="what is measured (default: %(default)s)"
    )
    parser.add_argument("--wcs", metavar="FILE.asdf", help="WCS under 'wcs', of 2048 x 2048 pixels, for all exposures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the figures (gpures_bench/bench.json)")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="file for the plot (gpures_bench/bench.png)")
    parser.add_argument(
        "--from", type=Path, dest="shown", metavar="FILE.json", help="measure nothing, and show and draw these figures"
    )
    parser.set_defaults(run=_run_bench)


def _add_mosaic(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare ``gpures mosaic``."""
    from .mosaicking import command

    command.add_to(commands)


def _run_plot(arguments: argparse.Namespace) -> int:
    """Draw a mosaic's file; 0 when the picture is there, 2 when it can't be drawn."""
    try:
        from matplotlib.figure import Figure

        from . import plot
        from .io.atomic import written

        path = arguments.output if arguments.output.suffix else arguments.output.with_suffix(".png")
        with written(path, overwrite=True) as file:
            figure = plot.overview(
                arguments.file, Figure(), planes=arguments.plane, around=arguments.around, size=arguments.size
            )
            figure.savefig(file, format=path.suffix.removeprefix(".").lower(), dpi=arguments.dpi)
    except (ImportError, OSError, ValueError) as error:
        print(f"gpures plot: {error}", file=sys.stderr)
        return 2
    return 0


def _add_plot(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare ``gpures plot``."""
    parser = commands.add_parser(
        "plot",
        help="draw a mosaic and what comes with it",
        description="Draw the planes of a mosaic's file (FITS or ASDF) beside each other: data, weight, depth, error, "
        "and what else there is, on axes of the sky.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the mosaic")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="PICTURE",
        help="file for the picture; its suffix says which kind",
    )
    parser.add_argument(
        "--plane",
        action="append",
        metavar="NAME",
        help="draw this plane only: data, wht, con (its depth), err, dq, var_rnoise, ...; may be given more than once",
    )
    parser.add_argument(
        "--around", nargs=2, type=float, metavar=("RA", "DEC"), help="draw the part around this position, degrees"
    )
    parser.add_argument(
        "--size", type=float, metavar="ARCSEC", help="width and height of that part (default: a fifth of the frame)"
    )
    parser.add_argument("--dpi", type=float, default=150, help="dots per inch (default: %(default)s)")
    parser.set_defaults(run=_run_plot)


def _run_program(arguments: argparse.Namespace) -> int:
    """Run a program with acceleration on; its exit status, or 2 when it cannot run."""
    from . import program

    try:
        status = program.run(
            arguments.program, arguments.arguments, arguments.module, arguments.backend, arguments.report
        )
    except program.ProgramError as error:
        print(f"gpures run: {error}", file=sys.stderr)
        return 2
    sys.exit(status)  # which takes whatever an entry point returns


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
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
    parser.add_argument("--report", action="store_true", help="print at the end what was done on gpures, and its time")
    parser.add_argument("-m", dest="module", action="store_true", help="PROGRAM is a module, as for `python -m`")
    parser.add_argument("program", metavar="PROGRAM", help="path of a script, console entry point, or script on PATH")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="its arguments")
    parser.set_defaults(run=_run_program)


# Each entry declares one subcommand and sets ``run``, a function of the parsed arguments that returns the
# exit status.
COMMANDS: tuple[Callable[[argparse._SubParsersAction[argparse.ArgumentParser]], None], ...] = (
    _add_bench,
    _add_demo,
    _add_info,
    _add_mosaic,
    _add_plot,
    _add_run,
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
    if parsed.run is _run_program:  # whose signals are its own
        return _run_program(parsed)
    with _told_to_end():
        status: int = parsed.run(parsed)
    return status


@contextmanager
def _told_to_end() -> Iterator[None]:
    """Have SIGTERM and SIGHUP end the program as Ctrl-C does: with what it began being cleaned up.

    Its exit status is by the shells' convention 128 and the signal's number.
    """
    before: dict[int, Any] = {}

    def end(number: int, _: object) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:  # else it is ignored, as by nohup
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())

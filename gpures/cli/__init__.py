"""Command line of gpures: a file for each command, with its options and what it runs."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gpures import startup
from gpures.cli import bench, demo, info, mosaic, plot, run, selftest
from gpures.cli.words import NOBODY_READS

__all__ = ["main"]

# Each declares its command and sets ``run``, a function of the parsed arguments that returns the exit status. What a
# command needs is imported when it runs.
COMMANDS = (bench, demo, info, mosaic, plot, run, selftest)


def _version() -> str:
    """Version of the installed package."""
    try:
        return importlib.metadata.version("gpures")
    except importlib.metadata.PackageNotFoundError:
        return "unknown (gpures is not installed as a package)"


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
    for command in COMMANDS:
        command.add_to(commands)
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
    try:
        parsed = build_parser().parse_args(arguments)
        startup.end()
        parsed.call = shlex.join(["gpures", *(sys.argv[1:] if arguments is None else arguments)])
        if "own_signals" not in parsed:
            with _told_to_end():
                status: int = parsed.run(parsed)
                return status
    except KeyboardInterrupt:
        print("gpures: interrupted.", file=sys.stderr)
        return startup.INTERRUPTED
    except BrokenPipeError:
        return NOBODY_READS
    finally:
        _print_the_rest()
    return parsed.run(parsed)  # a program, whose own errors are its own


def _print_the_rest() -> None:
    """Print what waits to be printed, or forget it where nobody reads it, as after ``gpures info | head``."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


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

"""Ctrl-C while the command line starts: imports take a third of a second, in which nobody catches it.

Only where Python was started for ``gpures`` itself; who imports the package keeps the handlers of signals that there
are.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

__all__ = ["INTERRUPTED", "begin", "end"]

# Exit status of an interrupted program, by the shells' convention 128 and the signal's number.
INTERRUPTED = 128 + signal.SIGINT


def begin() -> None:
    """From now on Ctrl-C ends the program without a traceback, if it is the command line."""
    if _is_the_program() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def end() -> None:
    """From now on Ctrl-C is a `KeyboardInterrupt` again."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_the_program() -> bool:
    if threading.current_thread() is not threading.main_thread():
        return False
    name = os.path.basename(sys.argv[0]) if getattr(sys, "argv", None) else ""
    return name in ("gpures", "gpures.exe") or ("-m", "gpures") in zip(sys.orig_argv, sys.orig_argv[1:], strict=False)


def _leave(*_: object) -> None:
    # What is being imported may not be in a state to be left in good order.
    os.write(2, b"gpures: interrupted; nothing was written.\n")
    os._exit(INTERRUPTED)

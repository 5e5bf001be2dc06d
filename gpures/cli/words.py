"""What the library says, in the words of the command line: arguments become options, and nothing is said 400 times."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["NOBODY_READS", "in_options", "option_names", "printable", "said_once", "say", "tell_error"]

# Exit status where nobody reads what is printed, by the shells' convention 128 and the number of SIGPIPE.
NOBODY_READS = 128 + 13

# Arguments of `gpures.mosaic` that the command line has under no option.
OTHERS = {"inputs": "FILE"}

# An argument and its value, as Python has them, but not in a path.
ARGUMENT = re.compile(r"(?<= )(?P<name>[a-z_]+)=(?P<value>'[^']*'|[\w.+-]*\w)(?=[,.;:)]?(?: |$))")

# Names of files that are told where a warning was said of others before.
LISTED = 3


def option_names(parser: argparse.ArgumentParser) -> dict[str, str]:
    """What arguments are called on a command line.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of the command.

    Returns
    -------
    dict
        Options by argument; those that switch something off, or on, by what one writes in Python, ``name=False``.
    """
    names = dict(OTHERS)
    for action in parser._actions:
        long = [option for option in action.option_strings if option.startswith("--")]
        option = [*long, *action.option_strings, str(action.metavar)][0]
        names.setdefault(action.dest, option)
        if action.nargs == 0 and isinstance(action.const, bool):
            names.setdefault(f"{action.dest}={action.const}", option)
    return names


def in_options(text: str, names: Mapping[str, str]) -> str:
    """A text in which arguments have the names of options: those in quotation marks, and ``name=value``."""
    text = re.sub(r"'(\w+(?:=\w+)?)'", lambda match: names.get(match[1], match[0]), text)
    return ARGUMENT.sub(lambda match: _with_value(match, names), text)


def _with_value(match: re.Match[str], names: Mapping[str, str]) -> str:
    argument, name, value = match[0], match["name"], match["value"]
    if argument in names:
        return names[argument]
    for state in {"True", "False"} - {value}:
        if f"{name}={state}" in names:
            return f"no {names[f'{name}={state}']}"
    return f"{names[name]} {value}" if name in names else argument


def printable(text: str, encoding: str | None) -> str:
    """A text, which may hold names that a terminal has no characters for, as it can show it."""
    encoding = encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def say(text: str) -> None:
    """Print a text at once. Where nobody reads it, as after ``gpures bench | head``, the program ends quietly."""
    try:
        print(printable(text, getattr(sys.stdout, "encoding", None)), flush=True)
    except BrokenPipeError:
        raise SystemExit(NOBODY_READS) from None


def tell_error(command: str, error: Exception, names: Mapping[str, str]) -> None:
    """Print what is wrong, in a line and in the words of the command line.

    Parameters
    ----------
    command : str
        Name of the command.
    error : Exception
        What was raised.
    names : mapping
        Of its options, as `option_names` gives them.
    """
    words = in_options(f"gpures {command}: {_words_of(error)}", names)
    print(printable(words, getattr(sys.stderr, "encoding", None)), file=sys.stderr)


def _words_of(error: Exception) -> Any:
    """What is wrong, without numbers of errors and quotation marks."""
    if notes := getattr(error, "__notes__", ()):  # what they say of the drizzle package's texts
        return " ".join(notes)
    if isinstance(error, KeyError) and error.args:
        return error.args[0]
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return error


class _Once(logging.Handler):
    """Prints warnings; one that is the same for many files, which it names first, is printed for the first of them."""

    def __init__(self, names: Mapping[str, str]):
        super().__init__(logging.WARNING)
        self.names = names
        self.more: dict[tuple[Any, ...], list[str]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        text = in_options(record.getMessage(), self.names)
        arguments = record.args if isinstance(record.args, tuple) else ()
        # What ends in a reason, such as "Skipped: %s", is another one each time.
        of_a_file = bool(arguments) and "%s" in record.msg and not (len(arguments) == 1 and record.msg.endswith("%s"))
        key = (record.msg, *arguments[1:]) if of_a_file else (text,)
        names = self.more.setdefault(key, [])
        if not names:
            self._print(text)
        if (name := str(arguments[0]) if of_a_file else "") not in names:
            names.append(name)

    def finish(self) -> None:
        """Tell of how many more that was to be said."""
        for key, (_, *names) in self.more.items():
            if names:
                such = ", ".join([*names[:LISTED], *["..."][: len(names) > LISTED]])
                self._print(f"... and {len(names)} more, {such}: {key[0] % ('...', *key[1:])}")

    def _print(self, text: str) -> None:
        print(printable(text, getattr(sys.stderr, "encoding", None)), file=sys.stderr)


@contextmanager
def said_once(names: Mapping[str, str]) -> Iterator[None]:
    """Print the package's warnings, in the words of the command line, each once."""
    logger, handler = logging.getLogger("gpures"), _Once(names)
    before = logger.propagate
    logger.addHandler(handler)
    logger.propagate = before and bool(logging.getLogger().handlers)  # or they would be printed twice
    try:
        yield
    finally:
        handler.finish()
        logger.removeHandler(handler)
        logger.propagate = before

"""How a mosaic was made, as its file tells it: a call that could be made again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from gpures.exposure.options import Options
from gpures.io.remote import public

__all__ = ["call_of", "history_of"]

# Inputs that a call names; of more the table has all.
NAMED = 8


def call_of(inputs: Any, output: Any, arguments: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """A call of `gpures.mosaic`, as Python has it.

    Parameters
    ----------
    inputs : object
        Exposures, as they were given.
    output : object
        The file.
    arguments : mapping
        All others.
    defaults : mapping
        Their defaults, of those that have one.
    """
    given = {name: value for name, value in arguments.items() if _shown(value) != _shown(defaults.get(name, Ellipsis))}
    entries = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    words = [_shown(entry) for entry in entries[:NAMED]]
    words += [f"... {len(entries) - NAMED} more"] if len(entries) > NAMED else []
    named = [f"{name}={_shown(value)}" for name, value in given.items()]
    return f"gpures.mosaic([{', '.join(words)}], {', '.join([_shown(output), *named])})"


def _shown(value: Any) -> str:
    """A value as it is written, or what it is."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if value is None or isinstance(value, (str, int, float, list, tuple)):
        with suppress(ValueError):  # of integers with thousands of digits
            return repr(value)
    return repr(value.name) if isinstance(value, np.dtype) else f"<{type(value).__name__}>"


def history_of(call: str, options: Options) -> list[str]:
    """Lines that tell how a mosaic was made.

    Parameters
    ----------
    call : str
        What was called.
    options : gpures.exposure.options.Options
        What the resampling was set to.
    """
    from gpures import __version__

    settings = ", ".join(f"{name}={_shown(value)}" for name, value in vars(options).items())
    return [f"gpures {__version__}: {public(call)}", f"options: {settings}"]

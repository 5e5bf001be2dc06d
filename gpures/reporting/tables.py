"""Text in columns and lists, for a person to read."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import chain, repeat
from typing import Any

__all__ = ["line", "listed", "row"]

# The column where values begin, and the width to which long ones are broken.
COLUMN, WIDTH = 16, 110


def line(name: str, value: str, indent: int = 2) -> str:
    """Name and value in their columns; a long value goes on below itself.

    Parameters
    ----------
    name : str
        Goes to the left.
    value : str
        Goes to the right.
    indent : int, optional
        Blanks before the name.
    """
    first = f"{' ' * indent}{name}".ljust(COLUMN)
    return textwrap.fill(
        value,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * COLUMN,
        break_long_words=False,
        break_on_hyphens=False,
    )


def listed(names: Sequence[str], most: int) -> str:
    """Some names, and how many more there are.

    Parameters
    ----------
    names : sequence of str
        All of them.
    most : int
        How many are told.
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def row(cells: Sequence[Any], formats: Sequence[str]) -> str:
    """Cells in columns.

    Parameters
    ----------
    cells : sequence
        Text or numbers.
    formats : sequence of str
        Format specification of each column, as `format` takes it: ``"<20"`` for text to the left, ``">10.1e"`` for a
        number to the right. The last one stands for all that follow.
    """
    following = chain(formats, repeat(formats[-1]))
    return "".join(format(cell, spec) for cell, spec in zip(cells, following, strict=False))

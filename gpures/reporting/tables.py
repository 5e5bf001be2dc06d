"""Text in columns, for a person to read."""

from __future__ import annotations

import textwrap

__all__ = ["line"]

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

"""The functions and classes of stcal and drizzle themselves, whatever stands in their places (`gpures.accelerate`)."""

from __future__ import annotations

from typing import Any

__all__ = ["original", "stand_ins"]

#: What stands in for each original that was ever replaced, also while acceleration is off.
stand_ins: dict[Any, Any] = {}


def original(thing: Any) -> Any:
    """Give the class or function of stcal or drizzle that something stands for; anything else as it is.

    Parameters
    ----------
    thing : object
        What a name of those packages gives.

    Returns
    -------
    object
        The original.

    Examples
    --------
    >>> from drizzle.resample import Drizzle
    >>> reference = original(Drizzle)  # whether acceleration is on or not
    """
    return next((known for known, stand_in in list(stand_ins.items()) if stand_in is thing), thing)

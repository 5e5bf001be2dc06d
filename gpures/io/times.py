"""When exposures were taken, as their headers say it, and which were taken together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["days", "groups"]

# Images of a file that began so close to each other, in exposure times, are of one exposure; and their exposure times
# are the same but for so much.
TOGETHER, ALIKE = 0.5, 0.1


def days(value: Any) -> float | None:
    """A time as MJD: a number as it is, also where it is written as text, and a date with a time of day; else None.

    Parameters
    ----------
    value : object
        What a header says.
    """
    if isinstance(value, bool) or value is None:
        return None
    try:
        time = float(value)
    except (TypeError, ValueError):
        return _date(str(value))
    return time if math.isfinite(time) else None


def _date(text: str) -> float | None:
    from astropy.time import Time  # here, as it takes longer to import than gpures

    text = text.strip().removesuffix("Z")
    if "T" not in text and ":" not in text:
        return None
    try:
        return float(Time(text, scale="utc").mjd)
    except ValueError:
        return None


def groups(path: Path, taken: Sequence[tuple[float | None, float]]) -> list[str]:
    """Names of groups for the images of a file: one for all, unless they were taken at different times.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    taken : sequence of (float or None, float)
        Start (MJD) and exposure time (seconds) of each.
    """
    names: list[str] = []
    firsts: list[tuple[float | None, float]] = []
    for start, seconds in taken:
        number = next((k for k, first in enumerate(firsts) if _together(first, (start, seconds))), len(firsts))
        if number == len(firsts):
            firsts.append((start, seconds))
        names.append(str(path) if number == 0 else f"{path} ({number + 1})")
    return names


def _together(one: tuple[float | None, float], other: tuple[float | None, float]) -> bool:
    if abs(one[1] - other[1]) > ALIKE * max(one[1], other[1]):
        return False
    if one[0] is None or other[0] is None:
        return True
    return abs(one[0] - other[0]) * 86400.0 <= TOGETHER * max(one[1], other[1])

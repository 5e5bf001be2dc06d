"""When exposures were taken, as their headers say it, and which were taken together."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["days", "groups", "mjd_of_date"]

# Images of a file that began so close to each other, in exposure times, are of one exposure; and their exposure times
# are the same but for so much.
TOGETHER, ALIKE = 0.5, 0.1

OLD_DATE = re.compile(r"(\d\d)/(\d\d)/(\d\d)$")  # before 1999: day, month, year


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
        return mjd_of_date(str(value)) if ":" in str(value) else None
    return time if math.isfinite(time) else None


def mjd_of_date(text: str) -> float | None:
    """A date in UTC, or a date and a time of day, as MJD; None of what is none.

    Parameters
    ----------
    text : str
        As headers have it: ``2024-05-06T07:08:09.5``, with a Z behind it or a blank in the middle, or ``06/05/94``.
    """
    from astropy.time import Time  # here, as it takes longer to import than gpures

    words = [OLD_DATE.sub(r"19\3-\2-\1", word) for word in text.strip().removesuffix("Z").replace("T", " ").split()]
    try:
        return float(Time("T".join(words), format="isot", scale="utc").mjd)
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

"""What an exposure's light passed through, as its headers have it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["FILTERS", "filter_of", "filters_of"]

# Keywords of a filter. Those of one line say together what was in the beam.
FILTERS = (
    ("FILTER",),
    ("FILTER1", "FILTER2", "FILTER3", "FILTER4"),
    ("FILTNAM1", "FILTNAM2"),
    ("FILTNAM",),
    ("PUPIL",),
    ("BAND",),
    ("INSFLNAM",),
)
KEYWORDS = tuple(keyword for keywords in FILTERS for keyword in keywords)

# What stands there for no filter.
NO_FILTER = re.compile(r"CLEAR\w*|OPEN|NONE|EMPTY|NO ?FILTER|AIR|BLANK")

# What stands there where nobody knows it.
NOT_TOLD = re.compile(r"|-+|\?+|N/?A|UNKNOWN|UNDEFINED")


def filters_of(header: Mapping[str, Any]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Filters by the keywords that have them, spelt alike, and without those that stand for none.

    Parameters
    ----------
    header : mapping
        What an exposure's headers say.
    """
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for keywords in FILTERS:
        if told := [plain for name in keywords if (plain := _plain(header.get(name)))]:
            found[keywords] = tuple(sorted(word for word in told if not NO_FILTER.fullmatch(word)))
    return found


def filter_of(header: Mapping[str, Any]) -> str:
    """All filters as the header spells them, joined by ``+``; wheels that were at CLEAR are not told of.

    Parameters
    ----------
    header : mapping
        What an exposure's headers say.
    """
    words = {plain: str(header[name]).strip() for name in KEYWORDS if (plain := _plain(header.get(name)))}
    return "+".join(word for plain, word in words.items() if not NO_FILTER.fullmatch(plain))


def _plain(value: Any) -> str:
    """A filter's name in capitals, with single blanks; "" where a header does not tell it."""
    plain = "" if value is None else re.sub(r"[\s_]+", " ", str(value)).strip().upper()
    return "" if NOT_TOLD.fullmatch(plain) else plain

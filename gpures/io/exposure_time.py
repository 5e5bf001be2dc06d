"""The exposure time in a FITS header: under which keywords it may stand, and what is none."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from gpures.arguments.values import is_real

__all__ = ["COUNT_TIME", "KEYWORDS", "count_time", "exposure_time"]

log = logging.getLogger(__name__)

# In the order of trust. EXPOSURE is a time in some headers and the number of an exposure in others; a frame time, that
# of one read of a detector, is none.
KEYWORDS = (
    "EXPTIME",
    "XPOSURE",
    "TEXPTIME",
    "EXP_TIME",
    "EXPOSURE",
    "ITIME",
    "INTTIME",
    "INT_TIME",
    "EXPOSTIM",
    "ONTIME",
    "LIVETIME",
    "ELAPTIME",
    "TELAPSE",
)

# Of a mosaic of counts, whose EXPTIME is that of all its exposures, the time that its values are of.
COUNT_TIME = "CNTTIME"

# Seconds in what a comment says that the unit is.
UNITS = {
    1e-6: ("us", "usec", "microsec", "microsecond", "microseconds"),
    1e-3: ("ms", "msec", "msecs", "millisec", "millisecond", "milliseconds"),
    1.0: ("s", "sec", "secs", "second", "seconds"),
    60.0: ("min", "mins", "minute", "minutes"),
    3600.0: ("h", "hr", "hrs", "hour", "hours"),
    86400.0: ("d", "day", "days"),
}
SECONDS = {word: seconds for seconds, words in UNITS.items() for word in words}

# A unit in brackets is one for certain; of words in a sentence only those that mean nothing else are.
IN_BRACKETS = re.compile(r"[\[(]\s*([a-zA-Z]+)\.?\s*[\])]")
IN_WORDS = re.compile(r"\b(msec|millisec\w*|usec|microsec\w*|secs?|seconds|minutes|hours|days)\b", re.IGNORECASE)


def exposure_time(headers: Collection[Any], name: str) -> float | None:
    """Exposure time in seconds; None where no keyword holds one.

    A number is a time, and a string is none, as ``EXPOSURE='00003'`` is the number of an exposure; but ``'30.0'``,
    where nothing else is there, is taken, with a warning. The unit is what the comment says, and seconds where it says
    none. The time of one of several co-added reads (COADDS, NCOMBINE) is not multiplied by their number.

    Parameters
    ----------
    headers : collection of astropy.io.fits.Header
        Of the image and of the file, in the order in which they are asked.
    name : str
        What the image is called in warnings.
    """
    for header, keyword in _places(headers):
        if (seconds := _positive(header[keyword])) is not None:
            return seconds * _unit(header, keyword, name)
    for header, keyword in _places(headers):
        value = header[keyword]
        if isinstance(value, str) and (seconds := _number(value)) is not None:
            log.warning("%s has its exposure time as a text, %s=%r: it is taken for seconds.", name, keyword, value)
            return seconds * _unit(header, keyword, name)
    return None


def count_time(header: Mapping[str, Any], time: Any) -> float | None:
    """Time that counts grew with: that which a mosaic names, else the exposure time; None where nobody knows it."""
    of_mosaic = header.get(COUNT_TIME)
    if isinstance(of_mosaic, (list, tuple)) and of_mosaic:  # with a comment
        of_mosaic = of_mosaic[0]
    return _positive(of_mosaic) or _positive(time)


def _positive(value: Any) -> float | None:
    """A time; None of what can be none."""
    return float(value) if is_real(value) and math.isfinite(value) and value > 0 else None


def _places(headers: Collection[Any]) -> Iterator[tuple[Any, str]]:
    return ((header, keyword) for keyword in KEYWORDS for header in headers if keyword in header)


def _number(text: str) -> float | None:
    """A positive number in a text; None of what is none, and of an exposure's number, which has zeros before it."""
    if re.fullmatch(r"0\d+", text.strip()):
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def _unit(header: Any, keyword: str, name: str) -> float:
    """Seconds in the unit that the comment of a keyword names."""
    comment = header.comments[keyword]
    found = [word.lower() for word in IN_BRACKETS.findall(comment)] or IN_WORDS.findall(comment)
    seconds = next((SECONDS[word.lower()] for word in found if word.lower() in SECONDS), 1.0)
    if seconds != 1.0:
        log.warning(
            "%s: %s is %s, %r: it is taken for %g s.",
            name,
            keyword,
            header[keyword],
            comment,
            float(header[keyword]) * seconds,
        )
    return seconds

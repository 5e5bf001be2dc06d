"""What exposures of one mosaic must have in common, beside their unit: the filter, and the gain of a chip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpures.io import units
from gpures.mosaicking.filters import filters_of
from gpures.mosaicking.sources import Source

__all__ = ["GAINS", "OneFilter", "OneGain"]

GAINS = ("GAIN", "EGAIN", "CCDGAIN", "ATODGAIN")

# Gains that are measured each night differ by less.
SAME_GAIN = 1e-2

# What tells a chip from others.
CHIP = (
    *("TELESCOP", "INSTRUME", "DETECTOR", "CAMERA", "CCDNAME", "CCDCHIP", "CHIP", "CHIPID", "CHIPNAME"),
    *("CCDID", "CCDNUM", "IMAGEID", "EXTNAME", "EXTVER", "AMPNAME", "DETSEC"),
)

# What may be wrong with an exposure, for somebody who refuses it or not.
Refusal = Callable[[Source, str], None]


class OneFilter:
    """Whether exposures are of one filter, one after the other.

    Parameters
    ----------
    refuse : callable
        Called with an exposure of another filter than those before it, and the words for it.
    """

    def __init__(self, refuse: Refusal):
        self._refuse = refuse
        self._seen: dict[tuple[str, ...], tuple[tuple[str, ...], Source]] = {}

    def __call__(self, source: Source) -> None:
        """Check one."""
        for keywords, found in filters_of(source.header).items():
            before, other = self._seen.setdefault(keywords, (found, source))
            if found != before:
                ours, theirs = (" + ".join(each) or "no filter" for each in (found, before))
                self._refuse(source, f"{source.name} is of the filter {ours}, and {other.name} of {theirs}")


class OneGain:
    """Whether exposures of one chip, in ADU, are of one gain, one after the other.

    Parameters
    ----------
    refuse : callable
        Called with an exposure of another gain than those before it, and the words for it.
    """

    def __init__(self, refuse: Refusal):
        self._refuse = refuse
        self._seen: dict[tuple[Any, ...], tuple[float, Source]] = {}

    def __call__(self, source: Source) -> None:
        """Check one."""
        if not units.depends_on_gain(source.unit):
            return
        chip = tuple(str(source.header.get(name, "")).strip() for name in CHIP)
        for name in GAINS:
            gain = source.header.get(name)
            if not isinstance(gain, (int, float)) or isinstance(gain, bool) or not gain > 0:
                continue
            before, other = self._seen.setdefault((name, *chip), (gain, source))
            if abs(gain / before - 1.0) > SAME_GAIN:
                self._refuse(
                    source,
                    f"{source.name} has {name}={gain:g}, and {other.name} of the same chip {before:g}, while nothing "
                    "in their headers calibrates them",
                )

"""DQ flags by mission: which a mosaic forgives, and what they are called."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from gpures.exposure.weights import bad_bits
from gpures.extras import install

__all__ = ["default_good_bits", "flag_names", "names_for"]

# What the missions' own mosaics forgive: all flags but DO_NOT_USE (1) and, for JWST, NON_SCIENCE (512).
GOOD_BITS = {"jwst": "~513", "roman": "~1"}


def default_good_bits(kinds: Collection[str]) -> str | int:
    """Flags to be ignored where nobody says: those of the mission, and none where it is unknown or not one alone."""
    return GOOD_BITS.get(next(iter(kinds)), 0) if len(kinds) == 1 else 0


def flag_names(kinds: Collection[str]) -> Mapping[str, int] | None:
    """Numbers of the flags by name, where all exposures are of one mission that names them.

    Raises
    ------
    ImportError
        The package that has the mission's names is not installed.
    """
    try:
        if set(kinds) == {"jwst"}:
            from stdatamodels.jwst.datamodels import dqflags

            return dict(dqflags.pixel)
        if set(kinds) == {"roman"}:
            from roman_datamodels import dqflags as roman

            return {flag.name: int(flag) for flag in roman.pixel}
    except ImportError as error:
        mission = next(iter(kinds))
        raise ImportError(
            f"The names of {mission.capitalize()}'s flags are not known without a package that is not installed here: "
            f"{install(mission)}, or give 'good_bits' in numbers."
        ) from error
    return None


def names_for(good_bits: Any, kinds: Collection[str]) -> Mapping[str, int] | None:
    """Names of the flags that good bits are given by; None where they are numbers.

    Raises
    ------
    ImportError
        They are needed, and not known for lack of a package.
    ValueError
        There are no such flags.
    """
    parts = good_bits if isinstance(good_bits, (list, tuple)) else [good_bits]
    words = [part.strip() for part in parts if isinstance(part, str)]
    names = None
    if any(any(map(str.isalpha, word)) and word.upper() not in ("NONE", "INDEF") for word in words):
        names = flag_names(kinds)
        if names is None:
            raise ValueError(
                f"'good_bits' is {good_bits!r}, and flags have names only where all exposures are JWST's, or all are "
                "Roman's: give numbers."
            )
    try:
        bad_bits(good_bits, names, np.dtype(np.uint32))
    except (KeyError, TypeError, ValueError) as error:
        known = f" There are {', '.join(names)}." if names else ""
        raise ValueError(f"'good_bits' must be flags of the DQ array, got {good_bits!r}: {error}.{known}") from error
    return names

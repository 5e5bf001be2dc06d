"""The scales that headers may have: zero points, and factors to a flux."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["FLXSCALE", "KEYWORDS", "RATES", "ZERO_POINTS", "Keyword"]

# Zero points are magnitudes between these; headers have -99 and 999 for none.
MAGNITUDES = -50.0, 80.0


@dataclass(frozen=True)
class Keyword:
    """A scale that headers may have.

    Attributes
    ----------
    names : tuple of str
        Keywords that have it; the first that a header has counts.
    is_magnitude : bool
        Whether it is a zero point, and no factor.
    of_rate : bool
        Whether it is of counts per second.
    """

    names: tuple[str, ...]
    is_magnitude: bool = False
    of_rate: bool = False

    @property
    def to_one(self) -> bool:
        """Whether it is a factor to a common scale, as SWarp has it: no matter which exposure is the first."""
        return not (self.is_magnitude or self.of_rate)

    def found(self, header: Mapping[str, Any]) -> tuple[str, float | None]:
        """What a header has, and under which keyword; None for nothing that can be one."""
        for name in self.names:
            try:
                value = float(header[name])
            except (KeyError, TypeError, ValueError):
                continue
            least, most = MAGNITUDES if self.is_magnitude else (0.0, math.inf)
            if not isinstance(header[name], bool) and least < value < most:
                return name, value
        return "", None

    def factor(self, reference: float, value: float) -> float:
        """What an exposure with a value is multiplied by to be on the scale of one with another."""
        factor = 10.0 ** (0.4 * (reference - value)) if self.is_magnitude else value / reference
        return 1.0 if abs(factor - 1.0) < 1e-9 else factor


FLXSCALE = Keyword(("FLXSCALE", "FSCALE"))
ZERO_POINTS = Keyword(("MAGZPT", "MAGZP", "MAGZERO", "MAGZEROP", "ZEROPT", "ZPT", "PHOTZP"), is_magnitude=True)
RATES = tuple(Keyword((name,), of_rate=True) for name in ("PHOTFLAM", "PHOTFNU", "PHOTMJSR"))
KEYWORDS = (FLXSCALE, ZERO_POINTS, *RATES)

"""Positions on the command line: in degrees, or in hours, minutes and seconds."""

from __future__ import annotations

import argparse
import re
from typing import Any

__all__ = ["Position", "take_negative"]

# What begins a number, and no option: -02:00:00 and -2d0m0s, too.
NEGATIVE = re.compile(r"-\.?\d")


def take_negative(parser: argparse.ArgumentParser) -> None:
    """Have a parser take what begins with a minus and a digit for a value, however it goes on."""
    parser._negative_number_matcher = NEGATIVE


class Position(argparse.Action):
    """An option with a right ascension and a declination, which become degrees."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        """Set the two numbers."""
        try:
            position = [_degrees(values[0], "hourangle"), _degrees(values[1], "deg")]
        except ValueError:
            raise argparse.ArgumentError(
                self,
                f"must be degrees, such as 150 2.5, or hours and degrees, such as 10:00:00 +02:30:00 or 10h0m0s "
                f"+2d30m0s, got {' '.join(values)}",
            ) from None
        setattr(namespace, self.dest, position)


def _degrees(text: str, sexagesimal: str) -> float:
    """An angle in degrees: a number is that, and a text with colons or blanks is in another unit, or tells its own."""
    try:
        return float(text)
    except ValueError:
        from astropy.coordinates import Angle

        return float(Angle(text, sexagesimal if re.fullmatch(r"[-+\d.: ]+", text.strip()) else "deg").deg)

"""Who made a file."""

from __future__ import annotations

__all__ = ["creator"]


def creator() -> str:
    """What files that are written say of who made them."""
    from gpures import __version__

    return f"gpures {__version__}"

"""How a frame is cut into tiles, so that each of them fits in memory."""

from __future__ import annotations

import math
import re
from typing import Any

from gpures.arguments.arrays import got
from gpures.box import Box

__all__ = ["GRAIN", "checked_limit", "tiles_of"]

# Sides of tiles are multiples of this many pixels, but at the edges of the frame: of the chunks of a zarr store, and of
# the rectangles that a thread works on, so that sums are those of the whole frame to the last bit.
GRAIN = 1024

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}

LIMIT = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([KMGT]I?)?B?\s*", re.IGNORECASE)


def checked_limit(limit: Any) -> int | None:
    """Bytes of memory that may be used, as a number or a text such as "8GB" or "7.5 GiB"; None for no limit.

    Raises
    ------
    ValueError
        It is none.
    """
    if limit is None:
        return None
    found = LIMIT.fullmatch(limit) if isinstance(limit, str) else None
    size = float(found[1]) * UNITS[(found[2] or "").upper()] if found else limit
    if isinstance(size, bool) or not isinstance(size, (int, float)) or not 0 < size < math.inf:
        raise ValueError(f"'memory_limit' must be a number of bytes, or a text such as '8GB', got {got(limit)}.")
    return int(size)


def tiles_of(shape: tuple[int, int], pixels: float) -> list[Box]:
    """Tiles of a frame, of at most so many pixels each, there and back along its rows.

    Parameters
    ----------
    shape : (int, int)
        Shape (Ny, Nx) of the frame.
    pixels : float
        Pixels of a tile.

    Returns
    -------
    list of Box
        Of all ways to cut it, that whose tiles have the least edges between them, at which exposures are read twice.

    Raises
    ------
    MemoryError
        The smallest tile has more pixels.
    """
    ny, nx = shape
    rows, columns = -(-ny // GRAIN), -(-nx // GRAIN)
    ways = []
    for across in range(1, columns + 1):
        width = -(-columns // across)
        height = min(rows, int(pixels // (min(width * GRAIN, nx) * min(GRAIN, ny))))
        if height > 0:
            along_x, along_y = -(-rows // height), -(-columns // width)
            ways.append(((along_x - 1) * nx + (along_y - 1) * ny, width, height))
    if not ways:
        raise MemoryError
    _, width, height = min(ways)
    tiles = []
    for k, y in enumerate(range(0, rows, height)):
        row = [
            Box(x * GRAIN, min((x + width) * GRAIN, nx) - 1, y * GRAIN, min((y + height) * GRAIN, ny) - 1)
            for x in range(0, columns, width)
        ]
        tiles += row[:: -1 if k % 2 else 1]
    return tiles

"""Parts of an image or a frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["AT_ONCE", "Box", "row_blocks"]

# Pixels that are computed at a time, so that what is made of them stays in the cache of a core.
AT_ONCE = 1 << 17


class Box(NamedTuple):
    """First and last pixels of a part along both axes, the last ones included.

    Attributes
    ----------
    xmin, xmax, ymin, ymax : int
        Pixels; ``xmin > xmax`` where the part is empty.
    """

    xmin: int
    xmax: int
    ymin: int
    ymax: int

    @classmethod
    def whole(cls, shape: tuple[int, int]) -> Box:
        """All of an image of a shape (Ny, Nx)."""
        return cls(0, shape[1] - 1, 0, shape[0] - 1)

    @classmethod
    def nothing(cls, shape: tuple[int, int]) -> Box:
        """No part of it."""
        return cls(shape[1], -1, shape[0], -1)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the part, (Ny, Nx), one that is not empty."""
        return self.ymax - self.ymin + 1, self.xmax - self.xmin + 1

    @property
    def slices(self) -> tuple:
        """Index of the part in an image, or in a stack of such."""
        return (..., slice(self.ymin, self.ymax + 1), slice(self.xmin, self.xmax + 1))

    @property
    def is_empty(self) -> bool:
        """Whether there is no pixel in it."""
        return self.xmin > self.xmax or self.ymin > self.ymax

    def common(self, other: Box) -> Box:
        """The part of both, which may be empty."""
        return Box(
            max(self.xmin, other.xmin),
            min(self.xmax, other.xmax),
            max(self.ymin, other.ymin),
            min(self.ymax, other.ymax),
        )

    def moved(self, x: int, y: int) -> Box:
        """The part so many pixels further on."""
        return Box(self.xmin + x, self.xmax + x, self.ymin + y, self.ymax + y)

    def grown(self, by: int) -> Box:
        """The part with so many pixels more on each side."""
        return Box(self.xmin - by, self.xmax + by, self.ymin - by, self.ymax + by)

    def united(self, other: Box) -> Box:
        """The smallest part that holds both, either of which may be empty."""
        if other.xmin > other.xmax:
            return self
        if self.xmin > self.xmax:
            return other
        return Box(
            min(self.xmin, other.xmin),
            max(self.xmax, other.xmax),
            min(self.ymin, other.ymin),
            max(self.ymax, other.ymax),
        )

    def rest(self, shape: tuple[int, int]) -> list[Box]:
        """All other pixels of an image of a shape (Ny, Nx), within which this part lies, as at most four parts."""
        whole = Box.whole(shape)
        if self.is_empty:
            return [whole]
        rows = {"ymin": self.ymin, "ymax": self.ymax}
        parts = [
            whole._replace(ymax=self.ymin - 1),
            whole._replace(ymin=self.ymax + 1),
            whole._replace(xmax=self.xmin - 1, **rows),
            whole._replace(xmin=self.xmax + 1, **rows),
        ]
        return [part for part in parts if not part.is_empty]


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Rows of an image (Ny, Nx), some at a time.

    Parameters
    ----------
    shape : tuple of int
        Its shape; what comes behind Nx does not count.
    """
    several = max(1, AT_ONCE // max(1, shape[1]))
    for first in range(0, shape[0], several):
        yield slice(first, min(first + several, shape[0]))

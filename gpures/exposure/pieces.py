"""A spline in pieces, between the nodes of lookup tables: from one to the next the map is smooth, and bent there.

All that is asked of a pixel map are whole pixels. So a piece ends at the pixels to either side of a kink, and in the
piece of one pixel between them there is nothing to be known.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import comb

import numpy as np

from gpures.exposure.whole_move import SUPPORT

__all__ = ["Pieces", "piecewise_spline"]

ORDER = SUPPORT - 1

# Pixels by which a kink that is not quite at a pixel is taken for one there.
AT_PIXEL = 1e-6


@dataclass(frozen=True)
class Pieces:
    """One axis of an image, cut into pieces that are cubics, or less where a piece has no four pixels.

    Attributes
    ----------
    ends : ndarray of int
        Pixels at which pieces end, from the first to the last.
    doubtful : ndarray of int
        Pixels to whose either side there may be a kink, here on this and there on that.
    """

    ends: np.ndarray
    doubtful: np.ndarray

    @classmethod
    def of(cls, first: int, last: int, kinks: np.ndarray, longest: int) -> Pieces:
        """Cut an axis at its kinks, and pieces that are longer than so many pixels into equal ones.

        Parameters
        ----------
        first, last : int
            Pixels.
        kinks : ndarray (n, 2)
            Between which pixels each lies.
        longest : int
            Pixels.
        """
        kinks = np.clip(kinks, first - 1, last + 1)  # however far from the image they may lie
        ends = {first, last}
        low, high = np.floor(kinks[:, 0] + AT_PIXEL), np.ceil(kinks[:, 1] - AT_PIXEL)
        inside = (high > first) & (low < last)
        for begin, end in zip(low[inside], high[inside], strict=True):
            ends.update(range(max(first, int(begin)), min(last, int(end)) + 1))
        cuts = sorted(ends)
        whole = [
            np.round(np.linspace(a, b, max(1, -(-(b - a) // longest)) + 1)).astype(int)[:-1] for a, b in pairwise(cuts)
        ]
        doubtful = [
            np.arange(begin, end + 1)
            for begin, end in zip(np.ceil(kinks[:, 0] + AT_PIXEL), np.floor(kinks[:, 1] - AT_PIXEL), strict=True)
        ]
        known = np.unique(np.concatenate([np.empty(0), *doubtful])).astype(int)
        return cls(np.append(np.concatenate(whole), last), known[(known >= first) & (known <= last)])

    @property
    def lengths(self) -> np.ndarray:
        """Pixels from one end to the next."""
        return np.diff(self.ends)

    @property
    def orders(self) -> np.ndarray:
        """Order of each piece."""
        return np.minimum(self.lengths, ORDER)

    @property
    def begins(self) -> np.ndarray:
        """Number of each piece's first coefficient, and of the very last."""
        return np.append(0, np.cumsum(self.orders))

    @property
    def count(self) -> int:
        """Number of coefficients."""
        return int(self.orders.sum()) + 1

    @property
    def points(self) -> np.ndarray:
        """Pixels through whose values the pieces go, as many as there are coefficients."""
        points = np.empty(self.count, int)
        for begin, length, order, number in zip(self.ends, self.lengths, self.orders, self.begins, strict=False):
            points[number : number + order] = begin + _inner(int(length), int(order))[:-1]
        points[-1] = self.ends[-1]
        return points

    def between(self) -> np.ndarray:
        """Pixels at which the spline is verified: one of each piece that has others than its points.

        It is near the middle, where what goes through points is worst, but moved about so that nothing periodic hides.
        """
        golden = 0.6180339887498949  # its multiples fill an interval evenly
        is_open = self.lengths > ORDER
        begins, lengths = self.ends[:-1][is_open], self.lengths[is_open]
        at = np.round(begins + lengths * (0.38 + 0.24 * (np.arange(begins.size) * golden % 1.0))).astype(int)
        taken = np.isin(at, self.points)
        return np.where(taken, at + 1, at)

    def coefficients(self, values: np.ndarray) -> np.ndarray:
        """Coefficients by values at the points, along the first axis: those of Bernstein polynomials.

        These are positive and add up to one, so the map lies within the range of its coefficients.
        """
        found = values.copy()
        solved: dict[tuple[int, int], np.ndarray] = {}
        for length, order, number in zip(self.lengths.tolist(), self.orders.tolist(), self.begins, strict=False):
            if order < 2:
                continue
            if (length, order) not in solved:
                inner = _inner(length, order) / length
                solved[length, order] = np.linalg.inv(_bernstein(inner, order).T)[1:order]
            found[number + 1 : number + order] = solved[length, order] @ values[number : number + order + 1]
        return found

    def factors(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """For each pixel of an axis the first coefficient that it depends on, and the factors of four: (n,), (4, n)."""
        inside = np.arange(self.ends[0], self.ends[-1] + 1)
        piece = np.clip(np.searchsorted(self.ends, inside, "right") - 1, 0, self.lengths.size - 1)
        start, factors = np.zeros(size, np.int32), np.zeros((SUPPORT, size))
        start[inside] = self.begins[piece]
        within = (inside - self.ends[piece]) / self.lengths[piece]
        for order in range(1, ORDER + 1):
            own = self.orders[piece] == order
            factors[: order + 1, inside[own]] = _bernstein(within[own], order)
        return start, factors


def _inner(length: int, order: int) -> np.ndarray:
    """Pixels of a piece, from its begin, that it goes through: closer to its ends, as suits a polynomial."""
    if length <= ORDER:
        return np.arange(order + 1)
    quarter = round(length / 4)
    return np.array([0, quarter, length - quarter, length])


def _bernstein(at: np.ndarray, order: int) -> np.ndarray:
    """Bernstein polynomials of an order at places from 0 to 1, (order + 1, n)."""
    return np.array([comb(order, k) * at**k * (1.0 - at) ** (order - k) for k in range(order + 1)])


def piecewise_spline(x: Pieces, y: Pieces, shape: tuple[int, int], values: np.ndarray) -> dict[str, np.ndarray]:
    """What `kernels/pixmap.h` evaluates, by values at the points of both axes.

    Parameters
    ----------
    x, y : Pieces
        Of either axis.
    shape : (int, int)
        Shape (Ny, Nx) of the image.
    values : ndarray (y.count, x.count, 2)
        x and y in the output at these points.
    """
    (first_row, row_factors), (first_column, column_factors) = y.factors(shape[0]), x.factors(shape[1])
    # Beyond the last coefficient are some that are read, with factors of 0.
    own = (x.coefficients(y.coefficients(values[..., axis]).T).T for axis in (0, 1))
    of_x, of_y = (np.ascontiguousarray(np.pad(each, (0, SUPPORT), "edge")) for each in own)
    return {
        "coefficients_x": of_x,
        "coefficients_y": of_y,
        "first_row": first_row,
        "first_column": first_column,
        "row_factors": row_factors,
        "column_factors": column_factors,
    }

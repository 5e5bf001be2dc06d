"""One input, as the backends take it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpures.arguments.arrays import got
from gpures.arguments.values import checked_integer
from gpures.box import Box
from gpures.exposure.pixmap import PixelMap
from gpures.exposure.structs import Squared
from gpures.exposure.weights import Weight

__all__ = ["WEIGHTS", "Exposure", "clipped_limits"]

log = logging.getLogger(__name__)

# No names that an array of a model may have.
WEIGHTS = "(weights)"
SQUARED = "(squared {})"


@dataclass
class Exposure:
    """What a backend needs of one exposure.

    Attributes
    ----------
    data : ndarray (Ny, Nx)
        Image. None in a pass over the variances alone.
    pixmap : PixelMap
        Output coordinates of the pixels.
    weight : Weight
        What the pixels' weights are made of.
    limits : Box
        The pixels used.
    context_id : int
        Number of the exposure in the context image.
    dq : ndarray of int (Ny, Nx), optional
        Data quality flags.
    err : ndarray (Ny, Nx), optional
        Error, averaged like the data, or propagated.
    extras : dict of ndarray (Ny, Nx)
        Further arrays, averaged like the data.
    variances : dict of ndarray (Ny, Nx)
        Variances that the exposure has; where they are propagated, NaN for those that it has not.
    unknown : tuple of str
        Names of these.
    squared : list of ndarray (Ny, Nx)
        Arrays that are averaged with squared weights, and scaled by the square of ``iscale``.
    variance_weight : float or None
        Weight of its variances in the mosaic; None for the inverse of the drizzled ``var_rnoise``.
    exposure_time : float
        Seconds.
    effective_time : float
        Seconds that the map of the exposure time gets.
    pixfrac : float
        Linear size of a drop in input pixels.
    pixel_scale_ratio : float
        Output over input pixel scale.
    iscale : float
        Factor to data, error and roots of variances.
    level : float
        Sky subtracted from the data.
    kernel : str, optional
        Its kernel, where that is not the frame's.
    name : str
        What warnings call it.
    """

    data: np.ndarray | None
    pixmap: PixelMap
    weight: Weight
    limits: Box
    context_id: int = 0
    dq: np.ndarray | None = None
    err: np.ndarray | None = None
    extras: dict[str, np.ndarray] = field(default_factory=dict)
    variances: dict[str, np.ndarray] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    squared: list[np.ndarray] = field(default_factory=list)
    variance_weight: float | None = 1.0
    exposure_time: float = 1.0
    effective_time: float = 1.0
    pixfrac: float = 1.0
    pixel_scale_ratio: float = 1.0
    iscale: float = 1.0
    level: float = 0.0
    kernel: str | None = None
    name: str = "an image"

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (Ny, Nx) of the input image."""
        return self.pixmap.shape

    def noise(self, names: Sequence[str]) -> list[tuple[Any, Squared]]:
        """Those arrays that the exposure has, whose sum is the variance of its pixels, and what each is.

        Parameters
        ----------
        names : sequence of str
            Of variance arrays; or "err".
        """
        if tuple(names) == ("err",):
            return [] if self.err is None else [(self.err, Squared.ERRORS)]
        there = [name for name in names if name in self.variances and name not in self.unknown]
        return [(self.variances[name], Squared.VARIANCES) for name in there]

    def arrays(self) -> dict[str, Any]:
        """Its images by name; that of what the weights are made of is ``WEIGHTS``."""
        weight = self.weight.variance if self.weight.weight_map is None else self.weight.weight_map
        arrays = {"data": self.data, "err": self.err, "dq": self.dq, WEIGHTS: weight} | self.extras | self.variances
        arrays |= {SQUARED.format(k): array for k, array in enumerate(self.squared)}
        return {name: array for name, array in arrays.items() if array is not None}


def clipped_limits(limits: tuple, shape: tuple[int, ...], no_limit: int | None = None) -> Box:
    """Limits xmin, xmax, ymin, ymax of the pixels used: None, or beyond the image, means its edge.

    Parameters
    ----------
    limits : tuple
        As a caller gives them.
    shape : tuple
        Of the image; (Ny, Nx) first.
    no_limit : int, optional
        What means the upper edge beside None.

    Raises
    ------
    TypeError
        A limit is not an integer.
    ValueError
        There is no pixel between them.
    """
    names = ("xmin", "xmax", "ymin", "ymax")
    xmin, xmax, ymin, ymax = (
        None if limit is None else checked_integer(limit, name) for limit, name in zip(limits, names, strict=True)
    )
    last_x, last_y = shape[1] - 1, shape[0] - 1
    x0, y0 = max(0, xmin or 0), max(0, ymin or 0)
    x1 = last_x if xmax in (None, no_limit) else min(xmax, last_x)
    y1 = last_y if ymax in (None, no_limit) else min(ymax, last_y)
    if x1 < x0 or y1 < y0:
        raise ValueError(f"'xmax' must be > 'xmin', and 'ymax' > 'ymin', got {got(limits)} for {shape[:2]} pixels.")
    return Box(x0, x1, y0, y1)

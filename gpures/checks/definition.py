"""The definition of drizzling, evaluated in float64 with numpy: what `gpures selftest` compares the backends with.

After Fruchter & Hook 2002, PASP 114, 144, by none of the kernels' formulas: slow, small, and a row of a table for each
pair of an input pixel and an output pixel that it contributes to. Pixel 0 spans -0.5 ... 0.5; `ratio` is the pixel
scale ratio, output over input.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gpures.backend.base import MosaicLayout
from gpures.exposure.exposure import Exposure
from gpures.exposure.pixmap import PixelMap

__all__ = ["EPS", "STEEPEST", "Geometry", "Truth", "rounding"]

EPS = {"f4": float(np.finfo("f4").eps), "f8": float(np.finfo("f8").eps)}

# Roundings, in eps, of one addition to an accumulator: weight, value times scale, their product, old mean times old
# weight, two sums and a quotient, at half an eps each, and one to spare.
PER_ADDITION = 4.0

# Roundings in float64 of one contribution: the exponent of a gaussian, to which its exponential is good, is below 30
# here; corners, slopes, areas, products and sums take some ten each.
FINE = 100.0

# Coordinates pass through some 30 operations, each good to an eps of the frame's side.
COORDINATE = 32.0

# How much a drop's share of a pixel changes, at most, when the drop moves by one pixel: a square's edges inside the
# pixel, and its outline, are 4 pixels long, and its area is 0.8. The other profiles are flatter.
STEEPEST = 10.0

# Overlaps below this are the rounding of none.
TOUCHING = 1e-12

# Errors of a quotient add up while they are small; where more than this is lost nothing is asked of it. The weights of
# Lanczos drops nearly cancel in a few pixels.
LINEAR = 0.01


def rounding(
    contributions: np.ndarray | float, exposures: int, dtype: str, per_contribution: bool
) -> np.ndarray | float:
    """Error of a sum, rounded with each contribution or each exposure, over the sum of its terms' magnitudes.

    Parameters
    ----------
    contributions : ndarray or float
        How many terms the sums have.
    exposures : int
        How many exposures they are of.
    dtype : {"f4", "f8"}
        Type of the sums.
    per_contribution : bool
        Whether they are rounded with each contribution, and not with each exposure.
    """
    return PER_ADDITION * EPS[dtype] * (contributions if per_contribution else exposures)


@dataclass(frozen=True)
class Geometry:
    """A pixel map that is bilinear, so that reading it between pixels is exact.

    Attributes
    ----------
    shape : (int, int)
        Shape (Ny, Nx) of the image.
    at : (float, float)
        Output coordinates of its centre.
    angle, ratio, bend : float
        By which it is turned, in degrees; pixel scale ratio; strength of the distortion.
    mirrored : bool
        Whether x runs the other way.
    """

    shape: tuple[int, int]
    at: tuple[float, float]
    angle: float = 0.0
    ratio: float = 1.0
    bend: float = 0.0
    mirrored: bool = False

    def __call__(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Output coordinates of places in the image."""
        x, y = x - (self.shape[1] - 1) / 2, y - (self.shape[0] - 1) / 2
        x, y = x + self.bend * x * y, y - self.bend * x * y
        c, s = math.cos(math.radians(self.angle)) / self.ratio, math.sin(math.radians(self.angle)) / self.ratio
        return self.at[0] + (-1.0 if self.mirrored else 1.0) * (c * x - s * y), self.at[1] + s * x + c * y

    def pixmap(self) -> PixelMap:
        """The map at the pixels' centres."""
        y, x = np.mgrid[: self.shape[0], : self.shape[1]].astype(float)
        return PixelMap.from_array(np.stack(self(x, y), axis=-1))


def overlap(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Signed area that polygons, corners along the last axis, share with the pixel 0 ... 1.

    It is the integral over x from 0 to 1 of the height of their outline, which is cut at 0 and 1.
    """
    x1, y1 = np.roll(x, -1, axis=-1), np.roll(y, -1, axis=-1)
    left, right = np.clip(x, 0, 1), np.clip(x1, 0, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(x1 == x, 0.0, (y1 - y) / (x1 - x))
    a, b = y + slope * (left - x), y + slope * (right - x)

    def above(level: float) -> np.ndarray:  # mean height above a level, along an edge
        low, high = np.minimum(a, b) - level, np.maximum(a, b) - level
        crossing = (low < 0) & (high > 0)
        triangle = np.clip(high, 0, None) ** 2 / (2 * np.where(crossing, high - low, 1.0))
        return np.where(crossing, triangle, np.where(low >= 0, (low + high) / 2, 0.0))

    return ((right - left) * (above(0) - above(1))).sum(axis=-1)


def factor(kernel: str, x: np.ndarray, i: np.ndarray, ratio: float, pixfrac: float) -> np.ndarray:
    """What a drop at x puts into output pixel i, along one axis."""
    if kernel == "point":
        return (np.floor(x + 0.5) == i).astype(float)
    if kernel == "turbo":
        half = pixfrac / ratio / 2
        return np.clip(np.minimum(x + half, i + 0.5) - np.maximum(x - half, i - 0.5), 0, None) / (2 * half)
    if kernel == "gaussian":  # its full width at half maximum is pixfrac / ratio, to the digits that all share
        half = max(2.5 * pixfrac / 2.3548, 1.2) / ratio
        e = (2.3548 * ratio / pixfrac) ** 2 / 2
        inside = (i >= np.floor(x - half + 0.5)) & (i <= np.floor(x + half + 0.5))
        return np.where(inside, math.sqrt(e / math.pi) * np.exp(-e * (x - i) ** 2), 0.0)
    order = int(kernel[-1])
    d = np.floor(np.abs(x - i) * ratio / 0.003 + 0.5) * 0.003  # read from a table of this step
    return np.where((np.abs(x - i) * ratio <= order) & (d <= order), np.sinc(d) * np.sinc(d / order), 0.0)


def _drops(kernel: str, exposure: Exposure, geometry: Geometry, shape: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """All contributions of an exposure: input row and column, output row and column, share."""
    x0, x1, y0, y1 = exposure.limits
    rows, columns = (grid.ravel() for grid in np.mgrid[y0 : y1 + 1, x0 : x1 + 1])
    x, y = (np.reshape(c, (-1, 1, 1)) for c in geometry(columns, rows))
    around = np.arange(-5.0, 6.0)  # no drop here reaches farther
    i, j = np.floor(x + 0.5) + around, np.floor(y + 0.5) + around[:, None]
    if kernel == "square":
        half = exposure.pixfrac / 2
        corner = np.array([-half, half, half, -half]), np.array([-half, -half, half, half])
        quad = [np.reshape(c, (-1, 1, 1, 4)) for c in geometry(columns[:, None] + corner[0], rows[:, None] + corner[1])]
        (a, b), (c, d) = ((q[..., 2] - q[..., 0], q[..., 3] - q[..., 1]) for q in quad)
        # Both areas are negative where the corners run counter-clockwise.
        share = overlap(quad[0] - i[..., None] + 0.5, quad[1] - j[..., None] + 0.5) / (0.5 * (b * c - a * d))
        share[np.abs(share) < TOUCHING] = 0.0
    else:
        of_drop = geometry.ratio, exposure.pixfrac
        share = factor(kernel, x, i, *of_drop) * factor(kernel, y, j, *of_drop)
    i, j = np.broadcast_arrays(i, j)
    k, *_ = at = np.nonzero((share != 0) & (i >= 0) & (i < shape[1]) & (j >= 0) & (j < shape[0]))
    return rows[k], columns[k], j[tuple(at)].astype(int), i[tuple(at)].astype(int), share[tuple(at)]


def _weights_of(exposure: Exposure) -> np.ndarray:
    """Weights of an exposure's pixels: as given, inverse variances or a constant, where finite and not flagged bad."""
    weight = exposure.weight
    with np.errstate(divide="ignore"):
        w = weight.constant if weight.variance is None else 1.0 / weight.variance.astype(float)
    w = np.broadcast_to(w if weight.weight_map is None else weight.weight_map, exposure.shape)
    is_bad = False if exposure.dq is None else (exposure.dq & weight.bad_bits) != 0
    return np.where(is_bad | ~np.isfinite(w), 0.0, w)


def _sums_of(
    exposure: Exposure,
    shape: tuple[int, int],
    row: np.ndarray,
    column: np.ndarray,
    place: np.ndarray,
    share: np.ndarray,
    weight: np.ndarray,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Sums of an exposure's contributions from input to output pixels, as `Truth.sums` has them, and their number."""

    def image(terms: np.ndarray) -> np.ndarray:
        return np.bincount(place, terms, math.prod(shape)).reshape(shape)

    values = {
        "wht": np.ones(exposure.shape),
        "data": (np.asarray(exposure.data, float) - exposure.level) * exposure.iscale,
        "err": np.asarray(exposure.err, float) * exposure.iscale,
    } | {name: np.sqrt(np.asarray(v, float)) * exposure.iscale for name, v in exposure.variances.items()}
    count = image(np.ones(place.size))
    moved = STEEPEST * COORDINATE * EPS["f8"] * max(shape)
    sums = {}
    for name, value in values.items():
        terms, limits = share * weight * value[row, column], np.abs(weight * value[row, column])
        magnitude = image(np.abs(terms))
        error = (FINE + count) * EPS["f8"] * magnitude + moved * image(limits)
        sums[name] = np.stack([image(terms), magnitude, error])
    return sums, count


class Truth:
    """Images of a mosaic by the definition, and the bounds of a backend's errors.

    Parameters
    ----------
    frame : MosaicLayout
        Of the mosaic.
    exposures : sequence of Exposure
        What is added.
    geometries : sequence of Geometry
        Where the pixels of each exposure lie.

    Attributes
    ----------
    images : dict of ndarray
        "data", "wht", "err", "con", "dq" and the variances, under the names that a backend gives them.
    count : ndarray (Ny, Nx)
        Contributions.
    """

    def __init__(self, frame: MosaicLayout, exposures: Sequence[Exposure], geometries: Sequence[Geometry]):
        zeros = np.zeros(frame.shape)
        self.exposures, self.variance_names = len(exposures), frame.variance_names
        self.count = zeros
        # Of each image: the sum, that of its terms' magnitudes, and the error of its evaluation in float64.
        self.sums = {name: np.zeros((3, *frame.shape)) for name in ("wht", "data", "err")}
        # Largest of an exposure's sums: magnitudes over the sum, and error over the sum.
        self.condition, self.unknown = zeros, zeros
        con, dq = np.zeros((1, *frame.shape), np.uint32), np.zeros(frame.shape, np.uint32)
        wsum, total = dict.fromkeys(frame.variance_names, zeros), zeros

        for exposure, geometry in zip(exposures, geometries, strict=True):
            row, column, j, i, share = _drops(frame.kernel, exposure, geometry, frame.shape)
            weight = _weights_of(exposure)[row, column]
            row, column, j, i, share, weight = (a[weight != 0] for a in (row, column, j, i, share, weight))
            np.bitwise_or.at(
                con[0], (j, i), np.where(share * weight > 0, 1 << exposure.context_id, 0).astype(np.uint32)
            )
            if exposure.dq is not None:
                np.bitwise_or.at(dq, (j, i), exposure.dq[row, column].astype(np.uint32))
            own, count = _sums_of(exposure, frame.shape, row, column, j * frame.shape[1] + i, share, weight)
            self.count = self.count + count
            for name, images in self.sums.items():
                images += own[name]
            with np.errstate(divide="ignore", invalid="ignore"):
                squares = {name: (own[name][0] / own["wht"][0]) ** 2 for name in frame.variance_names}
                t = 1 / squares["var_rnoise"] if exposure.variance_weight is None else exposure.variance_weight
                for name in ("wht", *frame.variance_names):
                    self.condition = np.fmax(self.condition, own[name][1] / np.abs(own[name][0]))
                    self.unknown = np.fmax(self.unknown, own[name][2] / np.abs(own[name][0]))
            t = np.where(count > 0, t, 0.0)
            total = total + t
            for name, square in squares.items():
                wsum[name] = wsum[name] + np.where(count > 0, square, 0.0) * t**2

        wht = self.sums["wht"][0]
        with np.errstate(divide="ignore", invalid="ignore"):
            self.images = {name: self.sums[name][0] / wht for name in ("data", "err")}
            self.images |= {name: image / total**2 for name, image in wsum.items()}
        self.images |= {"wht": wht, "con": con.view(np.int32), "dq": dq}

    def bounds(self, dtype: str, per_contribution: bool) -> dict[str, np.ndarray]:
        """Bounds of the errors of images whose sums have a type; 0 for context and DQ."""
        added = rounding(self.count, self.exposures, dtype, per_contribution)
        error = {name: unknown + added * magnitude for name, (_, magnitude, unknown) in self.sums.items()}
        with np.errstate(divide="ignore", invalid="ignore"):
            bounds = {"wht": error["wht"]}
            wht = np.abs(self.images["wht"])
            lost = error["wht"] > LINEAR * wht
            for name in ("data", "err"):
                bounds[name] = (error[name] + np.abs(self.images[name]) * error["wht"]) / wht
                bounds[name][lost] = math.inf
            # Roots are averaged like the data, over one exposure: from sums in float64 but for the reference. A mean
            # of squares v has four times the error of a sum, t = 1 / v as well, and sum(v t^2) / sum(t)^2 takes v once
            # and t four times.
            of_sum = self.unknown + self.condition * (added if per_contribution else 0.0)
            for name in self.variance_names:
                of_mosaic = 20 * of_sum + PER_ADDITION * self.exposures * EPS[dtype]
                bounds[name] = np.where(of_mosaic < LINEAR, of_mosaic * self.images[name], math.inf)
        return bounds | {"con": np.zeros(()), "dq": np.zeros(())}

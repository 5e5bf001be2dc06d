"""The definition of drizzling, evaluated in float64 with numpy: what the backends are measured against.

Written from the definition (Fruchter & Hook 2002, PASP 114, 144, and the design page's "reference behaviour") and from
nothing in `kernels/`. Slow and small: every (input pixel, output pixel) pair is a row of a table.

Pixel 0 spans -0.5 ... 0.5. `psr` is the pixel scale ratio (output over input), `pf` the pixfrac.
"""

from __future__ import annotations

import functools
import hashlib
import pickle
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from gpures.backend.base import MosaicLayout
from gpures.backend.choice import make_accumulators
from gpures.exposure.exposure import Exposure
from gpures.exposure.pixmap import PixelMap
from gpures.exposure.weights import Weight

FLOAT32_MAX = float(np.finfo(np.float32).max)
LEAST_NORMAL = float(np.finfo(np.float32).tiny)
FWHM_OVER_SIGMA = 2.3548
LANCZOS_STEP = 0.003

# A share of a drop below this is the rounding of an overlap of zero: about 64 eps of float64.
TOUCHING = 1e-14

# A coordinate from here on is none.
FARTHEST = 1e9

# A step longer than the pixel map's `jump`, and so many times as long as those before and after it, crosses a seam.
TIMES_ITS_NEIGHBOURS = 8.0

# A square drop whose area is below this fraction of the square of its extent, width plus height, has none.
LEAST_AREA = 1e-8


@dataclass
class Truth:
    """Images of a mosaic, and what bounds the error of their evaluation.

    Attributes
    ----------
    data, wht, err : ndarray of float64 (Ny, Nx)
        Weighted means (NaN where the weight is 0) and the sum of weights.
    con : ndarray of int32 (planes, Ny, Nx)
    dq : ndarray of uint32 (Ny, Nx)
    variances : dict of ndarray of float64 (Ny, Nx)
        NaN where none contributed.
    count : ndarray of int (Ny, Nx)
        Contributions.
    abs_wht, abs_data, abs_err : ndarray of float64 (Ny, Nx)
        Sums of |weight|, |weight * value|: rounding errors are relative to these.
    moved_wht, moved_data, moved_err : ndarray of float64 (Ny, Nx)
        How much the sums of weights, and of |weight * value|, may change if all drops move by one output pixel, to
        first order: the rounding of coordinates is multiplied with these.
    condition, moved : ndarray of float64 (Ny, Nx)
        Largest over the exposures of sum |terms| / |sum of terms|, and of change / |sum of terms|, of the weights and
        of the roots of variances.
    unsure : ndarray of bool (Ny, Nx)
        Some contribution, or its profile, or the mean root of a variance, lies in float32's subnormal range, where
        digits or all of it may be lost.
    """

    data: np.ndarray
    wht: np.ndarray
    err: np.ndarray
    con: np.ndarray
    dq: np.ndarray
    variances: dict[str, np.ndarray]
    count: np.ndarray
    abs_wht: np.ndarray
    abs_data: np.ndarray
    abs_err: np.ndarray
    moved_wht: np.ndarray
    moved_data: np.ndarray
    moved_err: np.ndarray
    condition: np.ndarray
    moved: np.ndarray
    unsure: np.ndarray


# ---- geometry ------------------------------------------------------------------------------------------------------


def nint(x):
    """Output pixel that holds a coordinate."""
    return np.floor(x + 0.5)


def bilinear(pixmap: np.ndarray, x, y):
    """Pixel map at fractional input positions; beyond the outermost centres the outermost cell is continued."""
    ny, nx = pixmap.shape[:2]
    i = np.clip(np.floor(x), 0, nx - 2).astype(int)
    j = np.clip(np.floor(y), 0, ny - 2).astype(int)
    fx, fy = (x - i)[..., None], (y - j)[..., None]
    lower = (1 - fx) * pixmap[j, i] + fx * pixmap[j, i + 1]
    upper = (1 - fx) * pixmap[j + 1, i] + fx * pixmap[j + 1, i + 1]
    return (1 - fy) * lower + fy * upper


def shoelace(polygons: np.ndarray) -> np.ndarray:
    """Signed area of polygons (n, m, 2): positive where the corners run counter-clockwise (y upwards)."""
    p = polygons - polygons[:, :1]
    q = np.roll(p, -1, axis=1)
    return 0.5 * (p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]).sum(axis=1)


def cut(polygons: np.ndarray, axis: int, bound: np.ndarray, side: float) -> np.ndarray:
    """Cut polygons (n, m, 2) at a line per polygon, keeping what lies on its side: (n, 2m, 2).

    Sutherland & Hodgman's way, for all at once: each edge gives its start and the point where it crosses the line. A
    corner beyond the line moves straight onto it, where it adds no area.
    """
    following = np.roll(polygons, -1, axis=1)
    bound = bound[:, None]
    a, b = side * (polygons[..., axis] - bound), side * (following[..., axis] - bound)
    crosses = (a < 0) != (b < 0)
    t = np.where(crosses, a / np.where(crosses, a - b, 1.0), 0.0)
    kept = polygons.copy()
    kept[..., axis] = np.where(a < 0, bound, polygons[..., axis])
    crossing = polygons + t[..., None] * (following - polygons)
    crossing[..., axis] = bound
    crossing = np.where(crosses[..., None], crossing, kept)
    return np.stack([kept, crossing], axis=2).reshape(len(polygons), -1, 2)


def overlap(quads: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Signed area that quadrilaterals (n, 4, 2) share with output pixels (i, j)."""
    origin = quads[:, :1]
    polygons = quads - origin
    for axis, centre in ((0, i), (1, j)):
        polygons = cut(polygons, axis, (centre - 0.5) - origin[:, 0, axis], +1.0)
        polygons = cut(polygons, axis, (centre + 0.5) - origin[:, 0, axis], -1.0)
    return shoelace(polygons)


def pairs(first_x, last_x, first_y, last_y, shape):
    """All (number of the drop, i, j) with output pixels from first to last that lie in the frame."""
    ny, nx = shape
    x0, x1 = np.clip(first_x, 0, nx), np.clip(last_x, -1, nx - 1)
    y0, y1 = np.clip(first_y, 0, ny), np.clip(last_y, -1, ny - 1)
    k, i, j = [], [], []
    for drop in np.flatnonzero((x0 <= x1) & (y0 <= y1)):  # not NaN, either
        at_i, at_j = np.meshgrid(np.arange(x0[drop], x1[drop] + 1), np.arange(y0[drop], y1[drop] + 1))
        k.append(np.full(at_i.size, drop))
        i.append(at_i.ravel())
        j.append(at_j.ravel())
    if not k:
        return (np.zeros(0, int),) * 3
    return tuple(np.concatenate(part).astype(int) for part in (k, i, j))


# ---- pixels without some of their neighbours -----------------------------------------------------------------------


class Neighbours:
    """Which pixels of a map are neighbours in the output."""

    def __init__(self, pixmap: PixelMap):
        self.full, self.period, self.jump = pixmap.array(), np.array(pixmap.period), pixmap.jump

    def step(self, start, end):
        """Step between the centres of two pixels (i, j), the short way round; None if one of them is nowhere."""
        ny, nx = self.full.shape[:2]
        if not all(0 <= i < nx and 0 <= j < ny for i, j in (start, end)):
            return None
        start, end = self.full[start[1], start[0]], self.full[end[1], end[0]]
        if not (np.abs([start, end]) < FARTHEST).all():
            return None
        step = end - start
        turns = np.divide(step, self.period, out=np.zeros(2), where=self.period > 0)
        return step - np.floor(turns + 0.5) * self.period

    def around(self, i: int, j: int) -> np.ndarray:
        """Steps (3, 3, 2) to the centres around a pixel, by row and column; NaN to those that are no neighbours."""
        steps = np.full((3, 3, 2), np.nan)
        steps[1, 1] = 0.0
        for y, x in np.ndindex(3, 3):
            there = np.array([x - 1, y - 1])
            if not there.any():
                continue
            before, step, after = (
                self.step(np.array([i, j]) + k * there, np.array([i, j]) + (k + 1) * there) for k in (-1, 0, 1)
            )
            beside = [np.abs(other).max() for other in (before, after) if other is not None]
            if step is None:
                continue
            length = np.abs(step).max()
            if length > self.jump and beside and length > TIMES_ITS_NEIGHBOURS * max(beside):
                continue
            steps[y, x] = step
        return steps


def steps_along(line: np.ndarray) -> list:
    """Steps between neighbours of three centres in a line; half of that between the ends, twice, if only they are."""
    known = np.isfinite(line).all(axis=1)
    if known[0] and known[2] and not known[1]:
        return [(line[2] - line[0]) / 2] * 2
    return [line[k + 1] - line[k] for k in (0, 1) if known[k] and known[k + 1]]


def mean_step(lines: np.ndarray):
    """Step from one centre to the next along the middle one of three lines, or else along those beside it."""
    steps = steps_along(lines[1]) or steps_along(lines[0]) + steps_along(lines[2])
    return np.mean(steps, axis=0) if steps else None


def completed(steps: np.ndarray, size: float) -> np.ndarray:
    """Steps around a pixel (3, 3, 2) without NaN: those that are missing are continued from the others.

    Along each axis linearly; as an edge of the image is, whose outermost cell is continued: by the twist of the cell
    beside the missing one, else of the opposite one. A pixel without a neighbour along one axis is as wide as it is
    high, and one without any has a given size.
    """
    known = np.isfinite(steps).all(axis=2)
    along_x, along_y = mean_step(steps), mean_step(steps.transpose(1, 0, 2))
    right_angle = np.array([[0.0, -1.0], [1.0, 0.0]])
    if along_x is None and along_y is None:
        # A square whose diagonals lead to what there is.
        corners = [(x, y) for x in (-1, 1) for y in (-1, 1) if known[1 + y, 1 + x]]
        to_side = [np.linalg.inv(x * np.eye(2) + y * right_angle) @ steps[1 + y, 1 + x] for x, y in corners]
        along_x = np.mean(to_side, axis=0) if corners else np.array([size, 0.0])
    if along_x is None:
        along_x = right_angle.T @ along_y
    if along_y is None:
        along_y = right_angle @ along_x
    full = steps.copy()
    for sign in (-1, 1):
        if not known[1, 1 + sign]:
            full[1, 1 + sign] = sign * along_x
        if not known[1 + sign, 1]:
            full[1 + sign, 1] = sign * along_y

    def twists(x, y):
        if not (known[1, 1 + x] and known[1 + y, 1] and known[1 + y, 1 + x]):
            return []
        return [x * y * (steps[1 + y, 1 + x] - steps[1, 1 + x] - steps[1 + y, 1])]

    for x in (-1, 1):
        for y in (-1, 1):
            if known[1 + y, 1 + x]:
                continue
            twist = twists(-x, y) + twists(x, -y) or twists(-x, -y)
            full[1 + y, 1 + x] = full[1, 1 + x] + full[1 + y, 1] + x * y * (np.mean(twist, axis=0) if twist else 0.0)
    return full


# ---- drops ---------------------------------------------------------------------------------------------------------


def quads_of(exposure, i_in, j_in):
    """Corners (n, 4, 2) of square drops; NaN where a pixel has no coordinates."""
    pixmap, half = exposure.pixmap.array(), exposure.pixfrac / 2
    signs = ((-half, +half), (+half, +half), (+half, -half), (-half, -half))
    neighbours = Neighbours(exposure.pixmap)
    there = (np.abs(pixmap) < FARTHEST).all(axis=2)
    quads = np.full((len(i_in), 4, 2), np.nan)
    if min(pixmap.shape[:2]) > 1:
        full = np.where(there[..., None], pixmap, np.nan)
        quads = np.stack([bilinear(full, i_in + dx, j_in + dy) for dx, dy in signs], axis=1)
    quads[~there[j_in, i_in]] = np.nan
    everywhere = min(there.shape) < 2 or exposure.pixmap.jump < np.inf or any(exposure.pixmap.period)
    for k, (i, j) in enumerate(zip(i_in, j_in, strict=True)):
        # At an edge of the image the map is read beyond it.
        around = there[max(j - 1, 0) : j + 2, max(i - 1, 0) : i + 2]
        if there[j, i] and (everywhere or not around.all()):
            steps = completed(neighbours.around(i, j), 1.0 / exposure.pixel_scale_ratio)
            quads[k] = pixmap[j, i] + np.stack([bilinear(steps, *np.array([[1 + x], [1 + y]]))[0] for x, y in signs])
    return quads


def square(exposure, quads, shape):
    """Quadrilaterals through the pixel map: signed overlap over signed area.

    Moving a corner by d changes an overlap by d times the length of its two edges inside the pixel, at most.
    """
    low, high = quads.min(axis=1), quads.max(axis=1)
    is_flat = np.abs(shoelace(quads)) <= LEAST_AREA * (high - low).sum(axis=1) ** 2
    quads = np.where(is_flat[:, None, None], np.nan, quads)
    low, high = quads.min(axis=1), quads.max(axis=1)
    k, i, j = pairs(nint(low[:, 0]), nint(high[:, 0]), nint(low[:, 1]), nint(high[:, 1]), shape)
    if not k.size:
        return k, i, j, np.zeros(0), np.zeros(0)
    area = shoelace(quads)[k]
    profile = overlap(quads[k], i, j) / area
    # Overlaps are as good as the area of the bounding box.
    profile[np.abs(profile) < TOUCHING * np.prod((high - low)[k], axis=1) / np.abs(area)] = 0.0
    length = np.abs(np.diff(quads, axis=1, append=quads[:, :1])).sum(axis=(1, 2))[k]
    return k, i, j, profile, np.minimum(length, 4.0) / np.abs(area) + length * np.abs(profile / area)


def point(exposure, centres, shape):
    """All of the weight into the pixel that holds the centre."""
    x, y = centres.T
    k, i, j = pairs(nint(x), nint(x), nint(y), nint(y), shape)
    return k, i, j, np.ones(k.size), np.zeros(k.size)


def turbo(exposure, centres, shape):
    """Axis-aligned box: overlap over its area."""
    x, y = centres.T
    half = exposure.pixfrac / (2 * exposure.pixel_scale_ratio)
    k, i, j = pairs(nint(x - half), nint(x + half), nint(y - half), nint(y + half), shape)
    shared = [
        np.clip(np.minimum(c[k] + half, o + 0.5) - np.maximum(c[k] - half, o - 0.5), 0, None)
        for c, o in ((x, i), (y, j))
    ]
    return k, i, j, shared[0] * shared[1] / (2 * half) ** 2, (shared[0] + shared[1]) / (2 * half) ** 2


def gaussian(exposure, centres, shape):
    """Gaussian sampled at the pixel centres."""
    x, y = centres.T
    psr, pf = exposure.pixel_scale_ratio, exposure.pixfrac
    half = max(2.5 * pf / (FWHM_OVER_SIGMA * psr), 1.2 / psr)
    e = FWHM_OVER_SIGMA**2 * psr**2 / (2 * pf**2)
    k, i, j = pairs(nint(x - half), nint(x + half), nint(y - half), nint(y + half), shape)
    dx, dy = x[k] - i, y[k] - j
    profile = e / np.pi * np.exp(-e * (dx**2 + dy**2))
    return k, i, j, profile, 2 * e * (np.abs(dx) + np.abs(dy)) * profile


def lanczos(order):
    """Lanczos window, read from a table at the nearest entry."""

    def profile(exposure, centres, shape):
        x, y = centres.T
        psr = exposure.pixel_scale_ratio
        half = order / psr
        first, last = (lambda c: np.floor(c - half) + 1), (lambda c: np.floor(c + half))
        k, i, j = pairs(first(x), last(x), first(y), last(y), shape)
        factors = []
        for c, o in ((x, i), (y, j)):
            d = np.floor(np.abs(c[k] - o) * psr / LANCZOS_STEP + 0.5) * LANCZOS_STEP
            factors.append(np.where(d > order, 0.0, np.sinc(d) * np.sinc(d / order)))
        # Near its zeros a sine has absolute, not relative, accuracy.
        return k, i, j, factors[0] * factors[1], np.abs(factors[0]) + np.abs(factors[1])

    return profile


PROFILES = {
    "square": square,
    "point": point,
    "turbo": turbo,
    "gaussian": gaussian,
    "lanczos2": lanczos(2),
    "lanczos3": lanczos(3),
}


# ---- mosaic --------------------------------------------------------------------------------------------------------


def weights_of(exposure) -> np.ndarray:
    """Weight of every input pixel: given, inverse variance or a constant; 0 where not finite or not good.

    Given ones are multiplied by the constant, and are the largest float32 at most.
    """
    weight = exposure.weight
    if weight.weight_map is not None:
        w = np.array(weight.weight_map, float)
        w = np.where(np.abs(w) <= FLOAT32_MAX, np.clip(w * weight.constant, -FLOAT32_MAX, FLOAT32_MAX), 0.0)
    elif weight.variance is not None:
        with np.errstate(divide="ignore", over="ignore"):
            w = 1.0 / np.array(weight.variance, float)
    else:
        w = np.full(exposure.shape, float(weight.constant))
    w[~(np.abs(w) <= FLOAT32_MAX)] = 0.0
    if exposure.dq is not None:
        bits = np.array([int(v) & weight.bad_bits for v in np.ravel(exposure.dq)], dtype=object)
        w[(bits != 0).reshape(w.shape)] = 0.0
    return w


def turns(exposure):
    """Shifts (x, y) by some periods of the output both ways, where that has any."""
    numbers = [range(-2, 3) if period else (0,) for period in exposure.pixmap.period]
    return [np.multiply((x, y), exposure.pixmap.period) for x in numbers[0] for y in numbers[1]]


class _Terms:
    """Contributions of one exposure, one per row."""

    def __init__(self, exposure, frame):
        xmin, xmax, ymin, ymax = exposure.limits
        j_in, i_in = (g.ravel() for g in np.mgrid[ymin : ymax + 1, xmin : xmax + 1])
        weight = weights_of(exposure)[j_in, i_in]
        places = quads_of(exposure, i_in, j_in) if frame.kernel == "square" else exposure.pixmap.array()[j_in, i_in]
        found = [PROFILES[frame.kernel](exposure, places + by, frame.shape) for by in turns(exposure)]
        k, i, j, profile, slope = (np.concatenate(parts) for parts in zip(*found, strict=True))
        dow = profile * weight[k]
        self.shape = frame.shape
        self.unsure = np.zeros(frame.shape, bool)
        least, most = np.minimum(np.abs(dow), np.abs(profile)), np.maximum(np.abs(dow), np.abs(profile))
        subnormal = (least < LEAST_NORMAL) & (most > 2.0**-150) & (dow != 0)
        self.unsure[j[subnormal], i[subnormal]] = True
        keep = dow.astype(np.float32) != 0  # what float32 cannot tell from zero is no contribution
        self.dow, self.i, self.j = dow[keep], i[keep], j[keep]
        self.slope = np.abs(slope * weight[k])[keep]
        self.row, self.column = j_in[k[keep]], i_in[k[keep]]

    def image(self, terms) -> np.ndarray:
        """Sum of terms over the contributions to each output pixel."""
        image = np.zeros(self.shape)
        np.add.at(image, (self.j, self.i), terms)
        return image

    def sums(self, value):
        """Weighted sum of a value, sum of the magnitudes, and change when drops move by one pixel."""
        return (
            self.image(self.dow * value),
            self.image(np.abs(self.dow * value)),
            self.image(self.slope * np.abs(value)),
        )

    def union(self, bits) -> np.ndarray:
        """Bitwise OR of the contributions' bits."""
        image = np.zeros(self.shape, np.uint32)
        np.bitwise_or.at(image, (self.j, self.i), bits)
        return image

    def of(self, array) -> np.ndarray:
        """Values of an input array, for each contribution."""
        return np.asarray(array)[self.row, self.column]


# Bytes of what is remembered.
MOST_REMEMBERED = 1 << 28


def remembered(evaluate):
    """Evaluate the same scene once, as each backend in turn is compared with it."""
    known: dict[bytes, bytes] = {}

    @functools.wraps(evaluate)
    def of(exposures, frame, *further):
        if further:
            return evaluate(exposures, frame, *further)
        of_frame = frame.shape, frame.kernel, frame.variance_names, frame.context_planes  # all that is asked of it here
        scene = hashlib.sha256(pickle.dumps((exposures, of_frame))).digest()
        if scene not in known:
            if sum(map(len, known.values())) > MOST_REMEMBERED:
                known.clear()
            known[scene] = pickle.dumps(evaluate(exposures, frame))
        return pickle.loads(known[scene])

    return of


@remembered
def coadd(exposures, frame) -> Truth:
    """Drizzle `Exposure` objects onto a `MosaicLayout`."""

    def zeros():
        return np.zeros(frame.shape)

    sums = {name: (zeros(), zeros(), zeros()) for name in ("wht", "data", "err")}  # sum, of magnitudes, of changes
    of_variances = {name: (zeros(), zeros()) for name in frame.variance_names}
    count = np.zeros(frame.shape, int)
    condition, moved = np.ones(frame.shape), zeros()
    unsure = np.zeros(frame.shape, bool)
    dq = np.zeros(frame.shape, np.uint32)
    planes = max([frame.context_planes] + [e.context_id // 32 + 1 for e in exposures])
    con = np.zeros((planes, *frame.shape), np.uint32)

    for exposure in exposures:
        terms = _Terms(exposure, frame)
        values = {"wht": np.ones(terms.dow.size)}
        values["data"] = (terms.of(exposure.data).astype(float) - exposure.level) * exposure.iscale
        if exposure.err is not None:
            values["err"] = terms.of(exposure.err).astype(float) * exposure.iscale
        for name, value in values.items():
            for image, new in zip(sums[name], terms.sums(value), strict=True):
                image += new
        count += terms.image(np.ones(terms.dow.size)).astype(int)
        bit = np.where(terms.dow > 0, np.uint32(1 << (exposure.context_id % 32)), np.uint32(0))
        con[exposure.context_id // 32] |= terms.union(bit)
        if exposure.dq is not None:
            bits = min(32, 8 * exposure.dq.dtype.itemsize)  # those of its type, the sign's among them
            flags = [int(v) & ((1 << bits) - 1) for v in terms.of(exposure.dq)]
            dq |= terms.union(np.array(flags, dtype=np.uint32))
        for worst in _add_variances(exposure, terms, of_variances):
            condition, moved = np.fmax(condition, worst[0]), np.fmax(moved, worst[1])
        unsure |= terms.unsure

    with np.errstate(invalid="ignore", divide="ignore"):
        variances = {name: wsum / wt / wt for name, (wsum, wt) in of_variances.items()}
        mean = {name: np.where(count > 0, sums[name][0] / sums["wht"][0], np.nan) for name in ("data", "err")}
    return Truth(
        data=mean["data"],
        wht=sums["wht"][0],
        err=mean["err"],
        con=con.view(np.int32),
        dq=dq,
        variances=variances,
        count=count,
        **{f"abs_{name}": image[1] for name, image in sums.items()},
        **{f"moved_{name}": image[2] for name, image in sums.items()},
        condition=condition,
        moved=moved,
        unsure=unsure,
    )


@remembered
def coadd_squared(exposures, frame, arrays_of=lambda e: e.squared) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Averages with squared weights, sum(w^2 x) / sum(w)^2 with all w and x of the exposures' pairs.

    Gives for each of `Exposure.squared`, or of other arrays, the average (NaN without weight), the same of magnitudes,
    and its change when the drops move by an output pixel.
    """
    total = np.zeros(frame.shape)
    sums = [[np.zeros(frame.shape) for _ in range(3)] for _ in arrays_of(exposures[0])]
    for exposure in exposures:
        terms = _Terms(exposure, frame)
        total += terms.image(terms.dow)
        for images, array in zip(sums, arrays_of(exposure), strict=True):
            value = terms.of(array).astype(float) * exposure.iscale**2
            size = np.where(np.isfinite(value), np.abs(value), 0.0)
            images[0] += terms.image(terms.dow**2 * value)
            images[1] += terms.image(terms.dow**2 * size)
            images[2] += terms.image(2 * np.abs(terms.dow) * size * terms.slope)
    with np.errstate(invalid="ignore", divide="ignore"):
        return [tuple(image / total / total for image in images) for images in sums]


def propagated(exposures, frame) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The variances of the data, if the pixels' noise is independent, as `coadd_squared`; and that by the errors."""

    def arrays_of(exposure):
        err = None if exposure.err is None else np.where(exposure.err < 0, np.nan, np.asarray(exposure.err, float) ** 2)
        variances = [exposure.variances[name] for name in frame.variance_names]
        return [np.where(v < 0, np.nan, v) for v in variances] + ([] if err is None else [err])

    names = [*frame.variance_names, "err"]
    return dict(zip(names, coadd_squared(exposures, frame, arrays_of), strict=False))


def operator(exposure, frame, values=None):
    """What each input pixel (column) contributes to each output pixel (row): a sparse matrix of its weights."""
    terms = _Terms(exposure, frame)
    width = exposure.pixmap.shape[1]
    where = terms.j * frame.shape[1] + terms.i, terms.row * width + terms.column
    size = frame.shape[0] * frame.shape[1], exposure.pixmap.shape[0] * width
    return sparse.csr_array((terms.dow if values is None else values(terms), where), size)


def covariances(exposures, frame, variances):
    """Covariances of output pixels, W diag(v) W^T over the sums of weights of both, with the exposures' variances.

    Gives them as a function of a lag (dy, dx), which makes an image; each as `coadd_squared` does: of the covariance,
    of magnitudes, and its change when the drops move by an output pixel.
    """
    ny, nx = frame.shape
    total, moved = np.zeros(ny * nx), 0.0
    sums = [sparse.csr_array((ny * nx, ny * nx)) for _ in range(3)]
    for exposure, variance in zip(exposures, variances, strict=True):
        weights = operator(exposure, frame)
        slopes = operator(exposure, frame, lambda terms: terms.slope)
        total += weights.sum(axis=1)
        v = np.asarray(variance, float).ravel() * exposure.iscale**2
        size = sparse.diags_array(np.where(np.isfinite(v), np.abs(v), 0.0))
        moved = np.abs(weights) @ size @ slopes.T
        more = weights @ sparse.diags_array(v) @ weights.T, np.abs(weights) @ size @ np.abs(weights).T, moved + moved.T
        sums = [image + new for image, new in zip(sums, more, strict=True)]
    with np.errstate(divide="ignore"):
        per_weight = np.where(total == 0, np.nan, 1 / total)

    def at(dy, dx):
        y, x = (grid.ravel() for grid in np.mgrid[:ny, :nx])
        there = (y + dy < ny) & (x + dx >= 0) & (x + dx < nx)
        own = np.flatnonzero(there)
        other = own + dy * nx + dx
        images = np.full((3, ny * nx), np.nan)
        for image, matrix in zip(images, sums, strict=True):
            image[own] = matrix[own, other] * per_weight[own] * per_weight[other]
        images[1:] = np.abs(images[1:])
        return images.reshape(3, ny, nx)

    return at


def _add_variances(exposure, terms: _Terms, of_variances: dict):
    """Average the roots like the data, square, and add with squared weights.

    Yields, for the sum of weights and for that of each root, sum |terms| / |sum| and change / |sum|.
    """
    drizzled = {}
    wht, *magnitudes = terms.sums(np.ones(terms.dow.size))
    with np.errstate(invalid="ignore", divide="ignore"):
        yield [magnitude / np.abs(wht) for magnitude in magnitudes]
        for name, variance in exposure.variances.items():
            root, *magnitudes = terms.sums(np.sqrt(terms.of(variance).astype(float)) * exposure.iscale)
            drizzled[name] = (root / wht) ** 2
            terms.unsure |= (root != 0) & (np.abs(root / wht) < LEAST_NORMAL)
            yield [magnitude / np.abs(root) for magnitude in magnitudes]
        if exposure.variance_weight is None:
            rnoise = drizzled["var_rnoise"]
            t = np.where((rnoise > 0) & np.isfinite(rnoise), 1.0 / rnoise, 0.0)
        else:
            t = np.full(terms.shape, float(exposure.variance_weight))
        for name, v in drizzled.items():
            use = (v >= 0) & np.isfinite(v) & (t > 0)
            of_variances[name][0][use] += v[use] * t[use] ** 2
            of_variances[name][1][use] += t[use]


# ---- small exposures to try it on ----------------------------------------------------------------------------------


def reach(kernel: str, pixfrac: float, psr: float) -> float:
    """How far from its centre a drop may put weight, in output pixels."""
    size = {
        "square": pixfrac,
        "point": 0.0,
        "turbo": pixfrac / 2,
        "gaussian": max(2.5 * pixfrac / FWHM_OVER_SIGMA, 1.2),
        "lanczos2": 2.0,
        "lanczos3": 3.0,
    }
    return size[kernel] / psr + 1.0


def frame_side(shape, psr: float, kernel: str = "square", pixfrac: float = 1.0, margin: int = 8) -> int:
    """Side of a square frame that holds an image at any angle, its drops, and a margin that the reference needs."""
    return int(np.hypot(*shape) / psr + 2 * reach(kernel, pixfrac, psr) + 2 * margin)


def pixel_map(shape, at, psr: float = 1.0, angle: float = 0.0, flip: bool = False, warp: float = 0.0) -> np.ndarray:
    """Pixel map (Ny, Nx, 2): an image turned by an angle (degrees) about its centre, which is put at (x, y).

    `flip` mirrors it; `warp` bends it, by that many output pixels at the corners of a 20 x 20 image.
    """
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    x, y = x - (shape[1] - 1) / 2, y - (shape[0] - 1) / 2
    x, y = x + warp / 100 * x * y, y + warp / 100 * (x**2 - y**2) / 2
    c, s = np.cos(np.radians(angle)) / psr, np.sin(np.radians(angle)) / psr
    x, y = c * x - s * y, s * x + c * y
    return np.stack([(-x if flip else x) + at[0], y + at[1]], axis=-1)


def exposure(data, pixmap, **settings) -> Exposure:
    """An `Exposure` of the whole image; weight 1 unless a `Weight` is given."""
    data = np.asarray(data)
    settings.setdefault("weight", Weight())
    settings.setdefault("limits", (0, data.shape[1] - 1, 0, data.shape[0] - 1))
    return Exposure(data, PixelMap.from_array(pixmap), **settings)


def run(backend: str, frame: MosaicLayout, exposures, scaling: float = 1.0) -> dict:
    """Images of a mosaic on a backend, the variances among them."""
    accumulators = make_accumulators(backend, frame)
    for e in exposures:
        accumulators.add(e)
    images = dict(accumulators.images())
    return images | accumulators.finish_variances(scaling)

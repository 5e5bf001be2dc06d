"""Whole scenes drawn at random: a frame, and exposures of any size, geometry, weights, types and layout in memory.

Hypothesis chooses what kinds of things a scene is made of; the numbers in it come from a seed that it chooses too. So
scenes that fail shrink to few kinds, and edges do not lie on edges by chance, where the last bit decides (for those see
test_overlap.py).
"""

from __future__ import annotations

import tempfile
from dataclasses import replace

import numpy as np
import oracle
from hypothesis import assume
from hypothesis import strategies as st

from gpures.backend.base import MosaicLayout
from gpures.exposure.drops import KERNELS
from gpures.exposure.exposure import Exposure
from gpures.exposure.weights import Weight

FLOATS = ("<f4", ">f4", "<f8", ">f8")
INTEGERS = ("i1", "u1", "<i2", ">i2", "<u2", ">u2", "<i4", ">i4", "<u4", ">u4", "<i8", ">i8", "<u8", ">u8")
LAYOUTS = ("C", "F", "reversed", "strided", "field", "memory-mapped", "transposed view")
VARIANCES = ("var_rnoise", "var_flat")

#: Sides of images; and how many pixels they may have, as the oracle holds every pair of pixels.
LONGEST, MOST_PIXELS = 70, 600

#: What a pixel map is made of, and what becomes of it.
DAMAGE = ("none", "NaN", "infinite", "far away", "a row and a column", "all but some", "none left")
SQUARE = ("turned", "mirrored", "along axes")
MATRICES = (*SQUARE, "sheared", "flat")
BENDS = ("none", "quadratic", "cubic", "fold", "wrinkles", "one line")


def laid_out(array, layout):
    """The same values, lying otherwise in memory, and read-only."""
    if layout == "C":
        form = array.copy()
    elif layout == "F":
        form = np.asfortranarray(array)
    elif layout == "reversed":
        form = array[::-1, ::-1].copy()[::-1, ::-1]
    elif layout == "strided":
        form = np.zeros((3 * array.shape[0], 2 * array.shape[1]), array.dtype)[1::3, ::2]
        form[:] = array
    elif layout == "field":  # of a packed structure: not aligned to its own size
        form = np.zeros(array.shape, [("flag", "u1"), ("value", array.dtype)])["value"]
        form[:] = array
    elif layout == "memory-mapped":
        with tempfile.TemporaryFile() as file:
            file.write(b"head" + array.tobytes())
            file.flush()
            form = np.memmap(file, array.dtype, "r", offset=4, shape=array.shape)
    else:
        form = array.T.copy()[::-1].T[:, ::-1]
    form.flags.writeable = False
    assert form.dtype == array.dtype
    return form


class Scene:
    """What is drizzled onto what; it says so in short."""

    def __init__(self, frame: MosaicLayout, exposures: list[Exposure]):
        self.frame, self.exposures = frame, exposures

    def __repr__(self):
        return f"{self.frame.kernel} onto {self.frame.shape}: " + ", ".join(
            f"{e.shape} within {e.limits}, pixfrac {e.pixfrac:.3g}, ratio {e.pixel_scale_ratio:.3g}"
            for e in self.exposures
        )


@st.composite
def shapes(draw):
    """Shapes of images: sides from 1 to LONGEST, as long as that is not too many pixels."""
    long = draw(st.integers(1, LONGEST))
    short = draw(st.integers(1, min(LONGEST, MOST_PIXELS // long)))
    return (long, short) if draw(st.booleans()) else (short, long)


# ---- geometry ------------------------------------------------------------------------------------------------------


def affine(rng, kind):
    """Matrix from input to output pixels."""
    turn, scale = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(-0.7, 0.7))
    turned = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    if kind == "mirrored":
        return turned @ np.diag([-1.0, 1.0])
    if kind == "sheared":
        return turned @ (np.eye(2) + rng.uniform(-1.0, 1.0, (2, 2)))
    if kind == "flat":  # to a line, and a thousandth beside it
        return turned @ np.diag([1.0, 1e-3])
    if kind == "along axes":
        return scale * np.array([[0.0, -1.0], [1.0, 0.0]]) if rng.random() < 0.5 else scale * np.eye(2)
    return turned


def bent(rng, kind, x, y):
    """Coordinates in an image, -1 to 1, moved by a few of its pixels' widths."""
    if kind in ("quadratic", "cubic"):
        a = rng.uniform(-0.2, 0.2, (2, 7))
        terms = [x * y, x * x, y * y] + ([x**3, x * x * y, x * y * y, y**3] if kind == "cubic" else [])
        return (c + sum(f * t for f, t in zip(of, terms, strict=False)) for c, of in zip((x, y), a, strict=True))
    if kind == "fold":
        turn, at = rng.uniform(0, 2 * np.pi), rng.uniform(-0.4, 0.4)
        u, v = np.cos(turn) * x + np.sin(turn) * y, -np.sin(turn) * x + np.cos(turn) * y
        u = np.abs(u - at)
        return np.cos(turn) * u - np.sin(turn) * v, np.sin(turn) * u + np.cos(turn) * v
    if kind == "wrinkles":
        return x + 0.1 * np.sin(9 * y + rng.uniform(0, 6)), y + 0.1 * np.sin(9 * x + rng.uniform(0, 6))
    if kind == "one line":
        return x, 0.0 * y + 1e-4 * rng.normal(size=np.shape(y))
    return x, y


def damaged(rng, kind, pixmap):
    """A pixel map some of whose coordinates are none."""
    ny, nx = pixmap.shape[:2]
    where = rng.random((ny, nx)) < 0.1
    axis = rng.integers(0, 2)
    if kind == "NaN":
        pixmap[where] = np.nan
    elif kind == "infinite":
        pixmap[where, axis] = rng.choice([np.inf, -np.inf], where.sum())
    elif kind == "far away":
        far = [1e9, -1e9, 2.0**31, -(2.0**31), 2.0**62, -1e300, 1.7e308]
        pixmap[where, axis] = rng.choice(far, where.sum())
    elif kind == "a row and a column":
        pixmap[rng.integers(ny)] = np.nan
        pixmap[:, rng.integers(nx)] = np.nan
    elif kind == "all but some":
        pixmap[rng.random((ny, nx)) < 0.7] = np.nan
    elif kind == "none left":
        pixmap[:] = np.nan
    return pixmap


def pixel_map(rng, shape, frame_shape, matrix, bend, damage):
    """Pixel map (Ny, Nx, 2) of an image somewhere in a frame, or over its edge."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    half = max(max(shape) / 2, 1.0)
    x, y = bent(rng, bend, (x - (shape[1] - 1) / 2) / half, (y - (shape[0] - 1) / 2) / half)
    x, y = (m[0] * half * x + m[1] * half * y for m in affine(rng, matrix))
    at = rng.uniform(0.2, 0.8, 2) * frame_shape[::-1]
    return damaged(rng, damage, np.stack([x + at[0], y + at[1]], axis=-1))


# ---- pixels --------------------------------------------------------------------------------------------------------

#: Magnitudes of weights: their products and inverses stay within float64, and their sums within float32.
SIZES = {"plain": (0.5, 2.0), "denormal": (1e-44, 1e-39), "huge": (1e35, 1e37), "any": (1e-30, 1e30)}


def numbers(rng, shape, size, holes, negative=False):
    """Numbers of some size, a few of which are none."""
    low, high = np.log(SIZES[size])
    values = np.exp(rng.uniform(low, high, shape))
    if negative:
        values *= rng.choice([-1.0, 1.0], shape)
    if holes:
        values[rng.random(shape) < 0.1] = rng.choice([np.nan, 0.0, np.inf, -np.inf])
    return values


@st.composite
def weights(draw, rng, shape, form):
    """A recipe of weights."""
    kind, holes = draw(st.sampled_from(["map", "variance", "constant"])), draw(st.booleans())
    size = draw(st.sampled_from(list(SIZES)))
    bad = draw(st.sampled_from([0, 1, 4, 0x80]))
    if kind == "constant":
        return Weight(constant=float(numbers(rng, (), size, False)), bad_bits=bad)
    values = numbers(rng, shape, size, holes)
    if kind == "variance":
        return Weight(variance=form(1.0 / np.where(values == 0, np.inf, values)), bad_bits=bad)
    return Weight(weight_map=form(values), constant=draw(st.sampled_from([1.0, 0.75])), bad_bits=bad)


@st.composite
def exposures(draw, rng, frame, context_id, square):
    """An exposure onto a frame, by a map that leaves its pixels square or by any."""
    shape = draw(shapes())
    box = "whole" if square else draw(st.sampled_from(["whole", "part"]))
    limits = (0, shape[1] - 1, 0, shape[0] - 1)
    if box == "part":
        limits = tuple(int(v) for n in shape[::-1] for v in sorted(rng.integers(0, n, 2)))
    matrix = draw(st.sampled_from(SQUARE if square else MATRICES))
    bend, damage = (st.just("none") if square else st.sampled_from(kinds) for kinds in (BENDS, DAMAGE))
    pixmap = pixel_map(rng, shape, frame.shape, matrix, draw(bend), draw(damage))

    def form(values):
        with np.errstate(over="ignore"):
            values = np.asarray(values).astype(draw(st.sampled_from(FLOATS)))
        return laid_out(values, draw(st.sampled_from(LAYOUTS)))

    of_dq = np.dtype(draw(st.sampled_from(INTEGERS)))
    flags = rng.choice([0, 0, 0, 1, 4, 12, 0x40], shape).astype(of_dq)
    product = not frame.kernel.startswith("lanczos")
    return oracle.exposure(
        form(rng.normal(size=shape)),
        pixmap,
        limits=limits,
        weight=draw(weights(rng, shape, form)),
        err=form(rng.uniform(0.1, 1.0, shape)),
        variances={name: form(numbers(rng, shape, "plain", draw(st.booleans()))) for name in frame.variance_names},
        dq=laid_out(flags, draw(st.sampled_from(LAYOUTS))),
        variance_weight=draw(st.sampled_from([None, 50.0, 1e-3])),
        context_id=context_id,
        pixfrac=float(rng.uniform(*draw(st.sampled_from([(0.05, 1.0), (1.0, 2.0)])))) if product else 1.0,
        pixel_scale_ratio=float(np.float32(np.exp(rng.uniform(-0.7, 0.7)))),
        iscale=draw(st.sampled_from([1.0, 0.75])),
        level=draw(st.sampled_from([0.0, 0.25])),
    )


@st.composite
def scenes(draw, square=False):
    """A frame and one to three exposures onto it, or over its edges."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ids = draw(st.sampled_from([[0], [0, 1], [3, 33, 70]]))
    frame = MosaicLayout(
        tuple(draw(st.integers(1, 80)) for _ in range(2)),
        draw(st.sampled_from(KERNELS)),
        None,
        VARIANCES,
        has_err=True,
        has_dq=True,
        context_planes=max(ids) // 32 + 1,
    )
    return Scene(frame, [draw(exposures(rng, frame, k, square)) for k in ids])


@st.composite
def contained(draw):
    """The same by maps that leave pixels square, within a frame that has a margin around it.

    To find the pixels that fall into a frame, the drizzle package follows the outline of the image there, and loses
    some where that is cut off, slanted or not convex, or where pixels on it have no coordinates.
    """
    scene = draw(scenes(square=True))
    made = [e for e in scene.exposures if min(e.shape) > 1 and e.pixmap.has_valid_pixels()]
    assume(made)
    low, high = np.inf, -np.inf
    for e in made:
        places = e.pixmap.full[(np.abs(e.pixmap.full) < oracle.FARTHEST).all(axis=2)]
        steps = np.abs(np.diff(places, axis=0)).max(axis=0, initial=0.0)
        margin = oracle.reach(scene.frame.kernel, e.pixfrac, e.pixel_scale_ratio) + 8 + steps.max()
        low, high = np.minimum(low, places.min(axis=0) - margin), np.maximum(high, places.max(axis=0) + margin)
    for e in made:
        is_place = (np.abs(e.pixmap.full) < oracle.FARTHEST).all(axis=2)
        e.pixmap.full[is_place] -= np.floor(low)
    size = np.ceil(high) - np.floor(low)
    return Scene(replace(scene.frame, shape=(int(size[1]), int(size[0]))), made)

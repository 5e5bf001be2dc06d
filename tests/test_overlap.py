"""Area common to a quadrilateral and an output pixel: the one geometric primitive of the square kernel."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import oracle
import pytest
import shapely
import tolerances as tol

from gpures import _cpu

UNIT = np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])  # clockwise, y upwards: positive


def overlap(quads, pixels):
    """Signed overlaps of quadrilaterals with pixels, pairwise."""
    quads = np.ascontiguousarray(np.reshape(quads, (-1, 4, 2)), float)
    pixels = np.ascontiguousarray(np.broadcast_to(np.asarray(pixels, float), (len(quads), 2)))
    areas = np.empty(len(quads))
    _cpu.overlap(quads, pixels, areas)
    return areas


def over_grid(quad, margin=1):
    """Overlaps of one quadrilateral with all pixels that its bounding box reaches, and a margin: (pixels, areas)."""
    low, high = np.floor(quad.min(axis=0) + 0.5) - margin, np.floor(quad.max(axis=0) + 0.5) + margin
    i, j = np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1))
    pixels = np.stack([i.ravel(), j.ravel()], axis=-1)
    return pixels, overlap(np.broadcast_to(quad, (len(pixels), 4, 2)), pixels)


def area(quad):
    """Signed area, positive clockwise."""
    return -float(oracle.shoelace(np.asarray(quad, float)[None])[0])


def box_area(quads):
    """Area of the bounding boxes, which errors of overlaps are relative to."""
    return np.prod(np.max(quads, axis=-2) - np.min(quads, axis=-2), axis=-1)


def rotated(angle, centre=(0.0, 0.0), size=1.0, corners=UNIT):
    """A square of a given size, turned by an angle (degrees) about its centre, which is put elsewhere."""
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return (corners - 0.5) @ np.array([[c, s], [-s, c]]) * size + np.asarray(centre)


def convex_quads(n, seed, size=1.0, at=0.0):
    """Random convex quadrilaterals, clockwise: corners on a circle, sheared."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, (n, 4)), axis=1)[:, ::-1]
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    shear = np.eye(2) + rng.uniform(-0.5, 0.5, (n, 2, 2))
    return corners @ shear * size + rng.uniform(-1, 1, (n, 1, 2)) + at


def exact(quad, pixel):
    """Signed overlap in rational arithmetic (Sutherland & Hodgman): no rounding at all."""
    polygon = [(Fraction(float(x)), Fraction(float(y))) for x, y in quad]
    half = Fraction(1, 2)
    for axis in (0, 1):
        centre = Fraction(float(pixel[axis]))
        for side in (1, -1):
            bound = centre - side * half
            kept = []
            for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True):
                inside_a, inside_b = side * (a[axis] - bound) >= 0, side * (b[axis] - bound) >= 0
                if inside_a:
                    kept.append(a)
                if inside_a != inside_b:
                    t = (bound - a[axis]) / (b[axis] - a[axis])
                    kept.append(tuple(p + t * (q - p) for p, q in zip(a, b, strict=True)))
            polygon = kept
            if not polygon:
                return Fraction(0)
    return -sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True)) / 2


def assert_exact(quads, pixels):
    """Overlaps agree with rational arithmetic."""
    quads = np.reshape(quads, (-1, 4, 2))
    pixels = np.broadcast_to(np.asarray(pixels, float), (len(quads), 2))
    truth = np.array([float(exact(q, p)) for q, p in zip(quads, pixels, strict=True)])
    tol.assert_close(overlap(quads, pixels), truth, tol.OVERLAP * box_area(quads), "overlap")


# ---- analytic polygons ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quad", "pixel", "expected"),
    [
        pytest.param(UNIT - 0.5, (0, 0), 1.0, id="the-pixel-itself"),
        pytest.param(UNIT - 0.5, (1, 0), 0.0, id="its-neighbour"),
        pytest.param(UNIT, (0, 0), 0.25, id="quarter"),
        pytest.param(UNIT * [0.25, 1] - [0.125, 0.5], (0, 0), 0.25, id="strip-inside"),
        pytest.param((UNIT - 0.5) * 3, (0, 0), 1.0, id="around-the-pixel"),
        pytest.param([[-0.5, 0], [0, 0.5], [0.5, 0], [0, -0.5]], (0, 0), 0.5, id="diamond-inside"),
        pytest.param([[-1, 0], [0, 1], [1, 0], [0, -1]], (0, 0), 1.0, id="diamond-through-corners"),
        pytest.param([[-0.75, 0], [0, 0.75], [0.75, 0], [0, -0.75]], (0, 0), 0.875, id="octagon-left"),
        pytest.param([[0, 1], [1, 1], [1, 0], [1, 0]], (0, 0), 0.0, id="triangle-touching-a-corner"),
        pytest.param([[0, 2], [2, 0], [0, 0], [0, 0]], (0, 0), 0.25, id="triangle-repeated-corner"),
        pytest.param([[-2, 0], [2, 2], [0, 0], [2, -2]], (0, 0), 0.75, id="concave-dart"),
        pytest.param([[-1, 1], [1, 1], [0, 0], [1, -1]], (0, 0), 0.25, id="touching-itself"),
    ],
)
@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("sense", [1, -1], ids=["clockwise", "counter-clockwise"])
def test_known_polygons(quad, pixel, expected, start, sense):
    """Overlaps of simple polygons equal their analytic areas, from any first corner, with the sign of the sense."""
    quad = np.roll(np.asarray(quad, float), start, axis=0)[::sense]
    np.testing.assert_allclose(overlap(quad, pixel), sense * expected, rtol=tol.OVERLAP_RTOL, atol=4 * tol.OVERLAP)


@pytest.mark.parametrize("fraction", [0.0, 1e-12, 1e-6, 0.25, 0.5, 1 - 1e-12, 1.0])
def test_axis_aligned_square_is_a_product(fraction):
    """An axis-aligned unit square moved by a fraction shares with each pixel the product of its shares on both axes."""
    quad = UNIT - 0.5 + [fraction, 0.25]
    moved = quad[1, 0] - 0.5  # what remains of the fraction after rounding
    for i, along_x in ((0, 1 - moved), (1, moved)):
        for j, along_y in ((0, 0.75), (1, 0.25)):
            np.testing.assert_allclose(overlap(quad, (i, j)), along_x * along_y, rtol=1e-14, atol=tol.OVERLAP)


def test_edges_on_pixel_edges_touch_nothing_beyond():
    """Rectangles with their edges exactly on pixel edges share exactly whole pixels, and exactly zero beyond."""
    for width in range(1, 5):
        for height in range(1, 5):
            quad = UNIT * [width, height] + [16.5, 7.5]
            pixels, areas = over_grid(quad, margin=2)
            inside = ((pixels > [16, 7]) & (pixels <= [16 + width, 7 + height])).all(axis=1)
            np.testing.assert_array_equal(areas, np.where(inside, 1.0, 0.0))


@pytest.mark.parametrize("angle", [0, 7, 30, 45, 60, 89.9999, 90, 123, 180, 270])
def test_triangle_through_a_pixel_corner(angle):
    """A half plane cut through a pixel's centre leaves half of the pixel at any angle."""
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    along, across = np.array([c, s]), np.array([-s, c])
    quad = np.array([-3 * along, 3 * along, 3 * along - 5 * across, -3 * along - 5 * across])
    np.testing.assert_allclose(overlap(quad, (0, 0)), 0.5, rtol=tol.OVERLAP_RTOL)


# ---- sums ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0.01, 0.3, 1.0, 2.5, 17.3])
@pytest.mark.parametrize("angle", [0, 1e-9, 1e-3, 12.5, 45, 45 + 1e-13, 77, 90, 135, 180, 301])
def test_sum_over_pixels_is_the_area(angle, size):
    """The overlaps of a square with all pixels sum to its area at any angle, wherever it lies."""
    for centre in [(0, 0), (0.5, 0.5), (0.31, -0.47), (1234.5678, 9876.54321)]:
        quad = rotated(angle, centre, size)
        _, areas = over_grid(quad)
        # The corners themselves are rounded to the resolution of their place in the frame.
        np.testing.assert_allclose(areas.sum(), area(quad), rtol=tol.OVERLAP_RTOL)


def test_sum_over_pixels_of_random_quads():
    """The overlaps of any convex quadrilateral with all pixels sum to its area, negative counter-clockwise."""
    for n, quad in enumerate(convex_quads(200, seed=1, size=2.0)):
        quad = quad[:: 1 if n % 2 else -1]
        _, areas = over_grid(quad)
        np.testing.assert_allclose(areas.sum(), area(quad), rtol=tol.OVERLAP_RTOL, atol=tol.OVERLAP * box_area(quad))
        assert np.sign(area(quad)) == (1 if n % 2 else -1)


def test_neighbouring_drops_tile_the_plane():
    """Drops that share their edges cover each pixel between them exactly once."""
    y, x = np.mgrid[-6:7, -6:7] * 0.9
    c, s = np.cos(0.4), np.sin(0.4)
    x, y = c * x - s * y + 0.02 * x * y, s * x + c * y + 0.01 * x * x
    corner = np.stack([x, y], axis=-1)
    quads = np.stack([corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:], corner[:-1, :-1]], axis=2).reshape(-1, 4, 2)
    for pixel in [(0, 0), (1, -1), (-2, 1), (2, 2)]:
        np.testing.assert_allclose(overlap(quads, pixel).sum(), 1.0, rtol=tol.OVERLAP_RTOL)


# ---- against others ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sense", [1, -1], ids=["clockwise", "counter-clockwise"])
@pytest.mark.parametrize("size", [0.2, 1.0, 8.0])
def test_random_convex_quads_against_shapely(size, sense):
    """Random convex quadrilaterals overlap a pixel as shapely has it, with the sign of their sense."""
    quads = convex_quads(2000, seed=2, size=size)[:, ::sense]
    pixel = shapely.box(-0.5, -0.5, 0.5, 0.5)
    truth = shapely.area(shapely.intersection(shapely.polygons(quads), pixel))
    tol.assert_close(overlap(quads, (0, 0)), sense * truth, 2 * tol.OVERLAP * np.fmax(box_area(quads), 1), "overlap")


def test_random_concave_quads_against_shapely():
    """Concave quadrilaterals whose outline does not cross itself overlap a pixel as shapely has it."""
    rng = np.random.default_rng(3)
    quads = rng.uniform(-1.2, 1.2, (4000, 4, 2))
    polygons = shapely.polygons(quads)
    convex = np.isclose(shapely.area(shapely.convex_hull(polygons)), shapely.area(polygons))
    concave = shapely.is_valid(polygons) & ~convex
    assert concave.sum() > 500
    quads, polygons = quads[concave], polygons[concave]
    truth = shapely.area(shapely.intersection(polygons, shapely.box(-0.5, -0.5, 0.5, 0.5)))
    truth *= np.sign(-oracle.shoelace(quads))
    tol.assert_close(overlap(quads, (0, 0)), truth, 2 * tol.OVERLAP * box_area(quads), "overlap")


@pytest.mark.parametrize("size", [1e-10, 1e-8, 1e-6, 1e-3, 1.0])
@pytest.mark.parametrize("at", [0.0, 0.5, 33.5, 1024.5, 10000.5])
def test_quads_across_a_pixel_corner_in_rational_arithmetic(size, at):
    """Tiny quadrilaterals across a pixel corner keep their accuracy relative to their own size, far from the origin."""
    rng = np.random.default_rng(4)
    quads = convex_quads(12, seed=5, size=1.0) * 0.7 * size + at
    # What the corners lost to the rounding of their place can turn them concave, or to nothing: still exact.
    quads = np.concatenate([quads, at + rng.uniform(-size, size, (12, 4, 2))])
    i = np.floor(at + 0.5)
    for pixel in [(i, i), (i - 1, i), (i, i - 1), (i - 1, i - 1)]:
        assert_exact(quads, pixel)


def test_random_quads_in_rational_arithmetic():
    """Any four corners, crossing outlines included, give the signed overlap of rational arithmetic."""
    rng = np.random.default_rng(6)
    assert_exact(rng.uniform(-1.5, 1.5, (150, 4, 2)), (0, 0))
    # Coordinates on a coarse lattice: corners and edges on pixel edges, repeated and collinear corners.
    assert_exact(rng.integers(-3, 4, (300, 4, 2)) / 2, (0, 0))


def test_sheared_slivers_in_rational_arithmetic():
    """Nearly vertical and nearly horizontal edges lose nothing beyond rounding."""
    rng = np.random.default_rng(7)
    for tiny in (1e-16, 1e-12, 1e-8):
        lean = UNIT * 2 - 1 + rng.uniform(-tiny, tiny, (40, 4, 2))
        assert_exact(lean, (0, 0))
        assert_exact(lean + np.array([0.5, -0.5]), (1, 0))


@pytest.mark.parametrize("size", [1e2, 1e4, 1e6])
@pytest.mark.parametrize("angle", [0, 30, 45])
def test_huge_quads_cover_pixels_wholly(size, angle):
    """A pixel deep inside a huge quadrilateral is covered wholly, to rounding relative to the quadrilateral."""
    quad = rotated(angle, (3.1, 4.2), size)
    bound = tol.OVERLAP * box_area(quad)
    for pixel in [(0, 0), (17, -9), (-20, 20)]:
        assert abs(overlap(quad, pixel)[0] - 1.0) <= bound


# ---- degenerate ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "quad",
    [
        pytest.param([[0.1, 0.2]] * 4, id="one-point"),
        pytest.param([[0.5, 0.5]] * 4, id="one-point-on-a-pixel-corner"),
        pytest.param([[-1, 0], [1, 0], [1, 0], [-1, 0]], id="horizontal-segment"),
        pytest.param([[-1, 0.5], [1, 0.5], [1, 0.5], [-1, 0.5]], id="segment-on-a-pixel-edge"),
        pytest.param([[0, -1], [0, 1], [0, 1], [0, -1]], id="vertical-segment"),
        pytest.param([[-1, -1], [0, 0], [1, 1], [0.5, 0.5]], id="diagonal-collinear"),
        pytest.param([[-1, -2], [0, 0], [0.25, 0.5], [1, 2]], id="steep-collinear"),
        pytest.param([[0, 0], [1, 1], [0, 0], [1, 1]], id="back-and-forth"),
    ],
)
def test_no_area_no_overlap(quad):
    """A quadrilateral without area shares none with any pixel."""
    _, areas = over_grid(np.array(quad, float))
    np.testing.assert_array_equal(areas, 0.0)


def test_repeated_corner_is_a_triangle():
    """A quadrilateral with a repeated corner is the triangle of the other three, whichever corner is repeated."""
    rng = np.random.default_rng(8)
    for triangle in rng.uniform(-1, 1, (50, 3, 2)):
        truth = exact(triangle, (0, 0))
        for k in range(3):
            quad = np.insert(triangle, k, triangle[k], axis=0)
            assert abs(overlap(quad, (0, 0))[0] - float(truth)) <= tol.OVERLAP * box_area(quad)


def test_bow_tie_cancels():
    """The lobes of a crossing outline count with opposite signs: a symmetric bow tie over one pixel cancels."""
    bow_tie = np.array([[-0.4, -0.4], [0.4, 0.4], [0.4, -0.4], [-0.4, 0.4]])
    assert abs(overlap(bow_tie, (0, 0))[0]) <= tol.OVERLAP
    left, right = overlap(bow_tie * 2, (-1, 0)), overlap(bow_tie * 2, (1, 0))
    np.testing.assert_allclose(left, -right, rtol=tol.OVERLAP_RTOL)
    assert abs(left[0]) > 0.01


@pytest.mark.parametrize("shift", [0, 1, 4096], ids=lambda s: f"shift{s}")
def test_moving_by_whole_pixels_changes_nothing(shift):
    """Overlaps depend on where a quadrilateral lies within its pixel, not on the pixel: equal to the last bit."""
    rng = np.random.default_rng(9)
    quads = rng.integers(-3000, 3000, (500, 4, 2)) / 2048  # exact after the shift, too
    np.testing.assert_array_equal(overlap(quads + shift, (shift, shift)), overlap(quads, (0, 0)))


@pytest.mark.parametrize("tiny", [5e-324, 1e-310, 3e-308])
def test_subnormal_differences_give_numbers(tiny):
    """Corners that differ by a subnormal number, whose slope is beyond float64, still give finite overlaps."""
    for quad in (
        [[0, 0], [tiny, 1], [1, 1], [1, 0]],
        [[0, 0], [0, 1], [1, 1], [1, tiny]],
        [[0, tiny], [0, 1], [1, 1], [1, 0]],
    ):
        for pixel in [(0, 0), (0, 1), (1, 1)]:
            np.testing.assert_allclose(overlap(quad, pixel), 0.25, rtol=tol.OVERLAP_RTOL)

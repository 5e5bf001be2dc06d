// Area that a quadrilateral shares with output pixels.
//
// The pixel grid cuts a quadrilateral into columns. Within one column its outline is four straight pieces, and the
// area above a horizontal line is the sum, over the pieces, of the signed area between piece and line. A pixel's
// share is the difference between the areas above its lower and its upper edge. Walking up a column reuses the
// latter, so each edge of the grid is evaluated once.
//
// Most drops are simpler: about as large as a pixel and along its axes, with each corner in another one of four pixels
// that meet at a point. What such a pixel gets is the quadrilateral between that point and the corner.
//
// All coordinates are taken relative to that point or to the lower left of the bounding box, so that rounding is
// relative to the quadrilateral's own size and not to its place in the frame: tiny drops keep their accuracy.
#pragma once

#include "portable.h"

GPURES_BEGIN

// The output pixel that holds coordinate x: pixel 0 spans -0.5 ... 0.5, its left edge included.
template <class V>
GPURES_FN V nearest(V x)
{
    return lower_integer(x + number<V>(0.5));
}

template <class V>
GPURES_FN V least_of(const V v[4])
{
    return least(least(v[0], v[1]), least(v[2], v[3]));
}

template <class V>
GPURES_FN V greatest_of(const V v[4])
{
    return greatest(greatest(v[0], v[1]), greatest(v[2], v[3]));
}

// Corners in the output frame, in either sense of rotation.
template <class V>
struct Quad {
    V x[4], y[4];
};

// A quadrilateral prepared for overlaps.
template <class V>
struct Outline {
    V left, bottom;  // bounding box, output pixels
    V width, height;
    V area;        // signed: positive where the corners run clockwise, y upwards
    V x[4], y[4];  // corners relative to (left, bottom)
    V slope[4];    // dy/dx of edge k -> k+1; 0 where it is vertical and sweeps no area
    V lean[4];     // dx/|dy|; 0 where it is horizontal and crosses no level
};

// The part of an outline that lies over one column of output pixels.
template <class V>
struct Strip {
    V width[4];        // signed horizontal extent of each piece
    V from[4], to[4];  // heights of its ends
    V lean[4];
    V top;  // height of the quadrilateral
};

// Ratios of lengths above this stay within float64, for coordinates of any frame; and within float32, for drops of up
// to 1e8 pixels.
constexpr double SHORTEST = 1e-290, SHORTEST_SINGLE = 1e-30;

template <class V>
GPURES_FN void bounding_box(const Quad<V>& q, Outline<V>& o)
{
    o.left = least_of(q.x);
    o.bottom = least_of(q.y);
    o.width = greatest_of(q.x) - o.left;
    o.height = greatest_of(q.y) - o.bottom;
}

// Rise over run; 0 where the run is none, or as good as none.
template <class V>
GPURES_FN V slope(V rise, V run)
{
    const V zero = V{};
    const auto is_none = magnitude(run) < number<V>(IS_SINGLE<V> ? SHORTEST_SINGLE : SHORTEST);
    return select(is_none, zero, quotient(rise, select(is_none, number<V>(1.0), run)));
}

// Signed area of a quadrilateral: positive where its corners run clockwise.
template <class V>
GPURES_FN V area_of(const V x[4], const V y[4])
{
    return number<V>(0.5) * ((x[1] - x[3]) * (y[0] - y[2]) - (x[0] - x[2]) * (y[1] - y[3]));
}

// The rest of an outline whose bounding box is known.
template <class V>
GPURES_FN void complete(const Quad<V>& q, Outline<V>& o)
{
    for (int k = 0; k < 4; ++k) {
        o.x[k] = q.x[k] - o.left;
        o.y[k] = q.y[k] - o.bottom;
    }
    o.area = area_of(o.x, o.y);
    for (int k = 0; k < 4; ++k) {
        const V dx = o.x[(k + 1) & 3] - o.x[k], dy = o.y[(k + 1) & 3] - o.y[k];
        o.slope[k] = slope(dy, dx);
        o.lean[k] = slope(dx, magnitude(dy));
    }
}

// The pieces between x = left and x = right, both relative to the outline's own left.
template <class V>
GPURES_FN Strip<V> strip(const Outline<V>& o, V left, V right)
{
    Strip<V> s;
    for (int k = 0; k < 4; ++k) {
        const int next = (k + 1) & 3;
        const V a = least(greatest(o.x[k], left), right);
        const V b = least(greatest(o.x[next], left), right);
        s.width[k] = b - a;
        s.from[k] = o.y[k] + o.slope[k] * (a - o.x[k]);
        s.to[k] = o.y[k] + o.slope[k] * (b - o.x[k]);
        s.lean[k] = o.lean[k];
    }
    s.top = o.height;
    return s;
}

// Twice the signed area between a level and that part of a piece which lies above it: a and b are the heights of the
// piece's ends, from the level on.
template <class V>
GPURES_INLINE V twice_above(V width, V a, V b, V lean)
{
    // A piece that crosses the level leaves a triangle above it, of the height of its upper end and as long as its
    // lean has it; one that lies above leaves a trapezoid; one that lies below nothing.
    const V high = upper_end(a, b);
    const V triangle = high * high * lean;
    const V trapezoid = width * (a + b);
    return select(is_any_negative(a, b), triangle, trapezoid);
}

// Signed area of the strip above the level y, which is relative to the outline's own bottom.
template <class V>
GPURES_FN V area_above(const Strip<V>& s, V y)
{
    const V zero = V{};
    V sum = zero;
    // Nothing of the quadrilateral lies outside 0 ... top. Most levels do: these two cost little.
    if (all_at_least(y, s.top)) return zero;
    if (all_at_least(zero, y)) {
        for (int k = 0; k < 4; ++k) sum = sum + s.width[k] * (s.from[k] + s.to[k]);
        return number<V>(0.5) * sum;
    }
    const V level = least(greatest(y, zero), s.top);
    for (int k = 0; k < 4; ++k) {
        const V a = s.from[k] - level;
        const V b = s.to[k] - level;
        sum = sum + twice_above(s.width[k], a, b, s.lean[k]);
    }
    return number<V>(0.5) * sum;
}

// Signed area common to a quadrilateral and the output pixel (i, j).
template <class V>
GPURES_FN V overlap(const Quad<V>& q, V i, V j)
{
    Outline<V> o;
    bounding_box(q, o);
    complete(q, o);
    const V half = number<V>(0.5);
    const Strip<V> s = strip(o, (i - half) - o.left, (i + half) - o.left);
    return area_above(s, (j - half) - o.bottom) - area_above(s, (j + half) - o.bottom);
}

// How the sides of a quadrilateral run: dy/dx of the upper and the lower one, dx/dy of the right and the left one.
template <class V>
struct Sides {
    V upper, right, lower, left;
};

template <class V>
GPURES_FN Sides<V> sides(const Quad<V>& q)
{
    return {slope(q.y[1] - q.y[0], q.x[1] - q.x[0]), slope(q.x[2] - q.x[1], q.y[2] - q.y[1]),
            slope(q.y[3] - q.y[2], q.x[3] - q.x[2]), slope(q.x[0] - q.x[3], q.y[0] - q.y[3])};
}

// Distances of a quadrilateral's corners from a point, along x and along y, each counted towards the corner's own side
// of it: the upper left, upper right, lower right and lower left. None is negative if the corners lie so.
template <class V>
GPURES_INLINE Quad<V> distances(const Quad<V>& q, V x, V y)
{
    return {{x - q.x[0], q.x[1] - x, q.x[2] - x, x - q.x[3]}, {q.y[0] - y, q.y[1] - y, y - q.y[2], y - q.y[3]}};
}

// Twice the area of such a quadrilateral on each side of the point, in the order of the corners: of two triangles, to
// the corner and to where its two sides cross the lines through the point.
template <class V>
GPURES_INLINE void twice_quarters(const Quad<V>& d, const Sides<V>& sides, V quarter[4])
{
    const V top = d.y[0] + sides.upper * d.x[0], bottom = d.y[3] - sides.lower * d.x[3];
    const V right = d.x[1] - sides.right * d.y[1], left = d.x[0] + sides.left * d.y[0];
    quarter[0] = d.x[0] * top + d.y[0] * left;
    quarter[1] = d.x[1] * top + d.y[1] * right;
    quarter[2] = d.x[2] * bottom + d.y[2] * right;
    quarter[3] = d.x[3] * bottom + d.y[3] * left;
}

GPURES_END

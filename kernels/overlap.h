// Area that a quadrilateral shares with output pixels.
//
// The pixel grid cuts a quadrilateral into columns. Within one column its outline is four straight pieces, and the
// area above a horizontal line is the sum, over the pieces, of the signed area between piece and line. A pixel's
// share is the difference between the areas above its lower and its upper edge. Walking up a column reuses the
// latter, so each edge of the grid is evaluated once.
//
// All coordinates are taken relative to the lower left of the quadrilateral's bounding box, so that rounding is
// relative to the quadrilateral's own size and not to its place in the frame: tiny drops keep their accuracy.
#pragma once

#include "portable.h"

GPURES_BEGIN

// The output pixel that holds coordinate x: pixel 0 spans -0.5 ... 0.5, its left edge included.
template <class V>
GPURES_FN V nearest(V x)
{
    return lower_integer(x + 0.5);
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

// Ratios of lengths above this stay within float64, for coordinates of any frame.
constexpr double SHORTEST = 1e-290;

template <class V>
GPURES_FN void bounding_box(const Quad<V>& q, Outline<V>& o)
{
    o.left = least(least(q.x[0], q.x[1]), least(q.x[2], q.x[3]));
    o.bottom = least(least(q.y[0], q.y[1]), least(q.y[2], q.y[3]));
    o.width = greatest(greatest(q.x[0], q.x[1]), greatest(q.x[2], q.x[3])) - o.left;
    o.height = greatest(greatest(q.y[0], q.y[1]), greatest(q.y[2], q.y[3])) - o.bottom;
}

// Direction of an edge.
template <class V>
struct Direction {
    V slope, lean;  // as in Outline
};

template <class V>
GPURES_FN Direction<V> direction(V dx, V dy)
{
    const V zero = V{};
    // An edge as short as this along one axis is taken to run along the other: it sweeps, or crosses, nothing.
    const auto is_vertical = magnitude(dx) < zero + SHORTEST;
    const auto is_level = magnitude(dy) < zero + SHORTEST;
    return {select(is_vertical, zero, quotient(dy, select(is_vertical, zero + 1.0, dx))),
            select(is_level, zero, quotient(dx, select(is_level, zero + 1.0, magnitude(dy))))};
}

// The corners relative to the bounding box, which is known, and the area.
template <class V>
GPURES_FN void place_corners(const Quad<V>& q, Outline<V>& o)
{
    for (int k = 0; k < 4; ++k) {
        o.x[k] = q.x[k] - o.left;
        o.y[k] = q.y[k] - o.bottom;
    }
    o.area = 0.5 * ((o.x[1] - o.x[3]) * (o.y[0] - o.y[2]) - (o.x[0] - o.x[2]) * (o.y[1] - o.y[3]));
}

// The directions of the edges, from the corners.
struct OwnDirections {
    template <class V>
    GPURES_FN void operator()(Outline<V>& o) const
    {
        for (int k = 0; k < 4; ++k) {
            const int next = (k + 1) & 3;
            const Direction<V> d = direction(o.x[next] - o.x[k], o.y[next] - o.y[k]);
            o.slope[k] = d.slope;
            o.lean[k] = d.lean;
        }
    }
};

template <class V>
GPURES_FN Outline<V> outline(const Quad<V>& q)
{
    Outline<V> o;
    bounding_box(q, o);
    place_corners(q, o);
    OwnDirections()(o);
    return o;
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
        return 0.5 * sum;
    }
    const V level = least(greatest(y, zero), s.top);
    for (int k = 0; k < 4; ++k) {
        const V a = s.from[k] - level;
        const V b = s.to[k] - level;
        const V high = greatest(greatest(a, b), zero);
        // A piece that crosses the level leaves a triangle above it, of height `high` and base `high * lean`;
        // one that lies above leaves a trapezoid; one that lies below has high = 0.
        const V triangle = 0.5 * high * high * s.lean[k];
        const V trapezoid = 0.5 * s.width[k] * (a + b);
        sum = sum + select(least(a, b) < zero, triangle, trapezoid);
    }
    return sum;
}

// Signed area common to a quadrilateral and the output pixel (i, j).
template <class V>
GPURES_FN V overlap(const Quad<V>& q, V i, V j)
{
    const Outline<V> o = outline(q);
    const Strip<V> s = strip(o, (i - 0.5) - o.left, (i + 0.5) - o.left);
    return area_above(s, (j - 0.5) - o.bottom) - area_above(s, (j + 0.5) - o.bottom);
}

GPURES_END

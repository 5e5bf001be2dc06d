// Drops that touch, from their edges: an edge belongs to two of them, and what lies below it in each output pixel is
// worked out once.
//
// An edge that is no longer than an output pixel lies in two columns of them at most, and in two rows. In each of its
// columns the area between it and a level (see overlap.h) is known from three numbers: its width there, and what lies
// above the level below both rows, and above the one between them. A drop's area above a level is the sum of those of
// its edges, with their signs.
#pragma once

#include "../../splat.h"

GPURES_BEGIN

// What an edge leaves above the levels, twice the area, in each of its two columns.
template <class V>
struct EdgeAreas {
    V i, j;      // output pixel, the lower left of the four that it may lie in; NaN if it lies in others as well
    V width[2];  // twice the signed extent of the edge along x
    V whole[2];  // above the lower edge of row j
    V upper[2];  // above the lower edge of row j + 1
};

// Of the edge from (x0, y0) to (x1, y1).
template <class V>
GPURES_FN EdgeAreas<V> edge_areas(V x0, V y0, V x1, V y1)
{
    const V zero = V{}, one = number<V>(1.0), half = number<V>(0.5);
    EdgeAreas<V> e;
    e.i = nearest(least(x0, x1));
    e.j = nearest(least(y0, y1));
    const V columns = greatest(x0, x1) - (e.i + half), rows = greatest(y0, y1) - (e.j + half);
    e.i = select((columns < one) & (rows < one), e.i, number<V>(not_a_number()));
    // Counted from the point where the four pixels meet.
    const V a = x0 - (e.i + half), b = x1 - (e.i + half), from = y0 - (e.j + half), dx = x1 - x0, dy = y1 - y0;
    const V rise = slope(dy, dx), lean = slope(dx, magnitude(dy));
    for (int c = 0; c < 2; ++c) {
        const V begin = c ? greatest(a, zero) : least(a, zero), end = c ? greatest(b, zero) : least(b, zero);
        const V width = end - begin;
        const V high = from + rise * (begin - a), low = from + rise * (end - a);
        e.width[c] = width + width;
        e.whole[c] = width * (high + low) + e.width[c];
        e.upper[c] = twice_above(width, high, low, lean);
    }
    return e;
}

// The areas of a drop above the levels at the lower edges of three rows of output pixels, twice, in three columns.
template <class V>
struct AreasAbove {
    V of[3][3] = {};  // [column][row]

    // Adds an edge whose first pixel is (i, j), counted from the drop's first; with a sign.
    GPURES_FN void add(const EdgeAreas<V>& e, V i, V j, double sign)
    {
        const V zero = V{}, s = number<V>(sign);
        V above[2][3];
        const auto is_up = j > zero;
        const auto is_top = j > number<V>(1.0);
        for (int c = 0; c < 2; ++c) {
            const V lowest = e.whole[c] + e.width[c] * j;
            above[c][0] = lowest;
            above[c][1] = select(is_up, lowest - e.width[c], e.upper[c]);
            above[c][2] = select(is_top, e.whole[c], select(is_up, e.upper[c], zero));
        }
        const auto is_first = i < number<V>(0.5);
        const auto is_last = i > number<V>(1.5);
        for (int r = 0; r < 3; ++r) {
            of[0][r] = of[0][r] + s * select(is_first, above[0][r], zero);
            of[1][r] = of[1][r] + s * select(is_first, above[1][r], select(is_last, zero, above[0][r]));
            of[2][r] = of[2][r] + s * select(is_first, zero, select(is_last, above[0][r], above[1][r]));
        }
    }
};

// Of smaller drops the areas would be less accurate, as edges are counted from where pixels meet.
constexpr double LEAST_AREA_FROM_EDGES = 0.25;

// Drops whose edges are known: the upper one, from the left to the right, the right one, from above, the lower one from
// the left, and the left one from above. False, and nothing is done, if some of any weight lie in more than 3 x 3
// output pixels, reach beyond the bounds, or are small.
template <class V, class N, class Sink>
GPURES_FN bool splat_edges(const Quad<V>& q, const EdgeAreas<V> edges[4], V weight, const BoundsIn<N>& bounds,
                           Sink& sink)
{
    const V zero = V{}, one = number<V>(1.0);
    Outline<V> o;
    bounding_box(q, o);
    const V i = nearest(o.left), j = nearest(o.bottom);
    const V columns = nearest(o.left + o.width) - i, rows = nearest(o.bottom + o.height) - j;
    const V x0 = number<V>(bounds.x0), x1 = number<V>(bounds.x1), y0 = number<V>(bounds.y0), y1 = number<V>(bounds.y1);
    const auto is_outside = (i + columns < x0) | (i > x1) | (j + rows < y0) | (j > y1);
    if (everywhere(is_outside | (weight == zero))) return true;
    const V last = number<V>(2.0), least_area = number<V>(LEAST_AREA_FROM_EDGES);
    o.area = area_of(q.x, q.y);
    // NaN if any lies in other pixels as well.
    const V of_edges = (edges[0].i + edges[1].i) + (edges[2].i + edges[3].i);
    const auto fits = (of_edges == of_edges) & (columns <= last) & (rows <= last) & (magnitude(o.area) > least_area);
    const auto is_inside = (i >= x0) & (i + columns <= x1) & (j >= y0) & (j + rows <= y1);
    if (!everywhere((fits & is_inside) | (weight == zero))) return false;

    AreasAbove<V> above;
    constexpr double SIGNS[] = {1.0, 1.0, -1.0, -1.0};
    for (int k = 0; k < 4; ++k) above.add(edges[k], edges[k].i - i, edges[k].j - j, SIGNS[k]);
    const V per_area = quotient(weight, select(weight == zero, one, o.area));
    const V smallest = smallest_of_square(o.width * o.height * per_area, bounds.smallest);
    const V per_twice = number<V>(0.5) * per_area;
    const auto place = sink.place(i, j, weight != zero);
    for (int c = 0; c < 3; ++c) {
        if (c == 2 && !any_greater(columns, one)) break;
        for (int r = 0; r < 3; ++r) {
            if (r == 2 && !any_greater(rows, one)) break;
            const V twice = r == 2 ? above.of[c][2] : above.of[c][r] - above.of[c][r + 1];
            sink.add(place, c, r, contribution(twice * per_twice, smallest));
        }
    }
    return true;
}

GPURES_END

// Drops that touch, from their edges: an edge belongs to two of them, and what lies below it in each output pixel is
// worked out once.
//
// An edge that is no longer than an output pixel lies in two columns of them at most, and in two rows. What lies below
// it in a pixel, the area between it and the pixel's lower edge, has the sign of the way that it goes along x. A drop's
// share of a pixel is the sum of those of its edges, with signs by which all go one way around it.
//
// Around a drop that is turned, the edges are named after the corners that they lead to: the lowest one from the
// leftmost, then the rightmost, the uppermost and the leftmost one again. So it is known of each of them in which of
// the drop's rows and columns it may begin.
#pragma once

#include "../../splat.h"

GPURES_BEGIN

// What lies below an edge, twice the area, in each of its two columns.
template <class V>
struct EdgeAreas {
    V i, j;      // output pixel, the lower left of the four that it may lie in; NaN if it lies in others as well
    V width[2];  // of a pixel below row j: twice the signed extent of the edge along x
    V lower[2];  // of the pixel in row j
    V upper[2];  // of that in row j + 1; above there is nothing
};

// The least product of an edge's extents along x and y that is told from none.
constexpr double LEAST_PRODUCT = 1e-30;

// Of the edge from (x0, y0) to (x1, y1).
template <class V>
GPURES_FN EdgeAreas<V> edge_areas(V x0, V y0, V x1, V y1)
{
    const V zero = V{}, one = number<V>(1.0), half = number<V>(0.5);
    EdgeAreas<V> e;
    e.i = nearest(least(x0, x1));
    e.j = nearest(least(y0, y1));
    // Counted from the point where the four pixels meet.
    const V x = e.i + half, y = e.j + half;
    const V a = x0 - x, b = x1 - x, from = y0 - y, to = y1 - y, dx = x1 - x0, dy = y1 - y0;
    const auto fits = (greatest(a, b) < one) & (greatest(from, to) < one);
    e.i = select(fits, e.i, number<V>(not_a_number()));
    // Of an edge that runs along an axis, or as good as so, neither matters: the areas that they are for are none.
    const V product = dx * dy;
    const auto is_along = magnitude(product) < number<V>(LEAST_PRODUCT);
    const V inverse = select(is_along, zero, quotient(one, select(is_along, one, product)));
    const V rise = dy * (dy * inverse), lean = dx * magnitude(dx * inverse);
    const V between = from - rise * a;  // height between the two columns
    const auto begins_left = a < zero, ends_left = b < zero;
    for (int c = 0; c < 2; ++c) {
        const V begin = c ? greatest(a, zero) : least(a, zero), end = c ? greatest(b, zero) : least(b, zero);
        const V high = c ? select(begins_left, between, from) : select(begins_left, from, between);
        const V low = c ? select(ends_left, between, to) : select(ends_left, to, between);
        const V width = end - begin;
        e.width[c] = width + width;
        e.upper[c] = twice_above(width, high, low, lean);
        e.lower[c] = width * (high + low) + e.width[c] - e.upper[c];
    }
    return e;
}

enum NamedEdge { TO_LOWEST, TO_RIGHTMOST, TO_UPPERMOST, TO_LEFTMOST };

// Which corners and which edges of drops they are, of the upper left, upper right, lower right and lower left corner,
// and of the upper, right, lower and left edge. Those are known from left to right and from above.
struct EdgeNames {
    int corner[4];  // the leftmost one, and those that the first three edges lead to
    int edge[4];
    double sign[4];  // -1: is known the other way
};

// Of drops whose sides are, from left to right, (dx, dy), and from below, (right, up).
GPURES_FN EdgeNames names_of_edges(double dx, double dy, double right, double up)
{
    const double x[] = {right - dx, right + dx, dx - right, -dx - right}, y[] = {up - dy, up + dy, dy - up, -dy - up};
    int first = 0;
    for (int k = 1; k < 4; ++k) first = x[k] < x[first] ? k : first;
    const int step = y[(first + 1) & 3] < y[(first + 3) & 3] ? 1 : 3;
    EdgeNames names;
    for (int k = 0; k < 4; ++k) {
        names.corner[k] = (first + k * step) & 3;
        // The k-th edge is that from the k-th corner to the next.
        names.edge[k] = (first + k * step + (step == 1 ? 0 : 3)) & 3;
        names.sign[k] = (names.edge[k] < 2) == (step == 1) ? 1.0 : -1.0;
    }
    return names;
}

// Shares that a drop has of 3 x 3 output pixels, as twice the areas.
template <class V>
struct Shares {
    V of[3][3];  // [column][row]

    // Adds what lies below an edge in a row of pixels, in the first two columns or a column further right.
    template <class M>
    GPURES_INLINE void add(int r, V sign, M is_right, V first, V second)
    {
        const V zero = V{};
        of[0][r] = of[0][r] + sign * select(is_right, zero, first);
        of[1][r] = of[1][r] + sign * select(is_right, first, second);
        of[2][r] = of[2][r] + sign * select(is_right, second, zero);
    }
};

// The edges of drops that are named so, with the signs by which all go one way around: the second and the third one may
// begin a column further right, the third and the fourth one a row further up.
template <class V, class Edges, class M>
GPURES_INLINE Shares<V> shares_of(const Edges& edges, M right_1, M right_2, M up_2, M up_3)
{
    const V zero = V{};
    Shares<V> s;
    const V sign = edges.sign(TO_LOWEST), sign_3 = edges.sign(TO_LEFTMOST);
    for (int c = 0; c < 2; ++c) {
        const V width = edges.width(TO_LEFTMOST, c), lower = edges.lower(TO_LEFTMOST, c),
                upper = edges.upper(TO_LEFTMOST, c);
        s.of[c][0] = sign * edges.lower(TO_LOWEST, c) + sign_3 * select(up_3, width, lower);
        s.of[c][1] = sign * edges.upper(TO_LOWEST, c) + sign_3 * select(up_3, lower, upper);
        s.of[c][2] = sign_3 * select(up_3, upper, zero);
    }
    for (int r = 0; r < 3; ++r) s.of[2][r] = zero;
    const V sign_1 = edges.sign(TO_RIGHTMOST), sign_2 = edges.sign(TO_UPPERMOST);
    s.add(0, sign_1, right_1, edges.lower(TO_RIGHTMOST, 0), edges.lower(TO_RIGHTMOST, 1));
    s.add(1, sign_1, right_1, edges.upper(TO_RIGHTMOST, 0), edges.upper(TO_RIGHTMOST, 1));
    const V lower[] = {edges.lower(TO_UPPERMOST, 0), edges.lower(TO_UPPERMOST, 1)};
    const V upper[] = {edges.upper(TO_UPPERMOST, 0), edges.upper(TO_UPPERMOST, 1)};
    s.add(0, sign_2, right_2, select(up_2, edges.width(TO_UPPERMOST, 0), lower[0]),
          select(up_2, edges.width(TO_UPPERMOST, 1), lower[1]));
    s.add(1, sign_2, right_2, select(up_2, lower[0], upper[0]), select(up_2, lower[1], upper[1]));
    s.add(2, sign_2, right_2, select(up_2, upper[0], zero), select(up_2, upper[1], zero));
    return s;
}

// Of smaller drops the areas would be less accurate, as edges are counted from where pixels meet.
constexpr double LEAST_AREA_FROM_EDGES = 0.25;

// Drops whose edges are known, and their corners: the leftmost, lowest, rightmost and uppermost one. False, and nothing
// is done, if some of any weight lie in more than 3 x 3 output pixels, reach beyond the bounds, are small, or have
// edges that lie in another way.
// `edges` gives what EdgeAreas has of each, by its name, and its sign.
template <class V, class Edges, class N, class Sink>
GPURES_INLINE bool splat_edges(const Quad<V>& q, const Edges& edges, V weight, const BoundsIn<N>& bounds, Sink& sink)
{
    const V zero = V{}, one = number<V>(1.0), half = number<V>(0.5);
    const V i = edges.i(TO_LOWEST), j = edges.j(TO_LOWEST);
    const V right = greatest_of(q.x), top = greatest_of(q.y);
    const V columns = nearest(right) - i, rows = nearest(top) - j;
    const V x0 = number<V>(bounds.x0), x1 = number<V>(bounds.x1), y0 = number<V>(bounds.y0), y1 = number<V>(bounds.y1);
    const V area = area_of(q.x, q.y);
    const V i1 = edges.i(TO_RIGHTMOST), i2 = edges.i(TO_UPPERMOST), j2 = edges.j(TO_UPPERMOST);
    const V j3 = edges.j(TO_LEFTMOST);
    const V next_i = i + one, next_j = j + one;
    const auto right_1 = i1 == next_i, right_2 = i2 == next_i, up_2 = j2 == next_j, up_3 = j3 == next_j;
    const auto fits = ((i1 == i) | right_1) & ((i2 == i) | right_2) & ((j2 == j) | up_2) & ((j3 == j) | up_3) &
                      (edges.j(TO_RIGHTMOST) == j) & (edges.i(TO_LEFTMOST) == i) &
                      (magnitude(area) > number<V>(LEAST_AREA_FROM_EDGES));
    const V last_i = i + columns, last_j = j + rows;
    const auto is_outside = (last_i < x0) | (i > x1) | (last_j < y0) | (j > y1) | (weight == zero);
    const auto is_inside = (i >= x0) & (last_i <= x1) & (j >= y0) & (last_j <= y1);
    if (!everywhere(fits | (weight == zero))) return false;
    if (everywhere(is_outside)) return true;
    if (!everywhere(is_inside | (weight == zero))) return false;

    const Shares<V> shares = shares_of<V>(edges, right_1, right_2, up_2, up_3);
    const V per_area = quotient(weight, select(weight == zero, one, area));
    const V box = (right - q.x[0]) * (top - q.y[1]);
    const V smallest = smallest_of_square(box * per_area, bounds.smallest);
    const V per_twice = half * per_area;
    const auto place = sink.place(i, j, weight != zero);
    const int n_columns = any_greater(columns, one) ? 3 : 2, n_rows = any_greater(rows, one) ? 3 : 2;
    for (int c = 0; c < n_columns; ++c) {
        for (int r = 0; r < n_rows; ++r) sink.add(place, c, r, contribution(shares.of[c][r] * per_twice, smallest));
    }
    return true;
}

GPURES_END

// One input pixel (or one in each lane) -> its contributions to output pixels, handed to a sink.
//
// A sink has `place(i, j, used)`, which stands for output pixel (i, j) of each lane that is used, and
// `add(place, c, r, dow)`: the pixel c columns further and r rows up gets the weight dow (profile times weight; the
// field's name for it). Lanes with dow = 0 contribute nothing. Only pixels inside the bounds are handed on, or such
// with dow = 0. `pass_over(lanes)` tells of drops without an area, each within one of the bounds that a frame is cut
// into.
#pragma once

#include "drop.h"
#include "footprint.h"

GPURES_BEGIN

// The part of the output frame that contributions may go to, last pixels included.
struct Bounds {
    double x0, x1, y0, y1;  // whole numbers
};

// Shares of a drop below this are rounding: a pixel that a drop does not touch comes out as the difference of two
// areas of the drop's size, each good to a few units of 2.2e-16.
constexpr double SMALLEST_SHARE = 1e-14;

// Half of float32's smallest number. A weight is a float32 in the field's definition of a contribution, so one that
// rounds to 0 there is none: the far tail of a narrow gaussian does not count in the context image.
constexpr double SMALLEST_DOW = 7.006492321624085e-46;

template <class V>
GPURES_FN V contribution(V dow, V smallest = V{} + SMALLEST_DOW)
{
    return select(magnitude(dow) > smallest, dow, V{});
}

// The smallest contribution of a square drop of some weight that is more than rounding, and no less than any other.
template <class V>
GPURES_FN V smallest_of_square(V weight)
{
    return greatest(SMALLEST_SHARE * magnitude(weight), V{} + SMALLEST_DOW);
}

// A square drop has no area to speak of, and is passed over, where that is below this fraction of the square of its
// extent (width plus height). Coordinates of frames up to 1e5 pixels are good to 3e-11, so the area of a collapsed drop
// of at least 0.01 pixels comes out below 3e-9 of that; and what the lobes of one that folds over itself add and take
// away stays within 1e7 times its weight. A drop may be 5e7 times as long as it is wide.
constexpr double LEAST_AREA = 1e-8;

template <class V>
GPURES_FN auto is_flat(const Outline<V>& o)
{
    const V extent = o.width + o.height;
    return magnitude(o.area) <= LEAST_AREA * extent * extent;
}

// Drops around a point where four pixels meet, with a corner in each of them (see overlap.h). False, and nothing is
// done, if there are others of any weight, or some that reach beyond the bounds.
template <class V, class Sink, class KnownSides>
GPURES_FN bool splat_quarters(const Quad<V>& q, V weight, const Bounds& bounds, Sink& sink, const KnownSides& sides_of)
{
    const V zero = V{};
    const V i = nearest(q.x[3]), j = nearest(q.y[3]);
    const Quad<V> d = distances(q, i + 0.5, j + 0.5);
    V quarter[4];
    twice_quarters(d, sides_of(q), quarter);
    const V whole = (quarter[0] + quarter[1]) + (quarter[2] + quarter[3]);  // NaN if any coordinate is
    const auto is_inside = is_between(i, bounds.x0, bounds.x1 - 1.0) & is_between(j, bounds.y0, bounds.y1 - 1.0);
    const auto is_around = all_within_one(d.x) & all_within_one(d.y) & is_inside;
    // Here the extent is 4 at most, and `whole` is twice the area.
    if (!everywhere((is_around & (whole > zero + 32.0 * LEAST_AREA)) | (weight == zero))) return false;
    const V per_area = quotient(weight, whole);
    const V smallest = smallest_of_square(weight);
    for (int k = 0; k < 4; ++k) quarter[k] = contribution(quarter[k] * per_area, smallest);
    const auto place = sink.place(i, j, weight != zero);
    sink.add(place, 0, 0, quarter[3]);
    sink.add(place, 1, 0, quarter[2]);
    sink.add(place, 0, 1, quarter[0]);
    sink.add(place, 1, 1, quarter[1]);
    return true;
}

// `sides_of` gives the sides of a drop: its own, or those known from its neighbours. `around_points`: whether most
// drops are expected to lie around a point where pixels meet.
template <class V, class Sink, class KnownSides>
GPURES_FN void splat_square(const Quad<V>& q, V weight, const Bounds& bounds, Sink& sink, bool around_points,
                            const KnownSides& sides_of)
{
    if (around_points && splat_quarters(q, weight, bounds, sink, sides_of)) return;
    const V zero = V{};
    // One sum tells of a NaN, an infinity or a number too large in any of them.
    V far = zero;
    for (int k = 0; k < 4; ++k) far = far + magnitude(q.x[k]) + magnitude(q.y[k]);
    weight = select(far < zero + FARTHEST, weight, zero);
    Outline<V> o;
    bounding_box(q, o);
    // Clipped to the bounds before it is counted: a drop of any size costs no more than what it shares with them.
    const V i0 = greatest(nearest(o.left), zero + bounds.x0);
    const V j0 = greatest(nearest(o.bottom), zero + bounds.y0);
    V columns = least(nearest(o.left + o.width), zero + bounds.x1) - i0 + 1.0;
    V rows = least(nearest(o.bottom + o.height), zero + bounds.y1) - j0 + 1.0;
    columns = select(weight == zero, zero, columns);
    rows = select(columns > zero, rows, zero);
    if (!any_greater(rows, zero)) return;

    complete(q, o);
    const auto flat = is_flat(o);
    if (any_greater(select(flat, rows, zero), zero)) {
        // Counted once, where it begins.
        const auto begins_here = ((nearest(o.left) >= zero + bounds.x0) | (zero + bounds.x0 == zero)) &
                                 ((nearest(o.bottom) >= zero + bounds.y0) | (zero + bounds.y0 == zero));
        sink.pass_over(flat & begins_here & (rows > zero));
        columns = select(flat, zero, columns);
        rows = select(flat, zero, rows);
    }
    const V per_area = weight / select(flat, zero + 1.0, o.area);
    // Areas are as good as those of the bounding box, which is much larger than a drop that is long and slanted.
    const V smallest = smallest_of_square(o.width * o.height * per_area);
    const auto place = sink.place(i0, j0, rows > zero);
    for (int c = 0; any_greater(columns, zero + static_cast<double>(c)); ++c) {
        const V i = i0 + static_cast<double>(c);
        const Strip<V> s = strip(o, (i - 0.5) - o.left, (i + 0.5) - o.left);
        V above = area_above(s, (j0 - 0.5) - o.bottom);
        for (int r = 0; any_greater(rows, zero + static_cast<double>(r)); ++r) {
            const V j = j0 + static_cast<double>(r);
            const V above_next = area_above(s, (j + 0.5) - o.bottom);
            V dow = (above - above_next) * per_area;
            above = above_next;
            dow = select(columns > zero + static_cast<double>(c), dow, zero);
            dow = select(rows > zero + static_cast<double>(r), dow, zero);
            sink.add(place, c, r, contribution(dow, smallest));
        }
    }
}

template <class V, class Sink>
GPURES_FN void splat_point(V x, V y, V weight, const Bounds& bounds, Sink& sink)
{
    const V zero = V{};
    const V i = nearest(x), j = nearest(y);
    V dow = select(i >= zero + bounds.x0, weight, zero);
    dow = select(i <= zero + bounds.x1, dow, zero);
    dow = select(j >= zero + bounds.y0, dow, zero);
    dow = contribution(select(j <= zero + bounds.y1, dow, zero));
    sink.add(sink.place(i, j, magnitude(dow) > zero), 0, 0, dow);
}

// Factors along x are computed for this many columns at a time and used for every row: few enough to stay in
// registers on a GPU, and as many as most drops have.
constexpr int COLUMNS_AT_ONCE = 8;

template <class V, class Profile, class Sink>
GPURES_FN void splat_product(const Profile& profile, V x, V y, V weight, const Bounds& bounds, Sink& sink)
{
    const V zero = V{};
    weight = select(magnitude(x) + magnitude(y) < zero + FARTHEST, weight, zero);
    const V i0 = greatest(profile.first(x), zero + bounds.x0);
    const V j0 = greatest(profile.first(y), zero + bounds.y0);
    V columns = least(profile.last(x), zero + bounds.x1) - i0 + 1.0;
    V rows = least(profile.last(y), zero + bounds.y1) - j0 + 1.0;
    columns = select(weight == zero, zero, columns);
    rows = select(columns > zero, rows, zero);
    if (!any_greater(rows, zero)) return;
    const auto place = sink.place(i0, j0, rows > zero);
    for (int start = 0; any_greater(columns, zero + static_cast<double>(start)); start += COLUMNS_AT_ONCE) {
        V factor[COLUMNS_AT_ONCE];
        for (int k = 0; k < COLUMNS_AT_ONCE; ++k) {
            const V c = zero + static_cast<double>(start + k);
            if (!any_greater(columns, c)) break;
            factor[k] = select(columns > c, profile(x, i0 + c), zero);
        }
        for (int r = 0; any_greater(rows, zero + static_cast<double>(r)); ++r) {
            const V row = zero + static_cast<double>(r);
            const V share = select(rows > row, profile(y, j0 + row) * weight, zero);
            for (int k = 0; k < COLUMNS_AT_ONCE; ++k) {
                if (!any_greater(columns, zero + static_cast<double>(start + k))) break;
                sink.add(place, start + k, r, contribution(factor[k] * share));
            }
        }
    }
}

GPURES_END

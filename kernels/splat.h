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

// Half of float32's smallest number. A weight is a float32 in the field's definition of a contribution, so one that
// rounds to 0 there is none: the far tail of a narrow gaussian does not count in the context image.
constexpr double SMALLEST_DOW = 7.006492321624085e-46;

// The part of the output frame that contributions may go to, last pixels included.
template <class N>
struct BoundsIn {
    N x0, x1, y0, y1;                // whole numbers, counted from the same output pixel as the drops' coordinates
    double smallest = SMALLEST_DOW;  // what is less is no contribution
    N frame_x{}, frame_y{};          // the frame's first pixel, counted likewise
};

typedef BoundsIn<double> Bounds;

// Shares of a drop below this are rounding: a pixel that a drop does not touch comes out as the difference of two
// areas of the drop's size, each good to a few units of 2.2e-16; in single precision to as many of 1.2e-7.
constexpr double SMALLEST_SHARE = 1e-14, SMALLEST_SHARE_SINGLE = 2.5e-7;

template <class V>
GPURES_FN V contribution(V dow, V smallest)
{
    return select(magnitude(dow) > smallest, dow, V{});
}

// The smallest contribution of a square drop of some weight that is more than rounding, and no less than any other.
template <class V>
GPURES_FN V smallest_of_square(V weight, double smallest)
{
    return greatest(number<V>(IS_SINGLE<V> ? SMALLEST_SHARE_SINGLE : SMALLEST_SHARE) * magnitude(weight),
                    number<V>(smallest));
}

// A square drop has no area to speak of, and is passed over, where that is below this fraction of the square of its
// extent (width plus height). Coordinates of frames up to 1e5 pixels are good to 3e-11, so the area of a collapsed drop
// of at least 0.01 pixels comes out below 3e-9 of that; and what the lobes of one that folds over itself add and take
// away stays within 1e7 times its weight. A drop may be 5e7 times as long as it is wide.
constexpr double LEAST_AREA = 1e-8, LEAST_AREA_SINGLE = 1e-5;

template <class V>
GPURES_FN V least_area()
{
    return number<V>(IS_SINGLE<V> ? LEAST_AREA_SINGLE : LEAST_AREA);
}

template <class V>
GPURES_FN auto is_flat(const Outline<V>& o)
{
    const V extent = o.width + o.height;
    return magnitude(o.area) <= least_area<V>() * extent * extent;
}

// Drops around a point where four pixels meet, with a corner in each of them (see overlap.h). False, and nothing is
// done, if there are others of any weight, or some that reach beyond the bounds.
template <class V, class N, class Sink, class KnownSides>
GPURES_INLINE bool splat_quarters(const Quad<V>& q, V weight, const BoundsIn<N>& bounds, Sink& sink,
                                  const KnownSides& sides_of)
{
    const V zero = V{}, half = number<V>(0.5);
    const N one = number<N>(1.0);
    const V i = nearest(q.x[3]), j = nearest(q.y[3]);
    const Quad<V> d = distances(q, i + half, j + half);
    V quarter[4];
    twice_quarters(d, sides_of(q), quarter);
    const V whole = (quarter[0] + quarter[1]) + (quarter[2] + quarter[3]);  // NaN if any coordinate is
    const auto is_inside = is_between(i, bounds.x0, bounds.x1 - one) & is_between(j, bounds.y0, bounds.y1 - one);
    const auto is_around = all_within_one(d.x) & all_within_one(d.y) & is_inside;
    // Here the extent is 4 at most, and `whole` is twice the area.
    if (!everywhere((is_around & (whole > number<V>(32.0) * least_area<V>())) | (weight == zero))) return false;
    const V per_area = quotient(weight, whole);
    const V smallest = smallest_of_square(weight, bounds.smallest);
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
template <class V, class N, class Sink, class KnownSides>
GPURES_FN void splat_square(const Quad<V>& q, V weight, const BoundsIn<N>& bounds, Sink& sink, bool around_points,
                            const KnownSides& sides_of)
{
    if (around_points && splat_quarters(q, weight, bounds, sink, sides_of)) return;
    const V zero = V{}, one = number<V>(1.0), half = number<V>(0.5);
    const V x0 = number<V>(bounds.x0), x1 = number<V>(bounds.x1);
    const V y0 = number<V>(bounds.y0), y1 = number<V>(bounds.y1);
    // One sum tells of a NaN, an infinity or a number too large in any of them.
    V far = zero;
    for (int k = 0; k < 4; ++k) far = far + magnitude(q.x[k]) + magnitude(q.y[k]);
    weight = select(far < number<V>(FARTHEST), weight, zero);
    Outline<V> o;
    bounding_box(q, o);
    // Clipped to the bounds before it is counted: a drop of any size costs no more than what it shares with them.
    const V i0 = greatest(nearest(o.left), x0);
    const V j0 = greatest(nearest(o.bottom), y0);
    V columns = least(nearest(o.left + o.width), x1) - i0 + one;
    V rows = least(nearest(o.bottom + o.height), y1) - j0 + one;
    columns = select(weight == zero, zero, columns);
    rows = select(columns > zero, rows, zero);
    if (!any_greater(rows, zero)) return;

    complete(q, o);
    const auto flat = is_flat(o);
    if (any_greater(select(flat, rows, zero), zero)) {
        // Counted once, where it begins.
        const auto begins_here = ((nearest(o.left) >= x0) | (x0 == number<V>(bounds.frame_x))) &
                                 ((nearest(o.bottom) >= y0) | (y0 == number<V>(bounds.frame_y)));
        sink.pass_over(flat & begins_here & (rows > zero));
        columns = select(flat, zero, columns);
        rows = select(flat, zero, rows);
    }
    const V per_area = weight / select(flat, one, o.area);
    // Areas are as good as those of the bounding box, which is much larger than a drop that is long and slanted.
    const V smallest = smallest_of_square(o.width * o.height * per_area, bounds.smallest);
    const auto place = sink.place(i0, j0, rows > zero);
    for (int c = 0; any_greater(columns, number<V>(c)); ++c) {
        const V i = i0 + number<V>(c);
        const Strip<V> s = strip(o, (i - half) - o.left, (i + half) - o.left);
        V above = area_above(s, (j0 - half) - o.bottom);
        for (int r = 0; any_greater(rows, number<V>(r)); ++r) {
            const V j = j0 + number<V>(r);
            const V above_next = area_above(s, (j + half) - o.bottom);
            V dow = (above - above_next) * per_area;
            above = above_next;
            dow = select(columns > number<V>(c), dow, zero);
            dow = select(rows > number<V>(r), dow, zero);
            sink.add(place, c, r, contribution(dow, smallest));
        }
    }
}

// What a drop contributes where it meets no bounds, but for contributions that are none.
template <class V, class Profile>
GPURES_FN V whole_product(const Profile& profile, V x, V y, V weight)
{
    const V zero = V{};
    weight = select(magnitude(x) + magnitude(y) < zero + FARTHEST, weight, zero);
    x = select(weight == zero, zero, x);
    y = select(weight == zero, zero, y);
    const V i0 = profile.first(x), j0 = profile.first(y);
    const V columns = profile.last(x) - i0 + 1.0, rows = profile.last(y) - j0 + 1.0;
    V across = zero, up = zero;
    for (V c = zero; any_greater(columns, c); c = c + 1.0) {
        across = across + select(columns > c, profile(x, i0 + c), zero);
    }
    for (V r = zero; any_greater(rows, r); r = r + 1.0) up = up + select(rows > r, profile(y, j0 + r), zero);
    return across * up * weight;
}

// A coordinate as V, and what a function makes of it, or of it and of an output pixel. (Beside a V there are
// coordinates that have more digits than it: on which pixels a drop falls, and what is read from a table, can't be had
// from fewer.)
template <class V>
GPURES_FN V near(V x)
{
    return x;
}

template <class V, class Function>
GPURES_FN V exactly(V x, const Function& of)
{
    return of(x);
}

template <class V, class Function>
GPURES_FN V exactly(V x, V i, const Function& of)
{
    return of(x, i);
}

// Such functions: the first and the last pixel that a profile's drop may reach, and the pixel that holds a coordinate.
template <class Profile>
struct FirstPixel {
    const Profile& profile;

    template <class C>
    GPURES_FN C operator()(C x) const
    {
        return profile.first(x);
    }
};

template <class Profile>
struct LastPixel {
    const Profile& profile;

    template <class C>
    GPURES_FN C operator()(C x) const
    {
        return profile.last(x);
    }
};

struct PixelAt {
    template <class C>
    GPURES_FN C operator()(C x) const
    {
        return nearest(x);
    }
};

// The factor of a profile for the output pixel i.
template <class V, class Profile, class Coordinate>
GPURES_FN V factor_of(const Profile& profile, const Coordinate& x, V i)
{
    if constexpr (Profile::IS_TABLE) {
        return exactly(x, i, profile);
    } else {
        return profile(near(x), i);
    }
}

template <class V, class Coordinate, class N, class Sink>
GPURES_FN void splat_point(const Coordinate& x, const Coordinate& y, V weight, const BoundsIn<N>& bounds, Sink& sink)
{
    const V zero = V{};
    const PixelAt pixel = {};
    const V i = exactly(x, pixel), j = exactly(y, pixel);
    V dow = select(i >= number<V>(bounds.x0), weight, zero);
    dow = select(i <= number<V>(bounds.x1), dow, zero);
    dow = select(j >= number<V>(bounds.y0), dow, zero);
    dow = contribution(select(j <= number<V>(bounds.y1), dow, zero), number<V>(bounds.smallest));
    sink.add(sink.place(i, j, magnitude(dow) > zero), 0, 0, dow);
}

// Factors along x are computed for this many columns at a time and used for every row: few enough to stay in
// registers on a GPU, and as many as most drops have.
constexpr int COLUMNS_AT_ONCE = 8;

template <class V, class Profile, class Coordinate, class N, class Sink>
GPURES_FN void splat_product(const Profile& profile, const Coordinate& x, const Coordinate& y, V weight,
                             const BoundsIn<N>& bounds, Sink& sink)
{
    const V zero = V{}, one = number<V>(1.0), smallest = number<V>(bounds.smallest);
    const FirstPixel<Profile> first = {profile};
    const LastPixel<Profile> last = {profile};
    weight = select(magnitude(near(x)) + magnitude(near(y)) < number<V>(FARTHEST), weight, zero);
    const V i0 = greatest(exactly(x, first), number<V>(bounds.x0));
    const V j0 = greatest(exactly(y, first), number<V>(bounds.y0));
    V columns = least(exactly(x, last), number<V>(bounds.x1)) - i0 + one;
    V rows = least(exactly(y, last), number<V>(bounds.y1)) - j0 + one;
    columns = select(weight == zero, zero, columns);
    rows = select(columns > zero, rows, zero);
    if (!any_greater(rows, zero)) return;
    const auto place = sink.place(i0, j0, rows > zero);
    for (int start = 0; any_greater(columns, number<V>(start)); start += COLUMNS_AT_ONCE) {
        V factor[COLUMNS_AT_ONCE];
        for (int k = 0; k < COLUMNS_AT_ONCE; ++k) {
            const V c = number<V>(start + k);
            if (!any_greater(columns, c)) break;
            factor[k] = select(columns > c, factor_of(profile, x, i0 + c), zero);
        }
        for (int r = 0; any_greater(rows, number<V>(r)); ++r) {
            const V row = number<V>(r);
            const V share = select(rows > row, factor_of(profile, y, j0 + row) * weight, zero);
            for (int k = 0; k < COLUMNS_AT_ONCE; ++k) {
                if (!any_greater(columns, number<V>(start + k))) break;
                sink.add(place, start + k, r, contribution(factor[k] * share, smallest));
            }
        }
    }
}

GPURES_END

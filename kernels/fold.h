// One exposure's sums at an output pixel -> the mosaic's accumulators, and those -> the images.
//
// What is accumulated is means with their weights, never sums of products with a weight or its square: with inverse
// variance weights up to 1e30 such sums leave the range of float32. A mean has the range of the data, and a ratio of
// weights lies between 0 and 1.
//
// Sums of weights leave that range too: two pixels of the largest weight do. Float32 keeps what is too large for it as
// NaN, with the sum in the bits that tell one NaN from another: 4 of them are its exponent, from 2^128 on, and 19 the
// digits of its mantissa, good to 1e-6. Infinity, in these bits, is 2^128. What is beyond 2^144 becomes the last
// before.
#pragma once

#include "weights.h"

GPURES_BEGIN

// What the planes of an exposure have in common at an output pixel.
template <class V>
struct Common {
    V added;      // sum of the exposure's weights; 0 if it rounds to that
    V per_added;  // 1 / added; 0 where nothing is added
    V per_total;  // 1 / (weight before + added)
    V old_share;  // of the weight before in that sum
    V t;          // weight of the exposure's variances; 0 where nothing is added
};

// Weighted mean of what was there before and of the new contributions, whose weighted sum is `sum`.
template <class V>
GPURES_FN V merged_mean(const Common<V>& c, V mean, V sum)
{
    // Without a weight there is no mean yet, only what the array was filled with.
    return sum * c.per_total + select(c.old_share == V{}, V{}, mean * c.old_share);
}

// The same where values are weighted with squares: `sum` is that of the new contributions times their squared weights.
template <class V>
GPURES_FN V merged_squared(const Common<V>& c, V mean, V sum)
{
    return sum * c.per_total * c.per_total + select(c.old_share == V{}, V{}, mean * c.old_share * c.old_share);
}

// The mean that is kept of a plane, of one that was kept before and of the new contributions: of errors the root.
template <Squared SQUARED, class V>
GPURES_FN V merged_as(const Common<V>& c, V mean, V sum)
{
    if constexpr (SQUARED == NOT_SQUARED) return merged_mean(c, mean, sum);
    if constexpr (SQUARED == SQUARED_ERRORS) return sqrt(merged_squared(c, mean * mean, sum));
    return merged_squared(c, mean, sum);
}

// What the planes have in common at an output pixel, of what has the weight `before` and what is added.
template <class V>
GPURES_FN Common<V> common_of_both(V before, V added)
{
    Common<V> c = {};
    c.added = added;
    c.per_total = quotient(number<V>(1.0), before + added);
    c.old_share = before * c.per_total;
    return c;
}

// How a variance takes part in a weighted mean. With weights t before and t_new, the mean's variance is
// (v t^2 + v_new t_new^2) / (t + t_new)^2.
template <class V>
struct VarianceShares {
    V before, total;  // t and t + t_new
    V old, added;     // (t / (t + t_new))^2 and (t_new / (t + t_new))^2

    GPURES_FN V merged(V v, V v_new) const { return v_new * added + v * old; }
};

template <class V>
GPURES_FN VarianceShares<V> variance_shares(V before, V added)
{
    const V zero = V{}, one = number<V>(1.0);
    const V total = before + added, per_total = quotient(one, total);
    const V old_share = before * per_total, new_share = added * per_total;
    const auto nothing = added == zero;
    return {before, total, select(nothing, one, old_share * old_share), select(nothing, zero, new_share * new_share)};
}

// Weight of an exposure's variances at an output pixel: the inverse of its drizzled read-noise variance, or the largest
// weight. 0 where the variance is not positive and finite: such a pixel contributes no variance.
template <class V>
GPURES_FN V variance_weight(V rnoise)
{
    const V zero = V{}, largest = number<V>(LARGEST_WEIGHT);
    const V t = select(rnoise > number<V>(1.0 / LARGEST_WEIGHT), quotient(number<V>(1.0), rnoise), largest);
    // Beyond 1e300 a quotient may be none, see there; its inverse is no weight in any accumulator.
    return select(rnoise > zero, select(rnoise < number<V>(IS_SINGLE<V> ? LARGEST_WEIGHT : 1e300), t, zero), zero);
}

// The variance in the output's units; NaN where none was accumulated.
GPURES_FN double finished_variance(double v, double t, double scaling)
{
    return t != 0.0 ? v * scaling : not_a_number();
}

// As many accumulators of type T as V has lanes, from `index` on.
template <class V, class T>
GPURES_FN V get(const void* array, long long index)
{
    return Access<V>::load(static_cast<const T*>(array) + index);
}

template <class V, class T>
GPURES_FN void put(void* array, long long index, V v)
{
    store(v, static_cast<T*>(array) + index);
}

// Rounded to the accumulators' type: a weight below its smallest number is none.
template <class V, class T>
GPURES_FN V rounded(V v)
{
    if constexpr (IsSame<T, typename LaneOf<V>::Type>::VALUE) {
        return v;
    } else {
        T each[LANES_OF<V>];
        store(v, each);
        return Access<V>::load(each);
    }
}

// In floats no sum of weights is beyond float32, and none is so small that its inverse is: see `floats_will_do`.
constexpr double LARGEST_IN_FLOATS = 0x1p100, SMALLEST_IN_FLOATS = 0x1p-100;

// Whether an exposure's sums can be folded in floats into what has a weight before.
template <class V>
GPURES_FN bool floats_will_do(V before, V added)
{
    const V largest = number<V>(LARGEST_IN_FLOATS), smallest = number<V>(SMALLEST_IN_FLOATS);
    const V one = number<V>(1.0), total = before + added;
    // (NaN would not.)
    const bool before_fits = all_at_least(largest, magnitude(before));
    const bool added_fits = all_at_least(largest, magnitude(added));
    const bool added_inverts = all_at_least(magnitude(select(added == V{}, one, added)), smallest);
    const bool total_inverts = all_at_least(magnitude(select(total == V{}, one, total)), smallest);
    return before_fits & added_fits & added_inverts & total_inverts;
}

// The bits of a sum of weights beyond float32, and what they stand for. Those of a NaN that arithmetic makes are no
// sum.
constexpr unsigned SIGN = 0x80000000u, BEYOND = 0x7f800000u, CODE = 0x007fffffu, NO_SUM = 0x00400000u;
constexpr int DIGITS = 19, MORE_DIGITS = 52 - DIGITS;  // of a code's mantissa, and what double has besides
constexpr unsigned long long FIRST_BEYOND = (1023ull + 128) << DIGITS;  // 2^128, as double has it to so many digits

GPURES_FN bool is_code(unsigned bits) { return (bits & BEYOND) == BEYOND && (bits & CODE) != NO_SUM; }

GPURES_FN double sum_of_code(unsigned bits)
{
    const double sum = same_bits<double>((FIRST_BEYOND + (bits & CODE)) << MORE_DIGITS);
    return bits & SIGN ? -sum : sum;
}

GPURES_FN unsigned code_of_sum(double sum)
{
    if (sum != sum) return BEYOND | NO_SUM;
    const unsigned long long half = 1ull << (MORE_DIGITS - 1);
    const unsigned long long rounded = (same_bits<unsigned long long>(fabs(sum)) + half) >> MORE_DIGITS;
    const unsigned long long above = rounded > FIRST_BEYOND ? rounded - FIRST_BEYOND : 0;
    const unsigned code = above < CODE ? static_cast<unsigned>(above) : CODE;
    return (sum < 0.0 ? SIGN : 0u) | BEYOND | (code == NO_SUM ? NO_SUM + 1 : code);
}

// As many sums of weights as V has lanes, in an accumulator.
template <class V>
GPURES_FN V get_sum(const float* kept)
{
    const V sum = Access<V>::load(kept);
    if constexpr (IS_SINGLE<V>) {
        return sum;  // who folds in floats has looked
    } else {
        if (all_at_least(number<V>(LARGEST_WEIGHT), magnitude(sum))) return sum;
        double each[LANES_OF<V>];
        store(sum, each);
        for (double& lane : each) {
            const unsigned bits = same_bits<unsigned>(*kept++);
            if (is_code(bits)) lane = sum_of_code(bits);
        }
        return Access<V>::load(each);
    }
}

template <class V>
GPURES_FN V get_sum(const double* kept)
{
    return Access<V>::load(kept);
}

// `beyond` may be null.
template <class V>
GPURES_FN void put_sum(V sum, float* kept, [[maybe_unused]] int* beyond)
{
    store(sum, kept);
    if constexpr (!IS_SINGLE<V>) {
        if (all_at_least(number<V>(LARGEST_WEIGHT), magnitude(sum))) return;
        if (beyond) set(beyond);
        double each[LANES_OF<V>];
        store(sum, each);
        for (double lane : each) {
            if (!(fabs(lane) <= LARGEST_WEIGHT)) *kept = same_bits<float>(code_of_sum(lane));
            ++kept;
        }
    }
}

template <class V>
GPURES_FN void put_sum(V sum, double* kept, int*)
{
    store(sum, kept);
}

// A sum of weights in an image: infinite where it is beyond float32.
GPURES_FN float shown_weight(float kept)
{
    const unsigned bits = same_bits<unsigned>(kept);
    return is_code(bits) ? same_bits<float>(bits & ~CODE) : kept;
}

// What follows works on as many output pixels as V has lanes, from `index` on, in accumulators of type T. sums(0) is
// the sum of the weights there, sums(1 + p) the weighted sum of plane p.

template <class V, class T, class Sums>
GPURES_FN Common<V> common(const Exposure& e, const Mosaic& m, const Sums& sums, long long index)
{
    const V zero = V{}, one = number<V>(1.0);
    const V weight = m.weight ? get_sum<V>(static_cast<const T*>(m.weight) + index) : zero;
    Common<V> c;
    c.added = sums(0);
    c.per_added = quotient(one, c.added);
    c.per_total = quotient(one, weight + c.added);
    c.old_share = weight * c.per_total;
    c.t = number<V>(e.variance_weight);
    if (e.variance_weight_plane >= 0) {
        const V root = sums(1 + e.variance_weight_plane) * c.per_added;
        c.t = variance_weight(root * root);
    }
    const auto nothing = rounded<V, T>(c.added) == zero;
    c.added = select(nothing, zero, c.added);
    c.per_added = select(nothing, zero, c.per_added);
    c.t = select(nothing, zero, c.t);
    return c;
}

// Whether all of an exposure can be folded in floats there, into accumulators that are floats.
template <class V, class Sums>
GPURES_FN bool floats_will_do(const Exposure& e, const Mosaic& m, const Sums& sums, long long index)
{
    const V added = sums(0);
    bool all = floats_will_do(m.weight ? get<V, float>(m.weight, index) : V{}, added);
    V t = number<V>(e.variance_weight);
    if (e.variance_weight_plane >= 0) {
        const V root = sums(1 + e.variance_weight_plane) * quotient(number<V>(1.0), added);
        t = select(added == V{}, V{}, variance_weight(root * root));
    }
    for (int p = 0; p < e.planes; ++p) {
        if (e.plane[p].weight) all = all & floats_will_do(get<V, float>(e.plane[p].weight, index), t);
    }
    return all;
}

template <class V, class T, Squared SQUARED>
GPURES_FN void fold_mean(const Plane& plane, const Common<V>& c, V sum, long long index)
{
    const V mean = get<V, T>(plane.mean, index);
    put<V, T>(plane.mean, index, select(c.added == V{}, mean, merged_as<SQUARED>(c, mean, sum)));
}

// A variance that comes without the data, with weights of its own.
template <class V, class T>
GPURES_FN void fold_apart(const Plane& plane, const Common<V>& of_exposure, V sum, long long index)
{
    T* const kept = static_cast<T*>(plane.weight) + index;
    const V before = get_sum<V>(kept);
    fold_mean<V, T, SQUARED_VARIANCES>(plane, common_of_both(before, of_exposure.added), sum, index);
    put_sum(before + of_exposure.added, kept, nullptr);
}

// `shares`: those of a variance folded before, mostly those of the next one too; a division is dear.
template <class V, class T>
GPURES_FN void fold_variance(const Plane& plane, const Common<V>& c, V sum, VarianceShares<V>& shares, long long index)
{
    const V zero = V{}, largest = number<V>(LARGEST_WEIGHT);
    const V root = sum * c.per_added, v_new = root * root;
    const V v = get<V, T>(plane.mean, index);
    const V before = get_sum<V>(static_cast<const T*>(plane.weight) + index);
    if (all_at_least(largest, v_new)) {
        if (!all_equal(before, shares.before)) shares = variance_shares(before, c.t);
        put<V, T>(plane.mean, index, shares.merged(v, v_new));
        put_sum(shares.total, static_cast<T*>(plane.weight) + index, nullptr);
        return;
    }
    // What is no variance takes no part.
    const V t = select(v_new <= largest, c.t, zero);
    const VarianceShares<V> own = variance_shares(before, t);
    put<V, T>(plane.mean, index, select(t == zero, v, own.merged(v, v_new)));
    put_sum(own.total, static_cast<T*>(plane.weight) + index, nullptr);
}

template <class V, class T>
GPURES_FN void fold_weight(const Mosaic& m, const Common<V>& c, long long index)
{
    if (!m.weight) return;
    T* const kept = static_cast<T*>(m.weight) + index;
    put_sum(get_sum<V>(kept) + c.added, kept, m.beyond);
}

// The p-th plane, which has the weights of the mosaic, at some output pixels: see fold_planes().
template <class V, class T, Squared SQUARED, class Pixels>
GPURES_FN void fold_means(const Plane& plane, int p, Pixels& pixels)
{
    pixels.each([&](typename Pixels::Pixel& pixel) {
        pixel.template prefetch<T>(plane.mean);
        fold_mean<V, T, SQUARED>(plane, pixel.common(), pixel.sums()(1 + p), pixel.index);
    });
}

// The same of a plane that is none of roots.
template <class V, class T, class Pixels>
GPURES_FN void fold_plane(const Plane& plane, int p, Pixels& pixels)
{
    if (plane.squared == NOT_SQUARED) return fold_means<V, T, NOT_SQUARED>(plane, p, pixels);
    if (plane.squared == SQUARED_ERRORS) return fold_means<V, T, SQUARED_ERRORS>(plane, p, pixels);
    if (!plane.weight) return fold_means<V, T, SQUARED_VARIANCES>(plane, p, pixels);
    pixels.each([&](typename Pixels::Pixel& pixel) {
        fold_apart<V, T>(plane, pixel.common(), pixel.sums()(1 + p), pixel.index);
    });
}

// The same of a sum.
template <class V, class Pixels>
GPURES_FN void fold_sum(const Plane& plane, int p, Pixels& pixels)
{
    pixels.each([&](typename Pixels::Pixel& pixel) {
        const V kept = get<V, double>(plane.mean, pixel.index);
        put<V, double>(plane.mean, pixel.index, kept + pixel.sums()(1 + p));
    });
}

// All planes of an exposure, one after the other, at some output pixels: on a GPU at one; on a CPU at a row of them, as
// then each step is short, and many pixels are in work at once.
//
// each(work) calls work(pixel) with every one of `Pixels`, or with as many as V has lanes. A pixel has its sums, its
// `index`, and a place to keep what is worked out for it on the way; `prefetch` tells which accumulators are next, and
// `begin_variances` which variance is the first.
template <class V, class T, class Pixels>
GPURES_FN void fold_planes(const Exposure& e, const Mosaic& m, Pixels& pixels)
{
    using Pixel = typename Pixels::Pixel;
    pixels.each([&](Pixel& pixel) {
        pixel.template prefetch<T>(m.weight);
        pixel.keep(common<V, T>(e, m, pixel.sums(), pixel.index));
    });
    bool any_variance = false;
    for (int p = 0; p < e.planes; ++p) {
        const Plane& plane = e.plane[p];
        if (plane.root == KEPT_MEAN) {
            fold_plane<V, T>(plane, p, pixels);
            continue;
        }
        if (plane.root == KEPT_SUM) {
            if constexpr (!IS_SINGLE<V>) fold_sum<V>(plane, p, pixels);
            continue;
        }
        if (!any_variance) pixels.each([&](Pixel& pixel) { pixel.template begin_variances<T>(plane); });
        any_variance = true;
        pixels.each([&](Pixel& pixel) {
            pixel.template prefetch<T>(plane.mean);
            pixel.template prefetch<T>(plane.weight);
            auto&& shares = pixel.shares();  // its own, or a copy
            fold_variance<V, T>(plane, pixel.common(), pixel.sums()(1 + p), shares, pixel.index);
        });
    }
    pixels.each([&](Pixel& pixel) { fold_weight<V, T>(m, pixel.common(), pixel.index); });
}

// An output pixel on its own.
template <class V, class Sums>
class OnePixel {
  public:
    using Pixel = OnePixel;
    const long long index;

    GPURES_FN OnePixel(const Sums& sums, long long index) : index(index), sums_(sums), common_{}, shares_{}
    {
        shares_.before = shares_.before - 1.0;  // as no weight is
    }

    template <class Work>
    GPURES_FN void each(const Work& work)
    {
        work(*this);
    }

    template <class T>
    GPURES_FN void prefetch(const void*) const
    {
    }

    template <class T>
    GPURES_FN void begin_variances(const Plane&) const
    {
    }

    GPURES_FN const Sums& sums() const { return sums_; }
    GPURES_FN void keep(const Common<V>& c) { common_ = c; }
    GPURES_FN const Common<V>& common() const { return common_; }
    GPURES_FN VarianceShares<V>& shares() { return shares_; }

  private:
    const Sums& sums_;
    Common<V> common_;
    VarianceShares<V> shares_;
};

template <class V, class T, class Sums>
GPURES_FN void fold(const Exposure& e, const Mosaic& m, const Sums& sums, long long index)
{
    OnePixel<V, Sums> pixel(sums, index);
    fold_planes<V, T>(e, m, pixel);
}

// Adds the exposure's time to the mosaic's map of it, where it has a good pixel.
template <class V, class T, class M>
GPURES_FN void add_time(const Exposure& e, const Mosaic& m, M has_good_pixel, long long index)
{
    const V time = get<V, T>(m.time, index);
    put<V, T>(m.time, index, select(has_good_pixel, time + e.exposure_time, time));
}

// Root of the sum of `count` variances: NaN where any of them is, or, unless `all` are needed, where all are.
GPURES_FN float error_from_variances(const float* const* variances, int count, bool all, long long index)
{
    double sum = 0.0;
    bool any = false;
    for (int k = 0; k < count; ++k) {
        const double v = widened(variances[k][index]);
        if (v != v && !all) continue;
        any = true;
        sum += v;
    }
    return narrowed(any ? sqrt(sum) : not_a_number());
}

GPURES_END

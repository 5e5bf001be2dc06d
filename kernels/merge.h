// Two mosaics of one frame -> one: at each output pixel what both have accumulated (see fold.h), as if the exposures of
// the other had been added after one's own.
#pragma once

#include "fold.h"

GPURES_BEGIN

// What follows works on as many output pixels as V has lanes, in accumulators of type T: those from `index` on of one
// mosaic, and those from `there` on of the other's window.

// Sums of weights of both, and whether these and their total are kept as they are, as they mostly are.
template <class V>
struct WeightsOfBoth {
    V before, added;
    bool are_plain;
};

template <class V>
GPURES_FN WeightsOfBoth<V> weights_of_both(const float* kept, const float* others)
{
    const V before = Access<V>::load(kept), added = Access<V>::load(others);
    // One comparison tells of all three.
    if (all_at_least(V{} + LARGEST_WEIGHT, magnitude(before) + magnitude(added))) return {before, added, true};
    return {get_sum<V>(kept), get_sum<V>(others), false};
}

template <class V>
GPURES_FN WeightsOfBoth<V> weights_of_both(const double* kept, const double* others)
{
    return {get_sum<V>(kept), get_sum<V>(others), true};
}

template <class V, class T>
GPURES_FN WeightsOfBoth<V> weights_of_both(const void* kept, const void* others, long long index, long long there)
{
    return weights_of_both<V>(static_cast<const T*>(kept) + index, static_cast<const T*>(others) + there);
}

template <class V, class T>
GPURES_FN void put_total(const WeightsOfBoth<V>& weights, void* kept, long long index, int* beyond)
{
    const V total = weights.before + weights.added;
    if (weights.are_plain) {
        put<V, T>(kept, index, total);
    } else {
        put_sum(total, static_cast<T*>(kept) + index, beyond);
    }
}

template <class V, class T>
GPURES_FN Common<V> common_of_both(const Merge& m, long long index, long long there)
{
    const WeightsOfBoth<V> weights = weights_of_both<V, T>(m.weight, m.other_weight, index, there);
    return common_of_both(weights.before, weights.added);
}

// What a mean of the other mosaic stands for in one of its pixels: the sum that merged_as() takes.
template <Squared SQUARED, class V>
GPURES_FN V sum_of_other(const Common<V>& c, V mean)
{
    if constexpr (SQUARED == NOT_SQUARED) return mean * c.added;
    if constexpr (SQUARED == SQUARED_ERRORS) return mean * mean * c.added * c.added;
    return mean * c.added * c.added;
}

template <class V, class T, Squared SQUARED>
GPURES_FN void merge_mean(const MergedPlane& plane, const Common<V>& c, long long index, long long there)
{
    const V zero = V{};
    const V mean = get<V, T>(plane.mean, index), other = get<V, T>(plane.other_mean, there);
    const V both = merged_as<SQUARED>(c, mean, sum_of_other<SQUARED>(c, other));
    // Where there is one of them alone it is taken as it is.
    put<V, T>(plane.mean, index, select(c.added == zero, mean, select(c.old_share == zero, other, both)));
}

template <class V, class T>
GPURES_FN void merge_plane(const MergedPlane& plane, const Common<V>& c, long long index, long long there)
{
    if (plane.squared == NOT_SQUARED) return merge_mean<V, T, NOT_SQUARED>(plane, c, index, there);
    if (plane.squared == SQUARED_ERRORS) return merge_mean<V, T, SQUARED_ERRORS>(plane, c, index, there);
    merge_mean<V, T, SQUARED_VARIANCES>(plane, c, index, there);
}

template <class V, class T>
GPURES_FN void merge_variance(const MergedPlane& plane, long long index, long long there)
{
    const V zero = V{};
    const WeightsOfBoth<V> weights = weights_of_both<V, T>(plane.weight, plane.other_weight, index, there);
    if (everywhere(weights.added == zero)) return;
    const V v = get<V, T>(plane.mean, index), other = get<V, T>(plane.other_mean, there);
    const V both = variance_shares(weights.before, weights.added).merged(v, other);
    put<V, T>(plane.mean, index, select(weights.added == zero, v, select(weights.before == zero, other, both)));
    put_total<V, T>(weights, plane.weight, index, nullptr);
}

template <class V, class T>
GPURES_FN void merge_weight(const Merge& m, long long index, long long there)
{
    put_total<V, T>(weights_of_both<V, T>(m.weight, m.other_weight, index, there), m.weight, index, m.beyond);
}

template <class V, class T>
GPURES_FN void merge_time(const Merge& m, long long index, long long there)
{
    const V added = get<V, T>(m.other_time, there);
    if (everywhere(added == V{})) return;
    put<V, T>(m.time, index, get<V, T>(m.time, index) + added);
}

// Bits of other exposures, or flags, from one pixel on.
GPURES_FN void merge_bits(unsigned* bits, const unsigned* others, int n)
{
    for (int k = 0; k < n; ++k) bits[k] |= others[k];
}

// The p-th plane of the other's context, from one pixel on. Its bits come after one's own: they lie in two planes,
// unless those fill planes. A bit for which there is no plane is none.
GPURES_FN void merge_context(const Merge& m, int p, long long index, long long there, int n)
{
    const unsigned* const others = m.other_context + p * m.other_context_stride + there;
    const int first = m.first_bit + 32 * p, plane = first / 32, shift = first % 32;
    unsigned* const low = m.context + plane * m.context_stride + index;
    if (plane < m.context_planes) {
        for (int k = 0; k < n; ++k) low[k] |= others[k] << shift;
    }
    if (shift > 0 && plane + 1 < m.context_planes) {
        unsigned* const high = low + m.context_stride;
        for (int k = 0; k < n; ++k) high[k] |= others[k] >> (32 - shift);
    }
}

GPURES_FN void merge_pairs(const Merge& m, int p, long long index, long long there)
{
    const double sum = m.other_pairs[p * m.other_pairs_stride + there];
    if (sum != 0.0) m.pairs[p * m.pairs_stride + index] += sum;
}

// All that there is of an output pixel.
template <class T>
GPURES_FN void merge_pixel(const Merge& m, long long index, long long there)
{
    const Common<double> c = common_of_both<double, T>(m, index, there);
    for (int p = 0; p < m.planes; ++p) {
        const MergedPlane& plane = m.plane[p];
        if (plane.weight) {
            merge_variance<double, T>(plane, index, there);
        } else if (c.added != 0.0) {
            merge_plane<double, T>(plane, c, index, there);
        }
    }
    if (c.added != 0.0) merge_weight<double, T>(m, index, there);
    if (m.time) merge_time<double, T>(m, index, there);
    if (m.dq) merge_bits(m.dq + index, m.other_dq + there, 1);
    for (int p = 0; p < m.other_planes; ++p) merge_context(m, p, index, there, 1);
    for (int p = 0; p < m.pair_planes; ++p) merge_pairs(m, p, index, there);
}

GPURES_END

// Two mosaics of one frame -> one: at each output pixel what both have accumulated (see fold.h), as if the exposures of
// the other had been added after one's own.
#pragma once

#include "fold.h"

GPURES_BEGIN

// What follows works on as many output pixels as V has lanes, in accumulators of type T: those from `index` on of one
// mosaic, and those from `there` on of the other's window.

template <class V, class T>
GPURES_FN V weight_of_other(const Merge& m, long long there)
{
    return get_sum<V>(static_cast<const T*>(m.other_weight) + there);
}

template <class V, class T>
GPURES_FN Common<V> common_of_both(const Merge& m, long long index, long long there)
{
    return common_of_both(get_sum<V>(static_cast<const T*>(m.weight) + index), weight_of_other<V, T>(m, there));
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
    const V added = get_sum<V>(static_cast<const T*>(plane.other_weight) + there);
    if (everywhere(added == zero)) return;
    const V before = get_sum<V>(static_cast<const T*>(plane.weight) + index);
    const V v = get<V, T>(plane.mean, index), other = get<V, T>(plane.other_mean, there);
    const VarianceShares<V> shares = variance_shares(before, added);
    const V merged = select(before == zero, other, shares.merged(v, other));
    put<V, T>(plane.mean, index, select(added == zero, v, merged));
    put_sum(shares.total, static_cast<T*>(plane.weight) + index, nullptr);
}

template <class V, class T>
GPURES_FN void merge_weight(const Merge& m, long long index, long long there)
{
    T* const kept = static_cast<T*>(m.weight) + index;
    put_sum(get_sum<V>(kept) + weight_of_other<V, T>(m, there), kept, m.beyond);
}

template <class V, class T>
GPURES_FN void merge_time(const Merge& m, long long index, long long there)
{
    const V added = get<V, T>(m.other_time, there);
    if (everywhere(added == V{})) return;
    put<V, T>(m.time, index, get<V, T>(m.time, index) + added);
}

// The p-th plane of the other's context, whose bits come after one's own: they lie in two planes, unless those fill
// planes. A bit for which there is no plane is none.
GPURES_FN void merge_context(const Merge& m, int p, long long index, long long there)
{
    const unsigned bits = m.other_context[p * m.other_context_stride + there];
    if (bits == 0) return;
    const int first = m.first_bit + 32 * p, plane = first / 32, shift = first % 32;
    unsigned* const context = m.context + plane * m.context_stride + index;
    if (plane < m.context_planes) context[0] |= bits << shift;
    if (shift > 0 && plane + 1 < m.context_planes) context[m.context_stride] |= bits >> (32 - shift);
}

GPURES_FN void merge_dq(const Merge& m, long long index, long long there)
{
    const unsigned flags = m.other_dq[there];
    if (flags != 0) m.dq[index] |= flags;
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
    if (m.dq) merge_dq(m, index, there);
    for (int p = 0; p < m.other_planes; ++p) merge_context(m, p, index, there);
}

GPURES_END

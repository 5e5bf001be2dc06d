// One exposure's sums at an output pixel -> the mosaic's accumulators, and those -> the images.
//
// What is accumulated is means with their weights, never sums of products with a weight or its square: with inverse
// variance weights up to 1e30 such sums leave the range of float32. A mean has the range of the data, and a ratio of
// weights lies between 0 and 1.
#pragma once

#include "weights.h"

GPURES_BEGIN

// Weighted mean of `mean` (of weight `weight`) and of the new contributions, whose weighted sum is `sum`;
// per_total = 1 / (weight + that of the new contributions).
template <class V>
GPURES_FN V merged_mean(V mean, V weight, V sum, V per_total)
{
    // Without a weight there is no mean yet, only what the array was filled with.
    return sum * per_total + select(weight == V{}, V{}, mean * (weight * per_total));
}

// Variance of the weighted mean of two values of variances v and v_new and of weights t and t_new:
// (v t^2 + v_new t_new^2) / (t + t_new)^2, one factor at a time; per_total = 1 / (t + t_new).
template <class V>
GPURES_FN V merged_variance(V v, V t, V v_new, V t_new, V per_total)
{
    const V old_share = t * per_total, new_share = t_new * per_total;
    return v_new * new_share * new_share + select(t == V{}, V{}, v * old_share * old_share);
}

// The same where values are weighted with squares: `sum` is that of the new contributions times their squared weights.
template <class V>
GPURES_FN V merged_squared(V mean, V weight, V sum, V per_total)
{
    const V old_share = weight * per_total;
    return sum * per_total * per_total + select(weight == V{}, V{}, mean * old_share * old_share);
}

// Weight of an exposure's variances at an output pixel: the inverse of its drizzled read-noise variance.
// 0 where that is not positive and finite: such a pixel contributes no variance.
template <class V>
GPURES_FN V variance_weight(V rnoise)
{
    const V t = 1.0 / rnoise;
    return select(rnoise > V{}, select(t <= V{} + LARGEST_WEIGHT, t, V{}), V{});
}

// The weight with which a value v takes part: t, or 0 if v is not a variance.
template <class V>
GPURES_FN V weight_of_variance(V v, V t)
{
    return select(v >= V{}, select(v <= V{} + LARGEST_WEIGHT, t, V{}), V{});
}

// The variance in the output's units; NaN where none was accumulated.
GPURES_FN double finished_variance(double v, double t, double scaling)
{
    return t > 0.0 ? v * scaling : not_a_number();
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
    T each[sizeof(V) / sizeof(double)];
    store(v, each);
    return Access<V>::load(each);
}

// Folds an exposure's sums into the mosaic's accumulators of type T, at as many output pixels as V has lanes, from
// `index` on. sums(0) is the sum of the weights there, sums(1 + p) the weighted sum of plane p.
template <class V, class T, class Sums>
GPURES_FN void fold(const Exposure& e, const Mosaic& m, const Sums& sums, long long index)
{
    const V zero = V{};
    const V added = sums(0);
    const auto nothing = rounded<V, T>(added) == zero;
    const V weight = m.weight ? get<V, T>(m.weight, index) : zero;
    const V per_added = 1.0 / added, per_total = 1.0 / (weight + added);
    V t = zero + e.variance_weight;
    if (e.variance_weight_plane >= 0) {
        const V root = sums(1 + e.variance_weight_plane) * per_added;
        t = variance_weight(root * root);
    }
    // Weights of the variance before, mostly those of the next one too: a division is dear.
    V t_seen = zero, t_added = zero, per_t = zero;
    for (int p = 0; p < e.planes; ++p) {
        const Plane& plane = e.plane[p];
        const V sum = sums(1 + p);
        const V mean = get<V, T>(plane.mean, index);
        if (!plane.root) {
            const V merged = plane.squared ? merged_squared(mean, weight, sum, per_total)
                                           : merged_mean(mean, weight, sum, per_total);
            put<V, T>(plane.mean, index, select(nothing, mean, merged));
            continue;
        }
        const V root = sum * per_added, v = root * root;
        const V t_before = get<V, T>(plane.weight, index);
        const V t_new = select(nothing, zero, weight_of_variance(v, t));
        if (!everywhere(t_before == t_seen) || !everywhere(t_new == t_added)) {
            per_t = 1.0 / (t_before + t_new);
            t_seen = t_before;
            t_added = t_new;
        }
        put<V, T>(plane.mean, index, select(t_new == zero, mean, merged_variance(mean, t_before, v, t_new, per_t)));
        put<V, T>(plane.weight, index, t_before + t_new);
    }
    if (m.weight) put<V, T>(m.weight, index, weight + select(nothing, zero, added));
}

// Adds the exposure's time to the mosaic's map of it, of type T, at an output pixel that it has a good pixel on.
template <class T>
GPURES_FN void add_time(const Exposure& e, const Mosaic& m, long long index)
{
    static_cast<T*>(m.time)[index] += static_cast<T>(e.exposure_time);
}

// Root of the sum of those of `count` variances that are not NaN; NaN where all are.
GPURES_FN float error_from_variances(const float* const* variances, int count, long long index)
{
    double sum = 0.0;
    bool any = false;
    for (int k = 0; k < count; ++k) {
        const double v = variances[k][index];
        if (v != v) continue;
        any = true;
        sum += v;
    }
    return static_cast<float>(any ? sqrt(sum) : not_a_number());
}

GPURES_END

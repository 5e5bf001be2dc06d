// One exposure's sums at an output pixel -> the mosaic's accumulators, and those -> the images.
//
// What is accumulated is means with their weights, never sums of products with a weight or its square: with inverse
// variance weights up to 1e30 such sums leave the range of float32. A mean has the range of the data, and a ratio of
// weights lies between 0 and 1.
#pragma once

#include "weights.h"

GPURES_BEGIN

// Weighted mean of `mean` (of weight `weight`) and of the new contributions, whose weighted sum is `sum`.
template <class V>
GPURES_FN V merged_mean(V mean, V weight, V sum, V added)
{
    const V total = weight + added;
    // Without a weight there is no mean yet, only what the array was filled with.
    return sum / total + select(weight == V{}, V{}, mean * (weight / total));
}

// Variance of the weighted mean of two values of variances v and v_new and of weights t and t_new:
// (v t^2 + v_new t_new^2) / (t + t_new)^2, one factor at a time.
template <class V>
GPURES_FN V merged_variance(V v, V t, V v_new, V t_new)
{
    const V total = t + t_new;
    const V old_share = t / total, new_share = t_new / total;
    return v_new * new_share * new_share + select(t == V{}, V{}, v * old_share * old_share);
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

GPURES_END

// One exposure's sums at an output pixel -> the mosaic's accumulators, and those -> the images.
//
// What is accumulated is means with their weights, never sums of products with a weight or its square: with inverse
// variance weights up to 1e30 such sums leave the range of float32. A mean has the range of the data, and a ratio of
// weights lies between 0 and 1.
#pragma once

#include "weights.h"

GPURES_BEGIN

// Weighted mean of `mean` (of weight `weight`) and of the new contributions, whose weighted sum is `sum`.
GPURES_FN double merged_mean(double mean, double weight, double sum, double added)
{
    if (weight == 0.0) return sum / added;
    const double total = weight + added;
    return mean * (weight / total) + sum / total;
}

// Variance of the weighted mean of two values of variances v and v_new and of weights t and t_new:
// (v t^2 + v_new t_new^2) / (t + t_new)^2, one factor at a time.
GPURES_FN double merged_variance(double v, double t, double v_new, double t_new)
{
    if (t == 0.0) return v_new;
    const double total = t + t_new;
    const double old_share = t / total, new_share = t_new / total;
    return v * old_share * old_share + v_new * new_share * new_share;
}

// Weight of an exposure's variances at an output pixel: the inverse of its drizzled read-noise variance.
// 0 where that is not positive and finite: such a pixel contributes no variance.
GPURES_FN double variance_weight(double rnoise)
{
    if (!(rnoise > 0.0)) return 0.0;
    const double t = 1.0 / rnoise;
    return is_usable(t) ? t : 0.0;
}

// The variance in the output's units; NaN where none was accumulated.
GPURES_FN double finished_variance(double v, double t, double scaling) { return t > 0.0 ? v * scaling : not_a_number(); }

GPURES_FN bool is_variance(double v) { return v >= 0.0 && v <= LARGEST_WEIGHT; }

GPURES_END

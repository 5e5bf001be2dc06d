// What the weight of an input pixel is made of.
#pragma once

#include "exposure.h"
#include "portable.h"

GPURES_BEGIN

// The largest finite float32. Sums of weights are kept in float32, so a weight beyond it is as good as infinite.
constexpr double LARGEST_WEIGHT = 3.4028234663852886e38;

GPURES_FN bool is_usable(double weight) { return fabs(weight) <= LARGEST_WEIGHT; }

// Inverse variance; 0 where it is not finite. A negative variance gives a negative weight, as in the reference.
GPURES_FN double inverse_variance(double variance)
{
    const double weight = 1.0 / variance;
    return is_usable(weight) ? weight : 0.0;
}

GPURES_FN bool is_good(unsigned long long dq, unsigned long long bad_bits) { return (dq & bad_bits) == 0; }

// A weight from a map of weights.
GPURES_FN double usable_weight(double value) { return is_usable(value) ? value : 0.0; }

// What is averaged of a pixel of a plane, an array of the exposure.
GPURES_FN double plane_value(const Plane& plane, double x)
{
    return plane.root ? sqrt(x) * plane.scale : (x - plane.offset) * plane.scale;
}

GPURES_END

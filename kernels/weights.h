// What the weight of an input pixel is made of.
#pragma once

#include "view.h"

GPURES_BEGIN

// The largest finite float32, and so the largest weight that a pixel has.
constexpr double LARGEST_WEIGHT = 0x1.fffffep127;

template <class V>
GPURES_FN V usable(V weight)
{
    return select(magnitude(weight) <= number<V>(LARGEST_WEIGHT), weight, V{});
}

// Inverse variance; 0 where it is not finite. A negative variance gives a negative weight, as in the reference.
template <class V>
GPURES_FN V inverse_variance(V variance)
{
    return usable(quotient(V{} + 1.0, variance));
}

GPURES_FN bool is_good(unsigned long long dq, unsigned long long bad_bits) { return (dq & bad_bits) == 0; }

// A weight from a map of weights, times a scale; the largest there is, if that is larger.
template <class V>
GPURES_FN V usable_weight(V value, double scale)
{
    const V largest = V{} + LARGEST_WEIGHT;
    return greatest(least(usable(value) * scale, largest), -largest);
}

// What is averaged of a pixel of a plane, an array of the exposure. What is negative is no variance and no error: that
// of the pixel is not known.
template <class V>
GPURES_FN V plane_value(const Plane& plane, V x)
{
    if (plane.root) return sqrt(x) * number<V>(plane.scale);
    const V value = (x - number<V>(plane.offset)) * number<V>(plane.scale);
    if (plane.squared <= SQUARED_VALUES) return value;
    const V known = select(value >= V{}, value, number<V>(not_a_number()));
    return plane.squared == SQUARED_ERRORS ? known * known : known;
}

// Whether the values of a plane are worked out as floats: without a difference, that could leave few digits.
GPURES_FN bool are_floats(const Plane& plane)
{
    const double scale = fabs(plane.scale);
    return plane.view.type == F4 && scale >= 0x1p-100 && scale <= 0x1p100 &&
           (plane.root || (plane.offset == 0.0 && plane.squared == NOT_SQUARED));
}

// With what a plane is weighted in a contribution of weight dow.
template <class V>
GPURES_FN V weight_in_plane(bool squared, V dow)
{
    return squared ? dow * dow : dow;
}

// Weight and DQ flags of input pixel (i, j).
struct Weighted {
    double weight;
    unsigned long long dq;
};

GPURES_FN Weighted pixel_weight(const Exposure& e, long long j, long long i)
{
    Weighted pixel = {e.weight, 0};
    if (e.weight_map.data) {
        pixel.weight = usable_weight(value_at<double>(e.weight_map, j, i), e.weight);
    } else if (e.variance.data) {
        pixel.weight = inverse_variance(value_at<double>(e.variance, j, i));
    }
    if (e.dq.data) pixel.dq = e.dq.type == BITS ? bit_at(e.dq, j, i) : value_at<unsigned long long>(e.dq, j, i);
    if (!is_good(pixel.dq, e.bad_bits)) pixel.weight = 0.0;
    return pixel;
}

GPURES_END

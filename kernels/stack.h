// Images on windows of one frame, and what an output pixel's values in them are combined to: their median.
//
// A column is the values of one output pixel. Columns are worked on one at a time on a GPU, and side by side in a
// vector V on a CPU; U is of as many unsigned integers.
#pragma once

#include "portable.h"

namespace gpures {

// An image that covers a window of the frame; where it has no value it is NaN.
struct StackImage {
    const float* data;         // (ny, nx)
    long long x0, y0, nx, ny;  // the window
    double level;              // is subtracted
};

struct Stack {
    const StackImage* image;
    long long images;
    long long x0, y0, nx, ny;  // the part of the frame that is wanted
    float* out;                // (ny, nx)
    float* lower;              // (ny, nx): of an even number of values, the lower of the two in the middle; or null
};

// Columns of more values than this are not sorted, but searched.
constexpr int MOST_SORTED = 32;

}  // namespace gpures

GPURES_BEGIN

// Sorts n values of each column, none of which is NaN, by Batcher's network of exchanges between odd and even.
template <class V>
GPURES_FN void sort_columns(V* v, int n)
{
    for (int p = 1; p < n; p *= 2) {
        for (int k = p; k >= 1; k /= 2) {
            for (int j = k % p; j + k < n; j += 2 * k) {
                for (int i = j; i < j + k && i + k < n; ++i) {
                    if (i / (2 * p) != (i + k) / (2 * p)) continue;
                    const V a = v[i], b = v[i + k];
                    v[i] = least(a, b);
                    v[i + k] = greatest(b, a);
                }
            }
        }
    }
}

// Bits of numbers, in an order that is that of the numbers; and back.
template <class U, class V>
GPURES_FN U ordered_bits(V value)
{
    const U bits = same_bits<U>(value), sign = U{} + 0x80000000u;
    return select((bits & sign) != U{}, ~bits, bits | sign);
}

template <class V, class U>
GPURES_FN V number_of(U ordered)
{
    const U sign = U{} + 0x80000000u;
    return same_bits<V>(select((ordered & sign) != U{}, ordered & ~sign, ~ordered));
}

// Of n values of each column that which `rank` others come before, found bit by bit.
template <class U, class V>
GPURES_FN V value_of_rank(const V* v, long long n, U rank)
{
    const U zero = U{}, one = zero + 1u;
    U prefix = zero;
    for (int bit = 31; bit >= 0; --bit) {
        U below = zero;
        for (long long k = 0; k < n; ++k) {
            below = below + select(ordered_bits<U>(v[k]) >> bit == prefix >> bit, one, zero);
        }
        const auto is_above = rank >= below;
        prefix = select(is_above, prefix | (one << bit), prefix);
        rank = select(is_above, rank - below, rank);
    }
    return number_of<V>(prefix);
}

// Those of n values in the middle of each column: one of them twice where their number is odd.
template <class V>
struct Middle {
    V lower, upper;

    GPURES_FN V median() const { return (lower + upper) / 2.0f; }
};

// The middle of columns of n values, of which `count` are there and the others infinite; NaN of none. What the columns
// hold may be sorted afterwards.
template <class U, class V>
GPURES_FN Middle<V> middle_of(V* v, long long n, U count)
{
    const U zero = U{}, one = zero + 1u;
    const U upper = count >> 1, lower = select(count > zero, count - one, zero) >> 1;
    V a, b;
    if (n <= MOST_SORTED) {
        sort_columns(v, static_cast<int>(n));
        a = b = v[0];
        for (int k = 1; k < n; ++k) {
            a = select(lower == zero + static_cast<unsigned>(k), v[k], a);
            b = select(upper == zero + static_cast<unsigned>(k), v[k], b);
        }
    } else {
        a = value_of_rank(v, n, lower);
        b = value_of_rank(v, n, upper);
    }
    const V nothing = V{} + narrowed(not_a_number());
    return {select(count == zero, nothing, a), select(count == zero, nothing, b)};
}

// The value of an image at (x, y) of the frame; NaN where it has none.
GPURES_FN float value_at(const StackImage& image, long long x, long long y)
{
    const long long i = x - image.x0, j = y - image.y0;
    if (i < 0 || i >= image.nx || j < 0 || j >= image.ny) return narrowed(not_a_number());
    return image.data[j * image.nx + i] - narrowed(image.level);
}

// Puts values into columns, and counts those that are there.
template <class U, class V>
GPURES_FN void put(V value, V& into, U& count)
{
    const auto is_number = value == value;
    into = select(is_number, value, V{} + narrowed(infinity()));
    count = count + select(is_number, U{} + 1u, U{});
}

GPURES_END

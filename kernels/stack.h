// Images on windows of one frame, and what an output pixel's values in them are combined to: their median, or the mean
// of those that are near it.
//
// A column is the values of one output pixel. Columns are worked on one at a time on a GPU, and side by side in a
// vector V on a CPU; U is of as many unsigned integers.
#pragma once

#include "single.h"

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
    float* lower;              // (ny, nx): the low one of the middle; or null
    float* scatter;            // (ny, nx): median of what the values differ from the median; or null
    long long least;           // number of values without which there is no median
};

// The mean of those values of an output pixel that differ from their median by no more than so many times their
// scatter, which is taken for no less than `noise`.
struct Clipped {
    const float *median, *scatter;  // (ny, nx), as a stack has made them
    double times, noise;
    float* out;  // (ny, nx)
};

// Columns of more values than this are not sorted, but searched.
constexpr int MOST_SORTED = 32;

}  // namespace gpures

GPURES_BEGIN

// Sorts n values of each column, none of which is NaN and at most MOST_SORTED, by Batcher's network of exchanges
// between odd and even: sorted runs of P values become such of twice as many, by exchanges over P, P / 2, ... 1 values.
template <int P, int K, class V>
GPURES_FN void exchange(V* v, int n)
{
    constexpr int FIRST = K % P;
    GPURES_UNROLL
    for (int i = FIRST; i < n - K; ++i) {
        if ((i - FIRST) / K % 2 || i / (2 * P) != (i + K) / (2 * P)) continue;
        const V a = v[i], b = v[i + K];
        v[i] = least(a, b);
        v[i + K] = greatest(b, a);
    }
    if constexpr (K > 1) exchange<P, K / 2>(v, n);
}

template <int P = 1, class V>
GPURES_FN void sort_columns(V* v, int n)
{
    if (P >= n) return;
    exchange<P, P>(v, n);
    if constexpr (2 * P < MOST_SORTED) sort_columns<2 * P>(v, n);
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

// Of n values of each column, read(0) and so on, that which `rank` others come before, found bit by bit.
template <class V, class U, class Read>
GPURES_FN V value_of_rank(const Read& read, long long n, U rank)
{
    const U zero = U{}, one = zero + 1u;
    U prefix = zero;
    for (int bit = 31; bit >= 0; --bit) {
        U below = zero;
        for (long long k = 0; k < n; ++k) {
            below = below + select(ordered_bits<U>(read(k)) >> bit == prefix >> bit, one, zero);
        }
        const auto is_above = rank >= below;
        prefix = select(is_above, prefix | (one << bit), prefix);
        rank = select(is_above, rank - below, rank);
    }
    return number_of<V>(prefix);
}

// The value that comes next after those of a rank, and the rank.
template <class V, class U, class Read>
GPURES_FN V value_after(const Read& read, long long n, V found, U rank)
{
    U up_to = U{};
    V next = V{} + narrowed(infinity());
    for (long long k = 0; k < n; ++k) {
        const V value = read(k);
        const auto is_above = value > found;
        up_to = up_to + select(is_above, U{}, U{} + 1u);
        next = select(is_above, least(value, next), next);
    }
    return select(up_to > rank + (U{} + 1u), found, next);
}

// Those of n values in the middle of each column: one of them twice where their number is odd. The low one is what is
// left if half of them, or two of three, are too high: the lower in the middle, and of three the least.
template <class V>
struct Middle {
    V lower, upper, low;

    GPURES_FN V median() const { return 0.5f * (lower + upper); }
};

// Ranks of the values in the middle of `count`.
template <class U>
struct Ranks {
    U lower, upper;
};

template <class U>
GPURES_FN Ranks<U> ranks_in_middle(U count)
{
    return {select(count > U{}, count - (U{} + 1u), U{}) >> 1, count >> 1};
}

// A middle; NaN where it is of fewer than `least` values.
template <class V, class U>
GPURES_FN Middle<V> middle_if_any(V lower, V upper, V lowest, U count, long long least)
{
    const V nothing = V{} + narrowed(not_a_number());
    const V low = select(count == U{} + 3u, lowest, lower);
    const auto is_there = count >= U{} + static_cast<unsigned>(least > 1 ? least : 1);
    return {select(is_there, lower, nothing), select(is_there, upper, nothing), select(is_there, low, nothing)};
}

// The middle of columns of n values, of which `count` are there and the others infinite. At most MOST_SORTED, they are
// sorted afterwards.
template <class V, class U>
GPURES_FN Middle<V> middle_of_few(V* v, int n, U count, long long least_count)
{
    const Ranks<U> rank = ranks_in_middle(count);
    sort_columns(v, n);
    V lower = v[0], upper = v[0];
    GPURES_UNROLL
    for (int k = 1; k < n; ++k) {
        lower = select(rank.lower == U{} + static_cast<unsigned>(k), v[k], lower);
        upper = select(rank.upper == U{} + static_cast<unsigned>(k), v[k], upper);
    }
    return middle_if_any(lower, upper, v[0], count, least_count);
}

// The same of many, read(0) and so on.
template <class V, class U, class Read>
GPURES_FN Middle<V> middle_of_many(const Read& read, long long n, U count, long long least_count)
{
    const Ranks<U> rank = ranks_in_middle(count);
    const V lower = value_of_rank<V>(read, n, rank.lower), after = value_after(read, n, lower, rank.lower);
    V lowest = read(0);
    for (long long k = 1; k < n; ++k) lowest = least(read(k), lowest);
    return middle_if_any(lower, select(rank.upper == rank.lower, lower, after), lowest, count, least_count);
}

// The value of an image at (x, y) of the frame; NaN where it has none.
GPURES_FN Single value_at(const StackImage& image, long long x, long long y)
{
    const long long i = x - image.x0, j = y - image.y0;
    if (i < 0 || i >= image.nx || j < 0 || j >= image.ny) return narrowed(not_a_number());
    return Single(image.data[j * image.nx + i]) - Single(narrowed(image.level));
}

// Puts values into columns, and counts those that are there.
template <class U, class V>
GPURES_FN void put(V value, V& into, U& count)
{
    const auto is_number = value == value;
    into = select(is_number, value, V{} + narrowed(infinity()));
    count = count + select(is_number, U{} + 1u, U{});
}

// What a column's values differ from their median; as infinite as those that are not there.
template <class V>
GPURES_FN V deviation(V value, V median)
{
    const V infinite = V{} + narrowed(infinity());
    const V apart = magnitude(value - median);
    return select(value < infinite, apart, infinite);  // infinity less infinity is none
}

// Mean of those of n values, read(0) and so on, NaN where there is none, that are within `reach` of the median.
template <class V, class Read>
GPURES_FN V mean_within(const Read& read, long long n, V median, V reach)
{
    V sum = V{}, count = V{};
    for (long long k = 0; k < n; ++k) {
        const V value = read(k);
        const V apart = magnitude(value - median);
        const auto counts = (apart <= reach) & (apart < V{} + narrowed(infinity()));
        sum = sum + select(counts, value - median, V{});
        count = count + select(counts, V{} + 1.0f, V{});
    }
    return median + sum / select(count > V{}, count, V{} + 1.0f);
}

GPURES_END

// Drizzling as a matrix: for each output pixel of a window a row of entries, the input pixels that fall on it and the
// weights of their contributions, by which images are summed.
//
// Its memory is known once its entries have been counted, so an exposure is walked twice: see `Entries`.
#pragma once

#include "exposure.h"
#include "portable.h"

namespace gpures {

struct Operator {
    long long nx;        // input pixels in a row of the exposure: column j * nx + i of the matrix is pixel (i, j)
    int x0, x1, y0, y1;  // the window in the frame, last included, whose pixels are the rows of the matrix
    int wide;            // indices are of 64 bits, else of 32
    void* next;          // of each row: where its next entry goes; while they are counted, how many it has
    void* columns;       // of each entry; null: they are counted
    double* weights;
    unsigned long long* passed_over;  // one number: drops without an area, of which there are no entries
};

inline namespace GPURES_ISA {

GPURES_FN long long rows_of(const Operator& o) { return static_cast<long long>(o.x1 - o.x0 + 1) * (o.y1 - o.y0 + 1); }

// Adds to a number of which several threads have a part, and gives what it was.
template <class Index>
GPURES_FN Index added(Index* number, Index what)
{
#if defined(__CUDACC__)
    return atomicAdd(number, what);
#else
    return __atomic_fetch_add(number, what, __ATOMIC_RELAXED);
#endif
}

// Takes entries, in any order.
template <class Index>
struct Entries {
    const Operator& o;

    GPURES_FN void take(int x, int y, long long column, double weight) const
    {
        const long long row = static_cast<long long>(y - o.y0) * (o.x1 - o.x0 + 1) + (x - o.x0);
        const Index at = added(static_cast<Index*>(o.next) + row, Index(1));
        if (!o.columns) return;
        static_cast<Index*>(o.columns)[at] = static_cast<Index>(column);
        o.weights[at] = weight;
    }
};

constexpr long long LONGEST_BY_INSERTION = 64;

// The entries of a row, to be sorted. Two of one input pixel, which falls on an output pixel twice where the output is
// periodic, go by their weights.
template <class Index>
struct Row {
    Index* columns;
    double* weights;

    GPURES_FN bool is_before(long long a, long long b) const
    {
        return columns[a] != columns[b] ? columns[a] < columns[b] : weights[a] < weights[b];
    }

    GPURES_FN void exchange(long long a, long long b) const
    {
        const Index column = columns[a];
        const double weight = weights[a];
        columns[a] = columns[b];
        weights[a] = weights[b];
        columns[b] = column;
        weights[b] = weight;
    }

    // Lets the entry at the top of a heap of n, or of a part of it, sink to its place.
    GPURES_FN void sink(long long top, long long n) const
    {
        for (;;) {
            long long last = top;
            for (long long below = 2 * top + 1; below <= 2 * top + 2 && below < n; ++below) {
                if (is_before(last, below)) last = below;
            }
            if (last == top) return;
            exchange(top, last);
            top = last;
        }
    }

    // What threads leave is nearly sorted, and most rows are short.
    GPURES_FN void sort_by_insertion(long long n) const
    {
        for (long long k = 1; k < n; ++k) {
            for (long long at = k; at > 0 && is_before(at, at - 1); --at) exchange(at, at - 1);
        }
    }

    GPURES_FN void sort(long long n) const
    {
        if (n <= LONGEST_BY_INSERTION) return sort_by_insertion(n);
        for (long long top = n / 2; top-- > 0;) sink(top, n);
        while (n > 1) {
            exchange(0, --n);
            sink(0, n);
        }
    }
};

// The entries of row k, once all have been taken, in the order of the input pixels: so nothing depends on the order in
// which threads came.
template <class Index>
GPURES_FN void sort_row(const Operator& o, long long k)
{
    const Index* const ends = static_cast<const Index*>(o.next);
    const Index from = k > 0 ? ends[k - 1] : Index(0);
    const Row<Index> row = {static_cast<Index*>(o.columns) + from, o.weights + from};
    row.sort(static_cast<long long>(ends[k] - from));
}

// Row k times an image of the exposure; without an image, the sum of its weights.
template <class Index>
GPURES_FN double row_times(const Operator& o, long long k, const double* image)
{
    const Index* const ends = static_cast<const Index*>(o.next);
    const Index* const columns = static_cast<const Index*>(o.columns);
    double sum = 0.0;
    for (Index at = k > 0 ? ends[k - 1] : Index(0); at < ends[k]; ++at) {
        sum += image ? o.weights[at] * image[columns[at]] : o.weights[at];
    }
    return sum;
}

}  // namespace GPURES_ISA

}  // namespace gpures

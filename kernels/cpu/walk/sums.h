// The sums of the output pixels of a tile, to which a row of input pixels is added: what the layouts of them
// (plane_sums.h, pixel_sums.h) have in common. They offer what splat.h wants of a sink, and what the walk wants of
// memory.
#pragma once

#include <cstddef>

#include "../walk.h"
#include "pixel_row.h"

GPURES_BEGIN

// Where pixel (i, j) of the output is among a tile's pixels.
inline std::ptrdiff_t index_in_rows(int column, int row)
{
    return static_cast<std::ptrdiff_t>(row) * SUMS_WIDTH + MARGIN + column;
}

// The k-th sum of some output pixels, in the units of the weights and values that it is made of: floats are scaled.
template <class V>
inline V unscaled(V sum, [[maybe_unused]] const double* units, [[maybe_unused]] int k)
{
#if defined(GPURES_SINGLE)
    return sum * number<V>(units[k]);
#else
    return sum;
#endif
}

struct Contributions;  // what PlaneSums has besides

// N sums for each output pixel; N = 0: `n` of them, known at run time.
template <int N>
struct Sums {
    Scratch scratch;
    const double* units;  // see unscaled
    int x0, y0;           // output pixel that the scratch begins with, counted from the walk's origin
    int planes, n;
    int first_squared;                // of the planes with squared weights, which are the last ones
    bool flagged;                     // whether DQ flags are propagated
    bool can_fold_in_floats = false;  // see Scaling
    unsigned long long passed_over = 0;

    Sums(const Scratch& scratch, const double* units, int x0, int y0, int planes, int n, int first_squared,
         bool flagged)
        : scratch(scratch),
          units(units),
          x0(x0),
          y0(y0),
          planes(planes),
          n(n),
          first_squared(first_squared),
          flagged(flagged)
    {
    }

    int count() const { return N ? N : n; }

    Real* sums() const { return static_cast<Real*>(scratch.sums); }

    void pass_over(RealMask lanes) { passed_over += __builtin_popcount(lanes_of(lanes)); }
};

GPURES_END

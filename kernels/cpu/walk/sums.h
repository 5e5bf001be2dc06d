// The sums of the output pixels of a tile, to which a row of input pixels is added: what the layouts of them
// (plane_sums.h, pixel_sums.h) have in common. They offer what splat.h wants of a sink, and what the walk wants of
// memory.
#pragma once

#include "../walk.h"
#include "pixel_row.h"

GPURES_BEGIN

// Where pixel (i, j) of the output is among a tile's pixels.
inline long index_in_rows(int column, int row) { return static_cast<long>(row) * SUMS_WIDTH + MARGIN + column; }

struct Contributions;  // what PlaneSums has besides

// N sums for each output pixel; N = 0: `n` of them, known at run time.
template <int N>
struct Sums {
    Scratch scratch;
    int x0, y0;  // output pixel that the scratch begins with
    int planes, n;
    int first_squared;  // of the planes with squared weights, which are the last ones
    bool flagged;       // whether DQ flags are propagated
    unsigned long long passed_over = 0;

    Sums(const Scratch& scratch, int x0, int y0, int planes, int n, int first_squared, bool flagged)
        : scratch(scratch), x0(x0), y0(y0), planes(planes), n(n), first_squared(first_squared), flagged(flagged)
    {
    }

    int count() const { return N ? N : n; }

    void pass_over(Mask lanes) { passed_over += __builtin_popcount(lanes_of(lanes)); }
};

GPURES_END

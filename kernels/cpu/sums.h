// The sums of the output pixels of a tile, to which a row of input pixels is added: what the layouts of them
// (plane_sums.h, pixel_sums.h) have in common. They offer what splat.h wants of a sink, and what the walk wants of
// memory.
#pragma once

#include <cstring>

#include "simd.h"
// (simd.h first: the templates of splat.h must see what it adds to the number types)
#include "../splat.h"
#include "../weights.h"
#include "walk.h"

GPURES_BEGIN

// Room before and after a row of a block's pixels: for a vector that begins as many pixels before the first, or beyond
// the last, as there are columns in Contributions, and a vector's width more.
constexpr int PADDING = 16;
constexpr int ROW_LENGTH = PADDING + BLOCK_WIDTH + PADDING;

// Weights and plane values of a row of a block. The k-th pixel is at PADDING + k; beside the block's pixels, and of
// pixels of weight 0, weights and values are 0.
struct Row {
    double weight[ROW_LENGTH];
    double unweighted[ROW_LENGTH];  // 1 for a good pixel of weight 0; where `any_unweighted`
    bool any_unweighted;
    bool finite;  // all values are
    std::uint32_t bits[ROW_LENGTH];
    double values[MOST_PLANES][ROW_LENGTH];
};

// Where pixel (i, j) of the output is among a tile's pixels.
inline long index_in_rows(int column, int row) { return static_cast<long>(row) * SUMS_WIDTH + MARGIN + column; }

struct Contributions;  // what PlaneSums has besides

// N sums for each output pixel; N = 0: `n` of them, known at run time.
template <int N>
struct Sums {
    Scratch scratch;
    int x0, y0;  // output pixel that the scratch begins with
    int planes, n;
    bool flagged;           // whether DQ flags are propagated
    int first_squared = 0;  // plane; see PlaneSums
    unsigned long long passed_over = 0;

    Sums(const Scratch& scratch, int x0, int y0, int planes, int n, bool flagged)
        : scratch(scratch), x0(x0), y0(y0), planes(planes), n(n), flagged(flagged)
    {
    }

    int count() const { return N ? N : n; }

    void pass_over(Mask lanes) { passed_over += __builtin_popcount(lanes_of(lanes)); }
};

// Notes where pixels fall, and adds nothing.
struct Marker {
    unsigned char* marks;
    int x0, y0;  // output pixel that they begin with

    struct Places {
        double i[LANES], j[LANES];
    };

    void take(const Row&, int) {}

    Places place(Vector i, Vector j, Mask) const
    {
        Places places;
        store(i, places.i);
        store(j, places.j);
        return places;
    }

    void add(const Places& places, int c, int r, Vector dow)
    {
        double each[LANES];
        store(dow, each);
        for (int l = 0; l < LANES; ++l) {
            if (each[l] == 0.0) continue;
            const int column = static_cast<int>(places.i[l]) - x0 + c, row = static_cast<int>(places.j[l]) - y0 + r;
            marks[index_in_rows(column, row)] |= TIMED;
        }
    }

    void pass_over(Mask) {}
};

GPURES_END

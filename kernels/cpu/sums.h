// The sums of the output pixels of a tile, in one of two layouts: as rows of one plane each, to which contributions
// that lie side by side are added as vectors; or pixel by pixel, where each contribution is added to all planes at
// once. Both offer what splat.h wants of a sink, and what the walk wants of memory.
#pragma once

#include <cstring>

#include "simd.h"
// (simd.h first: the templates of splat.h must see what it adds to the number types)
#include "../splat.h"
#include "../weights.h"
#include "walk.h"

GPURES_BEGIN

// Length of a row of a block's pixels, with room for a vector that begins at the last of them.
constexpr int ROW_LENGTH = BLOCK_WIDTH + LANES;

// Weights and plane values of a row of a block. Lanes beyond the block's width have weight 0.
struct Row {
    double weight[ROW_LENGTH];
    double unweighted[ROW_LENGTH];  // 1 for a good pixel of weight 0; where `any_unweighted`
    bool any_unweighted;
    std::uint32_t bits[ROW_LENGTH];
    double values[MOST_PLANES][ROW_LENGTH];
};

// Where pixel (i, j) of the output is among a tile's pixels.
inline long index_in_rows(int column, int row) { return static_cast<long>(row) * SUMS_WIDTH + MARGIN + column; }

// What both have in common. N sums for each output pixel; N = 0: `n` of them, known at run time.
template <int N>
struct Sums {
    Scratch scratch;
    int x0, y0;  // output pixel that the scratch begins with
    int planes, n;
    const std::uint32_t* bits;  // of the pixel in lane 0; the next lane's follow. Null where DQ is not propagated

    Sums(const Scratch& scratch, int x0, int y0, int planes, int n, const std::uint32_t* bits)
        : scratch(scratch), x0(x0), y0(y0), planes(planes), n(n), bits(bits)
    {
    }

    int count() const { return N ? N : n; }

    void flag(long pixel, double dow, int lane)
    {
        scratch.marks[pixel] |= dow > 0.0 ? POSITIVE : 0;
        if (bits) scratch.dq[pixel] |= bits[lane];
    }
};

// Notes where pixels fall, and adds nothing.
struct Marker {
    static constexpr bool TAKES_ROWS = true;

    unsigned char* marks;
    int x0, y0;  // output pixel that they begin with

    void take(const Row&, int) {}

    long place(double i, double j, bool used) const
    {
        return used ? index_in_rows(static_cast<int>(i) - x0, static_cast<int>(j) - y0) : 0;
    }

    void add_row(long at, int r, const double* factors, double weight)
    {
        for (int k = 0; k < COLUMNS_AT_ONCE; ++k) {
            if (contribution(factors[k] * weight) != 0.0) marks[at + r * SUMS_WIDTH + k] |= TIMED;
        }
    }

#if defined(__GNUC__)
    struct Places {
        double i[LANES], j[LANES];
    };

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
            if (each[l] != 0.0) marks[place(places.i[l] + c, places.j[l] + r, true)] |= TIMED;
        }
    }
#else
    void add(long at, int c, int r, double dow)
    {
        if (dow != 0.0) marks[at + r * SUMS_WIDTH + c] |= TIMED;
    }
#endif
};

// ---- plane by plane ------------------------------------------------------------------------------------------

// As many output pixels as V has lanes.
template <class V>
struct SumsOfPlanes {
    const double* sums;  // of the first

    V operator()(int k) const { return Access<V>::load(sums + k * SUMS_WIDTH); }
};

// Where an output pixel is in a tile's sums and in its other arrays.
struct Spot {
    long sum, pixel;
};

// Lanes whose contributions lie side by side in a row of output pixels, as those of neighbouring input pixels do where
// both grids have about the same direction and scale: lane l goes to the l-th pixel from `first`.
struct Run {
    Spot first;
    Mask lanes;
};

struct Runs {
    int count;
    Run run[LANES];
    unsigned alone;  // one bit for each lane that is in none
    Spot of_lane[LANES];
};

// Lanes side by side that are worth a vector.
constexpr int FEWEST_IN_RUN = 3;

// SQUARED: the planes from `first_squared` on are weighted with squares.
template <int N, bool SQUARED = false>
struct PlaneSums : Sums<N> {
    using Sums<N>::bits;
    using Sums<N>::scratch;

    template <class V>
    using At = SumsOfPlanes<V>;

    static constexpr bool TAKES_ROWS = true;

    const double* values = nullptr;  // of the pixel in lane 0
    int first_squared = 0;

    PlaneSums(const Scratch& scratch, int x0, int y0, int planes, const std::uint32_t* bits)
        : Sums<N>(scratch, x0, y0, planes, planes + 1, bits)
    {
    }

    // Takes the values of the pixels from the k-th of a row on, one in each lane.
    void take(const Row& row, int k)
    {
        values = row.values[0] + k;
        if (bits) bits = row.bits + k;
    }

    template <class V>
    At<V> at(int column, int row) const
    {
        return {scratch.sums + spot(column, row).sum};
    }

    template <class V>
    V weight_of(int p, V dow) const
    {
        return weight_in_plane(SQUARED && p >= first_squared, dow);
    }

    Spot spot(int column, int row) const
    {
        return {static_cast<long>(row) * this->count() * SUMS_WIDTH + MARGIN + column, index_in_rows(column, row)};
    }

    Spot moved(Spot at, int columns, int rows) const
    {
        return {at.sum + static_cast<long>(rows) * this->count() * SUMS_WIDTH + columns,
                at.pixel + static_cast<long>(rows) * SUMS_WIDTH + columns};
    }

    // The weight dow to one output pixel, from the pixel in one lane.
    void add_one(Spot at, double dow, int lane)
    {
        double* sum = scratch.sums + at.sum;
        sum[0] += dow;
        for (int p = 0; p < this->count() - 1; ++p) {
            sum[(p + 1) * SUMS_WIDTH] += weight_of(p, dow) * values[p * ROW_LENGTH + lane];
        }
        this->flag(at.pixel, dow, lane);
    }

    // What follows is from the pixel in lane 0 alone, to neighbours.
    Spot place(double i, double j, bool used) const
    {
        return used ? spot(static_cast<int>(i) - this->x0, static_cast<int>(j) - this->y0) : spot(0, 0);
    }

    void add_row(Spot at, int r, const double* factors, double weight)
    {
        at = moved(at, 0, r);
        for (int k = 0; k < COLUMNS_AT_ONCE; k += LANES) {
            const Vector part = contribution(load(factors + k) * weight);
            const Mask given = part != Vector{};
            unsigned left = lanes_of(given);
            if (__builtin_popcount(left) < FEWEST_IN_RUN) {
                double each[LANES];
                store(part, each);
                for (; left; left &= left - 1) {
                    const int l = __builtin_ctz(left);
                    add_one(moved(at, k + l, 0), each[l], 0);
                }
                continue;
            }
            double* sum = scratch.sums + at.sum + k;
            store(load(sum) + part, sum);
            for (int p = 0; p < this->count() - 1; ++p) {
                sum += SUMS_WIDTH;
                const Vector before = load(sum);
                store(select(given, before + weight_of(p, part) * values[p * ROW_LENGTH], before), sum);
            }
            mark(part > Vector{}, scratch.marks + at.pixel + k);
            if (!bits) continue;
            unsigned same[LANES];
            for (unsigned& word : same) word = *bits;
            unite(given, same, scratch.dq + at.pixel + k);
        }
    }

#if defined(__GNUC__)
    Runs place(Vector i, Vector j, Mask used) const
    {
        // Columns counted from each lane's own, and rows, in one number.
        constexpr double ROW = 1024.0;
        static_assert(SUMS_WIDTH + LANES <= ROW, "columns of a row");
        const Vector column = (i - static_cast<double>(this->x0)) - numbers_of_lanes();
        const Vector row = j - static_cast<double>(this->y0);
        const Vector key = row * ROW + column;
        double columns[LANES], rows[LANES], keys[LANES];
        store(column, columns);
        store(row, rows);
        store(key, keys);
        Runs runs;
        runs.count = 0;
        runs.alone = 0;
        for (unsigned left = lanes_of(used); left;) {
            const int lane = __builtin_ctz(left);
            const Mask same = key == Vector{} + keys[lane];
            const unsigned members = lanes_of(same) & left;
            left &= ~members;
            const Spot first = spot(static_cast<int>(columns[lane]), static_cast<int>(rows[lane]));
            if (__builtin_popcount(members) >= FEWEST_IN_RUN) {
                runs.run[runs.count++] = {first, same & used};
                continue;
            }
            runs.alone |= members;
            for (unsigned some = members; some; some &= some - 1) {
                const int l = __builtin_ctz(some);
                runs.of_lane[l] = moved(first, l, 0);
            }
        }
        return runs;
    }

    void add(const Runs& runs, int c, int r, Vector dow)
    {
        for (int k = 0; k < runs.count; ++k) {
            add_run(moved(runs.run[k].first, c, r), select(runs.run[k].lanes, dow, Vector{}));
        }
        if (runs.alone) add_alone(runs, c, r, dow);
    }

    __attribute__((noinline)) void add_alone(const Runs& runs, int c, int r, Vector dow)
    {
        double each[LANES];
        store(dow, each);
        for (unsigned left = lanes_of(dow != Vector{}) & runs.alone; left; left &= left - 1) {
            const int lane = __builtin_ctz(left);
            add_one(moved(runs.of_lane[lane], c, r), each[lane], lane);
        }
    }

    void add_run(Spot at, Vector dow)
    {
        const Mask given = dow != Vector{};
        if (!lanes_of(given)) return;
        double* sum = scratch.sums + at.sum;
        store(load(sum) + dow, sum);
        for (int p = 0; p < this->count() - 1; ++p) {
            sum += SUMS_WIDTH;
            const Vector before = load(sum);
            store(select(given, before + weight_of(p, dow) * load(values + p * ROW_LENGTH), before), sum);
        }
        mark(dow > Vector{}, scratch.marks + at.pixel);
        if (bits) unite(given, bits, scratch.dq + at.pixel);
    }
#else
    void add(Spot at, int c, int r, double dow)
    {
        if (dow != 0.0) add_one(moved(at, c, r), dow, 0);
    }
#endif
};

// ---- pixel by pixel ------------------------------------------------------------------------------------------

#if defined(__GNUC__)

// As many output pixels as V has lanes.
template <class V>
struct SumsOfPixels {
    const double* sums;  // of the first
    int count;           // doubles from one output pixel to the next

    V operator()(int k) const
    {
        double each[sizeof(V) / sizeof(double)];
        for (unsigned l = 0; l < sizeof(V) / sizeof(double); ++l) each[l] = sums[l * count + k];
        return Access<V>::load(each);
    }
};

// Output pixel of each lane.
struct Pixels {
    int index[LANES];
};

template <int N>
struct PixelSums : Sums<N> {
    using Sums<N>::bits;
    using Sums<N>::scratch;

    template <class V>
    using At = SumsOfPixels<V>;

    static constexpr bool TAKES_ROWS = false;

    // Of each lane: 1 for the weight, then each plane's value, then nothing up to the number of sums.
    alignas(64) double values[LANES * (N ? N : sums_of_pixel(MOST_PLANES))] = {};

    PixelSums(const Scratch& scratch, int x0, int y0, int planes, const std::uint32_t* bits)
        : Sums<N>(scratch, x0, y0, planes, sums_of_pixel(planes), bits)
    {
    }

    void take(const Row& row, int k)
    {
        const int count = this->count();
        for (int l = 0; l < LANES; ++l) values[l * count] = 1.0;
        for (int p = 0; p < this->planes; ++p) {
            for (int l = 0; l < LANES; ++l) values[l * count + p + 1] = row.values[p][k + l];
        }
        if (bits) bits = row.bits + k;
    }

    template <class V>
    At<V> at(int column, int row) const
    {
        return {scratch.sums + index_in_rows(column, row) * this->count(), this->count()};
    }

    Pixels place(Vector i, Vector j, Mask used) const
    {
        const Vector index = (j - static_cast<double>(this->y0)) * static_cast<double>(SUMS_WIDTH) +
                             (i - static_cast<double>(this->x0)) + static_cast<double>(MARGIN);
        Pixels pixels;
        store_integers(select(used, index, Vector{}), pixels.index);
        return pixels;
    }

    void add(const Pixels& pixels, int c, int r, Vector dow)
    {
        // Copies, as above all what is added may lie anywhere, and the sink with it.
        const Scratch to = scratch;
        const std::uint32_t* const flags = bits;
        const int count = this->count();
        double each[LANES];
        store(dow, each);
        for (int l = 0; l < LANES; ++l) {
            if (each[l] == 0.0) continue;
            const long pixel = pixels.index[l] + r * SUMS_WIDTH + c;
            add_scaled(to.sums + pixel * count, values + l * count, each[l], count);
            to.marks[pixel] |= each[l] > 0.0 ? POSITIVE : 0;
            if (flags) to.dq[pixel] |= flags[l];
        }
    }
};

#endif

GPURES_END

// Sums that lie pixel by pixel: each contribution is added to all planes of its output pixel at once. For exposures
// that are turned against the output frame, or have another scale, whose neighbours fall anywhere.
#pragma once

#include "sums.h"

GPURES_BEGIN

// As many output pixels as V has lanes.
template <class V>
struct SumsOfPixels {
    const Real* sums;  // of the first
    int count;         // numbers from one output pixel to the next
    const double* units;

    V operator()(int k) const
    {
        Real each[LANES_OF<V>];
        for (int l = 0; l < LANES_OF<V>; ++l) each[l] = sums[l * count + k];
        return unscaled(Access<V>::load(each), units, k);
    }

    SumsOfPixels further(int by) const { return {sums + by * count, count, units}; }
};

// Output pixel of each lane.
struct Pixels {
    int index[REALS];
};

// SQUARED: the planes from `first_squared` on are weighted with squares.
template <int N, bool SQUARED = false>
struct PixelSums : Sums<N> {
    using Sums<N>::scratch;

    template <class V>
    using At = SumsOfPixels<V>;

    // Of each lane: 1 for the weight, then each plane's value, then nothing up to the number of sums.
    alignas(64) Real values[REALS * (N ? N : sums_of_pixel(MOST_PLANES))] = {};
    alignas(64) Real powers[N ? N : sums_of_pixel(MOST_PLANES)];  // of the weight in each sum, where some are squares
    const std::uint32_t* bits = nullptr;  // of the pixel in lane 0; the next lane's follow. Null: none are wanted

    PixelSums(const Scratch& scratch, const double* units, int x0, int y0, int planes, int first_squared, bool flagged,
              Contributions*)
        : Sums<N>(scratch, units, x0, y0, planes, sums_of_pixel(planes), first_squared, flagged)
    {
        if constexpr (SQUARED) {
            for (int k = 0; k < this->count(); ++k) powers[k] = k > first_squared ? 2.0 : 1.0;
        }
    }

    // Takes the pixels from the k-th of a row on, one in each lane.
    void take(const PixelRow& row, int k)
    {
        const int count = this->count();
        for (int l = 0; l < REALS; ++l) values[l * count] = 1.0;
        for (int p = 0; p < this->planes; ++p) {
            for (int l = 0; l < REALS; ++l) values[l * count + p + 1] = row.values[p][PADDING + k + l];
        }
        if (this->flagged) bits = row.bits + PADDING + k;
    }

    template <class V>
    At<V> at(int column, int row) const
    {
        return {this->sums() + index_in_rows(column, row) * this->count(), this->count(), this->units};
    }

    // Each contribution is marked when it is added.
    void mark_row(int) const {}

    Pixels place(Reals i, Reals j, RealMask used) const
    {
        const Reals index = (j - static_cast<Real>(this->y0)) * static_cast<Real>(SUMS_WIDTH) +
                            (i - static_cast<Real>(this->x0)) + static_cast<Real>(MARGIN);
        Pixels pixels;
        store_integers(select(used, index, Reals{}), pixels.index);
        return pixels;
    }

    void add(const Pixels& pixels, int c, int r, Reals dow)
    {
        // Copies, as above all what is added may lie anywhere, and the sink with it.
        const Scratch to = scratch;
        const std::uint32_t* const flags = bits;
        const int count = this->count();
        Real each[REALS];
        store(dow, each);
        for (int l = 0; l < REALS; ++l) {
            if (each[l] == 0.0) continue;
            const std::ptrdiff_t pixel = pixels.index[l] + r * SUMS_WIDTH + c;
            Real* const sums = static_cast<Real*>(to.sums) + pixel * count;
            if constexpr (SQUARED) {
                add_scaled(sums, values + l * count, each[l], powers, count);
            } else {
                add_scaled(sums, values + l * count, each[l], count);
            }
            to.marks[pixel] |= each[l] > 0.0 ? POSITIVE : 0;
            if (flags) to.dq[pixel] |= flags[l];
        }
    }

    // All of a row is added already.
    void finish(const PixelRow&, int) {}
};

GPURES_END

// Sums that lie pixel by pixel: each contribution is added to all planes of its output pixel at once. For exposures
// that are turned against the output frame, or have another scale, whose neighbours fall anywhere.
//
// What a vector of drops contributes is kept until all of it is there, and then added drop by drop: the values of a
// drop's pixel stay in registers, and nothing is asked of each contribution. Most drops have some that are 0.
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

// SQUARED: the planes from `first_squared` on are weighted with squares.
template <int N, bool SQUARED = false>
struct PixelSums : Sums<N> {
    using Sums<N>::scratch;

    template <class V>
    using At = SumsOfPixels<V>;

    struct Place {};

    PixelSums(const Scratch& scratch, const double* units, int x0, int y0, int planes, int first_squared, bool flagged,
              Contributions*)
        : Sums<N>(scratch, units, x0, y0, planes, sums_of_pixel(planes), first_squared, flagged)
    {
        if constexpr (SQUARED) {
            for (int k = 0; k < this->count(); ++k) powers_[k] = k > first_squared ? 2.0 : 1.0;
        }
    }

    // Makes a row's n pixels those that are taken.
    void begin(const PixelRow& row, int n)
    {
        const int count = this->count();
        for (int k = 0; k < n + REALS; ++k) values_[k * count] = 1.0;
        for (int p = 0; p < this->planes; ++p) {
            const Real* const values = row.values[p] + PADDING;
            for (int k = 0; k < n + REALS; ++k) values_[k * count + p + 1] = values[k];
        }
        finite_ = row.finite;
        bits_ = this->flagged ? row.bits + PADDING : nullptr;
    }

    // Takes the pixels from the k-th of a row on, one in each lane.
    void take(const PixelRow&, int k)
    {
        add_kept();
        first_ = k;
    }

    template <class V>
    At<V> at(int column, int row) const
    {
        return {this->sums() + index_in_rows(column, row) * this->count(), this->count(), this->units};
    }

    // Marks the output pixels of a row whose weights add up to more than 0.
    GPURES_INLINE void mark_row(int row) const
    {
        const int count = this->count();
        const Real* const weight = this->sums() + index_in_rows(0, row) * count;
        unsigned char* const marks = scratch.marks + index_in_rows(0, row);
        for (int k = 0; k < TILE_WIDTH; ++k) marks[k] |= weight[k * count] > 0.0 ? POSITIVE : 0;
    }

    GPURES_INLINE Place place(Reals i, Reals j, RealMask used)
    {
        const Reals index = (j - static_cast<Real>(this->y0)) * static_cast<Real>(SUMS_WIDTH) +
                            (i - static_cast<Real>(this->x0)) + static_cast<Real>(MARGIN);
        store_integers(select(used, index, Reals{}), index_);
        return {};
    }

    GPURES_INLINE void add(Place, int c, int r, Reals dow)
    {
        if (kept_ == ROOM) add_kept();
        const int by = r * SUMS_WIDTH + c;
        store(dow, dow_[kept_]);
        lowest_ = least(lowest_, dow);
        by_[kept_++] = by;
        furthest_ = furthest_ > by ? furthest_ : by;
    }

    // The same of 3 x 3 output pixels: of dow[c][r].
    GPURES_INLINE void add_nine(Place, const Reals dow[3][3])
    {
        for (int c = 0; c < 3; ++c) {
            for (int r = 0; r < 3; ++r) {
                store(dow[c][r], dow_[3 * c + r]);
                lowest_ = least(lowest_, dow[c][r]);
            }
        }
        kept_ = NINE;
    }

    // Adds what the pixels of a row have contributed last.
    void finish(const PixelRow&, int) { add_kept(); }

  private:
    static constexpr int ROOM = 64, NINE = -9, MOST_SUMS = N ? N : sums_of_pixel(MOST_PLANES);

    // Of each pixel of a row: 1 for the weight, then each plane's value, then nothing up to the number of sums.
    alignas(64) Real values_[(BLOCK_WIDTH + REALS) * MOST_SUMS] = {};
    alignas(64) Real powers_[MOST_SUMS];   // of the weight in each sum, where some are squares
    bool finite_ = false;                  // all values of the row are
    const std::uint32_t* bits_ = nullptr;  // of the row's pixels; null: none are wanted
    int first_ = 0;                        // pixel in lane 0

    // What these contribute: the weight dow_[s][l] to the output pixel index_[l] + by_[s], for so many s; or NINE.
    alignas(64) Real dow_[ROOM][REALS];
    int by_[ROOM], index_[REALS];
    int kept_ = 0, furthest_ = 0;
    Reals lowest_ = {};

    void add_kept()
    {
        if (kept_ == 0) return;
        if (!this->marks_each && any_greater(Reals{}, lowest_)) mark_each_from_now_on(*this);
        const bool nine = kept_ == NINE, plain = finite_ && !this->marks_each;
        const int furthest = nine ? 2 * SUMS_WIDTH + 2 : furthest_, inside = scratch.rows * SUMS_WIDTH - furthest;
        for (int l = 0; l < REALS; ++l) {
            // Where there is nothing to add there may be no output pixels.
            if (!plain || index_[l] >= inside || (bits_ && bits_[first_ + l])) {
                add_each(l);
            } else if (nine) {
                add_drop(l, [](auto add) {
                    GPURES_UNROLL_ALL
                    for (int s = 0; s < 9; ++s) add(s, s / 3 + s % 3 * SUMS_WIDTH);
                });
            } else {
                add_drop(l, [this](auto add) {
                    for (int s = 0; s < kept_; ++s) add(s, by_[s]);
                });
            }
        }
        kept_ = furthest_ = 0;
        lowest_ = Reals{};
    }

    // All that a drop contributes, and nothing where that is 0: of numbers which are finite. `each(add)` calls add(s,
    // by) for each s.
    template <class Each>
    GPURES_INLINE void add_drop(int l, const Each& each) const
    {
        if constexpr (!SQUARED && N == 2) {
            add_parts<TwoReals, 1>(l, each);
        } else if constexpr (!SQUARED && N == 4) {
            add_parts<FourReals, 1>(l, each);
        } else if constexpr (!SQUARED && N == 8) {
            add_parts<PartOfEight, 8 * sizeof(Real) / sizeof(PartOfEight)>(l, each);
        } else {
            each([&](int s, int by) { add_one(index_[l] + by, l, dow_[s][l]); });
        }
    }

    // The same in so many vectors.
    template <class V, int PARTS, class Each>
    GPURES_INLINE void add_parts(int l, const Each& each) const
    {
        constexpr int SIZE = sizeof(V) / sizeof(Real);
        static_assert(SIZE * PARTS == N);
        V values[PARTS];
        for (int a = 0; a < PARTS; ++a) std::memcpy(&values[a], values_ + (first_ + l) * N + a * SIZE, sizeof(V));
        Real* const sums = this->sums() + static_cast<std::ptrdiff_t>(index_[l]) * N;
        const Real* const dow = dow_[0] + l;
        each([&](int s, int by) {
            Real* const to = sums + static_cast<std::ptrdiff_t>(by) * N;
            for (int a = 0; a < PARTS; ++a) {
                V sum;
                std::memcpy(&sum, to + a * SIZE, sizeof sum);
                sum = sum + dow[s * REALS] * values[a];
                std::memcpy(to + a * SIZE, &sum, sizeof sum);
            }
        });
    }

    // What the pixel in a lane contributes to an output pixel.
    void add_one(std::ptrdiff_t pixel, int l, Real dow) const
    {
        const int count = this->count();
        Real* const sums = this->sums() + pixel * count;
        if constexpr (SQUARED) {
            add_scaled(sums, values_ + (first_ + l) * count, dow, powers_, count);
        } else {
            add_scaled(sums, values_ + (first_ + l) * count, dow, count);
        }
    }

    // The same as add_drop() one by one, with marks and flags, where there is something to add.
    __attribute__((noinline)) void add_each(int l) const
    {
        const int kept = kept_ == NINE ? 9 : kept_;
        for (int s = 0; s < kept; ++s) {
            const Real dow = dow_[s][l];
            if (dow == 0.0) continue;
            const std::ptrdiff_t pixel = index_[l] + (kept_ == NINE ? s / 3 + s % 3 * SUMS_WIDTH : by_[s]);
            add_one(pixel, l, dow);
            if (this->marks_each) scratch.marks[pixel] |= dow > 0.0 ? POSITIVE : 0;
            if (bits_) scratch.dq[pixel] |= bits_[first_ + l];
        }
    }
};

// In edges.h, for any sink.
template <int N, bool SQUARED>
GPURES_INLINE void add_nine(PixelSums<N, SQUARED>& sink, typename PixelSums<N, SQUARED>::Place place,
                            const Reals dow[3][3], bool, bool)
{
    sink.add_nine(place, dow);
}

GPURES_END

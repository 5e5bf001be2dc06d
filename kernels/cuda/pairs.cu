// One exposure's pairs of output pixels (see ../pairs.h), straight into the mosaic's planes: a thread for each input
// pixel.
//
// Compiled for one kernel at a time, as splat.cu is: -DGPURES_PAIRS=pairs_square (the entry point's name),
// -DGPURES_KERNEL=SQUARE, -DGPURES_WHOLE=1.
#include "parameters.h"
//
#include "block.h"
#include "pairs.h"
#include "products.h"
#include "weights.h"

namespace gpures {

// A pixel that an input pixel contributes to, and the variance of that.
struct PixelOfPairs {
    double* sums;  // of the first plane; null beside the part that is accumulated
    long long stride;
    double variance;

    __device__ void add(int plane, double weight) const
    {
        if (weight != 0.0 && sums) atomicAdd(sums + plane * stride, weight * variance);
    }
};

// A part of a thread's drop; and the sink that holds it.
class PartOfDrop {
  public:
    static constexpr int SIDE = 4;
    struct Place {};

    int columns = 0, rows = 0;  // of the drop's bounding box

    // `held` is of this thread, with a block's threads between its numbers.
    __device__ PartOfDrop(const Pairs& pairs, const Mosaic& m, double variance, double* held)
        : pairs_(pairs), m_(m), held_(held), variance_(variance)
    {
    }

    __device__ void begin(int column, int row)
    {
        column_ = column;
        row_ = row;
        all_ = 0.0;
    }

    __device__ Place place(double i, double j, bool)
    {
        x_ = static_cast<int>(i);
        y_ = static_cast<int>(j);
        return {};
    }

    __device__ void add(Place, int c, int r, double dow)
    {
        all_ += dow;
        columns = c < columns ? columns : c + 1;
        rows = r < rows ? rows : r + 1;
        c -= column_;
        r -= row_;
        if (c >= 0 && c < SIDE && r >= 0 && r < SIDE) held(c, r) = dow;
    }

    __device__ void pass_over(bool) {}

    // What is held of it.
    struct Held {
        const PartOfDrop& of;
        int columns, rows;

        __device__ double operator()(int c, int r) const { return of.held(c, r); }
        __device__ double all() const { return of.all_; }
        __device__ static bool any(double weight) { return weight != 0.0; }
        __device__ PixelOfPairs at(int c, int r) const { return of.pixel(c, r); }
    };

    __device__ Held held_part() const
    {
        const int right = columns - column_, above = rows - row_;
        return {*this, right < SIDE ? right : SIDE, above < SIDE ? above : SIDE};
    }

    __device__ void add_within() const { add_pairs_within(pairs_, held_part()); }

    // The sink that pairs what is beyond the part with it.
    struct Beyond {
        const PartOfDrop& of;
        using Place = PartOfDrop::Place;

        __device__ Place place(double, double, bool) const { return {}; }
        __device__ void add(Place, int c, int r, double dow) const
        {
            const int column = c - of.column_, row = r - of.row_;
            if (dow == 0.0 || row < 0 || (column >= 0 && column < SIDE && row < SIDE)) return;
            add_pairs_beyond(of.pairs_, of.held_part(), column, row, dow);
        }
        __device__ void pass_over(bool) {}
    };

    __device__ Beyond beyond() const { return {*this}; }

  private:
    __device__ double& held(int c, int r) const { return held_[(r * SIDE + c) * THREADS]; }

    __device__ PixelOfPairs pixel(int c, int r) const
    {
        const int x = x_ + column_ + c, y = y_ + row_ + r;
        const bool in_part = x >= m_.x0 && x <= m_.x1 && y >= m_.y0 && y <= m_.y1;
        return {in_part ? pairs_.sums + y * m_.stride + x : nullptr, pairs_.stride, variance_};
    }

    const Pairs& pairs_;
    const Mosaic& m_;
    double* const held_;
    const double variance_;
    double all_ = 0.0;
    int column_ = 0, row_ = 0, x_ = 0, y_ = 0;
};

// Hands a thread's drop to a sink; q is that of a square one.
template <int KERNEL>
struct WalkOfDrop {
    const Exposure& e;
    const int i, j;
    const Quad<double> q;
    const double weight;
    const Bounds bounds;

    template <class Sink>
    __device__ void operator()(Sink& sink) const
    {
        if constexpr (KERNEL == SQUARE) {
            splat_square(q, weight, bounds, sink, true, sides<double>);
        } else {
            splat_at_centre<KERNEL>(e, i, j, weight, bounds, sink);
        }
    }
};

// What the threads of a block share: first its centres, and then parts of its drops.
struct Block {
    Centres centres;
    union {
        Rows rows;
        double held[PartOfDrop::SIDE * PartOfDrop::SIDE * THREADS];
    };
};

// The square drop of a thread's pixel of the block at (i0, j0). For all threads.
__device__ inline Quad<double> square_drop(const Exposure& e, Block& block, int i0, int j0)
{
    const Centres& centres = block.centres;
    const int b = threadIdx.x, a = threadIdx.y;
    stage_centres(e, block.centres, block.rows, i0, j0);
    if (!GPURES_WHOLE && is_in_block(e, i0 + b, j0 + a) && !has_neighbours(e.pixmap, centres, b, a)) {
        return drop_anywhere(e, i0 + b, j0 + a, [&](int k) { return centres.at(a + k / 3, b + k % 3); });
    }
    return regular_drop(e, centres, b, a).q;
}

template <int KERNEL>
__device__ void add_pairs(const Exposure& e, const Mosaic& m, const Pairs& pairs)
{
    __shared__ Block block;
    const int i0 = e.x0 + blockIdx.x * WIDTH, j0 = e.y0 + blockIdx.y * HEIGHT;
    const int i = i0 + threadIdx.x, j = j0 + threadIdx.y;
    Quad<double> q;
    if constexpr (KERNEL == SQUARE) q = square_drop(e, block, i0, j0);
    if (!is_in_block(e, i, j)) return;
    const double weight = pixel_weight(e, j, i).weight;
    if (weight == 0.0) return;
    double variance = 0.0;
    for (int k = 0; k < pairs.sources; ++k) {
        variance += plane_value(pairs.source[k], value_at<double>(pairs.source[k].view, j, i));
    }
    PartOfDrop part(pairs, m, variance, block.held + thread_of_block());
    const Bounds bounds = {0.0, double(m.nx - 1), 0.0, double(m.ny - 1)};
    splat_pairs(pairs, part, false, WalkOfDrop<KERNEL>{e, i, j, q, weight, bounds});
}

}  // namespace gpures

extern "C" __global__ void __launch_bounds__(gpures::WIDTH* gpures::HEIGHT, 1)
    GPURES_PAIRS(const gpures::Exposure exposure, const gpures::Mosaic mosaic, const gpures::Pairs pairs)
{
    gpures::add_pairs<gpures::GPURES_KERNEL>(exposure, mosaic, pairs);
}

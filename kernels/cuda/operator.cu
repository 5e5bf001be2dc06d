// The entries of an exposure's matrix, counted or taken: a thread for each input pixel.
//
// Compiled for one kernel at a time: -DGPURES_ENTRIES=take_entries_square (the entry point's name),
// -DGPURES_KERNEL=SQUARE. It is done once for an exposure, so each thread evaluates all that it needs by itself.
#include "parameters.h"
//
#include "pixmap.h"
#include "products.h"
#include "weights.h"

namespace gpures {

struct EntrySink {
    Entries<unsigned> entries;
    long long column;

    struct Place {
        int x, y;
    };

    __device__ Place place(double i, double j, bool) const { return {static_cast<int>(i), static_cast<int>(j)}; }

    __device__ void add(Place place, int c, int r, double dow) const
    {
        if (dow != 0.0) entries.take(place.x + c, place.y + r, column, dow);
    }

    __device__ void pass_over(bool is_flat) const
    {
        if (is_flat && entries.o.passed_over) atomicAdd(entries.o.passed_over, 1ull);
    }
};

// The 3 x 3 centres are evaluated in a loop: written out one by one they would take the compiler minutes.
__device__ inline Quad<double> square_drop(const Exposure& e, int i, int j)
{
    Point around[9];
#pragma unroll 1
    for (int k = 0; k < 9; ++k) around[k] = bordered_centre(e, i + k % 3 - 1, j + k / 3 - 1);
    return drop_anywhere(e, i, j, [&](int k) { return around[k]; });
}

template <int KERNEL>
__device__ void take_entries(const Exposure& e, const Operator& o, int i, int j)
{
    const double weight = pixel_weight(e, j, i).weight;
    if (weight == 0.0) return;
    EntrySink sink = {{o}, j * o.nx + i};
    const Bounds bounds = {double(o.x0), double(o.x1), double(o.y0), double(o.y1)};
    if constexpr (KERNEL == SQUARE) {
        splat_square(square_drop(e, i, j), weight, bounds, sink, true, sides<double>);
    } else {
        splat_at_centre<KERNEL>(e, i, j, weight, bounds, sink);
    }
}

}  // namespace gpures

extern "C" __global__ void __launch_bounds__(256, 1)
    GPURES_ENTRIES(const gpures::Exposure exposure, const gpures::Operator matrix)
{
    const int i = exposure.x0 + blockIdx.x * blockDim.x + threadIdx.x;
    const int j = exposure.y0 + blockIdx.y * blockDim.y + threadIdx.y;
    if (i > exposure.x1 || j > exposure.y1) return;
    gpures::take_entries<gpures::GPURES_KERNEL>(exposure, matrix, i, j);
}

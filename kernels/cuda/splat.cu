// One exposure onto the sums of its window: a thread for each input pixel.
//
// Compiled for one kernel and one number of planes at a time: -DGPURES_SPLAT=splat_square_4 (the entry point's name,
// which profilers show), -DGPURES_KERNEL=SQUARE, -DGPURES_PLANES=4, -DGPURES_SQUARED=0 (how many of them, the last
// ones, are weighted with squares), -DGPURES_WHOLE=1 (whether all pixels with coordinates have all their neighbours
// beside them in the output); and for blocks of so many input pixels as Python launches it with
// (gpures/cuda/program.py).
#include "parameters.h"
//
#include "drops.h"

namespace gpures {

// Blocks that a multiprocessor should have room for: as many as the registers allow without spilling. Left alone, some
// compilers spill to make room for more.
constexpr int BLOCKS =
    !GPURES_WHOLE && GPURES_PLANES > 8                                                                    ? 1
    : GPURES_KERNEL == SQUARE || GPURES_KERNEL == TURBO || GPURES_KERNEL == GAUSSIAN || GPURES_PLANES > 4 ? 2
                                                                                                          : 3;

// An output pixel.
struct Place {
    int x, y;
};

// Adds an input pixel's contributions; with no planes, only notes for the exposure time where they are.
template <int PLANES>
struct WindowSink {
    const Mosaic& m;
    const Window& w;
    unsigned bits;                       // its DQ flags, where they are propagated
    double values[PLANES ? PLANES : 1];  // of the planes

    __device__ Place place(double i, double j, bool) const { return {static_cast<int>(i), static_cast<int>(j)}; }

    __device__ void add(Place place, int c, int r, double dow)
    {
        if (dow == 0.0) return;
        const int x = place.x + c, y = place.y + r;
        const long long at = static_cast<long long>(y - w.y0) * (w.x1 - w.x0 + 1) + (x - w.x0);
        if constexpr (PLANES == 0) {
            w.timed[at] = 1;  // whoever else writes there writes the same
            return;
        }
        double* sum = w.sums + at;
        atomicAdd(sum, dow);
#pragma unroll
        for (int p = 0; p < PLANES; ++p) {
            const double weight = weight_in_plane(p >= PLANES - GPURES_SQUARED, dow);
            atomicAdd(sum + (p + 1) * w.stride, weight * values[p]);
        }
        const long long pixel = y * m.stride + x;
        // A look first spares nearly all of these: only the first contribution finds its bits missing.
        if (m.context && dow > 0.0 && !(m.context[pixel] & m.context_bit)) atomicOr(m.context + pixel, m.context_bit);
        if (bits && (bits & ~m.dq[pixel])) atomicOr(m.dq + pixel, bits);
    }

    __device__ void pass_over(bool is_flat)
    {
        if (PLANES > 0 && is_flat && m.passed_over) atomicAdd(m.passed_over, 1ull);
    }
};

template <int KERNEL, int PLANES>
__device__ void splat(const Exposure& e, const Mosaic& m, const Window& w)
{
    const int i0 = e.x0 + blockIdx.x * WIDTH, j0 = e.y0 + blockIdx.y * HEIGHT;
    const int i = i0 + threadIdx.x, j = j0 + threadIdx.y;
    Quad<double> q;
    if constexpr (KERNEL == SQUARE) q = square_drop(e, i0, j0);
    if (i > e.x1 || j > e.y1) return;
    const Weighted pixel = pixel_weight(e, j, i);
    double weight = pixel.weight;
    if constexpr (PLANES == 0) {
        // Where weights are positive, their sums tell as much.
        weight = pixel.weight <= 0.0 && is_good(pixel.dq, e.bad_bits) ? 1.0 : 0.0;
    }
    if (weight == 0.0) return;

    WindowSink<PLANES> sink = {m, w, m.dq ? static_cast<unsigned>(pixel.dq) : 0u, {}};
#pragma unroll
    for (int p = 0; p < PLANES; ++p) sink.values[p] = plane_value(e.plane[p], value_at<double>(e.plane[p].view, j, i));

    const Bounds bounds = {double(w.x0), double(w.x1), double(w.y0), double(w.y1)};
    // With very many planes there are no registers left for both ways to the shares.
    splat_drop<KERNEL>(e, i, j, q, weight, bounds, sink, PLANES <= 8);
}

}  // namespace gpures

extern "C" __global__ void __launch_bounds__(gpures::WIDTH* gpures::HEIGHT, gpures::BLOCKS)
    GPURES_SPLAT(const gpures::Exposure exposure, const gpures::Mosaic mosaic, const gpures::Window window)
{
    gpures::splat<gpures::GPURES_KERNEL, GPURES_PLANES>(exposure, mosaic, window);
}

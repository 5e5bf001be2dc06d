// One exposure onto the sums of its window: a thread for each input pixel.
//
// Compiled for one kernel and one number of planes at a time: -DGPURES_SPLAT=splat_square_4 (the entry point's name,
// which profilers show), -DGPURES_KERNEL=SQUARE, -DGPURES_PLANES=4, -DGPURES_SQUARED=0 (how many of them, the last
// ones, are weighted with squares), -DGPURES_WHOLE=1 (whether all pixels with coordinates have all their neighbours
// beside them in the output); and for blocks of so many input pixels as Python launches it with
// (gpures/cuda/program.py).
#include "parameters.h"
//
#include "pixmap.h"
#include "splat.h"
#include "weights.h"

namespace gpures {

constexpr int WIDTH = GPURES_WIDTH, HEIGHT = GPURES_HEIGHT;

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

// Whether this thread's pixel has all its neighbours, and none of their coordinates are far from its own.
__device__ inline bool has_neighbours(const Pixmap& m, const double (*x)[WIDTH + 2], const double (*y)[WIDTH + 2])
{
    const int j = threadIdx.y + 1, i = threadIdx.x + 1;
    const double sure = sure_step(m);
    bool all = true;
    for (int k = 0; k < 9; ++k) {
        const Point near = {x[j + k / 3 - 1][i + k % 3 - 1], y[j + k / 3 - 1][i + k % 3 - 1]};
        all = all && is_defined(near) && length(near - Point{x[j][i], y[j][i]}) < sure;
    }
    return all;
}

// The square drop of the pixel that this thread has in the block at (i0, j0). A corner depends on four centres, so the
// block evaluates its own and those around it once for all its threads, all of which come here.
__device__ inline Quad<double> square_drop(const Exposure& e, int i0, int j0)
{
    __shared__ double x[HEIGHT + 2][WIDTH + 2], y[HEIGHT + 2][WIDTH + 2];
    for (int k = threadIdx.y * WIDTH + threadIdx.x; k < (HEIGHT + 2) * (WIDTH + 2); k += HEIGHT * WIDTH) {
        const int a = k / (WIDTH + 2), b = k % (WIDTH + 2);
        if (i0 + b - 1 > e.nx || j0 + a - 1 > e.ny) continue;
        const Point point = bordered_centre(e, i0 + b - 1, j0 + a - 1);
        x[a][b] = point.x;
        y[a][b] = point.y;
    }
    __syncthreads();
#if !GPURES_WHOLE
    const int i = i0 + threadIdx.x, j = j0 + threadIdx.y;
    if (i <= e.x1 && j <= e.y1 && !has_neighbours(e.pixmap, x, y)) {
        return drop_anywhere(e, i, j, [&](int k) {
            return Point{x[threadIdx.y + k / 3][threadIdx.x + k % 3], y[threadIdx.y + k / 3][threadIdx.x + k % 3]};
        });
    }
#endif
    double near_x[3][3], near_y[3][3];
    for (int a = 0; a < 3; ++a) {
        for (int b = 0; b < 3; ++b) {
            near_x[a][b] = x[threadIdx.y + a][threadIdx.x + b];
            near_y[a][b] = y[threadIdx.y + a][threadIdx.x + b];
        }
    }
    Quad<double> q;
    corners(near_x, 0.5 * e.pixfrac, q.x);
    corners(near_y, 0.5 * e.pixfrac, q.y);
    return q;
}

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
    if constexpr (KERNEL == SQUARE) {
        // With very many planes there are no registers left for both ways to the shares.
        splat_square(q, weight, bounds, sink, PLANES <= 8, sides<double>);
    } else {
        const double s = e.pixel_scale_ratio;
        const Point at = centre(e, i, j);
        const double x = at.x, y = at.y;
        if constexpr (KERNEL == POINT) splat_point(x, y, weight, bounds, sink);
        if constexpr (KERNEL == TURBO) splat_product(Turbo(s, e.pixfrac), x, y, weight, bounds, sink);
        if constexpr (KERNEL == GAUSSIAN) splat_product(Gaussian(s, e.pixfrac), x, y, weight, bounds, sink);
        if constexpr (KERNEL == LANCZOS2) splat_product(Lanczos(s, 2, e.lanczos), x, y, weight, bounds, sink);
        if constexpr (KERNEL == LANCZOS3) splat_product(Lanczos(s, 3, e.lanczos), x, y, weight, bounds, sink);
    }
}

}  // namespace gpures

extern "C" __global__ void __launch_bounds__(gpures::WIDTH* gpures::HEIGHT, gpures::BLOCKS)
    GPURES_SPLAT(const gpures::Exposure exposure, const gpures::Mosaic mosaic, const gpures::Window window)
{
    gpures::splat<gpures::GPURES_KERNEL, GPURES_PLANES>(exposure, mosaic, window);
}

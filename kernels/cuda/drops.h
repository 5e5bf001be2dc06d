// The drops of a block of input pixels, a thread for each: what pairs.cu hands to its sink.
#pragma once

#include "pixmap.h"
#include "products.h"
#include "weights.h"

namespace gpures {

constexpr int WIDTH = GPURES_WIDTH, HEIGHT = GPURES_HEIGHT;

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

// The drop of pixel (i, j), whose corners are q if it is a square one, to a sink.
template <int KERNEL, class Sink>
__device__ inline void splat_drop(const Exposure& e, int i, int j, const Quad<double>& q, double weight,
                                  const Bounds& bounds, Sink& sink, bool around_points)
{
    if constexpr (KERNEL == SQUARE) {
        splat_square(q, weight, bounds, sink, around_points, sides<double>);
    } else {
        splat_at_centre<KERNEL>(e, i, j, weight, bounds, sink);
    }
}

}  // namespace gpures

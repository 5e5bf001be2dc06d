// A block of input pixels and their square drops: what several of its threads need is evaluated once.
#pragma once

#include "pixmap.h"

namespace gpures {

constexpr int WIDTH = GPURES_WIDTH, HEIGHT = GPURES_HEIGHT, THREADS = WIDTH * HEIGHT;

__device__ inline int thread_of_block() { return threadIdx.y * WIDTH + threadIdx.x; }

// Shares work(0) ... work(count - 1) out to the block's threads.
template <class Work>
__device__ __forceinline__ void over_block(int count, const Work& work)
{
    for (int k = thread_of_block(); k < count; k += THREADS) work(k);
}

// The block's pixels and those around them, numbered from the one beside the first.
constexpr int ACROSS = WIDTH + 2, UP = HEIGHT + 2;

// Coefficients that a row of them may need: those of a spline are no closer than pixels.
constexpr int COLUMNS = ACROSS + SPLINE_SUPPORT - 1;

// A spline that is blended along y only, for each row.
struct Rows {
    double x[UP][COLUMNS], y[UP][COLUMNS];
};

struct Centres {
    double x[UP][ACROSS], y[UP][ACROSS];

    __device__ Point at(int a, int b) const { return {x[a][b], y[a][b]}; }
    __device__ void put(int a, int b, Point p)
    {
        x[a][b] = p.x;
        y[a][b] = p.y;
    }
};

// The centres of the pixels at (i0, j0) and around them, also of those one beyond the image. For all threads.
__device__ inline void stage_centres(const Exposure& e, Centres& centres, Rows& rows, int i0, int j0)
{
    const Pixmap& m = e.pixmap;
    const int nx = e.nx, ny = e.ny;
    // What there is of the spline.
    const int left = max(max(i0 - 1, 0), m.x0), right = min(min(i0 + WIDTH, nx - 1), m.x1);
    const int bottom = max(max(j0 - 1, 0), m.y0), top = min(min(j0 + HEIGHT, ny - 1), m.y1);
    int first = 0, columns = COLUMNS + 1;
    if (!m.full && left <= right) {
        first = m.first_column[left];
        columns = m.first_column[right] + SPLINE_SUPPORT - first;
    }
    const bool by_rows = columns <= COLUMNS;
    if (by_rows) {
        const int shift = columns <= 8 ? 3 : columns <= 16 ? 4 : 6;  // so that lanes are used
        over_block(UP << shift, [&](int k) {
            const int a = k >> shift, c = k & ((1 << shift) - 1), j = j0 + a - 1;
            if (c >= columns || j < bottom || j > top) return;
            double f[SPLINE_SUPPORT];
            for (int r = 0; r < SPLINE_SUPPORT; ++r) f[r] = m.row_factors[r * ny + j];
            const long long n = m.coefficients_per_row, at = m.first_row[j] * n + first + c;
            const double *x = m.coefficients_x + at, *y = m.coefficients_y + at;
            rows.x[a][c] = blend(f[0], f[1], f[2], f[3], x[0], x[n], x[2 * n], x[3 * n]);
            rows.y[a][c] = blend(f[0], f[1], f[2], f[3], y[0], y[n], y[2 * n], y[3 * n]);
        });
    }
    __syncthreads();
    over_block(UP * ACROSS, [&](int k) {
        const int a = k / ACROSS, b = k % ACROSS, i = i0 + b - 1, j = j0 + a - 1;
        if (!is_in_image(e, i, j)) return;
        if (!by_rows) {
            centres.put(a, b, centre(e, i, j));
        } else if (i < left || i > right || j < bottom || j > top) {
            centres.put(a, b, nowhere());
        } else {
            double f[SPLINE_SUPPORT];
            for (int r = 0; r < SPLINE_SUPPORT; ++r) f[r] = m.column_factors[r * nx + i];
            const int c = m.first_column[i] - first;
            const double *x = rows.x[a] + c, *y = rows.y[a] + c;
            centres.put(a, b,
                        {blend(f[0], f[1], f[2], f[3], x[0], x[1], x[2], x[3]) + m.shift_x,
                         blend(f[0], f[1], f[2], f[3], y[0], y[1], y[2], y[3]) + m.shift_y});
        }
    });
    __syncthreads();
    if (i0 > 0 && j0 > 0 && i0 + WIDTH < nx && j0 + HEIGHT < ny) return;
    // Beyond the image each row is continued, and then each column.
    over_block(2 * UP, [&](int k) {
        const int a = k / 2, b = k % 2 ? nx - i0 + 1 : 0, inwards = k % 2 ? -1 : 1;
        if (j0 + a - 1 < 0 || j0 + a - 1 >= ny || (k % 2 ? b >= ACROSS : i0 > 0)) return;
        centres.put(a, b, nx == 1 ? nowhere() : beyond(centres.at(a, b + inwards), centres.at(a, b + 2 * inwards)));
    });
    __syncthreads();
    over_block(2 * ACROSS, [&](int k) {
        const int b = k / 2, a = k % 2 ? ny - j0 + 1 : 0, inwards = k % 2 ? -1 : 1;
        if (i0 + b - 1 > nx || (k % 2 ? a >= UP : j0 > 0)) return;
        centres.put(a, b, ny == 1 ? nowhere() : beyond(centres.at(a + inwards, b), centres.at(a + 2 * inwards, b)));
    });
    __syncthreads();
}

__device__ inline bool is_in_block(const Exposure& e, int i, int j) { return i <= e.x1 && j <= e.y1; }

// Whether a pixel has all its neighbours, and none of their coordinates are far from its own.
__device__ inline bool has_neighbours(const Pixmap& m, const Centres& centres, int b, int a)
{
    const double sure = sure_step(m);
    const Point own = centres.at(a + 1, b + 1);
    bool all = true;
    for (int k = 0; k < 9; ++k) {
        const Point near = centres.at(a + k / 3, b + k % 3);
        all = all && is_defined(near) && length(near - own) < sure;
    }
    return all;
}

// The drop of a pixel that has them.
__device__ __forceinline__ Quad<double> regular_drop(const Exposure& e, const Centres& centres, int b, int a)
{
    double near_x[3][3], near_y[3][3];
    for (int k = 0; k < 9; ++k) {
        const Point near = centres.at(a + k / 3, b + k % 3);
        near_x[k / 3][k % 3] = near.x;
        near_y[k / 3][k % 3] = near.y;
    }
    Quad<double> q;
    corners(near_x, 0.5 * e.pixfrac, q.x);
    corners(near_y, 0.5 * e.pixfrac, q.y);
    return q;
}

// Square drops that touch, as they do at pixfrac 1: a corner belongs to four of them, a side to two. Numbered from the
// lower left corner of the block's first pixel.
struct Corners {
    double x[HEIGHT + 1][WIDTH + 1], y[HEIGHT + 1][WIDTH + 1];
    double across[HEIGHT + 1][WIDTH];  // dy/dx from each to the next one of its row
    double up[HEIGHT][WIDTH + 1];      // dx/dy from each to the next one of its column

    __device__ Quad<double> quad(int b, int a) const
    {
        return {{x[a + 1][b], x[a + 1][b + 1], x[a][b + 1], x[a][b]},
                {y[a + 1][b], y[a + 1][b + 1], y[a][b + 1], y[a][b]}};
    }

    __device__ Sides<double> sides(int b, int a) const
    {
        return {across[a + 1][b], up[a][b + 1], across[a][b], up[a][b]};
    }
};

// The corners of the block's first pixels, so many along each axis, and their sides. For all threads.
__device__ inline void stage_corners(const Centres& centres, Corners& corners, int columns, int rows)
{
    over_block((HEIGHT + 1) * (WIDTH + 1), [&](int k) {
        const int a = k / (WIDTH + 1), b = k % (WIDTH + 1);
        if (a > rows || b > columns) return;
        const auto between_four = [&](const double (*c)[ACROSS]) {
            return shared_corner(c[a][b], c[a][b + 1], c[a + 1][b], c[a + 1][b + 1]);
        };
        corners.x[a][b] = between_four(centres.x);
        corners.y[a][b] = between_four(centres.y);
    });
    __syncthreads();
    const auto &x = corners.x, &y = corners.y;
    over_block((HEIGHT + 1) * WIDTH, [&](int k) {
        const int a = k / WIDTH, b = k % WIDTH;
        if (a <= rows && b < columns) corners.across[a][b] = slope(y[a][b + 1] - y[a][b], x[a][b + 1] - x[a][b]);
    });
    over_block(HEIGHT * (WIDTH + 1), [&](int k) {
        const int a = k / (WIDTH + 1), b = k % (WIDTH + 1);
        if (a < rows && b <= columns) corners.up[a][b] = slope(x[a + 1][b] - x[a][b], y[a + 1][b] - y[a][b]);
    });
    __syncthreads();
}

}  // namespace gpures

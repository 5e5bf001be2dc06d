// A block of input pixels and their square drops: what several of its threads need is evaluated once.
#pragma once

#include "cells.h"
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
    Coordinates<Real, UP, ACROSS> x, y;

    __device__ Point at(int a, int b) const { return {x.place(a, b), y.place(a, b)}; }
    __device__ void put(int a, int b, Point p)
    {
        x.put(a, b, p.x);
        y.put(a, b, p.y);
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

// The drop of a pixel that has them, counted from the cell of its centre.
__device__ __forceinline__ Drop regular_drop(const Exposure& e, const Centres& centres, int b, int a)
{
    Drop drop = {{}, centres.x.cell(a + 1, b + 1), centres.y.cell(a + 1, b + 1)};
    Real near_x[3][3], near_y[3][3];
    for (int k = 0; k < 9; ++k) {
        near_x[k / 3][k % 3] = centres.x.from(drop.x, a + k / 3, b + k % 3);
        near_y[k / 3][k % 3] = centres.y.from(drop.y, a + k / 3, b + k % 3);
    }
    corners(near_x, 0.5 * e.pixfrac, drop.q.x);
    corners(near_y, 0.5 * e.pixfrac, drop.q.y);
    return drop;
}

// Square drops that touch, as they do at pixfrac 1: a corner belongs to four of them, a side to two. Numbered from the
// lower left corner of the block's first pixel.
struct Corners {
    Coordinates<Real, HEIGHT + 1, WIDTH + 1> x, y;
    Real across[HEIGHT + 1][WIDTH];  // dy/dx from each to the next one of its row
    Real up[HEIGHT][WIDTH + 1];      // dx/dy from each to the next one of its column

    // Counted from the cell of its lower left corner.
    __device__ Drop drop(int b, int a) const
    {
        const Cell i = x.cell(a, b), j = y.cell(a, b);
        return {{{x.from(i, a + 1, b), x.from(i, a + 1, b + 1), x.from(i, a, b + 1), x.from(i, a, b)},
                 {y.from(j, a + 1, b), y.from(j, a + 1, b + 1), y.from(j, a, b + 1), y.from(j, a, b)}},
                i,
                j};
    }

    __device__ Sides<Real> sides(int b, int a) const
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
        const auto put_between_four = [&](const Coordinates<Real, UP, ACROSS>& c,
                                          Coordinates<Real, HEIGHT + 1, WIDTH + 1>& corner) {
            const Cell cell = c.cell(a, b);
            const Real x = shared_corner(c.from(cell, a, b), c.from(cell, a, b + 1), c.from(cell, a + 1, b),
                                         c.from(cell, a + 1, b + 1));
            corner.put(a, b, x, cell);
        };
        put_between_four(centres.x, corners.x);
        put_between_four(centres.y, corners.y);
    });
    __syncthreads();
    const auto &x = corners.x, &y = corners.y;
    over_block((HEIGHT + 1) * WIDTH, [&](int k) {
        const int a = k / WIDTH, b = k % WIDTH;
        if (a <= rows && b < columns) corners.across[a][b] = slope(y.step(a, b + 1, a, b), x.step(a, b + 1, a, b));
    });
    over_block(HEIGHT * (WIDTH + 1), [&](int k) {
        const int a = k / (WIDTH + 1), b = k % (WIDTH + 1);
        if (a < rows && b <= columns) corners.up[a][b] = slope(x.step(a + 1, b, a, b), y.step(a + 1, b, a, b));
    });
    __syncthreads();
}

}  // namespace gpures

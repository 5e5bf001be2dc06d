// The centres of a block of input pixels in the output frame, with one pixel more on each side.
#pragma once

#include "../tiles.h"
#include "maths.h"

GPURES_BEGIN

// Row length of the block's arrays: the block, its two borders, and room for a vector load that starts at the last.
constexpr int CENTRES_STRIDE = BLOCK_WIDTH + 2 + 8;

struct Centres {
    double x[BLOCK_HEIGHT + 2][CENTRES_STRIDE];
    double y[BLOCK_HEIGHT + 2][CENTRES_STRIDE];
};

inline void fill_nan(double* x, double* y, int n)
{
    for (int k = 0; k < n; ++k) x[k] = y[k] = NAN;
}

// Columns k and those that follow, as many as V has lanes, of a run that has its coefficients in common.
template <class V>
inline void blend_at(const double* const* factors, const double* cx, const double* cy, int k, double* x, double* y)
{
    V f[SPLINE_SUPPORT];
    for (int a = 0; a < SPLINE_SUPPORT; ++a) f[a] = Access<V>::load(factors[a] + k);
    store(blend(f[0], f[1], f[2], f[3], cx[0], cx[1], cx[2], cx[3]), x + k);
    store(blend(f[0], f[1], f[2], f[3], cy[0], cy[1], cy[2], cy[3]), y + k);
}

// Columns from i to before the end of such a run. The last vector ends there, over what another one has done.
inline void blend_run(const double* const* factors, const double* cx, const double* cy, int i, int end, double* x,
                      double* y)
{
    int k = i;
    for (; k + LANES <= end; k += LANES) blend_at<Vector>(factors, cx, cy, k, x, y);
    if (k < end && k > i) blend_at<Vector>(factors, cx, cy, end - LANES, x, y);
    for (; k < end && end - i < LANES; ++k) blend_at<double>(factors, cx, cy, k, x, y);
}

// n centres of row j from column i on, by a formula. (By vectors to the last: what is one here is so in every block.)
inline void row_by_formula(const double* formula, int j, int i, int n, double* x, double* y)
{
    // Along a row, a polynomial that comes first is one in x alone.
    const double row = j;
    double of_x[HIGHEST_DEGREE + 1], of_y[HIGHEST_DEGREE + 1];
    int degree = -1;
    if (*formula == FORMULA_POLYNOMIAL) {
        ++formula;
        over_powers(formula, row, [&](int k, double x_factor, double y_factor) {
            of_x[k] = x_factor;
            of_y[k] = y_factor;
            degree = k;
        });
    }
    for (int k = 0; k < n; k += LANES) {
        const Vector column = numbers_of_lanes() + static_cast<double>(i + k);
        Vector at_x = degree < 0 ? column : Vector{}, at_y = degree < 0 ? Vector{} + row : Vector{};
        for (int d = 0; d <= degree; ++d) {
            at_x = at_x * column + of_x[d];
            at_y = at_y * column + of_y[d];
        }
        by_formula(formula, at_x, at_y);
        if (k + LANES <= n) {
            store(at_x, x + k);
            store(at_y, y + k);
        } else {
            std::memcpy(x + k, &at_x, (n - k) * sizeof(double));
            std::memcpy(y + k, &at_y, (n - k) * sizeof(double));
        }
    }
}

// Centres of row j, columns i0 ... i1, all inside the image.
inline void inner_row(const Exposure& e, int j, int i0, int i1, double* x, double* y)
{
    const Pixmap& m = e.pixmap;
    if (m.full) {
        const double* p = m.full + 2 * (j * e.nx + i0);
        for (int k = 0; k <= i1 - i0; ++k) {
            x[k] = p[2 * k];
            y[k] = p[2 * k + 1];
        }
        return;
    }
    const int from = i0 > m.x0 ? i0 : m.x0, to = i1 < m.x1 ? i1 : m.x1;
    if (j < m.y0 || j > m.y1 || from > to) return fill_nan(x, y, i1 - i0 + 1);
    fill_nan(x, y, from - i0);
    fill_nan(x + (to + 1 - i0), y + (to + 1 - i0), i1 - to);
    if (m.formula) return row_by_formula(m.formula, j, from, to - from + 1, x + (from - i0), y + (from - i0));

    double fy[SPLINE_SUPPORT];
    for (int a = 0; a < SPLINE_SUPPORT; ++a) fy[a] = m.row_factors[a * e.ny + j];
    const double* fx[SPLINE_SUPPORT];
    for (int a = 0; a < SPLINE_SUPPORT; ++a) fx[a] = m.column_factors + a * e.nx;
    const long long n = m.coefficients_per_row;
    const double* cx = m.coefficients_x + m.first_row[j] * n;
    const double* cy = m.coefficients_y + m.first_row[j] * n;
    constexpr int STEP = 8;
    // Runs of columns between two knots share their coefficients, already blended over the rows.
    for (int i = from; i <= to;) {
        const int first = m.first_column[i];
        int end = i + 1;
        // Coefficients go up with the columns, so those in between need not be looked at.
        while (end + STEP <= to && m.first_column[end + STEP] == first) end += STEP;
        while (end <= to && m.first_column[end] == first) ++end;
        double rx[SPLINE_SUPPORT], ry[SPLINE_SUPPORT];
        for (int b = 0; b < SPLINE_SUPPORT; ++b) {
            const double *px = cx + first + b, *py = cy + first + b;
            rx[b] = blend(fy[0], fy[1], fy[2], fy[3], px[0], px[n], px[2 * n], px[3 * n]);
            ry[b] = blend(fy[0], fy[1], fy[2], fy[3], py[0], py[n], py[2 * n], py[3 * n]);
        }
        blend_run(fx, rx, ry, i, end, x - i0, y - i0);
        i = end;
    }
}

// Row j with columns i0 - 1 ... i1 + 1, where those beyond the image are continued linearly.
inline void bordered_row(const Exposure& e, int j, int i0, int i1, double* x, double* y)
{
    const int from = i0 > 0 ? i0 - 1 : 0, to = i1 + 1 < e.nx ? i1 + 1 : static_cast<int>(e.nx) - 1;
    inner_row(e, j, from, to, x + (from - (i0 - 1)), y + (from - (i0 - 1)));
    double inner_x, inner_y;
    if (e.nx == 1) {
        fill_nan(x, y, 1);
        fill_nan(x + 2, y + 2, 1);
        return;
    }
    if (i0 == 0) {
        inner_row(e, j, 1, 1, &inner_x, &inner_y);
        x[0] = beyond(x[1], inner_x);
        y[0] = beyond(y[1], inner_y);
    }
    if (i1 + 1 == e.nx) {
        const int last = i1 - i0 + 1;
        inner_row(e, j, static_cast<int>(e.nx) - 2, static_cast<int>(e.nx) - 2, &inner_x, &inner_y);
        x[last + 1] = beyond(x[last], inner_x);
        y[last + 1] = beyond(y[last], inner_y);
    }
}

// What a vector load beyond the last of n coordinates finds: numbers that depend on nothing else.
inline void pad(double* p, int n)
{
    for (int k = n; k < CENTRES_STRIDE; ++k) p[k] = 0.0;
}

// Moves the centres of a block by whole periods of the output.
inline void shift_centres(const Block& b, Centres& c)
{
    for (int a = 0; a < b.y1 - b.y0 + 3; ++a) {
        for (int k = 0; k < b.x1 - b.x0 + 3; ++k) {
            c.x[a][k] += b.shift_x;
            c.y[a][k] += b.shift_y;
        }
    }
}

// All centres of the block as the pixel map has them; with_border adds those around it, which only the square drop
// needs.
inline void fill_unshifted(const Exposure& e, const Block& b, bool with_border, Centres& c)
{
    if (!with_border) {
        for (int j = b.y0; j <= b.y1; ++j) {
            inner_row(e, j, b.x0, b.x1, c.x[j - b.y0 + 1] + 1, c.y[j - b.y0 + 1] + 1);
        }
        return;
    }
    const int n = b.x1 - b.x0 + 3;
    for (int j = b.y0 - 1; j <= b.y1 + 1; ++j) {
        double *x = c.x[j - b.y0 + 1], *y = c.y[j - b.y0 + 1];
        pad(x, n);
        pad(y, n);
        if (j >= 0 && j < e.ny) {
            bordered_row(e, j, b.x0, b.x1, x, y);
            continue;
        }
        if (e.ny == 1) {
            fill_nan(x, y, n);
            continue;
        }
        double edge_x[CENTRES_STRIDE], edge_y[CENTRES_STRIDE], inner_x[CENTRES_STRIDE], inner_y[CENTRES_STRIDE];
        const int edge = j < 0 ? 0 : static_cast<int>(e.ny) - 1;
        bordered_row(e, edge, b.x0, b.x1, edge_x, edge_y);
        bordered_row(e, edge + (j < 0 ? 1 : -1), b.x0, b.x1, inner_x, inner_y);
        for (int k = 0; k < n; ++k) {
            x[k] = beyond(edge_x[k], inner_x[k]);
            y[k] = beyond(edge_y[k], inner_y[k]);
        }
    }
}

inline void fill_centres(const Exposure& e, const Block& b, bool with_border, Centres& c)
{
    fill_unshifted(e, b, with_border, c);
    if (b.shift_x != 0.0 || b.shift_y != 0.0) shift_centres(b, c);
}

// How a block's pixels are turned and scaled on the output: the steps from a pixel in the middle to the next one along
// its row, and to the one of the next row.
struct Orientation {
    double dx, dy;
    double right, up;

    // By how much the step along a row differs from one to the next output pixel.
    double misalignment() const { return fabs(dx - 1.0) + fabs(dy); }

    // The way to turn the image. Where it need not be turned, the step along a row may differ by `most` from one to the
    // next output pixel; else, along whichever axis lies along the output's rows, by `most_turned`: beyond that
    // nothing is gained.
    Turn turn(double most, double most_turned) const
    {
        const double along = fabs(fabs(dx) - 1.0) + fabs(dy);
        if (along < most_turned) return {false, dx < 0.0, up < 0.0, true};
        if (along < most && dx > 0.0) return {false, false, false, true};
        if (fabs(fabs(right) - 1.0) + fabs(up) < most_turned) return {true, right < 0.0, dy < 0.0, true};
        return {false, false, false, false};
    }
};

inline Orientation orientation_of(const Centres& c, const Block& b)
{
    const int j = (b.y1 - b.y0 + 2) / 2, i = (b.x1 - b.x0 + 2) / 2;
    return {c.x[j][i + 1] - c.x[j][i], c.y[j][i + 1] - c.y[j][i], c.x[j + 1][i] - c.x[j][i], c.y[j + 1][i] - c.y[j][i]};
}

GPURES_END

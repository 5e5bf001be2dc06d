// A pixel map as a spline: tensor product of B-splines of degree up to 3 on a coarse grid.
//
// Each input column i has the number of its first coefficient and four factors, and so has each input row; a spline
// of degree 1 has zeros in the last two. The value is the sum over 4 x 4 coefficients, rows first, then columns.
#pragma once

#include "exposure.h"
#include "footprint.h"

GPURES_BEGIN

constexpr int SPLINE_SUPPORT = 4;

template <class V>
GPURES_FN V blend(V f0, V f1, V f2, V f3, double c0, double c1, double c2, double c3)
{
    return f0 * c0 + f1 * c1 + f2 * c2 + f3 * c3;
}

// Output coordinates of one centre.
struct Point {
    double x, y;
};

// Centre of pixel (i, j) of the image.
GPURES_FN Point centre(const Exposure& e, int i, int j)
{
    const Pixmap& m = e.pixmap;
    if (m.full) {
        const double* p = m.full + 2 * (j * e.nx + i);
        return {p[0], p[1]};
    }
    if (i < m.x0 || i > m.x1 || j < m.y0 || j > m.y1) return {not_a_number(), not_a_number()};
    double f[SPLINE_SUPPORT];
    for (int a = 0; a < SPLINE_SUPPORT; ++a) f[a] = m.row_factors[a * e.ny + j];
    const long long n = m.coefficients_per_row, first = m.first_row[j] * n + m.first_column[i];
    double x[SPLINE_SUPPORT], y[SPLINE_SUPPORT];
    for (int b = 0; b < SPLINE_SUPPORT; ++b) {
        const double *px = m.coefficients_x + first + b, *py = m.coefficients_y + first + b;
        x[b] = blend(f[0], f[1], f[2], f[3], px[0], px[n], px[2 * n], px[3 * n]);
        y[b] = blend(f[0], f[1], f[2], f[3], py[0], py[n], py[2 * n], py[3 * n]);
    }
    for (int b = 0; b < SPLINE_SUPPORT; ++b) f[b] = m.column_factors[b * e.nx + i];
    return {blend(f[0], f[1], f[2], f[3], x[0], x[1], x[2], x[3]),
            blend(f[0], f[1], f[2], f[3], y[0], y[1], y[2], y[3])};
}

GPURES_FN Point beyond(Point edge, Point inner) { return {beyond(edge.x, inner.x), beyond(edge.y, inner.y)}; }

// Centre in row j of the image; i may lie one beyond its first or last column, where the row is continued.
GPURES_FN Point centre_of_row(const Exposure& e, int i, int j)
{
    if (i < 0) return beyond(centre(e, 0, j), centre(e, 1, j));
    const int last = static_cast<int>(e.nx) - 1;
    if (i > last) return beyond(centre(e, last, j), centre(e, last - 1, j));
    return centre(e, i, j);
}

// Centre of pixel (i, j), either of which may lie one beyond the image.
GPURES_FN Point bordered_centre(const Exposure& e, int i, int j)
{
    if (j < 0) return beyond(centre_of_row(e, i, 0), centre_of_row(e, i, 1));
    const int last = static_cast<int>(e.ny) - 1;
    if (j > last) return beyond(centre_of_row(e, i, last), centre_of_row(e, i, last - 1));
    return centre_of_row(e, i, j);
}

GPURES_END

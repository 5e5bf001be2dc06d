// A pixel map as a spline: tensor product of B-splines of degree up to 3 on a coarse grid.
//
// Each input column i has the number of its first coefficient and four factors, and so has each input row; a spline
// of degree 1 has zeros in the last two. The value is the sum over 4 x 4 coefficients, rows first, then columns.
#pragma once

#include "exposure.h"
#include "footprint.h"
#include "formula.h"

GPURES_BEGIN

constexpr int SPLINE_SUPPORT = 4;

template <class V>
GPURES_FN V blend(V f0, V f1, V f2, V f3, double c0, double c1, double c2, double c3)
{
    return f0 * c0 + f1 * c1 + f2 * c2 + f3 * c3;
}

GPURES_FN bool is_spline(const Pixmap& m) { return !m.full && !m.formula; }

// Centre of pixel (i, j) of the image.
GPURES_FN Point centre(const Exposure& e, int i, int j)
{
    const Pixmap& m = e.pixmap;
    if (m.full) {
        const double* p = m.full + 2 * (j * e.nx + i);
        return {p[0] + m.shift_x, p[1] + m.shift_y};
    }
    if (i < m.x0 || i > m.x1 || j < m.y0 || j > m.y1) return {not_a_number(), not_a_number()};
#if !defined(__CUDACC__)  // see exposure.h
    if (m.formula) {
        Point p = {static_cast<double>(i), static_cast<double>(j)};
        by_formula(m.formula, p.x, p.y);
        return {p.x + m.shift_x, p.y + m.shift_y};
    }
#endif
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
    return {blend(f[0], f[1], f[2], f[3], x[0], x[1], x[2], x[3]) + m.shift_x,
            blend(f[0], f[1], f[2], f[3], y[0], y[1], y[2], y[3]) + m.shift_y};
}

GPURES_FN Point beyond(Point edge, Point inner) { return {beyond(edge.x, inner.x), beyond(edge.y, inner.y)}; }

GPURES_FN bool is_in_image(const Exposure& e, int i, int j) { return i >= 0 && i < e.nx && j >= 0 && j < e.ny; }

GPURES_FN Point nowhere() { return {not_a_number(), not_a_number()}; }

// Centre in row j of the image; i may lie one beyond its first or last column, where the row is continued.
GPURES_FN Point centre_of_row(const Exposure& e, int i, int j)
{
    const int last = static_cast<int>(e.nx) - 1;
    if (i >= 0 && i <= last) return centre(e, i, j);
    if (last == 0) return nowhere();
    return i < 0 ? beyond(centre(e, 0, j), centre(e, 1, j)) : beyond(centre(e, last, j), centre(e, last - 1, j));
}

// Centre of pixel (i, j), either of which may lie one beyond the image.
GPURES_FN Point bordered_centre(const Exposure& e, int i, int j)
{
    const int last = static_cast<int>(e.ny) - 1;
    if (j >= 0 && j <= last) return centre_of_row(e, i, j);
    if (last == 0) return nowhere();
    const int edge = j < 0 ? 0 : last, inner = j < 0 ? 1 : last - 1;
    return beyond(centre_of_row(e, i, edge), centre_of_row(e, i, inner));
}

// ---- neighbours ----------------------------------------------------------------------------------------------

// A step is a jump across a seam of the output, such as the meridian where a map of the whole sky begins and ends, if
// it is longer than `Pixmap::jump` and so many times as long as the steps before it and after it. Distortions do not
// change as much from one pixel to the next but where they fold, and there one of the two is long as well.
constexpr double TIMES_ITS_NEIGHBOURS = 8.0;

// The larger of its two components.
GPURES_FN double length(Point step) { return greatest(fabs(step.x), fabs(step.y)); }

// Shorter steps than this to a neighbour are what they seem.
GPURES_FN double sure_step(const Pixmap& m)
{
    double sure = m.jump;
    if (m.period_x > 0.0) sure = least(sure, 0.5 * m.period_x);
    if (m.period_y > 0.0) sure = least(sure, 0.5 * m.period_y);
    return sure;
}

// A step the short way round where the output is periodic.
GPURES_FN Point short_way(const Pixmap& m, Point step)
{
    if (m.period_x > 0.0) step.x -= m.period_x * nearest(step.x / m.period_x);
    if (m.period_y > 0.0) step.y -= m.period_y * nearest(step.y / m.period_y);
    return step;
}

// Length of a step from one pixel of the image to another; negative if there is none.
GPURES_FN double length_between(const Exposure& e, int i0, int j0, int i1, int j1)
{
    if (!is_in_image(e, i0, j0) || !is_in_image(e, i1, j1)) return -1.0;
    const Point from = centre(e, i0, j0), to = centre(e, i1, j1);
    return is_defined(from) && is_defined(to) ? length(short_way(e.pixmap, to - from)) : -1.0;
}

// Whether the step from pixel (i, j) to the one that is (x, y) further is a jump.
GPURES_FN bool is_jump(const Exposure& e, int i, int j, int x, int y)
{
    const double step = length_between(e, i, j, i + x, j + y);
    if (!(step > e.pixmap.jump)) return false;
    const double before = length_between(e, i - x, j - y, i, j);
    const double after = length_between(e, i + x, j + y, i + 2 * x, j + 2 * y);
    return (before >= 0.0 || after >= 0.0) && step > TIMES_ITS_NEIGHBOURS * greatest(before, after);
}

// The square drop of pixel (i, j), whatever is around it: those of its neighbours that have no place in the output, or
// none beside it, are continued from the others. around(k) is the k-th of the 3 x 3 centres (see Surroundings).
template <class Around>
GPURES_FN Quad<double> drop_anywhere(const Exposure& e, int i, int j, const Around& around)
{
    const Point own = around(4);
    unsigned known = 0;
    for (int k = 0; k < 9; ++k) {
        const int x = k % 3 - 1, y = k / 3 - 1;
        if (k == 4 || !is_in_image(e, i + x, j + y) || !is_defined(around(k))) continue;
        if (!is_jump(e, i, j, x, y)) known |= 1u << k;
    }
    const auto step = [&](int k) { return short_way(e.pixmap, around(k) - own); };
    const Surroundings<decltype(step)> surroundings = {step, known};
    Quad<double> q = surroundings.corners(0.5 * e.pixfrac, 1.0 / e.pixel_scale_ratio);
    for (int k = 0; k < 4; ++k) {
        q.x[k] = is_defined(own) ? own.x + q.x[k] : not_a_number();
        q.y[k] = is_defined(own) ? own.y + q.y[k] : not_a_number();
    }
    return q;
}

GPURES_END

// How far the rows of a block go where the pixel map is a spline: from its coefficients, without the centres in
// between.
#pragma once

#include "centres.h"

GPURES_BEGIN

// Coefficients along a row that a block depends on, at most; on finer grids all of its centres are evaluated.
constexpr int MOST_COEFFICIENTS = 16;

// What a coordinate is beside the spline, and far more, in output pixels.
constexpr double ROUNDING_OF_CENTRES = 1e-9;

// The coefficients along a row of columns i0 ... i1, and the factors of its ends.
struct RowOfSpline {
    int first, count;
    int to_left, to_right;  // from there to the first of either end: they go down with the columns where it is mirrored
    double left[SPLINE_SUPPORT], right[SPLINE_SUPPORT];

    RowOfSpline(const Exposure& e, int i0, int i1)
    {
        const Pixmap& m = e.pixmap;
        const int of_left = m.first_column[i0], of_right = m.first_column[i1];
        first = of_left < of_right ? of_left : of_right;
        to_left = of_left - first;
        to_right = of_right - first;
        count = to_left + to_right + SPLINE_SUPPORT;
        for (int b = 0; b < SPLINE_SUPPORT; ++b) {
            left[b] = m.column_factors[b * e.nx + i0];
            right[b] = m.column_factors[b * e.nx + i1];
        }
    }

    // Whether what follows holds: of a spline of degree 1 two coefficients are of no account, and where one is
    // continued beyond its points it is no mean of coefficients.
    bool is_mean_of_four() const { return (left[2] > 0.0 || left[3] > 0.0) && are_shares(left) && are_shares(right); }

    static bool are_shares(const double* f) { return f[0] >= 0.0 && f[1] >= 0.0 && f[2] >= 0.0 && f[3] >= 0.0; }

    // The range of one coordinate in a row, of coefficients c. It lies between the smallest and the largest of them,
    // and if these go one way between the ends. Whether all are numbers.
    bool extend(const double* c, long long stride, const double* fy, double& low, double& high) const
    {
        double r[MOST_COEFFICIENTS], sum = 0.0;
        for (int k = 0; k < count; ++k) {
            r[k] = blend(fy[0], fy[1], fy[2], fy[3], c[k], c[k + stride], c[k + 2 * stride], c[k + 3 * stride]);
            sum += r[k];
        }
        double least_of_all = r[0], most_of_all = r[0];
        bool up = true, down = true;
        for (int k = 1; k < count; ++k) {
            up = up && r[k] >= r[k - 1];
            down = down && r[k] <= r[k - 1];
            least_of_all = least(r[k], least_of_all);
            most_of_all = greatest(r[k], most_of_all);
        }
        if (up || down) {
            const double *const from = r + to_left, *const to = r + to_right;
            const double a = blend(left[0], left[1], left[2], left[3], from[0], from[1], from[2], from[3]);
            const double b = blend(right[0], right[1], right[2], right[3], to[0], to[1], to[2], to[3]);
            least_of_all = least(a, b);
            most_of_all = greatest(a, b);
        }
        low = least_of_all - ROUNDING_OF_CENTRES;
        high = most_of_all + ROUNDING_OF_CENTRES;
        return sum - sum == 0.0;
    }
};

// Boxes around the centres of each row of a block, and around those beside it where there is a border; a row's box may
// be larger than its centres need. False, and nothing of use, where they are to be had from the centres alone.
inline bool boxes_by_coefficients(const Exposure& e, const Block& b, int border, Reach* boxes)
{
    const Pixmap& m = e.pixmap;
    if (!is_spline(m) || b.x0 == b.x1 || b.y0 == b.y1) return false;
    const int i0 = b.x0 - border, i1 = b.x1 + border, j0 = b.y0 - border, j1 = b.y1 + border;
    if (!is_in_image(e, i0, j0) || !is_in_image(e, i1, j1)) return false;
    if (i0 < m.x0 || i1 > m.x1 || j0 < m.y0 || j1 > m.y1) return false;
    const RowOfSpline row(e, i0, i1);
    if (row.count > MOST_COEFFICIENTS || !row.is_mean_of_four()) return false;
    const long long n = m.coefficients_per_row;
    for (int j = j0; j <= j1; ++j) {
        double fy[SPLINE_SUPPORT];
        for (int a = 0; a < SPLINE_SUPPORT; ++a) fy[a] = m.row_factors[a * e.ny + j];
        if (!RowOfSpline::are_shares(fy)) return false;
        const long long at = m.first_row[j] * n + row.first;
        Reach& box = boxes[j - b.y0 + 1];
        if (!row.extend(m.coefficients_x + at, n, fy, box.x0, box.x1)) return false;
        if (!row.extend(m.coefficients_y + at, n, fy, box.y0, box.y1)) return false;
    }
    return true;
}

// The centres that `orientation_of` looks at.
inline void fill_middle(const Exposure& e, const Block& b, Centres& c)
{
    const int j = (b.y1 - b.y0 + 2) / 2, i = (b.x1 - b.x0 + 2) / 2;
    const int row = b.y0 - 1 + j, column = b.x0 - 1 + i;
    inner_row(e, row, column, column + 1, &c.x[j][i], &c.y[j][i]);
    inner_row(e, row + 1, column, column, &c.x[j + 1][i], &c.y[j + 1][i]);
}

GPURES_END

#include "turned.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "../pixmap.h"

namespace gpures {

namespace {

// Coefficients with rows and columns exchanged.
std::vector<double> transposed(const double* from, long long rows, long long columns)
{
    std::vector<double> to(static_cast<std::size_t>(rows * columns));
    for (long long j = 0; j < rows; ++j) {
        for (long long i = 0; i < columns; ++i) to[static_cast<std::size_t>(i * rows + j)] = from[j * columns + i];
    }
    return to;
}

// Pixels from `first` to `last` of n, counted from the other end.
void mirror(int& first, int& last, long long n)
{
    const int from = static_cast<int>(n) - 1 - last;
    last = static_cast<int>(n) - 1 - first;
    first = from;
}

}  // namespace

TurnedExposure::Axis::Axis(const int* first_of, const double* factors_of, long long n, bool mirrored)
    : first(first_of, first_of + n), factors(factors_of, factors_of + SPLINE_SUPPORT * n)
{
    if (!mirrored) return;
    std::reverse(first.begin(), first.end());
    for (int a = 0; a < SPLINE_SUPPORT; ++a) std::reverse(factors.begin() + a * n, factors.begin() + (a + 1) * n);
}

TurnedExposure::TurnedExposure(const Exposure& e, const Pairs* pairs, Turn turn)
    : turn_(turn),
      rows_(turn.transposed ? e.pixmap.first_column : e.pixmap.first_row,
            turn.transposed ? e.pixmap.column_factors : e.pixmap.row_factors, turn.transposed ? e.nx : e.ny,
            turn.mirrored_y),
      columns_(turn.transposed ? e.pixmap.first_row : e.pixmap.first_column,
               turn.transposed ? e.pixmap.row_factors : e.pixmap.column_factors, turn.transposed ? e.ny : e.nx,
               turn.mirrored_x),
      exposure_(e),
      has_pairs_(pairs != nullptr),
      pairs_(pairs ? *pairs : Pairs{})
{
    Exposure& t = exposure_;
    Pixmap& m = t.pixmap;
    if (turn.transposed) {
        const Pixmap& before = e.pixmap;
        const long long rows =
            *std::max_element(before.first_row + before.y0, before.first_row + before.y1 + 1) + SPLINE_SUPPORT;
        coefficients_x_ = transposed(before.coefficients_x, rows, before.coefficients_per_row);
        coefficients_y_ = transposed(before.coefficients_y, rows, before.coefficients_per_row);
        m.coefficients_x = coefficients_x_.data();
        m.coefficients_y = coefficients_y_.data();
        m.coefficients_per_row = rows;
        std::swap(t.ny, t.nx);
        std::swap(t.x0, t.y0);
        std::swap(t.x1, t.y1);
        std::swap(m.x0, m.y0);
        std::swap(m.x1, m.y1);
    }
    if (turn.mirrored_x) {
        mirror(t.x0, t.x1, t.nx);
        mirror(m.x0, m.x1, t.nx);
    }
    if (turn.mirrored_y) {
        mirror(t.y0, t.y1, t.ny);
        mirror(m.y0, m.y1, t.ny);
    }
    m.first_row = rows_.first.data();
    m.first_column = columns_.first.data();
    m.row_factors = rows_.factors.data();
    m.column_factors = columns_.factors.data();
    t.weight_map = turned(t.weight_map);
    t.variance = turned(t.variance);
    t.dq = turned(t.dq);
    for (int p = 0; p < t.planes; ++p) t.plane[p].view = turned(t.plane[p].view);
    for (int k = 0; k < pairs_.sources; ++k) pairs_.source[k].view = turned(pairs_.source[k].view);
}

View TurnedExposure::turned(View v) const
{
    if (!v.data) return v;
    if (turn_.transposed) std::swap(v.row_stride, v.column_stride);
    if (turn_.mirrored_x) {
        v.data += (exposure_.nx - 1) * v.column_stride;
        v.column_stride = -v.column_stride;
    }
    if (turn_.mirrored_y) {
        v.data += (exposure_.ny - 1) * v.row_stride;
        v.row_stride = -v.row_stride;
    }
    return v;
}

}  // namespace gpures

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

// Behind the last number of a formula.
const double* end_of_formula(const double* p)
{
    constexpr int OF_MATRIX = 9;
    for (int step; (step = static_cast<int>(*p++)) != FORMULA_END;) {
        const int degree = static_cast<int>(*p);
        p += step == FORMULA_POLYNOMIAL ? 1 + (degree + 1) * (degree + 2) : OF_MATRIX;
    }
    return p;
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
    : turn_(turn), exposure_(e), has_pairs_(pairs != nullptr), pairs_(pairs ? *pairs : Pairs{})
{
    Exposure& t = exposure_;
    Pixmap& m = t.pixmap;
    if (turn.transposed) {
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
    is_spline(m) ? turn_spline(e.pixmap, m) : turn_formula(e.pixmap, m);
    t.weight_map = turned(t.weight_map);
    t.variance = turned(t.variance);
    t.dq = turned(t.dq);
    for (int p = 0; p < t.planes; ++p) t.plane[p].view = turned(t.plane[p].view);
    for (int k = 0; k < pairs_.sources; ++k) pairs_.source[k].view = turned(pairs_.source[k].view);
}

void TurnedExposure::turn_spline(const Pixmap& before, Pixmap& m)
{
    const long long nx = exposure_.nx, ny = exposure_.ny;
    if (turn_.transposed) {
        const long long rows =
            *std::max_element(before.first_row + before.y0, before.first_row + before.y1 + 1) + SPLINE_SUPPORT;
        coefficients_x_ = transposed(before.coefficients_x, rows, before.coefficients_per_row);
        coefficients_y_ = transposed(before.coefficients_y, rows, before.coefficients_per_row);
        m.coefficients_x = coefficients_x_.data();
        m.coefficients_y = coefficients_y_.data();
        m.coefficients_per_row = rows;
        rows_ = Axis(before.first_column, before.column_factors, ny, turn_.mirrored_y);
        columns_ = Axis(before.first_row, before.row_factors, nx, turn_.mirrored_x);
    } else {
        rows_ = Axis(before.first_row, before.row_factors, ny, turn_.mirrored_y);
        columns_ = Axis(before.first_column, before.column_factors, nx, turn_.mirrored_x);
    }
    m.first_row = rows_.first.data();
    m.first_column = columns_.first.data();
    m.row_factors = rows_.factors.data();
    m.column_factors = columns_.factors.data();
}

// A step more, from the pixels of the turned image to those that the formula is of.
void TurnedExposure::turn_formula(const Pixmap& before, Pixmap& m)
{
    const double dx = turn_.mirrored_x ? -1.0 : 1.0, dy = turn_.mirrored_y ? -1.0 : 1.0;
    const double x = turn_.mirrored_x ? static_cast<double>(exposure_.nx - 1) : 0.0;
    const double y = turn_.mirrored_y ? static_cast<double>(exposure_.ny - 1) : 0.0;
    formula_ = {FORMULA_POLYNOMIAL, 1.0};
    const auto add = [&](double along_x, double along_y) {
        formula_.push_back(turn_.transposed ? along_y : along_x);
        formula_.push_back(turn_.transposed ? along_x : along_y);
    };
    add(dx, 0.0);
    add(0.0, dy);
    add(x, y);
    formula_.insert(formula_.end(), before.formula, end_of_formula(before.formula));
    m.formula = formula_.data();
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

// Rows of a blotted image.
//
// Compiled once per instruction set, like walk.cpp.
#include "maths.h"

GPURES_BEGIN

// A vector's worth of pixels from x, y on, all of which read pixels inside the image.
template <class Interpolant, class T>
inline Vector blotted_inside(const Blot& b, Vector x, Vector y, Vector i, Vector j)
{
    const T* data = static_cast<const T*>(b.data);
    double columns[LANES], rows[LANES];
    store(i, columns);
    store(j, rows);
    const T* at[LANES];
    for (int l = 0; l < LANES; ++l) {
        at[l] = data + static_cast<long long>(rows[l]) * b.nx + static_cast<long long>(columns[l]);
    }
    const auto read = [&](int c, int r) {
        const long long offset = r * b.nx + c;
        double values[LANES];
        for (int l = 0; l < LANES; ++l) values[l] = static_cast<double>(at[l][offset]);
        return load(values);
    };
    return interpolated<Interpolant>(x, y, i, j, b, read) * b.scale;
}

template <class Interpolant, class T>
void blot_row_of(const Blot& b, long long row)
{
    constexpr double FIRST = Interpolant::FIRST, LAST = FIRST + Interpolant::TAPS - 1;
    const double* map = b.pixmap + 2 * row * b.out_nx;
    float* out = b.out + row * b.out_nx;
    const Vector zero = Vector{};
    const Vector last_x = zero + static_cast<double>(b.nx - 1), last_y = zero + static_cast<double>(b.ny - 1);
    long long k = 0;
    for (; k + LANES <= b.out_nx; k += LANES) {
        double xs[LANES], ys[LANES];
        for (int l = 0; l < LANES; ++l) {
            xs[l] = map[2 * (k + l)];
            ys[l] = map[2 * (k + l) + 1];
        }
        const Vector x = place_of(load(xs), b), y = place_of(load(ys), b);
        const Vector i = counted_from<Interpolant>(x), j = counted_from<Interpolant>(y);
        // The smallest of these is negative where a place lies beside the image, or reads beside it. NaN passes that.
        const Vector lowest = least(least(x, y), least(i + FIRST, j + FIRST));
        const Vector room = least(last_x - i, last_y - j) - LAST;
        const bool inside = everywhere(least(lowest, room) >= zero) && everywhere(x == x) && everywhere(y == y);
        if (inside) {
            store(blotted_inside<Interpolant, T>(b, x, y, i, j), out + k);
        } else {
            for (int l = 0; l < LANES; ++l) out[k + l] = blotted<Interpolant, T>(b, xs[l], ys[l]);
        }
    }
    for (; k < b.out_nx; ++k) out[k] = blotted<Interpolant, T>(b, map[2 * k], map[2 * k + 1]);
}

void blot_row(const Blot& b, long long row)
{
    with_interpolant(b.interpolation, [&](auto interpolant) {
        using Interpolant = decltype(interpolant);
        b.doubles ? blot_row_of<Interpolant, double>(b, row) : blot_row_of<Interpolant, float>(b, row);
    });
}

GPURES_END

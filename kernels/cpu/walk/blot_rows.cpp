// Rows of a blotted image, at the places of a map, or at those of an exposure's pixels.
//
// Compiled once per instruction set, like walk.cpp.
#include "centres.h"

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
void blot_places(const Blot& b, const double* map, float* out)
{
    constexpr double FIRST = Interpolant::FIRST, LAST = FIRST + Interpolant::TAPS - 1;
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

inline void blot_row_at(const Blot& b, const double* map, long long row)
{
    float* out = b.out + row * b.out_nx;
    with_interpolant(b.interpolation, [&](auto interpolant) {
        using Interpolant = decltype(interpolant);
        b.doubles ? blot_places<Interpolant, double>(b, map, out) : blot_places<Interpolant, float>(b, map, out);
    });
}

void blot_row(const Blot& b, long long row) { blot_row_at(b, b.pixmap + 2 * row * b.out_nx, row); }

void blot_exposure_row(const Exposure& e, const Blot& b, long long row, double* room)
{
    for (int i = 0; i < e.nx; i += BLOCK_WIDTH) {
        double x[BLOCK_WIDTH], y[BLOCK_WIDTH];
        const int n = e.nx - i < BLOCK_WIDTH ? static_cast<int>(e.nx) - i : BLOCK_WIDTH;
        inner_row(e, static_cast<int>(row), i, i + n - 1, x, y);
        for (int k = 0; k < n; ++k) {
            room[2 * (i + k)] = x[k];
            room[2 * (i + k) + 1] = y[k];
        }
    }
    blot_row_at(b, room, row);
}

GPURES_END

// Blotting: an image interpolated at the places that a pixel map says.
//
// All interpolants are products of one along x and one along y: each reads TAPS pixels along an axis, the first of them
// FIRST away from the pixel that the place is counted from, which is the nearest one (CENTRED) or the one before, and
// weights them with `factors`. EDGE says what lies beyond the image.
#pragma once

#include "drop.h"

namespace gpures {

enum Interpolation { NEAREST, LINEAR, POLY3, POLY5, LANCZOS_3, LANCZOS_5, SINC };

struct Blot {
    const void* data;  // (ny, nx)
    long long ny, nx;
    int doubles;  // float64, else float32
    int interpolation;
    const double* pixmap;  // (out_ny, out_nx, 2): x, y in the image, of each pixel to be made
    float* out;            // (out_ny, out_nx)
    long long out_ny, out_nx;
    double scale;           // factor to all values
    double fill;            // value of pixels that lie beside the image
    double sinc_scale;      // factor to the distance from the nearest pixel, for SINC
    double float32_below;   // coordinates of a smaller magnitude are rounded to float32, as in the field's package
    const double* lanczos;  // table of the factors, for those
};

}  // namespace gpures

GPURES_BEGIN

enum Edge { REPEATED, REFLECTED, EMPTY };

// Borders that a place lies on to this many pixels, which is what pixel maps are good to, it lies on: a place that
// should be on one is not on this side of it or on that by chance. (In an entry's table, to as many steps.)
constexpr double BORDER = 1e-6;

// Entry of a table for a number of steps (of each lane), rounded down; 0 beyond it.
template <class V>
GPURES_FN V entry_below(const double* table, int entries, V steps)
{
    double each[sizeof(V) / sizeof(double)];
    store(steps + BORDER, each);
    for (double& lane : each) lane = lane < entries ? table[static_cast<int>(lane)] : 0.0;
    return Access<V>::load(each);
}

struct NearestPixel {
    static constexpr int FIRST = 0, TAPS = 1;
    static constexpr bool CENTRED = true;
    static constexpr Edge EDGE = REPEATED;

    template <class V>
    GPURES_FN static void factors(V, const Blot&, V* w)
    {
        w[0] = V{} + 1.0;
    }
};

struct Linear {
    static constexpr int FIRST = 0, TAPS = 2;
    static constexpr bool CENTRED = false;
    static constexpr Edge EDGE = REPEATED;

    template <class V>
    GPURES_FN static void factors(V f, const Blot&, V* w)
    {
        w[0] = 1.0 - f;
        w[1] = f;
    }
};

// The polynomials through 4 and through 6 pixels, in Everett's form: what the central differences of second and of
// fourth order, at the pixels on both sides, add to the straight line between these.
struct Cubic {
    static constexpr int FIRST = -1, TAPS = 4;
    static constexpr bool CENTRED = false;
    static constexpr Edge EDGE = REFLECTED;

    template <class V>
    GPURES_FN static void factors(V f, const Blot&, V* w)
    {
        const V g = 1.0 - f;
        const V after = f * (f * f - 1.0) * (1.0 / 6), before = g * (g * g - 1.0) * (1.0 / 6);
        w[0] = before;
        w[1] = g - 2.0 * before + after;
        w[2] = f - 2.0 * after + before;
        w[3] = after;
    }
};

struct Quintic {
    static constexpr int FIRST = -2, TAPS = 6;
    static constexpr bool CENTRED = false;
    static constexpr Edge EDGE = REFLECTED;

    template <class V>
    GPURES_FN static void factors(V f, const Blot& b, V* w)
    {
        Cubic::factors(f, b, w + 1);
        const V g = 1.0 - f;
        const V after = f * (f * f - 1.0) * (f * f - 4.0) * (1.0 / 120);
        const V before = g * (g * g - 1.0) * (g * g - 4.0) * (1.0 / 120);
        w[0] = before;
        w[1] = w[1] - 4.0 * before + after;
        w[2] = w[2] + 6.0 * before - 4.0 * after;
        w[3] = w[3] + 6.0 * after - 4.0 * before;
        w[4] = w[4] - 4.0 * after + before;
        w[5] = after;
    }
};

// sinc(d) sinc(d / A), as it is: its factors do not add up to one. It is read from a table at the entry below, which is
// part of the field's definition, like the nearest entry that a drop has (see drop.h).
template <int A>
struct LanczosWindow {
    static constexpr int FIRST = 1 - A, TAPS = 2 * A;
    static constexpr bool CENTRED = false;
    static constexpr Edge EDGE = EMPTY;

    template <class V>
    GPURES_FN static void factors(V f, const Blot& b, V* w)
    {
        for (int k = 0; k < TAPS; ++k) {
            const V d = magnitude(f - static_cast<double>(FIRST + k));
            w[k] = entry_below(b.lanczos, lanczos_entries(A), d / LANCZOS_STEP);
        }
    }
};

// The sinc of 15 pixels under a window that goes to 0 as the square of a cosine, by a polynomial in its place (that of
// IRAF's interpolant of this name), divided by the sum of the factors. sin(pi d) is the same for all of them, but for
// its sign, and cancels.
struct TaperedSinc {
    static constexpr int FIRST = -7, TAPS = 15;
    static constexpr bool CENTRED = true;
    static constexpr Edge EDGE = REPEATED;

    template <class V>
    GPURES_FN static void factors(V f, const Blot& b, V* w)
    {
        constexpr double CLOSEST = 1e-30;  // closer than this to a pixel, that pixel is all there is
        const V zero = V{};
        V sum = zero;
        for (int k = 0; k < TAPS; ++k) {
            const int n = FIRST + k;
            const double angle = 3.14159265358979323846 / 2 / FIRST * n, s = angle * angle;
            const double cosine = 1.0 - 0.49670 * s + 0.03705 * s * s;
            const double taper = (n % 2 ? -1.0 : 1.0) * cosine * cosine;
            const V d = f * b.sinc_scale - static_cast<double>(n);
            w[k] = taper / select(magnitude(d) < zero + CLOSEST, zero + CLOSEST, d);
            sum = sum + w[k];
        }
        for (int k = 0; k < TAPS; ++k) w[k] = w[k] / sum;
    }
};

// Whether a place lies on an image of n pixels along an axis. The field counts from the first pixel's centre to one
// pixel beyond the last one's.
GPURES_FN bool lies_on(double x, long long n) { return x >= -BORDER && x < static_cast<double>(n) - BORDER; }

// A coordinate as it counts.
template <class V>
GPURES_FN V place_of(V x, const Blot& b)
{
    float each[sizeof(V) / sizeof(double)];
    store(x, each);
    return select(magnitude(x) < V{} + b.float32_below, Access<V>::load(each), x);
}

// The pixel that a place is counted from.
template <class Interpolant, class V>
GPURES_FN V counted_from(V x)
{
    return Interpolant::CENTRED ? nearest(x + BORDER) : lower_integer(x);
}

// Value at (x, y), counted from the pixel (i, j); read(c, r) gives the pixel c columns and r rows from that.
template <class Interpolant, class V, class Read>
GPURES_FN V interpolated(V x, V y, V i, V j, const Blot& b, const Read& read)
{
    constexpr int TAPS = Interpolant::TAPS, FIRST = Interpolant::FIRST;
    V across[TAPS], up[TAPS];
    Interpolant::factors(x - i, b, across);
    Interpolant::factors(y - j, b, up);
    V sum = V{};
    for (int r = 0; r < TAPS; ++r) {
        V row = V{};
        for (int c = 0; c < TAPS; ++c) row = row + across[c] * read(FIRST + c, FIRST + r);
        sum = sum + up[r] * row;
    }
    return sum;
}

// An image that goes on beyond its edges.
template <class T, Edge EDGE>
struct Extended {
    const T* data;
    long long ny, nx;

    GPURES_FN double inside(long long i, long long j) const { return widened(data[j * nx + i]); }

    GPURES_FN static long long nearest_of(long long k, long long n) { return k < 0 ? 0 : k < n ? k : n - 1; }

    // Reflected at the centre of the pixel at the edge: as much above it as the other side lies below.
    GPURES_FN double along_x(long long i, long long j) const
    {
        const long long edge = nearest_of(i, nx);
        return i == edge ? inside(i, j) : 2.0 * inside(edge, j) - inside(2 * edge - i, j);
    }

    GPURES_FN double operator()(long long i, long long j) const
    {
        if (EDGE == REPEATED) return inside(nearest_of(i, nx), nearest_of(j, ny));
        if (EDGE == EMPTY) return i < 0 || j < 0 || i >= nx || j >= ny ? 0.0 : inside(i, j);
        const long long edge = nearest_of(j, ny);
        return j == edge ? along_x(i, j) : 2.0 * along_x(i, edge) - along_x(i, 2 * edge - j);
    }
};

// Value of one pixel, wherever it lies.
template <class Interpolant, class T>
GPURES_FN float blotted(const Blot& b, double x, double y)
{
    x = place_of(x, b);
    y = place_of(y, b);
    if (!(lies_on(x, b.nx) && lies_on(y, b.ny))) return narrowed(b.fill);
    const Extended<T, Interpolant::EDGE> image = {static_cast<const T*>(b.data), b.ny, b.nx};
    const double i = counted_from<Interpolant>(x), j = counted_from<Interpolant>(y);
    const long long column = static_cast<long long>(i), row = static_cast<long long>(j);
    const double value =
        interpolated<Interpolant>(x, y, i, j, b, [&](int c, int r) { return image(column + c, row + r); });
    return narrowed(value * b.scale);
}

// Calls work<Interpolant>() with that of a blot.
template <class Work>
GPURES_FN void with_interpolant(int interpolation, const Work& work)
{
    switch (interpolation) {
        case NEAREST:
            return work(NearestPixel());
        case LINEAR:
            return work(Linear());
        case POLY3:
            return work(Cubic());
        case POLY5:
            return work(Quintic());
        case LANCZOS_3:
            return work(LanczosWindow<3>());
        case LANCZOS_5:
            return work(LanczosWindow<5>());
        default:
            return work(TaperedSinc());
    }
}

GPURES_END

// Profiles of the drops that are a product of one factor along x and one along y (Fruchter & Hook 2002 call the
// shape in which an input pixel is dropped onto the output grid a drop; `kernel=` of the public API names it).
//
// Each has `first` and `last`, the output pixels that a drop centred at x may reach, and `operator()`, the factor
// for the output pixel i; IS_TABLE: which is read from a table. s is the pixel scale ratio (output over input), p is
// pixfrac.
#pragma once

#include "overlap.h"

GPURES_BEGIN

enum Kernel { SQUARE = 0, GAUSSIAN = 1, POINT = 2, TURBO = 3, LANCZOS2 = 4, LANCZOS3 = 5 };

// What a drop reaches that ends at a distance from its centre, within a pixel.
struct Ending {
    static constexpr bool IS_TABLE = false;

    double half;

    GPURES_FN explicit Ending(double half) : half(half) {}
    template <class V>
    GPURES_FN V first(V x) const
    {
        return nearest(x - number<V>(half));
    }
    template <class V>
    GPURES_FN V last(V x) const
    {
        return nearest(x + number<V>(half));
    }
};

// Axis-aligned box of side p/s: its share of an output pixel, over the box's area.
struct Turbo : Ending {
    double scale;

    GPURES_FN Turbo(double s, double p) : Ending(0.5 * p / s), scale(s / p) {}
    template <class V>
    GPURES_FN V operator()(V x, V i) const
    {
        const V reach = number<V>(half), edge = number<V>(0.5);
        return greatest(least(x + reach, i + edge) - greatest(x - reach, i - edge), V{}) * number<V>(scale);
    }
};

// Gaussian whose full width at half maximum is p/s output pixels (2.3548 = 2 sqrt(2 ln 2) to the digits that the
// field's implementations share), sampled at the pixel centres out to 2.5 sigma, and to at least 1.2/s so that no
// holes open between drops of small pixfrac.
struct Gaussian : Ending {
    double exponent, norm;

    GPURES_FN Gaussian(double s, double p)
        : Ending(greatest(2.5 * p / 2.3548 / s, 1.2 / s)),
          exponent(2.3548 * 2.3548 * s * s / (2.0 * p * p)),
          norm(sqrt(exponent / 3.14159265358979323846))
    {
    }
    template <class V>
    GPURES_FN V operator()(V x, V i) const
    {
        return number<V>(norm) * exp(-number<V>(exponent) * (x - i) * (x - i));
    }
};

// Step of the table from which Lanczos factors are read, as the field's implementations have it. It is part of the
// definition: reading the nearest entry moves a factor by up to half a step times its slope.
constexpr double LANCZOS_STEP = 0.003;

// Number of entries: one more than reach the order, as the last may lie just beyond.
GPURES_FN constexpr int lanczos_entries(int order) { return static_cast<int>(order / LANCZOS_STEP) + 2; }

// Lanczos window of the given order (in input pixels): sinc(d) sinc(d / order).
struct Lanczos {
    static constexpr bool IS_TABLE = true;

    double half, per_step;
    const double* table;
    int entries;

    GPURES_FN Lanczos(double s, int order, const double* values)
        : half(order / s), per_step(s / LANCZOS_STEP), table(values), entries(lanczos_entries(order))
    {
    }
    template <class V>
    GPURES_FN V first(V x) const
    {
        return lower_integer(x - number<V>(half)) + number<V>(1.0);
    }
    template <class V>
    GPURES_FN V last(V x) const
    {
        return lower_integer(x + number<V>(half));
    }
    template <class V>
    GPURES_FN V operator()(V x, V i) const
    {
        return nearest_entry(table, entries, magnitude(x - i) * per_step);
    }
};

GPURES_FN double lanczos_value(int k, int order)
{
    const double d = k * LANCZOS_STEP;
    if (k == 0) return 1.0;
    if (d > order) return 0.0;
    const double a = 3.14159265358979323846 * d;
    return sin(a) * sin(a / order) / (a * (a / order));
}

// How far from its centre a drop of a kernel reaches, in output pixels, to the far edges of the pixels it falls on.
// The square drop is not among them: its corners come from the pixel map.
GPURES_FN double reach_of_drop(int kernel, double s, double p)
{
    switch (kernel) {
        case TURBO:
            return Turbo(s, p).half + 0.5;
        case GAUSSIAN:
            return Gaussian(s, p).half + 0.5;
        case LANCZOS2:
            return Lanczos(s, 2, nullptr).half + 0.5;
        case LANCZOS3:
            return Lanczos(s, 3, nullptr).half + 0.5;
        default:
            return 0.5;
    }
}

GPURES_END

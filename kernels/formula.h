// A pixel map as a formula: polynomials, rotations and tangent planes, one after the other, of which most WCS consist.
//
// It is told by numbers: step after step, each with its kind in front, to FORMULA_END. A step leads from two
// coordinates to two others.
#pragma once

#include "portable.h"

GPURES_BEGIN

enum FormulaStep {
    FORMULA_END,
    // Then a degree, and coefficients of x^i y^j with i + j no more than that, of both coordinates side by side: the
    // highest i first, and of each the highest j.
    FORMULA_POLYNOMIAL,
    // Then a matrix (3, 3) that a vector (X, Y, Z) is multiplied by. The new coordinates are X / Z and Y / Z; NaN where
    // Z is not positive. The vector is (x, y, 1), or
    FORMULA_PLANE,
    // that of the longitude x and the latitude y, in radians.
    FORMULA_SPHERE,
};

// The highest degree of a polynomial: beyond, sums of powers lose digits.
constexpr int HIGHEST_DEGREE = 9;

// Sine and cosine, to the last digit or two, of what is no more than some thousands of turns. Of the rest to the
// nearest quarter of a turn, these are the polynomials of fdlibm.
template <class V>
GPURES_FN void sine_and_cosine(V angle, V& sine, V& cosine)
{
    constexpr double PER_QUARTER = 6.36619772367581382433e-01, QUARTER = 1.57079632673412561417e+00,
                     QUARTER_REST = 6.07710050650619224932e-11;
    const V quarters = lower_integer(angle * PER_QUARTER + 0.5);
    const V rest = (angle - quarters * QUARTER) - quarters * QUARTER_REST, z = rest * rest;
    V s = number<V>(1.58969099521155010221e-10), c = number<V>(-1.13596475577881948265e-11);
    constexpr double OF_SINE[] = {-2.50507602534068634195e-08, 2.75573137070700676789e-06, -1.98412698298579493134e-04,
                                  8.33333333332248946124e-03, -1.66666666666666324348e-01};
    constexpr double OF_COSINE[] = {2.08757232129817482790e-09, -2.75573143513906633035e-07, 2.48015872894767294178e-05,
                                    -1.38888888888741095749e-03, 4.16666666666666019037e-02};
    for (int k = 0; k < 5; ++k) {
        s = s * z + OF_SINE[k];
        c = c * z + OF_COSINE[k];
    }
    s = rest + rest * z * s;
    c = 1.0 - (0.5 * z - z * z * c);
    sine = s;
    cosine = c;
    if (everywhere(quarters == V{})) return;
    const V turned = quarters - 4.0 * lower_integer(quarters * 0.25);  // 0, 1, 2, 3
    const auto is_odd = (turned == number<V>(1.0)) | (turned == number<V>(3.0));
    sine = select(is_odd, c, s);
    sine = select(turned >= number<V>(2.0), -sine, sine);
    cosine = select(is_odd, s, c);
    cosine = select((turned == number<V>(1.0)) | (turned == number<V>(2.0)), -cosine, cosine);
}

// Reads a polynomial from its degree on; p is behind its end then. take(k, of_x, of_y) gets the factors of the powers
// of x, that of the highest one (k = 0) first.
template <class V, class Take>
GPURES_FN void over_powers(const double*& p, const V& y, const Take& take)
{
    const int degree = static_cast<int>(*p++);
    for (int i = 0; i <= degree; ++i) {
        V of_x = number<V>(p[0]), of_y = number<V>(p[1]);
        p += 2;
        for (int j = 0; j < i; ++j, p += 2) {
            of_x = of_x * y + p[0];
            of_y = of_y * y + p[1];
        }
        take(i, of_x, of_y);
    }
}

// What a formula makes of two coordinates.
template <class V>
GPURES_FN void by_formula(const double* formula, V& x, V& y)
{
    const double* p = formula;
    for (int step; (step = static_cast<int>(*p++)) != FORMULA_END;) {
        if (step == FORMULA_POLYNOMIAL) {
            V sum_x = V{}, sum_y = V{};
            over_powers(p, y, [&](int, const V& of_x, const V& of_y) {
                sum_x = sum_x * x + of_x;
                sum_y = sum_y * x + of_y;
            });
            x = sum_x;
            y = sum_y;
            continue;
        }
        V vector[3] = {x, y, number<V>(1.0)};
        if (step == FORMULA_SPHERE) {
            V across, along;
            sine_and_cosine(y, vector[2], across);
            sine_and_cosine(x, vector[1], along);
            vector[0] = along * across;
            vector[1] = vector[1] * across;
        }
        V turned[3];
        for (int k = 0; k < 3; ++k, p += 3) turned[k] = p[0] * vector[0] + p[1] * vector[1] + p[2] * vector[2];
        const V of_z = select(turned[2] > V{}, quotient(number<V>(1.0), turned[2]), number<V>(not_a_number()));
        x = turned[0] * of_z;
        y = turned[1] * of_z;
    }
}

GPURES_END

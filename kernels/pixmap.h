// A pixel map as a spline: tensor product of B-splines of degree up to 3 on a coarse grid.
//
// Each input column i has the number of its first coefficient and four factors, and so has each input row; a spline
// of degree 1 has zeros in the last two. The value is the sum over 4 x 4 coefficients, rows first, then columns.
#pragma once

#include "portable.h"

GPURES_BEGIN

constexpr int SPLINE_SUPPORT = 4;

GPURES_FN double blend(double f0, double f1, double f2, double f3, double c0, double c1, double c2, double c3)
{
    return f0 * c0 + f1 * c1 + f2 * c2 + f3 * c3;
}

GPURES_END

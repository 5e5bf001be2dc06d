// Pixel map + pixfrac -> the drop's corners in the output frame.
//
// The pixel map gives the output coordinates of the input pixels' centres. Between centres it is read bilinearly;
// beyond the outermost centres the outermost cell is continued, which is the same as continuing each row and each
// column linearly by one virtual centre.
#pragma once

#include "overlap.h"

GPURES_BEGIN

// A virtual centre one step beyond the edge, from the two nearest ones.
template <class V>
GPURES_FN V beyond(V edge, V inner)
{
    return edge + (edge - inner);
}

// Bilinear reading at (h, h) from `centre` towards a neighbour along x, one along y and the diagonal one.
template <class V>
GPURES_FN V between(V centre, V along_x, V along_y, V diagonal, double h)
{
    const double g = 1.0 - h;
    return g * g * centre + g * h * along_x + h * g * along_y + h * h * diagonal;
}

// Corners of one coordinate (x or y) from the 3 x 3 centres c[row][column] around a pixel, h = pixfrac / 2.
// The order runs around the drop: upper left, upper right, lower right, lower left.
template <class V>
GPURES_FN void corners(const V c[3][3], double h, V out[4])
{
    out[0] = between(c[1][1], c[1][0], c[2][1], c[2][0], h);
    out[1] = between(c[1][1], c[1][2], c[2][1], c[2][2], h);
    out[2] = between(c[1][1], c[1][2], c[0][1], c[0][2], h);
    out[3] = between(c[1][1], c[1][0], c[0][1], c[0][0], h);
}

// The corner that four pixels share where their drops touch, at pixfrac 1: between the centres of the lower left one,
// the lower right, the upper left and the upper right.
template <class V>
GPURES_FN V shared_corner(V lower_left, V lower_right, V upper_left, V upper_right)
{
    return between(lower_left, lower_right, upper_left, upper_right, 0.5);
}

GPURES_END

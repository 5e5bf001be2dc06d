// Square drops of a row of a block: the regular ones, and those in blocks where some pixels have not all their
// neighbours beside them in the output, such as along the edge of a bounding box, around coordinates that are none, and
// along a seam of the output.
#pragma once

#include "centres.h"

GPURES_BEGIN

// Drops of the k-th pixel of row r and those that follow, as if all had their neighbours.
inline Quad<Vector> regular_drops(const Centres& c, int r, int k, double half)
{
    Vector near[3][3];
    Quad<Vector> q;
    for (int a = 0; a < 3; ++a) {
        for (int b = 0; b < 3; ++b) near[a][b] = load(c.x[r + a] + k + b);
    }
    corners(near, half, q.x);
    for (int a = 0; a < 3; ++a) {
        for (int b = 0; b < 3; ++b) near[a][b] = load(c.y[r + a] + k + b);
    }
    corners(near, half, q.y);
    return q;
}

// Which of these pixels have them, none of whose coordinates are `sure` or further away.
inline Mask have_neighbours(const Centres& c, int r, int k, double sure)
{
    const Vector x = load(c.x[r + 1] + k + 1), y = load(c.y[r + 1] + k + 1), farthest = Vector{} + FARTHEST;
    Mask all = Vector{} == Vector{};
    for (int a = 0; a < 3; ++a) {
        for (int b = 0; b < 3; ++b) {
            const Vector near_x = load(c.x[r + a] + k + b), near_y = load(c.y[r + a] + k + b);
            all &= (magnitude(near_x) < farthest) & (magnitude(near_y) < farthest);
            all &= (magnitude(near_x - x) < Vector{} + sure) & (magnitude(near_y - y) < Vector{} + sure);
        }
    }
    return all;
}

// Drops of the k-th of the n pixels of row r of a block, and those that follow, whatever is around them.
__attribute__((noinline)) inline Quad<Vector> drops_anywhere(const Exposure& e, const Block& block, const Centres& c,
                                                             int r, int k, int n)
{
    Quad<Vector> q = regular_drops(c, r, k, 0.5 * e.pixfrac);
    const unsigned have = lanes_of(have_neighbours(c, r, k, sure_step(e.pixmap)));
    for (int l = 0; l < LANES && k + l < n; ++l) {
        if (have >> l & 1) continue;
        const auto around = [&](int m) { return Point{c.x[r + m / 3][k + l + m % 3], c.y[r + m / 3][k + l + m % 3]}; };
        const Quad<double> own = drop_anywhere(e, block.x0 + k + l, block.y0 + r, around);
        for (int a = 0; a < 4; ++a) {
            q.x[a][l] = own.x[a];
            q.y[a][l] = own.y[a];
        }
    }
    return q;
}

GPURES_END

// Square drops that touch, as they do at pixfrac 1: a corner belongs to four of them, an edge to two. Each is computed
// once, in a row of corners below the pixels and one above, which becomes the one below of the next row.
#pragma once

#include "cells.h"

GPURES_BEGIN

class SharedCorners {
  public:
    // Forgets the rows: another block begins.
    void begin() { row_ = NONE; }

    // Makes row r of a block's n pixels the current one.
    void go_to(const Centres& c, const Origin& origin, int r, int n)
    {
        if (r != row_ + 1)
            fill(c, origin, r, n, corners_[below_]);
        else
            below_ = 1 - below_;
        row_ = r;
        Corners &below = corners_[below_], &above = corners_[1 - below_];
        fill(c, origin, r + 1, n, above);
        for (int k = 0; k <= n; k += REALS) {
            const Reals dx = above.x.step_from(below.x, k, k), dy = above.y.step_from(below.y, k, k);
            store(slope(dx, dy), lean_ + k);
        }
    }

    // The drops of the k-th pixel and those that follow.
    Drops drops(int k) const
    {
        const Corners &below = corners_[below_], &above = corners_[1 - below_];
        const Cells x = below.x.cells(k), y = below.y.cells(k);
        return {{{above.x.at(k, x), above.x.at(k + 1, x), below.x.at(k + 1, x), below.x.at(k, x)},
                 {above.y.at(k, y), above.y.at(k + 1, y), below.y.at(k + 1, y), below.y.at(k, y)}},
                x,
                y};
    }

    Sides<Reals> sides(int k) const
    {
        const Corners &below = corners_[below_], &above = corners_[1 - below_];
        return {reals(above.slope + k), reals(lean_ + k + 1), reals(below.slope + k), reals(lean_ + k)};
    }

  private:
    static constexpr int NONE = -10;

    struct Corners {
        Coordinates x, y;
        Real slope[Coordinates::STRIDE];  // dy/dx of the edge from each to the next
    };

    // Corners between rows a and a + 1 of the centres, numbered from the one before the block's first.
    static void fill(const Centres& c, const Origin& origin, int a, int n, Corners& row)
    {
        for (int k = 0; k <= n; k += LANES) {
            const auto corner = [&](const double (*of)[CENTRES_STRIDE]) {
                return shared_corner(load(of[a] + k), load(of[a] + k + 1), load(of[a + 1] + k),
                                     load(of[a + 1] + k + 1));
            };
            row.x.put(corner(c.x), origin.x, k);
            row.y.put(corner(c.y), origin.y, k);
        }
        for (int k = 0; k < n; k += REALS) {
            const Reals dx = row.x.step_from(row.x, k, k + 1), dy = row.y.step_from(row.y, k, k + 1);
            store(slope(dy, dx), row.slope + k);
        }
    }

    Corners corners_[2];
    Real lean_[Coordinates::STRIDE];  // dx/dy of the edge between each corner above and the one below
    int below_ = 0, row_ = NONE;
};

GPURES_END

// Square drops that touch, as they do at pixfrac 1: a corner belongs to four of them, an edge to two. Each is computed
// once, in a row of corners below the pixels and one above, which becomes the one below of the next row.
#pragma once

#include "centres.h"

GPURES_BEGIN

class SharedCorners {
  public:
    // Forgets the rows: another block begins.
    void begin() { row_ = NONE; }

    // Makes row r of a block's n pixels the current one.
    void go_to(const Centres& c, int r, int n)
    {
        if (r != row_ + 1)
            fill(c, r, n, corners_[below_]);
        else
            below_ = 1 - below_;
        row_ = r;
        Corners &below = corners_[below_], &above = corners_[1 - below_];
        fill(c, r + 1, n, above);
        for (int k = 0; k <= n; k += LANES) {
            const Vector dx = load(above.x + k) - load(below.x + k), dy = load(above.y + k) - load(below.y + k);
            store(slope(dx, dy), lean_ + k);
        }
    }

    // The drops of the k-th pixel and those that follow.
    Quad<Vector> quad(int k) const
    {
        const Corners &below = corners_[below_], &above = corners_[1 - below_];
        return {{load(above.x + k), load(above.x + k + 1), load(below.x + k + 1), load(below.x + k)},
                {load(above.y + k), load(above.y + k + 1), load(below.y + k + 1), load(below.y + k)}};
    }

    Sides<Vector> sides(int k) const
    {
        const Corners &below = corners_[below_], &above = corners_[1 - below_];
        return {load(above.slope + k), load(lean_ + k + 1), load(below.slope + k), load(lean_ + k)};
    }

  private:
    static constexpr int NONE = -10;

    struct Corners {
        double x[CENTRES_STRIDE], y[CENTRES_STRIDE];
        double slope[CENTRES_STRIDE];  // dy/dx of the edge from each to the next
    };

    // Corners between rows a and a + 1 of the centres, numbered from the one before the block's first.
    static void fill(const Centres& c, int a, int n, Corners& row)
    {
        for (int k = 0; k <= n; k += LANES) {
            store(shared_corner(load(c.x[a] + k), load(c.x[a] + k + 1), load(c.x[a + 1] + k), load(c.x[a + 1] + k + 1)),
                  row.x + k);
            store(shared_corner(load(c.y[a] + k), load(c.y[a] + k + 1), load(c.y[a + 1] + k), load(c.y[a + 1] + k + 1)),
                  row.y + k);
        }
        for (int k = 0; k < n; k += LANES) {
            const Vector dx = load(row.x + k + 1) - load(row.x + k), dy = load(row.y + k + 1) - load(row.y + k);
            store(slope(dy, dx), row.slope + k);
        }
    }

    Corners corners_[2];
    double lean_[CENTRES_STRIDE];  // dx/dy of the edge between each corner above and the one below
    int below_ = 0, row_ = NONE;
};

GPURES_END

// Square drops that touch, as they do at pixfrac 1: a corner belongs to four of them, an edge to two. Each is computed
// once, in a row of corners below the pixels and one above, which becomes the one below of the next row.
#pragma once

#include "cells.h"
#include "edges.h"

GPURES_BEGIN

class SharedCorners {
  public:
    // Forgets the rows: another block begins.
    void begin() { row_ = NONE; }

    // Makes row r of a block's n pixels the current one. `around_points`: see splat_square(); other drops are made of
    // what their edges leave above levels (in doubles: floats would be less accurate than from their own corners).
    void go_to(const Centres& c, const Origin& origin, int r, int n, bool around_points)
    {
        const bool with_areas = !around_points && IS_DOUBLE;
        if (r != row_ + 1)
            fill(c, origin, r, n, with_areas, corners_[below_]);
        else
            below_ = 1 - below_;
        row_ = r;
        Corners &below = corners_[below_], &above = corners_[1 - below_];
        fill(c, origin, r + 1, n, with_areas, above);
#if !defined(GPURES_SINGLE)
        for (int k = 0; with_areas && k <= n; k += REALS) {
            upright_.put(edge_areas(above.x.at(k, {}), above.y.at(k, {}), below.x.at(k, {}), below.y.at(k, {})), k);
        }
        if (with_areas) return;
#endif
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

#if !defined(GPURES_SINGLE)
    // What their edges leave above levels: the upper, the right, the lower and the left ones.
    void areas(int k, EdgeAreas<Reals> edges[4]) const
    {
        edges[0] = corners_[1 - below_].level.at(k);
        edges[1] = upright_.at(k + 1);
        edges[2] = corners_[below_].level.at(k);
        edges[3] = upright_.at(k);
    }
#endif

  private:
    static constexpr int NONE = -10;
    static constexpr bool IS_DOUBLE = sizeof(Real) == sizeof(double);

#if !defined(GPURES_SINGLE)
    // Edges of a row.
    class RowOfEdges {
      public:
        void put(const EdgeAreas<Reals>& e, int k)
        {
            store(e.i, i_ + k);
            store(e.j, j_ + k);
            for (int c = 0; c < 2; ++c) {
                store(e.width[c], width_[c] + k);
                store(e.whole[c], whole_[c] + k);
                store(e.upper[c], upper_[c] + k);
            }
        }

        EdgeAreas<Reals> at(int k) const
        {
            return {reals(i_ + k),
                    reals(j_ + k),
                    {reals(width_[0] + k), reals(width_[1] + k)},
                    {reals(whole_[0] + k), reals(whole_[1] + k)},
                    {reals(upper_[0] + k), reals(upper_[1] + k)}};
        }

      private:
        static constexpr int STRIDE = Coordinates::STRIDE;
        double i_[STRIDE], j_[STRIDE], width_[2][STRIDE], whole_[2][STRIDE], upper_[2][STRIDE];
    };
#endif

    struct Corners {
        Coordinates x, y;
        Real slope[Coordinates::STRIDE];  // dy/dx of the edge from each to the next
#if !defined(GPURES_SINGLE)
        RowOfEdges level;  // from each to the next
#endif
    };

    // Corners between rows a and a + 1 of the centres, numbered from the one before the block's first.
    static void fill(const Centres& c, const Origin& origin, int a, int n, [[maybe_unused]] bool with_areas,
                     Corners& row)
    {
        for (int k = 0; k <= n; k += LANES) {
            const auto corner = [&](const double (*of)[CENTRES_STRIDE]) {
                return shared_corner(load(of[a] + k), load(of[a] + k + 1), load(of[a + 1] + k),
                                     load(of[a + 1] + k + 1));
            };
            row.x.put(corner(c.x), origin.x, k);
            row.y.put(corner(c.y), origin.y, k);
        }
#if !defined(GPURES_SINGLE)
        for (int k = 0; with_areas && k < n; k += REALS) {
            row.level.put(edge_areas(row.x.at(k, {}), row.y.at(k, {}), row.x.at(k + 1, {}), row.y.at(k + 1, {})), k);
        }
        if (with_areas) return;
#endif
        for (int k = 0; k < n; k += REALS) {
            const Reals dx = row.x.step_from(row.x, k, k + 1), dy = row.y.step_from(row.y, k, k + 1);
            store(slope(dy, dx), row.slope + k);
        }
    }

    Corners corners_[2];
    Real lean_[Coordinates::STRIDE];  // dx/dy of the edge between each corner above and the one below
#if !defined(GPURES_SINGLE)
    RowOfEdges upright_;  // from each above to the one below
#endif
    int below_ = 0, row_ = NONE;
};

GPURES_END

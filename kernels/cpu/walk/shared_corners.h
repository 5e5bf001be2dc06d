// Square drops that touch, as they do at pixfrac 1: a corner belongs to four of them, an edge to two. Each is computed
// once, in a row of corners below the pixels and one above, which becomes the one below of the next row.
#pragma once

#include "cells.h"
#include "edges.h"

GPURES_BEGIN

class SharedCorners {
  public:
    // Forgets the rows: another block begins, whose pixels lie like that.
    void begin([[maybe_unused]] const Orientation& o)
    {
        row_ = NONE;
#if !defined(GPURES_SINGLE)
        names_ = names_of_edges(o.dx, o.dy, o.right, o.up);
#endif
    }

    // Makes row r of a block's n pixels the current one. `around_points`: see splat_square(); other drops are made of
    // what lies below their edges (in doubles: floats would be less accurate than from their own corners).
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
    GPURES_INLINE Drops drops(int k) const
    {
        const Corners &below = corners_[below_], &above = corners_[1 - below_];
        const Cells x = below.x.cells(k), y = below.y.cells(k);
        return {{{above.x.at(k, x), above.x.at(k + 1, x), below.x.at(k + 1, x), below.x.at(k, x)},
                 {above.y.at(k, y), above.y.at(k + 1, y), below.y.at(k + 1, y), below.y.at(k, y)}},
                x,
                y};
    }

    GPURES_INLINE Sides<Reals> sides(int k) const
    {
        const Corners &below = corners_[below_], &above = corners_[1 - below_];
        return {reals(above.slope + k), reals(lean_ + k + 1), reals(below.slope + k), reals(lean_ + k)};
    }

#if !defined(GPURES_SINGLE)
    // Hands the drops of the k-th pixel and those that follow to a sink, by their edges; see splat_edges().
    template <class Sink>
    bool splat(int k, Reals weight, const Bounds& bounds, Sink& sink) const
    {
        const Corners &below = corners_[below_], &above = corners_[1 - below_];
        const Corners* const corners[] = {&above, &above, &below, &below};
        const RowOfEdges* const edges[] = {&above.level, &upright_, &below.level, &upright_};
        constexpr int CORNER_FROM[] = {0, 1, 1, 0}, EDGE_FROM[] = {0, 1, 0, 0};
        Quad<Reals> q;
        EdgesByName named;
        for (int a = 0; a < 4; ++a) {
            const int corner = names_.corner[a], edge = names_.edge[a];
            q.x[a] = corners[corner]->x.at(k + CORNER_FROM[corner], {});
            q.y[a] = corners[corner]->y.at(k + CORNER_FROM[corner], {});
            named.edge[a] = edges[edge]->from(k + EDGE_FROM[edge]);
            named.signs[a] = names_.sign[a];
        }
        return splat_edges(q, named, weight, bounds, sink);
    }
#endif

  private:
    static constexpr int NONE = -10;
    static constexpr bool IS_DOUBLE = sizeof(Real) == sizeof(double);

#if !defined(GPURES_SINGLE)
    // Edges of a row: of each what EdgeAreas has.
    class RowOfEdges {
      public:
        void put(const EdgeAreas<Reals>& e, int k)
        {
            const Reals each[] = {e.i, e.j, e.width[0], e.width[1], e.lower[0], e.lower[1], e.upper[0], e.upper[1]};
            for (int q = 0; q < 8; ++q) store(each[q], of_[q] + k);
        }

        const double* from(int k) const { return of_[0] + k; }

        static constexpr int STRIDE = Coordinates::STRIDE;

      private:
        double of_[8][STRIDE];
    };

    // The four edges of drops, from where each of them is in its row.
    struct EdgesByName {
        const double* edge[4];
        double signs[4];

        Reals i(NamedEdge a) const { return reals(edge[a]); }
        Reals j(NamedEdge a) const { return reals(edge[a] + RowOfEdges::STRIDE); }
        Reals width(NamedEdge a, int c) const { return reals(edge[a] + (2 + c) * RowOfEdges::STRIDE); }
        Reals lower(NamedEdge a, int c) const { return reals(edge[a] + (4 + c) * RowOfEdges::STRIDE); }
        Reals upper(NamedEdge a, int c) const { return reals(edge[a] + (6 + c) * RowOfEdges::STRIDE); }
        Reals sign(NamedEdge a) const { return number<Reals>(signs[a]); }
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
    EdgeNames names_;
#endif
    int below_ = 0, row_ = NONE;
};

GPURES_END

// Splatting a row of a block: each pixel's contributions, a vector of pixels at a time, handed to a sink.
//
// Besides what splat.h wants of it, a sink has `take(row, k)`: the pixels from the k-th of a row on are next, one in
// each lane.
#pragma once

#include "cells.h"
#include "pixel_row.h"
#include "shared_corners.h"
#include "square_drops.h"

GPURES_BEGIN

// By how much the step from one input pixel to the next may differ from one to the next output pixel, for drops that
// are tried as such around a point where pixels meet: beyond, hardly a vector of them are. Nor are those that leave
// wide gaps between them.
constexpr double MOST_MISALIGNED_AROUND_POINTS = 0.1, LEAST_PIXFRAC = 0.5;

inline bool are_around_points(const Exposure& e, const Orientation& o)
{
    return e.kernel == SQUARE && e.pixfrac >= LEAST_PIXFRAC && o.up > 0.0 &&
           o.misalignment() < MOST_MISALIGNED_AROUND_POINTS;
}

// Square drops that depend on the centres around them.
template <class Sink>
inline void splat_row_square(const Exposure& e, const Block& b, const Centres& c, const Origin& origin, int r,
                             const PixelRow& row, const Real* weights, const Bounds& bounds, bool around_points,
                             Sink& sink)
{
    const int n = b.x1 - b.x0 + 1;
    for (int k = 0; k < n; k += REALS) {
        sink.take(row, k);
        const Drops drops = drops_of(origin, k, [&](int at) {
            return b.whole ? regular_drops(c, r, at, 0.5 * e.pixfrac) : drops_anywhere(e, b, c, r, at, n);
        });
        in_cells(drops.of_x, drops.of_y, bounds, sink, [&](const auto& near, auto& of_cells) {
            splat_square(drops.q, reals(weights + k), near, of_cells, around_points, sides<Reals>);
        });
    }
}

// The same for drops that touch, whose corners and edges are known: these for drops that are around points, or what
// lies below them for others.
template <class Sink>
inline void splat_row_shared(const SharedCorners& corners, int n, const PixelRow& row, const Real* weights,
                             const Bounds& bounds, bool around_points, Sink& sink)
{
    for (int k = 0; k < n; k += REALS) {
        sink.take(row, k);
#if !defined(GPURES_SINGLE)
        if (!around_points && corners.splat(k, reals(weights + k), bounds, sink)) continue;
#endif
        const Drops drops = corners.drops(k);
        in_cells(drops.of_x, drops.of_y, bounds, sink, [&](const auto& near, auto& of_cells) {
            splat_square(drops.q, reals(weights + k), near, of_cells, around_points,
                         [&](const Quad<Reals>&) { return corners.sides(k); });
        });
    }
}

// The same for drops that depend on their centres alone: splat(x, y, weight, bounds, sink).
template <class Sink, class Splat>
inline void splat_row_of_centres(const Centres& c, const Origin& origin, int r, int n, const PixelRow& row,
                                 const Real* weights, const Bounds& bounds, Sink& sink, const Splat& splat)
{
    for (int k = 0; k < n; k += REALS) {
        sink.take(row, k);
        const Places places = places_of(
            origin, k, [&](int at) { return load(c.x[r + 1] + at + 1); },
            [&](int at) { return load(c.y[r + 1] + at + 1); });
        in_cells(places.of_x, places.of_y, bounds, sink, [&](const auto& near, auto& of_cells) {
            splat(places.x, places.y, reals(weights + k), near, of_cells);
        });
    }
}

// Whether a block's drops touch: all corners are shared.
inline bool share_corners(const Exposure& e, const Block& b)
{
    return e.kernel == SQUARE && e.pixfrac == 1.0 && b.whole;
}

// Row r of a block; for drops that touch, their corners are at that row. `around`: see are_around_points().
template <class Sink>
inline void splat_row(const Exposure& e, const Block& block, const Centres& c, const SharedCorners& corners,
                      const Origin& origin, int r, const PixelRow& row, const Real* weights, const Bounds& b,
                      bool around, Sink& sink)
{
    const int n = block.x1 - block.x0 + 1;
    if (share_corners(e, block)) return splat_row_shared(corners, n, row, weights, b, around, sink);
    if (e.kernel == SQUARE) return splat_row_square(e, block, c, origin, r, row, weights, b, around, sink);
    const auto product = [&](const auto& profile) {
        splat_row_of_centres(c, origin, r, n, row, weights, b, sink,
                             [&](const Coordinate& x, const Coordinate& y, Reals weight, const auto& bounds,
                                 auto& of_cells) { splat_product(profile, x, y, weight, bounds, of_cells); });
    };
    const double s = e.pixel_scale_ratio;
    switch (e.kernel) {
        case POINT:
            return splat_row_of_centres(c, origin, r, n, row, weights, b, sink,
                                        [&](const Coordinate& x, const Coordinate& y, Reals weight, const auto& bounds,
                                            auto& of_cells) { splat_point(x, y, weight, bounds, of_cells); });
        case TURBO:
            return product(Turbo(s, e.pixfrac));
        case GAUSSIAN:
            return product(Gaussian(s, e.pixfrac));
        case LANCZOS2:
            return product(Lanczos(s, 2, e.lanczos));
        default:
            return product(Lanczos(s, 3, e.lanczos));
    }
}

GPURES_END

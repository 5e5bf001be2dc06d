// Splatting a row of a block: each pixel's contributions, a vector of pixels at a time, handed to a sink.
//
// Besides what splat.h wants of it, a sink has `take(row, k)`: the pixels from the k-th of a row on are next, one in
// each lane.
#pragma once

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
inline void splat_row_square(const Exposure& e, const Block& b, const Centres& c, int r, const PixelRow& row,
                             const double* weights, const Bounds& bounds, bool around_points, Sink& sink)
{
    const int n = b.x1 - b.x0 + 1;
    for (int k = 0; k < n; k += LANES) {
        sink.take(row, k);
        const Quad<Vector> q = b.whole ? regular_drops(c, r, k, 0.5 * e.pixfrac) : drops_anywhere(e, b, c, r, k, n);
        splat_square(q, load(weights + k), bounds, sink, around_points, sides<Vector>);
    }
}

// The same for drops that touch, whose corners and edges are known.
template <class Sink>
inline void splat_row_shared(const SharedCorners& corners, int n, const PixelRow& row, const double* weights,
                             const Bounds& bounds, bool around_points, Sink& sink)
{
    for (int k = 0; k < n; k += LANES) {
        sink.take(row, k);
        splat_square(corners.quad(k), load(weights + k), bounds, sink, around_points,
                     [&](const Quad<Vector>&) { return corners.sides(k); });
    }
}

// The same for drops that depend on their centres alone: splat(x, y, weight).
template <class Sink, class Splat>
inline void splat_row_of_centres(const Centres& c, int r, int n, const PixelRow& row, const double* weights, Sink& sink,
                                 const Splat& splat)
{
    for (int k = 0; k < n; k += LANES) {
        sink.take(row, k);
        splat(load(c.x[r + 1] + k + 1), load(c.y[r + 1] + k + 1), load(weights + k));
    }
}

// Whether a block's drops touch: all corners are shared.
inline bool share_corners(const Exposure& e, const Block& b)
{
    return e.kernel == SQUARE && e.pixfrac == 1.0 && b.whole;
}

// Row r of a block; for drops that touch, their corners are at that row. `around`: see are_around_points().
template <class Sink>
inline void splat_row(const Exposure& e, const Block& block, const Centres& c, const SharedCorners& corners, int r,
                      const PixelRow& row, const double* weights, const Bounds& b, bool around, Sink& sink)
{
    const int n = block.x1 - block.x0 + 1;
    if (share_corners(e, block)) return splat_row_shared(corners, n, row, weights, b, around, sink);
    if (e.kernel == SQUARE) return splat_row_square(e, block, c, r, row, weights, b, around, sink);
    const auto product = [&](const auto& profile) {
        splat_row_of_centres(c, r, n, row, weights, sink,
                             [&](Vector x, Vector y, Vector weight) { splat_product(profile, x, y, weight, b, sink); });
    };
    const double s = e.pixel_scale_ratio;
    switch (e.kernel) {
        case POINT:
            return splat_row_of_centres(c, r, n, row, weights, sink,
                                        [&](Vector x, Vector y, Vector weight) { splat_point(x, y, weight, b, sink); });
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

// The drops that are no squares, of one kernel, to a sink.
#pragma once

#include "pixmap.h"
#include "splat.h"

namespace gpures {

// Around a place, whose coordinates may be counted from a cell, as the bounds are.
template <int KERNEL, class C, class V, class N, class Sink>
__device__ __forceinline__ void splat_around(const Exposure& e, const C& x, const C& y, V weight,
                                             const BoundsIn<N>& bounds, Sink& sink)
{
    const double s = e.pixel_scale_ratio;
    if constexpr (KERNEL == POINT) splat_point(x, y, weight, bounds, sink);
    if constexpr (KERNEL == TURBO) splat_product(Turbo(s, e.pixfrac), x, y, weight, bounds, sink);
    if constexpr (KERNEL == GAUSSIAN) splat_product(Gaussian(s, e.pixfrac), x, y, weight, bounds, sink);
    if constexpr (KERNEL == LANCZOS2) splat_product(Lanczos(s, 2, e.lanczos), x, y, weight, bounds, sink);
    if constexpr (KERNEL == LANCZOS3) splat_product(Lanczos(s, 3, e.lanczos), x, y, weight, bounds, sink);
}

template <int KERNEL, class Sink>
__device__ __forceinline__ void splat_at_centre(const Exposure& e, int i, int j, double weight, const Bounds& bounds,
                                                Sink& sink)
{
    const Point at = centre(e, i, j);
    splat_around<KERNEL>(e, at.x, at.y, weight, bounds, sink);
}

}  // namespace gpures

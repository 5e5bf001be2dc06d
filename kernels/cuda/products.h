// The drops that are no squares, of one kernel, to a sink.
#pragma once

#include "pixmap.h"
#include "splat.h"

namespace gpures {

template <int KERNEL, class Sink>
__device__ __forceinline__ void splat_at_centre(const Exposure& e, int i, int j, double weight, const Bounds& bounds,
                                                Sink& sink)
{
    const double s = e.pixel_scale_ratio;
    const Point at = centre(e, i, j);
    const double x = at.x, y = at.y;
    if constexpr (KERNEL == POINT) splat_point(x, y, weight, bounds, sink);
    if constexpr (KERNEL == TURBO) splat_product(Turbo(s, e.pixfrac), x, y, weight, bounds, sink);
    if constexpr (KERNEL == GAUSSIAN) splat_product(Gaussian(s, e.pixfrac), x, y, weight, bounds, sink);
    if constexpr (KERNEL == LANCZOS2) splat_product(Lanczos(s, 2, e.lanczos), x, y, weight, bounds, sink);
    if constexpr (KERNEL == LANCZOS3) splat_product(Lanczos(s, 3, e.lanczos), x, y, weight, bounds, sink);
}

}  // namespace gpures

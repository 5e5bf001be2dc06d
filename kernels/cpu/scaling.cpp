#include "scaling.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "../splat.h"
#include "../weights.h"
#include "blocks.h"

namespace gpures {

namespace {

// Drops of fewer output pixels than this lose digits against those of their place, and larger ones against their size.
constexpr double SMALLEST_DROP = 1.0 / 256, LARGEST_DROP = 16.0;

// The exponent of the largest weight, scaled: what is left above it, to 2^128, is for values and their sums. And how
// many powers of two others may be below it: contributions of theirs, or the squares of these, stay above 2^-126.
constexpr int LARGEST_EXPONENT = 40, MOST_POWERS = 110, MOST_POWERS_OF_SQUARES = 60;

// Powers of two that leave room in float32 for squares, and for inverses of those.
bool is_common(int power) { return std::abs(power) <= 50; }

struct Range {
    double least = INFINITY, most = 0.0;
};

// Of the sizes of weights that are not 0.
Range range_of_weights(const Exposure& e, const Walk& walk, int threads)
{
    Range range;
    if (!e.weight_map.data && !e.variance.data) {
        const double size = std::fabs(e.weight);
        return size > 0.0 ? Range{size, size} : range;
    }
    std::mutex of_range;
    over_blocks(threads, walk, blocks_of(e.x0, e.x1, e.y0, e.y1), [&](const Block& b, void* workspace) {
        double own[2] = {INFINITY, 0.0};
        walk.extend_weights(e, b, own, workspace);
        const std::lock_guard<std::mutex> lock(of_range);
        range = {std::min(range.least, own[0]), std::max(range.most, own[1])};
    });
    return range;
}

bool fits(const Range& range, int powers) { return !(range.least < std::ldexp(range.most, -powers)); }

// Size of the largest of some values of a plane.
double size_of_values(const Exposure& e, const Plane& plane)
{
    const int across = std::max(1, (e.x1 - e.x0 + 1) / SAMPLES), up = std::max(1, (e.y1 - e.y0 + 1) / SAMPLES);
    double most = 0.0;
    for (int j = e.y0; j <= e.y1; j += up) {
        for (int i = e.x0; i <= e.x1; i += across) {
            const double size = std::fabs(plane_value(plane, value_at<double>(plane.view, j, i)));
            if (size <= 1e300) most = std::max(most, size);
        }
    }
    return most;
}

int exponent_of(double size) { return size > 0.0 && std::isfinite(size) ? std::ilogb(size) : 0; }

// By how many powers of two the weights of an exposure may differ.
int most_powers(const Exposure& e)
{
    bool squares = false;
    for (int p = 0; p < e.planes; ++p) squares = squares || e.plane[p].squared != NOT_SQUARED;
    return squares ? MOST_POWERS_OF_SQUARES : MOST_POWERS;
}

}  // namespace

bool floats_may_do(const Exposure& e)
{
    if (!e.single) return false;
    const double size = (e.kernel == POINT ? 1.0 : e.pixfrac) / e.pixel_scale_ratio;
    return size >= SMALLEST_DROP && size <= LARGEST_DROP;
}

bool scale_for_floats(Exposure& e, const Mosaic& m, const Walk& walk, int threads, Scaling& scaling)
{
    if (!floats_may_do(e) || m.pairs) return false;
    // Which pixels are good need not be read where it makes no difference.
    Exposure good = e;
    good.dq.data = nullptr;
    Range range = range_of_weights(good, walk, threads);
    if (!fits(range, most_powers(e))) range = range_of_weights(e, walk, threads);
    if (!fits(range, most_powers(e))) return false;
    double of_values[MOST_PLANES];
    for (int p = 0; p < e.planes; ++p) of_values[p] = size_of_values(e, e.plane[p]);
    return scale_for_floats(e, range.least, range.most, of_values, scaling);
}

bool scale_for_floats(Exposure& e, double least_weight, double most_weight, const double* sizes, Scaling& scaling)
{
    if (!fits({least_weight, most_weight}, most_powers(e))) return false;
    const int by = LARGEST_EXPONENT - exponent_of(most_weight);
    Scaling found = {};
    found.can_fold_in_floats = is_common(by) && is_common(-exponent_of(e.variance_weight));
    found.weight = std::ldexp(1.0, by);
    found.smallest = SMALLEST_DOW * found.weight;
    found.units[0] = std::ldexp(1.0, -by);
    double scales[MOST_PLANES];
    for (int p = 0; p < e.planes; ++p) {
        const Plane& plane = e.plane[p];
        const int of_values = exponent_of(sizes[p]);
        const bool are_squares = plane.squared == SQUARED_ERRORS;
        const int of_scale = are_squares ? of_values / 2 : of_values;
        scales[p] = std::ldexp(plane.scale, -of_scale);
        const int units = (are_squares ? 2 * of_scale : of_scale) - (plane.squared ? 2 * by : by);
        found.units[1 + p] = std::ldexp(1.0, units);
        found.can_fold_in_floats = found.can_fold_in_floats && is_common(of_values) && is_common(units);
        if (std::abs(units) > 1000 || !std::isfinite(scales[p])) return false;
    }
    for (int p = 0; p < e.planes; ++p) {
        e.plane[p].scale = scales[p];
        if (are_floats(e.plane[p])) found.float_planes |= 1u << p;
    }
    scaling = found;
    return true;
}

}  // namespace gpures

// Reading the pixels of a row of a block: their weights, DQ flags, and the values of all planes.
#pragma once

#include "view_rows.h"

GPURES_BEGIN

// Room before and after a row of a block's pixels: for a vector that begins as many pixels before the first, or beyond
// the last, as there are columns in Contributions, and a vector's width more.
constexpr int PADDING = 16;
constexpr int ROW_LENGTH = PADDING + BLOCK_WIDTH + PADDING;

// What is read of a row of a block's pixels. The k-th pixel is at PADDING + k; beside the block's pixels, and of
// pixels of weight 0, weights and values are 0.
struct PixelRow {
    double weight[ROW_LENGTH];
    double unweighted[ROW_LENGTH];  // 1 for a good pixel of weight 0; where `any_unweighted`
    bool any_unweighted;
    bool finite;  // all values are
    std::uint32_t bits[ROW_LENGTH];
    double values[MOST_PLANES][ROW_LENGTH];
};

// The weights of a row's n pixels from i0 on. `timed`: where the exposure time is wanted, good pixels of weight 0 as
// well.
inline void read_weights(const Exposure& e, int j, int i0, int n, bool timed, PixelRow& row)
{
    double* weight = row.weight + PADDING;
    if (e.weight_map.data) {
        read_vectors(e.weight_map, j, i0, n, [&](Vector v, int k) { store(usable_weight(v, e.weight), weight + k); });
    } else if (e.variance.data) {
        read_vectors(e.variance, j, i0, n, [&](Vector v, int k) { store(inverse_variance(v), weight + k); });
    } else {
        for (int k = 0; k < n; ++k) weight[k] = e.weight;
    }
    store(Vector{}, weight + n);
    double* unweighted = row.unweighted + PADDING;
    for (int k = 0; timed && k < n; ++k) unweighted[k] = weight[k] == 0.0 ? 1.0 : 0.0;
    if (e.dq.data) {
        std::uint64_t dq[BLOCK_WIDTH];
        read_row(e.dq, j, i0, n, dq);
        for (int k = 0; k < n; ++k) {
            row.bits[PADDING + k] = static_cast<std::uint32_t>(dq[k]);
            weight[k] = is_good(dq[k], e.bad_bits) ? weight[k] : 0.0;
        }
        for (int k = 0; timed && k < n; ++k) unweighted[k] = is_good(dq[k], e.bad_bits) ? unweighted[k] : 0.0;
    }
    row.any_unweighted = false;
    if (!timed) return;
    store(Vector{}, unweighted + n);
    Vector count = Vector{};
    for (int k = 0; k < n; k += LANES) count = count + load(unweighted + k);
    row.any_unweighted = any_greater(count, Vector{});
}

// The values of all planes, once the weights are there.
inline void read_values(const Exposure& e, int j, int i0, int n, PixelRow& row)
{
    const double* weight = row.weight + PADDING;
    Vector not_finite = Vector{};
    for (int p = 0; p < e.planes; ++p) {
        const Plane& plane = e.plane[p];
        if (plane.root == KEPT_SUM) continue;
        double* values = row.values[p] + PADDING;
        read_vectors(plane.view, j, i0, n, [&](Vector v, int k) {
            v = select(load(weight + k) == Vector{}, Vector{}, plane_value(plane, v));
            not_finite = not_finite + 0.0 * v;
            store(v, values + k);
        });
        // Behind them zeros, as far as a vector from the last column of Contributions reaches.
        for (int k = n; k < n + PADDING; k += LANES) store(Vector{}, values + k);
    }
    row.finite = everywhere(not_finite == Vector{});
}

// Asks for the memory of what these two read.
__attribute__((always_inline)) inline void prefetch_pixels(const Exposure& e, int j, int i0, int n)
{
    prefetch_row(e.weight_map.data ? e.weight_map : e.variance, j, i0, n);
    prefetch_row(e.dq, j, i0, n);
    for (int p = 0; p < e.planes; ++p) prefetch_row(e.plane[p].view, j, i0, n);
}

GPURES_END

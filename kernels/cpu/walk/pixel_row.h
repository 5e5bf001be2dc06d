// Reading the pixels of a row of a block: their weights, DQ flags, and the values of all planes.
#pragma once

#include "../walk.h"
#include "view_rows.h"

GPURES_BEGIN

// Room before and after a row of a block's pixels: for a vector that begins as many pixels before the first, or beyond
// the last, as there are columns in Contributions, and a vector's width more.
#if defined(GPURES_SINGLE)
constexpr int PADDING = 32;
#else
constexpr int PADDING = 16;
#endif
constexpr int ROW_LENGTH = PADDING + BLOCK_WIDTH + (sizeof(Real) == 4 ? 48 : PADDING);  // no power of two

// What is read of a row of a block's pixels. The k-th pixel is at PADDING + k; beside the block's pixels, and of
// pixels of weight 0, weights and values are 0.
struct PixelRow {
    Real weight[ROW_LENGTH];
    Real unweighted[ROW_LENGTH];  // 1 for a good pixel of weight 0; where `any_unweighted`
    bool any_unweighted;
    bool finite;  // all values are
    std::uint32_t bits[ROW_LENGTH];
    Real values[MOST_PLANES][ROW_LENGTH];
};

// A weight in the units of an exposure's sums.
template <class V>
inline V scaled(V weight, [[maybe_unused]] const Scaling& s)
{
#if defined(GPURES_SINGLE)
    return weight * s.weight;
#else
    return weight;
#endif
}

// The weights of a row's n pixels from i0 on. `timed`: where the exposure time is wanted, good pixels of weight 0 as
// well.
inline void read_weights(const Exposure& e, int j, int i0, int n, bool timed, PixelRow& row, const Scaling& s = {})
{
    Real* weight = row.weight + PADDING;
    if (e.weight_map.data) {
        read_vectors(e.weight_map, j, i0, n,
                     [&](Vector v, int k) { store(scaled(usable_weight(v, e.weight), s), weight + k); });
    } else if (e.variance.data) {
        read_vectors(e.variance, j, i0, n, [&](Vector v, int k) { store(scaled(inverse_variance(v), s), weight + k); });
    } else {
        for (int k = 0; k < n; ++k) weight[k] = static_cast<Real>(scaled(e.weight, s));
    }
    store(Reals{}, weight + n);
    Real* unweighted = row.unweighted + PADDING;
    for (int k = 0; timed && k < n; ++k) unweighted[k] = weight[k] == 0.0 ? Real(1) : Real(0);
    if (e.dq.data) {
        std::uint64_t dq[BLOCK_WIDTH];
        read_row(e.dq, j, i0, n, dq);
        for (int k = 0; k < n; ++k) {
            row.bits[PADDING + k] = static_cast<std::uint32_t>(dq[k]);
            weight[k] = is_good(dq[k], e.bad_bits) ? weight[k] : Real(0);
        }
        for (int k = 0; timed && k < n; ++k) unweighted[k] = is_good(dq[k], e.bad_bits) ? unweighted[k] : Real(0);
    }
    row.any_unweighted = false;
    if (!timed) return;
    store(Reals{}, unweighted + n);
    Reals count = Reals{};
    for (int k = 0; k < n; k += REALS) count = count + reals(unweighted + k);
    row.any_unweighted = any_greater(count, Reals{});
}

#if defined(GPURES_SINGLE)
// Whether so many pixels of a plane are read as floats.
inline bool are_floats_in_a_row(const Plane& plane, int n)
{
    const View& v = plane.view;
    return v.column_stride == sizeof(float) && !v.swapped && n >= REALS && are_floats(plane);
}

// The values of such a plane; 0 times their sum.
inline Reals read_floats(const Plane& plane, int j, int i0, int n, const Real* weight, Real* values)
{
    const float* const p = reinterpret_cast<const float*>(plane.view.data + j * plane.view.row_stride) + i0;
    Reals not_finite = Reals{};
    for (int at = 0; at < n; at += REALS) {
        const int k = at + REALS <= n ? at : n - REALS;
        const Reals v = select(reals(weight + k) == Reals{}, Reals{}, plane_value(plane, reals(p + k)));
        not_finite = not_finite + 0.0f * v;
        store(v, values + k);
    }
    return not_finite;
}
#endif

// The values of all planes, once the weights are there.
inline void read_values(const Exposure& e, int j, int i0, int n, PixelRow& row)
{
    const Real* weight = row.weight + PADDING;
    Vector not_finite = Vector{};
#if defined(GPURES_SINGLE)
    Reals floats_not_finite = Reals{};
#endif
    for (int p = 0; p < e.planes; ++p) {
        const Plane& plane = e.plane[p];
        if (plane.root == KEPT_SUM) continue;
        Real* values = row.values[p] + PADDING;
        // Behind them zeros, as far as a vector from the last column of Contributions reaches.
        const auto end = [&] {
            for (int k = n; k < n + PADDING; k += REALS) store(Reals{}, values + k);
        };
#if defined(GPURES_SINGLE)
        if (are_floats_in_a_row(plane, n)) {
            floats_not_finite = floats_not_finite + read_floats(plane, j, i0, n, weight, values);
            end();
            continue;
        }
#endif
        read_vectors(plane.view, j, i0, n, [&](Vector v, int k) {
            v = select(load(weight + k) == Vector{}, Vector{}, plane_value(plane, v));
            store(v, values + k);
            not_finite = not_finite + 0.0 * (sizeof(Real) == sizeof(double) ? v : load(values + k));
        });
        end();
    }
    row.finite = everywhere(not_finite == Vector{});
#if defined(GPURES_SINGLE)
    row.finite = row.finite && everywhere(floats_not_finite == Reals{});
#endif
}

// Asks for the memory of what these two read.
__attribute__((always_inline)) inline void prefetch_pixels(const Exposure& e, int j, int i0, int n)
{
    prefetch_row(e.weight_map.data ? e.weight_map : e.variance, j, i0, n);
    prefetch_row(e.dq, j, i0, n);
    for (int p = 0; p < e.planes; ++p) prefetch_row(e.plane[p].view, j, i0, n);
}

GPURES_END

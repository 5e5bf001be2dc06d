// Folding a row of a tile's sums into the mosaic: accumulators, context, exposure time and DQ flags.
#pragma once

#include "sums.h"

GPURES_BEGIN

// A row of a tile's output pixels on its way into the mosaic, plane by plane: so each step is short, and many pixels
// are in work at once.
class FoldedRow {
  public:
    void keep(const Common<Vector>& c, int k)
    {
        const Vector each[] = {c.added, c.per_added, c.per_total, c.old_share, c.t};
        for (int q = 0; q < 5; ++q) store(each[q], common_[q] + k);
    }

    Common<Vector> common(int k) const
    {
        return {load(common_[0] + k), load(common_[1] + k), load(common_[2] + k), load(common_[3] + k),
                load(common_[4] + k)};
    }

    void keep(const VarianceShares<Vector>& s, int k)
    {
        const Vector each[] = {s.before, s.total, s.old, s.added};
        for (int q = 0; q < 4; ++q) store(each[q], shares_[q] + k);
    }

    VarianceShares<Vector> shares(int k) const
    {
        return {load(shares_[0] + k), load(shares_[1] + k), load(shares_[2] + k), load(shares_[3] + k)};
    }

  private:
    static constexpr int STRIDE = TILE_WIDTH + 8;  // not all in the same lines of a cache

    alignas(64) double common_[5][STRIDE], shares_[4][STRIDE];
};

// Vectors of a row from column `from` to before `to`; `next`: how much further the row is that is folded next.
template <class T, class RowSums>
inline void fold_vectors(const Exposure& e, const Mosaic& m, const RowSums& sums, int from, int to, long long index,
                         long long next, FoldedRow& row)
{
    for (int k = from; k < to; k += LANES) {
        if (m.weight) prefetch(static_cast<const T*>(m.weight) + index + k + next);
        row.keep(common<Vector, T>(e, m, sums.further(k), index + k), k);
    }
    bool has_shares = false;
    for (int p = 0; p < e.planes; ++p) {
        const Plane& plane = e.plane[p];
        if (!plane.root) {
            for (int k = from; k < to; k += LANES) {
                prefetch(static_cast<const T*>(plane.mean) + index + k + next);
                fold_mean<Vector, T>(plane, row.common(k), sums.further(k)(1 + p), index + k);
            }
            continue;
        }
        for (int k = from; !has_shares && k < to; k += LANES) {
            row.keep(variance_shares(get<Vector, T>(plane.weight, index + k), row.common(k).t), k);
        }
        has_shares = true;
        for (int k = from; k < to; k += LANES) {
            prefetch(static_cast<const T*>(plane.mean) + index + k + next);
            prefetch(static_cast<const T*>(plane.weight) + index + k + next);
            VarianceShares<Vector> shares = row.shares(k);
            fold_variance<Vector, T>(plane, row.common(k), sums.further(k)(1 + p), shares, index + k);
        }
    }
    for (int k = from; k < to; k += LANES) fold_weight<Vector, T>(m, row.common(k), index + k);
}

// Row j of a tile.
template <class T, class Sink>
void fold_row(const Exposure& e, const Mosaic& m, const Tile& tile, int j, const Sink& sink, FoldedRow& row)
{
    const int width = tile.x1 - tile.x0 + 1, in_vectors = width / LANES * LANES;
    const auto sums = sink.template at<Vector>(0, j - sink.y0);
    const auto sums_of_one = [&](int k) { return sink.template at<double>(k, j - sink.y0); };
    const long local = index_in_rows(0, j - sink.y0);
    const long long index = j * m.nx + tile.x0;
    const unsigned char* __restrict marks = sink.scratch.marks + local;
    // Rows that nothing was added to are only read: writing would take memory for them.
    int from = 0, to = in_vectors;
    while (from < to && !anywhere(sums.further(from)(0) != Vector{})) from += LANES;
    while (to > from && !anywhere(sums.further(to - LANES)(0) != Vector{})) to -= LANES;
    fold_vectors<T>(e, m, sums, from, to, index, j < tile.y1 ? m.nx : 0, row);
    for (int k = in_vectors; k < width; ++k) {
        if (sums_of_one(k)(0) != 0.0) fold<double, T>(e, m, sums_of_one(k), index + k);
    }
    unsigned char any = 0;
    for (int k = 0; k < width; ++k) any |= marks[k];
    if (m.context && (any & POSITIVE)) {
        int* __restrict context = m.context + index;
        const int bit = m.context_bit;
        static_assert(POSITIVE == 1, "its negative has all bits");
        for (int k = 0; k < width; ++k) context[k] |= -(marks[k] & POSITIVE) & bit;
    }
    if (m.time && (from < to || any)) {
        for (int k = 0; k < in_vectors; k += LANES) {
            const Mask has_good_pixel = (sums.further(k)(0) != Vector{}) | are_marked(marks + k);
            if (anywhere(has_good_pixel)) add_time<Vector, T>(e, m, has_good_pixel, index + k);
        }
    }
    for (int k = in_vectors; m.time && k < width; ++k) {
        if (marks[k] || sums_of_one(k)(0) != 0.0) add_time<double, T>(e, m, true, index + k);
    }
    if (!m.dq) return;
    const std::uint32_t* __restrict dq = sink.scratch.dq + local;
    unsigned* __restrict mosaic_dq = m.dq + index;
    std::uint32_t flags = 0;
    for (int k = 0; k < width; ++k) flags |= dq[k];
    for (int k = 0; flags && k < width; ++k) mosaic_dq[k] |= dq[k];
}

GPURES_END

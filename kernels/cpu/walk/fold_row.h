// Folding a row of a tile's sums into the mosaic: accumulators, context, exposure time and DQ flags.
#pragma once

#include "sums.h"

GPURES_BEGIN

// What the fold works out for a row of a tile's output pixels before it goes from plane to plane.
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

// The output pixels of a row from column `from` to before `to`, in vectors, as fold_planes() takes them. (Inlined by
// force: what is in a register here would otherwise be read again after every store.)
template <class RowSums>
struct VectorsOfRow {
    const RowSums of_row;
    FoldedRow& row;
    const int from, to;
    const long long index;  // of the row's first pixel
    const long long next;   // how much further the row is that is folded next

    struct Pixel {
        const VectorsOfRow& all;
        const int k;
        const long long index;

        // Asks for the memory of an accumulator's pixels in the row that is folded next.
        template <class T>
        __attribute__((always_inline)) void prefetch(const void* array) const
        {
            if (array) gpures::GPURES_ISA::prefetch(static_cast<const T*>(array) + index + all.next);
        }

        // For the whole row at once: no division waits for the one before.
        template <class T>
        void begin_variances(const Plane& plane) const
        {
            all.row.keep(variance_shares(get<Vector, T>(plane.weight, index), common().t), k);
        }

        RowSums sums() const { return all.of_row.further(k); }
        void keep(const Common<Vector>& c) const { all.row.keep(c, k); }
        Common<Vector> common() const { return all.row.common(k); }
        VarianceShares<Vector> shares() const { return all.row.shares(k); }
    };

    template <class Work>
    __attribute__((always_inline)) void each(const Work& work) const
    {
        for (int k = from; k < to; k += LANES) {
            Pixel pixel = {*this, k, index + k};
            work(pixel);
        }
    }
};

// The exposure's bit to the context of the output pixels that it has contributed to.
inline void fold_context(const Mosaic& m, const unsigned char* __restrict marks, int width, long long index)
{
    int* __restrict context = m.context + index;
    const int bit = m.context_bit;
    static_assert(POSITIVE == 1, "its negative has all bits");
    for (int k = 0; k < width; ++k) context[k] |= -(marks[k] & POSITIVE) & bit;
}

inline void fold_dq(const Mosaic& m, const std::uint32_t* __restrict dq, int width, long long index)
{
    unsigned* __restrict mosaic_dq = m.dq + index;
    std::uint32_t flags = 0;
    for (int k = 0; k < width; ++k) flags |= dq[k];
    for (int k = 0; flags && k < width; ++k) mosaic_dq[k] |= dq[k];
}

// Row j of what is kept of a tile, which begins with that column of the sink.
template <class T, class Sink>
void fold_row(const Exposure& e, const Mosaic& m, const Tile& tile, int column, int j, const Sink& sink, FoldedRow& row)
{
    const int width = tile.x1 - tile.x0 + 1, in_vectors = width / LANES * LANES;
    using RowSums = typename Sink::template At<Vector>;
    const RowSums sums = sink.template at<Vector>(column, j - sink.y0);
    const auto sums_of_one = [&](int k) { return sink.template at<double>(column + k, j - sink.y0); };
    const long local = index_in_rows(column, j - sink.y0);
    const long long index = j * m.stride + tile.x0;
    const unsigned char* const marks = sink.scratch.marks + local;
    // Rows that nothing was added to are only read: writing would take memory for them.
    int from = 0, to = in_vectors;
    while (from < to && !anywhere(sums.further(from)(0) != Vector{})) from += LANES;
    while (to > from && !anywhere(sums.further(to - LANES)(0) != Vector{})) to -= LANES;
    VectorsOfRow<RowSums> vectors = {sums, row, from, to, index, j < tile.y1 ? m.stride : 0};
    fold_planes<Vector, T>(e, m, vectors);
    for (int k = in_vectors; k < width; ++k) {
        if (sums_of_one(k)(0) != 0.0) fold<double, T>(e, m, sums_of_one(k), index + k);
    }
    unsigned char any = 0;
    for (int k = 0; k < width; ++k) any |= marks[k];
    if (m.context && (any & POSITIVE)) fold_context(m, marks, width, index);
    if (m.time && (from < to || any)) {
        for (int k = 0; k < in_vectors; k += LANES) {
            const Mask has_good_pixel = (sums.further(k)(0) != Vector{}) | are_marked(marks + k);
            if (anywhere(has_good_pixel)) add_time<Vector, T>(e, m, has_good_pixel, index + k);
        }
    }
    for (int k = in_vectors; m.time && k < width; ++k) {
        if (marks[k] || sums_of_one(k)(0) != 0.0) add_time<double, T>(e, m, true, index + k);
    }
    if (m.dq) fold_dq(m, sink.scratch.dq + local, width, index);
}

GPURES_END

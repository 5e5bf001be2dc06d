// Folding a row of a tile's sums into the mosaic: accumulators, context, exposure time and DQ flags.
#pragma once

#include "sums.h"

GPURES_BEGIN

// What the fold works out for a row of a tile's output pixels before it goes from plane to plane.
class FoldedRow {
  public:
    template <class V>
    void keep(const Common<V>& c, int k)
    {
        const V each[] = {c.added, c.per_added, c.per_total, c.old_share, c.t};
        for (int q = 0; q < 5; ++q) store(each[q], numbers<V>(common_[q]) + k);
    }

    template <class V>
    Common<V> common(int k) const
    {
        const auto kept = [&](int q) { return Access<V>::load(numbers<V>(common_[q]) + k); };
        return {kept(0), kept(1), kept(2), kept(3), kept(4)};
    }

    template <class V>
    void keep(const VarianceShares<V>& s, int k)
    {
        const V each[] = {s.before, s.total, s.old, s.added};
        for (int q = 0; q < 4; ++q) store(each[q], numbers<V>(shares_[q]) + k);
    }

    template <class V>
    VarianceShares<V> shares(int k) const
    {
        const auto kept = [&](int q) { return Access<V>::load(numbers<V>(shares_[q]) + k); };
        return {kept(0), kept(1), kept(2), kept(3)};
    }

  private:
    static constexpr int STRIDE = TILE_WIDTH + 8;  // not all in the same lines of a cache

    // Memory for as many doubles, or floats. (They are copied there and back.)
    template <class V, class Memory>
    static auto numbers(Memory* memory)
    {
        typedef typename LaneOf<V>::Type Lane;
        if constexpr (IsSame<Memory, const double>::VALUE)
            return reinterpret_cast<const Lane*>(memory);
        else
            return reinterpret_cast<Lane*>(memory);
    }

    alignas(64) double common_[5][STRIDE], shares_[4][STRIDE];
};

// The output pixels of a row from column `from` to before `to`, in vectors, as fold_planes() takes them. (Inlined by
// force: what is in a register here would otherwise be read again after every store.)
template <class V, class RowSums>
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
            all.row.keep(variance_shares(get<V, T>(plane.weight, index), common().t), k);
        }

        RowSums sums() const { return all.of_row.further(k); }
        void keep(const Common<V>& c) const { all.row.keep(c, k); }
        Common<V> common() const { return all.row.template common<V>(k); }
        VarianceShares<V> shares() const { return all.row.template shares<V>(k); }
    };

    template <class Work>
    __attribute__((always_inline)) void each(const Work& work) const
    {
        for (int k = from; k < to; k += LANES_OF<V>) {
            Pixel pixel = {*this, k, index + k};
            work(pixel);
        }
    }
};

// Those pixels of a row, in the first so many, that anything was added to: from the first such vector to the last.
template <class RowSums>
inline void clip_to_added(const RowSums& sums, int& from, int& to)
{
    const auto any = [&](int k) {
        bool any = false;
        for (int l = 0; l < REALS; l += LANES) any = any || anywhere(sums.further(k + l)(0) != Vector{});
        return any;
    };
    while (from < to && !any(from)) from += REALS;
    while (to > from && !any(to - REALS)) to -= REALS;
}

#if defined(GPURES_SINGLE)
// Whether all of them can be folded in floats.
template <class Sums>
bool floats_will_do_in_row(const Exposure& e, const Mosaic& m, const Sums& sums, int from, int to, long long index)
{
    bool all = true;
    for (int k = from; all && k < to; k += REALS) all = floats_will_do<Reals>(e, m, sums.further(k), index + k);
    return all;
}
#endif

// Folds the pixels of a row from column `from` to before `to`.
template <class T, class Sink>
inline void fold_vectors(const Exposure& e, const Mosaic& m, const Sink& sink, int column, int row, int from, int to,
                         long long index, long long next, FoldedRow& folded)
{
#if defined(GPURES_SINGLE)
    if constexpr (sizeof(T) == sizeof(float)) {
        using RowSums = typename Sink::template At<Reals>;
        const RowSums sums = sink.template at<Reals>(column, row);
        if (sink.can_fold_in_floats && floats_will_do_in_row(e, m, sums, from, to, index)) {
            VectorsOfRow<Reals, RowSums> vectors = {sums, folded, from, to, index, next};
            return fold_planes<Reals, T>(e, m, vectors);
        }
    }
#endif
    using RowSums = typename Sink::template At<Vector>;
    VectorsOfRow<Vector, RowSums> vectors = {sink.template at<Vector>(column, row), folded, from, to, index, next};
    fold_planes<Vector, T>(e, m, vectors);
}

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
    const int width = tile.x1 - tile.x0 + 1, in_vectors = width / REALS * REALS;
    using RowSums = typename Sink::template At<Vector>;
    const RowSums sums = sink.template at<Vector>(column, j - sink.y0);
    const auto sums_of_one = [&](int k) { return sink.template at<double>(column + k, j - sink.y0); };
    const std::ptrdiff_t local = index_in_rows(column, j - sink.y0);
    const long long index = j * m.stride + tile.x0;
    const unsigned char* const marks = sink.scratch.marks + local;
    // Rows that nothing was added to are only read: writing would take memory for them.
    int from = 0, to = in_vectors;
    clip_to_added(sums, from, to);
    fold_vectors<T>(e, m, sink, column, j - sink.y0, from, to, index, j < tile.y1 ? m.stride : 0, row);
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

// Rows of a mosaic and of another that is merged into it, plane by plane over a piece of the row.
//
// Compiled once per instruction set, like walk.cpp.
#include "maths.h"

GPURES_BEGIN

// So many pixels that what their planes have in common stays in the nearest cache.
constexpr int PIECE = 512;

// What the planes of a piece have in common.
class PieceInCommon {
  public:
    template <class V>
    void keep(const Common<V>& c, int k)
    {
        store(c.added, added_ + k);
        store(c.per_total, per_total_ + k);
        store(c.old_share, old_share_ + k);
    }

    template <class V>
    Common<V> common(int k) const
    {
        Common<V> c = {};
        c.added = Access<V>::load(added_ + k);
        c.per_total = Access<V>::load(per_total_ + k);
        c.old_share = Access<V>::load(old_share_ + k);
        return c;
    }

  private:
    alignas(64) double added_[PIECE], per_total_[PIECE], old_share_[PIECE];
};

// Calls work(V{}, k) for the n pixels from the k-th on, as many at a time as V has lanes.
template <class Work>
inline void over_piece(int n, const Work& work)
{
    int k = 0;
    for (; k + LANES <= n; k += LANES) work(Vector{}, k);
    for (; k < n; ++k) work(0.0, k);
}

template <class T, bool SQUARED>
inline void merge_mean_of_piece(const MergedPlane& plane, const PieceInCommon& piece, long long index, long long there,
                                int n)
{
    over_piece(n, [&](auto zero, int k) {
        using V = decltype(zero);
        merge_mean<V, T, SQUARED>(plane, piece.common<V>(k), index + k, there + k);
    });
}

// Weights and means. Where the other has no weight nothing is written to: it would take memory.
template <class T>
void merge_weighted(const Merge& m, long long index, long long there, int n)
{
    const T* const other_weight = static_cast<const T*>(m.other_weight) + there;
    bool any = false;
    for (int k = 0; k < n; ++k) any |= other_weight[k] != T(0);
    if (!any) return;
    PieceInCommon piece;
    over_piece(n, [&](auto zero, int k) {
        using V = decltype(zero);
        piece.keep(common_of_both<V, T>(m, index + k, there + k), k);
    });
    for (int p = 0; p < m.planes; ++p) {
        const MergedPlane& plane = m.plane[p];
        if (plane.weight) continue;
        plane.squared ? merge_mean_of_piece<T, true>(plane, piece, index, there, n)
                      : merge_mean_of_piece<T, false>(plane, piece, index, there, n);
    }
    over_piece(n, [&](auto zero, int k) { merge_weight<decltype(zero), T>(m, index + k, there + k); });
}

// Bits of a plane that the other has in a piece.
inline unsigned bits_of(const unsigned* plane, int n)
{
    unsigned bits = 0;
    for (int k = 0; k < n; ++k) bits |= plane[k];
    return bits;
}

template <class T>
void merge_piece(const Merge& m, long long index, long long there, int n)
{
    merge_weighted<T>(m, index, there, n);
    for (int p = 0; p < m.planes; ++p) {
        const MergedPlane& plane = m.plane[p];
        if (!plane.weight) continue;
        over_piece(n, [&](auto zero, int k) { merge_variance<decltype(zero), T>(plane, index + k, there + k); });
    }
    if (m.time) over_piece(n, [&](auto zero, int k) { merge_time<decltype(zero), T>(m, index + k, there + k); });
    if (m.dq && bits_of(m.other_dq + there, n)) {
        for (int k = 0; k < n; ++k) merge_dq(m, index + k, there + k);
    }
    for (int p = 0; p < m.other_planes; ++p) {
        if (!bits_of(m.other_context + p * m.other_context_stride + there, n)) continue;
        for (int k = 0; k < n; ++k) merge_context(m, p, index + k, there + k);
    }
}

void merge_row(const Merge& m, long long row)
{
    const int width = m.x1 - m.x0 + 1;
    for (int k = 0; k < width; k += PIECE) {
        const int n = width - k < PIECE ? width - k : PIECE;
        const long long index = (m.y0 + row) * m.nx + m.x0 + k, there = row * m.other_nx + k;
        m.doubles ? merge_piece<double>(m, index, there, n) : merge_piece<float>(m, index, there, n);
    }
}

GPURES_END

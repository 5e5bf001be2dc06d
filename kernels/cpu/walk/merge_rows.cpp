// Rows of a mosaic and of another that is merged into it, plane by plane over a piece of the row.
//
// Compiled once per instruction set, like walk.cpp.
#include "view_rows.h"

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

// The plane that is merged next, and where: what lies at the same place of each array waits for the same few lines of
// the nearest cache, so one plane is in work at a time, and the next is asked for.
struct Ahead {
    MergedPlane plane;
    long long index, there;

    template <class T>
    __attribute__((always_inline)) void prefetch(int k) const
    {
        ask_for<T>(plane.mean, index + k);
        ask_for<T>(plane.other_mean, there + k);
        if (!plane.weight) return;
        ask_for<T>(plane.weight, index + k);
        ask_for<T>(plane.other_weight, there + k);
    }

  private:
    template <class T>
    __attribute__((always_inline)) static void ask_for(const void* array, long long k)
    {
        gpures::GPURES_ISA::prefetch(static_cast<const T*>(array) + k);
    }
};

// Calls work(V{}, k) for the pixels of n from the k-th on, as many at a time as V has lanes.
template <class Work>
inline void over_piece(int n, const Work& work, int k = 0)
{
    for (; k + LANES <= n; k += LANES) work(Vector{}, k);
    for (; k < n; ++k) work(0.0, k);
}

template <class T, class Work>
inline void over_piece(int n, const Ahead& ahead, const Work& work)
{
    constexpr int LINE = 64 / sizeof(T);  // what comes at once
    int k = 0;
    for (; k + LINE <= n; k += LINE) {
        ahead.prefetch<T>(k);
        for (int l = 0; l < LINE; l += LANES) work(Vector{}, k + l);
    }
    over_piece(n, work, k);
}

// Whether any weight is not 0: by their bits, as a comparison of what may be no number is slow.
template <class T>
inline bool has_weight(const T* weights, int n)
{
    using Bits = std::conditional_t<sizeof(T) == sizeof(unsigned), unsigned, unsigned long long>;
    Bits bits = 0;
    for (int k = 0; k < n; ++k) bits |= same_bits<Bits>(weights[k]) << 1;  // without the sign
    return bits != 0;
}

template <Squared SQUARED>
struct As {
    static constexpr Squared VALUE = SQUARED;
};

// A plane that has the weights of the mosaic, and these after it. (Addresses are copied, or they would be read again
// after each pixel that is written.)
template <class T>
void merge_with_weights(const MergedPlane& plane, int* beyond, const Ahead& next, long long index, long long there,
                        int n)
{
    const auto merge = [&, plane, beyond](auto squared) {
        over_piece<T>(n, next, [&](auto zero, int k) {
            using V = decltype(zero);
            const auto both = weights_of_both<V, T>(plane.weight, plane.other_weight, index + k, there + k);
            const Common<V> c = common_of_both(both.before, both.added);
            merge_mean<V, T, decltype(squared)::VALUE>(plane, c, index + k, there + k);
            put_total<V, T>(both, plane.weight, index + k, beyond);
        });
    };
    if (plane.squared == NOT_SQUARED) return merge(As<NOT_SQUARED>{});
    if (plane.squared == SQUARED_ERRORS) return merge(As<SQUARED_ERRORS>{});
    merge(As<SQUARED_VARIANCES>{});
}

// Weights, means and variances. Where the other has no weight nothing is written to: it would take memory.
template <class T>
void merge_planes(const Merge& m, long long index, long long there, int n)
{
    const bool any = has_weight(static_cast<const T*>(m.other_weight) + there, n);
    // The last of the planes that have the weights of the mosaic, with which these are merged; those before it have
    // what they have in common worked out once.
    int last = -1, before_it = 0;
    for (int p = 0; p < m.planes; ++p) {
        if (m.plane[p].weight) continue;
        before_it += last >= 0;
        last = p;
    }
    const auto plane_of = [&](int p) {
        MergedPlane plane = m.plane[p];
        if (p == last) {
            plane.weight = m.weight;
            plane.other_weight = m.other_weight;
        }
        return plane;
    };
    const auto ahead = [&](int p) -> Ahead {
        if (p < m.planes) return {plane_of(p), index, there};
        const MergedPlane weights = {m.weight, nullptr, m.other_weight, nullptr, 0};
        return {before_it ? weights : plane_of(0), index + n, there + n};  // of the next piece
    };
    PieceInCommon piece;
    if (any && before_it) {
        over_piece<T>(n, ahead(0), [&](auto zero, int k) {
            using V = decltype(zero);
            piece.keep(common_of_both<V, T>(m, index + k, there + k), k);
        });
    }
    for (int p = 0; p < m.planes; ++p) {
        const MergedPlane plane = plane_of(p);
        const Ahead next = ahead(p + 1);
        if (p == last) {
            if (any) merge_with_weights<T>(plane, m.beyond, next, index, there, n);
        } else if (plane.weight) {
            over_piece<T>(n, next,
                          [&](auto zero, int k) { merge_variance<decltype(zero), T>(plane, index + k, there + k); });
        } else if (any) {
            over_piece<T>(n, next, [&](auto zero, int k) {
                using V = decltype(zero);
                merge_plane<V, T>(plane, piece.common<V>(k), index + k, there + k);
            });
        }
    }
    if (any && last < 0) {
        over_piece(n, [&](auto zero, int k) { merge_weight<decltype(zero), T>(m, index + k, there + k); });
    }
}

inline bool has_bits(const unsigned* bits, int n)
{
    unsigned any = 0;
    for (int k = 0; k < n; ++k) any |= bits[k];
    return any != 0;
}

template <class T>
void merge_piece(const Merge& m, long long index, long long there, int n)
{
    merge_planes<T>(m, index, there, n);
    if (m.time) over_piece(n, [&](auto zero, int k) { merge_time<decltype(zero), T>(m, index + k, there + k); });
    if (m.dq && has_bits(m.other_dq + there, n)) merge_bits(m.dq + index, m.other_dq + there, n);
    for (int p = 0; p < m.other_planes; ++p) {
        if (has_bits(m.other_context + p * m.other_context_stride + there, n)) merge_context(m, p, index, there, n);
    }
    for (int p = 0; p < m.pair_planes; ++p) {
        for (int k = 0; k < n; ++k) merge_pairs(m, p, index + k, there + k);
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

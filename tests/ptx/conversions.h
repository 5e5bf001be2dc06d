// From each type to each.
#pragma once

#include <limits>

#include "machine.h"

namespace ptx {

enum Rounding { NEAREST, TO_INTEGER, TO_ZERO, DOWN, UP };

inline double rounded(double v, int how)
{
    switch (how) {
        case TO_INTEGER:
            return std::nearbyint(v);
        case TO_ZERO:
            return std::trunc(v);
        case DOWN:
            return std::floor(v);
        case UP:
            return std::ceil(v);
        default:
            return v;
    }
}

// The nearest there is. Of NaN: 0, but of a float64, or as 64 bits, the highest bit alone.
template <class I>
u64 integer_of(double v, const Instruction& i)
{
    const int size = i.to[0].size;
    if (v != v) return i.from.size < 8 && sizeof(I) < 8 ? 0 : narrowed(1ull << (8 * sizeof(I) - 1), size);
    v = rounded(v, i.mode);
    const double beyond = std::ldexp(1.0, 8 * sizeof(I) - std::is_signed_v<I>);
    if (v <= static_cast<double>(std::numeric_limits<I>::min()))
        return written(std::numeric_limits<I>::min(), size, false);
    if (v >= beyond) return written(std::numeric_limits<I>::max(), size, false);
    return written(static_cast<I>(v), size, false);
}

inline u64 integer_of(double v, const Instruction& i)
{
    const bool is_signed = i.type.kind == 's';
    switch (i.type.size) {
        case 1:
            return is_signed ? integer_of<s8>(v, i) : integer_of<u8>(v, i);
        case 2:
            return is_signed ? integer_of<s16>(v, i) : integer_of<u16>(v, i);
        case 4:
            return is_signed ? integer_of<s32>(v, i) : integer_of<u32>(v, i);
        default:
            return is_signed ? integer_of<s64>(v, i) : integer_of<u64>(v, i);
    }
}

inline void convert(Warp& w, const Instruction& i, u32 mask)
{
    u64* const to = w.row(i.to[0]);
    const u64* const of = w.row(i.of[0]);
    const int size = i.to[0].size;
    const bool from_signed = i.from.kind == 's';
    over_lanes(mask, [&](int l) {
        if (i.from.kind == 'f') {
            const double v = i.from.size == 4 ? read<float>(of[l], i.ftz) : as<double>(of[l]);
            if (i.type.kind != 'f')
                to[l] = integer_of(v, i);
            else if (i.type.size == 8)
                to[l] = written(rounded(v, i.mode), size, i.ftz);
            else
                to[l] = written(static_cast<float>(rounded(v, i.mode)), size, i.ftz);
            return;
        }
        const u64 v = from_signed ? extended(of[l], i.from.size) : narrowed(of[l], i.from.size);
        const s64 s = static_cast<s64>(v);
        if (i.type.is('f', 8))
            to[l] = written(from_signed ? static_cast<double>(s) : static_cast<double>(v), size, i.ftz);
        else if (i.type.is('f', 4))
            to[l] = written(from_signed ? static_cast<float>(s) : static_cast<float>(v), size, i.ftz);
        else
            to[l] = narrowed(i.type.kind == 's' ? extended(v, i.type.size) : narrowed(v, i.type.size), size);
    });
}

}  // namespace ptx

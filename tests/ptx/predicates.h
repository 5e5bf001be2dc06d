// Predicates: of comparisons, and of other predicates.
#pragma once

#include "machine.h"

namespace ptx {

enum Compare { EQ, NE, LT, LE, GT, GE, NUM, UNORDERED = 8 };  // UNORDERED: and if either is NaN

template <class T>
bool compared(int how, T a, T b)
{
    if constexpr (std::is_floating_point_v<T>) {
        if (a != a || b != b) return how & UNORDERED;
    }
    switch (how & ~UNORDERED) {
        case EQ:
            return a == b;
        case NE:
            return a != b;
        case LT:
            return a < b;
        case LE:
            return a <= b;
        case GT:
            return a > b;
        case GE:
            return a >= b;
        default:
            return how == NUM;
    }
}

enum Logic { FIRST, AND, OR, XOR, NOT };

inline u32 combined(int how, u32 a, u32 b)
{
    switch (how) {
        case AND:
            return a & b;
        case OR:
            return a | b;
        case XOR:
            return a ^ b;
        case NOT:
            return ~a;
        default:
            return a;
    }
}

// A comparison, and its opposite, each combined with another predicate.
template <class T>
void compare(Warp& w, const Instruction& i, u32 mask)
{
    const u64 *a = w.row(i.of[0]), *b = w.row(i.of[1]);
    u32 holds = 0;
    over_lanes(mask, [&](int l) {
        holds |= static_cast<u32>(compared(i.compare, read<T>(a[l], i.ftz), read<T>(b[l], i.ftz))) << l;
    });
    const u32 other = i.of_predicates.empty() ? 0 : w.lanes_of(i.of_predicates[0]);
    const u32 opposite = combined(i.mode, ~holds, other);
    w.set(i.to_predicates[0], mask, combined(i.mode, holds, other));
    if (i.to_predicates.size() > 1) w.set(i.to_predicates[1], mask, opposite);
}

inline void combine_predicates(Warp& w, const Instruction& i, u32 mask)
{
    // A constant is no predicate.
    const u32 a = i.of_predicates.empty() ? (w.row(i.of[0])[0] ? ALL : 0) : w.lanes_of(i.of_predicates[0]);
    w.set(i.to_predicates[0], mask,
          combined(i.mode, a, i.of_predicates.size() > 1 ? w.lanes_of(i.of_predicates[1]) : 0));
}

}  // namespace ptx

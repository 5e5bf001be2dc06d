// What the lanes of a warp tell each other: shuffles and votes.
#pragma once

#include "machine.h"

namespace ptx {

// Fails unless all lanes that a mask names, and are left, are here, and only those.
inline void check_members(Warp& w, const Instruction& i, u32 mask, const Operand& members)
{
    over_lanes(mask, [&](int l) {
        const u32 named = as<u32>(w.row(members)[l]);
        if ((named & w.alive) != mask) fail(i, "other lanes of a warp are here than the mask names");
    });
}

enum Shuffle { UPWARDS, DOWNWARDS, ACROSS, INDEXED };

inline void shuffle(Warp& w, const Instruction& i, u32 mask)
{
    check_members(w, i, mask, i.of[3]);
    u64 before[LANES];
    std::memcpy(before, w.row(i.of[0]), sizeof before);
    u64* const to = w.row(i.to[0]);
    const u64 *by = w.row(i.of[1]), *bounds = w.row(i.of[2]);
    u32 inside = 0;
    over_lanes(mask, [&](int l) {
        const int n = by[l] & 31, segment = bounds[l] >> 8 & 31, clamp = bounds[l] & 31;
        const int last = (l & segment) | (clamp & ~segment);
        int from = 0;
        switch (i.mode) {
            case UPWARDS:
                from = l - n;
                break;
            case DOWNWARDS:
                from = l + n;
                break;
            case ACROSS:
                from = l ^ n;
                break;
            default:
                from = (l & segment) | (n & ~segment);
        }
        const bool is_inside = i.mode == UPWARDS ? from >= last : from <= last;
        if (!is_inside) from = l;
        if (!(mask >> from & 1)) fail(i, "a value is taken from a lane that is not here");
        inside |= static_cast<u32>(is_inside) << l;
        to[l] = narrowed(before[from], 4);
    });
    if (!i.to_predicates.empty()) w.set(i.to_predicates[0], mask, inside);
}

enum Vote { EVERYONE, ANYONE, ALIKE, BALLOT };

inline void vote(Warp& w, const Instruction& i, u32 mask)
{
    check_members(w, i, mask, i.of[0]);
    const u32 yes = w.lanes_of(i.of_predicates[0]) & mask;
    if (i.mode == BALLOT) {
        over_lanes(mask, [&](int l) { w.row(i.to[0])[l] = yes; });
        return;
    }
    const bool holds = i.mode == ANYONE ? yes != 0 : yes == mask || (i.mode == ALIKE && yes == 0);
    w.set(i.to_predicates[0], mask, holds ? ALL : 0);
}

inline void active_lanes(Warp& w, const Instruction& i, u32 mask)
{
    over_lanes(mask, [&](int l) { w.row(i.to[0])[l] = mask; });
}

inline void wait_for_lanes(Warp& w, const Instruction& i, u32 mask) { check_members(w, i, mask, i.of[0]); }

}  // namespace ptx

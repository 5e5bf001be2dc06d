// Loads, stores and atomics: where they may reach, what they cost, and who else is there.
#pragma once

#include <algorithm>
#include <cstdio>

#include "arithmetic.h"

namespace ptx {

enum class How { READS, READS_ONLY, WRITES, ADDS, SETS };

// Notes what is done to words or bytes, by a thread or a warp that is number `who`. A race is what is done by several,
// unless all read, all do it atomically, all write the same, or some look at bits that others set and none clears.
inline void note(const Instruction& i, Touched* touched, int size, u32 who, How how, const u8* value)
{
    const auto by_others = [&](u32 before) { return before && before != who; };
    const auto noted = [&](u32 before) { return by_others(before) ? Touched::MANY : who; };
    const int each = size < 4 ? 1 : 4;
    for (int at = 0; at < size; at += each) {
        Touched& t = *touched++;
        if (how == How::READS || how == How::READS_ONLY) {
            if (by_others(t.writer)) fail(i, "a race: what others write is read");
            if (how == How::READS_ONLY && (t.writer || t.added || t.set))
                fail(i, "what is written is read as constant");
            if (t.added) fail(i, "a race: what is added to is read");
            t.reader = noted(t.reader);
            t.read_only |= how == How::READS_ONLY;
            continue;
        }
        if (t.read_only) fail(i, "what was read as constant is written");
        if (how == How::WRITES) {
            u32 now = 0;
            std::memcpy(&now, value + at, each);
            if (by_others(t.reader)) fail(i, "a race: what others read is written");
            if (by_others(t.writer) && t.value != now) fail(i, "a race: others write something else");
            if (t.added || t.set) fail(i, "a race: what is changed atomically is written");
            t.writer = noted(t.writer);
            t.value = now;
            continue;
        }
        if (t.writer) fail(i, "a race: what is written is changed atomically");
        if (how == How::ADDS && t.reader) fail(i, "a race: what is read is added to");
        (how == How::ADDS ? t.added : t.set) = true;
    }
}

// The bytes at an address, if it is one of an array.
inline u8* in_global(Warp& w, const Instruction& i, int lane, u64 address, int size)
{
    const std::vector<Range>& memory = w.launch->memory;
    const auto holds = [&](std::size_t k) {
        return k < memory.size() && address >= memory[k].begin && address + size <= memory[k].end;
    };
    if (!holds(w.last_range)) {
        const auto after =
            std::upper_bound(memory.begin(), memory.end(), address, [](u64 a, const Range& r) { return a < r.begin; });
        w.last_range = static_cast<std::size_t>(after - memory.begin()) - 1;
        if (!holds(w.last_range)) {
            char text[80];
            std::snprintf(text, sizeof text, "lane %d is beside an array, at %#llx", lane,
                          static_cast<unsigned long long>(address));
            fail(i, text);
        }
    }
    return reinterpret_cast<u8*>(address);
}

inline u8* inside(const Instruction& i, u8* begin, u64 bytes, u64 address, int size, const char* what)
{
    if (address > bytes || address + size > bytes) fail(i, std::string("an address beside ") + what);
    return begin + address;
}

// Of registers of 32 bits it wraps, as they do.
inline u64 address_of(Warp& w, const Instruction& i, int lane)
{
    return narrowed(w.row(i.address)[lane] + i.offset, i.address.size);
}

// The bytes that an access is to, after all that can be wrong with it was looked for.
inline u8* reached(Warp& w, const Instruction& i, int lane, int size, How how, u64* value = nullptr)
{
    u64 address = address_of(w, i, lane);
    if (address % size) fail(i, "a misaligned address, " + std::to_string(address));
    Space space = i.space;
    if (space == Space::GENERIC) {
        space = address & LOCAL_WINDOW ? Space::LOCAL : address & SHARED_WINDOW ? Space::SHARED : Space::GLOBAL;
        address &= ~(LOCAL_WINDOW | SHARED_WINDOW);
    }
    const u8* const bytes = reinterpret_cast<const u8*>(value);
    if (space == Space::GLOBAL) {
        u8* const at = in_global(w, i, lane, address, size);
        const Range& range = w.launch->memory[w.last_range];
        Shadow& shadow = w.launch->touched[w.last_range];
        Touched* const touched = shadow.of(address - range.begin, size, range.end - range.begin);
        note(i, touched, size, w.first_thread + lane + 1, how, bytes);
        return at;
    }
    if (space == Space::SHARED) {
        u8* const at = inside(i, w.block->shared.data(), w.block->shared.size(), address, size, "shared memory");
        note(i, w.block->touched.of(address, size, w.block->shared.size()), size, w.number + 1, how, bytes);
        return at;
    }
    if (space == Space::LOCAL) {
        const u64 all = w.launch->kernel.local_bytes;
        return inside(i, w.local.data() + lane * all, all, address, size, "local memory");
    }
    std::vector<u8>& parameters = w.launch->parameters;
    return inside(i, parameters.data(), parameters.size(), address, size, "the parameters");
}

// Counts what a warp's access to global memory asks for.
inline void count(Warp& w, const Instruction& i, u32 mask, int size)
{
    if (i.space != Space::GLOBAL) return;
    u64 sectors[LANES], words[LANES];
    int n = 0;
    over_lanes(mask, [&](int l) {
        const u64 address = address_of(w, i, l);
        sectors[n] = address / 32;
        words[n++] = address / size;
    });
    std::sort(sectors, sectors + n);
    std::sort(words, words + n);
    int busiest = 0, same = 0;
    for (int k = 0; k < n; ++k) {
        same = k && words[k] == words[k - 1] ? same + 1 : 1;
        busiest = std::max(busiest, same);
    }
    i.counts.busiest += busiest;
    i.counts.sectors += std::unique(sectors, sectors + n) - sectors;
    i.counts.words += std::unique(words, words + n) - words;
}

inline void load(Warp& w, const Instruction& i, u32 mask)
{
    const int each = i.type.size, size = each * static_cast<int>(i.to.size());
    count(w, i, mask, size);
    over_lanes(mask, [&](int l) {
        const u8* at = reached(w, i, l, size, i.read_only ? How::READS_ONLY : How::READS);
        u64 all[4] = {};
        for (std::size_t k = 0; k < i.to.size(); ++k) std::memcpy(&all[k], at + each * k, each);
        for (std::size_t k = 0; k < i.to.size(); ++k) {
            w.row(i.to[k])[l] = narrowed(i.type.kind == 's' ? extended(all[k], each) : all[k], i.to[k].size);
        }
    });
}

inline void store(Warp& w, const Instruction& i, u32 mask)
{
    const int each = i.type.size, size = each * static_cast<int>(i.of.size());
    count(w, i, mask, size);
    over_lanes(mask, [&](int l) {
        u64 all[4] = {};
        u8* const bytes = reinterpret_cast<u8*>(all);
        for (std::size_t k = 0; k < i.of.size(); ++k) std::memcpy(bytes + each * k, &w.row(i.of[k])[l], each);
        std::memcpy(reached(w, i, l, size, How::WRITES, all), bytes, size);
    });
}

// Lane after lane; which comes first nobody can know, nor here.
template <class T, class F>
void change(Warp& w, const Instruction& i, u32 mask)
{
    count(w, i, mask, sizeof(T));
    const u64* const by = w.row(i.of[0]);
    const How how = std::is_same_v<F, Or> ? How::SETS : How::ADDS;
    const int first = static_cast<int>(w.launch->random() % LANES);
    for (int k = 0; k < LANES; ++k) {
        const int l = (first + k) % LANES;
        if (!(mask >> l & 1)) continue;
        u8* const at = reached(w, i, l, sizeof(T), how);
        T before;
        std::memcpy(&before, at, sizeof(T));
        const T after = F()(before, as<T>(by[l]));
        std::memcpy(at, &after, sizeof(T));
        if (!i.to.empty()) w.row(i.to[0])[l] = written(before, i.to[0].size, false);
    }
}

}  // namespace ptx

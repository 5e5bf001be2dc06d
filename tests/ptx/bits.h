// Bits moved about, lane by lane: copies, shifts, and parts of registers.
#pragma once

#include <algorithm>

#include "machine.h"

namespace ptx {

// By the type's bits or more: zeros, or copies of the sign.
template <class T, bool LEFT>
void shift(Warp& w, const Instruction& i, u32 mask)
{
    u64* const to = w.row(i.to[0]);
    const u64 *a = w.row(i.of[0]), *b = w.row(i.of[1]);
    constexpr u32 most = 8 * sizeof(T) - 1;
    over_lanes(mask, [&](int l) {
        const T v = as<T>(a[l]);
        const u32 n = as<u32>(b[l]);
        T shifted = 0;
        if (n <= most)
            shifted = static_cast<T>(LEFT ? static_cast<u64>(v) << n : v >> n);
        else if (!LEFT)
            shifted = static_cast<T>(v >> most >> (std::is_signed_v<T> ? 0 : 1));
        to[l] = written(shifted, i.to[0].size, false);
    });
}

// The high 32 bits of two registers, shifted to the left, or the low ones, to the right.
template <bool LEFT>
void shift_both(Warp& w, const Instruction& i, u32 mask)
{
    u64* const to = w.row(i.to[0]);
    const u64 *low = w.row(i.of[0]), *high = w.row(i.of[1]), *by = w.row(i.of[2]);
    over_lanes(mask, [&](int l) {
        const u64 both = (high[l] << 32) | narrowed(low[l], 4);
        const u32 n = i.has("wrap") ? by[l] & 31 : static_cast<u32>(std::min<u64>(by[l], 32));
        to[l] = narrowed(LEFT ? both << n >> 32 : both >> n, 4);
    });
}

// A copy; several registers packed into one, or one unpacked.
inline void move(Warp& w, const Instruction& i, u32 mask)
{
    const int each = i.type.size / static_cast<int>(std::max(i.to.size(), i.of.size()));
    over_lanes(mask, [&](int l) {
        u64 bits = 0;
        for (std::size_t k = 0; k < i.of.size(); ++k) {
            bits |= narrowed(w.row(i.of[k])[l], i.of.size() > 1 ? each : i.type.size) << (8 * each * k) % 64;
        }
        for (std::size_t k = 0; k < i.to.size(); ++k) {
            w.row(i.to[k])[l] = narrowed(bits >> (8 * each * k) % 64, i.to.size() > 1 ? each : i.type.size);
        }
    });
}

// An address of a space made generic, or back.
inline void convert_address(Warp& w, const Instruction& i, u32 mask)
{
    const u64 window = i.space == Space::SHARED ? SHARED_WINDOW : i.space == Space::LOCAL ? LOCAL_WINDOW : 0;
    u64* const to = w.row(i.to[0]);
    const u64* of = w.row(i.of[0]);
    over_lanes(mask, [&](int l) { to[l] = i.has("to") ? of[l] - window : of[l] + window; });
}

inline void select(Warp& w, const Instruction& i, u32 mask)
{
    u64* const to = w.row(i.to[0]);
    const u64 *yes = w.row(i.of[0]), *no = w.row(i.of[1]);
    const u32 which = w.lanes_of(i.of_predicates[0]);
    over_lanes(mask, [&](int l) { to[l] = which >> l & 1 ? yes[l] : no[l]; });
}

// Bits of a value, from `at` on; beyond its end zeros, or copies of its sign.
template <class T>
void extract_bits(Warp& w, const Instruction& i, u32 mask)
{
    u64* const to = w.row(i.to[0]);
    const u64 *of = w.row(i.of[0]), *begin = w.row(i.of[1]), *length = w.row(i.of[2]);
    constexpr int last = 8 * sizeof(T) - 1;
    over_lanes(mask, [&](int l) {
        const int at = begin[l] & 255, count = length[l] & 255;
        const u64 sign = std::is_signed_v<T> && count ? of[l] >> std::min(at + count - 1, last) & 1 : 0;
        u64 bits = 0;
        for (int k = 0; k <= last; ++k) bits |= (k < count && at + k <= last ? of[l] >> (at + k) & 1 : sign) << k;
        to[l] = bits;
    });
}

// Bits of one value put into another.
inline void insert_bits(Warp& w, const Instruction& i, u32 mask)
{
    u64* const to = w.row(i.to[0]);
    const u64 *of = w.row(i.of[0]), *into = w.row(i.of[1]), *begin = w.row(i.of[2]), *length = w.row(i.of[3]);
    const int all = 8 * i.type.size;
    over_lanes(mask, [&](int l) {
        const int at = begin[l] & 255, count = length[l] & 255;
        u64 bits = into[l];
        for (int k = 0; k < count && at + k < all; ++k) {
            bits = (bits & ~(1ull << (at + k))) | (of[l] >> k & 1) << (at + k);
        }
        to[l] = bits;
    });
}

// Four of the eight bytes of two registers; of each that, or its sign alone.
inline void permute_bytes(Warp& w, const Instruction& i, u32 mask)
{
    u64* const to = w.row(i.to[0]);
    const u64 *low = w.row(i.of[0]), *high = w.row(i.of[1]), *which = w.row(i.of[2]);
    over_lanes(mask, [&](int l) {
        const u64 both = narrowed(low[l], 4) | high[l] << 32;
        u64 bits = 0;
        for (int k = 0; k < 4; ++k) {
            const u64 byte = both >> (8 * (which[l] >> (4 * k) & 7)) & 255;
            bits |= (which[l] >> (4 * k) & 8 ? (byte & 128 ? 255 : 0) : byte) << (8 * k);
        }
        to[l] = bits;
    });
}

}  // namespace ptx

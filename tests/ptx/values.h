// The types of PTX, and values of them in registers: 64 bits each, of which a type takes the lowest.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace ptx {

typedef std::uint64_t u64;
typedef std::uint32_t u32;
typedef std::uint16_t u16;
typedef std::uint8_t u8;
typedef std::int64_t s64;
typedef std::int32_t s32;
typedef std::int16_t s16;
typedef std::int8_t s8;

struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Type {
    char kind = 0;  // b, u, s, f as in b32 and so on; p: a predicate; 0: none
    int size = 0;   // bytes

    bool is(char k, int bytes) const { return kind == k && size == bytes; }
};

inline Type type_named(const std::string& s)
{
    if (s == "pred") return {'p', 0};
    if (s.size() < 2 || s.size() > 3 || !std::strchr("busf", s[0])) return {};
    for (int size : {1, 2, 4, 8}) {
        if (s.substr(1) == std::to_string(8 * size)) return {s[0], size};
    }
    return {};
}

template <class T>
T as(u64 bits)
{
    T v;
    std::memcpy(&v, &bits, sizeof v);  // little endian: the low bytes
    return v;
}

inline u64 narrowed(u64 bits, int size) { return size == 8 ? bits : bits & ((1ull << (8 * size)) - 1); }

// The bits of an integer of so many bytes, those of its sign before them.
inline u64 extended(u64 bits, int size)
{
    const int unused = 64 - 8 * size;
    return static_cast<u64>(static_cast<s64>(bits << unused) >> unused);
}

inline float flushed(float v) { return std::fpclassify(v) == FP_SUBNORMAL ? std::copysign(0.0f, v) : v; }

// What an instruction reads of a register. `ftz`: it takes float32's subnormal numbers for 0.
template <class T>
T read(u64 bits, bool ftz)
{
    if constexpr (std::is_same_v<T, float>) {
        return ftz ? flushed(as<float>(bits)) : as<float>(bits);
    } else {
        return as<T>(bits);
    }
}

// What it writes to a register of so many bytes.
template <class T>
u64 written(T v, int size, bool ftz)
{
    u64 bits = 0;
    if constexpr (std::is_same_v<T, float>) {
        const float f = ftz ? flushed(v) : v;
        std::memcpy(&bits, &f, sizeof f);
    } else {
        std::memcpy(&bits, &v, sizeof v);
        if constexpr (std::is_signed_v<T> && std::is_integral_v<T>) bits = extended(bits, sizeof v);
    }
    return narrowed(bits, size);
}

}  // namespace ptx

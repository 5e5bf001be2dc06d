// Reading a row of a View as doubles or as bits, whatever its type, byte order and strides.
#pragma once

#include <cstdint>

#include "../view.h"
#include "simd.h"

GPURES_BEGIN

template <class T, class Out>
inline void convert_plain_row(const char* p, int n, Out* out)
{
    for (int k = 0; k < n; ++k) out[k] = static_cast<Out>(element<T>(p + k * sizeof(T), false));
}

// The commonest of all.
template <>
inline void convert_plain_row<float, double>(const char* p, int n, double* out)
{
    const float* from = reinterpret_cast<const float*>(p);
    int k = 0;
    for (; k + LANES <= n; k += LANES) store(load(from + k), out + k);
    for (p += k * sizeof(float); k < n; ++k, p += sizeof(float)) out[k] = element<float>(p, false);
}

template <class T, class Out>
inline void convert_row(const char* p, long stride, bool swapped, int n, Out* out)
{
    // The first branches are the common cases, kept apart for the vectoriser.
    if (stride == sizeof(T) && !swapped) {
        convert_plain_row<T>(p, n, out);
    } else if (stride == sizeof(T)) {
        for (int k = 0; k < n; ++k) out[k] = static_cast<Out>(element<T>(p + k * sizeof(T), true));
    } else {
        for (int k = 0; k < n; ++k) out[k] = static_cast<Out>(element<T>(p + k * stride, swapped));
    }
}

// Integers narrower than Out are extended by their sign.
template <class Out>
inline void read_row(const View& v, long j, long i, int n, Out* out)
{
    const char* p = v.data + j * v.row_stride + i * v.column_stride;
    switch (v.type) {
        case I1:
            return convert_row<std::int8_t>(p, v.column_stride, v.swapped, n, out);
        case U1:
            return convert_row<std::uint8_t>(p, v.column_stride, v.swapped, n, out);
        case I2:
            return convert_row<std::int16_t>(p, v.column_stride, v.swapped, n, out);
        case U2:
            return convert_row<std::uint16_t>(p, v.column_stride, v.swapped, n, out);
        case I4:
            return convert_row<std::int32_t>(p, v.column_stride, v.swapped, n, out);
        case U4:
            return convert_row<std::uint32_t>(p, v.column_stride, v.swapped, n, out);
        case I8:
            return convert_row<std::int64_t>(p, v.column_stride, v.swapped, n, out);
        case U8:
            return convert_row<std::uint64_t>(p, v.column_stride, v.swapped, n, out);
        case F4:
            return convert_row<float>(p, v.column_stride, v.swapped, n, out);
        case F8:
            return convert_row<double>(p, v.column_stride, v.swapped, n, out);
    }
}

// Asks for memory that will be written to soon.
template <class T>
__attribute__((always_inline)) inline void expect(const T* p)
{
#if defined(__GNUC__)
    __builtin_prefetch(p, 1);
#endif
}

// Asks for the memory of a row, which read_row() will want soon: pieces this short are no pattern to a processor.
__attribute__((always_inline)) inline void expect_row(const View& v, long j, long i, int n)
{
#if defined(__GNUC__)
    if (!v.data) return;
    constexpr long LINE = 64;  // bytes that come at once
    const char* p = v.data + j * v.row_stride + i * v.column_stride;
    const long apart = v.column_stride < 0 ? -v.column_stride : v.column_stride;
    const int at_once = apart > 0 && apart < LINE ? static_cast<int>(LINE / apart) : 1;
    for (int k = 0; k < n; k += at_once) __builtin_prefetch(p + k * v.column_stride);
    __builtin_prefetch(p + (n - 1) * v.column_stride);
#endif
}

GPURES_END

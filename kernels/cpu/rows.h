// Reading a row of a View as doubles or as bits, whatever its type, byte order and strides.
#pragma once

#include <cstring>

#include "../portable.h"
#include "exposure.h"

GPURES_BEGIN

template <class T>
inline T element(const char* p, bool swapped)
{
    T value;
    if (swapped && sizeof(T) > 1) {
        char bytes[sizeof(T)];
        for (unsigned k = 0; k < sizeof(T); ++k) bytes[k] = p[sizeof(T) - 1 - k];
        std::memcpy(&value, bytes, sizeof(T));
    } else {
        std::memcpy(&value, p, sizeof(T));
    }
    return value;
}

template <class T, class Out>
inline void convert_row(const char* p, long stride, bool swapped, int n, Out* out)
{
    // The first branch is the common case, kept apart for the vectoriser.
    if (stride == sizeof(T) && !swapped) {
        for (int k = 0; k < n; ++k) out[k] = static_cast<Out>(element<T>(p + k * sizeof(T), false));
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
        case Type::i1:
            return convert_row<std::int8_t>(p, v.column_stride, v.swapped, n, out);
        case Type::u1:
            return convert_row<std::uint8_t>(p, v.column_stride, v.swapped, n, out);
        case Type::i2:
            return convert_row<std::int16_t>(p, v.column_stride, v.swapped, n, out);
        case Type::u2:
            return convert_row<std::uint16_t>(p, v.column_stride, v.swapped, n, out);
        case Type::i4:
            return convert_row<std::int32_t>(p, v.column_stride, v.swapped, n, out);
        case Type::u4:
            return convert_row<std::uint32_t>(p, v.column_stride, v.swapped, n, out);
        case Type::i8:
            return convert_row<std::int64_t>(p, v.column_stride, v.swapped, n, out);
        case Type::u8:
            return convert_row<std::uint64_t>(p, v.column_stride, v.swapped, n, out);
        case Type::f4:
            return convert_row<float>(p, v.column_stride, v.swapped, n, out);
        case Type::f8:
            return convert_row<double>(p, v.column_stride, v.swapped, n, out);
    }
}

GPURES_END

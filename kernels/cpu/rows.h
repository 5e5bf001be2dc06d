// Reading a row of a View as doubles or as bits, whatever its type, byte order and strides.
#pragma once

#include <cstdint>

#include "../view.h"

GPURES_BEGIN

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

GPURES_END

// Reading a row of a View as doubles or as bits, whatever its type, byte order and strides.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../tiles.h"
#include "maths.h"

GPURES_BEGIN

template <class T, class Out>
inline void convert_row(const char* p, std::ptrdiff_t stride, bool swapped, int n, Out* out)
{
    // The first branches are the common cases, kept apart for the vectoriser.
    if (stride == sizeof(T) && !swapped) {
        for (int k = 0; k < n; ++k) out[k] = converted<Out>(element<T>(p + k * sizeof(T), false));
    } else if (stride == sizeof(T)) {
        for (int k = 0; k < n; ++k) out[k] = converted<Out>(element<T>(p + k * sizeof(T), true));
    } else {
        for (int k = 0; k < n; ++k) out[k] = converted<Out>(element<T>(p + k * stride, swapped));
    }
}

// n pixels of a row, `converted` to type Out.
template <class Out>
inline void read_row(const View& v, std::ptrdiff_t j, std::ptrdiff_t i, int n, Out* out)
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

// A row of n pixels as doubles, in vectors: take(v, k) gets the pixels from the k-th on. Behind the last there are none
// to see, and the last vector may end with it, over pixels that another one has had.
template <class Take>
inline void read_vectors(const View& v, std::ptrdiff_t j, std::ptrdiff_t i, int n, const Take& take)
{
    if (v.type == F4 && v.column_stride == sizeof(float) && !v.swapped && n >= LANES) {
        const char* p = v.data + j * v.row_stride + i * static_cast<std::ptrdiff_t>(sizeof(float));
        const auto at = [&](int k) { return load_floats(p + k * sizeof(float)); };
        int k = 0;
        for (; k + LANES <= n; k += LANES) take(at(k), k);
        if (k < n) take(at(n - LANES), n - LANES);
        return;
    }
    double pixels[BLOCK_WIDTH + LANES];
    read_row(v, j, i, n, pixels);
    store(Vector{}, pixels + n);
    for (int k = 0; k < n; k += LANES) take(load(pixels + k), k);
}

// Asks for memory that will be written to soon. (Inlined by force, as compilers leave out calls of functions that do
// nothing else.)
template <class T>
__attribute__((always_inline)) inline void prefetch(const T* p)
{
#if defined(__GNUC__)
    __builtin_prefetch(p, 1);
#endif
}

// Asks for the memory of a row, which will be read soon: pieces this short are no pattern to a processor.
__attribute__((always_inline)) inline void prefetch_row(const View& v, std::ptrdiff_t j, std::ptrdiff_t i, int n)
{
#if defined(__GNUC__)
    if (!v.data) return;
    constexpr std::ptrdiff_t LINE = 64;  // bytes that come at once
    const std::ptrdiff_t stride = v.column_stride, apart = stride < 0 ? -stride : stride;
    const char* first = v.data + j * v.row_stride + i * stride + (stride < 0 ? (n - 1) * stride : 0);
    const std::ptrdiff_t last = (n - 1) * apart, step = apart > LINE ? apart : LINE;
    for (std::ptrdiff_t k = 0; k < last; k += step) __builtin_prefetch(first + k);
    __builtin_prefetch(first + last);
#endif
}

GPURES_END

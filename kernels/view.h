// Reading one element of a View, whatever its type and byte order.
#pragma once

#include "exposure.h"
#include "portable.h"

GPURES_BEGIN

template <int SIZE>
struct Bits;
template <>
struct Bits<1> {
    typedef unsigned char Word;
};
template <>
struct Bits<2> {
    typedef unsigned short Word;
};
template <>
struct Bits<4> {
    typedef unsigned Word;
};
template <>
struct Bits<8> {
    typedef unsigned long long Word;
};

GPURES_FN unsigned char reversed(unsigned char v) { return v; }
GPURES_FN unsigned short reversed(unsigned short v) { return static_cast<unsigned short>(v << 8 | v >> 8); }
GPURES_FN unsigned reversed(unsigned v) { return v << 24 | (v & 0xff00u) << 8 | (v >> 8 & 0xff00u) | v >> 24; }
GPURES_FN unsigned long long reversed(unsigned long long v)
{
    return static_cast<unsigned long long>(reversed(static_cast<unsigned>(v))) << 32 |
           reversed(static_cast<unsigned>(v >> 32));
}

template <class T>
GPURES_FN T element(const char* p, bool swapped)
{
    typedef typename Bits<sizeof(T)>::Word Word;
    const Word word = word_at<Word>(p);
    return same_bits<T>(swapped ? reversed(word) : word);
}

// A number of another type; where that is unsigned, the bits of an integer, with zeros above them.
template <class Out, class T>
GPURES_FN Out converted(T v)
{
    typedef typename Bits<sizeof(T)>::Word Word;
    constexpr bool of_bits = Out(-1) > Out(0);
    return of_bits ? static_cast<Out>(same_bits<Word>(v)) : static_cast<Out>(v);
}

// Element (j, i) as a number of type Out, see `converted`.
template <class Out>
GPURES_FN Out value_at(const View& v, long long j, long long i)
{
    const char* p = v.data + j * v.row_stride + i * v.column_stride;
    switch (v.type) {
        case I1:
            return converted<Out>(element<signed char>(p, false));
        case U1:
            return converted<Out>(element<unsigned char>(p, false));
        case I2:
            return converted<Out>(element<short>(p, v.swapped));
        case U2:
            return converted<Out>(element<unsigned short>(p, v.swapped));
        case I4:
            return converted<Out>(element<int>(p, v.swapped));
        case U4:
            return converted<Out>(element<unsigned>(p, v.swapped));
        case I8:
            return converted<Out>(element<long long>(p, v.swapped));
        case U8:
            return converted<Out>(element<unsigned long long>(p, v.swapped));
        case F4:
            return converted<Out>(widened(element<float>(p, v.swapped)));
        default:
            return converted<Out>(element<double>(p, v.swapped));
    }
}

// Element (j, i) of BITS.
GPURES_FN unsigned bit_at(const View& v, long long j, long long i)
{
    return word_at<unsigned char>(v.data + j * v.row_stride + (i >> 3)) >> (i & 7) & 1u;
}

GPURES_END

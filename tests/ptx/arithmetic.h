// Numbers out of numbers, lane by lane.
#pragma once

#include <algorithm>
#include <utility>

#include "machine.h"

namespace ptx {

template <class T, class F, std::size_t... N>
void computed(Warp& w, const Instruction& i, u32 mask, std::index_sequence<N...>)
{
    u64* const to = w.row(i.to[0]);
    const u64* const of[] = {w.row(i.of[N])...};
    const int size = i.to[0].size;
    over_lanes(mask, [&](int l) { to[l] = written(F()(read<T>(of[N][l], i.ftz)...), size, i.ftz); });
}

// F of N operands of type T.
template <class T, class F, int N>
void compute(Warp& w, const Instruction& i, u32 mask)
{
    computed<T, F>(w, i, mask, std::make_index_sequence<N>());
}

// Integers wrap.
template <class T, class Work>
T wrapped(T a, T b, const Work& work)
{
    if constexpr (std::is_integral_v<T>)
        return static_cast<T>(work(static_cast<u64>(a), static_cast<u64>(b)));
    else
        return work(a, b);
}

struct Add {
    template <class T>
    T operator()(T a, T b) const
    {
        return wrapped(a, b, [](auto x, auto y) { return x + y; });
    }
};

// As memory adds floats that lie in it: subnormal ones count as 0.
struct AddInMemory {
    float operator()(float a, float b) const { return flushed(flushed(a) + flushed(b)); }
};

struct Sub {
    template <class T>
    T operator()(T a, T b) const
    {
        return wrapped(a, b, [](auto x, auto y) { return x - y; });
    }
};

struct Mul {
    template <class T>
    T operator()(T a, T b) const
    {
        return wrapped(a, b, [](auto x, auto y) { return x * y; });
    }
};

struct MulAdd {
    template <class T>
    T operator()(T a, T b, T c) const
    {
        return Add()(Mul()(a, b), c);
    }
};

template <class T>
using Twice =
    std::conditional_t<sizeof(T) == 2, std::conditional_t<std::is_signed_v<T>, s32, u32>,
                       std::conditional_t<sizeof(T) == 4, std::conditional_t<std::is_signed_v<T>, s64, u64>,
                                          std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>>>;

struct MulHigh {
    template <class T>
    T operator()(T a, T b) const
    {
        return static_cast<T>((static_cast<Twice<T>>(a) * b) >> (8 * sizeof(T)));
    }
};

struct MulWide {
    template <class T>
    Twice<T> operator()(T a, T b) const
    {
        return static_cast<Twice<T>>(a) * b;
    }
};

// a / b or a % b of integers. What GPUs make of a division by zero nothing may depend on.
template <class T, class Work>
T divided(T a, T b, const Work& work)
{
    if (b == 0) throw Error("an integer is divided by zero");
    if (std::is_signed_v<T> && b == T(-1)) return work(static_cast<T>(0) - a, static_cast<T>(1));
    return static_cast<T>(work(a, b));
}

struct Div {
    template <class T>
    T operator()(T a, T b) const
    {
        if constexpr (std::is_floating_point_v<T>)
            return a / b;
        else
            return divided(a, b, [](auto x, auto y) { return x / y; });
    }
};

struct Rem {
    template <class T>
    T operator()(T a, T b) const
    {
        return divided(a, b, [](auto x, auto y) { return x % y; });
    }
};

struct Fma {
    template <class T>
    T operator()(T a, T b, T c) const
    {
        return std::fma(a, b, c);
    }
};

struct Rcp {
    template <class T>
    T operator()(T a) const
    {
        return T(1) / a;
    }
};

struct PowerOfTwo {
    template <class T>
    T operator()(T a) const
    {
        return std::exp2(a);
    }
};

struct Sqrt {
    template <class T>
    T operator()(T a) const
    {
        return std::sqrt(a);
    }
};

struct Neg {
    template <class T>
    T operator()(T a) const
    {
        if constexpr (std::is_floating_point_v<T>)
            return -a;
        else
            return Sub()(T(0), a);
    }
};

struct Abs {
    template <class T>
    T operator()(T a) const
    {
        if constexpr (std::is_floating_point_v<T>)
            return std::fabs(a);
        else
            return a < 0 ? Neg()(a) : a;
    }
};

// Of a number and NaN the number; -0 is less than 0.
template <class T, class Work>
T extreme(T a, T b, bool negative, const Work& is_better)
{
    if constexpr (std::is_floating_point_v<T>) {
        if (a != a) return b;
        if (b != b) return a;
        if (a == b) return std::signbit(a) == negative ? a : b;
    }
    return is_better(a, b) ? a : b;
}

struct Min {
    template <class T>
    T operator()(T a, T b) const
    {
        return extreme(a, b, true, [](T x, T y) { return x < y; });
    }
};

struct Max {
    template <class T>
    T operator()(T a, T b) const
    {
        return extreme(a, b, false, [](T x, T y) { return x > y; });
    }
};

struct And {
    template <class T>
    T operator()(T a, T b) const
    {
        return a & b;
    }
};

struct Or {
    template <class T>
    T operator()(T a, T b) const
    {
        return a | b;
    }
};

struct Exchange {
    template <class T>
    T operator()(T, T b) const
    {
        return b;
    }
};

struct Xor {
    template <class T>
    T operator()(T a, T b) const
    {
        return a ^ b;
    }
};

struct Not {
    template <class T>
    T operator()(T a) const
    {
        return static_cast<T>(~a);
    }
};

struct CountBits {
    template <class T>
    u32 operator()(T a) const
    {
        return __builtin_popcountll(a);
    }
};

struct CountLeadingZeros {
    template <class T>
    u32 operator()(T a) const
    {
        return a ? __builtin_clzll(a) - (64 - 8 * sizeof(T)) : 8 * sizeof(T);
    }
};

template <class T>
void multiply_add_wide(Warp& w, const Instruction& i, u32 mask)
{
    u64* const to = w.row(i.to[0]);
    const u64 *a = w.row(i.of[0]), *b = w.row(i.of[1]), *c = w.row(i.of[2]);
    over_lanes(mask, [&](int l) {
        to[l] = written(Add()(MulWide()(as<T>(a[l]), as<T>(b[l])), as<Twice<T>>(c[l])), i.to[0].size, false);
    });
}

}  // namespace ptx

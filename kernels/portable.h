// What lets one source be compiled by nvcc/NVRTC and by a host compiler. Included by every header here.
//
// NVRTC has no standard headers unless told where they are, and needs none: floor, exp, sqrt and fabs are built in.
#pragma once

#if defined(__CUDACC__)
#define GPURES_FN __device__ __forceinline__
#define GPURES_INLINE GPURES_FN
#define GPURES_ISA device
#else
#include <cmath>
#include <cstring>
#define GPURES_FN inline
// Of what is done for each drop: a compiler that has many walks to make would call some of it.
#define GPURES_INLINE inline __attribute__((always_inline))
// The CPU walk is compiled once per instruction set; the inline namespace keeps the linker from mixing the copies.
#ifndef GPURES_ISA
#define GPURES_ISA baseline
#endif
#endif

// Before a loop that is to be unrolled on a GPU, so that what it goes over lies in registers.
#if defined(__CUDACC__)
#define GPURES_UNROLL _Pragma("unroll")
#else
#define GPURES_UNROLL
#endif

// For functions in which a division by zero is intended: `make test-sanitizers` reports all others.
#if defined(__GNUC__) && !defined(__CUDACC__)
#define GPURES_MAY_DIVIDE_BY_ZERO __attribute__((no_sanitize("float-divide-by-zero")))
#else
#define GPURES_MAY_DIVIDE_BY_ZERO
#endif

#define GPURES_BEGIN   \
    namespace gpures { \
    inline namespace GPURES_ISA {
#define GPURES_END \
    }              \
    }

GPURES_BEGIN

#if !defined(__CUDACC__)
using std::exp;
using std::fabs;
using std::floor;
using std::memcpy;
using std::sin;
using std::sqrt;
#else
GPURES_FN double exp(double x) { return ::exp(x); }

// By the one instruction that there is for it: of what is rounded as x was before.
GPURES_FN float exp(float x) { return exp2f(1.44269504f * x); }
#endif

// The geometry is written for a number type V: double or float (one input pixel), or a vector of them (several at once,
// one in each lane). These few functions are all that it needs of V.

// What V is made of. (`walk/simd.h` adds the vectors of floats.)
template <class V>
struct LaneOf {
    typedef double Type;
};
template <>
struct LaneOf<float> {
    typedef float Type;
};

template <class A, class B>
struct IsSame {
    static constexpr bool VALUE = false;
};
template <class A>
struct IsSame<A, A> {
    static constexpr bool VALUE = true;
};

template <class V>
constexpr bool IS_SINGLE = IsSame<typename LaneOf<V>::Type, float>::VALUE;

template <class V>
constexpr int LANES_OF = sizeof(V) / sizeof(typename LaneOf<V>::Type);

// A number in every lane, rounded to V's; what is a V already stays what it is.
template <class V, class N>
GPURES_FN V number(N x)
{
    typedef typename LaneOf<V>::Type Lane;
    if constexpr (IsSame<V, N>::VALUE) {
        return x;
    } else if constexpr (sizeof(V) == sizeof(Lane)) {
        return static_cast<Lane>(x);
    } else {
        return V{} + static_cast<Lane>(x);
    }
}

template <class M, class V>
GPURES_FN V select(M mask, V yes, V no)
{
    return mask ? yes : no;
}

template <class V>
GPURES_FN V least(V a, V b)
{
    return select(a < b, a, b);
}

template <class V>
GPURES_FN V greatest(V a, V b)
{
    return select(a > b, a, b);
}

template <class V>
GPURES_FN V magnitude(V a)
{
    return select(a < V{}, -a, a);
}

GPURES_FN double magnitude(double a) { return fabs(a); }
GPURES_FN float magnitude(float a) { return fabs(a); }

template <class V>
GPURES_FN auto is_any_negative(V a, V b)
{
    return least(a, b) < V{};
}

// The larger of two numbers of which one is negative, but no less than 0.
template <class V>
GPURES_FN V upper_end(V a, V b)
{
    return greatest(greatest(a, b), V{});
}

// Whether all of four numbers are from 0 to 1.
template <class V>
GPURES_INLINE auto all_within_one(const V v[4])
{
    const V zero = V{};
    const V least_one = least(least(v[0], v[1]), least(v[2], v[3]));
    const V greatest_one = greatest(greatest(v[0], v[1]), greatest(v[2], v[3]));
    return (least_one >= zero) & (greatest_one <= number<V>(1.0));
}

// Whether a whole number is from `first` to `last`.
template <class V, class N>
GPURES_FN auto is_between(V i, N first, N last)
{
    return (i >= number<V>(first)) & (i <= number<V>(last));
}

// By what bits tell: on most GPUs there is more time for integers than for doubles.
#if !defined(__CUDACC__)
GPURES_FN bool is_negative(double a) { return a < 0.0; }
#else
GPURES_FN bool is_negative(double a) { return __double2hiint(a) < 0; }
GPURES_FN bool is_negative(float a) { return __float_as_int(a) < 0; }

GPURES_FN bool is_any_negative(double a, double b) { return (__double2hiint(a) | __double2hiint(b)) < 0; }

GPURES_FN double upper_end(double a, double b) { return is_negative(a) ? (is_negative(b) ? 0.0 : b) : a; }

GPURES_FN bool all_within_one(const double v[4])
{
    bool all = true;
    for (int k = 0; k < 4; ++k)
        all = all & (static_cast<unsigned long long>(__double_as_longlong(v[k])) <= 0x3ff0000000000000ULL);
    return all;
}

GPURES_FN bool is_between(double i, double first, double last)
{
    const int k = static_cast<int>(i);
    return k >= static_cast<int>(first) && k <= static_cast<int>(last);
}
#endif

#if defined(__CUDACC__)
GPURES_FN double not_a_number() { return __longlong_as_double(0x7ff8000000000000LL); }
GPURES_FN double infinity() { return __longlong_as_double(0x7ff0000000000000LL); }
#else
GPURES_FN double not_a_number() { return NAN; }
GPURES_FN double infinity() { return INFINITY; }
#endif

GPURES_FN double lower_integer(double x) { return floor(x); }
GPURES_FN float lower_integer(float x) { return floor(x); }

// Another type's value of the same bits.
template <class To, class From>
GPURES_FN To same_bits(From value)
{
    static_assert(sizeof(To) == sizeof(From), "bits of one size");
    To result;
    memcpy(&result, &value, sizeof result);
    return result;
}

// Notes that something has happened, whichever threads do so at a time.
GPURES_FN void set(int* flag)
{
#if defined(__CUDACC__)
    *flag = 1;
#else
    __atomic_store_n(flag, 1, __ATOMIC_RELAXED);
#endif
}

// A word at an address: on a GPU aligned to its size, on a CPU anywhere.
template <class Word>
GPURES_FN Word word_at(const char* p)
{
#if defined(__CUDACC__)
    return __ldg(reinterpret_cast<const Word*>(p));
#else
    Word word;
    memcpy(&word, p, sizeof word);
    return word;
#endif
}

// a / b. Where b is 0, infinite or near the ends of the range of double, some lanes' may be NaN or 0 instead.
GPURES_MAY_DIVIDE_BY_ZERO GPURES_FN double quotient(double a, double b) { return a / b; }
GPURES_MAY_DIVIDE_BY_ZERO GPURES_FN float quotient(float a, float b) { return a / b; }

// Whether a comparison holds in every lane.
GPURES_FN bool everywhere(bool mask) { return mask; }

// Whether a > b in any lane, a >= b in all, and a == b in all.
GPURES_FN bool any_greater(double a, double b) { return a > b; }
GPURES_FN bool all_at_least(double a, double b) { return a >= b; }
GPURES_FN bool all_equal(double a, double b) { return a == b; }
GPURES_FN bool any_greater(float a, float b) { return a > b; }
GPURES_FN bool all_at_least(float a, float b) { return a >= b; }
GPURES_FN bool all_equal(float a, float b) { return a == b; }

// Entry of a table nearest to a position, which is not negative; 0 beyond the last.
GPURES_FN double nearest_entry(const double* table, int entries, double position)
{
    const double k = position + 0.5;
    return k < entries ? table[static_cast<int>(k)] : 0.0;
}

// Between float32 and double, with all numbers that float32 has: CuPy has the subnormal ones flushed (-ftz=true).
#if defined(__CUDACC__)
GPURES_FN double widened(float v)
{
    double wide;
    asm("cvt.f64.f32 %0, %1;" : "=d"(wide) : "f"(v));
    return wide;
}

GPURES_FN float narrowed(double v)
{
    float narrow;
    asm("cvt.rn.f32.f64 %0, %1;" : "=f"(narrow) : "d"(v));
    return narrow;
}
#else
GPURES_FN double widened(float v) { return v; }
GPURES_FN float narrowed(double v) { return static_cast<float>(v); }
#endif

GPURES_FN double widened(double v) { return v; }

// Numbers of type V at an address of type T: one double here; a vector takes as many as it has lanes.
template <class V>
struct Access;

template <>
struct Access<double> {
    template <class T>
    GPURES_FN static double load(const T* p)
    {
        return widened(*p);
    }
};

GPURES_FN void store(double v, double* p) { *p = v; }
GPURES_FN void store(double v, float* p) { *p = narrowed(v); }

GPURES_END

// A vector of doubles as wide as the instruction set that this file is compiled for, and what portable.h leaves to
// the number type. In the vector types of GCC and Clang.
#pragma once

#include <cstring>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "../../portable.h"

GPURES_BEGIN

#if defined(__AVX512F__)
constexpr int LANES = 8;
#elif defined(__AVX__)
constexpr int LANES = 4;
#else
constexpr int LANES = 2;
#endif

typedef double Vector __attribute__((vector_size(8 * LANES)));
typedef decltype(Vector{} == Vector{}) Mask;  // what a comparison gives: 0 or -1 in each lane
typedef int IntVector __attribute__((vector_size(4 * LANES)));

inline Vector load(const double* p)
{
    Vector v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

inline void store(const Vector& v, double* p) { std::memcpy(p, &v, sizeof v); }

typedef double Pair __attribute__((vector_size(16)));
typedef double Four __attribute__((vector_size(32)));

template <class V>
inline void add_scaled(double* s, const double* v, double factor)
{
    V a, b;
    std::memcpy(&a, s, sizeof a);
    std::memcpy(&b, v, sizeof b);
    a = a + factor * b;
    std::memcpy(s, &a, sizeof a);
}

// s += factor * v, for `count` doubles: 2, 4, or a multiple of 8.
inline void add_scaled(double* s, const double* v, double factor, int count)
{
    if (count == 2) return add_scaled<Pair>(s, v, factor);
    if (count == 4) return add_scaled<Four>(s, v, factor);
    for (int k = 0; k < count; k += LANES) add_scaled<Vector>(s + k, v + k, factor);
}

template <class V>
inline void add_scaled(double* s, const double* v, double factor, const double* power)
{
    V a, b, p;
    std::memcpy(&a, s, sizeof a);
    std::memcpy(&b, v, sizeof b);
    std::memcpy(&p, power, sizeof p);
    a = a + factor * ((2.0 - p) + (p - 1.0) * factor) * b;
    std::memcpy(s, &a, sizeof a);
}

// The same with the power, 1 or 2, of the factor that each has.
inline void add_scaled(double* s, const double* v, double factor, const double* power, int count)
{
    if (count == 2) return add_scaled<Pair>(s, v, factor, power);
    if (count == 4) return add_scaled<Four>(s, v, factor, power);
    for (int k = 0; k < count; k += LANES) add_scaled<Vector>(s + k, v + k, factor, power + k);
}

// The processor's own minimum is a < b ? a : b to the last case, NaN and zeros of both signs among them, but compilers
// do not find it in a choice between vectors.
#if defined(__AVX512F__)
inline Vector least(Vector a, Vector b) { return (Vector)_mm512_min_pd((__m512d)a, (__m512d)b); }
inline Vector greatest(Vector a, Vector b) { return (Vector)_mm512_max_pd((__m512d)a, (__m512d)b); }
#elif defined(__AVX__)
inline Vector least(Vector a, Vector b) { return (Vector)_mm256_min_pd((__m256d)a, (__m256d)b); }
inline Vector greatest(Vector a, Vector b) { return (Vector)_mm256_max_pd((__m256d)a, (__m256d)b); }
#elif defined(__SSE2__)
inline Vector least(Vector a, Vector b) { return (Vector)_mm_min_pd((__m128d)a, (__m128d)b); }
inline Vector greatest(Vector a, Vector b) { return (Vector)_mm_max_pd((__m128d)a, (__m128d)b); }
#endif

inline Vector magnitude(Vector a) { return (Vector)((Mask)a & 0x7fffffffffffffffLL); }

inline Vector lower_integer(Vector x)
{
#if defined(__AVX512F__)
    return (Vector)_mm512_roundscale_pd((__m512d)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#elif defined(__AVX__)
    return (Vector)_mm256_floor_pd((__m256d)x);
#else
    // Valid for |x| < 2^31, which holds for output coordinates once they are clipped; beyond, conversion saturates or
    // wraps, so the argument is bounded first.
    const Vector zero = Vector{};
    const Vector bounded = least(greatest(x, zero - 2147483000.0), zero + 2147483000.0);
    const Vector whole = __builtin_convertvector(__builtin_convertvector(bounded, IntVector), Vector);
    return whole - select(whole > bounded, zero + 1.0, zero);
#endif
}

inline Vector sqrt(Vector x)
{
#if defined(__AVX512F__)
    // From an estimate of 1 / sqrt(x) to 2^-14, each step of Newton's doubles its digits: four times as fast as the
    // processor's own root.
    Vector y = (Vector)_mm512_rsqrt14_pd((__m512d)x);
    const Vector half = 0.5 * x;
    y = y * (1.5 - half * y * y);
    y = y * (1.5 - half * y * y);
    const Vector root = x * y;
    // 0 and infinity are their own roots, and have no 1 / sqrt(x) that helps.
    return select((x == Vector{}) | (x == Vector{} + INFINITY), x, root + 0.5 * y * (x - root * root));
#elif defined(__AVX__)
    return (Vector)_mm256_sqrt_pd((__m256d)x);
#else
    for (int l = 0; l < LANES; ++l) x[l] = std::sqrt(x[l]);
    return x;
#endif
}

inline Vector quotient(Vector a, Vector b)
{
#if defined(__AVX512F__)
    // As with the root: an estimate of 1 / b to 2^-14, and Newton's steps; the last one is of the quotient.
    Vector r = (Vector)_mm512_rcp14_pd((__m512d)b);
    r = r + r * (1.0 - b * r);
    r = r + r * (1.0 - b * r);
    const Vector q = a * r;
    return q + r * (a - b * q);
#else
    return a / b;
#endif
}

inline Vector numbers_of_lanes()
{
    Vector v = Vector{};
    for (int l = 0; l < LANES; ++l) v[l] = l;
    return v;
}

// One bit for each lane in which a comparison holds.
inline unsigned lanes_of(Mask mask)
{
#if defined(__AVX512F__)
    return _mm512_movepi64_mask((__m512i)mask);
#elif defined(__AVX__)
    return static_cast<unsigned>(_mm256_movemask_pd((__m256d)mask));
#elif defined(__SSE2__)
    return static_cast<unsigned>(_mm_movemask_pd((__m128d)mask));
#else
    return static_cast<unsigned>((mask[0] & 1) | (mask[1] & 2));
#endif
}

inline bool everywhere(Mask mask) { return lanes_of(mask) == (1u << LANES) - 1; }

inline bool anywhere(Mask mask) { return lanes_of(mask) != 0; }

// Comparisons that are only looked at as a whole: to make vectors of them first would take longer than they do.
#if defined(__AVX512F__)
inline bool any_greater(Vector a, Vector b) { return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_GT_OQ) != 0; }
inline bool all_at_least(Vector a, Vector b) { return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_GE_OQ) == 0xff; }
inline bool all_equal(Vector a, Vector b) { return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_EQ_OQ) == 0xff; }
#else
inline bool any_greater(Vector a, Vector b) { return anywhere(a > b); }
inline bool all_at_least(Vector a, Vector b) { return everywhere(a >= b); }
inline bool all_equal(Vector a, Vector b) { return everywhere(a == b); }
#endif

inline void store_integers(Vector v, int* p)
{
    const IntVector whole = __builtin_convertvector(v, IntVector);
    std::memcpy(p, &whole, sizeof whole);
}

inline Vector nearest_entry(const double* table, int entries, Vector position)
{
    const Vector k = position + 0.5;
    const Mask within = k < Vector{} + static_cast<double>(entries);
    int index[LANES];
    store_integers(select(within, k, Vector{}), index);
    Vector v;
    for (int l = 0; l < LANES; ++l) v[l] = table[index[l]];
    return select(within, v, Vector{});
}

// e^x for x <= 0, to the last digit or two; 0 below the smallest normal number. x = n ln 2 + r with |r| <= ln(2) / 2,
// where the series to r^13 leaves 4e-18.
inline Vector exp(Vector x)
{
    constexpr double PER_LN2 = 1.4426950408889634, LN2 = 0.69314718055994529, LN2_REST = 2.3190468138462996e-17;
    constexpr double WHOLE =
        6755399441055744.0;  // 1.5 * 2^52: adding it rounds, and leaves the integer in the low bits
    const Vector zero = Vector{};
    const Mask usable = x > zero - 708.0;
    x = select(usable, x, zero);
    const Vector shifted = x * PER_LN2 + WHOLE;
    const Vector n = shifted - WHOLE;
    const Vector r = (x - n * LN2) - n * LN2_REST;
    Vector series = zero + 1.0 / 6227020800.0;
    constexpr double REST[] = {1.0 / 479001600.0,
                               1.0 / 39916800.0,
                               1.0 / 3628800.0,
                               1.0 / 362880.0,
                               1.0 / 40320.0,
                               1.0 / 5040.0,
                               1.0 / 720.0,
                               1.0 / 120.0,
                               1.0 / 24.0,
                               1.0 / 6.0,
                               0.5,
                               1.0,
                               1.0};
    for (double of : REST) series = series * r + of;
    const Mask exponent = (Mask)shifted << 52;
    return select(usable, (Vector)((Mask)series + exponent), zero);
}

typedef unsigned char Bytes __attribute__((vector_size(LANES)));
typedef unsigned Words __attribute__((vector_size(4 * LANES)));

// p |= 1 for as many bytes as there are bits, where they are set.
template <int BITS>
inline void mark_bits(unsigned bits, unsigned char* p)
{
    constexpr int AT_ONCE = BITS < 4 ? BITS : 4;
    for (int k = 0; k < BITS; k += AT_ONCE) {
        // Each bit to the lowest of a byte, by a sum of shifts.
        const unsigned marks = (bits >> k & 15u) * 0x204081u & 0x1010101u;
        unsigned v = 0;
        std::memcpy(&v, p + k, AT_ONCE);
        v |= marks;
        std::memcpy(p + k, &v, AT_ONCE);
    }
}

// p |= 1 in the lanes of a mask.
inline void mark(Mask lanes, unsigned char* p) { mark_bits<LANES>(lanes_of(lanes), p); }

// Lanes whose byte is not 0.
inline Mask are_marked(const unsigned char* p)
{
    Bytes v;
    std::memcpy(&v, p, sizeof v);
    return __builtin_convertvector(v, Mask) != 0;
}

// p |= bits in the lanes of a mask.
inline void unite(Mask lanes, const unsigned* bits, unsigned* p)
{
    Words v, more;
    std::memcpy(&v, p, sizeof v);
    std::memcpy(&more, bits, sizeof more);
    v |= __builtin_convertvector(lanes, Words) & more;
    std::memcpy(p, &v, sizeof v);
}

typedef float FloatVector __attribute__((vector_size(4 * LANES)));

// From floats at any address. (Compilers widen and narrow these in halves, where the processor does it at once.)
inline Vector load_floats(const void* p)
{
    FloatVector v;
    std::memcpy(&v, p, sizeof v);
#if defined(__AVX512F__)
    return (Vector)_mm512_cvtps_pd((__m256)v);
#elif defined(__AVX__)
    return (Vector)_mm256_cvtps_pd((__m128)v);
#else
    return __builtin_convertvector(v, Vector);
#endif
}

inline Vector load(const float* p) { return load_floats(p); }

inline void store(const Vector& v, float* p)
{
#if defined(__AVX512F__)
    const FloatVector narrow = (FloatVector)_mm512_cvtpd_ps((__m512d)v);
#elif defined(__AVX__)
    const FloatVector narrow = (FloatVector)_mm256_cvtpd_ps((__m256d)v);
#else
    const FloatVector narrow = __builtin_convertvector(v, FloatVector);
#endif
    std::memcpy(p, &narrow, sizeof narrow);
}

template <>
struct Access<Vector> {
    template <class T>
    static Vector load(const T* p)
    {
        return gpures::GPURES_ISA::load(p);
    }
};

GPURES_END

#include "precision.h"

// The numbers in which drops are splatted and an exposure's sums are kept: doubles, or floats where this is compiled
// with GPURES_SINGLE. `Real` is one, `Reals` a vector of them, of REALS lanes. Whatever else there is stays in doubles:
// the pixel map, weights until they are scaled, and what is folded into the mosaic.
#pragma once

#include "simd.h"

GPURES_BEGIN

#if !defined(GPURES_SINGLE)

typedef double Real;
typedef Vector Reals;
typedef Mask RealMask;
constexpr int REALS = LANES;

#else

typedef float Real;
constexpr int REALS = 2 * LANES;
typedef float Reals __attribute__((vector_size(4 * REALS)));
typedef decltype(Reals{} == Reals{}) RealMask;

template <>
struct LaneOf<Reals> {
    typedef float Type;
};

inline Reals load_reals(const float* p)
{
    Reals v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

inline void store(const Reals& v, float* p) { std::memcpy(p, &v, sizeof v); }

// Of two vectors of doubles, the first one's in front.
inline Reals joined(Vector a, Vector b)
{
#if defined(__AVX512F__)
    const __m256 low = _mm512_cvtpd_ps((__m512d)a), high = _mm512_cvtpd_ps((__m512d)b);
    return (Reals)_mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
#elif defined(__AVX__)
    return (Reals)_mm256_set_m128(_mm256_cvtpd_ps((__m256d)b), _mm256_cvtpd_ps((__m256d)a));
#elif defined(__SSE2__)
    return (Reals)_mm_movelh_ps(_mm_cvtpd_ps((__m128d)a), _mm_cvtpd_ps((__m128d)b));
#else
    float each[REALS];
    store(a, each);
    store(b, each + LANES);
    return load_reals(each);
#endif
}

template <>
struct Access<Reals> {
    static Reals load(const float* p) { return load_reals(p); }
};

#if defined(__AVX512F__)
inline Reals least(Reals a, Reals b) { return (Reals)_mm512_min_ps((__m512)a, (__m512)b); }
inline Reals greatest(Reals a, Reals b) { return (Reals)_mm512_max_ps((__m512)a, (__m512)b); }
#elif defined(__AVX__)
inline Reals least(Reals a, Reals b) { return (Reals)_mm256_min_ps((__m256)a, (__m256)b); }
inline Reals greatest(Reals a, Reals b) { return (Reals)_mm256_max_ps((__m256)a, (__m256)b); }
#elif defined(__SSE2__)
inline Reals least(Reals a, Reals b) { return (Reals)_mm_min_ps((__m128)a, (__m128)b); }
inline Reals greatest(Reals a, Reals b) { return (Reals)_mm_max_ps((__m128)a, (__m128)b); }
#endif

inline Reals magnitude(Reals a) { return (Reals)((RealMask)a & 0x7fffffff); }

inline Reals lower_integer(Reals x)
{
#if defined(__AVX512F__)
    return (Reals)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#elif defined(__AVX__)
    return (Reals)_mm256_floor_ps((__m256)x);
#else
    // From 2^23 on there are only integers.
    const Reals zero = Reals{};
    const RealMask fine = magnitude(x) < zero + 8388608.0f;
    const Reals small = select(fine, x, zero);
    const Reals whole = __builtin_convertvector(__builtin_convertvector(small, RealMask), Reals);
    return select(fine, whole - select(whole > small, zero + 1.0f, zero), x);
#endif
}

inline Reals sqrt(Reals x)
{
#if defined(__AVX512F__)
    // As with doubles, in simd.h: a step of Newton's, and one of the root.
    Reals y = (Reals)_mm512_rsqrt14_ps((__m512)x);
    y = y * (1.5f - 0.5f * x * y * y);
    const Reals root = x * y;
    return select((x == Reals{}) | (x == number<Reals>(INFINITY)), x, root + 0.5f * y * (x - root * root));
#elif defined(__AVX__)
    return (Reals)_mm256_sqrt_ps((__m256)x);
#else
    for (int l = 0; l < REALS; ++l) x[l] = std::sqrt(x[l]);
    return x;
#endif
}

inline Reals quotient(Reals a, Reals b)
{
#if defined(__AVX512F__)
    // An estimate of 1 / b to 2^-14, a step of Newton's, and one of the quotient.
    Reals r = (Reals)_mm512_rcp14_ps((__m512)b);
    r = r + r * (1.0f - b * r);
    const Reals q = a * r;
    return q + r * (a - b * q);
#else
    return a / b;
#endif
}

inline unsigned lanes_of(RealMask mask)
{
#if defined(__AVX512F__)
    return _mm512_movepi32_mask((__m512i)mask);
#elif defined(__AVX__)
    return static_cast<unsigned>(_mm256_movemask_ps((__m256)mask));
#elif defined(__SSE2__)
    return static_cast<unsigned>(_mm_movemask_ps((__m128)mask));
#else
    unsigned lanes = 0;
    for (int l = 0; l < REALS; ++l) lanes |= (mask[l] & 1u) << l;
    return lanes;
#endif
}

inline bool everywhere(RealMask mask) { return lanes_of(mask) == (1u << REALS) - 1; }

inline bool anywhere(RealMask mask) { return lanes_of(mask) != 0; }

#if defined(__AVX512F__)
inline bool any_greater(Reals a, Reals b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ) != 0; }
inline bool all_at_least(Reals a, Reals b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GE_OQ) == 0xffff; }
inline bool all_equal(Reals a, Reals b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_EQ_OQ) == 0xffff; }
#else
inline bool any_greater(Reals a, Reals b) { return anywhere(a > b); }
inline bool all_at_least(Reals a, Reals b) { return everywhere(a >= b); }
inline bool all_equal(Reals a, Reals b) { return everywhere(a == b); }
#endif

inline void store_integers(Reals v, int* p)
{
    const RealMask whole = __builtin_convertvector(v, RealMask);
    std::memcpy(p, &whole, sizeof whole);
}

// As that of doubles, in simd.h, to r^7, which leaves 6e-9. The first part of ln 2 has so few digits that n times it is
// exact.
inline Reals exp(Reals x)
{
    constexpr float PER_LN2 = 1.44269504f, LN2 = 0.693359375f, LN2_REST = -2.12194440e-4f;
    constexpr float WHOLE = 12582912.0f;  // 1.5 * 2^23
    const Reals zero = Reals{};
    const RealMask usable = x > zero - 87.0f;
    x = select(usable, x, zero);
    const Reals shifted = x * PER_LN2 + WHOLE;
    const Reals n = shifted - WHOLE;
    const Reals r = (x - n * LN2) - n * LN2_REST;
    Reals series = zero + 1.0f / 5040.0f;
    constexpr float REST[] = {1.0f / 720.0f, 1.0f / 120.0f, 1.0f / 24.0f, 1.0f / 6.0f, 0.5f, 1.0f, 1.0f};
    for (float of : REST) series = series * r + of;
    const RealMask exponent = (RealMask)shifted << 23;
    return select(usable, (Reals)((RealMask)series + exponent), zero);
}

typedef unsigned RealWords __attribute__((vector_size(4 * REALS)));

inline void mark(RealMask lanes, unsigned char* p) { mark_bits<REALS>(lanes_of(lanes), p); }

inline void unite(RealMask lanes, const unsigned* bits, unsigned* p)
{
    RealWords v, more;
    std::memcpy(&v, p, sizeof v);
    std::memcpy(&more, bits, sizeof more);
    v |= (RealWords)lanes & more;
    std::memcpy(p, &v, sizeof v);
}

typedef float PairOfFloats __attribute__((vector_size(8)));
typedef float FourFloats __attribute__((vector_size(16)));
typedef float EightFloats __attribute__((vector_size(32)));

template <class V>
inline void add_scaled(float* s, const float* v, float factor)
{
    V a, b;
    std::memcpy(&a, s, sizeof a);
    std::memcpy(&b, v, sizeof b);
    a = a + factor * b;
    std::memcpy(s, &a, sizeof a);
}

inline void add_scaled(float* s, const float* v, float factor, int count)
{
    if (count == 2) return add_scaled<PairOfFloats>(s, v, factor);
    if (count == 4) return add_scaled<FourFloats>(s, v, factor);
    for (int k = 0; k < count; k += 8) add_scaled<EightFloats>(s + k, v + k, factor);
}

template <class V>
inline void add_scaled(float* s, const float* v, float factor, const float* power)
{
    V a, b, p;
    std::memcpy(&a, s, sizeof a);
    std::memcpy(&b, v, sizeof b);
    std::memcpy(&p, power, sizeof p);
    a = a + factor * ((2.0f - p) + (p - 1.0f) * factor) * b;
    std::memcpy(s, &a, sizeof a);
}

inline void add_scaled(float* s, const float* v, float factor, const float* power, int count)
{
    if (count == 2) return add_scaled<PairOfFloats>(s, v, factor, power);
    if (count == 4) return add_scaled<FourFloats>(s, v, factor, power);
    for (int k = 0; k < count; k += 8) add_scaled<EightFloats>(s + k, v + k, factor, power + k);
}

#endif

// 0, 1, 2 and so on, one in each lane.
inline Reals numbers_of_reals()
{
    Reals v = Reals{};
    for (int l = 0; l < REALS; ++l) v[l] = static_cast<Real>(l);
    return v;
}

inline Reals reals(const Real* p) { return Access<Reals>::load(p); }

GPURES_END

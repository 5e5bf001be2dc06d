// A vector of doubles as wide as the instruction set that this file is compiled for, and what portable.h leaves to
// the number type. Compiler vector types (GCC, Clang); elsewhere the "vector" is one double.
#pragma once

#include <cstring>

#include "../portable.h"

GPURES_BEGIN

#if defined(__GNUC__)

#if defined(__AVX512F__)
constexpr int LANES = 8;
#elif defined(__AVX__)
constexpr int LANES = 4;
#else
constexpr int LANES = 2;
#endif

typedef double Vector __attribute__((vector_size(8 * LANES)));
typedef int IntVector __attribute__((vector_size(4 * LANES)));

inline Vector load(const double* p)
{
    Vector v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

inline void store(const Vector& v, double* p) { std::memcpy(p, &v, sizeof v); }

// Valid for |x| < 2^31, which holds for output coordinates once they are clipped; beyond, conversion saturates or
// wraps, so the argument is bounded first.
inline Vector lower_integer(Vector x)
{
    const Vector zero = Vector{};
    const Vector bounded = least(greatest(x, zero - 2147483000.0), zero + 2147483000.0);
    const Vector whole = __builtin_convertvector(__builtin_convertvector(bounded, IntVector), Vector);
    return whole - select(whole > bounded, zero + 1.0, zero);
}

inline int largest(Vector v)
{
    double lanes[LANES];
    store(v, lanes);
    double most = lanes[0];
    for (int l = 1; l < LANES; ++l) most = lanes[l] > most ? lanes[l] : most;
    return static_cast<int>(most);
}

inline void store_integers(Vector v, int* p)
{
    const IntVector whole = __builtin_convertvector(v, IntVector);
    std::memcpy(p, &whole, sizeof whole);
}

#else

constexpr int LANES = 1;
typedef double Vector;
inline Vector load(const double* p) { return *p; }
inline void store(Vector v, double* p) { *p = v; }
inline void store_integers(Vector v, int* p) { *p = static_cast<int>(v); }

#endif

GPURES_END

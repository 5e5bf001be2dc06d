// Vectors of float32, of the size that every x86-64 processor has.
#pragma once

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "../portable.h"

GPURES_BEGIN

// Numbers side by side.
constexpr int COLUMNS = 4;
typedef float Floats __attribute__((vector_size(4 * COLUMNS)));
typedef unsigned Words __attribute__((vector_size(4 * COLUMNS)));

#if defined(__SSE2__)  // which compilers do not find in a choice between vectors
inline Floats least(Floats a, Floats b) { return (Floats)_mm_min_ps((__m128)a, (__m128)b); }
inline Floats greatest(Floats a, Floats b) { return (Floats)_mm_max_ps((__m128)a, (__m128)b); }
#endif

GPURES_END

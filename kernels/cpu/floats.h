// Vectors of float32, of the size that every x86-64 processor has.
#pragma once

#include "../portable.h"

GPURES_BEGIN

// Numbers side by side.
constexpr int COLUMNS = 4;
typedef float Floats __attribute__((vector_size(4 * COLUMNS)));
typedef unsigned Words __attribute__((vector_size(4 * COLUMNS)));

#if defined(__SSE2__)  // which compilers do not find in a choice between vectors
inline Floats least(Floats a, Floats b) { return __builtin_ia32_minps(a, b); }
inline Floats greatest(Floats a, Floats b) { return __builtin_ia32_maxps(a, b); }
#endif

GPURES_END

// Which copy of the walk this processor takes.
#include <cstdlib>
#include <cstring>

#include "walk.h"

namespace gpures {

inline namespace baseline {
Walk walk_for_this_isa();
}
#if defined(GPURES_X86)
namespace avx2 {
Walk walk_for_this_isa();
}
namespace avx512 {
Walk walk_for_this_isa();
}
#endif

Walk choose_walk()
{
#if defined(GPURES_X86)
    __builtin_cpu_init();
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    // For the tests: a walk for lesser processors.
    const char* isa = std::getenv("GPURES_ISA");
    const bool any = !isa || std::strcmp(isa, "") == 0;
    if (has_avx512 && (any || std::strcmp(isa, "avx512") == 0)) return avx512::walk_for_this_isa();
    if (has_avx2 && (any || std::strcmp(isa, "avx2") == 0)) return avx2::walk_for_this_isa();
#endif
    return baseline::walk_for_this_isa();
}

}  // namespace gpures

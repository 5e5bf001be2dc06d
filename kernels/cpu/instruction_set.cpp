// Which copy of the walk this processor takes.
#include <cstdlib>
#include <cstring>

#include "walk.h"

namespace gpures {

inline namespace baseline {
Walk walk_for_this_isa();
}
namespace baseline_single {
Walk walk_for_this_isa();
}
#if defined(GPURES_X86)
namespace avx2 {
Walk walk_for_this_isa();
}
namespace avx2_single {
Walk walk_for_this_isa();
}
namespace avx512 {
Walk walk_for_this_isa();
}
namespace avx512_single {
Walk walk_for_this_isa();
}
#endif

namespace {

// Calls one of these, for the widest vectors that this processor has.
template <class Avx512, class Avx2, class Baseline>
Walk choose([[maybe_unused]] Avx512 avx512, [[maybe_unused]] Avx2 avx2, Baseline baseline)
{
#if defined(GPURES_X86)
    __builtin_cpu_init();
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    // For the tests: a walk for lesser processors.
    const char* isa = std::getenv("GPURES_ISA");
    const bool any = !isa || std::strcmp(isa, "") == 0;
    if (has_avx512 && (any || std::strcmp(isa, "avx512") == 0)) return avx512();
    if (has_avx2 && (any || std::strcmp(isa, "avx2") == 0)) return avx2();
#endif
    return baseline();
}

}  // namespace

#if defined(GPURES_X86)
#define GPURES_WALKS(kind) \
    avx512##kind::walk_for_this_isa, avx2##kind::walk_for_this_isa, baseline##kind::walk_for_this_isa
#else
#define GPURES_WALKS(kind) 0, 0, baseline##kind::walk_for_this_isa
#endif

Walk choose_walk() { return choose(GPURES_WALKS()); }

Walk choose_single_walk() { return choose(GPURES_WALKS(_single)); }

#undef GPURES_WALKS

}  // namespace gpures

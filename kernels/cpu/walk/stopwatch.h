// What a thread spends its time on, for those who ask.
#pragma once

#include "../walk.h"

GPURES_BEGIN

inline void lap(Stopwatch* watch, Phase phase)
{
    if (!watch) return;
    const double now = watch->now();
    watch->seconds[phase] += now - watch->last;
    watch->last = now;
}

GPURES_END

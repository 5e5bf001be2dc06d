// What a thread works with.
#pragma once

#include "fold_row.h"
#include "gathered.h"
#if !defined(GPURES_SINGLE)
#include "pairs_row.h"
#endif
#include "plane_sums.h"
#include "shared_corners.h"
#include "splat_row.h"

GPURES_BEGIN

// Begins as zeros. (See Walk.)
struct Workspace {
    Centres centres;
    PixelRow row;
    SharedCorners corners;
    Contributions contributions;
    FoldedRow folded;
#if !defined(GPURES_SINGLE)
    HeldRow held;
#endif
    GatheredBlock gathered;
};

inline Workspace& workspace_at(void* memory) { return *static_cast<Workspace*>(memory); }

GPURES_END

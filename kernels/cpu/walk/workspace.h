// What a thread works with.
#pragma once

#include "fold_row.h"
#include "pairs_row.h"
#include "plane_sums.h"
#include "shared_corners.h"

GPURES_BEGIN

// Begins as zeros. (See Walk.)
struct Workspace {
    Centres centres;
    PixelRow row;
    SharedCorners corners;
    Contributions contributions;
    FoldedRow folded;
    HeldRow held;
};

inline Workspace& workspace_at(void* memory) { return *static_cast<Workspace*>(memory); }

GPURES_END

// A pass over an exposure.
#pragma once

#include "../exposure.h"
#include "tiles.h"

namespace gpures {

// Adds an exposure; gives the part of the frame that it may have touched (x0 > x1: none). To `seconds`, if not null, it
// adds what all threads together spend on each Phase.
Tile add(const Exposure& exposure, const Mosaic& mosaic, int threads, double* seconds);

}  // namespace gpures

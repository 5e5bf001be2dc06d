// Whether floats will do for an exposure, and by what they are scaled.
#pragma once

#include "../exposure.h"
#include "walk.h"

namespace gpures {

// Makes an exposure one whose drops and sums may be floats: with planes whose values are scaled, and with what is
// scaled besides. False, and nothing is done, where doubles are needed.
bool scale_for_floats(Exposure& e, const Mosaic& m, const Walk& walk, int threads, Scaling& scaling);

}  // namespace gpures

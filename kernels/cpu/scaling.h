// Whether floats will do for an exposure, and by what they are scaled.
#pragma once

#include "../exposure.h"
#include "walk.h"

namespace gpures {

// Whether they may, for all that is known before the pixels are read: drops are neither tiny nor large, and nobody
// wants doubles.
bool floats_may_do(const Exposure& e);

// Makes an exposure one whose drops and sums may be floats: with planes whose values are scaled, and with what is
// scaled besides. False, and nothing is done, where doubles are needed.
bool scale_for_floats(Exposure& e, const Mosaic& m, const Walk& walk, int threads, Scaling& scaling);

// The same where it is known of what sizes its weights are, but for those that are 0, and of what size the values of
// each plane are.
bool scale_for_floats(Exposure& e, double least_weight, double most_weight, const double* sizes, Scaling& scaling);

}  // namespace gpures

// Sums of pairs -> images of covariance: see ../pairs.h.
#pragma once

#include "touched_frame.h"

namespace gpures {

struct Pairs;

// With sums of weights of type T.
template <class T>
void noise_factor(const Pairs& pairs, const T* weights, float* image, const TouchedFrame& frame, int threads);

// In place of the sums.
template <class T>
void covariances(const Pairs& pairs, const T* weights, const TouchedFrame& frame, int threads);

}  // namespace gpures

// Sums of pairs -> images of covariance: see ../pairs.h.
#pragma once

#include "tiles.h"

namespace gpures {

struct Pairs;

// In a frame of nx x ny pixels, with sums of weights of type T.
template <class T>
void noise_factor(const Pairs& pairs, const T* weights, int nx, int ny, float* image, int threads);

// In place of the sums.
template <class T>
void covariances(const Pairs& pairs, const T* weights, int nx, int ny, int threads);

}  // namespace gpures

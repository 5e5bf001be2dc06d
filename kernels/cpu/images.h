// Accumulators -> images, and images interpolated.
#pragma once

#include "touched_frame.h"

namespace gpures {

struct Blot;
struct Exposure;

// Where the weight is 0 the image gets the fill value.
template <class T>
void fill(T* image, const T* weight, const TouchedFrame& frame, double value, int threads);

// The same in the touched part alone.
template <class T>
void fill_window(T* image, const T* weight, const TouchedFrame& frame, double value, int threads);

// Sums of weights as an image shows them, in place of `count` that are kept.
void show_weights(float* weight, std::ptrdiff_t count, int threads);

// The sums themselves.
void sums_of_weights(const float* kept, double* sums, std::ptrdiff_t count, int threads);

// Accumulated variances to the output's scale, in place; NaN where nothing contributed.
template <class T>
void finish_variance(T* variance, const T* weight, const TouchedFrame& frame, double scaling, int threads);

// Root of the sum of variances: see fold.h.
void error_from_variances(const float* const* variances, int count, bool all, float* error, const TouchedFrame& frame,
                          int threads);

// Makes a blotted image; at the pixels of an exposure, where one is given.
void blot(const Blot& blot, int threads);
void blot_exposure(const Exposure& exposure, const Blot& blot, int threads);

}  // namespace gpures

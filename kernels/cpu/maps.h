// What an exposure's weights and pixel map come to, for those who ask for them.
#pragma once

#include "../exposure.h"

namespace gpures {

// Input pixels that fall beside a frame of nx x ny pixels, and rows all of whose pixels do.
struct Misses {
    long long pixels;
    int rows;
};

Misses misses(const Exposure& exposure, long long nx, long long ny, int threads);

// Pixels of a frame from one end of a drop to the other, along either axis, at most: the longest lag of its pairs.
int largest_drop(const Exposure& exposure, long long nx, long long ny, int threads);

// Into maps of (ny, nx) weights and of (ny, nx, 2) centres.
void weight_map(const Exposure& exposure, float* map, int threads);
void full_pixmap(const Exposure& exposure, double* map, int threads);

}  // namespace gpures

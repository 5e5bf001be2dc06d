// Pixels of an exposure that differ from what they should be.
#pragma once

namespace gpures {

struct Comparison;

// 1 where a pixel is an outlier, else 0; another one that is at most `reach` away helps to make it one. Those beside
// outliers are looked for if there is a third threshold.
void outliers(const Comparison& comparison, int reach, bool third, unsigned char* mask, int threads);

// 1 where a mask is not 0 at most `reach` away.
void grow(const unsigned char* mask, long long ny, long long nx, int reach, unsigned char* grown, int threads);

}  // namespace gpures

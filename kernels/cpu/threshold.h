// The mean of weights, without those that stand out.
#pragma once

namespace gpures {

// Mean of those of n values that are finite and not 0, and lie within `sigma` standard deviations of the median; that
// is looked at anew without the others, `rounds` times at most. NaN where there is none.
double mean_in_middle(const float* values, long long n, double sigma, int rounds, int threads);

}  // namespace gpures

// The typical value of an image's pixels in some region: their mean, median, mode or midpoint, without outliers.
#pragma once

#include <cstdint>

#include "../exposure.h"

namespace gpures {

// In the order of gpures/cleaning/statistics.py.
enum Statistic { MEAN, MEDIAN, MODE, MIDPOINT };

// Values outside of `lower` to `upper` never count; of the others those that lie more than `below` or `above` standard
// deviations from the mean are left out, again and again, up to `rounds` times.
struct Clipping {
    int statistic;
    double lower, upper;
    int rounds;
    double below, above;
    double bin;          // of the histogram, in standard deviations
    bool as_imagestats;  // whether places in the histogram are counted in `bin`, of which its bins are not quite
};

// Pixels `first` to `end`, exclusively, of a row.
struct Span {
    std::int32_t row, first, end;
};

struct Measured {
    double value;  // NaN where there is no pixel
    long long pixels;
};

// Regions of an image, the spans of region k being those from starts[k] to starts[k + 1]. Pixels that are not `usable`
// (nx per row; null: all are) or not finite don't count. The results don't depend on the number of threads.
void measure(const View& data, long long nx, const unsigned char* usable, const Span* spans, const std::int64_t* starts,
             int regions, const Clipping& clipping, Measured* found, int threads);

}  // namespace gpures

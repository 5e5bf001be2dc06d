// Which input pixels of a row fall on the output frame at all.
#pragma once

#include "sums.h"

GPURES_BEGIN

// A sink that notes which pixels contribute, whatever and wherever.
struct Hits {
    bool hit[ROW_LENGTH] = {};
    int first = 0;  // pixel in lane 0

    void take(const Row&, int k) { first = k; }

    int place(Vector, Vector, Mask) const { return 0; }

    void add(int, int, int, Vector dow)
    {
        double each[LANES];
        store(dow, each);
        for (int l = 0; l < LANES; ++l) hit[first + l] |= each[l] != 0.0;
    }

    // What has no area does not fall beside the frame.
    void pass_over(Mask lanes)
    {
        for (int l = 0; l < LANES; ++l) hit[first + l] |= lanes[l] != 0;
    }
};

// Whether n centres lie in a frame of nx x ny pixels; of NaN none does.
inline bool lie_inside(const double* x, const double* y, int n, double nx, double ny)
{
    int outside = 0;
    for (int k = 0; k < n; ++k) {
        outside += !(x[k] >= -0.5) | !(x[k] < nx - 0.5) | !(y[k] >= -0.5) | !(y[k] < ny - 0.5);
    }
    return outside == 0;
}

GPURES_END

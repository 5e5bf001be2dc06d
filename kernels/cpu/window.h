// The window of the output frame that an exposure, or a block of it, may touch. Where the output is periodic there may
// be several.
#pragma once

#include <vector>

#include "../exposure.h"
#include "tiles.h"

namespace gpures {

Reach shifted(const Reach& r, double x, double y);

// The output pixels of a frame of nx x ny pixels in a reach, and one more on each side: a drop may end on a pixel's
// edge, to rounding.
Tile part_of_frame(const Reach& r, long long nx, long long ny);

// An exposure, or a block of it, moved by whole periods of the output; the part of a frame that holds all it may touch.
struct Copy {
    double shift_x, shift_y;
    Tile part;
};

// Those of what reaches so far, that may touch a frame of nx x ny pixels.
std::vector<Copy> copies_of(const Pixmap& m, const Reach& r, long long nx, long long ny);

// Those of an exposure, from its pixel map alone; whether every pixel with coordinates has all its neighbours beside it
// in the output.
std::vector<Copy> copies(const Exposure& exposure, long long nx, long long ny, int threads, bool& whole);

}  // namespace gpures

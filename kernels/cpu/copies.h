// Where the output is periodic an exposure may touch a frame in several places.
#pragma once

#include <vector>

#include "walk.h"

namespace gpures {

// An exposure, or a block of it, moved by whole periods of the output; the part of a frame that holds all it may touch.
struct Copy {
    double shift_x, shift_y;
    Tile part;
};

// Those copies of an exposure that may touch a frame of nx x ny pixels, from its pixel map alone; whether every pixel
// with coordinates has all its neighbours beside it in the output.
std::vector<Copy> copies(const Exposure& exposure, long long nx, long long ny, int threads, bool& whole);

}  // namespace gpures

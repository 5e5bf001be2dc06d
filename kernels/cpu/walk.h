// The CPU walk: what it works on, and what it offers.
#pragma once

#include <cstdint>

#include "../exposure.h"

namespace gpures {

// Sides of the rectangle of the output frame that one thread owns for the time of a pass.
constexpr int TILE_WIDTH = 256;
constexpr int TILE_HEIGHT = 64;
// Side of the square of input pixels that is walked at a time.
constexpr int BLOCK = 32;

// A rectangle of output pixels, one of those or another; none if the first lies beyond the last.
struct Tile {
    int x0, x1, y0, y1;  // output pixels, last included
};

struct Block {
    int x0, x1, y0, y1;  // input pixels, last included
};

// Bounding box of what drops may touch, in output coordinates; empty if low > high.
struct Reach {
    double x0, x1, y0, y1;
};

// Memory of one thread, for one tile.
struct Scratch {
    double* sums;             // per output pixel: weight, then each plane's weighted sum
    unsigned char* positive;  // whether any contribution had a positive weight
    std::uint32_t* dq;
};

// Doubles per output pixel in Scratch::sums for so many planes.
inline int sums_per_pixel(int planes) { return (planes + 2) / 2 * 2; }

// One copy of each per instruction set; see walk.cpp.
struct Walk {
    void (*reach)(const Exposure&, const Block&, Reach* rows);  // of each row of the block
    // parts: of the output that each row of each block may touch, BLOCK of them for a block.
    void (*tile)(const Exposure&, const Mosaic&, const Tile&, const Block* blocks, const Tile* parts, const int* chosen,
                 int n, Scratch&);
    void (*weights)(const Exposure&, const Block&, float* map);   // into a (ny, nx) weight map
    void (*centres)(const Exposure&, const Block&, double* map);  // into a (ny, nx, 2) pixel map
};

Walk choose_walk();

// Adds an exposure; gives the part of the frame that it may have touched (x0 > x1: none).
Tile add(const Exposure& exposure, const Mosaic& mosaic, int threads);

// A rectangle of a frame of nx x ny pixels that holds all that an exposure may touch, from its pixel map alone.
Tile window(const Exposure& exposure, long long nx, long long ny, int threads);

void weight_map(const Exposure& exposure, float* map, int threads);
void full_pixmap(const Exposure& exposure, double* map, int threads);

// An output frame, and the part of it that any exposure has touched. Outside of that, nothing is read: pages of the
// accumulators that were never written to stay without memory.
struct Frame {
    long ny = 0, nx = 0;
    Tile touched{0, -1, 0, -1};
};

// Where the weight is 0 the image gets the fill value.
template <class T>
void fill(T* image, const T* weight, const Frame& frame, double value, int threads);

// Accumulated variances to the output's scale, in place; NaN where nothing contributed.
template <class T>
void finish_variance(T* variance, const T* weight, const Frame& frame, double scaling, int threads);

// Root of the sum of those variances that are not NaN; NaN where all are.
void error_from_variances(const float* const* variances, int count, float* error, const Frame& frame, int threads);

}  // namespace gpures

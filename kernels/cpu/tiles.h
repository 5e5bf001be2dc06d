// How a pass is cut up: blocks of input pixels, tiles of output pixels.
#pragma once

#include "../exposure.h"
#include "../portable.h"

namespace gpures {

// Sides of the rectangle of the output frame that one thread owns for the time of a pass.
constexpr int TILE_WIDTH = 512;
constexpr int TILE_HEIGHT = 256;
// Sides of the rectangle of input pixels that is walked at a time.
constexpr int BLOCK_WIDTH = 64;
constexpr int BLOCK_HEIGHT = 32;

// A rectangle of output pixels, one of those or another; none if the first lies beyond the last.
struct Tile {
    int x0, x1, y0, y1;  // output pixels, last included
};

struct Block {
    int x0, x1, y0, y1;               // input pixels, last included
    double shift_x = 0, shift_y = 0;  // added to their output coordinates: whole periods of the output
    bool whole = false;               // every pixel in it has all its neighbours beside it in the output
};

// Bounding box of what drops may touch, in output coordinates; empty if low > high.
struct Reach {
    double x0, x1, y0, y1;
};

// How an image is to be turned so that its rows run along those of the output, from left to right, and the next row is
// above: rows and columns are exchanged first. `is_known` is false where it lies in no such way.
struct Turn {
    bool transposed, mirrored_x, mirrored_y;
    bool is_known;

    bool operator==(const Turn& t) const
    {
        return transposed == t.transposed && mirrored_x == t.mirrored_x && mirrored_y == t.mirrored_y &&
               is_known == t.is_known;
    }
};

constexpr Reach NOWHERE = {1e300, -1e300, 1e300, -1e300};

// (Of its own for each instruction set, like all of portable.h.)
inline namespace GPURES_ISA {

inline Tile common(const Tile& a, const Tile& b)
{
    return {a.x0 > b.x0 ? a.x0 : b.x0, a.x1 < b.x1 ? a.x1 : b.x1, a.y0 > b.y0 ? a.y0 : b.y0, a.y1 < b.y1 ? a.y1 : b.y1};
}

// What holds both; where a coordinate of the first is NaN, the second alone.
inline Reach around_both(const Reach& r, const Reach& s)
{
    return {least(r.x0, s.x0), greatest(r.x1, s.x1), least(r.y0, s.y0), greatest(r.y1, s.y1)};
}

inline Reach with_margin(const Reach& r, double margin)
{
    return {r.x0 - margin, r.x1 + margin, r.y0 - margin, r.y1 + margin};
}

}  // namespace GPURES_ISA

// The blocks of an exposure, and the parts of the output frame that they may touch.
struct Blocks {
    const Block* block;
    const Tile* part;          // of each block
    const Tile* part_of_rows;  // of each of its rows, BLOCK_HEIGHT of them for a block
    bool side_by_side;         // whether most neighbours among input pixels go to neighbours of the output
    Scaling scaling;
};

}  // namespace gpures

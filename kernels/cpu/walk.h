// What is compiled once per instruction set (in walk/), and offered to the rest: the walk over a tile, and work on a
// block or a row.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../exposure.h"
#include "tiles.h"

namespace gpures {

struct Blot;
struct Operator;

// Numbers in a row of a tile's sums. Beyond its pixels there is room on both sides, so that a vector of any width can
// be added at any of them; and some more, so that rows near each other do not lie whole pages apart.
constexpr int MARGIN = 16;
constexpr int SUMS_WIDTH = TILE_WIDTH + 3 * MARGIN;

// Sums of an output pixel that are kept together, for so many planes: a power of two, or a multiple of 8.
constexpr int sums_of_pixel(int planes) { return planes < 2 ? 2 : planes < 4 ? 4 : (planes + 8) / 8 * 8; }

// What is noted of an output pixel: a contribution of positive weight, for the context image; a good pixel of weight 0,
// for the exposure time.
enum Mark : unsigned char { POSITIVE = 1, TIMED = 2 };

// What a thread spends its time on.
enum Phase { PIXMAP, READ, SPLAT, FOLD, PHASES };

// Seconds of each phase, for those who ask. (What is done with it is in walk/: templates of the library would be shared
// between instruction sets.)
struct Stopwatch {
    double (*now)();
    double last;  // when the phase began
    double seconds[PHASES];
};

// Memory of one thread for those rows of a tile that are worked on; in each of them SUMS_WIDTH numbers of each kind.
struct Scratch {
    int rows;              // at least as many as any block may touch
    void* sums;            // see walk/sums.h
    unsigned char* marks;  // see Mark
    std::uint32_t* dq;
    void* workspace;       // see Walk
    Stopwatch* stopwatch;  // null if nobody asks
};

// One copy of each per instruction set; see walk/walk.cpp.
struct Walk {
    // What a thread works with besides. It is of another size for each instruction set, too large for a stack, and
    // nothing for a static thread_local: a process ends where there is no memory for these. `prepare` makes one of so
    // many bytes, which begin with a cache line.
    std::size_t workspace_bytes;
    void (*prepare)(void* workspace);
    // Of each row of a block; how to turn it so that its pixels go side by side. It notes whether the block is whole.
    Turn (*reach)(const Exposure&, Block&, Reach* rows, void* workspace, Stopwatch*);
    void (*tile)(const Exposure&, const Mosaic&, const Tile&, const Blocks&, const int* chosen, int n, Scratch&);
    void (*weights)(const Exposure&, const Block&, float* map, void* workspace);  // into a (ny, nx) weight map
    void (*centres)(const Exposure&, const Block&, double* map);                  // into a (ny, nx, 2) pixel map
    // Pixels off a frame.
    void (*misses)(const Exposure&, Block, long long nx, long long ny, int* of_rows, void* workspace);
    // Pixels of a frame from one end of a drop to the other, at most.
    int (*largest_drop)(const Exposure&, Block, long long nx, long long ny, void* workspace);
    void (*merge_row)(const Merge&, long long row);  // of the window
    void (*blot_row)(const Blot&, long long row);
    // At the pixels of an exposure, whose places go into `room` for 2 nx numbers.
    void (*blot_exposure_row)(const Exposure&, const Blot&, long long row, double* room);
    void (*entries)(const Exposure&, const Block&, const Operator&, void* workspace);  // see walk/entries.h
    // Makes a range of weights hold those of a block as well, see walk.cpp.
    void (*extend_weights)(const Exposure&, const Block&, double* range, void* workspace);
};

// That of the widest vectors that this processor has.
Walk choose_walk();

// The same in floats, of tiles alone.
Walk choose_single_walk();

}  // namespace gpures

// What a thread does to blocks of input pixels besides adding them to a mosaic (see tile.cpp).
//
// Compiled once per instruction set (GPURES_ISA names it). It uses no library templates, whose copies the linker
// would share between instruction sets.
#include <new>

#include "block_maps.h"
#include "entries.h"
#include "stopwatch.h"

GPURES_BEGIN

// By how much the step from one input pixel to the next may differ from one to the next output pixel, for drops that
// are said to lie side by side: so much that some vector's worth of them do.
constexpr double MOST_MISALIGNED = 0.25;

// The way to turn the image so that neighbours in the middle of a block go to neighbours.
Turn reach(const Exposure& e, Block& b, Reach* rows, void* workspace, Stopwatch* watch)
{
    Centres& c = workspace_at(workspace).centres;
    reach_of_rows(e, b, rows, c);
    lap(watch, PIXMAP);
    Orientation o = orientation_of(c, b);
    // Without those around it a block may have no next pixel to go to.
    if (e.kernel != SQUARE && b.x0 == b.x1) o.dx = o.dy = NAN;
    if (e.kernel != SQUARE && b.y0 == b.y1) o.right = 0.0, o.up = 1.0;
    return o.turn(MOST_MISALIGNED, MOST_MISALIGNED_AROUND_POINTS);
}

void weights(const Exposure& e, const Block& b, float* map, void* workspace)
{
    fill_weight_map(e, b, map, workspace_at(workspace).row);
}

// The smallest and the largest weight of a block's pixels, without their signs and those that are 0, in a range of
// both.
void extend_weights(const Exposure& e, const Block& b, double* range, void* workspace)
{
    PixelRow& row = workspace_at(workspace).row;
    const int n = b.x1 - b.x0 + 1;
    Vector low = Vector{} + range[0], high = Vector{} + range[1];
    for (int j = b.y0; j <= b.y1; ++j) {
        read_weights(e, j, b.x0, n, false, row);
        for (int k = 0; k < n; k += LANES) {
            const Vector size = magnitude(load(row.weight + PADDING + k));
            low = least(select(size == Vector{}, low, size), low);
            high = greatest(size, high);
        }
    }
    for (int l = 0; l < LANES; ++l) {
        range[0] = least(range[0], low[l]);
        range[1] = greatest(range[1], high[l]);
    }
}

void misses(const Exposure& e, Block b, long long nx, long long ny, int* of_rows, void* workspace)
{
    count_misses(e, b, nx, ny, of_rows, workspace_at(workspace));
}

int largest_drop(const Exposure& e, Block b, long long nx, long long ny, void* workspace)
{
    return largest_drop(e, b, nx, ny, workspace_at(workspace));
}

// In tile.cpp:
void walk_tile(const Exposure& e, const Mosaic& m, const Tile& tile, const Blocks& blocks, const int* chosen, int n,
               Scratch& scratch);
void merge_row(const Merge& m, long long row);   // in merge_rows.cpp
void blot_row(const Blot& blot, long long row);  // in blot_rows.cpp, with:
void blot_exposure_row(const Exposure& e, const Blot& blot, long long row, double* room);

// As value-initialised: all zeros, which is what some of it has to begin with.
void prepare(void* workspace) { new (workspace) Workspace(); }

Walk walk_for_this_isa()
{
    return {sizeof(Workspace), prepare,   reach,    walk_tile,         weights,      fill_pixmap,   misses,
            largest_drop,      merge_row, blot_row, blot_exposure_row, take_entries, extend_weights};
}

GPURES_END

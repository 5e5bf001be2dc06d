// One thread's work: the blocks of input pixels that reach a tile of the output frame, splatted and folded.
//
//   centres.h     pixel map -> centres of the pixels (square_drops.h, shared_corners.h: -> their drops)
//   cells.h       where these are counted from
//   pixel_row.h   weights, DQ flags and values of the pixels (gathered.h: of those that lie apart)
//   splat_row.h   drops -> contributions to sums (plane_sums.h, pixel_sums.h)
//   pairs_row.h   the same drops -> pairs of output pixels, where their covariance is wanted
//   fold_row.h    sums -> mosaic, a row at a time (tile_rows.h: as soon as no block to come reaches it)
//
// Compiled twice per instruction set: in doubles, and in floats (GPURES_SINGLE, see precision.h). It uses no library
// templates, whose copies the linker would share between instruction sets.
#include <new>

#include "coverage.h"
#include "pixel_sums.h"
#include "stopwatch.h"
#include "tile_rows.h"
#include "workspace.h"

GPURES_BEGIN

inline bool meets(const Tile& p, const Tile& t) { return p.x0 <= t.x1 && p.x1 >= t.x0 && p.y0 <= t.y1 && p.y1 >= t.y0; }

// The first of the planes with squared weights, which are the last ones.
inline int first_squared(const Exposure& e)
{
    int p = e.planes;
    while (p > 0 && e.plane[p - 1].squared) --p;
    return p;
}

// PAIRS: whether there are pairs of output pixels.
template <class Sink, bool PAIRS = false>
void walk_tile_of(const Exposure& e, const Mosaic& m, const Tile& tile, const Blocks& blocks, const int* chosen,
                  int n_chosen, Scratch& scratch)
{
    Workspace& own = workspace_at(scratch.workspace);
    Centres& c = own.centres;
    PixelRow& row = own.row;
    SharedCorners& corners = own.corners;
    // What is counted from the origin is so in all of the walk but where it goes into the mosaic.
    const Origin origin = origin_of(tile);
    const int left = tile.x0 - static_cast<int>(origin.x), down = static_cast<int>(origin.y);
    Sink sink(scratch, blocks.scaling.units, left, tile.y0, e.planes, first_squared(e), m.dq && e.dq.data,
              &own.contributions);
    sink.can_fold_in_floats = blocks.scaling.can_fold_in_floats;
    // What of it there are accumulators for; a drop is cut at the tile's own edges all the same, as in the whole frame.
    const Tile kept = common(tile, {m.x0, m.x1, m.y0, m.y1});
    TileRows<Sink> rows(e, m, tile, kept, sink, own.folded);
    const Bounds bounds = {tile.x0 - origin.x,      tile.x1 - origin.x, tile.y0 - origin.y, tile.y1 - origin.y,
                           blocks.scaling.smallest, -origin.x,          -origin.y};
    const bool border = e.kernel == SQUARE, gather = own.gathered.begin(e);
    for (int k = 0; k < n_chosen; ++k) {
        Block b = blocks.block[chosen[k]];
        const Tile* part = blocks.part_of_rows + static_cast<std::ptrdiff_t>(chosen[k]) * BLOCK_HEIGHT;
        // The rows between the first and the last that reach what is kept of the tile.
        while (b.y0 <= b.y1 && !meets(*part, kept)) ++b.y0, ++part;
        while (b.y0 <= b.y1 && !meets(part[b.y1 - b.y0], kept)) --b.y1;
        if (b.y0 > b.y1) continue;
        rows.need(blocks.part[chosen[k]].y0, blocks.part[chosen[k]].y1);
        sink.y0 = rows.first() - down;
        lap(scratch.stopwatch, FOLD);
        const int n = b.x1 - b.x0 + 1;
        fill_centres(e, b, border, c);
        const Orientation lie = orientation_of(c, b);
        const bool around = are_around_points(e, lie);
        corners.begin(lie);
        lap(scratch.stopwatch, PIXMAP);
        const Exposure& pixels = gather ? own.gathered.gather(e, b) : e;
        for (int r = 0; r <= b.y1 - b.y0; ++r) {
            if (!meets(part[r], kept)) continue;
            read_weights(pixels, b.y0 + r, b.x0, n, m.time, row, blocks.scaling);
            read_values(pixels, b.y0 + r, b.x0, n, row);
#if !defined(GPURES_SINGLE)
            const bool pairs = PAIRS && read_pairs(e, b, c, r, m, part[r], row, own.held);
#endif
            if (gather) {
                if (k + 1 < n_chosen) own.gathered.prefetch(e, blocks.block[chosen[k + 1]], r);
            } else if (b.y0 + r < b.y1) {
                prefetch_pixels(e, b.y0 + r + 1, b.x0, n);
            } else if (k + 1 < n_chosen) {
                const Block& next = blocks.block[chosen[k + 1]];
                prefetch_pixels(e, next.y0, next.x0, next.x1 - next.x0 + 1);
            }
            lap(scratch.stopwatch, READ);
            if (share_corners(e, b)) corners.go_to(c, origin, r, n, around);
            const auto splat = [&](auto& into) {
                splat_row(e, b, c, corners, origin, r, row, row.weight + PADDING, bounds, around, into);
            };
            if constexpr (PAIRS) {
#if !defined(GPURES_SINGLE)
                const PairsOfTile to = {*m.pairs, m, kept};
                RowOfParts parts(to, own.held, n);
                // Drops that the tile's edges cut are walked once more, as wholes.
                const bool at_once = pairs && is_within(part[r], tile, m);
                if (at_once) {
                    BothSinks<Sink, RowOfParts> both = {sink, parts};
                    splat(both);
                } else {
                    splat(sink);
                }
                sink.finish(row, n);
                if (pairs) splat_row_of_pairs(e, b, c, corners, r, row, around, m, parts, at_once);
#endif
            } else {
                splat(sink);
                sink.finish(row, n);
            }
            if (row.any_unweighted) {
                TimeMarker marker = {scratch.marks, left, rows.first() - down};
                Bounds of_ones = bounds;
                of_ones.smallest = SMALLEST_DOW;  // these weights are not scaled
                splat_row(e, b, c, corners, origin, r, row, row.unweighted + PADDING, of_ones, around, marker);
            }
            lap(scratch.stopwatch, SPLAT);
        }
    }
    rows.fold_below(tile.y1 + 1);
    if (m.passed_over && sink.passed_over) __atomic_fetch_add(m.passed_over, sink.passed_over, __ATOMIC_RELAXED);
    lap(scratch.stopwatch, FOLD);
}

#if !defined(GPURES_SINGLE)
// Where there are pairs, too.
void walk_tile_with_pairs(const Exposure& e, const Mosaic& m, const Tile& tile, const Blocks& blocks, const int* chosen,
                          int n, Scratch& scratch)
{
    if (first_squared(e) < e.planes) {
        if (blocks.side_by_side) return walk_tile_of<PlaneSums<true>, true>(e, m, tile, blocks, chosen, n, scratch);
        if (sums_of_pixel(e.planes) == 8) {
            return walk_tile_of<PixelSums<8, true>, true>(e, m, tile, blocks, chosen, n, scratch);
        }
        return walk_tile_of<PixelSums<0, true>, true>(e, m, tile, blocks, chosen, n, scratch);
    }
    if (blocks.side_by_side) return walk_tile_of<PlaneSums<>, true>(e, m, tile, blocks, chosen, n, scratch);
    walk_tile_of<PixelSums<0>, true>(e, m, tile, blocks, chosen, n, scratch);
}
#endif

// Where some planes are weighted with squares.
void walk_tile_squared(const Exposure& e, const Mosaic& m, const Tile& tile, const Blocks& blocks, const int* chosen,
                       int n, Scratch& scratch)
{
    if (blocks.side_by_side) return walk_tile_of<PlaneSums<true>>(e, m, tile, blocks, chosen, n, scratch);
    if (sums_of_pixel(e.planes) == 8) {
        return walk_tile_of<PixelSums<8, true>>(e, m, tile, blocks, chosen, n, scratch);
    }
    walk_tile_of<PixelSums<0, true>>(e, m, tile, blocks, chosen, n, scratch);
}

void walk_tile(const Exposure& e, const Mosaic& m, const Tile& tile, const Blocks& blocks, const int* chosen, int n,
               Scratch& scratch)
{
#if !defined(GPURES_SINGLE)
    if (m.pairs) return walk_tile_with_pairs(e, m, tile, blocks, chosen, n, scratch);
#endif
    if (first_squared(e) < e.planes) return walk_tile_squared(e, m, tile, blocks, chosen, n, scratch);
    if (blocks.side_by_side) return walk_tile_of<PlaneSums<>>(e, m, tile, blocks, chosen, n, scratch);
    switch (sums_of_pixel(e.planes)) {
        case 2:
            return walk_tile_of<PixelSums<2>>(e, m, tile, blocks, chosen, n, scratch);
        case 4:
            return walk_tile_of<PixelSums<4>>(e, m, tile, blocks, chosen, n, scratch);
        case 8:
            return walk_tile_of<PixelSums<8>>(e, m, tile, blocks, chosen, n, scratch);
        default:
            return walk_tile_of<PixelSums<0>>(e, m, tile, blocks, chosen, n, scratch);
    }
}

#if defined(GPURES_SINGLE)
void prepare(void* workspace) { new (workspace) Workspace(); }

// Tiles alone.
Walk walk_for_this_isa()
{
    Walk walk = {};
    walk.workspace_bytes = sizeof(Workspace);
    walk.prepare = prepare;
    walk.tile = walk_tile;
    return walk;
}
#endif

GPURES_END

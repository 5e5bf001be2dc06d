// The sink that makes a matrix of an exposure's contributions: each becomes an entry (see ../../operator.h).
#pragma once

#include "../../operator.h"
#include "splat_row.h"
#include "workspace.h"

GPURES_BEGIN

template <class Index>
struct EntrySink {
    Entries<Index> entries;
    long long of_row = 0;  // column of the first pixel of a row
    long long first = 0;   // of the pixel in lane 0
    unsigned long long passed_over = 0;

    explicit EntrySink(const Operator& o) : entries{o} {}

    struct Places {
        double i[LANES], j[LANES];
    };

    void take(const PixelRow&, int k) { first = of_row + k; }

    Places place(Vector i, Vector j, Mask) const
    {
        Places places;
        store(i, places.i);
        store(j, places.j);
        return places;
    }

    void add(const Places& places, int c, int r, Vector dow) const
    {
        double each[LANES];
        store(dow, each);
        for (int l = 0; l < LANES; ++l) {
            if (each[l] == 0.0) continue;
            entries.take(static_cast<int>(places.i[l]) + c, static_cast<int>(places.j[l]) + r, first + l, each[l]);
        }
    }

    void pass_over(Mask lanes) { passed_over += __builtin_popcount(lanes_of(lanes)); }
};

template <class Index>
inline void take_entries_of(const Exposure& e, const Block& b, const Operator& o, Workspace& own)
{
    Centres& c = own.centres;
    SharedCorners& corners = own.corners;
    PixelRow& row = own.row;
    const int n = b.x1 - b.x0 + 1;
    fill_centres(e, b, e.kernel == SQUARE, c);
    const Orientation lie = orientation_of(c, b);
    const bool around = are_around_points(e, lie);
    const Bounds bounds = {double(o.x0), double(o.x1), double(o.y0), double(o.y1)};
    EntrySink<Index> sink(o);
    corners.begin(lie);
    for (int r = 0; r <= b.y1 - b.y0; ++r) {
        read_weights(e, b.y0 + r, b.x0, n, false, row);
        if (share_corners(e, b)) corners.go_to(c, {}, r, n, around);
        sink.of_row = (b.y0 + r) * e.nx + b.x0;
        splat_row(e, b, c, corners, {}, r, row, row.weight + PADDING, bounds, around, sink);
    }
    if (o.passed_over && sink.passed_over) added(o.passed_over, sink.passed_over);
}

// Those of a block; they are counted, or taken.
inline void take_entries(const Exposure& e, const Block& b, const Operator& o, void* workspace)
{
    if (o.wide) return take_entries_of<unsigned long long>(e, b, o, workspace_at(workspace));
    take_entries_of<unsigned>(e, b, o, workspace_at(workspace));
}

GPURES_END

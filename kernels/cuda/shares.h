// What the drops of a block share with output pixels, in a list for each of these: an output pixel that several drops
// share takes one atomic addition for each of its sums.
#pragma once

#include "block.h"

namespace gpures {

// An output pixel.
struct Place {
    int x, y;
};

// Output pixels of a block that have lists; along each axis, those that a drop may put shares into the lists of.
constexpr int CELLS = 1024, REACH = 3;

struct Lists {
    static constexpr unsigned END = 0xffff;

    int x0, x1, y0, y1;  // what the block's drops are expected to reach, last included
    unsigned head[CELLS];
    unsigned short next[REACH * REACH * THREADS];
    union {
        Real dow[REACH * REACH * THREADS];  // that of the k-th share of the n-th pixel is number k * THREADS + n
        Rows rows;                          // used before there are shares
    };

    // Before anything is expected.
    __device__ void forget()
    {
        x0 = y0 = 1 << 30;
        x1 = y1 = -(1 << 30);
    }

    // Expects a drop at a centre, of about the size of a pixel.
    __device__ void expect(Point centre)
    {
        if (!is_defined(centre)) return;
        const int x = static_cast<int>(nearest(centre.x)), y = static_cast<int>(nearest(centre.y));
        atomicMin(&x0, x - 1);
        atomicMax(&x1, x + 1);
        atomicMin(&y0, y - 1);
        atomicMax(&y1, y + 1);
    }
};

// The output pixels that have lists: those expected, if there are no more than can have some.
struct Part {
    int x0, y0, width, height;

    __device__ explicit Part(const Lists& lists)
        : x0(lists.x0), y0(lists.y0), width(lists.x1 - x0 + 1), height(lists.y1 - y0 + 1)
    {
        if (width <= 0 || width > CELLS || height > CELLS || width * height > CELLS) width = height = 0;
    }

    __device__ int cells() const { return width * height; }

    // Whether all that a drop may reach, from one output pixel to another, have lists.
    __device__ bool holds(int x, int y, int last_x, int last_y) const
    {
        return x >= x0 && y >= y0 && last_x < x0 + width && last_y < y0 + height && last_x - x < REACH &&
               last_y - y < REACH;
    }

    __device__ bool holds(const Drop& drop) const
    {
        const auto first = [](const Real v[4], Cell cell) { return pixel_at(nearest(least_of(v)), cell); };
        const auto last = [](const Real v[4], Cell cell) { return pixel_at(nearest(greatest_of(v)), cell); };
        return holds(first(drop.q.x, drop.x), first(drop.q.y, drop.y), last(drop.q.x, drop.x), last(drop.q.y, drop.y));
    }
};

// Puts a pixel's contributions into the lists of its block, all or none.
struct ListSink {
    const Mosaic& m;
    Lists& lists;
    const Part& part;
    Cell i0, j0;  // where the drop is counted from
    int pixel;
    bool is_held;         // whether the drop is known to reach only output pixels with lists
    bool counts_flat;     // whether it tells of drops without an area
    bool is_far = false;  // whether a drop around a point does not

    struct Place {
        int cell;
    };

    __device__ Place place(Real i, Real j, bool)
    {
        const int x = pixel_at(i, i0), y = pixel_at(j, j0);
        is_far = !is_held && !part.holds(x, y, x + 1, y + 1);
        return {(y - part.y0) * part.width + (x - part.x0)};
    }

    __device__ void add(Place place, int c, int r, Real dow)
    {
        if (is_far || dow == Real(0)) return;
        const unsigned share = (r * REACH + c) * THREADS + pixel;
        lists.dow[share] = dow;
        lists.next[share] = atomicExch(&lists.head[place.cell + r * part.width + c], share);
    }

    __device__ void pass_over(bool is_flat)
    {
        if (is_flat && counts_flat && m.passed_over) atomicAdd(m.passed_over, 1ull);
    }
};

}  // namespace gpures

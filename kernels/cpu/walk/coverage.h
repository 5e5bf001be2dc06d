// Sinks that add nothing, and note what falls where.
#pragma once

#include "sums.h"

GPURES_BEGIN

// Notes which output pixels the pixels of a row fall on.
struct TimeMarker {
    unsigned char* marks;
    int x0, y0;  // output pixel that they begin with

    struct Places {
        Real i[REALS], j[REALS];
    };

    void take(const PixelRow&, int) {}

    Places place(Reals i, Reals j, RealMask) const
    {
        Places places;
        store(i, places.i);
        store(j, places.j);
        return places;
    }

    void add(const Places& places, int c, int r, Reals dow)
    {
        Real each[REALS];
        store(dow, each);
        for (int l = 0; l < REALS; ++l) {
            if (each[l] == 0.0) continue;
            const int column = static_cast<int>(places.i[l]) - x0 + c, row = static_cast<int>(places.j[l]) - y0 + r;
            marks[index_in_rows(column, row)] |= TIMED;
        }
    }

    void pass_over(RealMask) {}
};

// Notes which input pixels of a row contribute, whatever and wherever.
struct PixelsOnFrame {
    bool on_frame[ROW_LENGTH] = {};
    int first = 0;  // pixel in lane 0

    void take(const PixelRow&, int k) { first = k; }

    int place(Vector, Vector, Mask) const { return 0; }

    void add(int, int, int, Vector dow)
    {
        double each[LANES];
        store(dow, each);
        for (int l = 0; l < LANES; ++l) on_frame[first + l] |= each[l] != 0.0;
    }

    // What has no area does not fall beside the frame.
    void pass_over(Mask lanes)
    {
        for (int l = 0; l < LANES; ++l) on_frame[first + l] |= lanes[l] != 0;
    }
};

// Notes how far it is, in pixels along either axis, from one end of a drop to the other.
struct LargestDrop {
    int largest = 0;
    int first_column[LANES], first_row[LANES];

    void take(const PixelRow&, int)
    {
        for (int l = 0; l < LANES; ++l) first_column[l] = first_row[l] = -1;
    }

    int place(Vector, Vector, Mask) const { return 0; }

    // Columns come one after the other, and so do rows.
    void add(int, int c, int r, Vector dow)
    {
        double each[LANES];
        store(dow, each);
        for (int l = 0; l < LANES; ++l) {
            if (each[l] == 0.0) continue;
            note(c, first_column[l]);
            note(r, first_row[l]);
        }
    }

    void pass_over(Mask) {}

  private:
    void note(int at, int& first)
    {
        first = first < 0 || at < first ? at : first;
        largest = largest > at - first ? largest : at - first;
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

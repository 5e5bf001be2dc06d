// Maps of whole images, for those who ask for them: a block's part of each.
#pragma once

#include "coverage.h"
#include "reach.h"
#include "splat_row.h"
#include "workspace.h"

GPURES_BEGIN

// The weights of a block's pixels, into a map of the image.
inline void fill_weight_map(const Exposure& e, const Block& b, float* map, PixelRow& row)
{
    const int n = b.x1 - b.x0 + 1;
    for (int j = b.y0; j <= b.y1; ++j) {
        read_weights(e, j, b.x0, n, false, row);
        for (int k = 0; k < n; ++k) map[j * e.nx + b.x0 + k] = static_cast<float>(row.weight[PADDING + k]);
    }
}

// Weights of 1 for n pixels of a row.
inline const double* ones(int n, PixelRow& row)
{
    double* weight = row.weight + PADDING;
    for (int k = 0; k < n + LANES; ++k) weight[k] = k < n ? 1.0 : 0.0;
    return weight;
}

// How many pixels of each row of a block fall beside a frame of nx x ny pixels.
inline void count_misses(const Exposure& e, Block b, long long nx, long long ny, int* misses, Workspace& own)
{
    Centres& c = own.centres;
    SharedCorners& corners = own.corners;
    const bool border = e.kernel == SQUARE;
    const int n = b.x1 - b.x0 + 1;
    fill_centres(e, b, border, c);
    Reach boxes[BLOCK_HEIGHT + 2];
    b.whole = !border || boxes_of_rows(e, b, c, boxes);
    // A drop around a centre inside the frame falls on it, if it is as wide as the pixels and its corners are known.
    bool inside = reach_of_drop(e.kernel, e.pixel_scale_ratio, e.pixfrac) >= 1.5 || e.kernel < LANCZOS2;
    for (int j = b.y0; j <= b.y1; ++j) {
        const int r = j - b.y0 + 1;
        inside = inside && lie_inside(c.x[r] + 1, c.y[r] + 1, n, static_cast<double>(nx), static_cast<double>(ny));
        misses[j - b.y0] = 0;
    }
    if (inside && b.whole) return;
    PixelRow& row = own.row;
    const double* const weight = ones(n, row);
    const Bounds bounds = {0.0, static_cast<double>(nx - 1), 0.0, static_cast<double>(ny - 1)};
    const Orientation lie = orientation_of(c, b);
    const bool around = are_around_points(e, lie);
    corners.begin(lie);
    for (int r = 0; r <= b.y1 - b.y0; ++r) {
        PixelsOnFrame pixels;
        if (share_corners(e, b)) corners.go_to(c, {}, r, n, around);
        splat_row(e, b, c, corners, {}, r, row, weight, bounds, around, pixels);
        for (int k = 0; k < n; ++k) misses[r] += !pixels.on_frame[k];
    }
}

// How far it is from one end of a drop to the other, along either axis, in pixels of a frame, at most.
inline int largest_drop(const Exposure& e, Block b, long long nx, long long ny, Workspace& own)
{
    const bool border = e.kernel == SQUARE;
    const int n = b.x1 - b.x0 + 1;
    fill_centres(e, b, border, own.centres);
    Reach boxes[BLOCK_HEIGHT + 2];
    b.whole = !border || boxes_of_rows(e, b, own.centres, boxes);
    const double* const weight = ones(n, own.row);
    // Where the frame is periodic its pixels may be found a period or two beside it.
    const double x = 2.0 * e.pixmap.period_x, y = 2.0 * e.pixmap.period_y;
    const Bounds bounds = {-x, static_cast<double>(nx - 1) + x, -y, static_cast<double>(ny - 1) + y};
    LargestDrop drop;
    own.corners.begin(orientation_of(own.centres, b));
    for (int r = 0; r <= b.y1 - b.y0; ++r) {
        if (share_corners(e, b)) own.corners.go_to(own.centres, {}, r, n, false);
        splat_row(e, b, own.centres, own.corners, {}, r, own.row, weight, bounds, false, drop);
    }
    return drop.largest;
}

// The centres of a block's pixels, into a map of the image.
inline void fill_pixmap(const Exposure& e, const Block& b, double* map)
{
    double x[BLOCK_WIDTH], y[BLOCK_WIDTH];
    for (int j = b.y0; j <= b.y1; ++j) {
        inner_row(e, j, b.x0, b.x1, x, y);
        double* p = map + 2 * (j * e.nx + b.x0);
        for (int k = 0; k <= b.x1 - b.x0; ++k) {
            p[2 * k] = x[k];
            p[2 * k + 1] = y[k];
        }
    }
}

GPURES_END

// How far the drops of a block reach in the output frame.
#pragma once

#include "spline_boxes.h"
#include "square_drops.h"

GPURES_BEGIN

// Smallest and largest of a row's coordinates, NaN passed over; and whether there are none.
inline bool extend_range(const double* p, int n, double& low, double& high)
{
    int k = 0;
    double sum = 0.0;
    if (n >= LANES) {
        Vector least_lanes = Vector{} + low, most_lanes = Vector{} + high, sums = Vector{};
        for (; k + LANES <= n; k += LANES) {
            const Vector v = load(p + k);
            least_lanes = least(v, least_lanes);
            most_lanes = greatest(v, most_lanes);
            sums = sums + v;
        }
        double each[LANES];
        store(least_lanes, each);
        for (double v : each) low = least(v, low);
        store(most_lanes, each);
        for (double v : each) high = greatest(v, high);
        store(sums, each);
        for (double v : each) sum += v;
    }
    for (; k < n; ++k) {
        low = least(p[k], low);
        high = greatest(p[k], high);
        sum += p[k];
    }
    return sum == sum;
}

// The longest step between neighbours along one axis, of the centres of a block and those around it.
inline double longest_step(const Centres& c, const Block& b)
{
    double longest = 0.0;
    for (int a = 0; a < b.y1 - b.y0 + 3; ++a) {
        for (int k = 0; k < b.x1 - b.x0 + 3; ++k) {
            const int right = k < b.x1 - b.x0 + 2 ? k + 1 : k, up = a < b.y1 - b.y0 + 2 ? a + 1 : a;
            const Point here = {c.x[a][k], c.y[a][k]};
            longest = greatest(longest, length(Point{c.x[a][right], c.y[a][right]} - here));
            longest = greatest(longest, length(Point{c.x[up][k], c.y[up][k]} - here));
        }
    }
    return longest;
}

// Whether every pixel of a block has its neighbours, all eight, beside it; by a box around all of their centres, which
// has none else.
inline bool have_neighbours_beside(const Exposure& e, const Reach& all)
{
    const double sure = sure_step(e.pixmap);
    return is_defined({all.x0, all.y0}) && is_defined({all.x1, all.y1}) && all.x1 - all.x0 < sure &&
           all.y1 - all.y0 < sure;
}

// Bounding boxes of each row of the centres of a block and those around it. Whether every pixel has its neighbours, all
// eight, beside it.
inline bool boxes_of_rows(const Exposure& e, const Block& b, const Centres& c, Reach* boxes)
{
    const int n = b.x1 - b.x0 + 3, n_rows = b.y1 - b.y0 + 3;
    bool numbers = true;
    Reach all = NOWHERE;
    for (int a = 0; a < n_rows; ++a) {
        Reach& r = boxes[a] = NOWHERE;
        numbers &= extend_range(c.x[a], n, r.x0, r.x1);
        numbers &= extend_range(c.y[a], n, r.y0, r.y1);
        all = around_both(all, r);
    }
    if (!numbers || !is_defined({all.x0, all.y0}) || !is_defined({all.x1, all.y1})) return false;
    // A diagonal one is no longer than two of these.
    return have_neighbours_beside(e, all) || 2.0 * longest_step(c, b) < sure_step(e.pixmap);
}

// Bounding box of the drops of row r of a block that is not whole.
inline Reach box_of_drops(const Exposure& e, const Block& b, const Centres& c, int r)
{
    const int n = b.x1 - b.x0 + 1;
    Reach box = NOWHERE;
    for (int k = 0; k < n; k += LANES) {
        const Quad<Vector> q = drops_anywhere(e, b, c, r, k, n);
        for (int a = 0; a < 4; ++a) {
            for (int l = 0; l < LANES && k + l < n; ++l) {
                box = around_both({q.x[a][l], q.x[a][l], q.y[a][l], q.y[a][l]}, box);
            }
        }
    }
    return box;
}

// The same of a block whose pixel map is a spline, without its centres; false where these are needed.
inline bool boxes_of_whole_block(const Exposure& e, const Block& b, Reach* boxes)
{
    const int border = e.kernel == SQUARE;
    if (!boxes_by_coefficients(e, b, border, boxes)) return false;
    if (!border) return true;
    Reach all = NOWHERE;
    for (int a = 0; a < b.y1 - b.y0 + 3; ++a) all = around_both(all, boxes[a]);
    return have_neighbours_beside(e, all);
}

// Bounding boxes of what the rows of a block may touch: of their centres, of those next to them where corners depend on
// these, and the drops around them. It notes whether the block is whole, and leaves in `c` its centres, or those that
// tell its orientation.
inline void reach_of_rows(const Exposure& e, Block& b, Reach* rows, Centres& c)
{
    const double margin = reach_of_drop(e.kernel, e.pixel_scale_ratio, e.pixfrac);
    const int n_rows = b.y1 - b.y0 + 1;
    Reach boxes[BLOCK_HEIGHT + 2];
    b.whole = true;
    if (boxes_of_whole_block(e, b, boxes)) {
        fill_middle(e, b, c);
    } else {
        fill_centres(e, b, e.kernel == SQUARE, c);
        if (e.kernel == SQUARE) b.whole = boxes_of_rows(e, b, c, boxes);
        for (int k = 1; k <= n_rows && e.kernel != SQUARE; ++k) {
            boxes[k] = NOWHERE;
            extend_range(c.x[k] + 1, b.x1 - b.x0 + 1, boxes[k].x0, boxes[k].x1);
            extend_range(c.y[k] + 1, b.x1 - b.x0 + 1, boxes[k].y0, boxes[k].y1);
        }
    }
    for (int k = 0; k < n_rows; ++k) {
        if (e.kernel != SQUARE) {
            rows[k] = boxes[k + 1];
        } else if (b.whole) {
            rows[k] = around_both(boxes[k + 1], around_both(boxes[k], boxes[k + 2]));
        } else {
            rows[k] = box_of_drops(e, b, c, k);
        }
        rows[k] = with_margin(rows[k], margin);
    }
}

GPURES_END

#include "window.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "../drop.h"
#include "../pixmap.h"
#include "blocks.h"

namespace gpures {

Reach shifted(const Reach& r, double x, double y) { return {r.x0 + x, r.x1 + x, r.y0 + y, r.y1 + y}; }

// Computed in double before the conversion, as coordinates may be anything.
Tile part_of_frame(const Reach& r, long long nx, long long ny)
{
    const double last_x = static_cast<double>(nx - 1), last_y = static_cast<double>(ny - 1);
    const double x0 = std::max(r.x0 - 1.0, 0.0), x1 = std::min(r.x1 + 1.0, last_x);
    const double y0 = std::max(r.y0 - 1.0, 0.0), y1 = std::min(r.y1 + 1.0, last_y);
    if (!(x0 <= x1 && y0 <= y1)) return {0, -1, 0, -1};
    return {static_cast<int>(x0), static_cast<int>(x1), static_cast<int>(y0), static_cast<int>(y1)};
}

namespace {

// By how many periods a reach from low to high may be moved and still touch n pixels: from the first to the last.
struct Periods {
    int first, last;
};

Periods periods_within(double period, double low, double high, long long n)
{
    if (!(period > 0.0)) return {0, 0};
    // No WCS that is periodic gives coordinates further than a period or two from its frame.
    const double edge = static_cast<double>(n), margin = 4.0 * period;
    low = std::max(low, -margin);
    high = std::min(high, edge + margin);
    if (!(low <= high)) return {0, -1};
    return {static_cast<int>(std::ceil((-1.5 - high) / period)),
            static_cast<int>(std::floor((edge + 0.5 - low) / period))};
}

}  // namespace

std::vector<Copy> copies_of(const Pixmap& m, const Reach& r, long long nx, long long ny)
{
    std::vector<Copy> copies;
    const Periods x = periods_within(m.period_x, r.x0, r.x1, nx);
    const Periods y = periods_within(m.period_y, r.y0, r.y1, ny);
    for (int j = y.first; j <= y.last; ++j) {
        for (int i = x.first; i <= x.last; ++i) {
            const double shift_x = i * m.period_x, shift_y = j * m.period_y;
            const Tile part = part_of_frame(shifted(r, shift_x, shift_y), nx, ny);
            if (part.x0 <= part.x1) copies.push_back({shift_x, shift_y, part});
        }
    }
    return copies;
}

namespace {

// How many of its coefficients a spline has factors for, along one axis of n pixels: 2 or 4.
int spline_support(const double* factors, long long n)
{
    for (int a = SPLINE_SUPPORT; a > 1; --a) {
        for (long long k = 0; k < n; ++k) {
            if (factors[(a - 1) * n + k] != 0.0) return a;
        }
    }
    return 1;
}

// A spline lies within the range of its coefficients, as B-splines are positive and add up to one.
Reach reach_of_spline(const Exposure& e)
{
    Reach r = NOWHERE;
    const Pixmap& m = e.pixmap;
    const int x0 = std::max(e.x0 - 1, m.x0), x1 = std::min(e.x1 + 1, m.x1);
    const int y0 = std::max(e.y0 - 1, m.y0), y1 = std::min(e.y1 + 1, m.y1);
    if (x0 > x1 || y0 > y1) return r;
    const int across = spline_support(m.column_factors, e.nx), up = spline_support(m.row_factors, e.ny);
    for (int j = m.first_row[y0]; j < m.first_row[y1] + up; ++j) {
        for (int i = m.first_column[x0]; i < m.first_column[x1] + across; ++i) {
            const double x = m.coefficients_x[j * m.coefficients_per_row + i];
            const double y = m.coefficients_y[j * m.coefficients_per_row + i];
            r = around_both({x, x, y, y}, r);
        }
    }
    const double margin = baseline::reach_of_drop(e.kernel, e.pixel_scale_ratio, e.pixfrac);
    return with_margin(r, margin);
}

}  // namespace

std::vector<Copy> copies(const Exposure& e, long long nx, long long ny, int threads, bool& whole)
{
    Reach all = NOWHERE;
    std::vector<Block> blocks;
    if (!is_spline(e.pixmap)) {
        blocks = blocks_of(e.x0, e.x1, e.y0, e.y1);
    } else {
        all = reach_of_spline(e);
        // Beyond the edges of the image, or of the spline, the square drop continues the map, so these are looked at
        // centre by centre.
        const int x0 = std::max(e.x0, e.pixmap.x0), x1 = std::min(e.x1, e.pixmap.x1);
        const int y0 = std::max(e.y0, e.pixmap.y0), y1 = std::min(e.y1, e.pixmap.y1);
        for (const Block& edge :
             {Block{x0, x1, y0, y0}, Block{x0, x1, y1, y1}, Block{x0, x0, y0, y1}, Block{x1, x1, y0, y1}}) {
            for (const Block& b : blocks_of(edge.x0, edge.x1, edge.y0, edge.y1)) blocks.push_back(b);
        }
    }
    // A thread takes longer to begin than to look at this many blocks.
    constexpr int BLOCKS_OF_A_THREAD = 1024;
    threads = std::min(threads, 1 + static_cast<int>(blocks.size()) / BLOCKS_OF_A_THREAD);
    const Walk walk = choose_walk();
    std::mutex of_all;
    whole = true;
    over_blocks(threads, walk, blocks, [&](Block b, void* workspace) {
        Reach rows[BLOCK_HEIGHT];
        walk.reach(e, b, rows, workspace, nullptr);
        const std::lock_guard<std::mutex> lock(of_all);
        whole = whole && b.whole;
        for (int r = 0; r <= b.y1 - b.y0; ++r) all = around_both(rows[r], all);
    });
    return copies_of(e.pixmap, all, nx, ny);
}

}  // namespace gpures

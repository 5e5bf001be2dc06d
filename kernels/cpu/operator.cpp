#include "../operator.h"

#include <algorithm>

#include "blocks.h"
#include "operator.h"
#include "window.h"

namespace gpures {

namespace {

// Rows handed to a thread at a time.
constexpr long long ROWS_AT_ONCE = 4096;

// Calls work(k) for each row.
template <class Work>
void over_rows(const Operator& o, int threads, const Work& work)
{
    const long long rows = rows_of(o);
    over_threads(threads, static_cast<int>((rows + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE), [&] {
        return [&](int k) {
            const long long end = std::min(rows, (k + 1) * ROWS_AT_ONCE);
            for (long long row = k * ROWS_AT_ONCE; row < end; ++row) work(row);
        };
    });
}

}  // namespace

void take_entries(const Exposure& e, const Operator& o, long long nx, long long ny, int threads)
{
    const Walk walk = choose_walk();
    over_blocks(threads, walk, blocks_of(e.x0, e.x1, e.y0, e.y1), [&](Block b, void* workspace) {
        Reach rows[BLOCK_HEIGHT];
        walk.reach(e, b, rows, workspace, nullptr);
        Reach all = NOWHERE;
        for (int r = 0; r <= b.y1 - b.y0; ++r) all = around_both(rows[r], all);
        for (const Copy& copy : copies_of(e.pixmap, all, nx, ny)) {
            const Tile& p = copy.part;
            if (p.x0 > o.x1 || p.x1 < o.x0 || p.y0 > o.y1 || p.y1 < o.y0) continue;
            b.shift_x = copy.shift_x;
            b.shift_y = copy.shift_y;
            walk.entries(e, b, o, workspace);
        }
    });
}

void sort_rows(const Operator& o, int threads)
{
    over_rows(o, threads, [&](long long k) { o.wide ? sort_row<unsigned long long>(o, k) : sort_row<unsigned>(o, k); });
}

void add_products(const Operator& o, const double* image, double* sums, long long stride, int threads)
{
    const int width = o.x1 - o.x0 + 1;
    over_rows(o, threads, [&](long long k) {
        sums[k / width * stride + k % width] +=
            o.wide ? row_times<unsigned long long>(o, k, image) : row_times<unsigned>(o, k, image);
    });
}

}  // namespace gpures

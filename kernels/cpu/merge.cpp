#include "merge.h"

#include <algorithm>

#include "threads.h"
#include "walk.h"

namespace gpures {

namespace {

// Rows handed to a thread at a time.
constexpr int ROWS_AT_ONCE = 16;

}  // namespace

void merge(const Merge& m, int threads)
{
    const Walk walk = choose_walk();
    const int rows = m.y1 - m.y0 + 1;
    over_threads(threads, (rows + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE, [&] {
        return [&](int k) {
            const int end = std::min(rows, (k + 1) * ROWS_AT_ONCE);
            for (int row = k * ROWS_AT_ONCE; row < end; ++row) walk.merge_row(m, row);
        };
    });
}

}  // namespace gpures

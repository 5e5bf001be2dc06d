#include "maps.h"

#include <atomic>
#include <vector>

#include "blocks.h"

namespace gpures {

namespace {

std::vector<Block> blocks_of_image(const Exposure& e)
{
    return blocks_of(0, static_cast<int>(e.nx) - 1, 0, static_cast<int>(e.ny) - 1);
}

}  // namespace

Misses misses(const Exposure& e, long long nx, long long ny, int threads)
{
    const Walk walk = choose_walk();
    std::vector<std::atomic<int>> of_row(e.y1 - e.y0 + 1);
    over_blocks(threads, walk, blocks_of(e.x0, e.x1, e.y0, e.y1), [&](const Block& b, void* workspace) {
        int of_block[BLOCK_HEIGHT];
        walk.misses(e, b, nx, ny, of_block, workspace);
        for (int j = b.y0; j <= b.y1; ++j) of_row[j - e.y0] += of_block[j - b.y0];
    });
    Misses found = {0, 0};
    for (const auto& count : of_row) {
        found.pixels += count;
        found.rows += count == e.x1 - e.x0 + 1;
    }
    return found;
}

int largest_drop(const Exposure& e, long long nx, long long ny, int threads)
{
    const Walk walk = choose_walk();
    std::atomic<int> largest{0};
    over_blocks(threads, walk, blocks_of(e.x0, e.x1, e.y0, e.y1), [&](const Block& b, void* workspace) {
        const int of_block = walk.largest_drop(e, b, nx, ny, workspace);
        int before = largest;
        while (of_block > before && !largest.compare_exchange_weak(before, of_block)) continue;
    });
    return largest;
}

void weight_map(const Exposure& e, float* map, int threads)
{
    const Walk walk = choose_walk();
    over_blocks(threads, walk, blocks_of_image(e),
                [&](const Block& b, void* workspace) { walk.weights(e, b, map, workspace); });
}

void full_pixmap(const Exposure& e, double* map, int threads)
{
    const Walk walk = choose_walk();
    over_blocks(threads, walk, blocks_of_image(e), [&](const Block& b, void*) { walk.centres(e, b, map); });
}

}  // namespace gpures

// An image in blocks, which threads take.
#pragma once

#include <algorithm>
#include <vector>

#include "thread_memory.h"
#include "threads.h"
#include "walk.h"

namespace gpures {

// Those of a rectangle of input pixels, the last ones included.
inline std::vector<Block> blocks_of(int x0, int x1, int y0, int y1)
{
    std::vector<Block> blocks;
    for (int y = y0; y <= y1; y += BLOCK_HEIGHT) {
        for (int x = x0; x <= x1; x += BLOCK_WIDTH) {
            blocks.push_back({x, std::min(x + BLOCK_WIDTH - 1, x1), y, std::min(y + BLOCK_HEIGHT - 1, y1)});
        }
    }
    return blocks;
}

// Calls work(block, workspace) for each of them.
template <class Work>
void over_blocks(int threads, const Walk& walk, const std::vector<Block>& blocks, const Work& work)
{
    over_threads(threads, static_cast<int>(blocks.size()),
                 [&] { return [&, own = OwnMemory(walk)](int k) mutable { work(blocks[k], own.workspace()); }; });
}

}  // namespace gpures

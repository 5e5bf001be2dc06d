// Runs blocks, some at a time: which warp goes on, and how far, is drawn at random.
#pragma once

#include <algorithm>

#include "machine.h"

namespace ptx {

constexpr int BLOCKS_AT_A_TIME = 3;

// Parts lanes at a branch: those that jump go first.
inline void branch(Warp& w, const Instruction& i, u32 jumping)
{
    Frame& f = w.stack.back();
    const u32 others = f.mask & ~jumping;
    const int after = f.at + 1;
    if (!others) {
        f.at = i.target;
    } else if (!jumping) {
        f.at = after;
    } else {
        f.at = i.joins;
        if (after != i.joins) w.stack.push_back({after, i.joins, others});
        if (i.target != i.joins) w.stack.push_back({i.target, i.joins, jumping});
    }
}

inline void run_plain(Warp& w, const Instruction& i, u32 mask)
{
    try {
        i.run(w, i, mask);
    } catch (const Error& error) {
        if (std::strstr(error.what(), ", at line ")) throw;
        fail(i, error.what());
    }
}

// Runs a warp for so many instructions, or to a barrier or its end.
inline void run(Warp& w, int steps)
{
    const std::vector<Instruction>& code = w.launch->kernel.code;
    while (steps-- > 0) {
        while (!w.stack.empty()) {
            Frame& f = w.stack.back();
            f.mask &= w.alive;
            if (f.mask && f.at != f.joins) break;
            w.stack.pop_back();
        }
        if (w.stack.empty()) {
            w.alive = 0;
            return;
        }
        Frame& f = w.stack.back();
        const Instruction& i = code.at(f.at);
        const u32 mask = i.guard.number < 0 ? f.mask : f.mask & w.lanes_of(i.guard);
        ++i.counts.warps;
        i.counts.threads += __builtin_popcount(mask);
        if (i.flow == Instruction::BRANCH) {
            branch(w, i, mask);
            continue;
        }
        ++f.at;
        if (i.flow == Instruction::PLAIN) {
            if (mask) run_plain(w, i, mask);
        } else if (i.flow == Instruction::EXIT) {
            w.alive &= ~mask;
        } else {
            if (mask != w.alive) fail(i, "some threads of a warp wait at a barrier that others do not reach");
            w.waits = true;
            return;
        }
    }
}

inline u32 special(const std::string& name, const Launch& g, const u32 (&block)[3], u32 thread)
{
    const int axis = name.back() - 'x';
    if (name == "%laneid") return thread % LANES;
    if (name == "%warpid") return thread / LANES;
    if (name.rfind("%ntid", 0) == 0) return g.block[axis];
    if (name.rfind("%nctaid", 0) == 0) return g.grid[axis];
    if (name.rfind("%ctaid", 0) == 0) return block[axis];
    const u32 of[3] = {thread % g.block[0], thread / g.block[0] % g.block[1], thread / g.block[0] / g.block[1]};
    return of[axis];
}

// A block before its first instruction. What no instruction has written is nonsense.
inline std::unique_ptr<Block> begun(Launch& g, u32 number)
{
    const Kernel& k = g.kernel;
    auto block = std::make_unique<Block>();
    const u32 threads = g.block[0] * g.block[1] * g.block[2];
    const u32 place[3] = {number % g.grid[0], number / g.grid[0] % g.grid[1], number / g.grid[0] / g.grid[1]};
    block->shared.assign(k.shared_bytes, 0xab);
    block->warps.resize((threads + LANES - 1) / LANES);
    u32 of_block = 0;
    for (Warp& w : block->warps) {
        w.launch = &g;
        w.block = block.get();
        w.number = of_block++;
        w.first_thread = number * threads + w.number * LANES;
        w.values.assign(static_cast<std::size_t>(k.rows) * LANES, 0xfff4dead0badbad1ull);
        w.predicates.assign(k.predicates, 0x5a5a5a5a);
        w.local.assign(static_cast<std::size_t>(k.local_bytes) * LANES, 0xab);
        for (const auto& [bits, row] : k.constants) std::fill_n(w.row({row}), LANES, bits);
        for (int l = 0; l < LANES; ++l) {
            const u32 thread = w.number * LANES + l;
            if (thread < threads) w.alive |= 1u << l;
            for (const Special& s : k.specials) w.row({s.row})[l] = special(s.name, g, place, thread);
        }
        w.stack.push_back({0, -1, w.alive});
    }
    return block;
}

// Lets the warps of a block pass a barrier when all have come to it.
inline void pass_barrier(Block& b)
{
    bool waits = false, ended = false;
    for (const Warp& w : b.warps) {
        if (w.alive && !w.waits) return;
        (w.alive ? waits : ended) = true;
    }
    if (!waits) return;
    if (ended) throw Error("some threads of a block wait at a barrier that the others have passed by");
    for (Warp& w : b.warps) w.waits = false;
    b.touched = Shadow();
}

inline void run(Launch& g)
{
    std::vector<u32> order(static_cast<std::size_t>(g.grid[0]) * g.grid[1] * g.grid[2]);
    for (std::size_t n = 0; n < order.size(); ++n) order[n] = static_cast<u32>(n);
    std::shuffle(order.begin(), order.end(), g.random);
    std::vector<std::unique_ptr<Block>> blocks;
    while (!order.empty() || !blocks.empty()) {
        while (!order.empty() && blocks.size() < BLOCKS_AT_A_TIME) {
            blocks.push_back(begun(g, order.back()));
            order.pop_back();
        }
        const std::size_t n = g.random() % blocks.size();
        std::vector<Warp*> ready;
        for (Warp& w : blocks[n]->warps) {
            if (w.alive && !w.waits) ready.push_back(&w);
        }
        if (ready.empty()) {  // as none waits at a barrier, all have ended
            blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(n));
            continue;
        }
        run(*ready[g.random() % ready.size()], 20 + static_cast<int>(g.random() % 2000));
        pass_barrier(*blocks[n]);
    }
}

}  // namespace ptx

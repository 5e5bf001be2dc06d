// Where the ways of lanes that part at a branch meet again: at the branch's immediate postdominator.
#pragma once

#include "machine.h"

namespace ptx {

// Pieces of code that are entered at their beginning alone. The last one is the end, and has no instructions.
struct Flow {
    std::vector<int> first, of_instruction;  // instruction of a piece, piece of an instruction
    std::vector<std::vector<int>> after, before;
};

inline Flow flow_of(const std::vector<Instruction>& code)
{
    const int n = static_cast<int>(code.size());
    std::vector<bool> begins(n + 1, false);
    begins[0] = begins[n] = true;
    for (int k = 0; k < n; ++k) {
        if (code[k].flow == Instruction::BRANCH) begins[code[k].target] = true;
        if (code[k].flow == Instruction::BRANCH || code[k].flow == Instruction::EXIT) begins[k + 1] = true;
    }
    Flow f;
    for (int k = 0; k <= n; ++k) {
        if (begins[k]) f.first.push_back(k);
        f.of_instruction.push_back(static_cast<int>(f.first.size()) - 1);
    }
    const int end = static_cast<int>(f.first.size()) - 1;
    f.after.resize(end + 1);
    f.before.resize(end + 1);
    for (int piece = 0; piece < end; ++piece) {
        const Instruction& last = code[f.first[piece + 1] - 1];
        if (last.flow == Instruction::EXIT) f.after[piece].push_back(end);
        if (last.flow == Instruction::BRANCH) f.after[piece].push_back(f.of_instruction[last.target]);
        const bool goes_on =
            (last.flow != Instruction::EXIT && last.flow != Instruction::BRANCH) || last.guard.number >= 0;
        if (goes_on) f.after[piece].push_back(piece + 1);
        for (int to : f.after[piece]) f.before[to].push_back(piece);
    }
    return f;
}

// Pieces in the order in which a walk from the end backwards leaves them.
inline std::vector<int> backwards(const Flow& f)
{
    const int end = static_cast<int>(f.first.size()) - 1;
    std::vector<int> order;
    std::vector<bool> seen(end + 1, false);
    std::vector<std::pair<int, std::size_t>> way = {{end, 0}};
    seen[end] = true;
    while (!way.empty()) {
        const int piece = way.back().first;
        if (way.back().second == f.before[piece].size()) {
            order.push_back(piece);
            way.pop_back();
            continue;
        }
        const int next = f.before[piece][way.back().second++];
        if (seen[next]) continue;
        seen[next] = true;
        way.push_back({next, 0});
    }
    return order;
}

// After Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm", on the reversed graph.
inline void find_joins(std::vector<Instruction>& code)
{
    const Flow f = flow_of(code);
    const int end = static_cast<int>(f.first.size()) - 1;
    const std::vector<int> order = backwards(f);
    std::vector<int> number(end + 1, -1), joins(end + 1, -1);
    for (std::size_t k = 0; k < order.size(); ++k) number[order[k]] = static_cast<int>(k);
    joins[end] = end;
    for (bool changed = true; changed;) {
        changed = false;
        for (auto piece = order.rbegin(); piece != order.rend(); ++piece) {
            if (*piece == end) continue;
            int best = -1;
            for (int to : f.after[*piece]) {
                if (joins[to] < 0) continue;
                if (best < 0) best = to;
                for (int other = to; other != best;) {
                    if (number[other] < number[best])
                        other = joins[other];
                    else
                        best = joins[best];
                }
            }
            if (joins[*piece] == best) continue;
            joins[*piece] = best;
            changed = true;
        }
    }
    for (std::size_t k = 0; k < code.size(); ++k) {
        if (code[k].flow != Instruction::BRANCH) continue;
        const int piece = joins[f.of_instruction[k]];
        code[k].joins = piece < 0 ? static_cast<int>(code.size()) : f.first[piece];  // never ends: nowhere
    }
}

}  // namespace ptx

// What is run: kernels and their instructions; and by whom: blocks of warps of 32 lanes.
#pragma once

#include <map>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "values.h"

namespace ptx {

constexpr int LANES = 32;
constexpr u32 ALL = ~0u;

enum class Space { GENERIC, GLOBAL, SHARED, LOCAL, PARAMETER };

// Where generic addresses of shared and local memory begin; global memory has the process's own addresses.
constexpr u64 SHARED_WINDOW = 1ull << 61, LOCAL_WINDOW = 1ull << 62;

struct Operand {
    int row = -1;  // of registers
    int size = 8;  // bytes of the register
};

struct Predicate {
    int number = -1;
    bool inverted = false;
};

// What was done, over all launches. A sector is 32 bytes; `busiest`: lanes at the one word that most are at.
struct Counts {
    u64 warps = 0, threads = 0, sectors = 0, words = 0, busiest = 0;
};

struct Instruction;
struct Warp;
typedef void (*Handler)(Warp&, const Instruction&, u32 mask);

struct Instruction {
    enum { PLAIN, BRANCH, BARRIER, EXIT } flow = PLAIN;
    Handler run = nullptr;  // of a plain one
    std::string text;
    std::vector<std::string> parts;  // of its name
    int line = 0;
    Predicate guard;
    Type type, from;  // `from`: of what a conversion reads
    bool ftz = false, read_only = false;
    int mode = 0, compare = 0;
    std::vector<Operand> to, of;
    std::vector<Predicate> to_predicates, of_predicates;
    Space space = Space::GENERIC;
    Operand address;
    s64 offset = 0;
    std::string label;
    int target = -1, joins = -1;  // of a branch: where it goes, and where both ways meet again
    mutable Counts counts;

    bool has(const char* part) const
    {
        for (std::size_t k = 1; k < parts.size(); ++k) {
            if (parts[k] == part) return true;
        }
        return false;
    }
};

struct Parameter {
    int offset, size;
};

// A special register: tid, ntid, ctaid, nctaid by axis, laneid, warpid.
struct Special {
    std::string name;
    int row;
};

struct Kernel {
    std::string name;
    std::vector<Parameter> parameters;
    int parameter_bytes = 0, shared_bytes = 0, local_bytes = 0, most_threads = 1024;
    int rows = 0, predicates = 0;
    std::map<u64, int> constants;  // their rows
    std::vector<Special> specials;
    std::vector<Instruction> code;
};

struct Range {
    u64 begin, end;
};

// What was done to a word of memory that blocks or warps share, or to a byte.
struct Touched {
    static constexpr u32 MANY = ~0u;
    u32 reader = 0, writer = 0;  // 0: nobody yet; who, counted from 1; or many
    u32 value = 0;               // written
    bool added = false, set = false, read_only = false;
};

// Words, and bytes where less than a word is touched: who touches the same in both ways is not found out.
struct Shadow {
    std::vector<Touched> words, bytes;

    Touched* of(u64 begin, int size, u64 all)
    {
        std::vector<Touched>& those = size < 4 ? bytes : words;
        if (those.empty()) those.resize(size < 4 ? all : (all + 3) / 4);
        return those.data() + (size < 4 ? begin : begin / 4);
    }
};

struct Launch {
    const Kernel& kernel;
    u32 grid[3], block[3];
    std::vector<u8> parameters;
    std::vector<Range> memory;
    std::vector<Shadow> touched;  // for each of those
    std::mt19937_64 random;
};

struct Block;

// Lanes that are together, until they come to where they meet others.
struct Frame {
    int at, joins;
    u32 mask;
};

struct Warp {
    Launch* launch;
    Block* block;
    u32 number, first_thread;
    std::vector<u64> values;  // LANES for each row
    std::vector<u32> predicates;
    std::vector<Frame> stack;
    std::vector<u8> local;
    u32 alive = 0;
    bool waits = false;
    std::size_t last_range = 0;

    u64* row(const Operand& o) { return values.data() + static_cast<std::size_t>(o.row) * LANES; }
    u32 lanes_of(const Predicate& p) const { return p.inverted ? ~predicates[p.number] : predicates[p.number]; }
    void set(const Predicate& p, u32 mask, u32 lanes)
    {
        if (p.number >= 0) predicates[p.number] = (predicates[p.number] & ~mask) | (lanes & mask);
    }
};

struct Block {
    std::vector<u8> shared;
    Shadow touched;  // since the last barrier, by warps
    std::vector<Warp> warps;
};

[[noreturn]] inline void fail(const Instruction& i, const std::string& what)
{
    throw Error(what + ", at line " + std::to_string(i.line) + ": " + i.text);
}

template <class Work>
void over_lanes(u32 mask, const Work& work)
{
    if (mask == ALL) {
        for (int l = 0; l < LANES; ++l) work(l);
    } else {
        for (; mask; mask &= mask - 1) work(__builtin_ctz(mask));
    }
}

}  // namespace ptx

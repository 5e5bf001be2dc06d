// A pass over one exposure: input pixels in blocks, output pixels in tiles, tiles over threads.
//
// A tile belongs to one thread for the time of the pass and takes the blocks that reach it in their order, so no sum
// depends on how many threads there are.
#include "pass.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <numeric>
#include <optional>
#include <vector>

#include "../splat.h"
#include "blocks.h"
#include "scaling.h"
#include "turned.h"
#include "window.h"

namespace gpures {

namespace {

double seconds_now()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// What the threads spend on each phase, all together.
class PhaseTimes {
  public:
    explicit PhaseTimes(double* seconds) : seconds_(seconds) {}

    // Calls work(stopwatch), and adds what that stopwatch shows in the end.
    template <class Work>
    void spend_on(const Work& work)
    {
        if (!seconds_) return work(nullptr);
        Stopwatch watch = {seconds_now, seconds_now(), {}};
        work(&watch);
        const std::lock_guard<std::mutex> lock(of_seconds_);
        for (int k = 0; k < PHASES; ++k) seconds_[k] += watch.seconds[k];
    }

  private:
    double* const seconds_;
    std::mutex of_seconds_;
};

// The blocks of an exposure, and how far they reach.
struct Reaches {
    std::vector<Block> blocks;
    std::vector<Reach> of_rows;  // BLOCK_HEIGHT of them for a block
    std::vector<Turn> turns;     // by which neighbours in the block go to neighbours of the output

    explicit Reaches(std::vector<Block> all)
        : blocks(std::move(all)), of_rows(blocks.size() * BLOCK_HEIGHT), turns(blocks.size())
    {
    }

    int count() const { return static_cast<int>(blocks.size()); }
    Reach* rows_of(int k) { return &of_rows[static_cast<std::size_t>(k) * BLOCK_HEIGHT]; }
    const Reach* rows_of(int k) const { return &of_rows[static_cast<std::size_t>(k) * BLOCK_HEIGHT]; }

    // That of most blocks, if there is one.
    Turn turn() const
    {
        for (const Turn& t : turns) {
            if (t.is_known && 2 * std::count(turns.begin(), turns.end(), t) > count()) return t;
        }
        return {};
    }

    // Whether most neighbours along a row go to neighbours along one, up or down.
    bool most_side_by_side() const
    {
        const auto along = [](const Turn& t) { return t.is_known && !t.transposed && !t.mirrored_x; };
        return 2 * std::count_if(turns.begin(), turns.end(), along) > count();
    }

    bool all_whole() const
    {
        return std::all_of(blocks.begin(), blocks.end(), [](const Block& b) { return b.whole; });
    }
};

// The part of the frame that there are accumulators for.
Tile part_of(const Mosaic& m) { return {m.x0, m.x1, m.y0, m.y1}; }

bool is_empty(const Tile& t) { return t.x0 > t.x1 || t.y0 > t.y1; }

Reaches reaches_of(const Exposure& e, const Walk& walk, int threads, PhaseTimes& times)
{
    Reaches found(blocks_of(e.x0, e.x1, e.y0, e.y1));
    over_threads(threads, found.count(), [&] {
        return [&, own = OwnMemory(walk)](int k) mutable {
            void* const workspace = own.workspace();
            times.spend_on([&](Stopwatch* watch) {
                found.turns[k] = walk.reach(e, found.blocks[k], found.rows_of(k), workspace, watch);
            });
        };
    });
    return found;
}

// Blocks that may touch the frame, one for each of a block's copies, and the parts of it that they may touch.
struct BlocksOnFrame {
    std::vector<Block> blocks;
    std::vector<Tile> parts, parts_of_rows;
    int tallest = 0;

    void add(const Block& block, const Copy& copy)
    {
        blocks.push_back(block);
        blocks.back().shift_x = copy.shift_x;
        blocks.back().shift_y = copy.shift_y;
        parts.push_back(copy.part);
        tallest = std::max(tallest, copy.part.y1 - copy.part.y0 + 1);
    }

    // Their numbers in the order in which they begin, going up the frame; so each tile takes them, and can let go of
    // rows below.
    std::vector<int> upwards() const
    {
        std::vector<int> order(blocks.size());
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return parts[a].y0 < parts[b].y0; });
        return order;
    }
};

BlocksOnFrame blocks_on_frame(const Reaches& reaches, const Pixmap& pixmap, const Mosaic& m)
{
    BlocksOnFrame found;
    found.blocks.reserve(reaches.blocks.size());
    found.parts.reserve(reaches.blocks.size());
    found.parts_of_rows.reserve(reaches.of_rows.size());
    for (int k = 0; k < reaches.count(); ++k) {
        const Block& block = reaches.blocks[k];
        const Reach* const rows = reaches.rows_of(k);
        const int n_rows = block.y1 - block.y0 + 1;
        Reach all = NOWHERE;
        for (int r = 0; r < n_rows; ++r) all = around_both(rows[r], all);
        for (const Copy& copy : copies_of(pixmap, all, m.nx, m.ny)) {
            found.add(block, copy);
            for (int r = 0; r < BLOCK_HEIGHT; ++r) {
                found.parts_of_rows.push_back(
                    r < n_rows ? part_of_frame(shifted(rows[r], copy.shift_x, copy.shift_y), m.nx, m.ny) : Tile{});
            }
        }
    }
    return found;
}

// The window that an exposure lands in, in tiles, and the blocks of each of these. Tiles, whose edges cut drops, and
// the order of their blocks are those of the whole frame, whatever part of it there is.
struct Tiling {
    int x0 = 1 << 30, x1 = -1, y0 = 1 << 30, y1 = -1;  // tiles, counted from the frame's first
    std::vector<std::vector<int>> blocks;

    Tiling(const BlocksOnFrame& found, const Mosaic& m)
    {
        for (const Tile& part : found.parts) {
            const Tile p = common(part, part_of(m));
            if (is_empty(p)) continue;
            x0 = std::min(x0, p.x0 / TILE_WIDTH);
            x1 = std::max(x1, p.x1 / TILE_WIDTH);
            y0 = std::min(y0, p.y0 / TILE_HEIGHT);
            y1 = std::max(y1, p.y1 / TILE_HEIGHT);
        }
        if (x0 > x1) return;
        blocks.resize(static_cast<std::size_t>(columns()) * (y1 - y0 + 1));
        for (int k : found.upwards()) {
            const Tile p = common(found.parts[k], part_of(m));
            if (is_empty(p)) continue;
            for (int y = p.y0 / TILE_HEIGHT; y <= p.y1 / TILE_HEIGHT; ++y) {
                for (int x = p.x0 / TILE_WIDTH; x <= p.x1 / TILE_WIDTH; ++x) {
                    blocks[static_cast<std::size_t>(y - y0) * columns() + (x - x0)].push_back(k);
                }
            }
        }
    }

    int columns() const { return x1 - x0 + 1; }
    int count() const { return static_cast<int>(blocks.size()); }

    Tile tile(int k, const Mosaic& m) const
    {
        const int x = x0 + k % columns(), y = y0 + k / columns();
        return pixels(x, x, y, y, m);
    }

    Tile window(const Mosaic& m) const { return common(pixels(x0, x1, y0, y1, m), part_of(m)); }

  private:
    // Output pixels of the tiles from the first to the last.
    static Tile pixels(int x0, int x1, int y0, int y1, const Mosaic& m)
    {
        const Tile tiles = {x0 * TILE_WIDTH, (x1 + 1) * TILE_WIDTH - 1, y0 * TILE_HEIGHT, (y1 + 1) * TILE_HEIGHT - 1};
        return common(tiles, {0, static_cast<int>(m.nx - 1), 0, static_cast<int>(m.ny - 1)});
    }
};

// Whether an exposure, all of whose blocks are whole, is added faster when it is turned. (Pixels without some of their
// neighbours are continued in ways that tell rows from columns.)
bool is_worth_turning(const Exposure& e, const Turn& turn)
{
    if (!turn.is_known || e.pixmap.full) return false;
    // Where the next row is matters to square drops alone.
    return turn.transposed || turn.mirrored_x || (turn.mirrored_y && e.kernel == SQUARE);
}

// Rows of a tile that a thread has memory for at least.
constexpr int MOST_COMMON_ROWS = 64;

}  // namespace

Tile add(const Exposure& given, const Mosaic& mosaic, int threads, double* seconds)
{
    PhaseTimes times(seconds);
    const Walk walk = choose_walk();
    Exposure scaled = given;
    Scaling scaling = {1.0, SMALLEST_DOW, {}, 0, 0u};
    const Walk of_tiles = scale_for_floats(scaled, mosaic, walk, threads, scaling) ? choose_single_walk() : walk;
    Reaches reaches = reaches_of(scaled, walk, threads, times);
    std::optional<TurnedExposure> turned;
    const Turn turn = reaches.turn();
    if (is_worth_turning(scaled, turn) && reaches.all_whole()) {
        turned.emplace(scaled, mosaic.pairs, turn);
        reaches = reaches_of(turned->exposure(), walk, threads, times);
    }
    const Exposure& e = turned ? turned->exposure() : scaled;
    Mosaic m = mosaic;
    if (turned) m.pairs = turned->pairs();
    const BlocksOnFrame found = blocks_on_frame(reaches, e.pixmap, m);
    const Tiling tiling(found, m);
    if (tiling.blocks.empty()) return {0, -1, 0, -1};
    const Blocks blocks = {found.blocks.data(), found.parts.data(), found.parts_of_rows.data(),
                           reaches.most_side_by_side(), scaling};

    // Rows in work at a time: those of the tallest block, and some more so that they need not be moved for each.
    const int rows_at_once = std::min(TILE_HEIGHT, std::max(2 * found.tallest, MOST_COMMON_ROWS));
    const std::size_t pixels = static_cast<std::size_t>(SUMS_WIDTH) * rows_at_once;
    const std::size_t of_sums = OwnMemory::bytes_of<double>(pixels * sums_of_pixel(e.planes));
    const std::size_t of_dq = OwnMemory::bytes_of<std::uint32_t>(m.dq ? pixels : 0);
    // Whatever can fail comes before this: as soon as a thread begins, the exposure goes into the mosaic, all of it.
    over_threads(threads, tiling.count(), [&] {
        return [&, own = OwnMemory(of_tiles, of_sums + of_dq + pixels)](int k) mutable {
            const std::vector<int>& chosen = tiling.blocks[k];
            if (chosen.empty()) return;
            times.spend_on([&](Stopwatch* watch) {
                void* const workspace = own.workspace();
                char* const zeros = own.zeros();
                Scratch scratch = {rows_at_once,
                                   zeros,
                                   reinterpret_cast<unsigned char*>(zeros + of_sums + of_dq),
                                   reinterpret_cast<std::uint32_t*>(zeros + of_sums),
                                   workspace,
                                   watch};
                of_tiles.tile(e, m, tiling.tile(k, m), blocks, chosen.data(), static_cast<int>(chosen.size()), scratch);
            });
        };
    });
    const Tile window = tiling.window(m);
    return {window.x0 - m.x0, window.x1 - m.x0, window.y0 - m.y0, window.y1 - m.y0};
}

}  // namespace gpures

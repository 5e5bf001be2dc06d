// A pass over one exposure: input pixels in blocks, output pixels in tiles, tiles over threads.
//
// A tile belongs to one thread for the time of the pass and takes the blocks that reach it in their order, so no sum
// depends on how many threads there are.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <numeric>
#include <vector>

#include "../drop.h"
#include "../fold.h"
#include "../pixmap.h"
#include "copies.h"
#include "threads.h"
#include "walk.h"

namespace gpures {

inline namespace baseline {
Walk walk_for_this_isa();
}
#if defined(GPURES_X86)
namespace avx2 {
Walk walk_for_this_isa();
}
namespace avx512 {
Walk walk_for_this_isa();
}
#endif

Walk choose_walk()
{
#if defined(GPURES_X86)
    __builtin_cpu_init();
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    // For the tests: a walk for lesser processors.
    const char* isa = std::getenv("GPURES_ISA");
    const bool any = !isa || std::strcmp(isa, "") == 0;
    if (has_avx512 && (any || std::strcmp(isa, "avx512") == 0)) return avx512::walk_for_this_isa();
    if (has_avx2 && (any || std::strcmp(isa, "avx2") == 0)) return avx2::walk_for_this_isa();
#endif
    return baseline::walk_for_this_isa();
}

namespace {

std::vector<Block> blocks_of(int x0, int x1, int y0, int y1)
{
    std::vector<Block> blocks;
    for (int y = y0; y <= y1; y += BLOCK_HEIGHT) {
        for (int x = x0; x <= x1; x += BLOCK_WIDTH) {
            blocks.push_back({x, std::min(x + BLOCK_WIDTH - 1, x1), y, std::min(y + BLOCK_HEIGHT - 1, y1)});
        }
    }
    return blocks;
}

std::vector<Block> blocks_of_image(const Exposure& e)
{
    return blocks_of(0, static_cast<int>(e.nx) - 1, 0, static_cast<int>(e.ny) - 1);
}

// A cache line.
struct Line {
    alignas(64) char bytes[64];
};

// A thread's memory, in one piece: a workspace, and behind it zeros. The thread itself writes to it first, and so has
// the pages near by.
class OwnMemory {
  public:
    explicit OwnMemory(const Walk& walk, std::size_t zeros = 0)
        : walk_(&walk), behind_(lines(walk.workspace_bytes)), zeros_(zeros), line_(new Line[behind_ + lines(zeros)])
    {
    }

    void* workspace()
    {
        if (!is_prepared_) {
            walk_->prepare(line_.get());
            std::memset(zeros(), 0, zeros_);
            is_prepared_ = true;
        }
        return line_.get();
    }

    char* zeros() const { return line_[behind_].bytes; }

    // Bytes that so many of a type take, up to where others may begin.
    template <class T>
    static std::size_t bytes_of(std::size_t count)
    {
        return lines(count * sizeof(T)) * sizeof(Line);
    }

  private:
    static std::size_t lines(std::size_t bytes) { return (bytes + sizeof(Line) - 1) / sizeof(Line); }

    const Walk* walk_;
    std::size_t behind_, zeros_;
    std::unique_ptr<Line[]> line_;
    bool is_prepared_ = false;
};

template <class Work>
void over_blocks(int threads, const Walk& walk, const std::vector<Block>& blocks, const Work& work)
{
    over_threads(threads, static_cast<int>(blocks.size()),
                 [&] { return [&, own = OwnMemory(walk)](int k) mutable { work(blocks[k], own.workspace()); }; });
}

// Rows handed to a thread at a time.
constexpr long ROWS_AT_ONCE = 16;

// Sets image[j][i] to inside(index) in the touched part of a frame and to `outside` elsewhere.
template <class T, class Work>
void over_frame(int threads, const Frame& f, T* image, T outside, const Work& inside)
{
    over_threads(threads, static_cast<int>((f.ny + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE), [&] {
        return [&](int k) {
            for (long j = k * ROWS_AT_ONCE; j < std::min(f.ny, (k + 1) * ROWS_AT_ONCE); ++j) {
                T* row = image + j * f.nx;
                const bool crossed = j >= f.touched.y0 && j <= f.touched.y1 && f.touched.x0 <= f.touched.x1;
                const long from = crossed ? f.touched.x0 : f.nx, to = crossed ? f.touched.x1 + 1 : f.nx;
                std::fill(row, row + from, outside);
                for (long i = from; i < to; ++i) row[i] = inside(j * f.nx + i);
                std::fill(row + to, row + f.nx, outside);
            }
        };
    });
}

void extend(Reach& r, const Reach& by)
{
    r = {std::min(r.x0, by.x0), std::max(r.x1, by.x1), std::min(r.y0, by.y0), std::max(r.y1, by.y1)};
}

// The output pixels of a frame in a reach, and one more on each side: a drop may end on a pixel's edge, to rounding.
// Computed in double before the conversion, as coordinates may be anything.
Tile part_of_frame(const Reach& r, long long nx, long long ny)
{
    const double last_x = static_cast<double>(nx - 1), last_y = static_cast<double>(ny - 1);
    const double x0 = std::max(r.x0 - 1.0, 0.0), x1 = std::min(r.x1 + 1.0, last_x);
    const double y0 = std::max(r.y0 - 1.0, 0.0), y1 = std::min(r.y1 + 1.0, last_y);
    if (!(x0 <= x1 && y0 <= y1)) return {0, -1, 0, -1};
    return {static_cast<int>(x0), static_cast<int>(x1), static_cast<int>(y0), static_cast<int>(y1)};
}

Reach shifted(const Reach& r, double x, double y) { return {r.x0 + x, r.x1 + x, r.y0 + y, r.y1 + y}; }

// By how many periods a reach from low to high may be moved and still touch n pixels: from the first to the last.
struct Turns {
    int first, last;
};

Turns turns_of(double period, double low, double high, long long n)
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

std::vector<Copy> copies_of(const Pixmap& m, const Reach& r, long long nx, long long ny)
{
    std::vector<Copy> copies;
    const Turns x = turns_of(m.period_x, r.x0, r.x1, nx), y = turns_of(m.period_y, r.y0, r.y1, ny);
    for (int j = y.first; j <= y.last; ++j) {
        for (int i = x.first; i <= x.last; ++i) {
            const double shift_x = i * m.period_x, shift_y = j * m.period_y;
            const Tile part = part_of_frame(shifted(r, shift_x, shift_y), nx, ny);
            if (part.x0 <= part.x1) copies.push_back({shift_x, shift_y, part});
        }
    }
    return copies;
}

}  // namespace

namespace {

double seconds_now()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// What the threads spend on each phase, all together.
class Spent {
  public:
    explicit Spent(double* seconds) : seconds_(seconds) {}

    // Calls work(stopwatch), and adds what that stopwatch shows in the end.
    template <class Work>
    void on(const Work& work)
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

}  // namespace

// Rows of a tile that a thread has memory for at least.
constexpr int MOST_COMMON_ROWS = 64;

Tile add(const Exposure& e, const Mosaic& m, int threads, double* seconds)
{
    Spent spent(seconds);
    const Walk walk = choose_walk();
    std::vector<Block> image = blocks_of(e.x0, e.x1, e.y0, e.y1);
    const int n_blocks = static_cast<int>(image.size());
    std::vector<char> side_by_side(n_blocks);
    std::vector<Reach> reaches(static_cast<std::size_t>(n_blocks) * BLOCK_HEIGHT);
    over_threads(threads, n_blocks, [&] {
        return [&, own = OwnMemory(walk)](int k) mutable {
            Reach* const rows = &reaches[static_cast<std::size_t>(k) * BLOCK_HEIGHT];
            void* const workspace = own.workspace();
            spent.on([&](Stopwatch* watch) { side_by_side[k] = walk.reach(e, image[k], rows, workspace, watch); });
        };
    });

    // Those that may touch the frame; where the output is periodic in more than one place.
    std::vector<Block> blocks;
    std::vector<Tile> of_block, of_rows;
    blocks.reserve(n_blocks);
    of_block.reserve(n_blocks);
    of_rows.reserve(reaches.size());
    int tallest = 0;
    for (int k = 0; k < n_blocks; ++k) {
        const Reach* const rows = &reaches[static_cast<std::size_t>(k) * BLOCK_HEIGHT];
        const int n_rows = image[k].y1 - image[k].y0 + 1;
        Reach all = NOWHERE;
        for (int r = 0; r < n_rows; ++r) extend(all, rows[r]);
        for (const Copy& copy : copies_of(e.pixmap, all, m.nx, m.ny)) {
            blocks.push_back(image[k]);
            blocks.back().shift_x = copy.shift_x;
            blocks.back().shift_y = copy.shift_y;
            of_block.push_back(copy.part);
            of_rows.resize(of_rows.size() + BLOCK_HEIGHT);
            for (int r = 0; r < n_rows; ++r) {
                of_rows[of_rows.size() - BLOCK_HEIGHT + r] =
                    part_of_frame(shifted(rows[r], copy.shift_x, copy.shift_y), m.nx, m.ny);
            }
            tallest = std::max(tallest, copy.part.y1 - copy.part.y0 + 1);
        }
    }

    // In the order in which they begin, going up the frame; so each tile takes them, and can let go of rows below.
    std::vector<int> order(blocks.size());
    std::iota(order.begin(), order.end(), 0);
    if (order.empty()) return {0, -1, 0, -1};
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return of_block[a].y0 < of_block[b].y0; });

    // The window that the exposure lands in, in tiles; then the blocks of each tile.
    int tx0 = 1 << 30, tx1 = -1, ty0 = 1 << 30, ty1 = -1;
    for (int k : order) {
        const Tile& p = of_block[k];
        tx0 = std::min(tx0, p.x0 / TILE_WIDTH);
        tx1 = std::max(tx1, p.x1 / TILE_WIDTH);
        ty0 = std::min(ty0, p.y0 / TILE_HEIGHT);
        ty1 = std::max(ty1, p.y1 / TILE_HEIGHT);
    }
    const int columns = tx1 - tx0 + 1, rows = ty1 - ty0 + 1;
    std::vector<std::vector<int>> of_tile(static_cast<std::size_t>(columns) * rows);
    for (int k : order) {
        const Tile& p = of_block[k];
        for (int ty = p.y0 / TILE_HEIGHT; ty <= p.y1 / TILE_HEIGHT; ++ty) {
            for (int tx = p.x0 / TILE_WIDTH; tx <= p.x1 / TILE_WIDTH; ++tx) {
                of_tile[static_cast<std::size_t>(ty - ty0) * columns + (tx - tx0)].push_back(k);
            }
        }
    }

    // Rows in work at a time: those of the tallest block, and some more so that they need not be moved for each.
    const int rows_at_once = std::min(TILE_HEIGHT, std::max(2 * tallest, MOST_COMMON_ROWS));
    const auto count = std::count(side_by_side.begin(), side_by_side.end(), 1);
    const Blocks all = {blocks.data(), of_block.data(), of_rows.data(), 2 * count > n_blocks};
    const std::size_t pixels = static_cast<std::size_t>(SUMS_WIDTH) * rows_at_once;
    const std::size_t of_sums = OwnMemory::bytes_of<double>(pixels * sums_of_pixel(e.planes));
    const std::size_t of_dq = OwnMemory::bytes_of<std::uint32_t>(m.dq ? pixels : 0);
    // Whatever can fail comes before this: as soon as a thread begins, the exposure goes into the mosaic, all of it.
    over_threads(threads, columns * rows, [&] {
        return [&, own = OwnMemory(walk, of_sums + of_dq + pixels)](int k) mutable {
            if (of_tile[k].empty()) return;
            const int x = (tx0 + k % columns) * TILE_WIDTH, y = (ty0 + k / columns) * TILE_HEIGHT;
            const Tile tile = {x, std::min(x + TILE_WIDTH, static_cast<int>(m.nx)) - 1, y,
                               std::min(y + TILE_HEIGHT, static_cast<int>(m.ny)) - 1};
            spent.on([&](Stopwatch* watch) {
                void* const workspace = own.workspace();
                char* const zeros = own.zeros();
                Scratch scratch = {rows_at_once,
                                   reinterpret_cast<double*>(zeros),
                                   reinterpret_cast<unsigned char*>(zeros + of_sums + of_dq),
                                   reinterpret_cast<std::uint32_t*>(zeros + of_sums),
                                   workspace,
                                   watch};
                walk.tile(e, m, tile, all, of_tile[k].data(), static_cast<int>(of_tile[k].size()), scratch);
            });
        };
    });
    return {tx0 * TILE_WIDTH, std::min((tx1 + 1) * TILE_WIDTH, static_cast<int>(m.nx)) - 1, ty0 * TILE_HEIGHT,
            std::min((ty1 + 1) * TILE_HEIGHT, static_cast<int>(m.ny)) - 1};
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
            extend(r, {x, x, y, y});
        }
    }
    const double margin = baseline::reach_of_drop(e.kernel, e.pixel_scale_ratio, e.pixfrac);
    return {r.x0 - margin, r.x1 + margin, r.y0 - margin, r.y1 + margin};
}

}  // namespace

std::vector<Copy> copies(const Exposure& e, long long nx, long long ny, int threads, bool& whole)
{
    Reach all = NOWHERE;
    std::vector<Block> blocks;
    if (e.pixmap.full) {
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
    const Walk walk = choose_walk();
    std::mutex of_all;
    whole = true;
    over_blocks(threads, walk, blocks, [&](Block b, void* workspace) {
        Reach rows[BLOCK_HEIGHT];
        walk.reach(e, b, rows, workspace, nullptr);
        const std::lock_guard<std::mutex> lock(of_all);
        whole = whole && b.whole;
        for (int r = 0; r <= b.y1 - b.y0; ++r) extend(all, rows[r]);
    });
    return copies_of(e.pixmap, all, nx, ny);
}

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

template <class T>
void fill(T* image, const T* weight, const Frame& frame, double value, int threads)
{
    const T filler = static_cast<T>(value);
    over_frame(threads, frame, image, filler, [&](long i) { return weight[i] == T(0) ? filler : image[i]; });
}

template <class T>
void fill_window(T* image, const T* weight, const Frame& frame, double value, int threads)
{
    const Tile& w = frame.touched;
    over_threads(threads, w.y1 - w.y0 + 1, [&] {
        return [&](int k) {
            const long row = (w.y0 + k) * frame.nx;
            for (long i = row + w.x0; i <= row + w.x1; ++i)
                image[i] = weight[i] == T(0) ? static_cast<T>(value) : image[i];
        };
    });
}

namespace {

// Pixels of a whole image handed to a thread at a time.
constexpr long PIXELS_AT_ONCE = 1 << 16;

template <class Work>
void over_pixels(int threads, long count, const Work& work)
{
    over_threads(threads, static_cast<int>((count + PIXELS_AT_ONCE - 1) / PIXELS_AT_ONCE), [&] {
        return [&](int k) {
            for (long i = k * PIXELS_AT_ONCE; i < std::min(count, (k + 1) * PIXELS_AT_ONCE); ++i) work(i);
        };
    });
}

}  // namespace

void show_weights(float* weight, long count, int threads)
{
    over_pixels(threads, count, [&](long i) { weight[i] = baseline::shown_weight(weight[i]); });
}

template <class T>
void finish_variance(T* variance, const T* weight, const Frame& frame, double scaling, int threads)
{
    over_frame(threads, frame, variance, static_cast<T>(NAN),
               [&](long i) { return static_cast<T>(finished_variance(variance[i], weight[i], scaling)); });
}

void error_from_variances(const float* const* variances, int count, float* error, const Frame& frame, int threads)
{
    over_frame(threads, frame, error, static_cast<float>(NAN),
               [&](long i) { return baseline::error_from_variances(variances, count, i); });
}

template void fill<float>(float*, const float*, const Frame&, double, int);
template void fill<double>(double*, const double*, const Frame&, double, int);
template void fill_window<float>(float*, const float*, const Frame&, double, int);
template void fill_window<double>(double*, const double*, const Frame&, double, int);
template void finish_variance<float>(float*, const float*, const Frame&, double, int);
template void finish_variance<double>(double*, const double*, const Frame&, double, int);

}  // namespace gpures

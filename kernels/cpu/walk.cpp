// One thread's work: the blocks of input pixels that reach a tile of the output frame, splatted and folded.
//
// Compiled once per instruction set (GPURES_ISA names it). It uses no library templates, whose copies the linker
// would share between instruction sets.
#include <new>

#include "pixel_sums.h"
#include "plane_sums.h"
// (these first: the templates of splat.h must see what simd.h adds to the number types)
#include "beside.h"
#include "centres.h"
#include "folded_row.h"
#include "hits.h"
#include "rows.h"
#include "touching.h"

GPURES_BEGIN

// What a thread works with; begins as zeros. (See Walk.)
struct Workspace {
    Centres centres;
    Row row;
    TouchingDrops drops;
    Contributions contributions;
    FoldedRow folded;
};

inline Workspace& workspace_at(void* memory) { return *static_cast<Workspace*>(memory); }

inline void lap(Stopwatch* watch, Phase phase)
{
    if (!watch) return;
    const double now = watch->now();
    watch->seconds[phase] += now - watch->last;
    watch->last = now;
}

// ---- one row of input pixels ---------------------------------------------------------------------------------

inline void read_weights(const Exposure& e, int j, int i0, int n, bool timed, Row& row)
{
    double* weight = row.weight + PADDING;
    if (e.weight_map.data) {
        read_vectors(e.weight_map, j, i0, n, [&](Vector v, int k) { store(usable_weight(v, e.weight), weight + k); });
    } else if (e.variance.data) {
        read_vectors(e.variance, j, i0, n, [&](Vector v, int k) { store(inverse_variance(v), weight + k); });
    } else {
        for (int k = 0; k < n; ++k) weight[k] = e.weight;
    }
    store(Vector{}, weight + n);
    double* unweighted = row.unweighted + PADDING;
    for (int k = 0; timed && k < n; ++k) unweighted[k] = weight[k] == 0.0 ? 1.0 : 0.0;
    if (e.dq.data) {
        std::uint64_t dq[BLOCK_WIDTH];
        read_row(e.dq, j, i0, n, dq);
        for (int k = 0; k < n; ++k) {
            row.bits[PADDING + k] = static_cast<std::uint32_t>(dq[k]);
            weight[k] = is_good(dq[k], e.bad_bits) ? weight[k] : 0.0;
        }
        for (int k = 0; timed && k < n; ++k) unweighted[k] = is_good(dq[k], e.bad_bits) ? unweighted[k] : 0.0;
    }
    row.any_unweighted = false;
    if (!timed) return;
    store(Vector{}, unweighted + n);
    Vector count = Vector{};
    for (int k = 0; k < n; k += LANES) count = count + load(unweighted + k);
    row.any_unweighted = any_greater(count, Vector{});
}

inline void read_values(const Exposure& e, int j, int i0, int n, Row& row)
{
    const double* weight = row.weight + PADDING;
    Vector not_finite = Vector{};
    for (int p = 0; p < e.planes; ++p) {
        const Plane& plane = e.plane[p];
        double* values = row.values[p] + PADDING;
        read_vectors(plane.view, j, i0, n, [&](Vector v, int k) {
            v = select(load(weight + k) == Vector{}, Vector{}, plane_value(plane, v));
            not_finite = not_finite + 0.0 * v;
            store(v, values + k);
        });
        // Behind them zeros, as far as a vector from the last column of Contributions reaches.
        for (int k = n; k < n + PADDING; k += LANES) store(Vector{}, values + k);
    }
    row.finite = everywhere(not_finite == Vector{});
}

// Asks for the memory of what these two read.
__attribute__((always_inline)) inline void expect_pixels(const Exposure& e, int j, int i0, int n)
{
    expect_row(e.weight_map.data ? e.weight_map : e.variance, j, i0, n);
    expect_row(e.dq, j, i0, n);
    for (int p = 0; p < e.planes; ++p) expect_row(e.plane[p].view, j, i0, n);
}

// Smallest and largest of a row's coordinates, NaN passed over; and whether there are none.
inline bool extend_range(const double* p, int n, double& low, double& high)
{
    int k = 0;
    double sum = 0.0;
    if (n >= LANES) {
        Vector least_lanes = Vector{} + low, most_lanes = Vector{} + high, sums = Vector{};
        for (; k + LANES <= n; k += LANES) {
            const Vector v = load(p + k);
            least_lanes = least(v, least_lanes);
            most_lanes = greatest(v, most_lanes);
            sums = sums + v;
        }
        double each[LANES];
        store(least_lanes, each);
        for (double v : each) low = least(v, low);
        store(most_lanes, each);
        for (double v : each) high = greatest(v, high);
        store(sums, each);
        for (double v : each) sum += v;
    }
    for (; k < n; ++k) {
        low = least(p[k], low);
        high = greatest(p[k], high);
        sum += p[k];
    }
    return sum == sum;
}

// ---- how far drops reach -------------------------------------------------------------------------------------

// By how much the step from one input pixel to the next may differ from one to the next output pixel, for drops that
// are said to lie side by side: so much that some vector's worth of them do.
constexpr double MOST_ASIDE = 0.25;

constexpr Reach NOTHING = {1e300, -1e300, 1e300, -1e300};

inline Reach around_both(const Reach& r, const Reach& s)
{
    return {least(r.x0, s.x0), greatest(r.x1, s.x1), least(r.y0, s.y0), greatest(r.y1, s.y1)};
}

// The longest step between neighbours along one axis, of the centres of a block and those around it.
inline double longest_step(const Centres& c, const Block& b)
{
    double longest = 0.0;
    for (int a = 0; a < b.y1 - b.y0 + 3; ++a) {
        for (int k = 0; k < b.x1 - b.x0 + 3; ++k) {
            const int right = k < b.x1 - b.x0 + 2 ? k + 1 : k, up = a < b.y1 - b.y0 + 2 ? a + 1 : a;
            const Point here = {c.x[a][k], c.y[a][k]};
            longest = greatest(longest, length(Point{c.x[a][right], c.y[a][right]} - here));
            longest = greatest(longest, length(Point{c.x[up][k], c.y[up][k]} - here));
        }
    }
    return longest;
}

// Bounding boxes of each row of the centres of a block and those around it. Whether every pixel has its neighbours, all
// eight, beside it.
inline bool boxes_of_rows(const Exposure& e, const Block& b, const Centres& c, Reach* boxes)
{
    const int n = b.x1 - b.x0 + 3, n_rows = b.y1 - b.y0 + 3;
    bool numbers = true;
    Reach all = NOTHING;
    for (int a = 0; a < n_rows; ++a) {
        Reach& r = boxes[a] = NOTHING;
        numbers &= extend_range(c.x[a], n, r.x0, r.x1);
        numbers &= extend_range(c.y[a], n, r.y0, r.y1);
        all = around_both(all, r);
    }
    if (!numbers || !is_defined({all.x0, all.y0}) || !is_defined({all.x1, all.y1})) return false;
    const double sure = sure_step(e.pixmap);
    if (all.x1 - all.x0 < sure && all.y1 - all.y0 < sure) return true;
    // A diagonal one is no longer than two of these.
    return 2.0 * longest_step(c, b) < sure;
}

// Bounding box of the drops of row r of a block that is not whole.
inline Reach box_of_drops(const Exposure& e, const Block& b, const Centres& c, int r)
{
    const int n = b.x1 - b.x0 + 1;
    Reach box = NOTHING;
    for (int k = 0; k < n; k += LANES) {
        const Quad<Vector> q = drops_beside(e, b, c, r, k, n);
        for (int a = 0; a < 4; ++a) {
            for (int l = 0; l < LANES && k + l < n; ++l) {
                box = around_both({q.x[a][l], q.x[a][l], q.y[a][l], q.y[a][l]}, box);
            }
        }
    }
    return box;
}

// Bounding boxes of what the rows of a block may touch: of their centres, of those next to them where corners depend on
// these, and the drops around them. Whether neighbours in its middle go to neighbours.
bool reach_of_rows(const Exposure& e, Block& b, Reach* rows, void* workspace, Stopwatch* watch)
{
    Centres& c = workspace_at(workspace).centres;
    const double margin = reach_of_drop(e.kernel, e.pixel_scale_ratio, e.pixfrac);
    const int n_rows = b.y1 - b.y0 + 1;
    fill_centres(e, b, e.kernel == SQUARE, c);
    if (e.kernel == SQUARE) {
        Reach boxes[BLOCK_HEIGHT + 2];
        b.whole = boxes_of_rows(e, b, c, boxes);
        for (int k = 0; k < n_rows; ++k) {
            rows[k] =
                b.whole ? around_both(boxes[k + 1], around_both(boxes[k], boxes[k + 2])) : box_of_drops(e, b, c, k);
        }
    } else {
        b.whole = true;
        for (int k = 0; k < n_rows; ++k) {
            rows[k] = NOTHING;
            extend_range(c.x[k + 1] + 1, b.x1 - b.x0 + 1, rows[k].x0, rows[k].x1);
            extend_range(c.y[k + 1] + 1, b.x1 - b.x0 + 1, rows[k].y0, rows[k].y1);
        }
    }
    for (int k = 0; k < n_rows; ++k) {
        const Reach r = rows[k];
        rows[k] = {r.x0 - margin, r.x1 + margin, r.y0 - margin, r.y1 + margin};
    }
    lap(watch, PIXMAP);
    return lie_of(c, b).aside() < MOST_ASIDE;
}

inline bool meets(const Tile& p, const Tile& t) { return p.x0 <= t.x1 && p.x1 >= t.x0 && p.y0 <= t.y1 && p.y1 >= t.y0; }

// ---- splat ---------------------------------------------------------------------------------------------------

// The same for drops that are tried as such around a point where pixels meet: beyond, hardly a vector of them are. Nor
// are those that leave wide gaps between them.
constexpr double MOST_ASIDE_OF_POINTS = 0.1, LEAST_PIXFRAC = 0.5;

inline bool are_around_points(const Exposure& e, const Lie& lie)
{
    return e.kernel == SQUARE && e.pixfrac >= LEAST_PIXFRAC && lie.up > 0.0 && lie.aside() < MOST_ASIDE_OF_POINTS;
}

template <class Sink>
inline void splat_row_square(const Exposure& e, const Block& b, const Centres& c, int r, const Row& row,
                             const double* weights, const Bounds& bounds, bool around_points, Sink& sink)
{
    const int n = b.x1 - b.x0 + 1;
    for (int k = 0; k < n; k += LANES) {
        sink.take(row, k);
        const Quad<Vector> q = b.whole ? drops_between(c, r, k, 0.5 * e.pixfrac) : drops_beside(e, b, c, r, k, n);
        splat_square(q, load(weights + k), bounds, sink, around_points, sides<Vector>);
    }
}

// The same for drops that touch, whose corners and edges are known.
template <class Sink>
inline void splat_row_touching(const TouchingDrops& drops, int n, const Row& row, const double* weights,
                               const Bounds& bounds, bool around_points, Sink& sink)
{
    for (int k = 0; k < n; k += LANES) {
        sink.take(row, k);
        splat_square(drops.quad(k), load(weights + k), bounds, sink, around_points,
                     [&](const Quad<Vector>&) { return drops.sides(k); });
    }
}

// The same for drops that depend on their centres alone: splat(x, y, weight).
template <class Sink, class Splat>
inline void splat_row_of_centres(const Centres& c, int r, int n, const Row& row, const double* weights, Sink& sink,
                                 const Splat& splat)
{
    for (int k = 0; k < n; k += LANES) {
        sink.take(row, k);
        splat(load(c.x[r + 1] + k + 1), load(c.y[r + 1] + k + 1), load(weights + k));
    }
}

// Whether a block's drops touch: all corners are shared.
inline bool touch(const Exposure& e, const Block& b) { return e.kernel == SQUARE && e.pixfrac == 1.0 && b.whole; }

// Row r of a block; for drops that touch, these are at that row. `around`: see are_around_points().
template <class Sink>
inline void splat_row(const Exposure& e, const Block& block, const Centres& c, const TouchingDrops& drops, int r,
                      const Row& row, const double* weights, const Bounds& b, bool around, Sink& sink)
{
    const int n = block.x1 - block.x0 + 1;
    if (touch(e, block)) return splat_row_touching(drops, n, row, weights, b, around, sink);
    if (e.kernel == SQUARE) return splat_row_square(e, block, c, r, row, weights, b, around, sink);
    const auto product = [&](const auto& profile) {
        splat_row_of_centres(c, r, n, row, weights, sink,
                             [&](Vector x, Vector y, Vector weight) { splat_product(profile, x, y, weight, b, sink); });
    };
    const double s = e.pixel_scale_ratio;
    switch (e.kernel) {
        case POINT:
            return splat_row_of_centres(c, r, n, row, weights, sink,
                                        [&](Vector x, Vector y, Vector weight) { splat_point(x, y, weight, b, sink); });
        case TURBO:
            return product(Turbo(s, e.pixfrac));
        case GAUSSIAN:
            return product(Gaussian(s, e.pixfrac));
        case LANCZOS2:
            return product(Lanczos(s, 2, e.lanczos));
        default:
            return product(Lanczos(s, 3, e.lanczos));
    }
}

// ---- fold ----------------------------------------------------------------------------------------------------

// Vectors of a row from column `from` to before `to`; `next`: how much further the row is that is folded next.
template <class T, class RowSums>
inline void fold_vectors(const Exposure& e, const Mosaic& m, const RowSums& sums, int from, int to, long long index,
                         long long next, FoldedRow& row)
{
    for (int k = from; k < to; k += LANES) {
        if (m.weight) expect(static_cast<const T*>(m.weight) + index + k + next);
        row.keep(common<Vector, T>(e, m, sums.further(k), index + k), k);
    }
    bool has_shares = false;
    for (int p = 0; p < e.planes; ++p) {
        const Plane& plane = e.plane[p];
        if (!plane.root) {
            for (int k = from; k < to; k += LANES) {
                expect(static_cast<const T*>(plane.mean) + index + k + next);
                fold_mean<Vector, T>(plane, row.common(k), sums.further(k)(1 + p), index + k);
            }
            continue;
        }
        for (int k = from; !has_shares && k < to; k += LANES) {
            row.keep(variance_shares(get<Vector, T>(plane.weight, index + k), row.common(k).t), k);
        }
        has_shares = true;
        for (int k = from; k < to; k += LANES) {
            expect(static_cast<const T*>(plane.mean) + index + k + next);
            expect(static_cast<const T*>(plane.weight) + index + k + next);
            VarianceShares<Vector> shares = row.shares(k);
            fold_variance<Vector, T>(plane, row.common(k), sums.further(k)(1 + p), shares, index + k);
        }
    }
    for (int k = from; k < to; k += LANES) fold_weight<Vector, T>(m, row.common(k), index + k);
}

// Row j of a tile.
template <class T, class Sink>
void fold_row(const Exposure& e, const Mosaic& m, const Tile& tile, int j, const Sink& sink)
{
    FoldedRow& row = workspace_at(sink.scratch.workspace).folded;
    const int width = tile.x1 - tile.x0 + 1, in_vectors = width / LANES * LANES;
    const auto sums = sink.template at<Vector>(0, j - sink.y0);
    const auto sums_of_one = [&](int k) { return sink.template at<double>(k, j - sink.y0); };
    const long local = index_in_rows(0, j - sink.y0);
    const long long index = j * m.nx + tile.x0;
    const unsigned char* __restrict marks = sink.scratch.marks + local;
    // Rows that nothing was added to are only read: writing would take memory for them.
    int from = 0, to = in_vectors;
    while (from < to && !anywhere(sums.further(from)(0) != Vector{})) from += LANES;
    while (to > from && !anywhere(sums.further(to - LANES)(0) != Vector{})) to -= LANES;
    fold_vectors<T>(e, m, sums, from, to, index, j < tile.y1 ? m.nx : 0, row);
    for (int k = in_vectors; k < width; ++k) {
        if (sums_of_one(k)(0) != 0.0) fold<double, T>(e, m, sums_of_one(k), index + k);
    }
    unsigned char any = 0;
    for (int k = 0; k < width; ++k) any |= marks[k];
    if (m.context && (any & POSITIVE)) {
        int* __restrict context = m.context + index;
        const int bit = m.context_bit;
        static_assert(POSITIVE == 1, "its negative has all bits");
        for (int k = 0; k < width; ++k) context[k] |= -(marks[k] & POSITIVE) & bit;
    }
    if (m.time && (from < to || any)) {
        for (int k = 0; k < in_vectors; k += LANES) {
            const Mask has_good_pixel = (sums.further(k)(0) != Vector{}) | are_marked(marks + k);
            if (anywhere(has_good_pixel)) add_time<Vector, T>(e, m, has_good_pixel, index + k);
        }
    }
    for (int k = in_vectors; m.time && k < width; ++k) {
        if (marks[k] || sums_of_one(k)(0) != 0.0) add_time<double, T>(e, m, true, index + k);
    }
    if (!m.dq) return;
    const std::uint32_t* __restrict dq = sink.scratch.dq + local;
    unsigned* __restrict mosaic_dq = m.dq + index;
    std::uint32_t flags = 0;
    for (int k = 0; k < width; ++k) flags |= dq[k];
    for (int k = 0; flags && k < width; ++k) mosaic_dq[k] |= dq[k];
}

// ---- a tile --------------------------------------------------------------------------------------------------

// The rows of a tile that are worked on: from the first that blocks to come may touch, to the last that any has. All
// memory besides is zero: before the first tile, and whenever a row has been folded.
//
// It has a sink of its own, over the same memory: one that others refer to would be read again from memory whenever
// something is added to a sum.
template <class Sink>
class Rows {
  public:
    Rows(const Exposure& e, const Mosaic& m, const Tile& tile, const Sink& sink)
        : e_(e), m_(m), tile_(tile), sink_(sink), from_(tile.y0), to_(tile.y0 - 1)
    {
    }

    // Output row that the memory begins with.
    int first() const { return sink_.y0; }

    // Makes room for a block that may touch the rows from ... to, the first before which no later one begins.
    void need(int from, int to)
    {
        const Scratch& scratch = sink_.scratch;
        from = from > tile_.y0 ? from : tile_.y0;
        to = to < tile_.y1 ? to : tile_.y1;
        fold_below(from);
        if (to >= sink_.y0 + scratch.rows) {
            move(scratch.sums, sink_.count());
            move(scratch.marks, 1);
            if (m_.dq) move(scratch.dq, 1);
            sink_.y0 = from_;
        }
        if (to > to_) to_ = to;
    }

    // Folds the rows below one into the mosaic, and lets go of them.
    void fold_below(int row)
    {
        if (row <= from_) return;
        const Scratch& scratch = sink_.scratch;
        for (; from_ < row && from_ <= to_; ++from_) {
            if (m_.doubles) {
                fold_row<double>(e_, m_, tile_, from_, sink_);
            } else {
                fold_row<float>(e_, m_, tile_, from_, sink_);
            }
            // While it is at hand.
            clear(scratch.sums, sink_.count(), from_, from_);
            clear(scratch.marks, 1, from_, from_);
            if (m_.dq) clear(scratch.dq, 1, from_, from_);
        }
        from_ = row;
        if (to_ < row - 1) to_ = row - 1;
    }

  private:
    // Rows from ... to, of so many numbers per pixel.
    template <class T>
    void clear(T* array, long numbers, int from, int to) const
    {
        const long width = numbers * SUMS_WIDTH;
        if (from <= to) std::memset(array + (from - sink_.y0) * width, 0, sizeof(T) * width * (to - from + 1));
    }

    // The rows that are in work to the beginning of the memory.
    template <class T>
    void move(T* array, long numbers) const
    {
        const long width = numbers * SUMS_WIDTH;
        const int count = to_ - from_ + 1, by = from_ - sink_.y0;
        std::memmove(array, array + by * width, sizeof(T) * width * count);
        clear(array, numbers, count > by ? to_ + 1 - by : from_, to_);
    }

    const Exposure& e_;
    const Mosaic& m_;
    const Tile tile_;
    Sink sink_;
    int from_, to_;
};

// The first of the planes with squared weights, which are the last ones.
inline int first_squared(const Exposure& e)
{
    int p = e.planes;
    while (p > 0 && e.plane[p - 1].squared) --p;
    return p;
}

template <class Sink>
void walk_tile_of(const Exposure& e, const Mosaic& m, const Tile& tile, const Blocks& blocks, const int* chosen,
                  int n_chosen, Scratch& scratch)
{
    Workspace& own = workspace_at(scratch.workspace);
    Centres& c = own.centres;
    Row& row = own.row;
    TouchingDrops& drops = own.drops;
    Sink sink(scratch, tile.x0, tile.y0, e.planes, m.dq && e.dq.data, &own.contributions);
    sink.first_squared = first_squared(e);
    Rows<Sink> rows(e, m, tile, sink);
    const Bounds bounds = {double(tile.x0), double(tile.x1), double(tile.y0), double(tile.y1)};
    const bool border = e.kernel == SQUARE;
    for (int k = 0; k < n_chosen; ++k) {
        Block b = blocks.block[chosen[k]];
        const Tile* part = blocks.part_of_rows + static_cast<long>(chosen[k]) * BLOCK_HEIGHT;
        // The rows between the first and the last that reach the tile.
        while (b.y0 <= b.y1 && !meets(*part, tile)) ++b.y0, ++part;
        while (b.y0 <= b.y1 && !meets(part[b.y1 - b.y0], tile)) --b.y1;
        if (b.y0 > b.y1) continue;
        rows.need(blocks.part[chosen[k]].y0, blocks.part[chosen[k]].y1);
        sink.y0 = rows.first();
        lap(scratch.stopwatch, FOLD);
        const int n = b.x1 - b.x0 + 1;
        fill_centres(e, b, border, c);
        const bool around = are_around_points(e, lie_of(c, b));
        drops.begin();
        lap(scratch.stopwatch, PIXMAP);
        for (int r = 0; r <= b.y1 - b.y0; ++r) {
            if (!meets(part[r], tile)) continue;
            read_weights(e, b.y0 + r, b.x0, n, m.time, row);
            read_values(e, b.y0 + r, b.x0, n, row);
            if (b.y0 + r < b.y1) {
                expect_pixels(e, b.y0 + r + 1, b.x0, n);
            } else if (k + 1 < n_chosen) {
                const Block& next = blocks.block[chosen[k + 1]];
                expect_pixels(e, next.y0, next.x0, next.x1 - next.x0 + 1);
            }
            lap(scratch.stopwatch, READ);
            if (touch(e, b)) drops.go_to(c, r, n);
            splat_row(e, b, c, drops, r, row, row.weight + PADDING, bounds, around, sink);
            sink.finish(row, n);
            if (row.any_unweighted) {
                Marker marker = {scratch.marks, tile.x0, rows.first()};
                splat_row(e, b, c, drops, r, row, row.unweighted + PADDING, bounds, around, marker);
            }
            lap(scratch.stopwatch, SPLAT);
        }
    }
    rows.fold_below(tile.y1 + 1);
    if (m.passed_over && sink.passed_over) __atomic_fetch_add(m.passed_over, sink.passed_over, __ATOMIC_RELAXED);
    lap(scratch.stopwatch, FOLD);
}

void walk_tile(const Exposure& e, const Mosaic& m, const Tile& tile, const Blocks& blocks, const int* chosen, int n,
               Scratch& scratch)
{
#define GPURES_WALK(layout, sums) \
    case sums:                    \
        return walk_tile_of<layout<sums>>(e, m, tile, blocks, chosen, n, scratch)
    if (first_squared(e) < e.planes) {
        return walk_tile_of<PlaneSums<0, true>>(e, m, tile, blocks, chosen, n, scratch);
    }
    if (!blocks.side_by_side) {
        switch (sums_of_pixel(e.planes)) {
            GPURES_WALK(PixelSums, 2);
            GPURES_WALK(PixelSums, 4);
            GPURES_WALK(PixelSums, 8);
            default:
                return walk_tile_of<PixelSums<0>>(e, m, tile, blocks, chosen, n, scratch);
        }
    }
    switch (e.planes + 1) {
        GPURES_WALK(PlaneSums, 2);
        GPURES_WALK(PlaneSums, 3);
        GPURES_WALK(PlaneSums, 4);
        GPURES_WALK(PlaneSums, 5);
        GPURES_WALK(PlaneSums, 6);
        GPURES_WALK(PlaneSums, 7);
        default:
            return walk_tile_of<PlaneSums<0>>(e, m, tile, blocks, chosen, n, scratch);
    }
#undef GPURES_WALK
}

// ---- whole maps, for those who ask for them ------------------------------------------------------------------

void fill_weight_map(const Exposure& e, const Block& b, float* map, void* workspace)
{
    Row& row = workspace_at(workspace).row;
    const int n = b.x1 - b.x0 + 1;
    for (int j = b.y0; j <= b.y1; ++j) {
        read_weights(e, j, b.x0, n, false, row);
        for (int k = 0; k < n; ++k) map[j * e.nx + b.x0 + k] = static_cast<float>(row.weight[PADDING + k]);
    }
}

// How many pixels of each row of a block fall beside a frame of nx x ny pixels.
void count_misses(const Exposure& e, Block b, long long nx, long long ny, int* misses, void* workspace)
{
    Centres& c = workspace_at(workspace).centres;
    TouchingDrops& drops = workspace_at(workspace).drops;
    const bool border = e.kernel == SQUARE;
    const int n = b.x1 - b.x0 + 1;
    fill_centres(e, b, border, c);
    Reach boxes[BLOCK_HEIGHT + 2];
    b.whole = !border || boxes_of_rows(e, b, c, boxes);
    // A drop around a centre inside the frame falls on it, if it is as wide as the pixels and its corners are known.
    bool inside = reach_of_drop(e.kernel, e.pixel_scale_ratio, e.pixfrac) >= 1.5 || e.kernel < LANCZOS2;
    for (int j = b.y0; j <= b.y1; ++j) {
        const int r = j - b.y0 + 1;
        inside = inside && lie_inside(c.x[r] + 1, c.y[r] + 1, n, static_cast<double>(nx), static_cast<double>(ny));
        misses[j - b.y0] = 0;
    }
    if (inside && b.whole) return;
    Row& row = workspace_at(workspace).row;
    double* weight = row.weight + PADDING;
    for (int k = 0; k < n + LANES; ++k) weight[k] = k < n ? 1.0 : 0.0;
    const Bounds bounds = {0.0, static_cast<double>(nx - 1), 0.0, static_cast<double>(ny - 1)};
    const bool around = are_around_points(e, lie_of(c, b));
    drops.begin();
    for (int r = 0; r <= b.y1 - b.y0; ++r) {
        Hits hits;
        if (touch(e, b)) drops.go_to(c, r, n);
        splat_row(e, b, c, drops, r, row, weight, bounds, around, hits);
        for (int k = 0; k < n; ++k) misses[r] += !hits.hit[k];
    }
}

void fill_pixmap(const Exposure& e, const Block& b, double* map)
{
    double x[BLOCK_WIDTH], y[BLOCK_WIDTH];
    for (int j = b.y0; j <= b.y1; ++j) {
        inner_row(e, j, b.x0, b.x1, x, y);
        double* p = map + 2 * (j * e.nx + b.x0);
        for (int k = 0; k <= b.x1 - b.x0; ++k) {
            p[2 * k] = x[k];
            p[2 * k + 1] = y[k];
        }
    }
}

void blot_row(const Blot& blot, long long row);  // in interpolate.cpp

// As value-initialised: all zeros, which is what some of it has to begin with.
void prepare(void* workspace) { new (workspace) Workspace(); }

Walk walk_for_this_isa()
{
    return {sizeof(Workspace), prepare, reach_of_rows, walk_tile, fill_weight_map, fill_pixmap, count_misses, blot_row};
}

GPURES_END

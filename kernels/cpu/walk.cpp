// One thread's work: the blocks of input pixels that reach a tile of the output frame, splatted and folded.
//
// Compiled once per instruction set (GPURES_ISA names it). It uses no library templates, whose copies the linker
// would share between instruction sets.
#include "simd.h"
// (simd.h first: the templates of splat.h must see what it adds to the number types)
#include "../fold.h"
#include "../splat.h"
#include "centres.h"
#include "rows.h"
#include "touching.h"
#include "walk.h"

GPURES_BEGIN

// ---- sinks ---------------------------------------------------------------------------------------------------

// Adds contributions to a tile's sums. N doubles per output pixel; N = 0: `n` of them, known at run time.
template <int N>
struct TileSink {
    Scratch scratch;
    Tile tile;
    int n;
    const double* values;       // of the pixel in lane 0; the next lane's follow
    const std::uint32_t* bits;  // likewise; null where DQ is not propagated

    int sums() const { return N ? N : n; }

    void add_one(long pixel, double dow, int lane)
    {
        const int count = sums();
        add_scaled(scratch.sums + pixel * count, values + lane * count, dow, count);
        scratch.positive[pixel] |= dow > 0.0;
        if (bits) scratch.dq[pixel] |= bits[lane];
    }

    long place(double i, double j) const
    {
        return (static_cast<int>(j) - tile.y0) * static_cast<long>(TILE_WIDTH) + (static_cast<int>(i) - tile.x0);
    }

    void add_at(long pixel, double dow) { add_one(pixel, dow, 0); }

    void add(double i, double j, double dow)
    {
        if (dow != 0.0) add_at(place(i, j), dow);
    }

#if defined(__GNUC__)
    void add(Vector i, Vector j, Vector dow)
    {
        int pixel[LANES];
        store_integers(
            (j - static_cast<double>(tile.y0)) * static_cast<double>(TILE_WIDTH) + (i - static_cast<double>(tile.x0)),
            pixel);
        double each[LANES];
        store(dow, each);
        for (int l = 0; l < LANES; ++l) {
            if (each[l] != 0.0) add_one(pixel[l], each[l], l);
        }
    }
#endif
};

// ---- one row of input pixels ---------------------------------------------------------------------------------

// Weights and plane values of a row of a block. Lanes beyond the block's width have weight 0.
struct Row {
    double weight[BLOCK + LANES];
    std::uint32_t bits[BLOCK + LANES];
    double values[(BLOCK + LANES) * (MOST_PLANES + 1)];
};

inline void read_weights(const Exposure& e, int j, int i0, int n, Row& row)
{
    if (e.weight_map.data) {
        read_row(e.weight_map, j, i0, n, row.weight);
        for (int k = 0; k < n; ++k) row.weight[k] = usable_weight(row.weight[k]);
    } else if (e.variance.data) {
        read_row(e.variance, j, i0, n, row.weight);
        for (int k = 0; k < n; ++k) row.weight[k] = inverse_variance(row.weight[k]);
    } else {
        for (int k = 0; k < n; ++k) row.weight[k] = e.weight;
    }
    for (int k = n; k < n + LANES; ++k) row.weight[k] = 0.0;
    if (!e.dq.data) return;
    std::uint64_t dq[BLOCK];
    read_row(e.dq, j, i0, n, dq);
    for (int k = 0; k < n; ++k) {
        row.bits[k] = static_cast<std::uint32_t>(dq[k]);
        row.weight[k] = is_good(dq[k], e.bad_bits) ? row.weight[k] : 0.0;
    }
}

inline void read_values(const Exposure& e, int j, int i0, int n, int stride, Row& row)
{
    double x[BLOCK];
    for (int k = 0; k < n; ++k) row.values[k * stride] = 1.0;
    for (int p = 0; p < e.planes; ++p) {
        const Plane& plane = e.plane[p];
        read_row(plane.view, j, i0, n, x);
        for (int k = 0; k < n; ++k) x[k] = plane_value(plane, x[k]);
        for (int k = 0; k < n; ++k) row.values[k * stride + p + 1] = x[k];
    }
    // A sum that fills up the last pair.
    for (int k = 0; e.planes + 1 < stride && k < n; ++k) row.values[k * stride + stride - 1] = 0.0;
}

// Smallest and largest of a row's coordinates; NaN are passed over.
inline void extend_range(const double* p, int n, double& low, double& high)
{
    int k = 0;
    if (n >= LANES) {
        Vector least_lanes = Vector{} + low, most_lanes = Vector{} + high;
        for (; k + LANES <= n; k += LANES) {
            const Vector v = load(p + k);
            least_lanes = least(v, least_lanes);
            most_lanes = greatest(v, most_lanes);
        }
        double each[LANES];
        store(least_lanes, each);
        for (double v : each) low = least(v, low);
        store(most_lanes, each);
        for (double v : each) high = greatest(v, high);
    }
    for (; k < n; ++k) {
        low = least(p[k], low);
        high = greatest(p[k], high);
    }
}

// ---- how far drops reach -------------------------------------------------------------------------------------

// Bounding boxes of what the rows of a block may touch: of their centres, of those next to them where corners depend on
// these, and the drops around them.
void reach_of_rows(const Exposure& e, const Block& b, Reach* rows)
{
    static thread_local Centres c;
    const bool border = e.kernel == SQUARE;
    const double margin = reach_of_drop(e.kernel, e.pixel_scale_ratio, e.pixfrac);
    const int from = border ? 0 : 1, n = b.x1 - b.x0 + (border ? 3 : 1), n_rows = b.y1 - b.y0 + 1;
    fill_centres(e, b, border, c);
    Reach of_centres[BLOCK + 2];
    for (int a = from; a < n_rows + 2 - from; ++a) {
        Reach& r = of_centres[a] = {1e300, -1e300, 1e300, -1e300};
        extend_range(c.x[a] + from, n, r.x0, r.x1);
        extend_range(c.y[a] + from, n, r.y0, r.y1);
    }
    for (int k = 0; k < n_rows; ++k) {
        Reach r = of_centres[k + 1];
        for (int a = k; border && a <= k + 2; a += 2) {
            const Reach& next = of_centres[a];
            r = {least(r.x0, next.x0), greatest(r.x1, next.x1), least(r.y0, next.y0), greatest(r.y1, next.y1)};
        }
        rows[k] = {r.x0 - margin, r.x1 + margin, r.y0 - margin, r.y1 + margin};
    }
}

inline bool meets(const Tile& p, const Tile& t) { return p.x0 <= t.x1 && p.x1 >= t.x0 && p.y0 <= t.y1 && p.y1 >= t.y0; }

// ---- splat ---------------------------------------------------------------------------------------------------

// Has a sink take the values of the pixels from the k-th of a row on.
template <class Sink>
inline void take_values(const Row& row, int k, Sink& sink)
{
    sink.values = row.values + k * sink.sums();
    if (sink.bits) sink.bits = row.bits + k;
}

template <class Sink>
inline void splat_row_square(const Centres& c, int r, int n, double half, const Row& row, const Bounds& bounds,
                             Sink& sink)
{
    for (int k = 0; k < n; k += LANES) {
        take_values(row, k, sink);
        Vector near[3][3];
        Quad<Vector> q;
        for (int a = 0; a < 3; ++a) {
            for (int b = 0; b < 3; ++b) near[a][b] = load(c.x[r + a] + k + b);
        }
        corners(near, half, q.x);
        for (int a = 0; a < 3; ++a) {
            for (int b = 0; b < 3; ++b) near[a][b] = load(c.y[r + a] + k + b);
        }
        corners(near, half, q.y);
        splat_square(q, load(row.weight + k), bounds, sink, OwnDirections());
    }
}

// The same for drops that touch, whose corners and edges are known.
template <class Sink>
inline void splat_row_touching(const TouchingDrops& drops, int n, const Row& row, const Bounds& bounds, Sink& sink)
{
    for (int k = 0; k < n; k += LANES) {
        take_values(row, k, sink);
        splat_square(drops.quad(k), load(row.weight + k), bounds, sink,
                     [&](Outline<Vector>& o) { drops.set_directions(k, o); });
    }
}

template <class Sink, class Splat>
inline void splat_row_of_points(const Centres& c, int r, int n, const Row& row, Sink& sink, const Splat& splat)
{
    for (int k = 0; k < n; ++k) {
        const double x = c.x[r + 1][k + 1], y = c.y[r + 1][k + 1];
        if (row.weight[k] == 0.0) continue;
        take_values(row, k, sink);
        splat(x, y, row.weight[k]);
    }
}

template <class Sink>
inline void splat_row(const Exposure& e, const Centres& c, TouchingDrops& drops, int r, int n, const Row& row,
                      const Bounds& b, Sink& sink)
{
    const double s = e.pixel_scale_ratio;
    const auto product = [&](const auto& profile) {
        splat_row_of_points(c, r, n, row, sink,
                            [&](double x, double y, double w) { splat_product(profile, x, y, w, b, sink); });
    };
    switch (e.kernel) {
        case SQUARE:
            if (e.pixfrac != 1.0) return splat_row_square(c, r, n, 0.5 * e.pixfrac, row, b, sink);
            drops.go_to(c, r, n);
            return splat_row_touching(drops, n, row, b, sink);
        case TURBO:
            return product(Turbo(s, e.pixfrac));
        case GAUSSIAN:
            return product(Gaussian(s, e.pixfrac));
        case LANCZOS2:
            return product(Lanczos(s, 2, e.lanczos));
        case LANCZOS3:
            return product(Lanczos(s, 3, e.lanczos));
        default:
            return splat_row_of_points(c, r, n, row, sink,
                                       [&](double x, double y, double w) { splat_point(x, y, w, b, sink); });
    }
}

// ---- fold ----------------------------------------------------------------------------------------------------

// The sums of as many output pixels as V has lanes.
template <class V>
struct TileSums {
    const double* sums;  // of the first
    int stride;          // doubles from one output pixel to the next

    V operator()(int k) const
    {
        double each[sizeof(V) / sizeof(double)];
        for (unsigned l = 0; l < sizeof(V) / sizeof(double); ++l) each[l] = sums[l * stride + k];
        return Access<V>::load(each);
    }
};

template <class T>
void fold_tile(const Exposure& e, const Mosaic& m, const Tile& tile, const Scratch& scratch, int stride)
{
    const int width = tile.x1 - tile.x0 + 1;
    if (width <= 0) return;
    for (int j = tile.y0; j <= tile.y1; ++j) {
        const long local = static_cast<long>(j - tile.y0) * TILE_WIDTH;
        const long long index = j * m.nx + tile.x0;
        const double* sums = scratch.sums + local * stride;
        for (int k = 0; k < width;) {
            const int lanes = k + LANES <= width ? LANES : 1;
            double any = 0.0;
            for (int l = 0; l < lanes; ++l) any += fabs(sums[(k + l) * stride]);
            if (any != 0.0 && lanes == 1) {
                fold<double, T>(e, m, TileSums<double>{sums + k * stride, stride}, index + k);
            } else if (any != 0.0) {
                fold<Vector, T>(e, m, TileSums<Vector>{sums + k * stride, stride}, index + k);
            }
            k += lanes;
        }
        // Rows that nothing was added to are only read: writing would take memory for them.
        if (m.context && std::memchr(scratch.positive + local, 1, width)) {
            for (int k = 0; k < width; ++k) m.context[index + k] |= scratch.positive[local + k] ? m.context_bit : 0;
        }
        std::uint32_t flags = 0;
        for (int k = 0; m.dq && k < width; ++k) flags |= scratch.dq[local + k];
        for (int k = 0; flags && k < width; ++k) m.dq[index + k] |= scratch.dq[local + k];
    }
}

// ---- a tile --------------------------------------------------------------------------------------------------

template <int N>
void walk_tile_of(const Exposure& e, const Mosaic& m, const Tile& tile, const Block* blocks, const Tile* parts,
                  const int* chosen, int n_chosen, Scratch& scratch)
{
    static thread_local Centres c;
    static thread_local Row row;
    static thread_local TouchingDrops drops;
    const int stride = sums_per_pixel(e.planes);
    const long pixels = static_cast<long>(TILE_WIDTH) * (tile.y1 - tile.y0 + 1);
    std::memset(scratch.sums, 0, sizeof(double) * pixels * stride);
    std::memset(scratch.positive, 0, pixels);
    if (m.dq) std::memset(scratch.dq, 0, sizeof(std::uint32_t) * pixels);

    TileSink<N> sink{scratch, tile, stride, nullptr, m.dq && e.dq.data ? row.bits : nullptr};
    const Bounds bounds = {double(tile.x0), double(tile.x1), double(tile.y0), double(tile.y1)};
    const bool border = e.kernel == SQUARE;
    bool touched = false;
    for (int k = 0; k < n_chosen; ++k) {
        Block b = blocks[chosen[k]];
        const Tile* part = parts + static_cast<long>(chosen[k]) * BLOCK;
        // The rows between the first and the last that reach the tile.
        while (b.y0 <= b.y1 && !meets(*part, tile)) ++b.y0, ++part;
        while (b.y0 <= b.y1 && !meets(part[b.y1 - b.y0], tile)) --b.y1;
        if (b.y0 > b.y1) continue;
        touched = true;
        const int n = b.x1 - b.x0 + 1;
        fill_centres(e, b, border, c);
        drops.begin();
        for (int r = 0; r <= b.y1 - b.y0; ++r) {
            if (!meets(part[r], tile)) continue;
            read_weights(e, b.y0 + r, b.x0, n, row);
            read_values(e, b.y0 + r, b.x0, n, stride, row);
            splat_row(e, c, drops, r, n, row, bounds, sink);
        }
    }
    if (!touched) return;
    if (m.doubles) {
        fold_tile<double>(e, m, tile, scratch, stride);
    } else {
        fold_tile<float>(e, m, tile, scratch, stride);
    }
}

void walk_tile(const Exposure& e, const Mosaic& m, const Tile& tile, const Block* blocks, const Tile* parts,
               const int* chosen, int n, Scratch& scratch)
{
    switch (sums_per_pixel(e.planes)) {
        case 2:
            return walk_tile_of<2>(e, m, tile, blocks, parts, chosen, n, scratch);
        case 4:
            return walk_tile_of<4>(e, m, tile, blocks, parts, chosen, n, scratch);
        case 6:
            return walk_tile_of<6>(e, m, tile, blocks, parts, chosen, n, scratch);
        case 8:
            return walk_tile_of<8>(e, m, tile, blocks, parts, chosen, n, scratch);
        case 10:
            return walk_tile_of<10>(e, m, tile, blocks, parts, chosen, n, scratch);
        case 12:
            return walk_tile_of<12>(e, m, tile, blocks, parts, chosen, n, scratch);
        default:
            return walk_tile_of<0>(e, m, tile, blocks, parts, chosen, n, scratch);
    }
}

// ---- whole maps, for those who ask for them ------------------------------------------------------------------

void fill_weight_map(const Exposure& e, const Block& b, float* map)
{
    static thread_local Row row;
    const int n = b.x1 - b.x0 + 1;
    for (int j = b.y0; j <= b.y1; ++j) {
        read_weights(e, j, b.x0, n, row);
        for (int k = 0; k < n; ++k) map[j * e.nx + b.x0 + k] = static_cast<float>(row.weight[k]);
    }
}

void fill_pixmap(const Exposure& e, const Block& b, double* map)
{
    double x[BLOCK], y[BLOCK];
    for (int j = b.y0; j <= b.y1; ++j) {
        inner_row(e, j, b.x0, b.x1, x, y);
        double* p = map + 2 * (j * e.nx + b.x0);
        for (int k = 0; k <= b.x1 - b.x0; ++k) {
            p[2 * k] = x[k];
            p[2 * k + 1] = y[k];
        }
    }
}

Walk walk_for_this_isa() { return {reach_of_rows, walk_tile, fill_weight_map, fill_pixmap}; }

GPURES_END

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
    for (int p = e.planes + 1; p < stride; ++p) {
        for (int k = 0; k < n; ++k) row.values[k * stride + p] = 0.0;
    }
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

// Drops of the square kernel lie within the hull of the bordered centres; the others around their own centre.
inline double reach_of_drop(const Exposure& e) { return reach_of_drop(e.kernel, e.pixel_scale_ratio, e.pixfrac); }

// Bounding box of rows first ... last (numbered from the block's first) of the centres.
inline Reach reach_of_rows(const Centres& c, int first, int last, int columns, bool border, double margin)
{
    Reach r = {1e300, -1e300, 1e300, -1e300};
    const int from = border ? 0 : 1, n = border ? columns + 2 : columns;
    for (int a = border ? first : first + 1; a <= (border ? last + 2 : last + 1); ++a) {
        extend_range(c.x[a] + from, n, r.x0, r.x1);
        extend_range(c.y[a] + from, n, r.y0, r.y1);
    }
    return {r.x0 - margin, r.x1 + margin, r.y0 - margin, r.y1 + margin};
}

inline bool reaches(const Reach& r, const Tile& t)
{
    return r.x0 <= t.x1 + 1 && r.x1 >= t.x0 - 1 && r.y0 <= t.y1 + 1 && r.y1 >= t.y0 - 1;
}

Reach reach_of_block(const Exposure& e, const Block& b)
{
    static thread_local Centres c;
    const bool border = e.kernel == SQUARE;
    fill_centres(e, b, border, c);
    return reach_of_rows(c, 0, b.y1 - b.y0, b.x1 - b.x0 + 1, border, reach_of_drop(e));
}

// ---- splat ---------------------------------------------------------------------------------------------------

template <class Sink>
inline void splat_row_square(const Centres& c, int r, int n, double half, const Row& row, const Bounds& bounds,
                             Sink& sink)
{
    for (int k = 0; k < n; k += LANES) {
        sink.values = row.values + k * sink.sums();
        if (sink.bits) sink.bits = row.bits + k;
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
        splat_square(q, load(row.weight + k), bounds, sink);
    }
}

template <class Sink, class Splat>
inline void splat_row_of_points(const Centres& c, int r, int n, const Row& row, Sink& sink, const Splat& splat)
{
    for (int k = 0; k < n; ++k) {
        const double x = c.x[r + 1][k + 1], y = c.y[r + 1][k + 1];
        if (row.weight[k] == 0.0) continue;
        sink.values = row.values + k * sink.sums();
        if (sink.bits) sink.bits = row.bits + k;
        splat(x, y, row.weight[k]);
    }
}

template <class Sink>
inline void splat_row(const Exposure& e, const Centres& c, int r, int n, const Row& row, const Bounds& b, Sink& sink)
{
    const double s = e.pixel_scale_ratio;
    const auto product = [&](const auto& profile) {
        splat_row_of_points(c, r, n, row, sink,
                            [&](double x, double y, double w) { splat_product(profile, x, y, w, b, sink); });
    };
    switch (e.kernel) {
        case SQUARE:
            return splat_row_square(c, r, n, 0.5 * e.pixfrac, row, b, sink);
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
void walk_tile_of(const Exposure& e, const Mosaic& m, const Tile& tile, const Block* blocks, const int* chosen,
                  int n_chosen, Scratch& scratch)
{
    static thread_local Centres c;
    static thread_local Row row;
    const int stride = sums_per_pixel(e.planes);
    const long pixels = static_cast<long>(TILE_WIDTH) * (tile.y1 - tile.y0 + 1);
    std::memset(scratch.sums, 0, sizeof(double) * pixels * stride);
    std::memset(scratch.positive, 0, pixels);
    if (m.dq) std::memset(scratch.dq, 0, sizeof(std::uint32_t) * pixels);

    TileSink<N> sink{scratch, tile, stride, nullptr, m.dq && e.dq.data ? row.bits : nullptr};
    const Bounds bounds = {tile.x0, tile.x1, tile.y0, tile.y1};
    const bool border = e.kernel == SQUARE;
    const double margin = reach_of_drop(e);
    bool touched = false;
    for (int k = 0; k < n_chosen; ++k) {
        const Block& b = blocks[chosen[k]];
        const int n = b.x1 - b.x0 + 1;
        fill_centres(e, b, border, c);
        for (int r = 0; r <= b.y1 - b.y0; ++r) {
            if (!reaches(reach_of_rows(c, r, r, n, border, margin), tile)) continue;
            touched = true;
            read_weights(e, b.y0 + r, b.x0, n, row);
            read_values(e, b.y0 + r, b.x0, n, stride, row);
            splat_row(e, c, r, n, row, bounds, sink);
        }
    }
    if (!touched) return;
    if (m.doubles) {
        fold_tile<double>(e, m, tile, scratch, stride);
    } else {
        fold_tile<float>(e, m, tile, scratch, stride);
    }
}

void walk_tile(const Exposure& e, const Mosaic& m, const Tile& tile, const Block* blocks, const int* chosen, int n,
               Scratch& scratch)
{
    switch (sums_per_pixel(e.planes)) {
        case 2:
            return walk_tile_of<2>(e, m, tile, blocks, chosen, n, scratch);
        case 4:
            return walk_tile_of<4>(e, m, tile, blocks, chosen, n, scratch);
        case 6:
            return walk_tile_of<6>(e, m, tile, blocks, chosen, n, scratch);
        case 8:
            return walk_tile_of<8>(e, m, tile, blocks, chosen, n, scratch);
        default:
            return walk_tile_of<0>(e, m, tile, blocks, chosen, n, scratch);
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

Walk walk_for_this_isa() { return {reach_of_block, walk_tile, fill_weight_map, fill_pixmap}; }

GPURES_END

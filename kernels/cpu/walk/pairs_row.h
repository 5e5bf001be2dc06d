// Pairs of a row of a block's pixels (see ../../pairs.h), straight into the mosaic's planes: those whose first pixel is
// in the tile, wherever the other one is.
#pragma once

#include "../../pairs.h"
#include "splat_row.h"

GPURES_BEGIN

// A part of each drop of a row: the weight dow[r][c][k] goes from pixel k to the output pixel
// (x[k] + column + c, y[k] + row + r), where the part begins with that column and row of the bounding box.
struct HeldRow {
    static constexpr int SIDE = 8;

    alignas(64) double dow[SIDE][SIDE][BLOCK_WIDTH];
    alignas(64) double all[BLOCK_WIDTH];
    alignas(64) double variance[BLOCK_WIDTH + LANES];
    bool finite;  // all variances are
    int x[BLOCK_WIDTH], y[BLOCK_WIDTH];
    // Of each vector of pixels, how many columns and rows are held, and whether its pixels go side by side: then x and
    // y of each are known from the first.
    int columns[BLOCK_WIDTH / LANES], rows[BLOCK_WIDTH / LANES];
    bool side_by_side[BLOCK_WIDTH / LANES];
};

// Where pairs go.
struct PairsOfTile {
    const Pairs& pairs;
    const Mosaic& m;
    const Tile& tile;

    bool holds(int x, int y) const { return x >= tile.x0 && x <= tile.x1 && y >= tile.y0 && y <= tile.y1; }
    double* sum(int x, int y) const { return pairs.sums + y * m.stride + x; }  // in the first plane
};

// The pixels that a vector of input pixels contributes to, one each, and their variances.
struct PixelsOfPairs {
    double* sums;  // of the first plane, where the input pixels go side by side in the tile; else null
    double* of_lane[LANES];
    bool in_tile[LANES];
    long stride;
    Vector variance;
    bool finite;

    void add(int plane, Vector weight) const
    {
        const Mask used = weight != Vector{};
        if (!anywhere(used)) return;
        Vector product = weight * variance;
        if (!finite) product = select(used, product, Vector{});
        if (sums) {
            double* const sum = sums + plane * stride;
            store(load(sum) + product, sum);
            return;
        }
        double each[LANES], nowhere = 0.0;
        store(product, each);
        // No branches: which of them are in the tile, and not 0, is hard to tell before.
        for (int l = 0; l < LANES; ++l) {
            double* const sum = in_tile[l] ? of_lane[l] + plane * stride : &nowhere;
            *sum += each[l];
        }
    }
};

// As many drops as a vector has lanes, from the k-th of a row on.
struct HeldVector {
    const PairsOfTile& to;
    const HeldRow& held;
    int k, column, row, columns, rows;

    HeldVector(const PairsOfTile& to, const HeldRow& held, int k, int column, int row)
        : to(to),
          held(held),
          k(k),
          column(column),
          row(row),
          columns(held.columns[k / LANES]),
          rows(held.rows[k / LANES])
    {
    }

    Vector operator()(int c, int r) const { return load(held.dow[r][c] + k); }
    Vector all() const { return load(held.all + k); }
    static bool any(Vector weight) { return anywhere(weight != Vector{}); }

    PixelsOfPairs at(int c, int r) const
    {
        PixelsOfPairs pixels;
        pixels.stride = to.pairs.stride;
        pixels.variance = load(held.variance + k);
        pixels.finite = held.finite;
        const int* const x = held.x + k;
        const int* const y = held.y + k;
        c += column;
        r += row;
        const bool inside = to.holds(x[0] + c, y[0] + r) && to.holds(x[0] + c + LANES - 1, y[0] + r);
        pixels.sums = held.side_by_side[k / LANES] && inside ? to.sum(x[0] + c, y[0] + r) : nullptr;
        if (pixels.sums) return pixels;
        for (int l = 0; l < LANES; ++l) {
            pixels.of_lane[l] = to.sum(x[l] + c, y[l] + r);
            pixels.in_tile[l] = to.holds(x[l] + c, y[l] + r);
        }
        return pixels;
    }
};

// The sink that holds them.
class RowOfParts {
  public:
    static constexpr int SIDE = HeldRow::SIDE;
    struct Place {};

    int columns = 0, rows = 0;  // of the largest drop

    RowOfParts(const PairsOfTile& to, HeldRow& held, int n) : to_(to), held_(held), n_(n) {}

    void begin(int column, int row)
    {
        column_ = column;
        row_ = row;
    }

    void take(const PixelRow&, int k)
    {
        first_ = k;
        held_.columns[k / LANES] = held_.rows[k / LANES] = 0;
        store(Vector{}, held_.all + k);
    }

    Place place(Vector i, Vector j, Mask used)
    {
        const Vector zero = Vector{};
        int f = 0;
        while (f < LANES - 1 && !used[f]) ++f;
        const Vector along = i - numbers_of_lanes();
        const Mask beside = (along == zero + along[f]) & (j == zero + j[f]);
        held_.side_by_side[first_ / LANES] = everywhere(beside | ~used) && used[f];
        const bool side_by_side = held_.side_by_side[first_ / LANES];
        store_integers(side_by_side ? numbers_of_lanes() + along[f] : select(used, i, zero), held_.x + first_);
        store_integers(side_by_side ? zero + j[f] : select(used, j, zero), held_.y + first_);
        return {};
    }

    void add(Place, int c, int r, Vector dow)
    {
        store(load(held_.all + first_) + dow, held_.all + first_);
        columns = c < columns ? columns : c + 1;
        rows = r < rows ? rows : r + 1;
        c -= column_;
        r -= row_;
        if (c < 0 || c >= SIDE || r < 0 || r >= SIDE) return;
        int& held_columns = held_.columns[first_ / LANES];
        int& held_rows = held_.rows[first_ / LANES];
        held_columns = c < held_columns ? held_columns : c + 1;
        held_rows = r < held_rows ? held_rows : r + 1;
        store(dow, held_.dow[r][c] + first_);
    }

    void pass_over(Mask) {}

    template <class Work>
    void each(const Work& work) const
    {
        for (int k = 0; k < n_; k += LANES) work(HeldVector(to_, held_, k, column_, row_));
    }

    // The sink that pairs what is beyond the part with it.
    struct Beyond {
        const RowOfParts& parts;
        int first = 0;

        using Place = RowOfParts::Place;

        void take(const PixelRow&, int k) { first = k; }
        Place place(Vector, Vector, Mask) const { return {}; }
        void add(Place, int c, int r, Vector dow) const
        {
            const int column = c - parts.column_, row = r - parts.row_;
            if (row < 0 || (column >= 0 && column < SIDE && row < SIDE) || !HeldVector::any(dow)) return;
            const HeldVector held(parts.to_, parts.held_, first, parts.column_, parts.row_);
            add_pairs_beyond(parts.to_.pairs, held, column, row, dow);
        }
        void pass_over(Mask) {}
    };

    Beyond beyond() const { return {*this}; }

  private:
    const PairsOfTile& to_;
    HeldRow& held_;
    const int n_;
    int column_ = 0, row_ = 0, first_ = 0;
};

// Variances of a row's n pixels from i0 on, once their weights are there; 0 for those of weight 0.
inline void read_variances(const Pairs& pairs, int j, int i0, int n, const PixelRow& row, HeldRow& held)
{
    double* const sums = held.variance;
    for (int k = 0; k < n; k += LANES) store(Vector{}, sums + k);
    for (int s = 0; s < pairs.sources; ++s) {
        const Plane& source = pairs.source[s];
        double values[BLOCK_WIDTH + LANES];
        read_vectors(source.view, j, i0, n, [&](Vector v, int k) { store(plane_value(source, v), values + k); });
        for (int k = 0; k < n; ++k) sums[k] += values[k];
    }
    const double* const weight = row.weight + PADDING;
    Vector not_finite = Vector{};
    for (int k = n; k % LANES != 0; ++k) sums[k] = 0.0;
    for (int k = 0; k < n; k += LANES) {
        const Vector v = select(load(weight + k) == Vector{}, Vector{}, load(sums + k));
        not_finite = not_finite + 0.0 * v;
        store(v, sums + k);
    }
    held.finite = everywhere(not_finite == Vector{});
}

// Values of those planes that are sums over whole drops: where all drops of a row lie in the frame, and what each
// contributes is known, its pixel's weight. Else they are 0, and it is false. `part`: what of the frame the row
// touches.
inline bool read_sums(const Exposure& e, const Mosaic& m, const Tile& part, int n, const HeldRow& held, PixelRow& row)
{
    const bool inside = part.x0 > 0 && part.x1 < m.nx - 1 && part.y0 > 0 && part.y1 < m.ny - 1;
    const bool known = inside && (e.kernel == SQUARE || e.kernel == TURBO || e.kernel == POINT);
    for (int p = 0; p < e.planes; ++p) {
        if (e.plane[p].root != KEPT_SUM) continue;
        double* const values = row.values[p] + PADDING;
        for (int k = 0; k < n; ++k) {
            const double all = e.plane[p].squared ? 1.0 : row.weight[PADDING + k];
            values[k] = known ? held.variance[k] * all : 0.0;
        }
        for (int k = n; k < n + PADDING; ++k) values[k] = 0.0;
    }
    row.finite = row.finite && (held.finite || !known);
    return known;
}

// What is read of a row for its pairs, once its weights and values are there; whether these are still to be added.
__attribute__((noinline)) inline bool read_pairs(const Exposure& e, const Block& b, int r, const Mosaic& m,
                                                 const Tile& part, PixelRow& row, HeldRow& held)
{
    const int n = b.x1 - b.x0 + 1;
    read_variances(*m.pairs, b.y0 + r, b.x0, n, row, held);
    return e.plane[0].root != KEPT_SUM || !read_sums(e, m, part, n, held, row);
}

// Row r of a block, whose weights are there; as splat_row() takes it.
__attribute__((noinline)) inline void splat_row_of_pairs(const Exposure& e, const Block& b, const Centres& c,
                                                         const SharedCorners& corners, int r, const PixelRow& row,
                                                         bool around, const Mosaic& m, const Tile& tile, HeldRow& held)
{
    const int n = b.x1 - b.x0 + 1;
    const Pairs& pairs = *m.pairs;
    // Whole drops, whatever tile their pixels are in.
    const Bounds bounds = {0.0, static_cast<double>(m.nx - 1), 0.0, static_cast<double>(m.ny - 1)};
    const PairsOfTile to = {pairs, m, tile};
    RowOfParts parts(to, held, n);
    splat_pairs(pairs, parts,
                [&](auto& sink) { splat_row(e, b, c, corners, {}, r, row, row.weight + PADDING, bounds, around, sink); });
}

GPURES_END

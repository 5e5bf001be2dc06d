// Pairs of a row of a block's pixels (see ../../pairs.h), straight into the mosaic's planes: those whose first pixel is
// in the tile, wherever the other one is.
//
// Drops are kept until the row is done, most of them while they are splatted into the sums. Then, over each run of
// pixels that fall as many output pixels apart as the frame is finer, what goes to an output pixel from all pixels of
// the run is added up in registers, and each sum is read and written once, as in plane_sums.h.
#pragma once

#include "../../pairs.h"
#include "splat_row.h"

GPURES_BEGIN

// A part of each drop of a row: the weight dow[r][c][MARGIN + k] goes from pixel k to the output pixel
// (x[k] + column + c, y[k] + row + r), where the part begins with that column and row of the bounding box.
struct HeldRow {
    static constexpr int SIDE = 16;
    // For a vector that begins as many pixels before the first as there are columns, and a vector's width.
    static constexpr int MARGIN = SIDE + 8;

    alignas(64) double dow[SIDE][SIDE][MARGIN + BLOCK_WIDTH + MARGIN];
    alignas(64) double all[MARGIN + BLOCK_WIDTH + MARGIN];
    alignas(64) double variance[MARGIN + BLOCK_WIDTH + MARGIN];
    double x[BLOCK_WIDTH], y[BLOCK_WIDTH];  // NaN: contributes nothing
    bool finite;                            // all variances are
    // Of each vector of pixels, how many columns and rows are held; others may hold anything.
    int columns[BLOCK_WIDTH / LANES], rows[BLOCK_WIDTH / LANES];
};

// Where pairs go.
struct PairsOfTile {
    const Pairs& pairs;
    const Mosaic& m;
    const Tile& tile;

    bool holds(int x, int y) const { return x >= tile.x0 && x <= tile.x1 && y >= tile.y0 && y <= tile.y1; }
    double* sum(int x, int y) const { return pairs.sums + y * m.stride + x; }  // in the first plane
};

// Pixels of a row, from the first to before the end, pixel first + k of which goes to x + step k.
struct RunOfPairs {
    int first, end, step, x, y;
    bool alone;  // the row has no other

    // A vector from pixel k on, without what is not in it.
    Vector only(int k, Vector dow) const
    {
        if (alone || (k >= first && k + LANES <= end)) return dow;
        const Vector pixel = numbers_of_lanes() + static_cast<double>(k);
        const Vector of_run = select(pixel >= Vector{} + static_cast<double>(first), dow, Vector{});
        return select(pixel < Vector{} + static_cast<double>(end), of_run, Vector{});
    }
};

// The run that begins with a pixel, of n.
inline RunOfPairs run_of_pairs(const HeldRow& held, int first, int n)
{
    const double x = held.x[first], y = held.y[first];
    const auto goes_on = [&](int k, double step) {
        return held.x[k] != held.x[k] || (held.x[k] == x + step * (k - first) && held.y[k] == y);
    };
    RunOfPairs run = {first, first + 1, 1, static_cast<int>(x), static_cast<int>(y), false};
    for (int step = 1; step <= 2; ++step) {
        int k = first + 1;
        while (k < n && goes_on(k, step)) ++k;
        if (k > run.end) run.end = k, run.step = step;
    }
    run.alone = first == 0 && run.end == n;
    return run;
}

// One row of output pixels, and what a run's drops have in theirs and above.
template <int STEP>
class RowOfRun {
  public:
    RowOfRun(const PairsOfTile& to, const HeldRow& held, const RunOfPairs& run, int columns, int rows, int column,
             int row)
        : to_(to), held_(held), run_(run), columns_(columns), rows_(rows), x_(run.x + column), y_(run.y + row)
    {
    }

    // The pairs whose first pixel is in row r of the part.
    void add(int r) const
    {
        if (y_ + r < to_.tile.y0 || y_ + r > to_.tile.y1) return;
        // In blocks that lie as vectors do, wherever the run begins: what is written is not soon read across.
        constexpr int AT_ONCE = STEP * LANES;
        const int last = x_ + STEP * (run_.end - 1 - run_.first) + columns_ - 1;
        int begin = x_ / AT_ONCE * AT_ONCE;
        if (begin + AT_ONCE <= to_.tile.x0) begin = to_.tile.x0 / AT_ONCE * AT_ONCE;
        for (int x = begin; x <= last && x <= to_.tile.x1; x += AT_ONCE) add_block(r, x);
    }

  private:
    // Of what a block of output pixels gets, those of one column of drops: from pixel `pixel` and those that follow, to
    // each STEP-th output pixel.
    struct Column {
        int c, pixel;
        Vector weight;  // times the variance
    };

    struct Columns {
        int count;
        Column column[HeldRow::SIDE];
    };

    Vector dow(int c, int r, int pixel) const { return load(held_.dow[r][c] + HeldRow::MARGIN + pixel); }

    // Those that reach the output pixels x0 + q, x0 + q + STEP, ...
    void find_columns(int r, int x0, int q, Columns& found) const
    {
        found.count = 0;
        const int from = x0 + q - x_;  // of pixel `first` this is the column
        for (int c = STEP == 1 ? 0 : from & 1; c < columns_; c += STEP) {
            const int pixel = run_.first + (from - c) / STEP;
            if (pixel + LANES <= run_.first || pixel >= run_.end) continue;
            const Vector weight = run_.only(pixel, dow(c, r, pixel));
            const Mask used = weight != Vector{};
            if (!anywhere(used)) continue;
            const Vector product = weight * load(held_.variance + HeldRow::MARGIN + pixel);
            found.column[found.count++] = {c, pixel, held_.finite ? product : select(used, product, Vector{})};
        }
    }

    Vector product(Vector weight, Vector other) const
    {
        return held_.finite ? weight * other : select(other != Vector{}, weight * other, Vector{});
    }

    void add_block(int r, int x0) const
    {
        const Pairs& pairs = to_.pairs;
        Columns of[STEP];
        int count = 0;
        for (int q = 0; q < STEP; ++q) {
            find_columns(r, x0, q, of[q]);
            count += of[q].count;
        }
        if (count == 0) return;
        if (pairs.whole_drops) {
            Vector sums[STEP];
            for (int q = 0; q < STEP; ++q) {
                sums[q] = Vector{};
                for (int k = 0; k < of[q].count; ++k) {
                    const Column& column = of[q].column[k];
                    const Vector all = load(held_.all + HeldRow::MARGIN + column.pixel);
                    sums[q] = sums[q] + product(column.weight, all);
                }
            }
            put(sums, 0, x0, y_ + r);
        }
        const int above = pairs.max_lag < rows_ - 1 - r ? pairs.max_lag : rows_ - 1 - r;
        for (int dy = 0; dy <= above; ++dy) {
            for (int dx = dy == 0 ? 0 : -pairs.max_lag; dx <= pairs.max_lag; ++dx) {
                Vector sums[STEP];
                for (int q = 0; q < STEP; ++q) {
                    sums[q] = Vector{};
                    for (int k = 0; k < of[q].count; ++k) {
                        const Column& column = of[q].column[k];
                        const int c = column.c + dx;
                        if (c < 0 || c >= columns_) continue;
                        sums[q] = sums[q] + product(column.weight, dow(c, r + dy, column.pixel));
                    }
                }
                put(sums, pairs.whole_drops + number_of_lag(dx, dy), x0, y_ + r);
            }
        }
    }

    // Nothing is touched that nothing is added to.
    void put(const Vector* sums, int plane, int x, int y) const
    {
        Mask any = sums[0] != Vector{};
        for (int q = 1; q < STEP; ++q) any |= sums[q] != Vector{};
        if (!anywhere(any)) return;
        double* const sum = to_.sum(x, y) + plane * to_.pairs.stride;
        if (x < to_.tile.x0 || x + STEP * LANES - 1 > to_.tile.x1) return put_some(sums, sum, x);
        if constexpr (STEP == 1) {
            store(load(sum) + sums[0], sum);
        } else {
            double each[STEP][LANES];
            for (int q = 0; q < STEP; ++q) store(sums[q], each[q]);
            for (int l = 0; l < LANES; ++l) {
                for (int q = 0; q < STEP; ++q) sum[STEP * l + q] += each[q][l];
            }
        }
    }

    // Those in the tile: pixels beside it are another thread's, or none.
    __attribute__((noinline)) void put_some(const Vector* sums, double* sum, int x) const
    {
        for (int q = 0; q < STEP; ++q) {
            double each[LANES];
            store(sums[q], each);
            for (int l = 0; l < LANES; ++l) {
                const int k = STEP * l + q;
                if (x + k >= to_.tile.x0 && x + k <= to_.tile.x1 && each[l] != 0.0) sum[k] += each[l];
            }
        }
    }

    const PairsOfTile& to_;
    const HeldRow& held_;
    const RunOfPairs& run_;
    const int columns_, rows_, x_, y_;
};

// As many drops as a vector has lanes, from the k-th of a row on, for what lies beyond a part.
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

    Vector operator()(int c, int r) const { return load(held.dow[r][c] + HeldRow::MARGIN + k); }

    // Adds x times the variance to a plane, one by one.
    struct Pixels {
        const HeldVector& of;
        int c, r;

        void add(int plane, Vector weight) const
        {
            if (!anywhere(weight != Vector{})) return;
            double each[LANES];
            store(weight, each);
            for (int l = 0; l < LANES; ++l) {
                if (each[l] == 0.0) continue;
                const int x = static_cast<int>(of.held.x[of.k + l]) + c, y = static_cast<int>(of.held.y[of.k + l]) + r;
                if (!of.to.holds(x, y)) continue;
                of.to.sum(x, y)[plane * of.to.pairs.stride] += each[l] * of.held.variance[HeldRow::MARGIN + of.k + l];
            }
        }
    };

    Pixels at(int c, int r) const { return {*this, column + c, row + r}; }
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
        store(Vector{}, held_.all + HeldRow::MARGIN + k);
        store(Vector{} + NAN, held_.x + k);
    }

    Place place(Vector i, Vector j, Mask used)
    {
        const Vector nowhere = Vector{} + NAN;
        store(select(used, i, nowhere), held_.x + first_);
        store(select(used, j, nowhere), held_.y + first_);
        return {};
    }

    void add(Place, int c, int r, Vector dow)
    {
        double* const all = held_.all + HeldRow::MARGIN + first_;
        store(load(all) + dow, all);
        columns = c < columns ? columns : c + 1;
        rows = r < rows ? rows : r + 1;
        c -= column_;
        r -= row_;
        if (c < 0 || c >= SIDE || r < 0 || r >= SIDE) return;
        int& held_columns = held_.columns[first_ / LANES];
        int& held_rows = held_.rows[first_ / LANES];
        held_columns = c < held_columns ? held_columns : c + 1;
        held_rows = r < held_rows ? held_rows : r + 1;
        store(dow, held_.dow[r][c] + HeldRow::MARGIN + first_);
    }

    void pass_over(Mask) {}

    // All pairs within the part.
    void add_within() const
    {
        int columns = 0, rows = 0;
        const int vectors = (n_ + LANES - 1) / LANES;
        for (int v = 0; v < vectors; ++v) {
            columns = held_.columns[v] > columns ? held_.columns[v] : columns;
            rows = held_.rows[v] > rows ? held_.rows[v] : rows;
        }
        if (rows == 0) return;
        clear_rest(vectors, columns, rows);
        for (int k = 0; k < n_;) {
            if (held_.x[k] != held_.x[k]) {
                ++k;
                continue;
            }
            const RunOfPairs run = run_of_pairs(held_, k, n_);
            if (run.step == 1) {
                add_run<1>(run, columns, rows);
            } else {
                add_run<2>(run, columns, rows);
            }
            k = run.end;
        }
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
            if (row < 0 || (column >= 0 && column < SIDE && row < SIDE) || !anywhere(dow != Vector{})) return;
            const HeldVector held(parts.to_, parts.held_, first, parts.column_, parts.row_);
            add_pairs_beyond(parts.to_.pairs, held, column, row, dow);
        }
        void pass_over(Mask) {}
    };

    Beyond beyond() const { return {*this}; }

  private:
    // Zeros where a vector holds fewer rows or columns than others, and behind the last.
    void clear_rest(int vectors, int columns, int rows) const
    {
        const int end = HeldRow::MARGIN + vectors * LANES;
        for (int r = 0; r < rows; ++r) {
            for (int v = 0; v < vectors; ++v) {
                for (int c = r < held_.rows[v] ? held_.columns[v] : 0; c < columns; ++c) {
                    store(Vector{}, held_.dow[r][c] + HeldRow::MARGIN + v * LANES);
                }
            }
            for (int c = 0; c < columns; ++c) {
                for (int k = end; k < end + HeldRow::MARGIN; ++k) held_.dow[r][c][k] = 0.0;
            }
        }
    }

    template <int STEP>
    __attribute__((noinline)) void add_run(const RunOfPairs& run, int columns, int rows) const
    {
        const RowOfRun<STEP> row(to_, held_, run, columns, rows, column_, row_);
        for (int r = 0; r < rows; ++r) row.add(r);
    }

    const PairsOfTile& to_;
    HeldRow& held_;
    const int n_;
    int column_ = 0, row_ = 0, first_ = 0;
};

// A sink for two, each of which gets all.
template <class One, class Other>
struct BothSinks {
    One& one;
    Other& other;

    struct Place {
        decltype(one.place(Vector{}, Vector{}, Mask{})) of_one;
        decltype(other.place(Vector{}, Vector{}, Mask{})) of_other;
    };

    void take(const PixelRow& row, int k)
    {
        one.take(row, k);
        other.take(row, k);
    }

    Place place(Vector i, Vector j, Mask used) { return {one.place(i, j, used), other.place(i, j, used)}; }

    void add(const Place& place, int c, int r, Vector dow)
    {
        one.add(place.of_one, c, r, dow);
        other.add(place.of_other, c, r, dow);
    }

    void pass_over(Mask lanes)
    {
        one.pass_over(lanes);
        other.pass_over(lanes);
    }
};

// Variances of a row's n pixels from i0 on, once their weights are there; 0 for those of weight 0.
inline void read_variances(const Pairs& pairs, int j, int i0, int n, const PixelRow& row, HeldRow& held)
{
    double* const sums = held.variance + HeldRow::MARGIN;
    for (int k = 0; k < n + HeldRow::MARGIN; k += LANES) store(Vector{}, sums + k);
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

// What of the frame a row touches lies within these edges, or beyond an edge of the frame.
inline bool is_within(const Tile& part, const Tile& edges, const Mosaic& m)
{
    return (part.x0 > edges.x0 || edges.x0 == 0) && (part.x1 < edges.x1 || edges.x1 == m.nx - 1) &&
           (part.y0 > edges.y0 || edges.y0 == 0) && (part.y1 < edges.y1 || edges.y1 == m.ny - 1);
}

// The weights that whole drops contribute, of n pixels of row r of a block.
inline void whole_drops(const Exposure& e, const Centres& c, int r, int n, const PixelRow& row, HeldRow& held)
{
    const double* const weight = row.weight + PADDING;
    double* const all = held.all + HeldRow::MARGIN;
    const auto product = [&](const auto& profile) {
        for (int k = 0; k < n; k += LANES) {
            const Vector x = load(c.x[r + 1] + k + 1), y = load(c.y[r + 1] + k + 1);
            store(whole_product(profile, x, y, load(weight + k)), all + k);
        }
    };
    const double s = e.pixel_scale_ratio;
    switch (e.kernel) {
        case GAUSSIAN:
            return product(Gaussian(s, e.pixfrac));
        case LANCZOS2:
            return product(Lanczos(s, 2, e.lanczos));
        case LANCZOS3:
            return product(Lanczos(s, 3, e.lanczos));
        default:
            for (int k = 0; k < n; k += LANES) store(load(weight + k), all + k);
    }
}

// Values of those planes that are sums over whole drops: where all drops of a row lie in the frame, and so what each
// contributes is known. Else they are 0, and it is false. `part`: what of the frame the row touches.
inline bool read_sums(const Exposure& e, const Centres& c, int r, const Mosaic& m, const Tile& part, int n,
                      HeldRow& held, PixelRow& row)
{
    const bool known = part.x0 > 0 && part.x1 < m.nx - 1 && part.y0 > 0 && part.y1 < m.ny - 1;
    if (known) whole_drops(e, c, r, n, row, held);
    for (int p = 0; p < e.planes; ++p) {
        if (e.plane[p].root != KEPT_SUM) continue;
        double* const values = row.values[p] + PADDING;
        for (int k = 0; k < n; ++k) {
            const double all = e.plane[p].squared ? 1.0 : held.all[HeldRow::MARGIN + k];
            values[k] = known ? held.variance[HeldRow::MARGIN + k] * all : 0.0;
        }
        for (int k = n; k < n + PADDING; ++k) values[k] = 0.0;
    }
    row.finite = row.finite && (held.finite || !known);
    return known;
}

// What is read of a row for its pairs, once its weights and values are there; whether these are still to be added.
__attribute__((noinline)) inline bool read_pairs(const Exposure& e, const Block& b, const Centres& c, int r,
                                                 const Mosaic& m, const Tile& part, PixelRow& row, HeldRow& held)
{
    const int n = b.x1 - b.x0 + 1;
    read_variances(*m.pairs, b.y0 + r, b.x0, n, row, held);
    return e.plane[0].root != KEPT_SUM || !read_sums(e, c, r, m, part, n, held, row);
}

// Row r of a block, whose weights are there; as splat_row() takes it. `parts` may hold the first part already.
__attribute__((noinline)) inline void splat_row_of_pairs(const Exposure& e, const Block& b, const Centres& c,
                                                         const SharedCorners& corners, int r, const PixelRow& row,
                                                         bool around, const Mosaic& m, RowOfParts& parts, bool held)
{
    // Whole drops, whatever tile their pixels are in.
    const Bounds bounds = {0.0, static_cast<double>(m.nx - 1), 0.0, static_cast<double>(m.ny - 1)};
    splat_pairs(*m.pairs, parts, held, [&](auto& sink) {
        splat_row(e, b, c, corners, {}, r, row, row.weight + PADDING, bounds, around, sink);
    });
}

GPURES_END

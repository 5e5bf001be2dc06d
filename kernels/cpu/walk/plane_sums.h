// Sums that lie as rows of one plane each: for exposures whose pixels fall side by side on the output, as those do that
// have about its direction and scale.
//
// The weights that a row of input pixels contributes are kept until the row is done. Then, over each run of pixels that
// fall side by side, what falls on an output pixel from its neighbours is added up in registers, and each sum is read
// and written once: vectors added one by one, each a pixel beside the one before, would wait for each other.
#pragma once

#include "sums.h"

GPURES_BEGIN

// What a row of a block's pixels contributes: the weight dow[r][c][PADDING + k] goes from pixel k to the output pixel
// (column[k] + k + c, row[k] + r) of the scratch.
struct Contributions {
    static constexpr int ROWS = 8, COLUMNS = 8;

    alignas(64) Real dow[ROWS][COLUMNS][ROW_LENGTH];
    Real column[BLOCK_WIDTH], row[BLOCK_WIDTH];  // NaN: contributes nothing
    // Of each vector of pixels, how many rows and columns are set; others may hold anything.
    int rows[BLOCK_WIDTH / REALS], columns[BLOCK_WIDTH / REALS];
};

// As many output pixels as V has lanes.
template <class V>
struct SumsOfPlanes {
    const Real* sums;  // of the first
    const double* units;

    V operator()(int k) const { return unscaled(Access<V>::load(sums + k * SUMS_WIDTH), units, k); }

    // Of the output pixels so many further along the row.
    SumsOfPlanes further(int by) const { return {sums + by, units}; }
};

template <int N>
struct Number {
    static constexpr int VALUE = N;
};

// Calls work(Number<k>{}); of the last for numbers beyond it.
template <int FIRST, int LAST, class Work>
inline void with_number(int k, const Work& work)
{
    if constexpr (FIRST < LAST) {
        if (k != FIRST) return with_number<FIRST + 1, LAST>(k, work);
    }
    work(Number<FIRST>{});
}

// Pixels of a row, from the first to before the end, that go side by side: pixel k to column + k.
struct Run {
    int first, end;
    int column, row;
    bool alone;  // no other run is in its row
};

// SQUARED: the planes from `first_squared` on are weighted with squares.
template <bool SQUARED = false>
struct PlaneSums : Sums<0> {
    template <class V>
    using At = SumsOfPlanes<V>;

    struct Place {};

    Contributions* const pending;
    const PixelRow* row = nullptr;
    int first = 0;  // pixel in lane 0
    // Whether each contribution is marked (see Mark). As long as none is negative, an output pixel has a positive one
    // if its weights add up to more than 0: that is looked at once, when its row is done.
    bool marks_each = false;

    // `pending` begins as zeros.
    PlaneSums(const Scratch& scratch, const double* units, int x0, int y0, int planes, int first_squared, bool flagged,
              Contributions* pending)
        : Sums<0>(scratch, units, x0, y0, planes, planes + 1, first_squared, flagged), pending(pending)
    {
    }

    template <class V>
    At<V> at(int column, int row) const
    {
        return {sums_at(column, row), units};
    }

    Real* sums_at(int column, int row) const
    {
        return sums() + static_cast<std::ptrdiff_t>(row) * count() * SUMS_WIDTH + MARGIN + column;
    }

    // Marks the output pixels of a row whose weights add up to more than 0.
    void mark_row(int row) const
    {
        const Real* const weight = sums_at(0, row);
        unsigned char* const marks = scratch.marks + index_in_rows(0, row);
        for (int k = 0; k < TILE_WIDTH; k += REALS) mark(reals(weight + k) > Reals{}, marks + k);
    }

    // Before sums get a contribution that is negative.
    __attribute__((noinline)) void mark_each_from_now_on()
    {
        for (int row = 0; row < scratch.rows; ++row) mark_row(row);
        marks_each = true;
    }

    template <class V>
    V weight_of(int p, V dow) const
    {
        return weight_in_plane(SQUARED && p >= first_squared, dow);
    }

    // Takes the pixels from the k-th of a row on, one in each lane.
    void take(const PixelRow& from, int k)
    {
        row = &from;
        first = k;
        store(Reals{} + NAN, pending->column + k);
        store(Reals{} + NAN, pending->row + k);
        pending->rows[k / REALS] = pending->columns[k / REALS] = 0;
    }

    Place place(Reals i, Reals j, RealMask used) const
    {
        const Reals nowhere = Reals{} + NAN;
        const Reals own = numbers_of_reals() + static_cast<Real>(x0 + first);
        store(select(used, i - own, nowhere), pending->column + first);
        store(select(used, j - static_cast<Real>(y0), nowhere), pending->row + first);
        return {};
    }

    void add(Place, int c, int r, Reals dow)
    {
        if (c >= Contributions::COLUMNS || r >= Contributions::ROWS) return add_far(c, r, dow);
        store(dow, pending->dow[r][c] + PADDING + first);
        pending->columns[first / REALS] = c + 1;
        pending->rows[first / REALS] = r + 1;
    }

    // Beyond what is kept: drops of many pixels, which are rare where neighbours are side by side.
    __attribute__((noinline)) void add_far(int c, int r, Reals dow)
    {
        Real each[REALS];
        store(dow, each);
        for (int l = 0; l < REALS; ++l) {
            if (each[l] == 0.0) continue;
            if (!marks_each && each[l] < 0.0) mark_each_from_now_on();
            const int k = first + l;
            const int x = static_cast<int>(pending->column[k]) + k + c, y = static_cast<int>(pending->row[k]) + r;
            Real* sum = sums_at(x, y);
            sum[0] += each[l];
            for (int p = 0; p < planes; ++p) {
                sum[(p + 1) * SUMS_WIDTH] += weight_of(p, each[l]) * row->values[p][PADDING + k];
            }
            const std::ptrdiff_t pixel = index_in_rows(x, y);
            if (marks_each) scratch.marks[pixel] |= each[l] > 0.0 ? POSITIVE : 0;
            if (flagged) scratch.dq[pixel] |= row->bits[PADDING + k];
        }
    }

    // Adds what the n pixels of a row have contributed.
    void finish(const PixelRow& of, int n)
    {
        const int vectors = (n + REALS - 1) / REALS;
        int rows = 0, columns = 0;
        for (int v = 0; v < vectors; ++v) {
            rows = pending->rows[v] > rows ? pending->rows[v] : rows;
            columns = pending->columns[v] > columns ? pending->columns[v] : columns;
        }
        if (rows == 0) return;
        clear_rest(vectors, rows, columns);
        for (int k = 0; k < n;) {
            Run run;
            for (run.first = k; run.first < n && is_nowhere(run.first);) ++run.first;
            if (run.first == n) return;
            const Real column = pending->column[run.first], row = pending->row[run.first];
            run.end = end_of_run(run.first, n, column, row);
            run.column = static_cast<int>(column);
            run.row = static_cast<int>(row);
            run.alone = k == 0 && run.end == n;
            for (int c = 0; c < columns; c += 4) add_run(of, run, rows, columns, c);
            k = run.end;
        }
    }

  private:
    bool is_nowhere(int k) const { return pending->column[k] != pending->column[k]; }

    // Zeros where a vector has contributed to fewer rows or columns than others, and behind the last.
    void clear_rest(int vectors, int rows, int columns)
    {
        for (int v = 0; v < vectors; ++v) {
            if (pending->rows[v] == rows && pending->columns[v] == columns) continue;
            for (int r = 0; r < rows; ++r) {
                for (int c = r < pending->rows[v] ? pending->columns[v] : 0; c < columns; ++c) {
                    store(Reals{}, pending->dow[r][c] + PADDING + v * REALS);
                }
            }
        }
        const int end = PADDING + vectors * REALS;
        for (int r = 0; r < rows; ++r) {
            for (int c = 0; c < columns; ++c) {
                for (int k = end; k < end + PADDING && k < ROW_LENGTH; ++k) pending->dow[r][c][k] = 0.0;
            }
        }
    }

    // The first pixel beyond a run. Those that contribute nothing are in any.
    int end_of_run(int from, int n, Real column, Real row) const
    {
        int k = from + 1;
        while (k + REALS <= n) {
            const Reals x = reals(pending->column + k), y = reals(pending->row + k);
            if (anywhere((x < column) | (x > column) | (y < row) | (y > row))) break;
            k += REALS;
        }
        while (k < n && (is_nowhere(k) || (pending->column[k] == column && pending->row[k] == row))) ++k;
        return k;
    }

    // Those of the columns from the c-th on that are added at once. (Of the walk this alone is compiled for each number
    // of sums; where some are weighted with squares, or there are more, it is known at run time: 0.)
    void add_run(const PixelRow& of, const Run& run, int rows, int columns, int c)
    {
        constexpr int MOST = SQUARED ? 0 : 7;
        with_number<0, MOST>(count() <= MOST ? count() : 0, [&](auto n_sums) {
            with_number<1, 4>(columns - c, [&](auto n_columns) {
                add_columns<n_sums.VALUE, n_columns.VALUE>(of, run, rows, columns, c);
            });
        });
    }

    // Columns from c0 on, to as many output pixels at a time as a vector has lanes: the t-th of the run gets the
    // contribution of pixel t - c to column c.
    template <int N, int COLUMNS>
    __attribute__((noinline)) void add_columns(const PixelRow& of, const Run& run, int rows, int columns, int c0)
    {
        // Beginning at a vector's own place in memory; there is room for that on the left.
        const int begin = run.first - ((run.first + run.column) & (REALS - 1));
        const int last = run.end + columns - 1, edge = TILE_WIDTH - run.column;
        const int end = last < edge ? last : edge;
        rows = rows < scratch.rows - run.row ? rows : scratch.rows - run.row;
        for (int t = begin; t < end; t += REALS) {
            const bool whole = run.alone || (t - c0 - COLUMNS + 1 >= run.first && t - c0 + REALS <= run.end);
            for (int r = 0; r < rows; ++r) {
                Reals dow[COLUMNS];
                for (int c = 0; c < COLUMNS; ++c) dow[c] = reals(pending->dow[r][c0 + c] + PADDING + t - c0 - c);
                if (!whole) {
                    for (int c = 0; c < COLUMNS; ++c) dow[c] = only_of(run, t - c0 - c, dow[c]);
                }
                add_row<N, COLUMNS>(of, dow, t - c0, run.column + t, run.row + r);
            }
        }
    }

    // A vector from pixel k on, without what is not in a run.
    static Reals only_of(const Run& run, int k, Reals dow)
    {
        const Reals pixel = numbers_of_reals() + static_cast<Real>(k);
        const Reals of_run = select(pixel >= Reals{} + static_cast<Real>(run.first), dow, Reals{});
        return select(pixel < Reals{} + static_cast<Real>(run.end), of_run, Reals{});
    }

    // Contributions to the output pixels from (x, y) on: dow[c] from pixel k - c and those that follow.
    template <int N, int COLUMNS>
    void add_row(const PixelRow& of, const Reals* dow, int k, int x, int y)
    {
        Reals weight = dow[0], lowest = dow[0];
        for (int c = 1; c < COLUMNS; ++c) {
            weight = weight + dow[c];
            lowest = least(lowest, dow[c]);
        }
        const std::ptrdiff_t pixel = index_in_rows(x, y);
        if (!marks_each && any_greater(Reals{}, lowest)) mark_each_from_now_on();
        if (marks_each) {
            RealMask any = dow[0] != Reals{}, positive = dow[0] > Reals{};
            for (int c = 1; c < COLUMNS; ++c) {
                any |= dow[c] != Reals{};
                positive |= dow[c] > Reals{};
            }
            if (!anywhere(any)) return;
            mark(positive, scratch.marks + pixel);
        } else if (!any_greater(weight, Reals{})) {
            return;
        }
        Real* sum = sums_at(x, y);
        store(reals(sum) + weight, sum);
        const Real* values = of.values[0] + PADDING + k;
        const int n_sums = N ? N : count();
        for (int p = 0; p < n_sums - 1; ++p) {
            sum += SUMS_WIDTH;
            Reals v = reals(sum);
            if (of.finite) {
                for (int c = 0; c < COLUMNS; ++c) v = v + weight_of(p, dow[c]) * reals(values - c);
            } else {
                for (int c = 0; c < COLUMNS; ++c) {
                    v = select(dow[c] != Reals{}, v + weight_of(p, dow[c]) * reals(values - c), v);
                }
            }
            store(v, sum);
            values += ROW_LENGTH;
        }
        for (int c = 0; flagged && c < COLUMNS; ++c) {
            unite(dow[c] != Reals{}, of.bits + PADDING + k - c, scratch.dq + pixel);
        }
    }
};

GPURES_END

// The window of a tile's rows that are worked on, which goes up the tile with the blocks.
#pragma once

#include <cstring>

#include "fold_row.h"

GPURES_BEGIN

// The rows of a tile that are worked on: from the first that blocks to come may touch, to the last that any has. All
// memory besides is zero: before the first tile, and whenever a row has been folded.
//
// It has a sink of its own, over the same memory: one that others refer to would be read again from memory whenever
// something is added to a sum.
template <class Sink>
class TileRows {
  public:
    // `kept`: what of the tile is folded.
    TileRows(const Exposure& e, const Mosaic& m, const Tile& tile, const Tile& kept, const Sink& sink,
             FoldedRow& folded)
        : e_(e), m_(m), tile_(tile), kept_(kept), sink_(sink), folded_(folded), from_(tile.y0), to_(tile.y0 - 1)
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
            move(sink_.sums(), sink_.count());
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
            if (from_ >= kept_.y0 && from_ <= kept_.y1) {
                if (m_.context) sink_.mark_row(from_ - sink_.y0);
                const int column = kept_.x0 - tile_.x0;
                if (m_.doubles) {
                    fold_row<double>(e_, m_, kept_, column, from_, sink_, folded_);
                } else {
                    fold_row<float>(e_, m_, kept_, column, from_, sink_, folded_);
                }
            }
            // While it is at hand.
            clear(sink_.sums(), sink_.count(), from_, from_);
            clear(scratch.marks, 1, from_, from_);
            if (m_.dq) clear(scratch.dq, 1, from_, from_);
        }
        from_ = row;
        if (to_ < row - 1) to_ = row - 1;
    }

  private:
    // Rows from ... to, of so many numbers per pixel.
    template <class T>
    void clear(T* array, std::ptrdiff_t numbers, int from, int to) const
    {
        const std::ptrdiff_t width = numbers * SUMS_WIDTH;
        if (from <= to) std::memset(array + (from - sink_.y0) * width, 0, sizeof(T) * width * (to - from + 1));
    }

    // The rows that are in work to the beginning of the memory.
    template <class T>
    void move(T* array, std::ptrdiff_t numbers) const
    {
        const std::ptrdiff_t width = numbers * SUMS_WIDTH;
        const int count = to_ - from_ + 1, by = from_ - sink_.y0;
        std::memmove(array, array + by * width, sizeof(T) * width * count);
        clear(array, numbers, count > by ? to_ + 1 - by : from_, to_);
    }

    const Exposure& e_;
    const Mosaic& m_;
    const Tile tile_, kept_;
    Sink sink_;
    FoldedRow& folded_;
    int from_, to_;
};

GPURES_END

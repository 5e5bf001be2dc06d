// Pixels of a block whose neighbours along a row lie far from each other in memory, as those of an exposure do that is
// turned by a quarter: brought together, row by row. Read one by one, they would push each other out of the cache.
#pragma once

#include "view_rows.h"

GPURES_BEGIN

class GatheredBlock {
  public:
    // Takes what is asked for from an exposure: whether there is anything to gather.
    bool begin(const Exposure& e)
    {
        exposure_ = e;
        bool any = is_across(e.weight_map) || is_across(e.variance) || is_across(e.dq);
        for (int p = 0; p < e.planes; ++p) any = any || is_across(e.plane[p].view);
        return any;
    }

    // The same exposure, to be read in a block.
    const Exposure& gather(const Exposure& e, const Block& b)
    {
        used_ = 0;
        exposure_.weight_map = gathered(e.weight_map, b);
        exposure_.variance = gathered(e.variance, b);
        exposure_.dq = gathered(e.dq, b);
        for (int p = 0; p < e.planes; ++p) exposure_.plane[p].view = gathered(e.plane[p].view, b);
        return exposure_;
    }

    // Asks for the memory of a part of a block that comes next: the r-th of as many as a block may have rows. Each row
    // of memory that it is in is a page of its own, and takes long to come.
    __attribute__((always_inline)) static void prefetch(const Exposure& e, const Block& next, int r)
    {
        constexpr int COLUMNS = BLOCK_WIDTH / BLOCK_HEIGHT;
        for (int i = next.x0 + r * COLUMNS; i < next.x0 + (r + 1) * COLUMNS && i <= next.x1; ++i) {
            prefetch_column(e.weight_map, next, i);
            prefetch_column(e.variance, next, i);
            prefetch_column(e.dq, next, i);
            for (int p = 0; p < e.planes; ++p) prefetch_column(e.plane[p].view, next, i);
        }
    }

  private:
    __attribute__((always_inline)) static void prefetch_column(const View& v, const Block& b, std::ptrdiff_t i)
    {
        const View column = {v.data, v.column_stride, v.row_stride, v.type, v.swapped};
        prefetch_row(column, i, b.y0, b.y1 - b.y0 + 1);
    }

    // Room for eight images of four bytes a pixel; others are read where they are.
    static constexpr std::ptrdiff_t ROOM = std::ptrdiff_t{8} * BLOCK_WIDTH * BLOCK_HEIGHT * 4;

    static long long size_of(long long stride) { return stride < 0 ? -stride : stride; }
    static bool is_across(const View& v) { return v.data && size_of(v.column_stride) > size_of(v.row_stride); }

    static int bytes_of(int type)
    {
        switch (type) {
            case I1:
            case U1:
                return 1;
            case I2:
            case U2:
                return 2;
            case I8:
            case U8:
            case F8:
                return 8;
            default:
                return 4;
        }
    }

    View gathered(const View& v, const Block& b)
    {
        const int bytes = bytes_of(v.type);
        const std::ptrdiff_t taken = static_cast<std::ptrdiff_t>(BLOCK_WIDTH) * BLOCK_HEIGHT * bytes;
        if (!is_across(v) || used_ + taken > ROOM) return v;
        char* const to = bytes_ + used_;
        used_ += taken;
        switch (bytes) {
            case 1:
                copy<std::uint8_t>(v, b, to);
                break;
            case 2:
                copy<std::uint16_t>(v, b, to);
                break;
            case 4:
                copy<std::uint32_t>(v, b, to);
                break;
            default:
                copy<std::uint64_t>(v, b, to);
        }
        View here = v;
        here.column_stride = bytes;
        here.row_stride = BLOCK_WIDTH * bytes;
        here.data = to - (b.y0 * here.row_stride + b.x0 * here.column_stride);
        return here;
    }

    template <class Word>
    static void copy(const View& v, const Block& b, char* to)
    {
        for (int i = 0; i <= b.x1 - b.x0; ++i) {
            const char* const from = v.data + b.y0 * v.row_stride + (b.x0 + i) * v.column_stride;
            for (int j = 0; j <= b.y1 - b.y0; ++j) {
                std::memcpy(to + (j * BLOCK_WIDTH + i) * sizeof(Word), from + j * v.row_stride, sizeof(Word));
            }
        }
    }

    alignas(64) char bytes_[ROOM];
    std::ptrdiff_t used_;
    Exposure exposure_;
};

GPURES_END

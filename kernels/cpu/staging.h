// Host memory on its way to a device, and back: copies over threads that wait for the next one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gpures {

// Rows of elements in memory, to be copied to other memory; strides in bytes.
struct MemoryCopy {
    const char* from;
    std::int64_t rows, columns;
    std::ptrdiff_t row_stride, column_stride;
    std::ptrdiff_t item;  // bytes of an element
    char* to;
    std::ptrdiff_t to_stride;  // from one row to the next there, where elements lie side by side
    // Of flags, which are unsigned integers of 1, 2, 4 or 8 bytes: a bit of each goes there, whether it has any of the
    // bits of `bad`. Rows are of whole bytes then, the first bit of each the lowest.
    bool as_bits;
    std::uint64_t bad;
};

// Makes them all, over threads.
void copy_all(const std::vector<MemoryCopy>& copies, int threads);

}  // namespace gpures

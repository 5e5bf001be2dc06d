// Work on whole images of which exposures have touched a part.
#pragma once

#include <algorithm>
#include <cstddef>

#include "shared_pages.h"
#include "threads.h"
#include "tiles.h"

namespace gpures {

// An output frame, and the part of it that any exposure has touched. Outside of that, nothing is read: pages of the
// accumulators that were never written to stay without memory.
struct TouchedFrame {
    std::ptrdiff_t ny = 0, nx = 0;
    Tile touched{0, -1, 0, -1};
    bool own_pages = false;  // of an image that is written to: see share_pages()

    bool is_untouched() const { return touched.x0 > touched.x1 || touched.y0 > touched.y1; }
    bool is_all_touched() const
    {
        return touched.x0 == 0 && touched.y0 == 0 && touched.x1 == nx - 1 && touched.y1 == ny - 1;
    }
};

// Rows handed to a thread at a time.
constexpr std::ptrdiff_t ROWS_AT_ONCE = 16;

// Sets an image to a value outside the touched part. Rows above and below that are left to the system, where the image
// has pages of its own.
template <class T>
void fill_outside(int threads, const TouchedFrame& f, T* image, T value)
{
    if (f.is_all_touched()) return;
    const std::ptrdiff_t below = f.is_untouched() ? f.ny : f.touched.y0,
                         above = f.is_untouched() ? f.ny : f.touched.y1 + 1;
    SharedPages shared[2] = {};
    const auto share = [&](std::ptrdiff_t from, std::ptrdiff_t to) {
        return share_pages(reinterpret_cast<char*>(image + from * f.nx), reinterpret_cast<char*>(image + to * f.nx),
                           &value, sizeof value);
    };
    if (f.own_pages) {
        shared[0] = share(0, below);
        shared[1] = share(above, f.ny);
    }
    // But for what is shared of it.
    const auto fill = [&](T* from, T* to, const SharedPages& pages) {
        const auto within = [&](char* p) { return std::max(from, std::min(to, reinterpret_cast<T*>(p))); };
        std::fill(from, within(pages.first), value);
        std::fill(within(pages.end), to, value);
    };
    over_threads(threads, static_cast<int>((f.ny + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE), [&] {
        return [&](int k) {
            for (std::ptrdiff_t j = k * ROWS_AT_ONCE; j < std::min(f.ny, (k + 1) * ROWS_AT_ONCE); ++j) {
                T *const row = image + j * f.nx, *const next = row + f.nx;
                if (j < below || j >= above) {
                    fill(row, next, shared[j >= above]);
                } else {
                    std::fill(row, row + f.touched.x0, value);
                    std::fill(row + f.touched.x1 + 1, next, value);
                }
            }
        };
    });
}

// Calls work(index) for each pixel of the touched part.
template <class Work>
void over_touched(int threads, const TouchedFrame& f, const Work& work)
{
    if (f.is_untouched()) return;
    const std::ptrdiff_t rows = f.touched.y1 - f.touched.y0 + 1;
    over_threads(threads, static_cast<int>((rows + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE), [&] {
        return [&](int k) {
            for (std::ptrdiff_t r = k * ROWS_AT_ONCE; r < std::min(rows, (k + 1) * ROWS_AT_ONCE); ++r) {
                const std::ptrdiff_t row = (f.touched.y0 + r) * f.nx;
                for (std::ptrdiff_t i = row + f.touched.x0; i <= row + f.touched.x1; ++i) work(i);
            }
        };
    });
}

// Sets image[index] to inside(index) in the touched part and to `outside` elsewhere.
template <class T, class Inside>
void over_frame(int threads, const TouchedFrame& f, T* image, T outside, const Inside& inside)
{
    fill_outside(threads, f, image, outside);
    over_touched(threads, f, [&](std::ptrdiff_t i) { image[i] = inside(i); });
}

}  // namespace gpures

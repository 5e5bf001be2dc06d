// Blotting: the rows of the output over threads.
#include "../blot.h"

#include <vector>

#include "images.h"
#include "threads.h"
#include "walk.h"

namespace gpures {

void blot(const Blot& b, int threads)
{
    const Walk walk = choose_walk();
    over_threads(threads, static_cast<int>(b.out_ny), [&] { return [&](int row) { walk.blot_row(b, row); }; });
}

void blot_exposure(const Exposure& e, const Blot& b, int threads)
{
    const Walk walk = choose_walk();
    over_threads(threads, static_cast<int>(e.ny), [&] {
        return [&, room = std::vector<double>(2 * static_cast<std::size_t>(e.nx))](int row) mutable {
            walk.blot_exposure_row(e, b, row, room.data());
        };
    });
}

}  // namespace gpures

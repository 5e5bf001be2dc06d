// Blotting: the rows of the output over threads.
#include "../blot.h"

#include "images.h"
#include "threads.h"
#include "walk.h"

namespace gpures {

void blot(const Blot& b, int threads)
{
    const Walk walk = choose_walk();
    over_threads(threads, static_cast<int>(b.out_ny), [&] { return [&](int row) { walk.blot_row(b, row); }; });
}

}  // namespace gpures

// Medians: the rows of the wanted part over threads.
#include "stack.h"

// First, as templates find only those functions of vectors that are there before them.
#include "floats.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "../stack.h"
#include "threads.h"

namespace gpures {

inline namespace baseline {

// Values of the columns from (x, y) on; how many images have any there.
inline long long fill_columns(const Stack& s, long long x, long long y, Floats* v, Words& count)
{
    long long n = 0;
    count = Words{};
    for (long long k = 0; k < s.images; ++k) {
        const StackImage& image = s.image[k];
        const long long i = x - image.x0, j = y - image.y0;
        if (j < 0 || j >= image.ny || i <= -COLUMNS || i >= image.nx) continue;
        Floats values;
        if (i >= 0 && i + COLUMNS <= image.nx) {
            std::memcpy(&values, image.data + j * image.nx + i, sizeof values);
            values = values - narrowed(image.level);
        } else {
            for (int l = 0; l < COLUMNS; ++l) values[l] = value_at(image, x + l, y);
        }
        put(values, v[n++], count);
    }
    return n;
}

}  // namespace baseline

void median(const Stack& s, int threads)
{
    over_threads(threads, static_cast<int>(s.ny), [&] {
        return [&s, v = std::vector<Floats>(static_cast<std::size_t>(std::max(s.images, 1LL)))](int row) mutable {
            for (long long i = 0; i < s.nx; i += COLUMNS) {
                Words count;
                v[0] = Floats{};
                const long long n = fill_columns(s, s.x0 + i, s.y0 + row, v.data(), count);
                const auto value = [&](long long k) { return v[static_cast<std::size_t>(k)]; };
                const Middle<Floats> found = n <= MOST_SORTED ? middle_of_few(v.data(), static_cast<int>(n), count)
                                                              : middle_of_many<Floats>(value, n, count);
                const Floats median = found.median();
                const auto bytes = sizeof(float) * static_cast<std::size_t>(std::min<long long>(COLUMNS, s.nx - i));
                std::memcpy(s.out + row * s.nx + i, &median, bytes);
                if (s.lower) std::memcpy(s.lower + row * s.nx + i, &found.lower, bytes);
            }
        };
    });
}

}  // namespace gpures

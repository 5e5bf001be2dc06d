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

namespace {

// Calls work(i, row, v) with the first pixel of columns side by side, over threads; v has room for as many values as
// there are images.
template <class Work>
void over_columns(const Stack& s, int threads, const Work& work)
{
    over_threads(threads, static_cast<int>(s.ny), [&] {
        return [&, v = std::vector<Floats>(static_cast<std::size_t>(std::max(s.images, 1LL)))](int row) mutable {
            for (long long i = 0; i < s.nx; i += COLUMNS) {
                v[0] = Floats{};
                work(i, row, v.data());
            }
        };
    });
}

Middle<Floats> middle_of(Floats* v, long long n, Words count, long long least_count)
{
    if (n <= MOST_SORTED) return middle_of_few(v, static_cast<int>(n), count, least_count);
    return middle_of_many<Floats>([v](long long k) { return v[k]; }, n, count, least_count);
}

// As many of a row from pixel i on as there are.
std::size_t bytes_from(const Stack& s, long long i)
{
    return sizeof(float) * static_cast<std::size_t>(std::min<long long>(COLUMNS, s.nx - i));
}

}  // namespace

void median(const Stack& s, int threads)
{
    over_columns(s, threads, [&](long long i, int row, Floats* v) {
        Words count;
        const long long n = fill_columns(s, s.x0 + i, s.y0 + row, v, count), at = row * s.nx + i;
        const Middle<Floats> found = middle_of(v, n, count, s.least);
        const Floats median = found.median();
        std::memcpy(s.out + at, &median, bytes_from(s, i));
        if (s.lower) std::memcpy(s.lower + at, &found.low, bytes_from(s, i));
        if (!s.scatter) return;
        for (long long k = 0; k < n; ++k) v[k] = deviation(v[k], median);
        const Floats scatter = middle_of(v, n, count, s.least).median();
        std::memcpy(s.scatter + at, &scatter, bytes_from(s, i));
    });
}

void clipped_mean(const Stack& s, const Clipped& c, int threads)
{
    over_columns(s, threads, [&](long long i, int row, Floats* v) {
        Words count;
        const long long n = fill_columns(s, s.x0 + i, s.y0 + row, v, count), at = row * s.nx + i;
        Floats median = {}, scatter = {};
        std::memcpy(&median, c.median + at, bytes_from(s, i));
        std::memcpy(&scatter, c.scatter + at, bytes_from(s, i));
        const Floats reach = narrowed(c.times) * greatest(scatter, Floats{} + narrowed(c.noise));
        const Floats mean = mean_within([v](long long k) { return v[k]; }, n, median, reach);
        std::memcpy(c.out + at, &mean, bytes_from(s, i));
    });
}

}  // namespace gpures

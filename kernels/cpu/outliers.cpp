// Comparison: the rows of an image over threads.
#include "outliers.h"

#include <vector>

#include "../outliers.h"
#include "threads.h"

namespace gpures {

namespace {

// Rows handed to a thread at a time.
constexpr long long ROWS_AT_ONCE = 32;

template <class Work>
void over_pixels(int threads, long long ny, long long nx, const Work& work)
{
    over_threads(threads, static_cast<int>((ny + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE), [&] {
        return [&](int k) {
            const long long end = std::min(ny, (k + 1) * ROWS_AT_ONCE);
            for (long long j = k * ROWS_AT_ONCE; j < end; ++j) {
                for (long long i = 0; i < nx; ++i) work(i, j);
            }
        };
    });
}

}  // namespace

void outliers(const Comparison& c, int reach, bool third, unsigned char* mask, int threads)
{
    if (c.lower) {
        over_pixels(threads, c.ny, c.nx, [&](long long i, long long j) { c.expected[j * c.nx + i] = likely(c, i, j); });
    }
    over_pixels(threads, c.ny, c.nx, [&](long long i, long long j) { c.found[j * c.nx + i] = compared(c, i, j); });
    std::vector<unsigned char> alone(third ? static_cast<std::size_t>(c.ny * c.nx) : 0);
    unsigned char* const found = third ? alone.data() : mask;
    over_pixels(threads, c.ny, c.nx,
                [&](long long i, long long j) { found[j * c.nx + i] = is_outlier(c, i, j, reach); });
    if (!third) return;
    over_pixels(threads, c.ny, c.nx,
                [&](long long i, long long j) { mask[j * c.nx + i] = belongs_to_outlier(c, found, i, j); });
}

void grow(const unsigned char* mask, long long ny, long long nx, int reach, unsigned char* grown, int threads)
{
    over_pixels(threads, ny, nx,
                [&](long long i, long long j) { grown[j * nx + i] = any_around(mask, 0xff, ny, nx, i, j, reach); });
}

}  // namespace gpures

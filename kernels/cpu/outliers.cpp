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
void over_rows(int threads, long long ny, const Work& work)
{
    over_threads(threads, static_cast<int>((ny + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE), [&] {
        return [&](int k) {
            for (long long j = k * ROWS_AT_ONCE; j < std::min(ny, (k + 1) * ROWS_AT_ONCE); ++j) work(j);
        };
    });
}

// Makes a row of what `at_edge` gives of pixels at the image's edges, and `inside` of others, in vectors.
template <class T, class AtEdge, class Inside>
void make_row(const Comparison& c, long long j, T* __restrict row, const AtEdge& at_edge, const Inside& inside)
{
    const bool is_inside = j > 0 && j + 1 < c.ny;
    const long long first = is_inside ? std::min(1LL, c.nx) : c.nx, last = is_inside ? std::max(c.nx - 1, first) : c.nx;
    for (long long i = 0; i < first; ++i) row[i] = at_edge(i);
    for (long long i = first; i < last; ++i) row[i] = inside(i);
    for (long long i = last; i < c.nx; ++i) row[i] = at_edge(i);
}

}  // namespace

void outliers(const Comparison& given, int reach, bool third, unsigned char* mask, int threads)
{
    const Comparison c = given;  // which no pixel that is written can be a part of
    if (c.lower) {
        over_rows(threads, c.ny, [&](long long j) {
            const Comparison own = c;
            make_row(
                own, j, own.expected + j * own.nx, [&](long long i) { return likely<false>(own, i, j); },
                [&](long long i) { return likely<true>(own, i, j); });
        });
    }
    over_rows(threads, c.ny, [&](long long j) {
        const Comparison own = c;
        unsigned char* const row = own.found + j * own.nx;
        make_row(
            own, j, row, [&](long long i) { return compared<false>(own, i, j); },
            [&](long long i) { return compared<true>(own, i, j); });
        for (long long i = 0; i < own.nx; ++i) {
            if (row[i] && !is_sharp(own, i, j)) row[i] = 0;
        }
    });
    std::vector<unsigned char> alone(third ? static_cast<std::size_t>(c.ny * c.nx) : 0);
    unsigned char* const found = third ? alone.data() : mask;
    over_rows(threads, c.ny, [&](long long j) {
        for (long long i = 0; i < c.nx; ++i) found[j * c.nx + i] = is_outlier(c, i, j, reach);
    });
    if (!third) return;
    over_rows(threads, c.ny, [&](long long j) {
        for (long long i = 0; i < c.nx; ++i) mask[j * c.nx + i] = belongs_to_outlier(c, found, i, j);
    });
}

void grow(const unsigned char* mask, long long ny, long long nx, int reach, unsigned char* grown, int threads)
{
    over_rows(threads, ny, [&](long long j) {
        for (long long i = 0; i < nx; ++i) grown[j * nx + i] = any_around(mask, 0xff, ny, nx, i, j, reach);
    });
}

}  // namespace gpures

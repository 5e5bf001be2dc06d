// Compiled without fused products and sums: see ../random.h.
#include <algorithm>

#include "../random.h"
#include "operator.h"
#include "threads.h"

namespace gpures {

namespace {

// Pairs of pixels handed to a thread at a time.
constexpr long long PAIRS_AT_ONCE = 4096;

}  // namespace

void make_noise(std::uint64_t seed, unsigned realization, unsigned exposure, long long n, const double* sigma,
                double* noise, int threads)
{
    const long long pairs = (n + 1) / 2;
    over_threads(threads, static_cast<int>((pairs + PAIRS_AT_ONCE - 1) / PAIRS_AT_ONCE), [&] {
        return [&](int k) {
            const long long end = std::min(pairs, (k + 1) * PAIRS_AT_ONCE);
            for (long long pair = k * PAIRS_AT_ONCE; pair < end; ++pair) {
                make_noise_of_pair(seed, realization, exposure, pair, n, sigma, noise);
            }
        };
    });
}

}  // namespace gpures

#include "pairs.h"

#include "../pairs.h"
#include "threads.h"

namespace gpures {

template <class T>
void noise_factor(const Pairs& pairs, const T* weights, int nx, int ny, float* image, int threads)
{
    const baseline::PairedImage<T> paired = {pairs, weights, nx, ny};
    over_threads(threads, ny, [&] {
        return [&](int y) {
            float* const row = image + static_cast<long long>(y) * nx;
            for (int x = 0; x < nx; ++x) row[x] = narrowed(paired.noise_factor(x, y));
        };
    });
}

template <class T>
void covariances(const Pairs& pairs, const T* weights, int nx, int ny, int threads)
{
    const baseline::PairedImage<T> paired = {pairs, weights, nx, ny};
    over_threads(threads, ny, [&] {
        return [&](int y) {
            for (int x = 0; x < nx; ++x) paired.finish(x, y);
        };
    });
}

template void noise_factor<float>(const Pairs&, const float*, int, int, float*, int);
template void noise_factor<double>(const Pairs&, const double*, int, int, float*, int);
template void covariances<float>(const Pairs&, const float*, int, int, int);
template void covariances<double>(const Pairs&, const double*, int, int, int);

}  // namespace gpures

#include "pairs.h"

#include <cmath>

#include "../pairs.h"

namespace gpures {

template <class T>
baseline::PairedImage<T> paired_image(const Pairs& pairs, const T* weights, const TouchedFrame& f)
{
    return {pairs, weights, static_cast<int>(f.nx), static_cast<int>(f.ny)};
}

template <class T>
void noise_factor(const Pairs& pairs, const T* weights, float* image, const TouchedFrame& frame, int threads)
{
    const auto paired = paired_image(pairs, weights, frame);
    over_frame(threads, frame, image, static_cast<float>(NAN), [&](std::ptrdiff_t i) {
        return narrowed(paired.noise_factor(static_cast<int>(i % frame.nx), static_cast<int>(i / frame.nx)));
    });
}

template <class T>
void covariances(const Pairs& pairs, const T* weights, const TouchedFrame& frame, int threads)
{
    const auto paired = paired_image(pairs, weights, frame);
    for (int k = 0; k < baseline::planes_of_lags(pairs.max_lag); ++k) {
        fill_outside(threads, frame, pairs.sums + (pairs.whole_drops + k) * pairs.stride, static_cast<double>(NAN));
    }
    over_touched(threads, frame, [&](std::ptrdiff_t i) {
        paired.finish(static_cast<int>(i % frame.nx), static_cast<int>(i / frame.nx));
    });
}

template void noise_factor<float>(const Pairs&, const float*, float*, const TouchedFrame&, int);
template void noise_factor<double>(const Pairs&, const double*, float*, const TouchedFrame&, int);
template void covariances<float>(const Pairs&, const float*, const TouchedFrame&, int);
template void covariances<double>(const Pairs&, const double*, const TouchedFrame&, int);

}  // namespace gpures

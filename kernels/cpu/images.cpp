#include "images.h"

#include <algorithm>
#include <cmath>

#include "../fold.h"
#include "threads.h"

namespace gpures {

namespace {

// Pixels of a whole image handed to a thread at a time.
constexpr std::ptrdiff_t PIXELS_AT_ONCE = 1 << 16;

template <class Work>
void over_pixels(int threads, std::ptrdiff_t count, const Work& work)
{
    over_threads(threads, static_cast<int>((count + PIXELS_AT_ONCE - 1) / PIXELS_AT_ONCE), [&] {
        return [&](int k) {
            for (std::ptrdiff_t i = k * PIXELS_AT_ONCE; i < std::min(count, (k + 1) * PIXELS_AT_ONCE); ++i) work(i);
        };
    });
}

}  // namespace

template <class T>
void fill(T* image, const T* weight, const TouchedFrame& frame, double value, int threads)
{
    const T filler = static_cast<T>(value);
    over_frame(threads, frame, image, filler, [&](std::ptrdiff_t i) { return weight[i] == T(0) ? filler : image[i]; });
}

template <class T>
void fill_window(T* image, const T* weight, const TouchedFrame& frame, double value, int threads)
{
    over_touched(threads, frame,
                 [&](std::ptrdiff_t i) { image[i] = weight[i] == T(0) ? static_cast<T>(value) : image[i]; });
}

void show_weights(float* weight, std::ptrdiff_t count, int threads)
{
    over_pixels(threads, count, [&](std::ptrdiff_t i) { weight[i] = baseline::shown_weight(weight[i]); });
}

void sums_of_weights(const float* kept, double* sums, std::ptrdiff_t count, int threads)
{
    over_pixels(threads, count, [&](std::ptrdiff_t i) { sums[i] = baseline::get_sum<double>(kept + i); });
}

template <class T>
void finish_variance(T* variance, const T* weight, const TouchedFrame& frame, double scaling, int threads)
{
    over_frame(threads, frame, variance, static_cast<T>(NAN),
               [&](std::ptrdiff_t i) { return static_cast<T>(finished_variance(variance[i], weight[i], scaling)); });
}

void error_from_variances(const float* const* variances, int count, bool all, float* error, const TouchedFrame& frame,
                          int threads)
{
    over_frame(threads, frame, error, static_cast<float>(NAN),
               [&](std::ptrdiff_t i) { return baseline::error_from_variances(variances, count, all, i); });
}

template void fill<float>(float*, const float*, const TouchedFrame&, double, int);
template void fill<double>(double*, const double*, const TouchedFrame&, double, int);
template void fill_window<float>(float*, const float*, const TouchedFrame&, double, int);
template void fill_window<double>(double*, const double*, const TouchedFrame&, double, int);
template void finish_variance<float>(float*, const float*, const TouchedFrame&, double, int);
template void finish_variance<double>(double*, const double*, const TouchedFrame&, double, int);

}  // namespace gpures

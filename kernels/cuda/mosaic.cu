// Whole images: the sums of an exposure into the accumulators, those into images, and maps for those who ask.
#include "parameters.h"
//
#include "fold.h"
#include "merge.h"
#include "formula.h"
#include "pairs.h"
#include "sums.h"
#include "weights.h"

namespace gpures {

// One output pixel's, in doubles; or in floats, where they are, as the accumulators are, and these will do.
template <class T, class Sums>
__device__ __forceinline__ void fold_sums(const Exposure& e, const Mosaic& m, const Sums& sums, long long index)
{
    fold<double, T>(e, m, sums, index);
}

template <>
__device__ __forceinline__ void fold_sums<float, FloatSums>(const Exposure& e, const Mosaic& m, const FloatSums& sums,
                                                            long long index)
{
    const FloatSums::InFloats floats = sums.in_floats();
    if (sums.may_be_in_floats() && floats_will_do<Single>(e, m, floats, index)) {
        fold<Single, float>(e, m, floats, index);
    } else {
        fold<double, float>(e, m, sums, index);
    }
}

// Folds the window's sums into accumulators of type T, and leaves them zero for the next exposure.
template <class T, class Sums>
__device__ void fold_window(const Exposure& e, const Mosaic& m, const Window& w)
{
    const long long width = w.x1 - w.x0 + 1;
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= width) return;
    for (int j = blockIdx.y; j <= w.y1 - w.y0; j += gridDim.y) {
        const Sums sums(w, e.planes, j * width + i);
        const long long index = (w.y0 + j) * m.stride + w.x0 + i;
        if (sums.any()) fold_sums<T>(e, m, sums, index);
        if (w.timed) {
            unsigned& timed = w.timed[j * width + i];
            if (timed || sums.any()) add_time<double, T>(e, m, true, index);
            if (timed) timed = 0;
        }
        sums.forget(e.planes);
    }
}

// Calls work(k) for each k < count, over the grid.
template <class Work>
__device__ void over_grid(long long count, const Work& work)
{
    const long long step = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long k = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; k < count; k += step) work(k);
}

template <class T>
__device__ void merge_window(const Merge& m)
{
    const long long width = m.x1 - m.x0 + 1, height = m.y1 - m.y0 + 1;
    over_grid(width * height, [&](long long k) {
        const long long row = k / width, column = k % width;
        merge_pixel<T>(m, (m.y0 + row) * m.nx + m.x0 + column, row * m.other_nx + column);
    });
}

// The pixel map of an exposure that has a formula, (ny, nx, 2): worked out once, as each centre is looked at many
// times.
__device__ inline void fill_pixmap(const Exposure& e, double* map)
{
    over_grid(e.ny * e.nx, [&](long long k) {
        const Pixmap& m = e.pixmap;
        const int j = static_cast<int>(k / e.nx), i = static_cast<int>(k % e.nx);
        double x = i, y = j;
        by_formula(m.formula, x, y);
        const bool is_known = i >= m.x0 && i <= m.x1 && j >= m.y0 && j <= m.y1;
        map[2 * k] = is_known ? x : not_a_number();
        map[2 * k + 1] = is_known ? y : not_a_number();
    });
}

// The exponent of a number's size, as its bits have it; and that of infinities.
constexpr unsigned LARGEST_BITS = 0x7ff;

__device__ inline unsigned exponent_of(double v)
{
    return static_cast<unsigned>(same_bits<unsigned long long>(v) >> 52) & LARGEST_BITS;
}

// Of what sizes an exposure's weights and values are, by exponents: sizes[0] gets LARGEST_BITS less that of the
// smallest weight that is not 0, sizes[1] that of the largest one, and sizes[2 + p] that of the largest of some values
// of plane p. For blocks of THREADS threads.
__device__ inline void measure(const Exposure& e, unsigned* sizes)
{
    __shared__ unsigned most[2 + MOST_PLANES];
    const int thread = threadIdx.x, count = 2 + e.planes;
    if (thread < count) most[thread] = 0;
    __syncthreads();
    unsigned smallest = 0, largest = 0;
    for (int j = e.y0 + blockIdx.x; j <= e.y1; j += gridDim.x) {
        for (int i = e.x0 + thread; i <= e.x1; i += blockDim.x) {
            const double weight = pixel_weight(e, j, i).weight;
            if (weight == 0.0) continue;
            const unsigned exponent = exponent_of(weight);
            smallest = max(smallest, LARGEST_BITS - exponent);
            largest = max(largest, exponent);
        }
    }
    atomicMax(&most[0], smallest);
    atomicMax(&most[1], largest);
    const int width = e.x1 - e.x0 + 1, height = e.y1 - e.y0 + 1;
    const int across = max(width / SAMPLES, 1), up = max(height / SAMPLES, 1);
    const int columns = (width + across - 1) / across, rows = (height + up - 1) / up;
    over_grid(e.planes * columns * rows, [&](long long of_all) {
        const int k = static_cast<int>(of_all), p = k / (columns * rows), of_plane = k % (columns * rows);
        const int i = e.x0 + of_plane % columns * across, j = e.y0 + of_plane / columns * up;
        const double value = plane_value(e.plane[p], value_at<double>(e.plane[p].view, j, i));
        const unsigned exponent = exponent_of(value);
        if (exponent < LARGEST_BITS) atomicMax(&most[2 + p], exponent);
    });
    __syncthreads();
    if (thread < count) atomicMax(&sizes[thread], most[thread]);
}

// In the part of a frame of rows of nx pixels that a window says.
template <class T>
__device__ void fill_image(T* image, const T* weight, long long nx, const Window& w, T value)
{
    const long long width = w.x1 - w.x0 + 1, height = w.y1 - w.y0 + 1;
    over_grid(width * height, [&](long long k) {
        const long long index = (w.y0 + k / width) * nx + w.x0 + k % width;
        if (widened(weight[index]) == 0.0) image[index] = value;
    });
}

template <class T>
__device__ void finish_variance_image(T* variance, const T* weight, long long count, double scaling)
{
    over_grid(count, [=](long long k) {
        store(finished_variance(widened(variance[k]), widened(weight[k]), scaling), variance + k);
    });
}

template <class T>
__device__ void noise_factor_image(const Pairs& pairs, const T* weights, int nx, int ny, float* image)
{
    const PairedImage<T> paired = {pairs, weights, nx, ny};
    over_grid(static_cast<long long>(nx) * ny, [&](long long k) {
        image[k] = narrowed(paired.noise_factor(static_cast<int>(k % nx), static_cast<int>(k / nx)));
    });
}

template <class T>
__device__ void finish_covariance_images(const Pairs& pairs, const T* weights, int nx, int ny)
{
    const PairedImage<T> paired = {pairs, weights, nx, ny};
    over_grid(static_cast<long long>(nx) * ny,
              [&](long long k) { paired.finish(static_cast<int>(k % nx), static_cast<int>(k / nx)); });
}

}  // namespace gpures

using namespace gpures;

extern "C" __global__ void full_pixmap(const Exposure e, double* map) { fill_pixmap(e, map); }

extern "C" __global__ void measure_sizes(const Exposure e, unsigned* sizes) { measure(e, sizes); }

extern "C" __global__ void fold_f4(const Exposure e, const Mosaic m, const Window w)
{
    fold_window<float, AddedSums>(e, m, w);
}

extern "C" __global__ void fold_f8(const Exposure e, const Mosaic m, const Window w)
{
    fold_window<double, AddedSums>(e, m, w);
}

extern "C" __global__ void fold_counted_f4(const Exposure e, const Mosaic m, const Window w)
{
    fold_window<float, CountedSums>(e, m, w);
}

extern "C" __global__ void fold_counted_f8(const Exposure e, const Mosaic m, const Window w)
{
    fold_window<double, CountedSums>(e, m, w);
}

extern "C" __global__ void fold_single_f4(const Exposure e, const Mosaic m, const Window w)
{
    fold_window<float, FloatSums>(e, m, w);
}

extern "C" __global__ void fold_single_f8(const Exposure e, const Mosaic m, const Window w)
{
    fold_window<double, FloatSums>(e, m, w);
}

extern "C" __global__ void merge_f4(const Merge m) { merge_window<float>(m); }

extern "C" __global__ void merge_f8(const Merge m) { merge_window<double>(m); }

extern "C" __global__ void fill_f4(float* image, const float* weight, long long nx, const Window w, double value)
{
    fill_image(image, weight, nx, w, narrowed(value));
}

extern "C" __global__ void fill_f8(double* image, const double* weight, long long nx, const Window w, double value)
{
    fill_image(image, weight, nx, w, value);
}

extern "C" __global__ void show_weights(float* weight, long long count)
{
    over_grid(count, [=](long long k) { weight[k] = shown_weight(weight[k]); });
}

extern "C" __global__ void finish_variance_f4(float* variance, const float* weight, long long count, double scaling)
{
    finish_variance_image(variance, weight, count, scaling);
}

extern "C" __global__ void finish_variance_f8(double* variance, const double* weight, long long count, double scaling)
{
    finish_variance_image(variance, weight, count, scaling);
}

extern "C" __global__ void noise_factor_f4(const Pairs pairs, const float* weights, int nx, int ny, float* image)
{
    noise_factor_image(pairs, weights, nx, ny, image);
}

extern "C" __global__ void noise_factor_f8(const Pairs pairs, const double* weights, int nx, int ny, float* image)
{
    noise_factor_image(pairs, weights, nx, ny, image);
}

extern "C" __global__ void covariances_f4(const Pairs pairs, const float* weights, int nx, int ny)
{
    finish_covariance_images(pairs, weights, nx, ny);
}

extern "C" __global__ void covariances_f8(const Pairs pairs, const double* weights, int nx, int ny)
{
    finish_covariance_images(pairs, weights, nx, ny);
}

// An image in this type, of the other.
extern "C" __global__ void convert_f4(const double* from, float* to, long long count)
{
    over_grid(count, [=](long long k) { to[k] = narrowed(from[k]); });
}

extern "C" __global__ void convert_f8(const float* from, double* to, long long count)
{
    over_grid(count, [=](long long k) { to[k] = widened(from[k]); });
}

// `variances` is an array of `planes` addresses.
extern "C" __global__ void error_image(const float* const* variances, int planes, int all, float* error,
                                       long long count)
{
    over_grid(count, [=](long long k) { error[k] = error_from_variances(variances, planes, all, k); });
}

extern "C" __global__ void weight_map(const Exposure e, float* map)
{
    over_grid(e.ny * e.nx, [&](long long k) { map[k] = narrowed(pixel_weight(e, k / e.nx, k % e.nx).weight); });
}

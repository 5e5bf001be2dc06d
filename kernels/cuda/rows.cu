// What is done with the rows of a matrix, and noise: compiled without fused products and sums (-fmad=false), so that
// noise has the bits that it has on a CPU (see ../random.h).
#include "parameters.h"
//
#include "random.h"

namespace gpures {

__device__ inline long long first_index() { return static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ inline long long all_threads() { return static_cast<long long>(gridDim.x) * blockDim.x; }

}  // namespace gpures

extern "C" __global__ void sort_rows(const gpures::Operator matrix)
{
    const long long rows = gpures::rows_of(matrix);
    for (long long k = gpures::first_index(); k < rows; k += gpures::all_threads()) {
        gpures::sort_row<unsigned>(matrix, k);
    }
}

// Adds the products of the rows with an image of the exposure, or with 1, to the sums of the window's pixels, of which
// a row has `stride`.
extern "C" __global__ void add_products(const gpures::Operator matrix, const double* image, double* sums,
                                        const long long stride)
{
    const long long rows = gpures::rows_of(matrix), width = matrix.x1 - matrix.x0 + 1;
    for (long long k = gpures::first_index(); k < rows; k += gpures::all_threads()) {
        const long long y = matrix.y0 + k / width, x = matrix.x0 + k % width;
        sums[y * stride + x] += gpures::row_times<unsigned>(matrix, k, image);
    }
}

extern "C" __global__ void make_noise(const unsigned long long seed, const unsigned realization,
                                      const unsigned exposure, const long long n, const double* sigma, double* noise)
{
    for (long long pair = gpures::first_index(); 2 * pair < n; pair += gpures::all_threads()) {
        gpures::make_noise_of_pair(seed, realization, exposure, pair, n, sigma, noise);
    }
}

// An image of the sums over those of the weights, and zeros in the place of the sums.
extern "C" __global__ void take_means(double* sums, const double* weights, float* image, const long long n,
                                      const double empty)
{
    for (long long k = gpures::first_index(); k < n; k += gpures::all_threads()) {
        const double mean = weights[k] != 0.0 ? sums[k] / weights[k] : empty;
        gpures::store(mean, image + k);
        sums[k] = 0.0;
    }
}

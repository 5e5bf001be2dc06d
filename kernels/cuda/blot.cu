// Blotting: a thread for each pixel of the output.
#include "blot.h"

static_assert(sizeof(gpures::Blot) == GPURES_BLOT_BYTES, "the record of a blot has another size");

namespace gpures {

template <class Interpolant, class T>
__device__ void blot_pixels(const Blot& b)
{
    const long long step = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long k = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; k < b.out_ny * b.out_nx;
         k += step) {
        b.out[k] = blotted<Interpolant, T>(b, b.pixmap[2 * k], b.pixmap[2 * k + 1]);
    }
}

template <class T>
__device__ void blot_image(const Blot& b)
{
    with_interpolant(b.interpolation, [&](auto interpolant) { blot_pixels<decltype(interpolant), T>(b); });
}

}  // namespace gpures

extern "C" __global__ void blot_f4(const gpures::Blot b) { gpures::blot_image<float>(b); }

extern "C" __global__ void blot_f8(const gpures::Blot b) { gpures::blot_image<double>(b); }

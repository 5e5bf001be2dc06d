// Blotting: a thread for each pixel of the output.
#include "blot.h"

static_assert(sizeof(gpures::Blot) == GPURES_BLOT_BYTES, "the record of a blot has another size");

namespace gpures {

// A generic lambda would be taken for a function of the host.
template <class T>
struct BlotPixels {
    const Blot& b;

    template <class Interpolant>
    __device__ void operator()(Interpolant) const
    {
        const long long step = static_cast<long long>(gridDim.x) * blockDim.x, count = b.out_ny * b.out_nx;
        for (long long k = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; k < count; k += step) {
            b.out[k] = blotted<Interpolant, T>(b, b.pixmap[2 * k], b.pixmap[2 * k + 1]);
        }
    }
};

template <class T>
__device__ void blot_image(const Blot& b)
{
    with_interpolant(b.interpolation, BlotPixels<T>{b});
}

}  // namespace gpures

extern "C" __global__ void blot_f4(const gpures::Blot b) { gpures::blot_image<float>(b); }

extern "C" __global__ void blot_f8(const gpures::Blot b) { gpures::blot_image<double>(b); }

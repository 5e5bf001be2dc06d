// Clean mosaics: medians of exposures, and what differs from them. A thread for each pixel.
#include "blot.h"
#include "outliers.h"
#include "pixmap.h"
#include "stack.h"

static_assert(sizeof(gpures::Exposure) == GPURES_EXPOSURE_BYTES, "the record of an exposure has another size");
static_assert(sizeof(gpures::Blot) == GPURES_BLOT_BYTES, "the record of a blot has another size");
static_assert(sizeof(gpures::Stack) == GPURES_STACK_BYTES, "the record of a stack has another size");
static_assert(sizeof(gpures::StackImage) == GPURES_STACK_IMAGE_BYTES, "the record of its images has another size");
static_assert(sizeof(gpures::Clipped) == GPURES_CLIPPED_BYTES, "the record of a clipped mean has another size");
static_assert(sizeof(gpures::Comparison) == GPURES_COMPARISON_BYTES, "the record of a comparison has another size");

namespace gpures {

// Calls work(i, j) with pixels of an image, over the grid.
template <class Work>
__device__ void over_pixels(long long ny, long long nx, const Work& work)
{
    const long long step = static_cast<long long>(gridDim.x) * blockDim.x, count = ny * nx;
    for (long long k = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; k < count; k += step) {
        work(k % nx, k / nx);
    }
}

__device__ void put_middle(const Stack& s, long long at, const Middle<Single>& middle)
{
    s.out[at] = static_cast<float>(middle.median());
    if (s.lower) s.lower[at] = static_cast<float>(middle.low);
}

// Of at most N images, whose values lie in registers.
template <int N>
__device__ void median_of_few(const Stack& s)
{
    over_pixels(s.ny, s.nx, [&](long long i, long long j) {
        Single v[N];
        unsigned count = 0;
        GPURES_UNROLL
        for (int k = 0; k < N; ++k) {
            const Single nothing = narrowed(not_a_number());
            put(k < s.images ? value_at(s.image[k], s.x0 + i, s.y0 + j) : nothing, v[k], count);
        }
        const Middle<Single> middle = middle_of_few(v, N, count, s.least);
        put_middle(s, j * s.nx + i, middle);
        if (!s.scatter) return;
        const Single median = middle.median();
        GPURES_UNROLL
        for (int k = 0; k < N; ++k) v[k] = deviation(v[k], median);
        s.scatter[j * s.nx + i] = static_cast<float>(middle_of_few(v, N, count, s.least).median());
    });
}

// Of values that read(k) gives, of which so many count, and which are looked at again and again.
template <class Read>
__device__ void median_of_read(const Stack& s, long long at, unsigned count, const Read& read)
{
    const Middle<Single> middle = middle_of_many<Single>(read, s.images, count, s.least);
    put_middle(s, at, middle);
    if (!s.scatter) return;
    const Single median = middle.median();
    const auto apart = [&](long long k) { return deviation(read(k), median); };
    s.scatter[at] = static_cast<float>(middle_of_many<Single>(apart, s.images, count, s.least).median());
}

// Of at most N images, whose values lie in the block's shared memory: each thread has its own there.
template <int N>
__device__ void median_of_some(const Stack& s)
{
    __shared__ float values[N][GPURES_STACK_THREADS];
    over_pixels(s.ny, s.nx, [&](long long i, long long j) {
        unsigned count = 0;
        for (int k = 0; k < s.images; ++k) {
            Single value;
            put(value_at(s.image[k], s.x0 + i, s.y0 + j), value, count);
            values[k][threadIdx.x] = static_cast<float>(value);
        }
        median_of_read(s, j * s.nx + i, count, [&](long long k) { return Single(values[k][threadIdx.x]); });
    });
}

__device__ void median_of_many(const Stack& s)
{
    over_pixels(s.ny, s.nx, [&](long long i, long long j) {
        unsigned counted = 0;
        const auto read = [&](long long k) {
            Single value;
            put(value_at(s.image[k], s.x0 + i, s.y0 + j), value, counted);
            return value;
        };
        for (long long k = 0; k < s.images; ++k) read(k);
        const unsigned count = counted;
        median_of_read(s, j * s.nx + i, count, read);
    });
}

}  // namespace gpures

using namespace gpures;

extern "C" __global__ void median_of_4(const Stack s) { median_of_few<4>(s); }
extern "C" __global__ void median_of_8(const Stack s) { median_of_few<8>(s); }
extern "C" __global__ void median_of_16(const Stack s) { median_of_few<16>(s); }
extern "C" __global__ void median_of_32(const Stack s) { median_of_few<32>(s); }
extern "C" __global__ void __launch_bounds__(GPURES_STACK_THREADS) median_of_96(const Stack s)
{
    median_of_some<96>(s);
}
extern "C" __global__ void median_of_any(const Stack s) { median_of_many(s); }

extern "C" __global__ void clipped_mean(const Stack s, const Clipped c)
{
    over_pixels(s.ny, s.nx, [&](long long i, long long j) {
        const long long at = j * s.nx + i;
        const auto read = [&](long long k) { return value_at(s.image[k], s.x0 + i, s.y0 + j); };
        const Single scatter = c.scatter[at], noise = narrowed(c.noise), times = narrowed(c.times);
        c.out[at] =
            static_cast<float>(mean_within(read, s.images, Single(c.median[at]), times * greatest(scatter, noise)));
    });
}

// An image, NaN where its weight is too little. Rows of both lie `stride` apart.
extern "C" __global__ void leave_out(const float* data, const float* weight, const long long stride,
                                     const float least_weight, const long long ny, const long long nx, float* out)
{
    over_pixels(ny, nx, [&](long long i, long long j) {
        const bool counts = Single(weight[j * stride + i]) > Single(least_weight);
        out[j * nx + i] = counts ? data[j * stride + i] : narrowed(not_a_number());
    });
}

// An image at the pixels of an exposure, along straight lines.
extern "C" __global__ void blot_exposure(const Exposure e, const Blot b)
{
    over_pixels(e.ny, e.nx, [&](long long i, long long j) {
        const Point at = centre(e, static_cast<int>(i), static_cast<int>(j));
        b.out[j * e.nx + i] = blotted<Linear, float>(b, at.x, at.y);
    });
}

extern "C" __global__ void make_likely(const Comparison c)
{
    over_pixels(c.ny, c.nx, [&](long long i, long long j) { c.expected[j * c.nx + i] = likely<false>(c, i, j); });
}

extern "C" __global__ void compare(const Comparison c)
{
    over_pixels(c.ny, c.nx, [&](long long i, long long j) {
        const unsigned char found = compared<false>(c, i, j);
        c.found[j * c.nx + i] = found && is_sharp(c, i, j) ? found : 0;
    });
}

extern "C" __global__ void find_outliers(const Comparison c, const int reach, unsigned char* mask)
{
    over_pixels(c.ny, c.nx, [&](long long i, long long j) { mask[j * c.nx + i] = is_outlier(c, i, j, reach); });
}

extern "C" __global__ void find_beside(const Comparison c, const unsigned char* outliers, unsigned char* mask)
{
    over_pixels(c.ny, c.nx,
                [&](long long i, long long j) { mask[j * c.nx + i] = belongs_to_outlier(c, outliers, i, j); });
}

extern "C" __global__ void grow(const unsigned char* mask, const long long ny, const long long nx, const int reach,
                                unsigned char* grown)
{
    over_pixels(ny, nx,
                [&](long long i, long long j) { grown[j * nx + i] = any_around(mask, 0xff, ny, nx, i, j, reach); });
}

// One exposure onto the sums of its window: a thread for each input pixel.
//
// Compiled for one kernel and one number of planes at a time: -DGPURES_SPLAT=splat_square_4 (the entry point's name,
// which profilers show), -DGPURES_KERNEL=SQUARE, -DGPURES_PLANES=4, -DGPURES_SQUARED=0 (how many of them, the last
// ones, are weighted with squares), -DGPURES_WHOLE=1 (whether all pixels with coordinates have all their neighbours
// beside them in the output), -DGPURES_SUMMING=ADDED (see sums.h), -DGPURES_SINGLE=0 (see cells.h); and for blocks of
// so many input pixels as Python launches it with (gpures/backend/cuda/kernels.py).
#include "parameters.h"
//
#include "products.h"
#include "shares.h"
#include "sums.h"
#include "weights.h"

namespace gpures {

// Blocks that a multiprocessor should have room for: as many as the registers allow without spilling. Left alone, some
// compilers spill to make room for more.
constexpr bool IS_LARGE = GPURES_KERNEL == SQUARE && (GPURES_PLANES > 8 || !GPURES_WHOLE);
// On 9.0 that was measured, and more of them are worth what spills, some 250 bytes a thread: on an H200 two blocks take
// 0.65, 0.72 and 0.97 ms for 2048 x 2048 pixels at 0, 1 and 20 degrees, three 0.49, 0.54 and 0.78, four 0.43, 0.49 and
// 0.83.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ == 900
constexpr bool HAS_ROOM_FOR_FOUR = GPURES_KERNEL == SQUARE && GPURES_PLANES <= 4;
#else
constexpr bool HAS_ROOM_FOR_FOUR = false;
#endif
constexpr int BLOCKS_OF_DOUBLES = IS_LARGE            ? 1
                                  : HAS_ROOM_FOR_FOUR ? 4
                                  : GPURES_KERNEL == SQUARE || GPURES_KERNEL == TURBO || GPURES_KERNEL == GAUSSIAN ||
                                          GPURES_PLANES > 4 || GPURES_SUMMING == COUNTED
                                      ? 2
                                      : 3;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ / 100 == 10
constexpr int BLOCKS_OF_SINGLE_SQUARES = 3;  // there the compiler lacks two registers for one more
#else
constexpr int BLOCKS_OF_SINGLE_SQUARES = 4;
#endif
constexpr int BLOCKS_OF_FLOATS = IS_LARGE                  ? 1
                                 : GPURES_PLANES > 8       ? 2
                                 : GPURES_KERNEL == SQUARE ? BLOCKS_OF_SINGLE_SQUARES
                                 : GPURES_KERNEL == POINT  ? 4
                                                           : 2;
constexpr int BLOCKS = GPURES_SINGLE ? BLOCKS_OF_FLOATS : BLOCKS_OF_DOUBLES;

typedef Contributions<GPURES_SUMMING> Contribution;

// What is found in passing is noted once.
constexpr bool LAST_PASS = GPURES_SUMMING != MEASURED;

__device__ inline unsigned propagated_bits(const Mosaic& m, const Weighted& pixel)
{
    return m.dq ? static_cast<unsigned>(pixel.dq) : 0u;
}

// Notes an exposure, and DQ flags, at an output pixel.
__device__ __forceinline__ void note(const Mosaic& m, int x, int y, bool is_positive, unsigned bits)
{
    const long long pixel = y * m.stride + x;
    // A look first spares nearly all of these: only the first contribution finds its bits missing.
    if (m.context && is_positive && !(m.context[pixel] & m.context_bit)) atomicOr(m.context + pixel, m.context_bit);
    if (bits && (bits & ~m.dq[pixel])) atomicOr(m.dq + pixel, bits);
}

__device__ __forceinline__ long long place_in_window(const Window& w, int x, int y)
{
    return static_cast<long long>(y - w.y0) * (w.x1 - w.x0 + 1) + (x - w.x0);
}

__device__ __forceinline__ Real value_of(const Exposure& e, [[maybe_unused]] const Window& w, int p, int i, int j)
{
    const Plane& plane = e.plane[p];
#if GPURES_SINGLE
    if (w.scaling.float_planes >> p & 1) {
        const char* at = plane.view.data + j * plane.view.row_stride + i * plane.view.column_stride;
        return static_cast<float>(plane_value(plane, Single(element<float>(at, plane.view.swapped))));
    }
    return narrowed(plane_value(plane, value_at<double>(plane.view, j, i)));
#else
    return plane_value(plane, value_at<double>(plane.view, j, i));
#endif
}

// Adds an input pixel's contributions; with no planes, only notes for the exposure time where they are.
template <int PLANES>
struct WindowSink {
    const Mosaic& m;
    const Window& w;
    Cell i0, j0;                       // where its drop is counted from
    unsigned bits;                     // its DQ flags, where they are propagated
    Real values[PLANES ? PLANES : 1];  // of the planes

    __device__ WindowSink(const Exposure& e, const Mosaic& m, const Window& w, const Weighted& pixel, int i, int j,
                          Cell i0, Cell j0)
        : m(m), w(w), i0(i0), j0(j0), bits(propagated_bits(m, pixel))
    {
#pragma unroll
        for (int p = 0; p < PLANES; ++p) values[p] = value_of(e, w, p, i, j);
    }

    __device__ Place place(Real i, Real j, bool) const { return {pixel_at(i, i0), pixel_at(j, j0)}; }

    __device__ void add(Place place, int c, int r, Real dow)
    {
        if (dow == Real(0)) return;
        const int x = place.x + c, y = place.y + r;
        const long long at = place_in_window(w, x, y);
        if constexpr (PLANES == 0) {
            w.timed[at] = 1;  // whoever else writes there writes the same
            return;
        }
        const SumsThere there(w, PLANES, at);
        Contribution::note_count(there, 1u);
        Contribution::give(there, 0, dow);
#pragma unroll
        for (int p = 0; p < PLANES; ++p) {
            const Real weight = weight_in_plane(p >= PLANES - GPURES_SQUARED, dow);
            Contribution::give(there, p + 1, weight * values[p]);
        }
        if (LAST_PASS) note(m, x, y, dow > Real(0), bits);
    }

    __device__ void pass_over(bool is_flat)
    {
        if (PLANES > 0 && LAST_PASS && is_flat && m.passed_over) atomicAdd(m.passed_over, 1ull);
    }
};

// With what a pixel is splatted.
template <int PLANES>
__device__ Real weight_of(const Exposure& e, const Window& w, const Weighted& pixel)
{
    if constexpr (PLANES == 0) {
        // Where weights are positive, their sums tell as much.
        return pixel.weight <= 0.0 && is_good(pixel.dq, e.bad_bits) ? Real(1) : Real(0);
    }
    return scaled(pixel.weight, w);
}

template <int PLANES>
__device__ NearBounds bounds_of(const Window& w, Cell x, Cell y)
{
    NearBounds bounds = bounds_from(w, x, y);
    if (PLANES == 0) bounds.smallest = SMALLEST_DOW;  // these weights are not scaled
    return bounds;
}

// Drops that are a product, of the pixel (i, j).
template <int KERNEL, int PLANES>
__device__ void splat(const Exposure& e, const Mosaic& m, const Window& w)
{
    const int i = e.x0 + blockIdx.x * WIDTH + threadIdx.x, j = e.y0 + blockIdx.y * HEIGHT + threadIdx.y;
    if (i > e.x1 || j > e.y1) return;
    const Weighted pixel = pixel_weight(e, j, i);
    const Real weight = weight_of<PLANES>(e, w, pixel);
    if (weight == Real(0)) return;
    const Point at = centre(e, i, j);
    const Cell x = cell_at(at.x), y = cell_at(at.y);
    WindowSink<PLANES> sink(e, m, w, pixel, i, j, x, y);
    splat_around<KERNEL>(e, coordinate(at.x, x), coordinate(at.y, y), weight, bounds_of<PLANES>(w, x, y), sink);
}

// ---- square drops --------------------------------------------------------------------------------------------

// Planes whose values a block holds at a time.
constexpr int PLANES_AT_ONCE = 5;

// Some of a block's pixels, in no order.
struct Pixels {
    unsigned count;
    unsigned char number[THREADS];

    __device__ void add(int pixel) { number[atomicAdd(&count, 1u)] = pixel; }
};

static_assert(THREADS <= 256, "pixels are numbered in bytes");

// What the threads of a block share: first where its drops are, and then what is in them.
struct Block {
    Lists lists;
    Pixels others, far;              // whose drops do not lie around a point; which have no shares in lists
    unsigned bits[THREADS];          // DQ flags, where there are lists
    unsigned char is_kept[THREADS];  // whether a drop is, see keep_drop_anywhere
    union {
        struct {
            Centres centres;
            Corners corners;  // where drops touch
        } geometry;
        Real values[PLANES_AT_ONCE][THREADS];
    };
};

__device__ inline bool is_kept(const Block& block, int n) { return !GPURES_WHOLE && block.is_kept[n]; }

// Of a pixel without some of its neighbours the drop is kept where its shares will be listed, behind its weight.
__device__ __forceinline__ void keep_drop_anywhere(const Exposure& e, Block& block, int i0, int j0)
{
    const Centres& centres = block.geometry.centres;
    const int b = threadIdx.x, a = threadIdx.y, n = thread_of_block();
    if (!is_in_block(e, i0 + b, j0 + a)) return;
    block.is_kept[n] = !has_neighbours(e.pixmap, centres, b, a);
    if (!is_kept(block, n)) return;
    const auto around = [&](int k) { return centres.at(a + k / 3, b + k % 3); };
    const Quad<double> q = drop_anywhere(e, i0 + b, j0 + a, around);
    const Cell x = centres.x.cell(a + 1, b + 1), y = centres.y.cell(a + 1, b + 1);
    for (int k = 0; k < 4; ++k) {
        block.lists.dow[(2 * k + 1) * THREADS + n] = near_origin(q.x[k], x);
        block.lists.dow[(2 * k + 2) * THREADS + n] = near_origin(q.y[k], y);
    }
}

// The drop of the n-th pixel of the block.
__device__ __forceinline__ Drop drop_of(const Exposure& e, const Block& block, int n)
{
    const int b = n % WIDTH, a = n / WIDTH;
    const Centres& centres = block.geometry.centres;
    if (is_kept(block, n)) {
        Drop drop = {{}, centres.x.cell(a + 1, b + 1), centres.y.cell(a + 1, b + 1)};
        for (int k = 0; k < 4; ++k) {
            drop.q.x[k] = block.lists.dow[(2 * k + 1) * THREADS + n];
            drop.q.y[k] = block.lists.dow[(2 * k + 2) * THREADS + n];
        }
        return drop;
    }
    if (e.pixfrac == 1.0) return block.geometry.corners.drop(b, a);
    return regular_drop(e, centres, b, a);
}

// Of the lists of output pixels: the sums of the planes from FIRST on, and of the weights before those of the first.
// For all threads.
template <int PLANES, int FIRST>
__device__ __forceinline__ void add_lists(const Exposure& e, const Mosaic& m, const Window& w, Block& block)
{
    const Part part(block.lists);
    constexpr int COUNT = PLANES - FIRST < PLANES_AT_ONCE ? PLANES - FIRST : PLANES_AT_ONCE;
    const Lists& lists = block.lists;
    const int i = e.x0 + blockIdx.x * WIDTH + threadIdx.x, j = e.y0 + blockIdx.y * HEIGHT + threadIdx.y;
    const int thread = thread_of_block();
    if (is_in_block(e, i, j)) {
#pragma unroll
        for (int p = 0; p < COUNT; ++p) block.values[p][thread] = value_of(e, w, FIRST + p, i, j);
    }
    __syncthreads();
    const int rows = THREADS / part.width, columns = THREADS % part.width;
    int row = thread / part.width, column = thread % part.width;
    for (int cell = thread; cell < part.cells(); cell += THREADS) {
        unsigned share = lists.head[cell];
        const int x = part.x0 + column, y = part.y0 + row;
        column += columns;
        row += rows + (column >= part.width);
        column -= column >= part.width ? part.width : 0;
        if (share == Lists::END) continue;
        const SumsThere there(w, PLANES, place_in_window(w, x, y));
        Contribution weights, sums[COUNT];
        weights.begin(there, 0);
#pragma unroll
        for (int p = 0; p < COUNT; ++p) sums[p].begin(there, FIRST + p + 1);
        bool is_positive = false;
        unsigned bits = 0, count = 0;
        do {
            const Real dow = lists.dow[share];
            const unsigned of = share % THREADS;
            ++count;
            weights.take(dow);
#pragma unroll
            for (int p = 0; p < COUNT; ++p) {
                sums[p].take(weight_in_plane(FIRST + p >= PLANES - GPURES_SQUARED, dow) * block.values[p][of]);
            }
            if (FIRST == 0) {
                is_positive = is_positive || !is_negative(dow);
                bits |= block.bits[of];
            }
            share = lists.next[share];
        } while (share != Lists::END);
        if (FIRST == 0) {
            Contribution::note_count(there, count);
            weights.give(there, 0);
            if (LAST_PASS) note(m, x, y, is_positive, bits);
        }
#pragma unroll
        for (int p = 0; p < COUNT; ++p) sums[p].give(there, FIRST + p + 1);
    }
    if constexpr (FIRST + COUNT < PLANES) {
        __syncthreads();
        add_lists<PLANES, FIRST + COUNT>(e, m, w, block);
    }
}

// Lists the shares of a thread's pixel, if its drop lies around a point, or notes the pixel.
__device__ __forceinline__ void list_shares(const Exposure& e, const Mosaic& m, const Window& w, Block& block, int i0,
                                            int j0)
{
    const int b = threadIdx.x, a = threadIdx.y, i = i0 + b, j = j0 + a, n = thread_of_block();
    if (!is_in_block(e, i, j)) return;
    const Weighted pixel = pixel_weight(e, j, i);
    block.bits[n] = propagated_bits(m, pixel);
    const Real weight = scaled(pixel.weight, w);
    if (weight == Real(0)) return;
    const Corners& corners = block.geometry.corners;
    const auto sides_of = [&](const Quad<Real>& q) { return e.pixfrac == 1.0 ? corners.sides(b, a) : sides(q); };
    if (!is_kept(block, n)) {
        const Drop drop = drop_of(e, block, n);
        const Part part(block.lists);
        ListSink sink = {m, block.lists, part, drop.x, drop.y, n, false, LAST_PASS};
        if (splat_quarters(drop.q, weight, bounds_of<1>(w, drop.x, drop.y), sink, sides_of)) {
            if (sink.is_far) block.far.add(n);
            return;
        }
    }
    block.lists.dow[n] = weight;
    block.others.add(n);
}

// The shares of pixels that were noted, over all threads anew: few are in a warp of mostly simple ones.
__device__ __forceinline__ void list_shares_of_others(const Exposure& e, const Mosaic& m, const Window& w, Block& block)
{
    const Part part(block.lists);
    if (const unsigned k = thread_of_block(); k < block.others.count) {
        const int n = block.others.number[k];
        const Drop drop = drop_of(e, block, n);
        ListSink sink = {m, block.lists, part, drop.x, drop.y, n, true, LAST_PASS};
        if (part.holds(drop)) {
            splat_square(drop.q, block.lists.dow[n], bounds_of<1>(w, drop.x, drop.y), sink, false, sides<Real>);
        } else {
            block.far.add(n);
        }
    }
}

// All contributions of the pixels that have none in lists.
template <int PLANES>
__device__ __forceinline__ void splat_far(const Exposure& e, const Mosaic& m, const Window& w, const Block& block,
                                          int i0, int j0)
{
    if (const unsigned k = thread_of_block(); k < block.far.count) {
        const int n = block.far.number[k], i = i0 + n % WIDTH, j = j0 + n / WIDTH;
        const Weighted pixel = pixel_weight(e, j, i);
        const Drop drop = drop_of(e, block, n);
        WindowSink<PLANES> sink(e, m, w, pixel, i, j, drop.x, drop.y);
        // With very many planes, or few registers, there are none left for both ways to the shares.
        splat_square(drop.q, weight_of<PLANES>(e, w, pixel), bounds_of<PLANES>(w, drop.x, drop.y), sink,
                     GPURES_WHOLE && !GPURES_SINGLE && PLANES <= 8, sides<Real>);
    }
}

// Drops around a point at once; and then the others, shared out anew: few are in a warp of mostly simple ones.
template <int PLANES>
__device__ void splat_squares(const Exposure& e, const Mosaic& m, const Window& w)
{
    __shared__ Block block;
    Lists& lists = block.lists;
    const Centres& centres = block.geometry.centres;
    const int i0 = e.x0 + blockIdx.x * WIDTH, j0 = e.y0 + blockIdx.y * HEIGHT, thread = thread_of_block();
    const int columns = min(WIDTH, e.x1 - i0 + 1), rows = min(HEIGHT, e.y1 - j0 + 1);
    const bool touching = e.pixfrac == 1.0;
    if (thread == 0) {
        block.others.count = block.far.count = 0;
        lists.forget();
    }
    stage_centres(e, block.geometry.centres, lists.rows, i0, j0);
    if (PLANES > 0 && thread < 4) lists.expect(centres.at(thread % 2 ? rows : 1, thread / 2 ? columns : 1));
    if (touching) stage_corners(centres, block.geometry.corners, columns, rows);
    __syncthreads();
    if (!GPURES_WHOLE) keep_drop_anywhere(e, block, i0, j0);
    const int cells = Part(lists).cells();
    if (PLANES > 0 && cells > 0) {
        over_block(cells, [&](int k) { lists.head[k] = Lists::END; });
        __syncthreads();
        list_shares(e, m, w, block, i0, j0);
        __syncthreads();
        list_shares_of_others(e, m, w, block);
    } else if (threadIdx.x < columns && threadIdx.y < rows) {
        block.far.add(thread);
    }
    __syncthreads();
    splat_far<PLANES>(e, m, w, block, i0, j0);
    if constexpr (PLANES > 0) {
        __syncthreads();
        if (cells > 0) add_lists<PLANES, 0>(e, m, w, block);
    }
}

}  // namespace gpures

extern "C" __global__ void __launch_bounds__(gpures::WIDTH* gpures::HEIGHT, gpures::BLOCKS)
    GPURES_SPLAT(const gpures::Exposure exposure, const gpures::Mosaic mosaic, const gpures::Window window)
{
    if constexpr (gpures::GPURES_KERNEL == gpures::SQUARE) {
        gpures::splat_squares<GPURES_PLANES>(exposure, mosaic, window);
    } else {
        gpures::splat<gpures::GPURES_KERNEL, GPURES_PLANES>(exposure, mosaic, window);
    }
}

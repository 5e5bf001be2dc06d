// What one pass over an exposure reads and writes, on the CPU.
#pragma once

#include <cstdint>

namespace gpures {

enum class Type { i1, u1, i2, u2, i4, u4, i8, u8, f4, f8 };

// A 2-D array as it lies in the caller's memory: any stride, either byte order, one of the types above.
struct View {
    const char* data = nullptr;
    long row_stride = 0, column_stride = 0;  // bytes
    Type type = Type::f4;
    bool swapped = false;
};

// Output coordinates of the input pixels' centres: every one of them, or a spline (see ../pixmap.h).
struct Pixmap {
    const double* full = nullptr;  // (ny, nx, 2), or null
    const double *coefficients_x = nullptr, *coefficients_y = nullptr;
    long coefficients_per_row = 0;
    const int *first_row = nullptr, *first_column = nullptr;
    const double *row_factors = nullptr, *column_factors = nullptr;  // (4, ny), (4, nx)
    int x0 = 0, x1 = 0, y0 = 0, y1 = 0;                              // where the spline holds; NaN outside
};

// An array that rides along: its pixels are weighted with the data's weights.
struct Plane {
    View view;
    double offset = 0.0, scale = 1.0;  // (x - offset) * scale; a root plane is sqrt(x) * scale
    bool root = false;                 // a variance: its root is averaged, squared, and folded
    void* mean = nullptr;              // accumulator: weighted mean, or variance
    void* weight = nullptr;            // accumulator of a variance's own weights
};

constexpr int MOST_PLANES = 31;

struct Exposure {
    long ny = 0, nx = 0;
    int x0 = 0, x1 = 0, y0 = 0, y1 = 0;  // input pixels used, last included
    Pixmap pixmap;

    int kernel = 0;
    double pixfrac = 1.0, pixel_scale_ratio = 1.0;
    const double* lanczos = nullptr;  // table of the Lanczos factors, for those kernels

    const View* weight_map = nullptr;  // weights as they are, or
    const View* variance = nullptr;    // their inverse, or
    double weight = 1.0;               // one for all pixels
    const View* dq = nullptr;
    std::uint64_t bad_bits = 0;  // a pixel with any of these has weight 0

    int planes = 0;
    Plane plane[MOST_PLANES];
    int variance_weight_plane = -1;  // the root plane whose inverse weights the variances, or
    double variance_weight = 1.0;    // one weight for all
};

// The accumulators that are shared by all planes. A null pointer: not wanted.
struct Mosaic {
    long ny = 0, nx = 0;
    bool doubles = false;  // float64 accumulators, else float32
    void* weight = nullptr;
    std::int32_t* context = nullptr;  // the plane of this exposure
    std::int32_t context_bit = 0;
    std::uint32_t* dq = nullptr;
};

// A rectangle of the output frame that one thread owns for the time of a pass.
constexpr int TILE_WIDTH = 128;
constexpr int TILE_HEIGHT = 64;
// A rectangle of input pixels that is walked at a time.
constexpr int BLOCK = 32;

struct Tile {
    int x0, x1, y0, y1;  // output pixels, last included
};

struct Block {
    int x0, x1, y0, y1;  // input pixels, last included
};

// Bounding box of what a block's drops may touch, in output coordinates; empty if low > high.
struct Reach {
    double x0, x1, y0, y1;
};

// Memory of one thread, for one tile.
struct Scratch {
    double* sums;             // per output pixel: weight, then each plane's weighted sum
    unsigned char* positive;  // whether any contribution had a positive weight
    std::uint32_t* dq;
};

// Doubles per output pixel in Scratch::sums for so many planes.
inline int sums_per_pixel(int planes) { return (planes + 2) / 2 * 2; }

// One copy of each per instruction set; see walk.cpp.
struct Walk {
    Reach (*reach)(const Exposure&, const Block&);
    void (*tile)(const Exposure&, const Mosaic&, const Tile&, const Block* blocks, const int* chosen, int n, Scratch&);
    void (*weights)(const Exposure&, const Block&, float* map);   // into a (ny, nx) weight map
    void (*centres)(const Exposure&, const Block&, double* map);  // into a (ny, nx, 2) pixel map
};

Walk choose_walk();

// Adds an exposure; gives the part of the frame that it may have touched (x0 > x1: none).
Tile add(const Exposure& exposure, const Mosaic& mosaic, int threads);

void weight_map(const Exposure& exposure, float* map, int threads);
void full_pixmap(const Exposure& exposure, double* map, int threads);

// An output frame, and the part of it that any exposure has touched. Outside of that, nothing is read: pages of the
// accumulators that were never written to stay without memory.
struct Frame {
    long ny = 0, nx = 0;
    Tile touched{0, -1, 0, -1};
};

// Where the weight is 0 the image gets the fill value.
template <class T>
void fill(T* image, const T* weight, const Frame& frame, double value, int threads);

// Accumulated variances to the output's scale, in place; NaN where nothing contributed.
template <class T>
void finish_variance(T* variance, const T* weight, const Frame& frame, double scaling, int threads);

// Root of the sum of those variances that are not NaN; NaN where all are.
void error_from_variances(const float* const* variances, int count, float* error, const Frame& frame, int threads);

}  // namespace gpures

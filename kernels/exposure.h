// What one pass over an exposure reads and writes. Python fills these structs (gpures/records.py has the same fields
// in the same order) and hands them to the CPU walk by address and to the CUDA kernels by value.
#pragma once

namespace gpures {

enum Type { I1, U1, I2, U2, I4, U4, I8, U8, F4, F8, BITS };

// A 2-D array as it lies in memory: any stride, either byte order, one of the types above. No address: no array. BITS
// have rows of them, the first one of a byte the lowest, and are for `dq` alone.
struct View {
    const char* data;
    long long row_stride, column_stride;  // bytes
    int type;
    int swapped;  // bytes in the other order than this machine's
};

// The longest side of an image or an output frame: pixels are counted in int, and coordinates that are farther away by
// far are passed over.
constexpr int LARGEST_SIDE = 100000000;

// Output coordinates of the input pixels' centres: every one of them, or a formula (see formula.h), or a spline (see
// pixmap.h). On a GPU a formula is worked out for all of them first.
struct Pixmap {
    const double* full;     // (ny, nx, 2), or null
    const double* formula;  // or null
    const double *coefficients_x, *coefficients_y;
    long long coefficients_per_row;
    const int *first_row, *first_column;
    const double *row_factors, *column_factors;  // (4, ny), (4, nx)
    int x0, x1, y0, y1;                          // where formula or spline hold; NaN outside
    double period_x, period_y;                   // after so many output pixels the sky is the same again; 0: never is
    double shift_x, shift_y;                     // added to all coordinates, on a GPU; on a CPU each block has its own
    double jump;  // output pixels: only a longer step to a neighbour may lead across a seam of the output
};

// What is weighted with the squares of the contributions' weights, as the variance of a weighted mean has it: values of
// any kind; variances; or errors, which are squared themselves, and of which the root is kept.
enum Squared { NOT_SQUARED, SQUARED_VALUES, SQUARED_VARIANCES, SQUARED_ERRORS };

// What becomes of a plane: a weighted mean; a variance, whose root is averaged, squared, and folded; or, on a CPU, a
// sum, of type double, with the values that pairs_row.h gives it.
enum Kept { KEPT_MEAN, KEPT_ROOT, KEPT_SUM };

// An array that rides along: its pixels are weighted with the data's weights, or with squares. Those planes come last.
struct Plane {
    View view;
    double offset, scale;  // (x - offset) * scale; a root plane is sqrt(x) * scale
    int root;              // see Kept
    int squared;           // see Squared
    void* mean;            // accumulator: weighted mean, variance, or error
    void* weight;          // accumulator of a variance's own weights; null: those of the mosaic
};

// The structs go to a CUDA kernel by value, in the 4 KiB that every device takes.
constexpr int MOST_PLANES = 31;

struct Exposure {
    long long ny, nx;
    int x0, x1, y0, y1;  // input pixels used, last included
    Pixmap pixmap;

    int kernel;
    int planes;
    double pixfrac, pixel_scale_ratio;
    const double* lanczos;  // table of the Lanczos factors, for those kernels

    View weight_map;  // weights, to be multiplied by `weight`; or
    View variance;    // their inverse, or
    double weight;    // one for all pixels
    View dq;
    unsigned long long bad_bits;  // a pixel with any of these has weight 0

    int single;                 // 1: drops and sums may be floats
    int variance_weight_plane;  // the root plane whose inverse weights the variances; -1:
    double variance_weight;     // one weight for all
    double exposure_time;       // goes to the mosaic's map of it
    Plane plane[MOST_PLANES];
};

// Pairs of output pixels that an input pixel contributes to, which is what the covariance of the mosaic's pixels is
// made of (see pairs.h). Sums are of type double, in planes: of whole drops, where they are wanted; then of each lag.
constexpr int MOST_SOURCES = 8;

struct Pairs {
    double* sums;      // to where the frame's first pixel would be
    long long stride;  // from one plane to the next
    int max_lag;       // output pixels, along either axis
    int whole_drops;   // 1: the first plane is of those
    int sources;       // the variance of an input pixel is the sum of these
    Plane source[MOST_SOURCES];
};

// The accumulators that are shared by all planes. A null pointer: not wanted. They hold a part of the frame, and all
// pointers, of planes as well, lead to where the frame's first pixel would be.
struct Mosaic {
    long long ny, nx;    // of the frame
    long long stride;    // pixels from one row of the accumulators to the next
    int x0, x1, y0, y1;  // the part, last included
    int doubles;         // float64 accumulators, else float32
    int context_bit;
    void* weight;  // see fold.h
    int* beyond;   // becomes 1 when a sum of weights leaves the range of float32, in which it is accumulated
    int* context;  // the plane of this exposure
    unsigned* dq;
    void* time;  // sum of the exposure times of those exposures that have a good pixel there, whatever its weight
    unsigned long long* passed_over;  // one number: drops without an area, which contribute nothing
    const Pairs* pairs;               // on a CPU; a GPU has a kernel of its own for them
};

// What floats are scaled by, so that an exposure's sums stay within float32: powers of two. Doubles are not.
struct Scaling {
    double weight;                  // of the weights
    double smallest;                // no contribution is less, in the units of the sums
    double units[MOST_PLANES + 1];  // of the sums, by which they are multiplied again: of the weights, of each plane
    int can_fold_in_floats;         // whether the sums, in their own units, are numbers that floats are made for
    unsigned float_planes;          // those whose values are worked out as floats, a bit for each
};

// Pixels along each axis, at least, that tell of what size a plane's values are, if there are as many.
constexpr int SAMPLES = 32;

// On a GPU: the sums of one exposure, over the part of the output frame that it may touch.
struct Window {
    double* sums;        // or floats: weights, then each plane's weighted sums; all zero between two exposures
    long long stride;    // from one plane's sums to the next one's
    int x0, x1, y0, y1;  // output pixels, last included
    unsigned* timed;  // where good pixels fall without positive weight, for the mosaic's time; zero between exposures
    Scaling scaling;  // where the sums are floats
};

// A plane of a mosaic, and the same one of another mosaic that is merged into it.
struct MergedPlane {
    void* mean;                // see Plane
    void* weight;              // of a variance; null: that of the mosaic
    const void* other_mean;    // from the first pixel of the window on
    const void* other_weight;  // likewise
    int squared;               // see Squared
};

// Variances may come in a pass of their own.
constexpr int MOST_MERGED = 2 * MOST_PLANES;

// Two mosaics of one frame, with the same planes. Of the other there is a window, in which all is that it has: its
// arrays begin with the window's first pixel. A null pointer: not wanted.
struct Merge {
    long long nx, other_nx;  // pixels from one row to the next
    int x0, x1, y0, y1;      // the window in the frame, last included
    int doubles;             // float64 accumulators, else float32
    int planes;
    void* weight;
    const void* other_weight;
    int* beyond;  // see Mosaic
    void* time;
    const void* other_time;
    unsigned* dq;
    const unsigned* other_dq;
    unsigned* context;  // all planes, and those that the other needs for its exposures
    const unsigned* other_context;
    long long context_stride, other_context_stride;  // pixels from one plane to the next
    int context_planes, other_planes;
    int first_bit;  // in the context, of the other's first exposure
    double* pairs;  // see Pairs
    const double* other_pairs;
    long long pairs_stride, other_pairs_stride;  // pixels from one plane to the next
    int pair_planes;
    MergedPlane plane[MOST_MERGED];
};

}  // namespace gpures

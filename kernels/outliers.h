// Pixels that differ from what the other exposures say of their place by more than noise, and by more than that may be
// wrong where the image is steep.
#pragma once

#include "single.h"

namespace gpures {

// Thresholds: of a pixel that is found for itself, of one in whose surroundings there is such a pixel, and of one
// beside what has been found.
constexpr int THRESHOLDS = 3;

struct Comparison {
    const float* data;   // (ny, nx); NaN where it is not used
    float* expected;     // what they should be: NaN where nobody knows
    const float* lower;  // the same, if more of the others are hit than not; or null
    const float* err;    // their noise
    long long ny, nx;
    double background;         // is subtracted from the data
    double snr[THRESHOLDS];    // times the noise, and
    double scale[THRESHOLDS];  // times the greatest step to a neighbour
    double sharpness;          // what of the difference is left, at least, of what is no star when both are smoothed
    double smoothing;          // the variance of that along an axis, pixels^2
    unsigned char* found;      // (ny, nx): a bit for each threshold that a pixel is beyond
};

}  // namespace gpures

GPURES_BEGIN

GPURES_FN bool is_number(Single value) { return value == value; }

GPURES_FN Single difference_at(const Comparison& c, long long at)
{
    return Single(c.data[at]) - Single(c.expected[at]) - Single(narrowed(c.background));
}

// Greatest step of an image from a pixel to its neighbours along x and y, as far as there are any; NaN of what is none.
// INSIDE: all of them are there.
template <bool INSIDE>
GPURES_FN Single steepest(const Comparison& c, const float* image, long long i, long long j)
{
    const float* p = image + j * c.nx + i;
    const Single own = *p;
    Single most = is_number(own) ? Single(0.0f) : own;
    const auto compare = [&](bool is_there, long long offset) {
        if (!INSIDE && !is_there) return;
        const Single step = magnitude(own - Single(p[offset]));
        most = step > most ? step : most;
    };
    compare(j > 0, -c.nx);
    compare(j + 1 < c.ny, c.nx);
    compare(i > 0, -1);
    compare(i + 1 < c.nx, 1);
    return most;
}

// The data, smoothed as resampling and interpolation do it on the average, less what they should be, which is smooth
// already. What an instrument has made a star of is the same in both; a hit of one pixel is not. Pixels that are not
// used are what they should be.
GPURES_FN Single smoothed_difference(const Comparison& c, long long i, long long j)
{
    const Single beside = narrowed(0.5 * c.smoothing), in_middle = 1.0f - 2.0f * beside;
    Single sum = 0.0f;
    for (int y = -1; y <= 1; ++y) {
        for (int x = -1; x <= 1; ++x) {
            const bool is_there = i + x >= 0 && i + x < c.nx && j + y >= 0 && j + y < c.ny;
            const long long at = is_there ? (j + y) * c.nx + i + x : j * c.nx + i;
            const Single value = Single(c.data[at]) - Single(narrowed(c.background));
            const Single expected = is_number(c.expected[at]) ? c.expected[at] : c.expected[j * c.nx + i];
            sum = sum + (x ? beside : in_middle) * (y ? beside : in_middle) * (is_number(value) ? value : expected);
        }
    }
    return sum - Single(c.expected[j * c.nx + i]);
}

// What a pixel should be. Of an even number of exposures of which half are hit in one place the median is half a hit,
// and of three of which two are, a whole one: where it stands out from the lower one by more than noise and steps
// explain, that is the better guess.
template <bool INSIDE>
GPURES_FN float likely(const Comparison& c, long long i, long long j)
{
    const Single NOISE = 1.0f, STEP = 0.3f;
    const long long at = j * c.nx + i;
    const Single noise = is_number(c.err[at]) ? c.err[at] : 0.0f, step = steepest<INSIDE>(c, c.lower, i, j);
    const Single expected = c.expected[at], lower = c.lower[at];
    return static_cast<float>(expected - lower > NOISE * noise + STEP * step ? lower : expected);
}

// Which thresholds a pixel is beyond.
template <bool INSIDE>
GPURES_FN unsigned char compared(const Comparison& c, long long i, long long j)
{
    const long long at = j * c.nx + i;
    const Single excess = difference_at(c, at), difference = magnitude(excess);
    const Single noise = is_number(c.err[at]) ? c.err[at] : 0.0f, step = steepest<INSIDE>(c, c.expected, i, j);
    int found = 0;
    for (int k = 0; k < THRESHOLDS; ++k) {
        const Single allowed = Single(narrowed(c.scale[k])) * step + Single(narrowed(c.snr[k])) * noise;
        found |= (k < 2 ? difference : excess) > allowed ? 1 << k : 0;
    }
    return static_cast<unsigned char>(found);
}

// Whether enough is left of a pixel's difference when it is smoothed. In the core of a star some of it is, as stars lie
// elsewhere in the pixels of each exposure: a small part of the steps there, for which a fifth allows.
GPURES_FN bool is_sharp(const Comparison& c, long long i, long long j)
{
    if (!(c.sharpness > 0.0)) return true;
    const Single STEP = 0.2f;
    const Single difference = magnitude(difference_at(c, j * c.nx + i)), step = steepest<false>(c, c.expected, i, j);
    return magnitude(smoothed_difference(c, i, j)) > Single(narrowed(c.sharpness)) * difference + STEP * step;
}

// Whether a pixel of (ny, nx), or any around it up to `reach` away, has one of some bits.
GPURES_FN bool any_around(const unsigned char* found, unsigned char bits, long long ny, long long nx, long long i,
                          long long j, int reach)
{
    for (long long y = j - reach; y <= j + reach; ++y) {
        if (y < 0 || y >= ny) continue;
        for (long long x = i - reach; x <= i + reach; ++x) {
            if (x >= 0 && x < nx && found[y * nx + x] & bits) return true;
        }
    }
    return false;
}

// Whether a pixel is beyond the second threshold, and one in its surroundings beyond the first.
GPURES_FN bool is_outlier(const Comparison& c, long long i, long long j, int reach)
{
    return c.found[j * c.nx + i] & 2 && any_around(c.found, 1, c.ny, c.nx, i, j, reach);
}

// Whether a pixel is an outlier, or beside one and beyond the third threshold.
GPURES_FN bool belongs_to_outlier(const Comparison& c, const unsigned char* outliers, long long i, long long j)
{
    const long long at = j * c.nx + i;
    return outliers[at] || (c.found[at] & 4 && any_around(outliers, 1, c.ny, c.nx, i, j, 1));
}

GPURES_END

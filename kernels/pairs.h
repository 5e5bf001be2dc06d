// Pairs of output pixels that an input pixel contributes to: what the covariance of the mosaic's pixels is made of.
//
// With weights w_j and w_k in two output pixels, an input pixel of variance v adds w_j w_k v to their covariance, times
// the sums of all weights in both. A pair belongs to the pixel that comes first in its rows, and has
// the lag (dx, dy) from there to the other one: dy > 0, or dy = 0 and dx >= 0. Planes of lags are numbered in rings
// around (0, 0), so that those of longer lags come last.
#pragma once

#include "fold.h"
#include "splat.h"

GPURES_BEGIN

// Planes of all lags up to one along either axis.
GPURES_FN int planes_of_lags(int max_lag) { return ((2 * max_lag + 1) * (2 * max_lag + 1) + 1) / 2; }

GPURES_FN int number_of_lag(int dx, int dy)
{
    const int across = dx < 0 ? -dx : dx, ring = across > dy ? across : dy;
    if (ring == 0) return 0;
    const int first = planes_of_lags(ring - 1);
    if (dx == ring) return first + dy;
    if (dy == ring) return first + 2 * ring - dx;
    return first + 4 * ring - dy;
}

// ---- sums -> images ------------------------------------------------------------------------------------------------

// What follows is of pixel (x, y) of an image of nx x ny pixels, with sums of weights in accumulators of type T. The
// planes begin with its first pixel.

template <class T>
struct PairedImage {
    const Pairs& pairs;
    const T* weights;
    int nx, ny;

    GPURES_FN double& sum(int plane, int x, int y) const
    {
        return pairs.sums[plane * pairs.stride + static_cast<long long>(y) * nx + x];
    }

    GPURES_FN double weight(int x, int y) const
    {
        if (x < 0 || x >= nx || y < 0 || y >= ny) return 0.0;
        return get_sum<double>(weights + static_cast<long long>(y) * nx + x);
    }

    // Has the covariances with all lags in the place of the sums; NaN where one of the two pixels has no weight.
    GPURES_FN void finish(int x, int y) const
    {
        const double own = weight(x, y);
        for (int dy = 0; dy <= pairs.max_lag; ++dy) {
            for (int dx = dy == 0 ? 0 : -pairs.max_lag; dx <= pairs.max_lag; ++dx) {
                const double other = weight(x + dx, y + dy);
                double& kept = sum(pairs.whole_drops + number_of_lag(dx, dy), x, y);
                kept = own != 0.0 && other != 0.0 ? kept / own / other : not_a_number();
            }
        }
    }

    // Root of the sum of a pixel's covariances with all pixels, its variance among them, over that variance.
    GPURES_FN double noise_factor(int x, int y) const
    {
        const double own = weight(x, y);
        if (own == 0.0) return not_a_number();
        const double variance = sum(pairs.whole_drops, x, y);
        // That of the other pixel is taken for one's own.
        if (pairs.whole_drops) return sqrt(sum(0, x, y) / variance);
        double total = variance / own;
        for (int dy = 0; dy <= pairs.max_lag; ++dy) {
            for (int dx = dy == 0 ? 1 : -pairs.max_lag; dx <= pairs.max_lag; ++dx) {
                const int plane = number_of_lag(dx, dy);
                const double next = weight(x + dx, y + dy), before = weight(x - dx, y - dy);
                if (next != 0.0) total += sum(plane, x, y) / next;
                if (before != 0.0) total += sum(plane, x - dx, y - dy) / before;
            }
        }
        return sqrt(total / variance * own);
    }
};

// ---- drops -> sums -------------------------------------------------------------------------------------------------

// The pairs of drops that are held a part at a time, SIDE x SIDE output pixels of their bounding boxes: what each
// contributes there is paired with all else in the part, and with what is beyond it when the drop is walked again.
//
// `Parts` is a sink. begin(column, row) begins a part of the bounding boxes; walk(sink) hands all drops to one;
// `columns` and `rows` are those of the largest box so far. add_within() adds all pairs in the part, beyond() is a sink
// for the others. These have parts of drops: `columns` and `rows` that are held, `part(c, r)` what is, and `part.at(c,
// r)`, whose add(plane, x) adds x times the input pixel's variance to a plane, at that pixel.
template <class Part>
GPURES_FN void add_pairs_within(const Pairs& pairs, const Part& part)
{
    for (int r = 0; r < part.rows; ++r) {
        for (int c = 0; c < part.columns; ++c) {
            const auto weight = part(c, r);
            if (!part.any(weight)) continue;
            const auto pixel = part.at(c, r);
            if (pairs.whole_drops) pixel.add(0, weight * part.all());
            for (int dy = 0; dy <= pairs.max_lag && r + dy < part.rows; ++dy) {
                const int least = dy == 0 ? 0 : -pairs.max_lag, first = least < -c ? -c : least;
                for (int dx = first; dx <= pairs.max_lag && c + dx < part.columns; ++dx) {
                    pixel.add(pairs.whole_drops + number_of_lag(dx, dy), weight * part(c + dx, r + dy));
                }
            }
        }
    }
}

// What a drop contributes to a pixel beyond a part, so many columns and rows from where that begins.
template <class Part, class V>
GPURES_FN void add_pairs_beyond(const Pairs& pairs, const Part& part, int column, int row, V weight)
{
    for (int r = 0; r < part.rows; ++r) {
        for (int c = 0; c < part.columns; ++c) {
            const int dx = column - c, dy = row - r;
            if (dy < 0 || (dy == 0 && dx < 0) || dy > pairs.max_lag) continue;
            if (dx > pairs.max_lag || dx < -pairs.max_lag) continue;
            part.at(c, r).add(pairs.whole_drops + number_of_lag(dx, dy), weight * part(c, r));
        }
    }
}

// `held`: whether the parts hold the first one already.
template <class Parts, class Walk>
GPURES_FN void splat_pairs(const Pairs& pairs, Parts& parts, bool held, const Walk& walk)
{
    int column = 0, row = 0;
    do {
        if (!held) {
            parts.begin(column, row);
            walk(parts);
        }
        held = false;
        parts.add_within();
        if (pairs.max_lag > 0 && (parts.columns > Parts::SIDE || parts.rows > Parts::SIDE)) {
            auto beyond = parts.beyond();
            walk(beyond);
        }
        column += Parts::SIDE;
        if (column >= parts.columns) column = 0, row += Parts::SIDE;
    } while (row < parts.rows);
}

GPURES_END

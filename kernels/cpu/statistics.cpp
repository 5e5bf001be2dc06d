// Statistics of regions, each of which one thread measures: its pixels are gathered once, and gone through as often as
// is needed.
#include "statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "../view.h"
#include "threads.h"

namespace gpures {

namespace {

constexpr int LANES = 8;    // sums that are independent of each other, so that they can be vectors
constexpr int FINE = 4096;  // bins in which a median is looked for

constexpr double NONE = std::numeric_limits<double>::quiet_NaN();

template <class T>
using Values = std::vector<T>;

template <class T>
struct Range {
    T low, high;

    bool holds(T v) const { return v >= low && v <= high; }
    bool operator==(const Range& other) const { return low == other.low && high == other.high; }
};

template <class T>
Range<T> range_of(double low, double high)
{
    return {static_cast<T>(low), static_cast<T>(high)};
}

template <class T>
void gather(const View& data, long long nx, const unsigned char* usable, const Span* begin, const Span* end,
            Values<T>& values)
{
    std::size_t most = 0;
    for (const Span* s = begin; s < end; ++s) most += static_cast<std::size_t>(s->end - s->first);
    values.resize(most);
    T* next = values.data();
    const bool plain = data.column_stride == sizeof(T) && !data.swapped && data.type == (sizeof(T) == 4 ? F4 : F8) &&
                       reinterpret_cast<std::uintptr_t>(data.data) % sizeof(T) == 0 && data.row_stride % sizeof(T) == 0;
    for (const Span* s = begin; s < end; ++s) {
        const T* const row = reinterpret_cast<const T*>(data.data + s->row * data.row_stride);
        const unsigned char* const good = usable ? usable + s->row * nx : nullptr;
        for (int i = s->first; i < s->end; ++i) {
            const T v = plain ? row[i] : value_at<T>(data, s->row, i);
            *next = v;
            next += (!good || good[i]) && v - v == T(0);
        }
    }
    values.resize(static_cast<std::size_t>(next - values.data()));
}

struct Moments {
    double pixels, mean, deviation;
};

// Of values in a range; sums are taken of what they differ from one that is near the mean.
template <class T>
Moments moments(const Values<T>& values, const Range<T>& range, T about)
{
    double count[LANES] = {}, sum[LANES] = {}, squares[LANES] = {};
    const auto add = [&](const T* v, int n) {
        for (int k = 0; k < n; ++k) {
            const double inside = range.holds(v[k]) ? 1.0 : 0.0;
            const double d = inside * (static_cast<double>(v[k]) - static_cast<double>(about));
            count[k] += inside;
            sum[k] += d;
            squares[k] += d * d;
        }
    };
    const std::size_t whole = values.size() / LANES * LANES;
    for (std::size_t at = 0; at < whole; at += LANES) add(values.data() + at, LANES);
    add(values.data() + whole, static_cast<int>(values.size() - whole));
    for (int k = 1; k < LANES; ++k) {
        count[0] += count[k];
        sum[0] += sum[k];
        squares[0] += squares[k];
    }
    const double n = count[0];
    const double variance = n > 1 ? (squares[0] - sum[0] * sum[0] / n) / (n - 1) : 0.0;
    return {n, about + (n > 0 ? sum[0] / n : 0.0), std::sqrt(std::max(variance, 0.0))};
}

template <class T>
Range<T> extremes(const Values<T>& values, const Range<T>& range)
{
    constexpr T most = std::numeric_limits<T>::max(), least = std::numeric_limits<T>::lowest();
    T low[LANES], high[LANES];
    std::fill(low, low + LANES, most);
    std::fill(high, high + LANES, least);
    const auto look = [&](const T* v, int n) {
        for (int k = 0; k < n; ++k) {
            const T below = range.holds(v[k]) ? v[k] : most, above = range.holds(v[k]) ? v[k] : least;
            low[k] = below < low[k] ? below : low[k];
            high[k] = above > high[k] ? above : high[k];
        }
    };
    const std::size_t whole = values.size() / LANES * LANES;
    for (std::size_t at = 0; at < whole; at += LANES) look(values.data() + at, LANES);
    look(values.data() + whole, static_cast<int>(values.size() - whole));
    return {*std::min_element(low, low + LANES), *std::max_element(high, high + LANES)};
}

// The value of a rank, from 0, among those in a range; bins, whose order is that of the values, are counted first.
template <class T>
class Ranks {
  public:
    Ranks(const Values<T>& values, const Range<T>& range)
        : values_(values), range_(range), ends_(extremes(values, range)), counts_(FINE)
    {
        for (const T v : values) {
            if (range.holds(v)) ++counts_[bin(v)];
        }
    }

    double value(std::size_t rank)
    {
        std::size_t k = 0;
        while (rank >= counts_[k]) rank -= counts_[k++];
        if (k != held_ || few_.empty()) {
            few_.clear();
            for (const T v : values_) {
                if (range_.holds(v) && bin(v) == k) few_.push_back(v);
            }
            held_ = k;
        }
        std::nth_element(few_.begin(), few_.begin() + static_cast<std::ptrdiff_t>(rank), few_.end());
        return few_[rank];
    }

  private:
    std::size_t bin(T v) const
    {
        const double width = static_cast<double>(ends_.high) - ends_.low;
        const double place = width > 0 ? (static_cast<double>(v) - ends_.low) * ((FINE - 1) / width) : 0.0;
        return static_cast<std::size_t>(place);
    }

    const Values<T>& values_;
    const Range<T> range_, ends_;
    std::vector<std::size_t> counts_;
    std::vector<T> few_;
    std::size_t held_ = 0;
};

template <class T>
double median(const Values<T>& values, const Range<T>& range, std::size_t pixels)
{
    Ranks<T> ranks(values, range);
    const double upper = ranks.value(pixels / 2);
    return pixels % 2 ? upper : 0.5 * (ranks.value(pixels / 2 - 1) + upper);
}

// Where the histogram of the values has its peak, by a parabola through the highest bin and those beside it; or where
// half of it lies below.
double peak(const std::vector<double>& counts)
{
    const std::size_t k = static_cast<std::size_t>(std::max_element(counts.begin(), counts.end()) - counts.begin());
    if (k == 0 || k + 1 == counts.size()) {
        const bool tied = counts.size() == 2 && counts[0] == counts[1];
        return tied ? 1.0 : k + 0.5;
    }
    const double before = counts[k] - counts[k - 1], after = counts[k] - counts[k + 1];
    return before + after == 0 ? k + 0.5 : k + 0.5 + 0.5 * (before - after) / (before + after);
}

double half_way(const std::vector<double>& counts)
{
    double all = 0, below = 0;
    for (const double n : counts) all += n;
    std::size_t k = 0;
    while (below + counts[k] < 0.5 * all) below += counts[k++];
    return k + (0.5 * all - below) / counts[k];
}

template <class T>
double by_histogram(const Values<T>& values, const Range<T>& range, double deviation, const Clipping& c)
{
    const Range<T> ends = extremes(values, range);
    const double length = static_cast<double>(ends.high) - ends.low, bin = c.bin * deviation;
    if (!(bin > 0 && bin <= length)) return 0.5 * (static_cast<double>(ends.low) + ends.high);
    // Values that were clipped above, and lie in the last bin still, count.
    const std::size_t bins = static_cast<std::size_t>(length / bin) + 1;
    const T width = static_cast<T>(length / static_cast<double>(bins - 1));
    std::vector<double> counts(bins);
    for (const T v : values) {
        if (!(v >= ends.low)) continue;
        const T place = (v - ends.low) / width;
        if (place < static_cast<T>(bins)) ++counts[static_cast<std::size_t>(place)];
    }
    return ends.low + (c.statistic == MODE ? peak(counts) : half_way(counts)) * (c.as_imagestats ? bin : width);
}

template <class T>
Measured measured(const Values<T>& values, const Clipping& c)
{
    const Range<T> all{std::numeric_limits<T>::lowest(), std::numeric_limits<T>::max()};
    const Range<T> allowed{std::max(all.low, static_cast<T>(c.lower)), std::min(all.high, static_cast<T>(c.upper))};
    Range<T> range = allowed;
    Moments found{0, NONE, 0};
    if (values.empty()) return {NONE, 0};
    T about = values[values.size() / 2];
    for (int round = 0; round <= c.rounds; ++round) {
        found = moments(values, range, about);
        if (found.pixels == 0) return {NONE, 0};
        about = static_cast<T>(found.mean);
        const Range<T> next = range_of<T>(std::max<double>(allowed.low, found.mean - c.below * found.deviation),
                                          std::min<double>(allowed.high, found.mean + c.above * found.deviation));
        if (next == range || round == c.rounds) break;
        range = next;
    }
    const std::size_t pixels = static_cast<std::size_t>(found.pixels);
    const double value = c.statistic == MEAN     ? found.mean
                         : c.statistic == MEDIAN ? median(values, range, pixels)
                                                 : by_histogram(values, range, found.deviation, c);
    return {value, static_cast<long long>(pixels)};
}

template <class T>
void measure_as(const View& data, long long nx, const unsigned char* usable, const Span* spans,
                const std::int64_t* starts, int regions, const Clipping& clipping, Measured* found, int threads)
{
    over_threads(threads, regions, [&] {
        return [&, values = Values<T>()](int k) mutable {
            gather(data, nx, usable, spans + starts[k], spans + starts[k + 1], values);
            found[k] = measured(values, clipping);
        };
    });
}

}  // namespace

void measure(const View& data, long long nx, const unsigned char* usable, const Span* spans, const std::int64_t* starts,
             int regions, const Clipping& clipping, Measured* found, int threads)
{
    // Integers of two bytes and less are numbers of float32 as well.
    const bool doubles = data.type == F8 || (data.type >= I4 && data.type <= U8);
    (doubles ? measure_as<double> : measure_as<float>)(data, nx, usable, spans, starts, regions, clipping, found,
                                                       threads);
}

}  // namespace gpures

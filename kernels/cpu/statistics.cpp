// Statistics of regions, each of which one thread measures: its pixels are gathered once. Some of them tell
// what most look like: those in the core of the distribution are summed once, whatever is clipped, and the rest are
// few. The results are those of going through all of them each time.
#include "statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "../view.h"
#include "threads.h"

namespace gpures {

namespace {

constexpr int LANES = 8;  // sums that are independent of each other, so that they can be vectors

// Pixels that tell what most look like, and of so few there is no core.
constexpr long long SAMPLE = 4096, FEWEST = 512;

// How far the core reaches towards where outliers begin; and, in standard deviations, how near to that of the sample
// the median is.
constexpr double CORE = 0.6, NEAR = 0.1;

constexpr double NONE = std::numeric_limits<double>::quiet_NaN();

// Values in memory that is not filled before it is written to: what nobody comes to costs nothing.
template <class T>
class Values {
  public:
    // Room for n values, and none in it.
    void clear(std::size_t n)
    {
        if (n > room_) {
            memory_.reset();
            memory_.reset(new T[n]);
            room_ = n;
        }
        size_ = 0;
    }

    // Its end has been moved, by values that were written there.
    void end_at(const T* end) { size_ = static_cast<std::size_t>(end - begin()); }

    std::size_t size() const { return size_; }
    T* begin() const { return memory_.get(); }
    T* end() const { return begin() + size_; }

  private:
    std::unique_ptr<T[]> memory_;
    std::size_t room_ = 0, size_ = 0;
};

template <class T>
struct Range {
    T low, high;

    bool holds(T v) const { return (v >= low) & (v <= high); }
    bool holds(const Range& other) const { return low <= other.low && high >= other.high; }
    bool operator==(const Range& other) const { return low == other.low && high == other.high; }
};

template <class T>
constexpr Range<T> everything()
{
    return {std::numeric_limits<T>::lowest(), std::numeric_limits<T>::max()};
}

template <class T>
constexpr Range<T> nothing()
{
    return {std::numeric_limits<T>::max(), std::numeric_limits<T>::lowest()};
}

// The image, and which of its pixels count.
template <class T>
class Pixels {
  public:
    Pixels(const View& data, const unsigned char* usable, long long nx)
        : data_(data),
          usable_(usable),
          nx_(nx),
          all_(usable ? 0 : static_cast<std::size_t>(nx), 1),
          plain_(data.type == (sizeof(T) == 4 ? F4 : F8) && data.column_stride == sizeof(T) && !data.swapped &&
                 reinterpret_cast<std::uintptr_t>(data.data) % sizeof(T) == 0 && data.row_stride % sizeof(T) == 0)
    {
    }

    // A row from pixel i on, as it lies there or made in a line, of n pixels.
    const T* row(long long j, long long i, long long n, std::vector<T>& line) const
    {
        if (plain_) return reinterpret_cast<const T*>(data_.data + j * data_.row_stride) + i;
        line.resize(static_cast<std::size_t>(n));
        for (long long k = 0; k < n; ++k) line[static_cast<std::size_t>(k)] = value_at<T>(data_, j, i + k);
        return line.data();
    }

    T value(long long j, long long i) const { return value_at<T>(data_, j, i); }

    const unsigned char* usable(long long j, long long i) const
    {
        return (usable_ ? usable_ + j * nx_ : all_.data()) + i;
    }

  private:
    const View& data_;
    const unsigned char* usable_;
    long long nx_;
    std::vector<unsigned char> all_;
    bool plain_;  // an array that may be read as it is
};

template <class T>
bool is_finite(T v)
{
    return v - v == T(0);
}

// Sums of what values differ from one that is near their mean.
struct Sums {
    double count, sum, squares;

    Sums operator+(const Sums& other) const { return {count + other.count, sum + other.sum, squares + other.squares}; }
};

struct Moments {
    double pixels, mean, deviation;
};

template <class T>
Moments moments(const Sums& of, T about)
{
    const double variance = of.count > 1 ? (of.squares - of.sum * of.sum / of.count) / (of.count - 1) : 0.0;
    return {of.count, about + (of.count > 0 ? of.sum / of.count : 0.0), std::sqrt(std::max(variance, 0.0))};
}

// Adds up sums of values in a range.
template <class T>
class Adder {
  public:
    Adder(const Range<T>& range, T about) : range_(range), about_(about) {}

    // Those that are not in the range are written where others go, if they go anywhere. Where they end.
    T* add(const T* begin, const T* end, T* others = nullptr)
    {
        for (; begin < end; begin += LANES) {
            const int n = static_cast<int>(std::min<std::ptrdiff_t>(end - begin, LANES));
            const int inside = n == LANES ? add_few(begin, LANES) : add_few(begin, n);
            if (inside == n || !others) continue;
            for (int k = 0; k < n; ++k) {
                *others = begin[k];
                others += !range_.holds(begin[k]);
            }
        }
        return others;
    }

    Sums sums() const
    {
        Sums all{static_cast<double>(count_), 0, 0};
        for (int k = 0; k < LANES; ++k) all = all + Sums{0, sum_[k], squares_[k]};
        return all;
    }

  private:
    int add_few(const T* v, int n)
    {
        T counted[LANES];
        int count = 0;
        for (int k = 0; k < n; ++k) {
            const bool inside = range_.holds(v[k]);
            counted[k] = inside ? v[k] : about_;
            count += inside;
        }
        for (int k = 0; k < n; ++k) {
            const double d = static_cast<double>(counted[k]) - static_cast<double>(about_);
            sum_[k] += d;
            squares_[k] += d * d;
        }
        count_ += count;
        return count;
    }

    Range<T> range_;
    T about_;
    long long count_ = 0;
    double sum_[LANES] = {}, squares_[LANES] = {};
};

template <class T>
Sums sums(const Values<T>& values, const Range<T>& range, T about)
{
    Adder<T> adder(range, about);
    adder.add(values.begin(), values.end());
    return adder.sums();
}

// The range of values that lie in a range.
template <class T>
Range<T> extremes(const Values<T>& values, const Range<T>& range)
{
    constexpr Range<T> none = nothing<T>();
    T low[LANES], high[LANES];
    std::fill(low, low + LANES, none.low);
    std::fill(high, high + LANES, none.high);
    const auto look = [&](const T* v, int n) {
        for (int k = 0; k < n; ++k) {
            const T below = range.holds(v[k]) ? v[k] : none.low, above = range.holds(v[k]) ? v[k] : none.high;
            low[k] = below < low[k] ? below : low[k];
            high[k] = above > high[k] ? above : high[k];
        }
    };
    const std::size_t whole = values.size() / LANES * LANES;
    for (std::size_t at = 0; at < whole; at += LANES) look(values.begin() + at, LANES);
    look(values.begin() + whole, static_cast<int>(values.size() - whole));
    return {*std::min_element(low, low + LANES), *std::max_element(high, high + LANES)};
}

// Where outliers begin, within what is allowed.
template <class T>
Range<T> clipped(const Moments& m, const Range<T>& allowed, double below, double above)
{
    return {static_cast<T>(std::max<double>(allowed.low, m.mean - below * m.deviation)),
            static_cast<T>(std::min<double>(allowed.high, m.mean + above * m.deviation))};
}

// Calls sums_of(range), range by range, until nothing more is clipped.
template <class T, class SumsOf>
Moments clip(Range<T>& range, T about, const Clipping& c, const SumsOf& sums_of)
{
    const Range<T> allowed = range;
    for (int round = 0;; ++round) {
        const Moments found = moments(sums_of(range), about);
        if (found.pixels == 0 || round == c.rounds) return found;
        const Range<T> next = clipped(found, allowed, c.below, c.above);
        if (next == range) return found;
        range = next;
    }
}

template <class T>
class Region {
  public:
    // Takes the pixels of a region; memory is that of the region before.
    void take(const Pixels<T>& pixels, const Span* begin, const Span* end, const Clipping& c)
    {
        long long most = 0;
        for (const Span* s = begin; s < end; ++s) most += s->end - s->first;
        allowed_ = {std::max(everything<T>().low, static_cast<T>(c.lower)),
                    std::min(everything<T>().high, static_cast<T>(c.upper))};
        guess(pixels, begin, end, most, c);
        const std::size_t room = static_cast<std::size_t>(most) + 1;  // what does not count is written as well
        values_.clear(room);
        rest_.clear(room);
        T *next = values_.begin(), *other = rest_.begin();
        Adder<T> of_core(core_, about_);
        for (const Span* s = begin; s < end; ++s) {
            const int n = s->end - s->first;
            const T* const row = pixels.row(s->row, s->first, n, line_);
            const unsigned char* const usable = pixels.usable(s->row, s->first);
            const T* const first = next;
            for (int i = 0; i < n; ++i) {
                *next = row[i];
                next += (usable[i] != 0) & is_finite(row[i]);
            }
            other = of_core.add(first, next, other);  // while they are near
        }
        values_.end_at(next);
        rest_.end_at(other);
        of_core_ = of_core.sums();
    }

    Measured measured(const Clipping& c)
    {
        range_ = allowed_;
        const Moments found = clip(range_, about_, c, [&](const Range<T>& range) {
            return range.holds(core_) ? of_core_ + sums(rest_, range, about_) : sums(values_, range, about_);
        });
        const long long pixels = static_cast<long long>(found.pixels);
        if (pixels == 0) return {NONE, 0};
        if (c.statistic == MEAN) return {found.mean, pixels};
        return {c.statistic == MEDIAN ? median(pixels) : by_histogram(found.deviation, c), pixels};
    }

  private:
    void guess(const Pixels<T>& pixels, const Span* begin, const Span* end, long long most, const Clipping& c)
    {
        const long long step = most / SAMPLE | 1;  // odd, so that it does not keep to a few columns
        values_.clear(static_cast<std::size_t>(most / step) + 2);
        T* next = values_.begin();
        long long skip = 0;
        for (const Span* s = begin; s < end; ++s) {
            for (; skip < s->end - s->first; skip += step) {
                const long long i = s->first + skip;
                const T v = pixels.value(s->row, i);
                *next = v;
                next += *pixels.usable(s->row, i) && is_finite(v) && allowed_.holds(v);
            }
            skip -= s->end - s->first;
        }
        values_.end_at(next);
        core_ = near_ = nothing<T>();
        about_ = values_.size() ? values_.begin()[values_.size() / 2] : T(0);
        if (static_cast<long long>(values_.size()) < FEWEST) return;
        Range<T> range = allowed_;
        const Moments found = clip(range, about_, c, [&](const Range<T>& r) { return sums(values_, r, about_); });
        if (!(found.deviation > 0)) return;
        about_ = static_cast<T>(found.mean);
        core_ = clipped(found, allowed_, CORE * c.below, CORE * c.above);
        if (c.statistic != MEDIAN) return;
        T* const middle = values_.begin() + values_.size() / 2;
        std::nth_element(values_.begin(), middle, values_.end());
        near_ = clipped<T>({0, *middle, found.deviation}, allowed_, NEAR, NEAR);
    }

    double median(long long pixels)
    {
        const long long upper = pixels / 2, lower = (pixels - 1) / 2;
        long long below = gather_few(Range<T>(near_));
        if (lower < below || upper >= below + static_cast<long long>(rest_.size())) below = gather_few(range_);
        T* const at = rest_.begin() + (upper - below);
        std::nth_element(rest_.begin(), at, rest_.end());
        return lower == upper ? *at : 0.5 * (static_cast<double>(*at) + *std::max_element(rest_.begin(), at));
    }

    // Takes those of the values in the range that lie in another one as well, for the rest; how many lie below.
    long long gather_few(const Range<T>& few)
    {
        rest_.clear(values_.size() + 1);
        T* next = rest_.begin();
        long long below = 0;
        const Range<T> range = range_;
        for (const T v : values_) {
            const bool inside = range.holds(v);
            *next = v;
            next += inside & few.holds(v);
            below += inside & (v < few.low);
        }
        rest_.end_at(next);
        return below;
    }

    double by_histogram(double deviation, const Clipping& c) const
    {
        const Range<T> outside = extremes(rest_, range_);
        const Range<T> ends =
            outside.low < core_.low && outside.high > core_.high ? outside : extremes(values_, range_);
        const double length = static_cast<double>(ends.high) - ends.low, bin = c.bin * deviation;
        if (!(bin > 0 && bin <= length)) return 0.5 * (static_cast<double>(ends.low) + ends.high);
        // Values that were clipped above, and lie in the last bin still, count.
        const std::size_t bins = static_cast<std::size_t>(length / bin) + 1;
        const T width = static_cast<T>(length / static_cast<double>(bins - 1));
        const T per_value = T(1) / width;
        if (!is_finite(per_value)) return 0.5 * (static_cast<double>(ends.low) + ends.high);
        // Several of each, as neighbours are often of one bin, and one would wait for the other.
        constexpr std::size_t copies = 4;
        std::vector<std::uint32_t> copy(copies * (bins + 1));
        const int none = static_cast<int>(bins);
        const T least = ends.low, last = static_cast<T>(bins);
        const auto add = [&](const T* v, int n) {
            int bin[LANES];
            for (int k = 0; k < n; ++k) {
                const T place = (v[k] - least) * per_value;
                bin[k] = std::min(static_cast<int>(((v[k] >= least) & (place < last)) ? place : last), none);
            }
            for (int k = 0; k < n; ++k) ++copy[static_cast<std::size_t>(bin[k]) * copies + k % copies];
        };
        const T* v = values_.begin();
        for (; values_.end() - v >= LANES; v += LANES) add(v, LANES);
        add(v, static_cast<int>(values_.end() - v));
        std::vector<double> counts(bins);
        for (std::size_t k = 0; k < copies * bins; ++k) counts[k / copies] += copy[k];
        return ends.low + (c.statistic == MODE ? peak(counts) : half_way(counts)) * (c.as_imagestats ? bin : width);
    }

    // Where the histogram of the values has its peak, by a parabola through the highest bin and those beside it.
    static double peak(const std::vector<double>& counts)
    {
        const std::size_t k = static_cast<std::size_t>(std::max_element(counts.begin(), counts.end()) - counts.begin());
        if (counts.size() == 2 && counts[0] == counts[1]) return 1.0;
        if (k == 0 || k + 1 == counts.size()) return k + 0.5;
        const double before = counts[k] - counts[k - 1], after = counts[k] - counts[k + 1];
        return before + after == 0 ? k + 0.5 : k + 0.5 + 0.5 * (before - after) / (before + after);
    }

    // Where half of it lies below.
    static double half_way(const std::vector<double>& counts)
    {
        double all = 0, below = 0;
        for (const double n : counts) all += n;
        std::size_t k = 0;
        while (below + counts[k] < 0.5 * all) below += counts[k++];
        return k + (0.5 * all - below) / counts[k];
    }

    Values<T> values_, rest_;  // all; and those beside the core
    std::vector<T> line_;
    Range<T> allowed_{}, range_{}, core_{}, near_{};
    T about_{};
    Sums of_core_{};
};

template <class T>
void measure_as(const View& data, long long nx, const unsigned char* usable, const Span* spans,
                const std::int64_t* starts, int regions, const Clipping& clipping, Measured* found, int threads)
{
    const Pixels<T> pixels(data, usable, nx);
    over_threads(threads, regions, [&] {
        return [&, region = Region<T>()](int k) mutable {
            region.take(pixels, spans + starts[k], spans + starts[k + 1], clipping);
            found[k] = region.measured(clipping);
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

// Medians of many values, by counting how many begin with which bits.
#include "threshold.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "../stack.h"
#include "threads.h"

namespace gpures {

namespace {

// Parts that values are counted in, whatever the number of threads: sums are the same then.
constexpr int PARTS = 16;

constexpr int HALF = 16;  // bits
constexpr std::size_t BINS = std::size_t{1} << HALF;

struct Range {
    double low, high;

    bool holds(float v) const { return (v >= low) & (v <= high) & (v != 0.0f) & (v - v == 0.0f); }
};

struct Sums {
    double count, sum, squares;
};

class Values {
  public:
    Values(const float* values, long long n, int threads)
        : values_(values), n_(n), threads_(threads), counts_(PARTS * BINS), all_(BINS)
    {
    }

    // Sums of what those in a range differ from some number. The first halves of their bits are counted.
    Sums sums(const Range& range, double about)
    {
        Sums of_part[PARTS];
        count([&](int k, const float* begin, const float* end, std::uint32_t* bins) {
            Sums own = {0, 0, 0};
            for (const float* v = begin; v < end; ++v) {
                if (!range.holds(*v)) continue;
                const double d = *v - about;
                own = {own.count + 1, own.sum + d, own.squares + d * d};
                ++bins[ordered_bits<unsigned>(*v) >> HALF];
            }
            of_part[k] = own;
        });
        Sums all = {0, 0, 0};
        for (const Sums& own : of_part) all = {all.count + own.count, all.sum + own.sum, all.squares + own.squares};
        return all;
    }

    // The mean of the two values in the middle of so many, whose first halves have been counted.
    double median(const Range& range, long long of)
    {
        const std::vector<std::uint32_t> firsts = all_;
        const auto value = [&](long long rank) {
            std::uint32_t first = bin_of(firsts, rank);
            count([&](int, const float* begin, const float* end, std::uint32_t* bins) {
                for (const float* v = begin; v < end; ++v) {
                    const unsigned bits = ordered_bits<unsigned>(*v);
                    if (bits >> HALF == first && range.holds(*v)) ++bins[bits & (BINS - 1)];
                }
            });
            return number_of<float>(first << HALF | bin_of(all_, rank));
        };
        const double upper = value(of / 2);
        return of % 2 ? upper : 0.5 * (value(of / 2 - 1) + upper);
    }

  private:
    template <class Work>
    void count(const Work& work)
    {
        std::fill(counts_.begin(), counts_.end(), 0);
        over_threads(threads_, PARTS, [&] {
            return [&](int k) {
                work(k, values_ + n_ * k / PARTS, values_ + n_ * (k + 1) / PARTS,
                     counts_.data() + static_cast<std::size_t>(k) * BINS);
            };
        });
        std::fill(all_.begin(), all_.end(), 0);
        for (std::size_t k = 0; k < counts_.size(); ++k) all_[k % BINS] += counts_[k];
    }

    // The bin of a rank, which becomes that in the bin.
    static std::uint32_t bin_of(const std::vector<std::uint32_t>& counts, long long& rank)
    {
        std::size_t k = 0;
        while (rank >= counts[k]) rank -= counts[k++];
        return static_cast<std::uint32_t>(k);
    }

    const float* values_;
    long long n_;
    int threads_;
    std::vector<std::uint32_t> counts_, all_;
};

}  // namespace

double mean_in_middle(const float* values, long long n, double sigma, int rounds, int threads)
{
    Values all(values, n, threads);
    Range range = {-INFINITY, INFINITY};
    Sums sums = all.sums(range, 0.0);
    if (sums.count == 0) return NAN;
    const double about = sums.sum / sums.count;  // so that squares are small
    sums = all.sums(range, about);
    for (int round = 0; round < rounds; ++round) {
        const double offset = sums.sum / sums.count, variance = sums.squares / sums.count - offset * offset;
        const double reach = sigma * std::sqrt(std::max(variance, 0.0));
        const double median = all.median(range, static_cast<long long>(sums.count));
        range = {std::max(range.low, median - reach), std::min(range.high, median + reach)};
        const Sums kept = all.sums(range, about);
        if (kept.count == sums.count) break;
        if (kept.count == 0) return NAN;
        sums = kept;
    }
    return about + sums.sum / sums.count;
}

}  // namespace gpures

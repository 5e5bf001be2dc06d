#include "staging.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <type_traits>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace gpures {

namespace {

// Bytes that a thread copies at a time.
constexpr std::int64_t AT_ONCE = 256 << 10;

// How long a thread looks for the next copy before it sleeps: pieces of an exposure come one upon another.
constexpr std::chrono::microseconds AWAKE{50};

// Threads that wait for work. They are not started for each copy, as that takes longer than some copies do; and they
// are never ended, since they may be needed for as long as there is a process. One that was forked has none of them,
// and does the work alone.
class Crew {
  public:
    // Calls work(k) for each k < n, by at most so many threads, of which the caller's is one. One caller at a time.
    void share_out(std::int64_t n, int threads, const std::function<void(std::int64_t)>& work)
    {
        if (threads <= 1 || n <= 1) {
            for (std::int64_t k = 0; k < n; ++k) work(k);
            return;
        }
        const std::lock_guard<std::mutex> one_caller(callers_);
        hire(threads - 1);
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            work_ = &work;
            count_ = n;
            wanted_ = threads - 1;
            next_ = 0;
            ++number_;
        }
        begun_.notify_all();
        take(work, n);
        // Whoever has begun must have ended before `work` goes; who comes later finds nothing to do.
        std::unique_lock<std::mutex> lock(mutex_);
        wanted_ = 0;
        ended_.wait(lock, [this] { return at_work_ == 0; });
        work_ = nullptr;
    }

  private:
    void hire(int others)
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        try {
            for (; hired_ < others; ++hired_) std::thread([this, seen = number_.load()] { serve(seen); }).detach();
        } catch (const std::exception&) {  // those there are do the work
        }
    }

    void take(const std::function<void(std::int64_t)>& work, std::int64_t n)
    {
        for (std::int64_t k = next_++; k < n; k = next_++) work(k);
    }

    void serve(std::uint64_t seen)
    {
        for (;;) {
            const auto until = std::chrono::steady_clock::now() + AWAKE;
            while (number_ == seen && std::chrono::steady_clock::now() < until) std::this_thread::yield();
            std::unique_lock<std::mutex> lock(mutex_);
            begun_.wait(lock, [this, seen] { return number_ != seen; });
            seen = number_;
            if (wanted_ == 0) continue;
            --wanted_;
            ++at_work_;
            const auto* const work = work_;
            const std::int64_t n = count_;
            lock.unlock();
            take(*work, n);
            lock.lock();
            if (--at_work_ == 0) ended_.notify_one();
        }
    }

    std::mutex callers_, mutex_;
    std::condition_variable begun_, ended_;
    const std::function<void(std::int64_t)>* work_ = nullptr;
    std::int64_t count_ = 0;
    std::atomic<std::int64_t> next_{0};
    std::atomic<std::uint64_t> number_{0};
    int hired_ = 0, wanted_ = 0, at_work_ = 0;
};

Crew& crew()
{
    static Crew* const one = new Crew;
    return *one;
}

// Copies what is not read again so soon that a cache would help: past it, where the processor can.
void copy_bytes(const char* from, char* to, std::int64_t n)
{
#if defined(__SSE2__)
    const std::int64_t before = std::min<std::int64_t>(n, -reinterpret_cast<std::intptr_t>(to) & 15);
    std::memcpy(to, from, static_cast<std::size_t>(before));
    std::int64_t k = before;
    for (; k + 64 <= n; k += 64) {
        const auto* const source = reinterpret_cast<const __m128i*>(from + k);
        const __m128i a = _mm_loadu_si128(source), b = _mm_loadu_si128(source + 1);
        const __m128i c = _mm_loadu_si128(source + 2), d = _mm_loadu_si128(source + 3);
        auto* const there = reinterpret_cast<__m128i*>(to + k);
        _mm_stream_si128(there, a);
        _mm_stream_si128(there + 1, b);
        _mm_stream_si128(there + 2, c);
        _mm_stream_si128(there + 3, d);
    }
    std::memcpy(to + k, from + k, static_cast<std::size_t>(n - k));
    _mm_sfence();
#else
    std::memcpy(to, from, static_cast<std::size_t>(n));
#endif
}

template <class T>
void copy_elements(const char* from, std::ptrdiff_t stride, std::int64_t n, char* to)
{
    for (std::int64_t i = 0; i < n; ++i) std::memcpy(to + i * sizeof(T), from + i * stride, sizeof(T));
}

void copy_row(const char* from, const MemoryCopy& c, char* to)
{
    if (c.column_stride == c.item || c.columns == 1) return copy_bytes(from, to, c.columns * c.item);
    switch (c.item) {
        case 1:
            return copy_elements<std::uint8_t>(from, c.column_stride, c.columns, to);
        case 2:
            return copy_elements<std::uint16_t>(from, c.column_stride, c.columns, to);
        case 4:
            return copy_elements<std::uint32_t>(from, c.column_stride, c.columns, to);
        case 8:
            return copy_elements<std::uint64_t>(from, c.column_stride, c.columns, to);
        default:
            for (std::int64_t i = 0; i < c.columns; ++i)
                std::memcpy(to + i * c.item, from + i * c.column_stride, c.item);
    }
}

// Flags are looked at so many at a time: first each becomes a byte, and then each eight of these become bits.
constexpr std::int64_t FLAGS_AT_ONCE = 512;

// `step`: bytes from a flag to the next, which the compiler knows of those side by side.
template <class T, class Step>
void bits_of_row(const char* from, Step step, std::int64_t n, T bad, unsigned char* to)
{
    unsigned char is_bad[FLAGS_AT_ONCE];
    for (std::int64_t first = 0; first < n; first += FLAGS_AT_ONCE) {
        const std::int64_t count = std::min(n - first, FLAGS_AT_ONCE), bytes = (count + 7) / 8;
        for (std::int64_t i = 0; i < count; ++i) {
            T flag;
            std::memcpy(&flag, from + (first + i) * step, sizeof flag);
            is_bad[i] = (flag & bad) != 0;
        }
        for (std::int64_t i = count; i < 8 * bytes; ++i) is_bad[i] = 0;
        for (std::int64_t k = 0; k < bytes; ++k) {
            unsigned bits = 0;
            for (int b = 0; b < 8; ++b) bits |= static_cast<unsigned>(is_bad[8 * k + b]) << b;
            *to++ = static_cast<unsigned char>(bits);
        }
    }
}

template <class T>
void bits_of_flags(const char* from, const MemoryCopy& c, unsigned char* to)
{
    const T bad = static_cast<T>(c.bad);
    if (c.column_stride == sizeof(T)) {
        bits_of_row(from, std::integral_constant<std::ptrdiff_t, sizeof(T)>{}, c.columns, bad, to);
    } else {
        bits_of_row(from, c.column_stride, c.columns, bad, to);
    }
}

void make_row(const MemoryCopy& c, std::int64_t j)
{
    const char* const from = c.from + j * c.row_stride;
    char* const to = c.to + j * c.to_stride;
    if (!c.as_bits) return copy_row(from, c, to);
    auto* const bits = reinterpret_cast<unsigned char*>(to);
    switch (c.item) {
        case 1:
            return bits_of_flags<std::uint8_t>(from, c, bits);
        case 2:
            return bits_of_flags<std::uint16_t>(from, c, bits);
        case 4:
            return bits_of_flags<std::uint32_t>(from, c, bits);
        default:
            return bits_of_flags<std::uint64_t>(from, c, bits);
    }
}

// Rows that follow upon one another on both sides are one; and a long one, as bytes, is many.
MemoryCopy simplified(MemoryCopy c)
{
    const std::int64_t width = c.columns * c.item;
    const bool is_dense = !c.as_bits && (c.column_stride == c.item || c.columns == 1);
    if (is_dense && (c.rows == 1 || (c.row_stride == width && c.to_stride == width))) {
        const std::int64_t bytes = c.rows * width, length = std::min(bytes, AT_ONCE), rows = bytes / length;
        return {c.from, rows, length, length, 1, 1, c.to, length, false, 0};
    }
    return c;
}

}  // namespace

void copy_all(const std::vector<MemoryCopy>& copies, int threads)
{
    struct Part {
        MemoryCopy copy;
        std::int64_t first, last;
    };
    std::vector<Part> parts;
    const auto add = [&](const MemoryCopy& c) {
        const std::int64_t at_once = std::max<std::int64_t>(1, AT_ONCE / std::max<std::int64_t>(1, c.columns * c.item));
        for (std::int64_t j = 0; j < c.rows; j += at_once) parts.push_back({c, j, std::min(c.rows, j + at_once)});
    };
    for (const MemoryCopy& each : copies) {
        if (each.rows < 1 || each.columns < 1 || each.item < 1) continue;
        const MemoryCopy c = simplified(each);
        add(c);
        // Bytes behind the last of equal lengths.
        const std::int64_t done = c.rows * c.columns * c.item, all = each.rows * each.columns * each.item;
        if (const std::int64_t left = all - done; left > 0)
            add({c.from + done, 1, left, left, 1, 1, c.to + done, left, false, 0});
    }
    crew().share_out(static_cast<std::int64_t>(parts.size()), threads, [&](std::int64_t k) {
        for (std::int64_t j = parts[k].first; j < parts[k].last; ++j) make_row(parts[k].copy, j);
    });
}

}  // namespace gpures

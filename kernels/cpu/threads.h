// Work shared out to threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace gpures {

// Calls make()(k) for each k < n, over the threads: each makes what it needs for itself once. What a thread throws is
// thrown again here, when all have ended.
template <class Make>
void over_threads(int threads, int n, const Make& make)
{
    std::atomic<int> next{0};
    std::exception_ptr thrown;
    std::mutex of_thrown;
    const auto run = [&] {
        try {
            auto work = make();
            for (int k = next++; k < n; k = next++) work(k);
        } catch (...) {
            next = n;
            const std::lock_guard<std::mutex> lock(of_thrown);
            thrown = std::current_exception();
        }
    };
    std::vector<std::thread> others;
    try {
        for (int t = 1; t < std::min(threads, n); ++t) others.emplace_back(run);
    } catch (const std::system_error&) {
        // The system gives no more threads: those there are do the work.
    }
    run();
    for (auto& other : others) other.join();
    if (thrown) std::rethrow_exception(thrown);
}

}  // namespace gpures

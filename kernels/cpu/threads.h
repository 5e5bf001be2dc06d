// Work shared out to threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

namespace gpures {

// Calls make()(k) for each k < n, over the threads. What a thread has for itself it is made with, before any of them
// begins: where there is memory for none, that throws and nothing has been done, and where the system gives less memory
// or fewer threads than asked for, those there are do the work. What work throws is thrown again here, when all have
// ended.
template <class Make>
void over_threads(int threads, int n, const Make& make)
{
    if (n <= 0) return;
    const std::size_t most = static_cast<std::size_t>(std::max(1, std::min(threads, n)));
    std::vector<decltype(make())> workers;
    std::vector<std::thread> others;
    workers.reserve(most);
    others.reserve(most - 1);
    workers.push_back(make());
    try {
        while (workers.size() < most) workers.push_back(make());
    } catch (const std::bad_alloc&) {
    }

    std::atomic<int> next{0};
    std::exception_ptr thrown;
    std::mutex of_thrown;
    const auto run = [&](auto& work) {
        try {
            for (int k = next++; k < n; k = next++) work(k);
        } catch (...) {
            next = n;
            const std::lock_guard<std::mutex> lock(of_thrown);
            thrown = std::current_exception();
        }
    };
    try {
        for (std::size_t t = 1; t < workers.size(); ++t) others.emplace_back([&run, &workers, t] { run(workers[t]); });
    } catch (const std::exception&) {
    }
    run(workers[0]);
    for (auto& other : others) other.join();
    if (thrown) std::rethrow_exception(thrown);
}

}  // namespace gpures

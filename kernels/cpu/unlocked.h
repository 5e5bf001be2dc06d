// The GIL, released while threads work, and taken again: unless Python goes down meanwhile, when nobody may take it.
#pragma once

#include <nanobind/nanobind.h>
#ifndef _WIN32
#include <pthread.h>
#endif

#include <atomic>
#include <chrono>
#include <optional>
#include <thread>

namespace gpures {

// Python ends a daemon thread that asks for the GIL after its end by unwinding its stack, which C++ answers with
// std::terminate. So Python's exit waits for those that are here, for a minute at most, and from then on those that
// come stay here until the process is gone.
class Unlocked {
  public:
    Unlocked()
    {
        ++inside();
        if (closing() && std::this_thread::get_id() != last()) {
            --inside();
            nanobind::gil_scoped_release release;
            for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
        }
        state_.emplace();
    }
    ~Unlocked()
    {
        state_.reset();
        --inside();
    }
    Unlocked(const Unlocked&) = delete;
    Unlocked& operator=(const Unlocked&) = delete;

    // To be called once, when the module is made.
    static void wait_at_exit()
    {
        namespace nb = nanobind;
        nb::module_::import_("atexit").attr("register")(nb::cpp_function([] {
            last() = std::this_thread::get_id();
            closing() = true;
            nb::gil_scoped_release release;
            for (int k = 0; inside() && k < 60000; ++k) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }));
#ifndef _WIN32
        pthread_atfork(nullptr, nullptr, [] { inside() = 0; });  // threads do not go along
#endif
    }

  private:
    std::optional<nanobind::gil_scoped_release> state_;

    static std::atomic<int>& inside()
    {
        static std::atomic<int> count{0};
        return count;
    }
    static std::atomic<bool>& closing()
    {
        static std::atomic<bool> value{false};
        return value;
    }
    static std::thread::id& last()
    {
        static std::thread::id id;
        return id;
    }
};

}  // namespace gpures

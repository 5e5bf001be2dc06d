// Enough of CUDA to run a kernel on the host: one block after another, its threads as coroutines that take turns at
// barriers, the last one first, or in an order that is drawn. Included before a .cu file; used by cuda_on_host.py.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)

// What Python calls.
#define SHOWN __attribute__((visibility("default")))

namespace cuda_on_host {

struct Dim {
    unsigned x = 1, y = 1, z = 1;
};

inline Dim grid_dim, block_dim, block_index, thread_index;

constexpr std::size_t STACK = 64 * 1024;

// A coroutine, which runs one thread after another, of one block after another.
struct Thread {
    std::vector<char> stack = std::vector<char>(STACK);
    jmp_buf place;
    bool begun = false;
    Dim index;
    bool ended = false;
};

inline jmp_buf scheduler;
inline std::vector<Thread> threads;
inline Thread* current = nullptr;
inline void (*kernel_of_thread)(void* arguments);
inline void* arguments_of_thread;

// Draws orders (splitmix64); where none are drawn the last one comes first. Nothing may depend on the order but
// roundings.
inline bool draws = false;
inline std::uint64_t state;

inline std::uint64_t drawn()
{
    std::uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

inline std::vector<std::size_t> turns(std::size_t count)
{
    std::vector<std::size_t> order(count);
    for (std::size_t k = 0; k < count; ++k) order[k] = count - 1 - k;
    for (std::size_t k = count; draws && k > 1; --k) std::swap(order[k - 1], order[drawn() % k]);
    return order;
}

// By jumps, as a switch by <ucontext.h>, but for the first one onto a stack, asks the system for its signals each time.
inline void barrier()
{
    if (!_setjmp(current->place)) _longjmp(scheduler, 1);
}

inline void run_threads()
{
    for (;;) {
        kernel_of_thread(arguments_of_thread);
        current->ended = true;
        barrier();
    }
}

// Runs a thread to its next barrier or its end.
__attribute__((noinline)) inline void resume(Thread& t)
{
    current = &t;
    thread_index = t.index;
    if (_setjmp(scheduler)) return;
    if (t.begun) _longjmp(t.place, 1);
    t.begun = true;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = t.stack.data();
    context.uc_stack.ss_size = STACK;
    makecontext(&context, run_threads, 0);
    setcontext(&context);
}

// Runs one block; false if some threads wait at a barrier that others never reach, which hangs a GPU.
inline bool run_block()
{
    const std::size_t count = static_cast<std::size_t>(block_dim.x) * block_dim.y * block_dim.z;
    if (threads.size() < count) threads = std::vector<Thread>(count);
    for (std::size_t k = 0; k < count; ++k) {
        Thread& t = threads[k];
        t.index = {static_cast<unsigned>(k % block_dim.x), static_cast<unsigned>(k / block_dim.x % block_dim.y),
                   static_cast<unsigned>(k / block_dim.x / block_dim.y)};
        t.ended = false;
    }
    for (std::size_t ended = 0; ended < count;) {
        std::size_t ended_now = 0;
        for (std::size_t k : turns(count)) {
            if (!threads[k].ended) resume(threads[k]);
            ended_now += threads[k].ended;
        }
        if (ended_now != ended && ended_now != count) {
            threads.clear();  // which are still there
            return false;
        }
        ended = ended_now;
    }
    return true;
}

template <class... A, std::size_t... I>
const char* launch(void (*kernel)(A...), const unsigned* grid, const unsigned* block, void** arguments,
                   std::index_sequence<I...>)
{
    grid_dim = {grid[0], grid[1], grid[2]};
    block_dim = {block[0], block[1], block[2]};
    struct Call {
        void (*kernel)(A...);
        void** arguments;
    } call = {kernel, arguments};
    kernel_of_thread = [](void* given) {
        const Call& c = *static_cast<Call*>(given);
        c.kernel(*static_cast<std::remove_const_t<A>*>(c.arguments[I])...);
    };
    arguments_of_thread = &call;
    const std::size_t count = static_cast<std::size_t>(grid_dim.x) * grid_dim.y * grid_dim.z;
    for (std::size_t k : turns(count)) {
        block_index = {static_cast<unsigned>(k % grid_dim.x), static_cast<unsigned>(k / grid_dim.x % grid_dim.y),
                       static_cast<unsigned>(k / grid_dim.x / grid_dim.y)};
        if (!run_block()) return "some threads of a block wait at a barrier that the others have passed by";
    }
    return nullptr;
}

template <class... A>
const char* launch(void (*kernel)(A...), const unsigned* grid, const unsigned* block, void** arguments)
{
    return launch(kernel, grid, block, arguments, std::index_sequence_for<A...>{});
}

}  // namespace cuda_on_host

// Has orders drawn from now on.
extern "C" SHOWN __attribute__((used)) void draw_orders(unsigned long long seed)
{
    cuda_on_host::draws = true;
    cuda_on_host::state = seed;
}

#define gridDim cuda_on_host::grid_dim
#define blockDim cuda_on_host::block_dim
#define blockIdx cuda_on_host::block_index
#define threadIdx cuda_on_host::thread_index
#define __syncthreads() cuda_on_host::barrier()

using std::max;
using std::min;

inline long long __double2ll_rn(double value) { return std::llrint(value); }
inline int __double2int_rn(double value)
{
    // The nearest there is; of NaN the least.
    const double least = -2147483648.0, most = 2147483647.0;
    return static_cast<int>(std::nearbyint(value >= least ? std::min(value, most) : least));
}
inline int __clz(int value) { return value ? __builtin_clz(static_cast<unsigned>(value)) : 32; }

template <class T, class F>
T changed(T* address, const F& change)
{
    const T before = *address;
    *address = change(before);
    return before;
}

template <class T, class U>
T atomicAdd(T* address, U value)
{
    return changed(address, [=](T before) { return before + value; });
}

template <class T, class U>
T atomicOr(T* address, U value)
{
    return changed(address, [=](T before) { return before | value; });
}

template <class T>
T atomicMin(T* address, T value)
{
    return changed(address, [=](T before) { return min(before, value); });
}

template <class T>
T atomicMax(T* address, T value)
{
    return changed(address, [=](T before) { return max(before, value); });
}

template <class T>
T atomicExch(T* address, T value)
{
    return changed(address, [=](T) { return value; });
}

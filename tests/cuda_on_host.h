// Enough of CUDA to run a kernel on the host: one block after another, its threads as coroutines that take turns at
// barriers, the last one first, or in an order that is drawn. Included before a .cu file; used by cuda_on_host.py.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <string>
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

struct Thread {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(STACK);
    Dim index;
    bool ended = false;
};

inline ucontext_t scheduler;
inline std::vector<Thread> threads;
inline Thread* current = nullptr;
inline std::function<void()> kernel_of_thread;

// Draws orders; null where the last one comes first. Nothing may depend on the order but roundings.
inline std::unique_ptr<std::mt19937_64> drawing;

inline std::vector<std::size_t> turns(std::size_t count)
{
    std::vector<std::size_t> order(count);
    std::iota(order.rbegin(), order.rend(), std::size_t{0});
    if (drawing) std::shuffle(order.begin(), order.end(), *drawing);
    return order;
}

inline void run_thread()
{
    kernel_of_thread();
    current->ended = true;
    swapcontext(&current->context, &scheduler);
}

inline void barrier() { swapcontext(&current->context, &scheduler); }

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
        getcontext(&t.context);
        t.context.uc_stack.ss_sp = t.stack.data();
        t.context.uc_stack.ss_size = STACK;
        makecontext(&t.context, run_thread, 0);
    }
    for (std::size_t ended = 0; ended < count;) {
        std::size_t ended_now = 0;
        for (std::size_t k : turns(count)) {
            current = &threads[k];
            if (!current->ended) {
                thread_index = current->index;
                swapcontext(&scheduler, &current->context);
            }
            ended_now += current->ended;
        }
        if (ended_now != ended && ended_now != count) return false;
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
    kernel_of_thread = [&] { kernel(*static_cast<std::remove_const_t<A>*>(arguments[I])...); };
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
    cuda_on_host::drawing = std::make_unique<std::mt19937_64>(seed);
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

// A PTX interpreter: runs what CUDA's compiler generates, on a CPU, a warp at a time. See interpreter.py.
//
// The lanes of a warp run together until a branch parts them, and meet again where they must. Each access is looked at:
// whether it is aligned and inside its array, and what other threads do to the same word. Within a warp lanes see each
// other's writes in order, which is more than a GPU promises; and threads of a block that meet at a barrier may not,
// here, hand each other anything in global memory.
#include "assembler.h"
#include "scheduler.h"

namespace {

typedef std::map<std::string, std::unique_ptr<ptx::Kernel>> Module;

std::string message;

void run(const ptx::Kernel& kernel, const ptx::u32* grid, const ptx::u32* block, void* const* arguments,
         const ptx::u64* memory, long ranges, ptx::u64 seed)
{
    ptx::Launch g = {kernel, {grid[0], grid[1], grid[2]}, {block[0], block[1], block[2]}, {}, {}, {}, {}};
    const ptx::u64 threads = static_cast<ptx::u64>(block[0]) * block[1] * block[2];
    if (threads > static_cast<ptx::u64>(kernel.most_threads))
        throw ptx::Error("more threads in a block than its bounds allow");
    g.parameters.assign(kernel.parameter_bytes, 0xab);
    for (std::size_t n = 0; n < kernel.parameters.size(); ++n) {
        std::memcpy(g.parameters.data() + kernel.parameters[n].offset, arguments[n], kernel.parameters[n].size);
    }
    for (long n = 0; n < ranges; ++n) g.memory.push_back({memory[2 * n], memory[2 * n + 1]});
    g.touched.resize(g.memory.size());
    g.random.seed(seed);
    ptx::run(g);
}

}  // namespace

extern "C" {

// Why the last call that failed did.
const char* ptx_message() { return message.c_str(); }

// The kernels of a text, or null.
void* ptx_load(const char* source)
{
    try {
        const auto functions = ptx::functions_of(source);
        auto module = std::make_unique<Module>();
        for (const auto& [name, function] : functions) {
            if (function.is_entry) (*module)[name] = ptx::Assembler(functions, name).kernel();
        }
        return module.release();
    } catch (const std::exception& error) {
        message = error.what();
        return nullptr;
    }
}

void ptx_free(void* module) { delete static_cast<Module*>(module); }

// The kernel of a name, or null.
void* ptx_kernel(void* module, const char* name)
{
    const auto at = static_cast<Module*>(module)->find(name);
    return at == static_cast<Module*>(module)->end() ? nullptr : at->second.get();
}

// Bytes of its n-th parameter; -1 beyond the last.
int ptx_parameter(void* kernel, int n)
{
    const auto& all = static_cast<ptx::Kernel*>(kernel)->parameters;
    return n < static_cast<int>(all.size()) ? all[n].size : -1;
}

// Runs a grid; whether nothing was wrong. `memory`: where each array begins and ends, in order.
int ptx_launch(void* kernel, const ptx::u32* grid, const ptx::u32* block, void* const* arguments,
               const ptx::u64* memory, long ranges, ptx::u64 seed)
{
    try {
        run(*static_cast<ptx::Kernel*>(kernel), grid, block, arguments, memory, ranges, seed);
        return 1;
    } catch (const std::exception& error) {
        message = static_cast<ptx::Kernel*>(kernel)->name + ": " + error.what();
        return 0;
    }
}

// The text of its n-th instruction, and what was counted of it in all launches; null beyond the last.
const char* ptx_instruction(void* kernel, int n, ptx::u64* counts)
{
    const auto& code = static_cast<ptx::Kernel*>(kernel)->code;
    if (n >= static_cast<int>(code.size())) return nullptr;
    const ptx::Counts& c = code[n].counts;
    const ptx::u64 all[] = {c.warps, c.threads, c.sectors, c.words, c.busiest};
    std::copy(all, all + 5, counts);
    return code[n].text.c_str();
}

}  // extern "C"

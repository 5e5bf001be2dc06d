#include "shared_pages.h"

#ifdef __linux__
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>
#endif

namespace gpures {

#if defined(__linux__) && defined(SYS_memfd_create)

namespace {

// Less memory than this is filled as fast.
constexpr std::size_t LEAST_BYTES = std::size_t{4} << 20;

// The pages are a piece of memory so many times: each time is a mapping of its own, of which a process has some 65,000.
constexpr std::size_t PIECES = 64;

// A file without a name or a place on a disk, which goes with the last page that shows it.
class Piece {
  public:
    explicit Piece(std::size_t bytes)
        : bytes_(bytes), file_(static_cast<int>(syscall(SYS_memfd_create, "gpures", 1u /* MFD_CLOEXEC */)))
    {
    }

    ~Piece()
    {
        if (file_ >= 0) close(file_);
    }

    Piece(const Piece&) = delete;
    Piece& operator=(const Piece&) = delete;

    // By write(), which says so where there is no memory.
    bool fill(const void* number, std::size_t size)
    {
        if (file_ < 0) return false;
        std::vector<char> some(std::min(bytes_, std::size_t{1} << 16));
        for (std::size_t k = 0; k + size <= some.size(); k += size) std::memcpy(&some[k], number, size);
        for (std::size_t done = 0; done < bytes_;) {
            const ssize_t more = write(file_, some.data(), std::min(some.size(), bytes_ - done));
            if (more <= 0 || more % static_cast<ssize_t>(size) != 0) return false;
            done += static_cast<std::size_t>(more);
        }
        return true;
    }

    // Puts it, or its beginning, in the place of pages; says whether they are as they were.
    bool put(char* at, std::size_t bytes) const
    {
        if (mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, file_, 0) != MAP_FAILED) {
            return true;
        }
        // It may have taken the pages away before it failed.
        if (mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) ==
            MAP_FAILED) {
            throw std::bad_alloc();
        }
        return false;
    }

  private:
    std::size_t bytes_;
    int file_;
};

}  // namespace

SharedPages share_pages(char* from, char* to, const void* number, std::size_t bytes)
{
    const SharedPages none = {from, from};
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const auto before = [&](char* p) { return reinterpret_cast<std::uintptr_t>(p) % page; };
    if (to - from < static_cast<std::ptrdiff_t>(LEAST_BYTES) || before(from) % bytes != 0) return none;
    char* const first = from + (page - before(from)) % page;
    char* const end = to - before(to);
    const std::size_t pages = static_cast<std::size_t>(end - first) / page;
    const std::size_t size = (pages + PIECES - 1) / PIECES * page;
    Piece piece(size);
    if (!piece.fill(number, bytes)) return none;
    char* at = first;
    while (at < end) {
        const std::size_t length = std::min(size, static_cast<std::size_t>(end - at));
        if (!piece.put(at, length)) break;
        at += length;
    }
    return {first, at};
}

#else

SharedPages share_pages(char* from, char*, const void*, std::size_t) { return {from, from}; }

#endif

}  // namespace gpures

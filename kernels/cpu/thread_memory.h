// Memory that a thread has for itself while it works on blocks or tiles.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>

#include "walk.h"

namespace gpures {

// A cache line.
struct CacheLine {
    alignas(64) char bytes[64];
};

// A thread's memory, in one piece: a workspace, and behind it zeros. The thread itself writes to it first, and so has
// the pages near by.
class OwnMemory {
  public:
    explicit OwnMemory(const Walk& walk, std::size_t zeros = 0)
        : walk_(&walk),
          behind_(lines(walk.workspace_bytes)),
          zeros_(zeros),
          line_(new CacheLine[behind_ + lines(zeros)])
    {
    }

    void* workspace()
    {
        if (!is_prepared_) {
            walk_->prepare(line_.get());
            std::memset(zeros(), 0, zeros_);
            is_prepared_ = true;
        }
        return line_.get();
    }

    char* zeros() const { return line_[behind_].bytes; }

    // Bytes that so many of a type take, up to where others may begin.
    template <class T>
    static std::size_t bytes_of(std::size_t count)
    {
        return lines(count * sizeof(T)) * sizeof(CacheLine);
    }

  private:
    static std::size_t lines(std::size_t bytes) { return (bytes + sizeof(CacheLine) - 1) / sizeof(CacheLine); }

    const Walk* walk_;
    std::size_t behind_, zeros_;
    std::unique_ptr<CacheLine[]> line_;
    bool is_prepared_ = false;
};

}  // namespace gpures

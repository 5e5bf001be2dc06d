// Pages of memory that show one number over and over, and are there once for many of them.
#pragma once

#include <cstddef>

namespace gpures {

// Has the whole pages between two addresses show a number of so many bytes, 4 or 8, over and over, in memory that they
// share; whoever writes to one has it for himself from then on. Returns what has become of it: from `first` to before
// `end`; the rest is as it was, and all of it may be, as where the system offers no such thing, or the memory is too
// little to be worth it.
//
// What the pages held is gone. They must be private ones that the system was asked for, of no file and no allocator.
struct SharedPages {
    char *first, *end;
};

SharedPages share_pages(char* from, char* to, const void* number, std::size_t bytes);

}  // namespace gpures

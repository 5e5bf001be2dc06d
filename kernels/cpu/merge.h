// Two mosaics -> one.
#pragma once

namespace gpures {

struct Merge;

// Merges the other into the window of one; its rows over threads.
void merge(const Merge& m, int threads);

}  // namespace gpures

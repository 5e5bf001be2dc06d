// Medians of a stack of images.
#pragma once

namespace gpures {

struct Clipped;
struct Stack;

// Fills the part of the frame that is wanted.
void median(const Stack& stack, int threads);

// The mean of what lies near the median that was made of the same images.
void clipped_mean(const Stack& stack, const Clipped& clipped, int threads);

}  // namespace gpures

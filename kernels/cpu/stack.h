// Medians of a stack of images.
#pragma once

namespace gpures {

struct Stack;

// Fills the part of the frame that is wanted.
void median(const Stack& stack, int threads);

}  // namespace gpures

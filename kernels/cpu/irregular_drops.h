// Which pixels have another square drop than the plain bilinear one, for those who have no kernel of their own.
#pragma once

#include <vector>

#include "../exposure.h"

namespace gpures {

struct IrregularDrops {
    std::vector<int> flat;        // pixels (x, y) whose drops have no area
    std::vector<int> pixels;      // those that have not all their neighbours beside them in the output, or one of these
    std::vector<double> corners;  // of their drops, (x, y), in the order of a Quad
    bool at_edges_alone;          // of the image, where its outermost cell is continued
};

IrregularDrops irregular_drops(const Exposure& exposure);

}  // namespace gpures

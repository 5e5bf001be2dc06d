// What the fold works out for a row of a tile's output pixels before it goes from plane to plane.
#pragma once

#include "simd.h"
// (simd.h first: the templates of fold.h must see what it adds to the number types)
#include "../fold.h"
#include "walk.h"

GPURES_BEGIN

// A row of a tile's output pixels on its way into the mosaic, plane by plane: so each step is short, and many pixels
// are in work at once.
class FoldedRow {
  public:
    void keep(const Common<Vector>& c, int k)
    {
        const Vector each[] = {c.added, c.per_added, c.per_total, c.old_share, c.t};
        for (int q = 0; q < 5; ++q) store(each[q], common_[q] + k);
    }

    Common<Vector> common(int k) const
    {
        return {load(common_[0] + k), load(common_[1] + k), load(common_[2] + k), load(common_[3] + k),
                load(common_[4] + k)};
    }

    void keep(const VarianceShares<Vector>& s, int k)
    {
        const Vector each[] = {s.before, s.total, s.old, s.added};
        for (int q = 0; q < 4; ++q) store(each[q], shares_[q] + k);
    }

    VarianceShares<Vector> shares(int k) const
    {
        return {load(shares_[0] + k), load(shares_[1] + k), load(shares_[2] + k), load(shares_[3] + k)};
    }

  private:
    static constexpr int STRIDE = TILE_WIDTH + 8;  // not all in the same lines of a cache

    alignas(64) double common_[5][STRIDE], shares_[4][STRIDE];
};

GPURES_END

// An exposure whose image is turned by quarters, or mirrored, so that its rows run along those of the output.
#pragma once

#include <vector>

#include "../exposure.h"
#include "tiles.h"

namespace gpures {

// The same exposure, of which other pixels are called first: no pixel is copied, only the little that a spline or a
// formula is made of. (Not for one whose pixel map is given pixel by pixel.)
class TurnedExposure {
  public:
    TurnedExposure(const Exposure& e, const Pairs* pairs, Turn turn);
    TurnedExposure(const TurnedExposure&) = delete;
    TurnedExposure& operator=(const TurnedExposure&) = delete;

    const Exposure& exposure() const { return exposure_; }
    const Pairs* pairs() const { return has_pairs_ ? &pairs_ : nullptr; }

  private:
    // An axis of a spline: which coefficient is the first for each pixel, and its factors.
    struct Axis {
        std::vector<int> first;
        std::vector<double> factors;

        Axis() = default;
        Axis(const int* first_of, const double* factors_of, long long n, bool mirrored);
    };

    void turn_spline(const Pixmap& before, Pixmap& m);
    void turn_formula(const Pixmap& before, Pixmap& m);

    View turned(View v) const;

    const Turn turn_;
    Axis rows_, columns_;  // as they are turned
    std::vector<double> coefficients_x_, coefficients_y_, formula_;
    Exposure exposure_;
    bool has_pairs_;
    Pairs pairs_;
};

}  // namespace gpures

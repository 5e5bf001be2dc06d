// How contributions get into the sums of a window.
//
// ADDED: as numbers of the splat's (see cells.h), in whatever order they come, on which the last bits depend.
//
// So that nothing does, an exposure is gone over twice. MEASURED finds how many contributions each output pixel gets,
// and the exponent of the largest one to each of its sums. COUNTED then adds whole numbers of 64 bits, whose sum is the
// same in any order: a sum's unit is such that n contributions, none larger than the largest, stay below 2^62. There is
// no range that it could leave, whatever is in the exposure, and what a pixel gets does not depend on others. Each
// contribution is rounded to half a unit, all n of them to less than n^2 2^-61 of the largest one. Infinities and NaN
// are noted beside the sums.
#pragma once

#include "cells.h"
#include "exposure.h"
#include "single.h"

namespace gpures {

enum Summing { ADDED, MEASURED, COUNTED };

// Bits of a mark: above an exponent; both of them for NaN.
constexpr unsigned PLUS_INFINITY = 1u << 12, MINUS_INFINITY = 1u << 13, LARGEST_EXPONENT = 0x7fe;

// Exponents below count as this one, or a unit could not be told: contributions below 1e-289 have the units of that.
constexpr unsigned SMALLEST_EXPONENT = 62;

__device__ inline double power_of_two(int exponent) { return same_bits<double>((1023ull + exponent) << 52); }

// An output pixel of a window: its sums, and behind all sums its marks: the number of contributions, and for each sum
// the exponent of the largest, as its bits have it.
struct SumsThere {
    Real* sums;
    unsigned* marks;
    long long stride;

    __device__ SumsThere(const Window& w, int planes, long long at)
        : sums(reinterpret_cast<Real*>(w.sums) + at),
          marks(reinterpret_cast<unsigned*>(w.sums + (planes + 1) * w.stride) + at),
          stride(w.stride)
    {
    }

    __device__ Real* sum(int k) const { return sums + k * stride; }
    __device__ long long* counted(int k) const { return reinterpret_cast<long long*>(sum(k)); }
    __device__ unsigned* mark(int k) const { return marks + (k + 1) * stride; }

    // How many units of a sum are 1, as a power of 2.
    __device__ int units(int k) const
    {
        const unsigned largest = *mark(k) < SMALLEST_EXPONENT ? SMALLEST_EXPONENT : *mark(k);
        // The largest one is less than 2^(largest - 1022).
        return 62 - (32 - __clz(static_cast<int>(*marks - 1u))) - (static_cast<int>(largest) - 1022);
    }
};

// Contributions to one sum of an output pixel, on their way there; or a single one.
template <Summing SUMMING>
struct Contributions;

template <>
struct Contributions<ADDED> {
    Real sum = 0;

    __device__ void begin(const SumsThere&, int) {}
    __device__ void take(Real x) { sum += x; }
    __device__ void give(const SumsThere& there, int k) const { atomicAdd(there.sum(k), sum); }

    __device__ static void give(const SumsThere& there, int k, Real x) { atomicAdd(there.sum(k), x); }
    __device__ static void note_count(const SumsThere&, unsigned) {}
};

template <>
struct Contributions<MEASURED> {
    unsigned mark = 0;

    __device__ void begin(const SumsThere&, int) {}
    __device__ void take(double x)
    {
        const unsigned exponent = static_cast<unsigned>(same_bits<unsigned long long>(x) >> 52) & 0x7ff;
        if (exponent <= LARGEST_EXPONENT) {
            mark = exponent > mark ? exponent : mark;  // beside bits that are set it does not matter
        } else {
            mark |= x != x ? PLUS_INFINITY | MINUS_INFINITY : is_negative(x) ? MINUS_INFINITY : PLUS_INFINITY;
        }
    }
    __device__ void give(const SumsThere& there, int k) const
    {
        const unsigned bits = mark & (PLUS_INFINITY | MINUS_INFINITY);
        if (bits) {
            atomicOr(there.mark(k), bits);
        } else if (mark) {
            atomicMax(there.mark(k), mark);
        }
    }

    __device__ static void give(const SumsThere& there, int k, double x)
    {
        Contributions one;
        one.take(x);
        one.give(there, k);
    }
    __device__ static void note_count(const SumsThere& there, unsigned count) { atomicAdd(there.marks, count); }
};

template <>
struct Contributions<COUNTED> {
    unsigned long long sum = 0;  // negative numbers wrap
    double units = 0.0;          // that are 1

    __device__ void begin(const SumsThere& there, int k)
    {
        // Where not all are numbers there is no sum.
        units = *there.mark(k) <= LARGEST_EXPONENT ? power_of_two(there.units(k)) : 0.0;
    }
    __device__ void take(double x) { sum += static_cast<unsigned long long>(__double2ll_rn(x * units)); }
    __device__ void give(const SumsThere& there, int k) const
    {
        atomicAdd(reinterpret_cast<unsigned long long*>(there.counted(k)), sum);
    }

    __device__ static void give(const SumsThere& there, int k, double x)
    {
        Contributions one;
        one.begin(there, k);
        one.take(x);
        one.give(there, k);
    }
    __device__ static void note_count(const SumsThere&, unsigned) {}
};

// The sums of an output pixel of a window, as they are folded into a mosaic.
class AddedSums {
  public:
    __device__ AddedSums(const Window& w, int, long long at) : first_(w.sums + at), stride_(w.stride) {}

    __device__ double operator()(int k) const { return first_[k * stride_]; }
    __device__ bool any() const { return (*this)(0) != 0.0; }

    // Weights of both signs may have cancelled, so each sum is looked at for itself.
    __device__ void forget(int planes) const
    {
        for (int k = 0; k <= planes; ++k) {
            if ((*this)(k) != 0.0) first_[k * stride_] = 0.0;
        }
    }

  private:
    double* const first_;
    const long long stride_;
};

// The same of floats, which were scaled.
class FloatSums {
  public:
    __device__ FloatSums(const Window& w, int, long long at)
        : first_(reinterpret_cast<float*>(w.sums) + at), stride_(w.stride), scaling_(w.scaling)
    {
    }

    __device__ double operator()(int k) const { return widened(first_[k * stride_]) * scaling_.units[k]; }
    __device__ bool any() const { return is_set(0); }

    // As floats, if they may be folded so.
    struct InFloats {
        const FloatSums& sums;

        __device__ Single operator()(int k) const
        {
            return Single(sums.first_[k * sums.stride_]) * number<Single>(sums.scaling_.units[k]);
        }
    };

    __device__ bool may_be_in_floats() const { return scaling_.can_fold_in_floats; }
    __device__ InFloats in_floats() const { return {*this}; }

    __device__ void forget(int planes) const
    {
        for (int k = 0; k <= planes; ++k) {
            if (is_set(k)) first_[k * stride_] = 0.0f;
        }
    }

  private:
    // By its bits: numbers that arithmetic takes for 0, and -0, may be left when weights cancel.
    __device__ bool is_set(int k) const { return same_bits<unsigned>(first_[k * stride_]) != 0; }

    float* const first_;
    const long long stride_;
    const Scaling& scaling_;
};

class CountedSums {
  public:
    __device__ CountedSums(const Window& w, int planes, long long at) : there_(w, planes, at) {}
    __device__ bool any() const { return (*this)(0) != 0.0; }

    __device__ double operator()(int k) const
    {
        if (*there_.marks == 0) return 0.0;
        const unsigned mark = *there_.mark(k);
        if (mark <= LARGEST_EXPONENT) {
            return static_cast<double>(*there_.counted(k)) * power_of_two(-there_.units(k));
        }
        if ((mark & PLUS_INFINITY) && (mark & MINUS_INFINITY)) return not_a_number();
        return mark & PLUS_INFINITY ? infinity() : -infinity();
    }

    __device__ void forget(int planes) const
    {
        if (*there_.marks == 0) return;
        *there_.marks = 0;
        for (int k = 0; k <= planes; ++k) *there_.counted(k) = *there_.mark(k) = 0;
    }

  private:
    const SumsThere there_;
};

}  // namespace gpures

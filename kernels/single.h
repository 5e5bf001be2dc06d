// Single precision for arithmetic and comparisons. On a GPU its operations are those that keep subnormal numbers and
// round each by itself, as on a CPU: CuPy has the compiler make others of all of its own (-ftz=true).
#pragma once

#include "portable.h"

GPURES_BEGIN

#if defined(__CUDACC__)

class Single {
  public:
    Single() = default;
    GPURES_FN Single(float value) : value_(value) {}
    GPURES_FN explicit operator float() const { return value_; }

#define GPURES_OPERATION(NAME, INSTRUCTION)                    \
    GPURES_FN friend Single NAME(Single a)                     \
    {                                                          \
        float r;                                               \
        asm(INSTRUCTION " %0, %1;" : "=f"(r) : "f"(a.value_)); \
        return r;                                              \
    }
    GPURES_OPERATION(operator-, "neg.f32")
    GPURES_OPERATION(magnitude, "abs.f32")
    GPURES_OPERATION(sqrt, "sqrt.rn.f32")
#undef GPURES_OPERATION

#define GPURES_OPERATION(NAME, INSTRUCTION)                                       \
    GPURES_FN friend Single NAME(Single a, Single b)                              \
    {                                                                             \
        float r;                                                                  \
        asm(INSTRUCTION " %0, %1, %2;" : "=f"(r) : "f"(a.value_), "f"(b.value_)); \
        return r;                                                                 \
    }
    GPURES_OPERATION(operator+, "add.rn.f32")
    GPURES_OPERATION(operator-, "sub.rn.f32")
    GPURES_OPERATION(operator*, "mul.rn.f32")
    GPURES_OPERATION(operator/, "div.rn.f32")
    GPURES_OPERATION(quotient, "div.rn.f32")
    GPURES_OPERATION(least, "min.f32")  // of numbers; which of two zeros does not matter
    GPURES_OPERATION(greatest, "max.f32")
#undef GPURES_OPERATION

#define GPURES_COMPARISON(SIGN, INSTRUCTION)                                     \
    GPURES_FN friend bool operator SIGN(Single a, Single b)                      \
    {                                                                            \
        unsigned holds;                                                          \
        asm("{ .reg .pred p; " INSTRUCTION " p, %1, %2; selp.u32 %0, 1, 0, p; }" \
            : "=r"(holds)                                                        \
            : "f"(a.value_), "f"(b.value_));                                     \
        return holds;                                                            \
    }
    GPURES_COMPARISON(<, "setp.lt.f32")
    GPURES_COMPARISON(<=, "setp.le.f32")
    GPURES_COMPARISON(>, "setp.gt.f32")
    GPURES_COMPARISON(>=, "setp.ge.f32")
    GPURES_COMPARISON(==, "setp.eq.f32")
#undef GPURES_COMPARISON

  private:
    float value_;
};

template <>
struct LaneOf<Single> {
    typedef float Type;
};

template <>
GPURES_FN Single number<Single, double>(double x)
{
    return narrowed(x);
}

GPURES_FN bool all_at_least(Single a, Single b) { return a >= b; }
GPURES_FN bool all_equal(Single a, Single b) { return a == b; }

// Out of the compiler's sight: an operation on bits that is the same as one on numbers would be made one that flushes.
template <>
GPURES_FN unsigned same_bits<unsigned, Single>(Single value)
{
    unsigned bits;
    asm("mov.b32 %0, %1;" : "=r"(bits) : "f"(static_cast<float>(value)));
    return bits;
}

template <>
GPURES_FN Single same_bits<Single, unsigned>(unsigned bits)
{
    float value;
    asm("mov.b32 %0, %1;" : "=f"(value) : "r"(bits));
    return value;
}

#else
typedef float Single;
#endif

template <>
struct Access<Single> {
    GPURES_FN static Single load(const float* p) { return *p; }
};

GPURES_FN void store(Single v, float* p) { *p = static_cast<float>(v); }

GPURES_END

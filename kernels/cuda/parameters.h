// The kernels' parameters, and a check that Python packs them as this compiler lays them out.
//
// Python gives the sizes of its records as GPURES_EXPOSURE_BYTES and so on; the fields themselves are compared by the
// tests, on the CPU.
#pragma once

#include "exposure.h"
#include "operator.h"

static_assert(sizeof(gpures::Exposure) == GPURES_EXPOSURE_BYTES, "the record of an exposure has another size");
static_assert(sizeof(gpures::Mosaic) == GPURES_MOSAIC_BYTES, "the record of a mosaic has another size");
static_assert(sizeof(gpures::Window) == GPURES_WINDOW_BYTES, "the record of a window has another size");
static_assert(sizeof(gpures::Pairs) == GPURES_PAIRS_BYTES, "the record of pairs has another size");
static_assert(sizeof(gpures::Merge) == GPURES_MERGE_BYTES, "the record of a merge has another size");
static_assert(sizeof(gpures::Operator) == GPURES_OPERATOR_BYTES, "the record of an operator has another size");
static_assert(sizeof(gpures::Merge) <= 4096, "more than a kernel takes by value");
static_assert(sizeof(gpures::Exposure) + sizeof(gpures::Mosaic) + sizeof(gpures::Pairs) <= 4096,
              "more than a kernel takes by value");
static_assert(sizeof(gpures::Exposure) + sizeof(gpures::Mosaic) + sizeof(gpures::Window) <= 4096,
              "more than a kernel takes by value");

// The maths of the folder above for vectors: what is compiled once per instruction set includes it from here.
#pragma once

// First the vectors: templates call what they find where they stand, and for a vector that is to be its own functions.
#include "simd.h"
//
#include "../../blot.h"
#include "../../fold.h"
#include "../../merge.h"
#include "../../pixmap.h"
#include "../../splat.h"
#include "../../weights.h"

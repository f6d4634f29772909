// SPDX-License-Identifier: Apache-2.0
// Checks of values inside a computation, which traced and compiled programs keep.
//
//   Tensor share = ops::require_range(x, {.min = 0, .max = 1, .what = "p"});
//   // or the error "p expects numbers from 0 to 1, got 1.5"
#pragma once

#include <limits>
#include <string>

#include "rutile/ops/call.h"

namespace rutile::ops {

struct RequireRangeAttrs {
  double min = std::numeric_limits<double>::lowest();
  double max = std::numeric_limits<double>::max();
  int64_t positive = 0;    // so many numbers above 0 in each line along the last dimension
  std::string what = "x";  // what a message calls x
  RUTILE_REFLECT(min, max, positive, what)
};
// x itself. An error when it runs (kValue) if an element is NaN or outside [min, max], or if a line
// has fewer than `positive` elements above 0. Floats only; of any shape without `positive`.
extern RUTILE_API const OpDef kRequireRange;
RUTILE_API Tensor require_range(Arg x, RequireRangeAttrs attrs = {});

}  // namespace rutile::ops

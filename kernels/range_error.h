// SPDX-License-Identifier: Apache-2.0
// What require_range says of numbers outside its range.
#pragma once

#include <limits>
#include <string>

#include "rutile/ops/require.h"

namespace rutile::kernels {

inline std::string range_text(const ops::RequireRangeAttrs& a) {
  using Limits = std::numeric_limits<double>;
  if (a.max < Limits::max()) return cat("numbers from ", a.min, " to ", a.max);
  return a.min > Limits::lowest() ? cat("finite numbers from ", a.min, " on") : "finite numbers";
}
inline Status out_of_range(const ops::RequireRangeAttrs& a, double v) {
  return value_error(cat(a.what, " expects ", range_text(a), ", got ", v));
}
inline Status too_few_positive(const ops::RequireRangeAttrs& a, int64_t positive) {
  return value_error(
      cat(a.what, " expects ", a.positive, " or more numbers above 0 in a line, got ", positive));
}

}  // namespace rutile::kernels

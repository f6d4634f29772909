// SPDX-License-Identifier: Apache-2.0
// What padding shows.
#pragma once

#include <cstdint>

#include "rutile/ops/view.h"

namespace rutile::kernels {

// The position on an axis of size n that position i of the padded axis shows, counted from the
// first element of the axis; -1 for the constant.
inline int64_t pad_source(int64_t i, int64_t n, PadMode mode) {
  if (i >= 0 && i < n) return i;
  switch (mode) {
    case PadMode::kConstant:
      return -1;
    case PadMode::kReflect:
      return i < 0 ? -i : 2 * (n - 1) - i;
    case PadMode::kReplicate:
      return i < 0 ? 0 : n - 1;
    case PadMode::kCircular:
      return i < 0 ? i + n : i - n;
  }
  return -1;
}

}  // namespace rutile::kernels

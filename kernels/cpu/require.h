// SPDX-License-Identifier: Apache-2.0
// Vector loops of require_range.
#pragma once

#include <cstdint>

namespace rutile::kernels {

struct RangeCheck {
  double min = 0, max = 0;
};
// Copies n numbers; false if one of them is outside the range or NaN. Adds how many are above 0.
struct RequireKernels {
  bool (*f32)(const void* x, void* y, int64_t n, RangeCheck range, int64_t* positive) = nullptr;
  bool (*f64)(const void* x, void* y, int64_t n, RangeCheck range, int64_t* positive) = nullptr;
};
namespace avx2 {
RequireKernels require_kernels();
}
namespace avx512 {
RequireKernels require_kernels();
}

}  // namespace rutile::kernels

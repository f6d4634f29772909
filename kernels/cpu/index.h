// SPDX-License-Identifier: Apache-2.0
// Vector loops of the indexing kernels.
#pragma once

#include <cstdint>

#include "rutile/kernels/inline.h"

namespace rutile::kernels {

struct AddKernels {
  // sum[i] += x[i]
  void (*f32)(float* sum, const void* x, int64_t n) = nullptr;
  void (*bf16)(float* sum, const void* x, int64_t n) = nullptr;
};
// rows[i] = index[i], counted from the end where it is negative and `wrap`; false if one of them is
// outside [0, size).
template <class I>
RUTILE_FN bool resolve_all(const I* index, int64_t n, int64_t size, bool wrap, int64_t* rows) {
  const int64_t lift = wrap ? size : 0;
  int64_t bad = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t v = index[i], row = v + (v < 0 ? lift : 0);
    const auto left = static_cast<uint64_t>(size) - 1 - static_cast<uint64_t>(row);
    bad |= row | static_cast<int64_t>(left);  // negative outside
    rows[i] = row;
  }
  return bad >= 0;
}
struct ResolveKernels {
  bool (*i32)(const int32_t* index, int64_t n, int64_t size, bool wrap, int64_t* rows) = nullptr;
  bool (*i64)(const int64_t* index, int64_t n, int64_t size, bool wrap, int64_t* rows) = nullptr;
};
namespace avx2 {
AddKernels add_kernels();
ResolveKernels resolve_kernels();
}  // namespace avx2
namespace avx512 {
AddKernels add_kernels();
ResolveKernels resolve_kernels();
}  // namespace avx512

}  // namespace rutile::kernels

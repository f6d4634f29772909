// SPDX-License-Identifier: Apache-2.0
// What cuDNN's attention needs around it where there is a mask: a mask as numbers that are added to
// the scores, and rows that no key takes part in. Those get numbers as low as kNobody, from which
// the sum over a row stays finite, and are put right behind it.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/indexer.h"

namespace rutile::cuda {

// For a key that takes no part; finite numbers of a mask are at least kLeast, far above.
inline constexpr float kNobody = -1e30f, kLeast = -1e28f;

struct MaskArgs {
  int64_t n = 0;
  const void* mask = nullptr;
  void* added = nullptr;
  DType mask_type = DType::kBool, added_type = DType::kF32;
  Indexer<1> mask_at = {};  // by row-major number
};
int launch_mask(const MaskArgs& a, Stream stream);

// Rows without a key: the logarithm of their sum is -inf, their result 0.
struct EmptyRowArgs {
  int64_t rows = 0, n = 0;  // of n elements, which lie beside each other
  float* lse = nullptr;
  void* y = nullptr;
  DType type = DType::kF32;
  Indexer<2> row = {};  // of lse and y
};
int launch_empty_rows(const EmptyRowArgs& a, Stream stream);

// The logarithms for the gradient, dense: of rows without a key a number that leaves nothing of
// them.
struct RowSumArgs {
  int64_t rows = 0;
  const float* lse = nullptr;
  float* out = nullptr;
  Indexer<1> row = {};
};
int launch_row_sums(const RowSumArgs& a, Stream stream);

}  // namespace rutile::cuda

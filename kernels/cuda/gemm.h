// SPDX-License-Identifier: Apache-2.0
// Matrix products of any strides and dtypes: what the library takes no call for (integers, strides
// in both directions), and all of them where it is missing.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/indexer.h"

namespace rutile::cuda {

// c[i, j] = sum_k a[i, k] b[k, j] + bias[j], for each matrix of a batch.
struct GemmArgs {
  const void *a = nullptr, *b = nullptr, *bias = nullptr;
  void* c = nullptr;
  bool biased = false;
  DType in_type = DType::kF32, out_type = DType::kF32, bias_type = DType::kF32;
  int64_t m = 0, n = 0, k = 0, batch = 1;
  int64_t a_m = 0, a_k = 0, b_k = 0, b_n = 0, c_m = 0, c_n = 0, bias_n = 0;
  Indexer<3> index;  // of a matrix: a, b, c
};
int launch_gemm(const GemmArgs& a, Stream stream);

}  // namespace rutile::cuda

// SPDX-License-Identifier: Apache-2.0
// A matmul or linear call as one loop nest: c[b..., i, j] = sum_k a[b..., i, k] * b[b..., k, j],
// with strides in elements. Batch dimensions are merged, or folded into the rows, where strides
// allow.
#pragma once

#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {

struct MatmulShape {
  int64_t m = 1, n = 1, k = 0;
  Dims batch;
  Dims a_batch, b_batch, c_batch;  // strides per batch dimension; 0: broadcast
  int64_t a_m = 0, a_k = 0, b_k = 0, b_n = 0, c_m = 0, c_n = 0;

  bool empty() const { return m == 0 || n == 0 || batch.numel() == 0; }
};

// A layer with its weight as [out, in].
bool is_linear(const OpDef* op);

// Of a call of ops::kMatmul, ops::kLinear, ops::kLinearAct or an op of ops/epilogues.h, all tensors
// strided.
MatmulShape matmul_shape(const CallMeta& call);

}  // namespace rutile::kernels

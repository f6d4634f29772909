// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/group.h"
#include "rutile/kernels/cuda/indexer.h"

namespace rutile::cuda {

// Norms over the last dimensions. A row has `n` columns; tensors of the shape of x are found by row
// plus column.
struct LayerNormArgs {
  const void *x = nullptr, *weight = nullptr, *bias = nullptr;
  const void *grad = nullptr, *mean_in = nullptr, *rstd_in = nullptr;  // backward
  void *y = nullptr, *mean = nullptr, *rstd = nullptr;                 // y: dx in backward
  void *dweight = nullptr, *dbias = nullptr;
  void* partial = nullptr;  // workspace: [part][2][n]
  DType x_type = DType::kF32, y_type = DType::kF32, grad_type = DType::kF32;
  DType weight_type = DType::kF32, bias_type = DType::kF32, stat_type = DType::kF32;
  int64_t rows = 0, n = 0;
  Indexer<5> row;     // x, y, gradient, mean, rstd
  Indexer<5> column;  // x, y, gradient, weight, bias
  GroupShape group;
  int64_t parts = 1, part = 0;  // rows of a part
  bool rms = false;
  double eps = 0;
};
int launch_layer_norm(const LayerNormArgs& a, Stream stream);
int launch_layer_norm_grad(const LayerNormArgs& a, Stream stream);

}  // namespace rutile::cuda

// SPDX-License-Identifier: Apache-2.0
// Batch normalisation of any rank and placement. Sums are over differences from the channel's first
// element, so that they lose nothing to a large mean.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/group.h"
#include "rutile/kernels/cuda/indexer.h"

namespace rutile::cuda {

struct BatchNormArgs {
  const void *x = nullptr, *weight = nullptr, *bias = nullptr, *residual = nullptr;
  const void *dy = nullptr, *dy2 = nullptr, *y_in = nullptr;
  const void *mean_in = nullptr, *rstd_in = nullptr;
  void *y = nullptr, *dresidual = nullptr;  // y: dx in backward
  void *mean = nullptr, *rstd = nullptr, *dweight = nullptr, *dbias = nullptr;
  void* partial = nullptr;  // workspace: [part][2][channel]
  void* sums = nullptr;     // workspace: [2][channel], what all parts give
  DType x_type = DType::kF32, stat_type = DType::kF32;
  DType weight_type = DType::kF32, bias_type = DType::kF32;
  int64_t channels = 0, rows = 0, n = 0;  // rows: elements of a channel
  int64_t weight_step = 0, bias_step = 0, mean_step = 0, rstd_step = 0;
  int64_t x_channel = 0, dy_channel = 0, y_channel = 0, dy2_channel = 0;  // steps to the next one
  Indexer<4> row;      // x, dy, y of forward, dy2: of an element within its channel
  Indexer<7> element;  // y or dx, x, residual or dy, y of forward, dy2, dresidual, the channel
  GroupShape group;
  int64_t parts = 1, part = 0;
  double eps = 0;
  bool relu = false;
  bool variance = false;  // rstd_in is a variance
  bool mask_from_y = false;
};
int launch_batch_norm(const BatchNormArgs& a, Stream stream);        // statistics, then y
int launch_batch_norm_apply(const BatchNormArgs& a, Stream stream);  // y from statistics
int launch_batch_norm_grad(const BatchNormArgs& a, Stream stream);

struct RunningStatsArgs {
  void *mean = nullptr, *var = nullptr;
  const void *batch_mean = nullptr, *batch_rstd = nullptr;
  DType type = DType::kF32;
  int64_t channels = 0, steps[4] = {};
  double momentum = 0.1, eps = 1e-5, correction = 1;
};
int launch_running_stats(const RunningStatsArgs& a, Stream stream);

}  // namespace rutile::cuda

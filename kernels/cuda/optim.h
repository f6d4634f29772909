// SPDX-License-Identifier: Apache-2.0
// Loss scaling and norms of gradients, many tensors a launch.
#pragma once

#include "rutile/kernels/cuda/tensors.h"

namespace rutile::cuda {

using PairTensors = Tensors<2>;  // read, written

struct UnscaleArgs {
  PairTensors tensors;
  DType out_type[PairTensors::kMost] = {};
  const void* scale = nullptr;
  DType scale_type = DType::kF32;
  uint8_t* overflow = nullptr;
};
int launch_clear(uint8_t* flag, Stream stream);
int launch_unscale(const UnscaleArgs& a, Stream stream);

struct NormArgs {
  PairTensors tensors;
  double* sums = nullptr;  // of each block
  int64_t blocks = 0;      // of all launches
  void* out = nullptr;
  DType out_type = DType::kF32;
};
int launch_squares(const NormArgs& a, Stream stream);
int launch_norm(const NormArgs& a, Stream stream);

struct LossScaleArgs {
  float* scale = nullptr;
  int64_t* good = nullptr;
  const uint8_t* overflow = nullptr;
  float growth = 2, backoff = 0.5;
  int64_t interval = 2000;
};
int launch_loss_scale(const LossScaleArgs& a, Stream stream);

}  // namespace rutile::cuda

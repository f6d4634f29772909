// SPDX-License-Identifier: Apache-2.0
// Pooling of images [n, c, h, w] or [c, h, w] of any placement: an output element per thread.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/device.h"

namespace rutile::cuda {

struct PoolImage {
  int64_t n = 1, c = 1, h = 0, w = 0;
  int64_t stride[4] = {};  // n, c, h, w
  RUTILE_FN int64_t at(int64_t in, int64_t ic, int64_t ih, int64_t iw) const {
    return in * stride[0] + ic * stride[1] + ih * stride[2] + iw * stride[3];
  }
  int64_t numel() const { return n * c * h * w; }
};

struct PoolArgs {
  const void *in = nullptr, *indices_in = nullptr;
  void *out = nullptr, *indices = nullptr;
  DType type = DType::kF32;
  // x and y are the larger and the smaller image, whichever is read.
  PoolImage x, y, index;
  bool channels_last = false;  // of what is written: its order in memory
  int64_t kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0;
  int64_t dilation_h = 1, dilation_w = 1;
  bool include_pad = true;
  int64_t divisor = 0;
  int64_t lowest = 0;  // of an integer type
};
enum class PoolKind : uint8_t {
  kMax,
  kMaxGrad,
  kMaxGather,
  kAverage,
  kAverageGrad,
  kAdaptive,
  kAdaptiveGrad
};
int launch_pool(PoolKind kind, const PoolArgs& a, Stream stream);

}  // namespace rutile::cuda

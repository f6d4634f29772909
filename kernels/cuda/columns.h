// SPDX-License-Identifier: Apache-2.0
// Images as columns and back, the gradient of padding that repeats elements, and the places of
// elements that are not zero.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/copy.h"

namespace rutile::cuda {

struct ColumnsArgs {
  int64_t n = 0;  // elements of what is written
  DType type = DType::kF32;
  int64_t h = 0, w = 0, oh = 0, ow = 0;
  int64_t kernel[2] = {}, stride[2] = {}, pad[2] = {}, dilation[2] = {};
  const void* in = nullptr;
  void* out = nullptr;
  Indexer<1> image_at, columns_at;  // by row-major number
};
int launch_unfold(const ColumnsArgs& a, Stream stream);
int launch_fold(const ColumnsArgs& a, Stream stream);

struct PadGradArgs {
  int64_t n = 0;
  int rank = 0;
  Padding mode = Padding::kConstant;
  DType type = DType::kF32;
  const void* dy = nullptr;
  void* dx = nullptr;
  int64_t size[kMaxRank] = {}, before[kMaxRank] = {}, after[kMaxRank] = {};
  int64_t dx_step[kMaxRank] = {}, dy_step[kMaxRank] = {};
};
int launch_pad_grad(const PadGradArgs& a, Stream stream);

struct NonzeroArgs {
  int64_t n = 0;
  int rank = 0;
  int64_t size[kMaxRank] = {};
  DType type = DType::kF32;
  const void* x = nullptr;
  int64_t *rows = nullptr, *count = nullptr;
  Indexer<1> at;
};
int launch_nonzero(const NonzeroArgs& a, Stream stream);

}  // namespace rutile::cuda

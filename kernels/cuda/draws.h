// SPDX-License-Identifier: Apache-2.0
// Distributions by rejection, the same numbers as the CPU's, and checks of numbers' ranges.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/fault.h"
#include "rutile/kernels/cuda/indexer.h"

namespace rutile::cuda {

enum class Draw : uint8_t { kGamma, kPoisson };
struct DrawArgs {
  Draw draw = Draw::kGamma;
  int64_t n = 0;
  DType in_type = DType::kF32, out_type = DType::kF32;
  const uint64_t* key = nullptr;
  const void* parameter = nullptr;
  void* y = nullptr;  // row-major
  Indexer<1> at;
};
int launch_draw(const DrawArgs& a, Stream stream);

struct RequireArgs {
  int64_t lines = 0, length = 1;
  DType type = DType::kF32;
  double low = 0, high = 0;
  int64_t positive = 0;
  FaultName name;
  const void* x = nullptr;
  void* y = nullptr;  // row-major
  Indexer<1> at;
  FaultSlot fault;
};
int launch_require(const RequireArgs& a, Stream stream);

}  // namespace rutile::cuda

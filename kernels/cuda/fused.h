// SPDX-License-Identifier: Apache-2.0
// Chains of elementwise ops in one pass over memory, as a program that each block interprets:
// values live in slots of shared memory, four elements a thread.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/elementwise.h"

namespace rutile::cuda {

inline constexpr int kMostFusedInputs = 16, kMostFusedOutputs = 8, kMostFusedSteps = 96;
inline constexpr int kMostFusedSlots = 20, kMostFusedParams = 24;
inline constexpr int kFusedThreads = 128, kFusedEach = 4;

struct FusedStep {
  uint8_t op = 0;              // an ElementwiseOp, kFusedLoad or kFusedStore
  uint8_t to = 0, in[3] = {};  // slots; of a load or store, in[0] or to is the operand's number
  uint8_t params = 0;
  uint8_t rounding = 0;  // 1: to bf16, 2: to f16, 3: to bool
};
inline constexpr uint8_t kFusedLoad = 254, kFusedStore = 255;
static_assert(static_cast<int>(ElementwiseOp::Cast) < kFusedLoad, "an op's number takes a byte");

struct FusedArgs {
  int64_t n = 0;
  int steps = 0, slots = 0;
  FusedStep step[kMostFusedSteps];
  double params[kMostFusedParams][3] = {};
  const void* in[kMostFusedInputs] = {};
  void* out[kMostFusedOutputs] = {};
  DType in_type[kMostFusedInputs] = {}, out_type[kMostFusedOutputs] = {};
  bool in_linear[kMostFusedInputs] = {};  // element i is at i
  bool out_linear[kMostFusedOutputs] = {};
  Indexer<kMostFusedInputs> in_at;
  Indexer<kMostFusedOutputs> out_at;
};
// Whether the interpreter has the op.
bool fused_has(ElementwiseOp op);
int launch_fused(const FusedArgs& a, Stream stream);

}  // namespace rutile::cuda

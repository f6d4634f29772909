// SPDX-License-Identifier: Apache-2.0
// Random numbers by Philox: element i of a call depends on its key and i alone, as on the CPU.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/indexer.h"

namespace rutile::cuda {

enum class RandomKind : uint8_t { kUniform, kNormal, kTruncated, kInteger, kBernoulli };

struct RandomArgs {
  RandomKind kind = RandomKind::kUniform;
  DType type = DType::kF32;
  int64_t n = 0;
  int bits = 24;
  const uint64_t* key = nullptr;
  void* out = nullptr;
  double a = 0, b = 0, lo = 0, hi = 0, from = 0, to = 0;  // as in kernels/ref/random.cc
  int64_t low = 0;
  uint64_t range = 0, threshold = 0;
};
int launch_random(const RandomArgs& a, Stream stream);

struct DropoutArgs {
  DType type = DType::kF32;
  int64_t n = 0;
  const uint64_t* key = nullptr;
  const void* x = nullptr;
  void *y = nullptr, *mask = nullptr;
  bool linear = false;
  Indexer<2> index;  // y and mask, x
  uint64_t threshold = 0;
  double scale = 0;
};
int launch_dropout(const DropoutArgs& a, Stream stream);

struct NextKeyArgs {
  const uint64_t* in = nullptr;
  uint64_t *out = nullptr, *key = nullptr;
};
int launch_next_key(const NextKeyArgs& a, Stream stream);

}  // namespace rutile::cuda

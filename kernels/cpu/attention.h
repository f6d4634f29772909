// SPDX-License-Identifier: Apache-2.0
// Between the attention rows and their kernels, which exist once per instruction set.
#pragma once

#include <cstdint>

#include "rutile/core/dtype.h"

namespace rutile::kernels {

// Steps in elements between batch entries, heads and rows; a row's elements are neighbours.
struct AttentionStrides {
  int64_t batch = 0, head = 0, row = 0;
};

constexpr int kMostThreads = 256;

struct AttentionShape {
  int64_t batch = 0, heads = 0;
  int64_t rows = 0, keys = 0;  // t and s
  int64_t d = 0, e = 0;        // sizes of q's and v's heads
  bool causal = false;
  float scale = 1;
  AttentionStrides q, k, v, y, dy, dq, dk, dv;
  bool has_mask = false;
  DType mask_type = DType::kF32;  // bool, f32 or bf16
  AttentionStrides mask;
  int64_t mask_column = 0;
  int threads = 1;  // at most kMostThreads
  // Threads take units of work: every splits-th block of rows (backward: keys) of a head.
  int64_t splits = 1;
};

// Pointers of one call; what it does not have is null. lse and dlse are [batch, heads, rows].
struct AttentionArgs {
  const void *q, *k, *v, *mask, *dy, *y_in;
  const float *lse_in, *dlse;
  void* y;
  float* lse;
  void *dq, *dk, *dv;
  float* workspace;
};

struct AttentionKernels {
  int64_t row_block, key_block;  // forward and backward
  // Floats of workspace.
  int64_t (*forward_workspace)(const AttentionShape&);
  int64_t (*backward_workspace)(const AttentionShape&);
  void (*forward)(const AttentionShape&, const AttentionArgs&);
  void (*backward)(const AttentionShape&, const AttentionArgs&);
};

namespace avx2 {
AttentionKernels attention_f32();
AttentionKernels attention_bf16();
}  // namespace avx2
namespace avx512 {
AttentionKernels attention_f32();
AttentionKernels attention_bf16();
}  // namespace avx512

}  // namespace rutile::kernels

// SPDX-License-Identifier: Apache-2.0
// Between the rows of recurrent layers and their kernels, which exist once per instruction set.
#pragma once

#include <cstdint>

#include "rutile/ops/recurrent.h"

namespace rutile::kernels {

struct RecurrentShape {
  RecurrentKind kind = RecurrentKind::kTanh;
  bool reverse = false;
  int64_t steps = 0, rows = 0, width = 0;  // t, n, h
  int threads = 1;
};

// Pointers of one call; what it does not have is null.
struct RecurrentArgs {
  const float *gx, *h0, *weight, *c0, *bias;
  const int64_t* lengths;
  float *y, *h, *c, *gates, *cells;
  const float *dy, *dh, *dc;
  float *dgx, *dgh, *dh0, *dc0;
  float* workspace;
};

// y, gates and cells are results of forward and operands of backward.
struct RecurrentKernels {
  int64_t (*forward_workspace)(const RecurrentShape&);  // floats
  int64_t (*backward_workspace)(const RecurrentShape&);
  int64_t (*forward_parts)(const RecurrentShape&);  // threads that find work
  int64_t (*backward_parts)(const RecurrentShape&);
  void (*forward)(const RecurrentShape&, const RecurrentArgs&);
  void (*backward)(const RecurrentShape&, const RecurrentArgs&);
};

namespace avx2 {
RecurrentKernels recurrent_kernels();
}  // namespace avx2
namespace avx512 {
RecurrentKernels recurrent_kernels();
}  // namespace avx512

}  // namespace rutile::kernels

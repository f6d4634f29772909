// SPDX-License-Identifier: Apache-2.0
// Connectionist temporal classification, a block of threads a sequence, in double.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/device.h"
#include "rutile/kernels/cuda/fault.h"

namespace rutile::cuda {

struct CtcArgs {
  bool backward = false, padded = false;
  bool twice = false;  // the gradient of the gradient: `u` is that by dx
  int64_t n = 0, steps = 0, classes = 0, blank = 0;
  int64_t room = 0, labels = 0;  // the longest target that there may be, all of targets
  int64_t step_stride = 0, n_stride = 0, class_stride = 0;  // of log_probs
  int64_t dx_step = 0, dx_n = 0, dx_class = 0;              // of their gradient
  int64_t u_step = 0, u_n = 0, u_class = 0;
  int64_t nll_stride = 0, dy_stride = 0, ddy_stride = 0;  // by sequence
  DType type = DType::kF32, nll_type = DType::kF32, dy_type = DType::kF32;
  DType target_type = DType::kI64, input_type = DType::kI64, length_type = DType::kI64;
  const void *x = nullptr, *targets = nullptr, *inputs = nullptr, *lengths = nullptr;
  const void *dy = nullptr, *nll_in = nullptr, *u = nullptr;
  void *nll = nullptr, *dx = nullptr, *ddy = nullptr;  // ddy is of dy_type
  double* workspace = nullptr;  // rows of places: two a sequence, backward steps + 2, twice that
  RUTILE_FN int64_t places() const { return 2 * room + 1; }
  RUTILE_FN int64_t rows() const { return (backward ? steps + 2 : 2) * (twice ? 2 : 1); }
  FaultSlot fault;
};
int launch_ctc(const CtcArgs& a, Stream stream);

}  // namespace rutile::cuda

// SPDX-License-Identifier: Apache-2.0
// Between the rows of optimizer updates and their vector kernels. All states are f32.
#pragma once

#include <cstdint>

namespace rutile::kernels {

// A run of elements of one parameter; slots that an update does not have are null.
struct UpdateRun {
  float *param, *slot1, *slot2;
  const void* grad;  // f32 or bf16
  int64_t count;
};

// The numbers of one step, worked out in double once for all elements.
struct UpdateNumbers {
  float lr = 0;                // lr, for adam lr / (1 - beta1^step)
  float decay = 0;             // added to the gradient: decay * param
  float shrink = 1;            // param is multiplied by this first
  float beta1 = 0, beta2 = 0;  // momentum: beta1
  float take1 = 1, take2 = 1;  // weights of the new gradient
  float root = 1, eps = 0;     // sqrt(v) * root + eps
  bool nesterov = false;
};

using UpdateFn = void (*)(const UpdateRun&, const UpdateNumbers&);
struct UpdateKernels {
  UpdateFn sgd, momentum, adam;
};

struct NormScan {
  // Sum of squares of n elements.
  double (*squares)(const void* x, int64_t n);
  // y = x * factor in f32; true if some x is inf or NaN.
  bool (*unscale)(const void* x, float factor, float* y, int64_t n);
};

namespace avx2 {
UpdateKernels update_kernels(bool bf16_grad);
NormScan norm_scan(bool bf16);
}  // namespace avx2
namespace avx512 {
UpdateKernels update_kernels(bool bf16_grad);
NormScan norm_scan(bool bf16);
}  // namespace avx512

}  // namespace rutile::kernels

// SPDX-License-Identifier: Apache-2.0
// Between the rows of optimizer updates and their vector kernels. All states are f32.
#pragma once

#include <cstdint>

namespace rutile::kernels {

// A run of elements of one parameter; slots that an update does not have are null.
struct UpdateRun {
  float* param;
  float* slots[3];
  const void* grad;  // f32 or bf16
  int64_t count;
};

// Numbers of rules::Numbers as floats.
struct UpdateNumbers {
  float scale = 1, decay = 0, shrink = 1;
  float k[12] = {};
};

// Kernels of a rule.
struct UpdateKernel {
  void (*apply)(const UpdateRun&, const UpdateNumbers&) = nullptr;
  // Sums of squares of what the rule measures; null for a rule without norms.
  void (*measure)(const UpdateRun&, const UpdateNumbers&, double sums[2]) = nullptr;
};

struct NormScan {
  // Sum of squares of n elements.
  double (*squares)(const void* x, int64_t n);
  // y = x * factor in f32; true if some x is inf or NaN.
  bool (*unscale)(const void* x, float factor, float* y, int64_t n);
};

namespace avx2 {
UpdateKernel update_kernel(int rule, bool bf16_grad);
NormScan norm_scan(bool bf16);
}  // namespace avx2
namespace avx512 {
UpdateKernel update_kernel(int rule, bool bf16_grad);
NormScan norm_scan(bool bf16);
}  // namespace avx512

}  // namespace rutile::kernels

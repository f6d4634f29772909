// SPDX-License-Identifier: Apache-2.0
// Between the batch-norm rows and their vector kernels, which exist once per instruction set.
#pragma once

#include <cstdint>

namespace rutile::kernels {

// How the elements of one channel group lie. Grouped: a group is up to 16 channels next to each
// other (blocked layouts) or one channel whose 16 lanes are neighbouring pixels (row-major). Rows
// (channels-last): all channels of a pixel lie together.
struct BatchNormShape {
  bool rows = false;
  bool lanes_are_channels = false;  // of a grouped one
  int64_t batch = 0, channels = 0, pixels = 0;
  int64_t lanes = 16;  // channels per block; 1 for row-major
  int64_t groups = 0;
  int64_t batch_stride = 0, group_stride = 0;  // elements
  double eps = 0;
  int64_t count() const { return batch * pixels; }
};

// Pointers of one call; what an op does not have is null.
struct BatchNormArgs {
  const void *x, *residual, *y_in, *dy, *dy2;  // the gradient is dy, or dy + dy2
  void *y, *dx, *dresidual;
  const float *weight, *bias;
  float *mean, *rstd, *dweight, *dbias;  // mean and rstd are read by apply and in backward
  bool relu;
  float* workspace;  // rows only: see batch_norm_workspace
};

// Floats of workspace for `threads` threads.
int64_t batch_norm_workspace(const BatchNormShape& s, int threads);

struct BatchNormKernels {
  void (*forward)(const BatchNormShape&, const BatchNormArgs&, int threads);
  void (*apply)(const BatchNormShape&, const BatchNormArgs&, int threads);  // forward's second half
  void (*backward)(const BatchNormShape&, const BatchNormArgs&, int threads);
};

namespace avx2 {
BatchNormKernels batch_norm_f32();
BatchNormKernels batch_norm_bf16();
}  // namespace avx2
namespace avx512 {
BatchNormKernels batch_norm_f32();
BatchNormKernels batch_norm_bf16();
}  // namespace avx512

}  // namespace rutile::kernels

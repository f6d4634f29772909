// SPDX-License-Identifier: Apache-2.0
// Between the group-norm rows and their vector kernels, which exist once per instruction set.
#pragma once

#include <cstdint>

namespace rutile::kernels {

// A group of an image is `lines` lines of `width` neighbouring elements, `step` apart: channels of
// a row-major image, pixels of a channels-last one.
struct GroupNormShape {
  int64_t images = 0, groups = 0, channels = 0;  // channels of a group
  int64_t lines = 0, width = 0, step = 0;
  int64_t image_step = 0, group_step = 0;  // elements between images and groups
  bool line_is_channel = false;            // else a lane is one
  double eps = 0;
};

struct GroupNormArgs {
  const void *x = nullptr, *dy = nullptr;
  const float *weight = nullptr, *bias = nullptr;  // null: 1 and 0
  void *y = nullptr, *dx = nullptr;
  float *mean = nullptr, *rstd = nullptr;  // [images, groups]: results, or inputs of backward
  // [images, all channels]: sums over the pixels of dy * xhat and of dy.
  float *products = nullptr, *sums = nullptr;
};

struct GroupNormKernels {
  // Tasks [begin, end) of images x groups.
  void (*forward)(const GroupNormShape&, const GroupNormArgs&, int64_t begin, int64_t end);
  void (*backward)(const GroupNormShape&, const GroupNormArgs&, int64_t begin, int64_t end);
  // Images [begin, end), channels-last, all groups of a pixel together: for groups that would leave
  // lanes of a vector empty. `workspace` has four floats per channel and image.
  void (*forward_images)(const GroupNormShape&, const GroupNormArgs&, float* workspace,
                         int64_t begin, int64_t end);
  void (*backward_images)(const GroupNormShape&, const GroupNormArgs&, float* workspace,
                          int64_t begin, int64_t end);
};

namespace avx2 {
GroupNormKernels group_norm_kernels(bool bf16);
}
namespace avx512 {
GroupNormKernels group_norm_kernels(bool bf16);
}

}  // namespace rutile::kernels

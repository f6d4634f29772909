// SPDX-License-Identifier: Apache-2.0
// Convolutions and their gradients straight from the definition, of any strides, groups and
// dilation in one to three dimensions: what cuDNN does not take, and all where it is missing.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/group.h"

namespace rutile::cuda {

struct ConvArgs {
  const void *first = nullptr, *second = nullptr, *bias = nullptr;  // as the op's inputs
  void* out = nullptr;
  DType in_type = DType::kF32, out_type = DType::kF32, bias_type = DType::kF32;
  bool biased = false;
  int64_t bias_step = 0;
  int64_t n = 0, groups = 1, ic = 0, oc = 0;  // channels per group
  int64_t in[3] = {}, result[3] = {}, kernel[3] = {};
  int64_t stride[3] = {}, pad[3] = {}, dilation[3] = {};
  GroupShape group;                         // of the weight's gradient
  int64_t x[5] = {}, w[5] = {}, y[5] = {};  // steps of [n, c, d, h, w], [o, c, d, h, w]
};
int launch_conv(const ConvArgs& a, Stream stream);
int launch_conv_input_grad(const ConvArgs& a, Stream stream);
int launch_conv_weight_grad(const ConvArgs& a, Stream stream);

}  // namespace rutile::cuda

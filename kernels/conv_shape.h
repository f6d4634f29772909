// SPDX-License-Identifier: Apache-2.0
// The geometry of a convolution and of its gradients.
#pragma once

#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {

struct ConvShape {
  int64_t n = 0, groups = 1;
  int64_t ic = 0, oc = 0;  // channels per group
  int64_t h = 0, w = 0, oh = 0, ow = 0, kh = 0, kw = 0;
  int64_t stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0, dil_h = 1, dil_w = 1;

  bool empty() const { return n == 0 || ic == 0 || oc == 0 || h * w == 0 || oh * ow == 0; }
};

// The three tensors of any of the three calls by their role in the forward convolution.
struct ConvTensors {
  const TensorMeta *x, *weight, *y;
};
ConvTensors conv_tensors(const CallMeta& call);
// Of ops::kConv2d, kConv2dAct, kConv2dInputGrad or kConv2dWeightGrad.
ConvShape conv_shape(const CallMeta& call);

}  // namespace rutile::kernels

// SPDX-License-Identifier: Apache-2.0
// The geometry of a convolution and of its gradients. In two dimensions all depths are 1.
#pragma once

#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {

struct ConvShape {
  int64_t n = 0, groups = 1;
  int64_t ic = 0, oc = 0;  // channels per group
  int64_t h = 0, w = 0, oh = 0, ow = 0, kh = 0, kw = 0;
  int64_t stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0, dil_h = 1, dil_w = 1;
  int64_t d = 1, od = 1, kd = 1, stride_d = 1, pad_d = 0, dil_d = 1;
  int spatial = 2;  // dimensions

  int64_t taps() const { return kd * kh * kw; }
  int64_t pixels() const { return d * h * w; }
  int64_t out_pixels() const { return od * oh * ow; }
  bool empty() const { return n == 0 || ic == 0 || oc == 0 || pixels() == 0 || out_pixels() == 0; }
};

// Which of the three calls an op is.
enum class ConvKind { kForward, kInputGrad, kWeightGrad };
ConvKind conv_kind(const OpDef* op);

// The three tensors of any of the three calls by their role in the forward convolution.
struct ConvTensors {
  const TensorMeta *x, *weight, *y;
};
ConvTensors conv_tensors(const CallMeta& call);
// Of ops::kConv2d, kConv2dAct, kConv2dInputGrad, kConv2dWeightGrad, those of ops/conv_norm.h, or
// those of three dimensions.
ConvShape conv_shape(const CallMeta& call);
// Strides of an image or weight by [n, c, d, h, w]; without a depth that stride is 0.
Strides volume_strides(const Strides& s);

}  // namespace rutile::kernels

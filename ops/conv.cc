// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/conv.h"

#include "rutile/ops/conv_rules.h"

namespace rutile::ops {

using namespace conv_rules;

namespace {

struct Family {
  using Attrs = Conv2dAttrs;
  using InputGradAttrs = Conv2dInputGradAttrs;
  using WeightGradAttrs = Conv2dWeightGradAttrs;
  using TransposeAttrs = ConvTranspose2dAttrs;
  static Tensor conv(const Tensor& x, const Tensor& weight, const Attrs& a) {
    return conv2d(x, weight, {}, a);
  }
  static Tensor input_grad(const Tensor& dy, const Tensor& weight, const InputGradAttrs& a) {
    return conv2d_input_grad(dy, weight, a);
  }
  static Tensor weight_grad(const Tensor& dy, const Tensor& x, const WeightGradAttrs& a) {
    return conv2d_weight_grad(dy, x, a);
  }
};

}  // namespace

constinit const OpDef kConv2d = conv_op<Family>("conv2d", "2-D convolution of NCHW images.");
constinit const OpDef kConv2dInputGrad = input_grad_op<Family>(
    "conv2d_input_grad", "Gradient of conv2d by its input: the transposed convolution.");
constinit const OpDef kConv2dWeightGrad =
    weight_grad_op<Family>("conv2d_weight_grad", "Gradient of conv2d by its weight.");
constinit const OpDef kConvTranspose2d =
    transpose_op<Family>("conv_transpose2d", "Transposed 2-D convolution of NCHW images.");

Tensor conv2d(Arg x, Arg weight, const Tensor& bias, Conv2dAttrs attrs) {
  return call_conv(kConv2d, &attrs, x, weight, bias);
}

Tensor conv2d_input_grad(Arg dy, Arg weight, Conv2dInputGradAttrs attrs) {
  return call1(kConv2dInputGrad, &attrs, {dy.tensor, weight.tensor}, dy.where);
}

Tensor conv2d_weight_grad(Arg dy, Arg x, Conv2dWeightGradAttrs attrs) {
  return call1(kConv2dWeightGrad, &attrs, {dy.tensor, x.tensor}, dy.where);
}

Tensor conv_transpose2d(Arg x, Arg weight, const Tensor& bias, ConvTranspose2dAttrs attrs) {
  return call_conv(kConvTranspose2d, &attrs, x, weight, bias);
}

}  // namespace rutile::ops

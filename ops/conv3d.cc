// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/conv3d.h"

#include "rutile/ops/conv_rules.h"

namespace rutile::ops {

using namespace conv_rules;

namespace {

struct Family {
  using Attrs = Conv3dAttrs;
  using InputGradAttrs = Conv3dInputGradAttrs;
  using WeightGradAttrs = Conv3dWeightGradAttrs;
  using TransposeAttrs = ConvTranspose3dAttrs;
  static Tensor conv(const Tensor& x, const Tensor& weight, const Attrs& a) {
    return conv3d(x, weight, {}, a);
  }
  static Tensor input_grad(const Tensor& dy, const Tensor& weight, const InputGradAttrs& a) {
    return conv3d_input_grad(dy, weight, a);
  }
  static Tensor weight_grad(const Tensor& dy, const Tensor& x, const WeightGradAttrs& a) {
    return conv3d_weight_grad(dy, x, a);
  }
};

}  // namespace

constinit const OpDef kConv3d = conv_op<Family>("conv3d", "3-D convolution of NCDHW volumes.");
constinit const OpDef kConv3dInputGrad = input_grad_op<Family>(
    "conv3d_input_grad", "Gradient of conv3d by its input: the transposed convolution.");
constinit const OpDef kConv3dWeightGrad =
    weight_grad_op<Family>("conv3d_weight_grad", "Gradient of conv3d by its weight.");
constinit const OpDef kConvTranspose3d =
    transpose_op<Family>("conv_transpose3d", "Transposed 3-D convolution of NCDHW volumes.");

Tensor conv3d(Arg x, Arg weight, const Tensor& bias, Conv3dAttrs attrs) {
  return call_conv(kConv3d, &attrs, x, weight, bias);
}

Tensor conv3d_input_grad(Arg dy, Arg weight, Conv3dInputGradAttrs attrs) {
  return call1(kConv3dInputGrad, &attrs, {dy.tensor, weight.tensor}, dy.where);
}

Tensor conv3d_weight_grad(Arg dy, Arg x, Conv3dWeightGradAttrs attrs) {
  return call1(kConv3dWeightGrad, &attrs, {dy.tensor, x.tensor}, dy.where);
}

Tensor conv_transpose3d(Arg x, Arg weight, const Tensor& bias, ConvTranspose3dAttrs attrs) {
  return call_conv(kConvTranspose3d, &attrs, x, weight, bias);
}

}  // namespace rutile::ops

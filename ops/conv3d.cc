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

constinit const OpDef kConv3d = define({
    .name = "conv3d",
    .inputs = {"x", "weight", "bias?"},
    .attrs = attrs_of<Conv3dAttrs>(),
    .infer = infer_conv<Family>,
    .flops = conv_flops,
    .grad = grad_conv<Family>,
    .saves = {"x", "weight"},
    .saves_if = saves_other_factor,
    .amp = Amp::kLow,
    .promote = true,
    .doc = "3-D convolution of NCDHW volumes.",
});

constinit const OpDef kConv3dInputGrad = define({
    .name = "conv3d_input_grad",
    .inputs = {"dy", "weight"},
    .outputs = {"dx"},
    .attrs = attrs_of<Conv3dInputGradAttrs>(),
    .infer = infer_input_grad<Family>,
    .flops = input_grad_flops,
    .grad = grad_input_grad<Family>,
    .saves = {"dy", "weight"},
    .saves_if = saves_other_factor,
    .amp = Amp::kLow,
    .promote = true,
    .doc = "Gradient of conv3d by its input: the transposed convolution.",
});

constinit const OpDef kConv3dWeightGrad = define({
    .name = "conv3d_weight_grad",
    .inputs = {"dy", "x"},
    .outputs = {"dweight"},
    .attrs = attrs_of<Conv3dWeightGradAttrs>(),
    .infer = infer_weight_grad<Family>,
    .flops = weight_grad_flops,
    .grad = grad_weight_grad<Family>,
    .saves = {"dy", "x"},
    .saves_if = saves_other_factor,
    .amp = Amp::kLow,
    .promote = true,
    .doc = "Gradient of conv3d by its weight.",
});

Tensor conv3d(Arg x, Arg weight, const Tensor& bias, Conv3dAttrs attrs) {
  if (!bias.defined()) return call1(kConv3d, &attrs, {x.tensor, weight.tensor}, x.where);
  return call1(kConv3d, &attrs, {x.tensor, weight.tensor, bias}, x.where);
}

Tensor conv3d_input_grad(Arg dy, Arg weight, Conv3dInputGradAttrs attrs) {
  return call1(kConv3dInputGrad, &attrs, {dy.tensor, weight.tensor}, dy.where);
}

Tensor conv3d_weight_grad(Arg dy, Arg x, Conv3dWeightGradAttrs attrs) {
  return call1(kConv3dWeightGrad, &attrs, {dy.tensor, x.tensor}, dy.where);
}

constinit const OpDef kConvTranspose3d = define({
    .name = "conv_transpose3d",
    .inputs = {"x", "weight", "bias?"},
    .attrs = attrs_of<ConvTranspose3dAttrs>(),
    .infer = infer_transpose<Family>,
    .flops = transpose_flops,
    .grad = grad_transpose<Family>,
    .saves = {"x", "weight"},
    .saves_if = saves_other_factor,
    .compose = compose_transpose<Family>,
    .amp = Amp::kLow,
    .promote = true,
    .doc = "Transposed 3-D convolution of NCDHW volumes.",
});

Tensor conv_transpose3d(Arg x, Arg weight, const Tensor& bias, ConvTranspose3dAttrs attrs) {
  if (!bias.defined()) return call1(kConvTranspose3d, &attrs, {x.tensor, weight.tensor}, x.where);
  return call1(kConvTranspose3d, &attrs, {x.tensor, weight.tensor, bias}, x.where);
}

}  // namespace rutile::ops

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

constinit const OpDef kConv2d = define({
    .name = "conv2d",
    .inputs = {"x", "weight", "bias?"},
    .attrs = attrs_of<Conv2dAttrs>(),
    .infer = infer_conv<Family>,
    .flops = conv_flops,
    .grad = grad_conv<Family>,
    .saves = {"x", "weight"},
    .saves_if = saves_other_factor,
    .amp = Amp::kLow,
    .promote = true,
    .doc = "2-D convolution of NCHW images.",
});

constinit const OpDef kConv2dInputGrad = define({
    .name = "conv2d_input_grad",
    .inputs = {"dy", "weight"},
    .outputs = {"dx"},
    .attrs = attrs_of<Conv2dInputGradAttrs>(),
    .infer = infer_input_grad<Family>,
    .flops = input_grad_flops,
    .grad = grad_input_grad<Family>,
    .saves = {"dy", "weight"},
    .saves_if = saves_other_factor,
    .amp = Amp::kLow,
    .promote = true,
    .doc = "Gradient of conv2d by its input: the transposed convolution.",
});

constinit const OpDef kConv2dWeightGrad = define({
    .name = "conv2d_weight_grad",
    .inputs = {"dy", "x"},
    .outputs = {"dweight"},
    .attrs = attrs_of<Conv2dWeightGradAttrs>(),
    .infer = infer_weight_grad<Family>,
    .flops = weight_grad_flops,
    .grad = grad_weight_grad<Family>,
    .saves = {"dy", "x"},
    .saves_if = saves_other_factor,
    .amp = Amp::kLow,
    .promote = true,
    .doc = "Gradient of conv2d by its weight.",
});

Tensor conv2d(Arg x, Arg weight, const Tensor& bias, Conv2dAttrs attrs) {
  if (!bias.defined()) return call1(kConv2d, &attrs, {x.tensor, weight.tensor}, x.where);
  return call1(kConv2d, &attrs, {x.tensor, weight.tensor, bias}, x.where);
}

Tensor conv2d_input_grad(Arg dy, Arg weight, Conv2dInputGradAttrs attrs) {
  return call1(kConv2dInputGrad, &attrs, {dy.tensor, weight.tensor}, dy.where);
}

Tensor conv2d_weight_grad(Arg dy, Arg x, Conv2dWeightGradAttrs attrs) {
  return call1(kConv2dWeightGrad, &attrs, {dy.tensor, x.tensor}, dy.where);
}

constinit const OpDef kConvTranspose2d = define({
    .name = "conv_transpose2d",
    .inputs = {"x", "weight", "bias?"},
    .attrs = attrs_of<ConvTranspose2dAttrs>(),
    .infer = infer_transpose<Family>,
    .flops = transpose_flops,
    .grad = grad_transpose<Family>,
    .saves = {"x", "weight"},
    .saves_if = saves_other_factor,
    .compose = compose_transpose<Family>,
    .amp = Amp::kLow,
    .promote = true,
    .doc = "Transposed 2-D convolution of NCHW images.",
});

Tensor conv_transpose2d(Arg x, Arg weight, const Tensor& bias, ConvTranspose2dAttrs attrs) {
  if (!bias.defined()) return call1(kConvTranspose2d, &attrs, {x.tensor, weight.tensor}, x.where);
  return call1(kConvTranspose2d, &attrs, {x.tensor, weight.tensor, bias}, x.where);
}

}  // namespace rutile::ops

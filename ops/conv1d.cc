// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/conv1d.h"

#include "rutile/ops/conv.h"
#include "rutile/ops/conv_rules.h"

namespace rutile::ops {

using namespace conv_rules;

namespace {

// [n, c, l] as [n, c, 1, l], and back.
Tensor raised(const Tensor& x) { return x.defined() ? expand_dims(x, 2) : x; }
Tensor lowered(const Tensor& x) { return squeeze(x, {2}); }

template <class To, class From>
To raised_geometry(const From& a) {
  To to;
  to.stride = {1, a.stride};
  to.pad = {0, a.pad};
  to.dilation = {1, a.dilation};
  to.groups = a.groups;
  return to;
}

struct Family {
  using Attrs = Conv1dAttrs;
  using TransposeAttrs = ConvTranspose1dAttrs;
  struct InputGradAttrs : Conv1dAttrs {
    Shape input_shape;
  };
  struct WeightGradAttrs : Conv1dAttrs {
    Shape weight_shape;
    OptionalDType out_dtype;
  };
  static Tensor conv(const Tensor& x, const Tensor& weight, const Attrs& a) {
    return conv1d(x, weight, {}, a);
  }
  static Tensor input_grad(const Tensor& dy, const Tensor& weight, const InputGradAttrs& a) {
    auto to = raised_geometry<Conv2dInputGradAttrs>(a);
    to.input_shape = {a.input_shape[0], a.input_shape[1], 1, a.input_shape[2]};
    return lowered(conv2d_input_grad(raised(dy), raised(weight), to));
  }
  static Tensor weight_grad(const Tensor& dy, const Tensor& x, const WeightGradAttrs& a) {
    auto to = raised_geometry<Conv2dWeightGradAttrs>(a);
    to.weight_shape = {a.weight_shape[0], a.weight_shape[1], 1, a.weight_shape[2]};
    to.out_dtype = a.out_dtype;
    return lowered(conv2d_weight_grad(raised(dy), raised(x), to));
  }
};

TensorList compose_conv1d(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const Conv1dAttrs*>(attrs);
  return {lowered(
      conv2d(raised(in[0]), raised(in[1]), operand(in, 2), raised_geometry<Conv2dAttrs>(a)))};
}

TensorList compose_conv_transpose1d(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const ConvTranspose1dAttrs*>(attrs);
  auto to = raised_geometry<ConvTranspose2dAttrs>(a);
  to.output_pad = {0, a.output_pad};
  return {lowered(conv_transpose2d(raised(in[0]), raised(in[1]), operand(in, 2), to))};
}

}  // namespace

constinit const OpDef kConv1d =
    conv_op<Family>("conv1d", "1-D convolution of NCW sequences.", compose_conv1d);
constinit const OpDef kConvTranspose1d = transpose_op<Family>(
    "conv_transpose1d", "Transposed 1-D convolution of NCW sequences.", compose_conv_transpose1d);

Tensor conv1d(Arg x, Arg weight, const Tensor& bias, Conv1dAttrs attrs) {
  return call_conv(kConv1d, &attrs, x, weight, bias);
}

Tensor conv_transpose1d(Arg x, Arg weight, const Tensor& bias, ConvTranspose1dAttrs attrs) {
  return call_conv(kConvTranspose1d, &attrs, x, weight, bias);
}

}  // namespace rutile::ops

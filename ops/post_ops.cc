// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/post_ops.h"

#include "rutile/ops/conv.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {

namespace {

Conv2dAttrs plain(const Conv2dActAttrs& a) {
  return {.stride = a.stride, .pad = a.pad, .dilation = a.dilation, .groups = a.groups};
}

// `call` as a call of `op`, which checks all but the residual and a wider bias.
Status infer_as(const CallMeta& call, const OpDef& op, const void* attrs, TensorMeta* out) {
  const TensorMeta* in[] = {&call.in(0), &call.in(1), call.has(2) ? &call.in(2) : nullptr};
  TensorMeta bias;
  const DType t = call.in(0).dtype;
  if (call.has(2)) {
    bias = call.in(2);
    if (is_low_precision(t) && bias.dtype == DType::kF32) bias.dtype = t;
    in[2] = &bias;
  }
  for (const TensorMeta* m : in) {
    if (m && m->dtype != t) return type_error(cat("expects one dtype, got ", t, " and ", m->dtype));
  }
  if (!is_floating(t)) return type_error(cat("expects a floating dtype, got ", t));
  const CallMeta inner{&op, attrs, in, {}};
  RUTILE_RETURN_IF_ERROR(op.infer(inner, out));
  if (!call.has(3)) return Status();
  const TensorMeta& r = call.in(3);
  if (r.shape == out->shape && r.dtype == out->dtype) return Status();
  return value_error(
      cat("residual expects ", out->dtype, out->shape, " as the result, got ", r.dtype, r.shape));
}

Status infer_conv2d_act(const CallMeta& call, TensorMeta* out) {
  const Conv2dAttrs attrs = plain(call.as<Conv2dActAttrs>());
  return infer_as(call, kConv2d, &attrs, out);
}

Status infer_linear_act(const CallMeta& call, TensorMeta* out) {
  return infer_as(call, kLinear, nullptr, out);
}

Tensor activate(Activation act, const Tensor& x) {
  switch (act) {
    case Activation::kNone:
      break;
    case Activation::kRelu:
      return relu(x);
    case Activation::kRelu6:
      return relu6(x);
    case Activation::kSigmoid:
      return sigmoid(x);
    case Activation::kSilu:
      return silu(x);
    case Activation::kHswish:
      return hswish(x);
    case Activation::kTanh:
      return tanh(x);
    case Activation::kGelu:
      return gelu(x);
    case Activation::kGeluTanh:
      return gelu(x, {.approximate = GeluApproximate::kTanh});
  }
  return x;
}

// What follows the product: a bias of another dtype, the residual, the activation.
TensorList finish(Tensor y, std::span<const Tensor> in, const Shape& bias_shape, Activation act) {
  const DType t = y.dtype();
  if (in[2].defined() && in[2].dtype() != t) {
    y = cast(add(cast(y, in[2].dtype()), reshape(in[2], bias_shape)), t);
  }
  if (in.size() > 3 && in[3].defined()) y = add(y, in[3]);
  return {activate(act, y)};
}

Tensor fitting_bias(std::span<const Tensor> in) {
  return in.size() > 2 && in[2].defined() && in[2].dtype() == in[0].dtype() ? in[2] : Tensor();
}

TensorList compose_conv2d_act(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const Conv2dActAttrs*>(attrs);
  Tensor y = conv2d(in[0], in[1], fitting_bias(in), plain(a));
  SmallVector<Tensor, 4> all;
  for (size_t i = 0; i < 4; ++i) all.push_back(i < in.size() ? in[i] : Tensor());
  return finish(std::move(y), all, {-1, 1, 1}, a.act);
}

TensorList compose_linear_act(const void* attrs, std::span<const Tensor> in) {
  Tensor y = linear(in[0], in[1], fitting_bias(in));
  SmallVector<Tensor, 4> all;
  for (size_t i = 0; i < 4; ++i) all.push_back(i < in.size() ? in[i] : Tensor());
  return finish(std::move(y), all, {-1}, static_cast<const LinearActAttrs*>(attrs)->act);
}

// The product's, and one for each element added or activated.
template <const OpDef& op>
double act_flops(const CallMeta& c) {
  const CallMeta product{&op, nullptr, c.inputs.first(std::min<size_t>(c.inputs.size(), 3)),
                         c.outputs};
  return op.flops(product) + (c.has(3) ? 2 : 1) * elements(c.out());
}

}  // namespace

constinit const OpDef kConv2dAct = define({
    .name = "conv2d_act",
    .inputs = {"x", "weight", "bias?", "residual?"},
    .attrs = attrs_of<Conv2dActAttrs>(),
    .infer = infer_conv2d_act,
    .flops = act_flops<kConv2d>,
    .compose = compose_conv2d_act,
    .doc = "Convolution, bias, residual and activation in one kernel.",
});

constinit const OpDef kLinearAct = define({
    .name = "linear_act",
    .inputs = {"x", "weight", "bias?", "residual?"},
    .attrs = attrs_of<LinearActAttrs>(),
    .infer = infer_linear_act,
    .flops = act_flops<kLinear>,
    .compose = compose_linear_act,
    .doc = "Linear layer, residual and activation in one kernel.",
});

Tensor conv2d_act(Arg x, Arg weight, const Tensor& bias, const Tensor& residual,
                  Conv2dActAttrs attrs) {
  return call1(kConv2dAct, &attrs, {x.tensor, weight.tensor, bias, residual}, x.where);
}

Tensor linear_act(Arg x, Arg weight, const Tensor& bias, const Tensor& residual,
                  LinearActAttrs attrs) {
  return call1(kLinearAct, &attrs, {x.tensor, weight.tensor, bias, residual}, x.where);
}

}  // namespace rutile::ops

// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/softmax.h"

#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/lines.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::ops {
namespace {

Status infer_softmax(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(c.as<SoftmaxAttrs>().axis, x.rank(), &axis));
  if (!is_floating(x.dtype)) return type_error(cat("expects a floating dtype, got ", x.dtype));
  return place(x.shape, x.dtype, x.device, {kStrided, x.is_channels_last()}, out);
}

Status infer_grad(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &g = c.in(0), &y = c.in(1);
  if (!(g.shape == y.shape) || g.dtype != y.dtype) {
    return value_error(cat("grad and y must agree, got ", g, " and ", y));
  }
  return infer_softmax(c, out);
}

GradResult grad_softmax(GradCtx& ctx) {
  return {call1(kSoftmaxGrad, ctx.raw_attrs(), {ctx.grad(), ctx.out()})};
}

GradResult grad_log_softmax(GradCtx& ctx) {
  return {call1(kLogSoftmaxGrad, ctx.raw_attrs(), {ctx.grad(), ctx.out()})};
}

TensorList compose_softmax_grad(const void* attrs, std::span<const Tensor> in) {
  const int64_t axis = static_cast<const SoftmaxAttrs*>(attrs)->axis;
  const Tensor g = wide(in[0]), y = wide(in[1]);
  const Tensor s = sum(g * y, {.axes = {axis}, .keepdims = true});
  return {cast(y * (g - s), in[0].dtype())};
}

TensorList compose_log_softmax_grad(const void* attrs, std::span<const Tensor> in) {
  const int64_t axis = static_cast<const SoftmaxAttrs*>(attrs)->axis;
  const Tensor g = wide(in[0]), y = wide(in[1]);
  const Tensor s = sum(g, {.axes = {axis}, .keepdims = true});
  return {cast(g - exp(y) * s, in[0].dtype())};
}

}  // namespace

constinit const OpDef kSoftmax = define({
    .name = "softmax",
    .inputs = {"x"},
    .attrs = attrs_of<SoftmaxAttrs>(),
    .infer = infer_lines<infer_softmax>,
    .flops = flops_per_input<5>,
    .grad = grad_softmax,
    .saves = {"y"},
    .amp = Amp::kHigh,
    .doc = "exp(x) / sum(exp(x)) along an axis.",
});

constinit const OpDef kLogSoftmax = define({
    .name = "log_softmax",
    .inputs = {"x"},
    .attrs = attrs_of<SoftmaxAttrs>(),
    .infer = infer_lines<infer_softmax>,
    .flops = flops_per_input<5>,
    .grad = grad_log_softmax,
    .saves = {"y"},
    .amp = Amp::kHigh,
    .doc = "The logarithm of softmax, without overflow or underflow.",
});

constinit const OpDef kSoftmaxGrad = define({
    .name = "softmax_grad",
    .inputs = {"grad", "y"},
    .outputs = {"dx"},
    .attrs = attrs_of<SoftmaxAttrs>(),
    .infer = infer_lines<infer_grad>,
    .flops = flops_per_input<4>,
    .saves = {"grad", "y"},
    .compose = compose_softmax_grad,
    .doc = "Gradient of softmax from its result: y * (grad - sum(grad * y)).",
});

constinit const OpDef kLogSoftmaxGrad = define({
    .name = "log_softmax_grad",
    .inputs = {"grad", "y"},
    .outputs = {"dx"},
    .attrs = attrs_of<SoftmaxAttrs>(),
    .infer = infer_lines<infer_grad>,
    .flops = flops_per_input<4>,
    .saves = {"grad", "y"},
    .compose = compose_log_softmax_grad,
    .doc = "Gradient of log_softmax from its result: grad - exp(y) * sum(grad).",
});

Tensor softmax(Arg x, int64_t axis) {
  const SoftmaxAttrs a{axis};
  return call1(kSoftmax, &a, {x.tensor}, x.where);
}

Tensor log_softmax(Arg x, int64_t axis) {
  const SoftmaxAttrs a{axis};
  return call1(kLogSoftmax, &a, {x.tensor}, x.where);
}

}  // namespace rutile::ops

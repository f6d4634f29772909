// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/statistics.h"

#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::ops {
namespace {

using In = std::span<const Tensor>;

// The shape and errors of the plain reduction with the same attributes.
template <const OpDef& kPlain>
Status infer_like(const CallMeta& c, TensorMeta* out) {
  return kPlain.infer(CallMeta{&kPlain, c.attrs, c.inputs, {}}, out);
}
Status infer_nanmean(const CallMeta& c, TensorMeta* out) {
  if (!is_floating(c.in(0).dtype)) return type_error(cat("expects floats, got ", c.in(0).dtype));
  return infer_like<kMean>(c, out);
}
Status infer_count(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(infer_like<kAny>(c, out));
  out->dtype = DType::kI64;
  return Status();
}
Status infer_aminmax(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(infer_like<kMax>(c, out));
  out[1] = out[0];
  return Status();
}

TensorList compose_nansum(const void* attrs, In in) {
  const auto& a = *static_cast<const SumAttrs*>(attrs);
  if (!is_floating(in[0].dtype())) return {sum(in[0], a)};
  return {sum(where(isnan(in[0]), 0.0, in[0]), a)};
}
TensorList compose_nanmean(const void* attrs, In in) {
  SumAttrs a = *static_cast<const SumAttrs*>(attrs);
  const DType dtype = a.dtype.set ? a.dtype.value : in[0].dtype();
  const Tensor x = cast(in[0], wide(dtype)), none = isnan(x);
  a.dtype = {};
  const Tensor n = sum(cast(logical_not(none), x.dtype()), a);
  return {cast(sum(where(none, 0.0, x), a) / n, dtype)};
}
TensorList compose_count_nonzero(const void* attrs, In in) {
  const auto& a = *static_cast<const ReduceAttrs*>(attrs);
  return {sum(cast(in[0], DType::kBool), {.axes = a.axes, .keepdims = a.keepdims})};
}
TensorList compose_aminmax(const void* attrs, In in) {
  const auto& a = *static_cast<const ReduceAttrs*>(attrs);
  return {min(in[0], a), max(in[0], a)};
}

}  // namespace

constinit const OpDef kNansum = define({.name = "nansum",
                                        .inputs = {"x"},
                                        .attrs = attrs_of<SumAttrs>(),
                                        .infer = infer_like<kSum>,
                                        .flops = flops_per_input<2>,
                                        .compose = compose_nansum,
                                        .amp = Amp::kHigh,
                                        .doc = "Sum over axes, NaN counting as 0."});
Tensor nansum(Arg x, SumAttrs attrs) { return call1(kNansum, &attrs, {x.tensor}, x.where); }

constinit const OpDef kNanmean = define({.name = "nanmean",
                                         .inputs = {"x"},
                                         .attrs = attrs_of<SumAttrs>(),
                                         .infer = infer_nanmean,
                                         .flops = flops_per_input<3>,
                                         .compose = compose_nanmean,
                                         .amp = Amp::kHigh,
                                         .doc = "Mean over axes of the elements that are no NaN."});
Tensor nanmean(Arg x, SumAttrs attrs) { return call1(kNanmean, &attrs, {x.tensor}, x.where); }

constinit const OpDef kCountNonzero = define({.name = "count_nonzero",
                                              .inputs = {"x"},
                                              .attrs = attrs_of<ReduceAttrs>(),
                                              .infer = infer_count,
                                              .flops = flops_per_input<1>,
                                              .compose = compose_count_nonzero,
                                              .no_grad = "gives integers",
                                              .doc = "How many elements are not 0, over axes."});
Tensor count_nonzero(Arg x, ReduceAttrs attrs) {
  return call1(kCountNonzero, &attrs, {x.tensor}, x.where);
}

constinit const OpDef kAminmax = define({.name = "aminmax",
                                         .inputs = {"x"},
                                         .outputs = {"min", "max"},
                                         .attrs = attrs_of<ReduceAttrs>(),
                                         .infer = infer_aminmax,
                                         .flops = flops_per_input<2>,
                                         .compose = compose_aminmax,
                                         .doc = "Smallest and largest element over axes."});
MinMax aminmax(Arg x, ReduceAttrs attrs) {
  const TensorList y = call_n(kAminmax, &attrs, {&x.tensor, 1}, x.where);
  return {y[0], y[1]};
}
Tensor amax(Arg x, ReduceAttrs attrs) { return max(x, attrs); }
Tensor amin(Arg x, ReduceAttrs attrs) { return min(x, attrs); }

Spread var_mean(Arg x, VarAttrs attrs) {
  return {var(x, attrs), mean(x, {.axes = attrs.axes, .keepdims = attrs.keepdims})};
}
Spread std_mean(Arg x, VarAttrs attrs) {
  return {std(x, attrs), mean(x, {.axes = attrs.axes, .keepdims = attrs.keepdims})};
}

}  // namespace rutile::ops

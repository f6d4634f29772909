// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/pool1d.h"

#include "rutile/ops/cost.h"
#include "rutile/ops/image_meta.h"
#include "rutile/ops/pool.h"
#include "rutile/ops/view.h"

namespace rutile::ops {

namespace {

// [.., l] as [.., 1, l], and back.
Tensor raised(const Tensor& x) { return expand_dims(x, -2); }
Tensor lowered(const Tensor& x) { return squeeze(x, {-2}); }

MaxPool2dAttrs raised_attrs(const MaxPool1dAttrs& a) {
  return {{1, a.kernel}, {1, a.stride}, {0, a.pad}, {1, a.dilation}, a.ceil_mode};
}
AvgPool2dAttrs raised_attrs(const AvgPool1dAttrs& a) {
  return {{1, a.kernel}, {1, a.stride}, {0, a.pad}, a.ceil_mode, a.count_include_pad};
}

template <class A>
Status infer_pool(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& x = call.in(0);
  const A& a = call.as<A>();
  RUTILE_RETURN_IF_ERROR(check_image_rank(x, 1, true, "x"));
  const Dims size = spatial_size(x, 1);
  RUTILE_RETURN_IF_ERROR(check_sizes(size, "x"));
  int64_t dilation = 1, pooled = 0;
  if constexpr (requires { a.dilation; }) dilation = a.dilation;
  RUTILE_RETURN_IF_ERROR(
      pooled_size({size[0], a.kernel, a.stride ? a.stride : a.kernel, a.pad, dilation}, a.ceil_mode,
                  "length", &pooled));
  return with_spatial_size(x, {pooled}, out);
}

Status infer_max_pool(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& x = call.in(0);
  RUTILE_RETURN_IF_ERROR(check_numbers(x, "x"));
  RUTILE_RETURN_IF_ERROR(infer_pool<MaxPool1dAttrs>(call, out));
  RUTILE_RETURN_IF_ERROR(check_positions(spatial_size(x, 1)));
  out[1] = out[0];
  out[1].dtype = DType::kI32;
  return Status();
}

Status infer_avg_pool(const CallMeta& call, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_floating(call.in(0), "x"));
  return infer_pool<AvgPool1dAttrs>(call, out);
}

TensorList compose_max_pool(const void* attrs, std::span<const Tensor> in) {
  const auto r = max_pool2d_with_indices(raised(in[0]),
                                         raised_attrs(*static_cast<const MaxPool1dAttrs*>(attrs)));
  return {lowered(r.y), lowered(r.indices)};
}

TensorList compose_avg_pool(const void* attrs, std::span<const Tensor> in) {
  return {
      lowered(avg_pool2d(raised(in[0]), raised_attrs(*static_cast<const AvgPool1dAttrs*>(attrs))))};
}

GradResult grad_max_pool(GradCtx& ctx) {
  if (!ctx.grad(0).defined()) return {Tensor()};
  const TensorMeta& x = ctx.in_meta(0);
  const MaxPool2dAttrs a = raised_attrs(ctx.attrs<MaxPool1dAttrs>());
  return {lowered(max_pool2d_grad(
      raised(ctx.grad(0)), raised(ctx.out(1)),
      {1, x.dim(x.rank() - 1), a.kernel, a.stride, a.pad, a.dilation, a.ceil_mode}))};
}

GradResult grad_avg_pool(GradCtx& ctx) {
  const TensorMeta& x = ctx.in_meta(0);
  const AvgPool2dAttrs a = raised_attrs(ctx.attrs<AvgPool1dAttrs>());
  return {
      lowered(avg_pool2d_grad(raised(ctx.grad(0)), {1, x.dim(x.rank() - 1), a.kernel, a.stride,
                                                    a.pad, a.ceil_mode, a.count_include_pad, 0}))};
}

}  // namespace

constinit const OpDef kMaxPool1d = define({
    .name = "max_pool1d",
    .inputs = {"x"},
    .outputs = {"y", "indices"},
    .attrs = attrs_of<MaxPool1dAttrs>(),
    .infer = infer_max_pool,
    .flops = flops_per_input<1>,
    .grad = grad_max_pool,
    .saves = {"indices"},
    .compose = compose_max_pool,
    .doc = "Maximum over windows of the last dimension, and where it was.",
});

constinit const OpDef kAvgPool1d = define({
    .name = "avg_pool1d",
    .inputs = {"x"},
    .attrs = attrs_of<AvgPool1dAttrs>(),
    .infer = infer_avg_pool,
    .flops = flops_per_input<1>,
    .grad = grad_avg_pool,
    .compose = compose_avg_pool,
    .doc = "Mean over windows of the last dimension.",
});

Tensor max_pool1d(Arg x, MaxPool1dAttrs attrs) { return max_pool1d_with_indices(x, attrs).y; }

MaxPool1dResult max_pool1d_with_indices(Arg x, MaxPool1dAttrs attrs) {
  Tensor out[2];
  call(kMaxPool1d, &attrs, {&x.tensor, 1}, out, x.where);
  return {out[0], out[1]};
}

Tensor avg_pool1d(Arg x, AvgPool1dAttrs attrs) {
  return call1(kAvgPool1d, &attrs, {x.tensor}, x.where);
}

}  // namespace rutile::ops

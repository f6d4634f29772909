// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/pool3d.h"

#include "rutile/ops/cost.h"
#include "rutile/ops/image_meta.h"
#include "rutile/ops/pool.h"
#include "rutile/ops/unpool.h"

namespace rutile::ops {

namespace {

// Depth, height and width of the result for images of `size`.
template <class A>
Status pooled(const A& a, const Dims& size, Dims* out) {
  const Dims kernel = entries(a.kernel), stride = entries(a.stride), pad = entries(a.pad);
  Dims dilation{1, 1, 1};
  if constexpr (requires { a.dilation; }) dilation = entries(a.dilation);
  *out = {0, 0, 0};
  for (int i = 0; i < 3; ++i) {
    const PoolAxis axis{size[i], kernel[i], stride[i] ? stride[i] : kernel[i], pad[i], dilation[i]};
    RUTILE_RETURN_IF_ERROR(pooled_size(axis, a.ceil_mode, spatial_name(i, 3), &(*out)[i]));
  }
  return Status();
}

Status infer_max_pool(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& x = call.in(0);
  RUTILE_RETURN_IF_ERROR(check_image_rank(x, 3, true, "x"));
  RUTILE_RETURN_IF_ERROR(check_numbers(x, "x"));
  const Dims size = spatial_size(x, 3);
  RUTILE_RETURN_IF_ERROR(check_positions(size));
  Dims pooled_to;
  RUTILE_RETURN_IF_ERROR(pooled(call.as<MaxPool3dAttrs>(), size, &pooled_to));
  RUTILE_RETURN_IF_ERROR(with_spatial_size(x, pooled_to, out));
  out[1] = out[0];
  out[1].dtype = DType::kI32;
  return Status();
}

Status infer_avg_pool(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& x = call.in(0);
  const auto& a = call.as<AvgPool3dAttrs>();
  RUTILE_RETURN_IF_ERROR(check_image_rank(x, 3, true, "x"));
  RUTILE_RETURN_IF_ERROR(check_floating(x, "x"));
  const Dims size = spatial_size(x, 3);
  RUTILE_RETURN_IF_ERROR(check_sizes(size, "x"));
  Dims pooled_to;
  RUTILE_RETURN_IF_ERROR(pooled(a, size, &pooled_to));
  return with_spatial_size(x, pooled_to, out);
}

Status infer_avg_pool_grad(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& dy = call.in(0);
  const auto& a = call.as<AvgPool3dGradAttrs>();
  RUTILE_RETURN_IF_ERROR(check_image_rank(dy, 3, true, "dy"));
  RUTILE_RETURN_IF_ERROR(check_floating(dy, "dy"));
  RUTILE_RETURN_IF_ERROR(check_sizes(entries(a.size), "size"));
  Dims pooled_to;
  RUTILE_RETURN_IF_ERROR(pooled(a, entries(a.size), &pooled_to));
  TensorMeta y;
  RUTILE_RETURN_IF_ERROR(with_spatial_size(dy, pooled_to, &y));
  RUTILE_RETURN_IF_ERROR(check_same_shape(dy, y.shape, "dy"));
  return with_spatial_size(dy, entries(a.size), out);
}

Int3 size_of(const TensorMeta& x) {
  const Dims s = spatial_size(x, 3);
  return {s[0], s[1], s[2]};
}

GradResult grad_max_pool(GradCtx& ctx) {
  if (!ctx.grad(0).defined()) return {Tensor()};
  return {pool_scatter(ctx.grad(0), ctx.out(1), {spatial_size(ctx.in_meta(0), 3), true})};
}

GradResult grad_avg_pool(GradCtx& ctx) {
  const auto& a = ctx.attrs<AvgPool3dAttrs>();
  return {avg_pool3d_grad(ctx.grad(0), {size_of(ctx.in_meta(0)), a.kernel, a.stride, a.pad,
                                        a.ceil_mode, a.count_include_pad, a.divisor_override})};
}

GradResult grad_avg_pool_grad(GradCtx& ctx) {
  const auto& a = ctx.attrs<AvgPool3dGradAttrs>();
  return {avg_pool3d(ctx.grad(0), {a.kernel, a.stride, a.pad, a.ceil_mode, a.count_include_pad,
                                   a.divisor_override})};
}

}  // namespace

constinit const OpDef kMaxPool3d = define({
    .name = "max_pool3d",
    .inputs = {"x"},
    .outputs = {"y", "indices"},
    .attrs = attrs_of<MaxPool3dAttrs>(),
    .infer = infer_max_pool,
    .flops = flops_per_input<3>,
    .grad = grad_max_pool,
    .saves = {"indices"},
    .doc = "Maximum over windows of the last three dimensions, and where it was.",
});

constinit const OpDef kAvgPool3d = define({
    .name = "avg_pool3d",
    .inputs = {"x"},
    .attrs = attrs_of<AvgPool3dAttrs>(),
    .infer = infer_avg_pool,
    .flops = flops_per_input<3>,
    .grad = grad_avg_pool,
    .doc = "Mean over windows of the last three dimensions.",
});

constinit const OpDef kAvgPool3dGrad = define({
    .name = "avg_pool3d_grad",
    .inputs = {"dy"},
    .outputs = {"dx"},
    .attrs = attrs_of<AvgPool3dGradAttrs>(),
    .infer = infer_avg_pool_grad,
    .flops = flops_per_output<3>,
    .grad = grad_avg_pool_grad,
    .doc = "Gradient of avg_pool3d.",
});

Tensor max_pool3d(Arg x, MaxPool3dAttrs attrs) { return max_pool3d_with_indices(x, attrs).y; }

MaxPool3dResult max_pool3d_with_indices(Arg x, MaxPool3dAttrs attrs) {
  Tensor out[2];
  call(kMaxPool3d, &attrs, {&x.tensor, 1}, out, x.where);
  return {out[0], out[1]};
}

Tensor avg_pool3d(Arg x, AvgPool3dAttrs attrs) {
  return call1(kAvgPool3d, &attrs, {x.tensor}, x.where);
}

Tensor avg_pool3d_grad(Arg dy, AvgPool3dGradAttrs attrs) {
  return call1(kAvgPool3dGrad, &attrs, {dy.tensor}, dy.where);
}

}  // namespace rutile::ops

// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/unpool.h"

#include "rutile/ops/cost.h"
#include "rutile/ops/image_meta.h"

namespace rutile::ops {

namespace {

Status check_indices(const TensorMeta& indices, const Shape& shape) {
  if (indices.dtype != DType::kI32 && indices.dtype != DType::kI64) {
    return type_error(cat("indices must be i32 or i64, got ", indices.dtype));
  }
  return check_same_shape(indices, shape, "indices");
}

Status infer_scatter(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& v = call.in(0);
  const Dims& size = call.as<PoolScatterAttrs>().size;
  if (size.rank() < 1 || size.rank() > 3) {
    return value_error(cat("size expects 1 to 3 entries, got ", size));
  }
  RUTILE_RETURN_IF_ERROR(check_image_rank(v, size.rank(), true, "v"));
  RUTILE_RETURN_IF_ERROR(check_floating(v, "v"));
  RUTILE_RETURN_IF_ERROR(check_positions(size));
  RUTILE_RETURN_IF_ERROR(check_indices(call.in(1), v.shape));
  return with_spatial_size(v, size, out);
}

Status infer_gather(const CallMeta& call, TensorMeta* out) {
  const TensorMeta &x = call.in(0), &indices = call.in(1);
  const int64_t spatial = call.as<PoolGatherAttrs>().spatial;
  if (spatial < 1 || spatial > 3) {
    return value_error(cat("spatial expects 1 to 3, got ", spatial));
  }
  const int dims = static_cast<int>(spatial);
  RUTILE_RETURN_IF_ERROR(check_image_rank(x, dims, true, "x"));
  RUTILE_RETURN_IF_ERROR(check_floating(x, "x"));
  RUTILE_RETURN_IF_ERROR(check_positions(spatial_size(x, dims)));
  if (indices.rank() != x.rank()) {
    return value_error(cat("indices must have rank ", x.rank(), " as x, got ", indices.shape));
  }
  RUTILE_RETURN_IF_ERROR(with_spatial_size(x, spatial_size(indices, dims), out));
  return check_indices(indices, out->shape);
}

GradResult grad_scatter(GradCtx& ctx) {
  const auto spatial = ctx.attrs<PoolScatterAttrs>().size.rank();
  return {pool_gather(ctx.grad(), ctx.in(1), {spatial}), Tensor()};
}

GradResult grad_gather(GradCtx& ctx) {
  const int spatial = static_cast<int>(ctx.attrs<PoolGatherAttrs>().spatial);
  return {pool_scatter(ctx.grad(), ctx.in(1), {spatial_size(ctx.in_meta(0), spatial), true}),
          Tensor()};
}

// ---- max_unpool ----

template <class A>
Status unpooled_size(const TensorMeta& x, const A& a, Dims* size) {
  const Dims kernel = entries(a.kernel), stride = entries(a.stride), pad = entries(a.pad);
  const int spatial = kernel.rank();
  RUTILE_RETURN_IF_ERROR(check_image_rank(x, spatial, true, "x"));
  *size = a.output_size;
  if (!a.output_size.empty() && a.output_size.rank() != spatial) {
    return value_error(cat("output_size expects ", spatial, " entries, got ", a.output_size));
  }
  if (!a.output_size.empty()) return check_positions(*size);
  const Dims in = spatial_size(x, spatial);
  RUTILE_RETURN_IF_ERROR(check_sizes(in, "x"));
  for (int i = 0; i < spatial; ++i) {
    const int64_t step = stride[i] ? stride[i] : kernel[i];
    RUTILE_RETURN_IF_ERROR(check_size(kernel[i], "kernel"));
    RUTILE_RETURN_IF_ERROR(check_size(step, "stride"));
    if (pad[i] < 0 || pad[i] > kernel[i] / 2) {
      return value_error(cat("pad must lie in [0, kernel / 2], got ", a.pad));
    }
    size->push_back((in[i] - 1) * step - 2 * pad[i] + kernel[i]);
  }
  return check_positions(*size);
}

template <class A>
Status infer_unpool(const CallMeta& call, TensorMeta* out) {
  PoolScatterAttrs a;
  RUTILE_RETURN_IF_ERROR(unpooled_size(call.in(0), call.as<A>(), &a.size));
  return infer_scatter(CallMeta{&kPoolScatter, &a, call.inputs, {}}, out);
}

template <class A>
TensorList compose_unpool(const void* attrs, std::span<const Tensor> in) {
  PoolScatterAttrs a;
  throw_if_error(unpooled_size(in[0].meta(), *static_cast<const A*>(attrs), &a.size));
  return {pool_scatter(in[0], in[1], a)};
}

template <class A>
GradResult grad_unpool(GradCtx& ctx) {
  const int64_t spatial = entries(ctx.attrs<A>().kernel).rank();
  return {pool_gather(ctx.grad(), ctx.in(1), {spatial}), Tensor()};
}

template <class A>
consteval OpSpec unpool(const char* name, const char* doc) {
  return {
      .name = name,
      .inputs = {"x", "indices"},
      .attrs = attrs_of<A>(),
      .infer = infer_unpool<A>,
      .flops = flops_per_input<1>,
      .grad = grad_unpool<A>,
      .saves = {"indices"},
      .compose = compose_unpool<A>,
      .checks_values = true,
      .doc = doc,
  };
}

}  // namespace

constinit const OpDef kPoolScatter = define({
    .name = "pool_scatter",
    .inputs = {"v", "indices"},
    .attrs = attrs_of<PoolScatterAttrs>(),
    .infer = infer_scatter,
    .flops = flops_per_input<1>,
    .grad = grad_scatter,
    .saves = {"indices"},
    .checks_values = true,
    .doc = "Zeros with elements where max pooling's indices say.",
});

constinit const OpDef kPoolGather = define({
    .name = "pool_gather",
    .inputs = {"x", "indices"},
    .attrs = attrs_of<PoolGatherAttrs>(),
    .infer = infer_gather,
    .bytes = bytes_of_lookup<0>,
    .grad = grad_gather,
    .saves = {"indices"},
    .checks_values = true,
    .doc = "The elements of an image that max pooling's indices name.",
});

constinit const OpDef kMaxUnpool1d = define(
    unpool<MaxUnpool1dAttrs>("max_unpool1d", "Maxima of max_pool1d back in place, else zeros."));
constinit const OpDef kMaxUnpool2d = define(
    unpool<MaxUnpool2dAttrs>("max_unpool2d", "Maxima of max_pool2d back in place, else zeros."));
constinit const OpDef kMaxUnpool3d = define(
    unpool<MaxUnpool3dAttrs>("max_unpool3d", "Maxima of max_pool3d back in place, else zeros."));

Tensor pool_scatter(Arg v, const Tensor& indices, PoolScatterAttrs attrs) {
  return call1(kPoolScatter, &attrs, {v.tensor, indices}, v.where);
}

Tensor pool_gather(Arg x, const Tensor& indices, PoolGatherAttrs attrs) {
  return call1(kPoolGather, &attrs, {x.tensor, indices}, x.where);
}

Tensor max_unpool1d(Arg x, const Tensor& indices, MaxUnpool1dAttrs attrs) {
  return call1(kMaxUnpool1d, &attrs, {x.tensor, indices}, x.where);
}

Tensor max_unpool2d(Arg x, const Tensor& indices, MaxUnpool2dAttrs attrs) {
  return call1(kMaxUnpool2d, &attrs, {x.tensor, indices}, x.where);
}

Tensor max_unpool3d(Arg x, const Tensor& indices, MaxUnpool3dAttrs attrs) {
  return call1(kMaxUnpool3d, &attrs, {x.tensor, indices}, x.where);
}

}  // namespace rutile::ops

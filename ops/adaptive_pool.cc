// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/adaptive_pool.h"

#include "rutile/ops/cost.h"
#include "rutile/ops/image_meta.h"
#include "rutile/ops/interpolate.h"
#include "rutile/ops/unpool.h"
#include "rutile/ops/view.h"

namespace rutile::ops {

namespace {

template <class A>
Status infer_pool(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& x = call.in(0);
  const Dims size = entries(call.as<A>().output_size);
  RUTILE_RETURN_IF_ERROR(check_image_rank(x, size.rank(), true, "x"));
  RUTILE_RETURN_IF_ERROR(check_sizes(spatial_size(x, size.rank()), "x"));
  RUTILE_RETURN_IF_ERROR(check_sizes(size, "output_size"));
  return with_spatial_size(x, size, out);
}

template <class A>
Status infer_avg(const CallMeta& call, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_floating(call.in(0), "x"));
  return infer_pool<A>(call, out);
}

template <class A>
Status infer_max(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& x = call.in(0);
  RUTILE_RETURN_IF_ERROR(check_numbers(x, "x"));
  RUTILE_RETURN_IF_ERROR(infer_pool<A>(call, out));
  RUTILE_RETURN_IF_ERROR(check_positions(spatial_size(x, entries(A().output_size).rank())));
  out[1] = out[0];
  out[1].dtype = DType::kI32;
  return Status();
}

// f of x, which may lack the batch that f wants.
template <class F>
Tensor batched(const Tensor& x, int spatial, F f) {
  return x.rank() == spatial + 2 ? f(x) : squeeze(f(expand_dims(x, 0)), {0});
}

template <class A>
TensorList compose_avg(const void* attrs, std::span<const Tensor> in) {
  const Dims size = entries(static_cast<const A*>(attrs)->output_size);
  return {batched(in[0], size.rank(), [&](const Tensor& x) {
    return interpolate(x, {.size = size, .mode = InterpolateMode::kArea});
  })};
}

template <class A>
GradResult grad_avg(GradCtx& ctx) {
  const Dims size = entries(ctx.attrs<A>().output_size);
  const int spatial = size.rank();
  return {batched(ctx.grad(), spatial, [&](const Tensor& g) {
    return interpolate_grad(g, {.input_size = spatial_size(ctx.in_meta(0), spatial),
                                .size = size,
                                .mode = InterpolateMode::kArea});
  })};
}

template <class A>
GradResult grad_max(GradCtx& ctx) {
  if (!ctx.grad(0).defined()) return {Tensor()};
  const int spatial = entries(ctx.attrs<A>().output_size).rank();
  return {pool_scatter(ctx.grad(0), ctx.out(1), {spatial_size(ctx.in_meta(0), spatial), true})};
}

template <class A>
consteval OpSpec average(const char* name, const char* doc) {
  return {
      .name = name,
      .inputs = {"x"},
      .attrs = attrs_of<A>(),
      .infer = infer_avg<A>,
      .flops = flops_per_input<1>,
      .grad = grad_avg<A>,
      .compose = compose_avg<A>,
      .doc = doc,
  };
}

template <class A>
consteval OpSpec maximum_of(const char* name, const char* doc) {
  return {
      .name = name,
      .inputs = {"x"},
      .outputs = {"y", "indices"},
      .attrs = attrs_of<A>(),
      .infer = infer_max<A>,
      .flops = flops_per_input<1>,
      .grad = grad_max<A>,
      .saves = {"indices"},
      .doc = doc,
  };
}

template <class A>
AdaptiveMaxPoolResult max_pool(const OpDef& op, const A& attrs, Arg x) {
  Tensor out[2];
  call(op, &attrs, {&x.tensor, 1}, out, x.where);
  return {out[0], out[1]};
}

}  // namespace

constinit const OpDef kAdaptiveAvgPool1d = define(average<AdaptivePool1dAttrs>(
    "adaptive_avg_pool1d", "Mean over windows so that the last dimension has the given size."));
constinit const OpDef kAdaptiveAvgPool3d = define(
    average<AdaptivePool3dAttrs>("adaptive_avg_pool3d",
                                 "Mean over windows so that the last three dimensions have the "
                                 "given sizes."));
constinit const OpDef kAdaptiveMaxPool1d = define(maximum_of<AdaptivePool1dAttrs>(
    "adaptive_max_pool1d",
    "Maximum over windows so that the last dimension has the given size, and where it was."));
constinit const OpDef kAdaptiveMaxPool2d = define(maximum_of<AdaptivePool2dAttrs>(
    "adaptive_max_pool2d",
    "Maximum over windows so that the last two dimensions have the given sizes, and where it "
    "was."));
constinit const OpDef kAdaptiveMaxPool3d = define(maximum_of<AdaptivePool3dAttrs>(
    "adaptive_max_pool3d",
    "Maximum over windows so that the last three dimensions have the given sizes, and where it "
    "was."));

Tensor adaptive_avg_pool1d(Arg x, int64_t output_size) {
  const AdaptivePool1dAttrs a{output_size};
  return call1(kAdaptiveAvgPool1d, &a, {x.tensor}, x.where);
}

Tensor adaptive_avg_pool3d(Arg x, Int3 output_size) {
  const AdaptivePool3dAttrs a{output_size};
  return call1(kAdaptiveAvgPool3d, &a, {x.tensor}, x.where);
}

AdaptiveMaxPoolResult adaptive_max_pool1d_with_indices(Arg x, int64_t output_size) {
  return max_pool(kAdaptiveMaxPool1d, AdaptivePool1dAttrs{output_size}, x);
}

AdaptiveMaxPoolResult adaptive_max_pool2d_with_indices(Arg x, Int2 output_size) {
  return max_pool(kAdaptiveMaxPool2d, AdaptivePool2dAttrs{output_size}, x);
}

AdaptiveMaxPoolResult adaptive_max_pool3d_with_indices(Arg x, Int3 output_size) {
  return max_pool(kAdaptiveMaxPool3d, AdaptivePool3dAttrs{output_size}, x);
}

Tensor adaptive_max_pool1d(Arg x, int64_t output_size) {
  return adaptive_max_pool1d_with_indices(x, output_size).y;
}

Tensor adaptive_max_pool2d(Arg x, Int2 output_size) {
  return adaptive_max_pool2d_with_indices(x, output_size).y;
}

Tensor adaptive_max_pool3d(Arg x, Int3 output_size) {
  return adaptive_max_pool3d_with_indices(x, output_size).y;
}

}  // namespace rutile::ops

// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/pool.h"

#include "rutile/ops/cost.h"
#include "rutile/ops/image_meta.h"

namespace rutile::ops {

namespace {

// Attributes beyond this are refused, so that sums and products of them fit in 64 bits.

Status check_image(const TensorMeta& x, const char* name) {
  if (x.rank() != 3 && x.rank() != 4) {
    return value_error(cat(name, " must have shape [n,c,h,w] or [c,h,w], got ", x.shape));
  }
  return Status();
}

Status check_pixels(const TensorMeta& x) {
  const int r = x.rank();
  if (x.dim(r - 2) > 0 && x.dim(r - 1) > 0) return Status();
  return value_error(cat("x must have pixels, got ", x.shape));
}

Status check_float(const TensorMeta& x, const char* name) {
  if (is_floating(x.dtype)) return Status();
  return type_error(cat(name, " must be floating point, got ", x.dtype, "; cast it to f32 first"));
}

Status check_numeric(const TensorMeta& x, const char* name) {
  if (is_floating(x.dtype) || is_integral(x.dtype)) return Status();
  return type_error(cat(name, " must be a floating or integer type, got ", x.dtype));
}

Shape resized_shape(const TensorMeta& x, int64_t height, int64_t width) {
  Shape s = x.shape;
  s[x.rank() - 2] = height;
  s[x.rank() - 1] = width;
  return s;
}

// `x` with other rows and columns, placed the same way.
Status resize(const TensorMeta& x, int64_t height, int64_t width, TensorMeta* y) {
  const Shape shape = resized_shape(x, height, width);
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *y = x;
  y->shape = shape;
  if (x.layout != kStrided && channel_block(x.layout) != 0) return Status();
  y->layout = kStrided;
  y->strides = x.rank() == 4 && x.is_channels_last() ? ordered_strides(shape, {0, 2, 3, 1})
                                                     : contiguous_strides(shape);
  return Status();
}

Status check_plane(int64_t height, int64_t width) {
  RUTILE_RETURN_IF_ERROR(check_size(height, "height"));
  return check_size(width, "width");
}

Int2 stride_of(const Int2& kernel, const Int2& stride) {
  return {stride.h ? stride.h : kernel.h, stride.w ? stride.w : kernel.w};
}

template <class A>
Int2 dilation_of(const A& a) {
  if constexpr (requires { a.dilation; }) {
    return a.dilation;
  } else {
    return Int2(1);
  }
}

// Size of the result for images of `height` x `width`.
template <class A>
Status pooled(const A& a, int64_t height, int64_t width, int64_t* rows, int64_t* columns) {
  const Int2 stride = stride_of(a.kernel, a.stride), d = dilation_of(a);
  RUTILE_RETURN_IF_ERROR(
      pooled_size({height, a.kernel.h, stride.h, a.pad.h, d.h}, a.ceil_mode, "height", rows));
  return pooled_size({width, a.kernel.w, stride.w, a.pad.w, d.w}, a.ceil_mode, "width", columns);
}

// Positions in a plane are i32.
Status check_positions(int64_t height, int64_t width) {
  if (height <= INT32_MAX / width) return Status();
  return value_error(
      cat("images of ", height, " x ", width, " have too many pixels for i32 indices"));
}

Status check_shape(const TensorMeta& got, const Shape& want, const char* name) {
  if (got.shape == want) return Status();
  return value_error(cat(name, " expects shape ", want, " for this image, got ", got.shape));
}

Status check_indices(const TensorMeta& indices) {
  if (indices.dtype == DType::kI32) return Status();
  return type_error(cat("indices must be i32, got ", indices.dtype));
}

// ---- infer ----

Status infer_max_pool(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& x = call.in(0);
  RUTILE_RETURN_IF_ERROR(check_image(x, "x"));
  RUTILE_RETURN_IF_ERROR(check_numeric(x, "x"));
  RUTILE_RETURN_IF_ERROR(check_pixels(x));
  const int64_t h = x.dim(x.rank() - 2), w = x.dim(x.rank() - 1);
  int64_t rows = 0, columns = 0;
  RUTILE_RETURN_IF_ERROR(pooled(call.as<MaxPool2dAttrs>(), h, w, &rows, &columns));
  RUTILE_RETURN_IF_ERROR(check_positions(h, w));
  RUTILE_RETURN_IF_ERROR(resize(x, rows, columns, out));
  out[1] = out[0];
  out[1].dtype = DType::kI32;
  return Status();
}

Status infer_max_pool_gather(const CallMeta& call, TensorMeta* out) {
  TensorMeta like[2];
  RUTILE_RETURN_IF_ERROR(infer_max_pool(call, like));
  RUTILE_RETURN_IF_ERROR(check_indices(call.in(1)));
  out[0] = like[0];
  return check_shape(call.in(1), out[0].shape, "indices");
}

// dx of the pools with attributes: dy must be what the pool of such an image gives.
template <class A>
Status infer_grad(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& dy = call.in(0);
  const A& a = call.as<A>();
  RUTILE_RETURN_IF_ERROR(check_image(dy, "dy"));
  RUTILE_RETURN_IF_ERROR(check_numeric(dy, "dy"));
  RUTILE_RETURN_IF_ERROR(check_plane(a.height, a.width));
  int64_t rows = 0, columns = 0;
  RUTILE_RETURN_IF_ERROR(pooled(a, a.height, a.width, &rows, &columns));
  RUTILE_RETURN_IF_ERROR(check_shape(dy, resized_shape(dy, rows, columns), "dy"));
  return resize(dy, a.height, a.width, out);
}

Status infer_max_pool_grad(const CallMeta& call, TensorMeta* out) {
  const auto& a = call.as<MaxPool2dGradAttrs>();
  RUTILE_RETURN_IF_ERROR(infer_grad<MaxPool2dGradAttrs>(call, out));
  RUTILE_RETURN_IF_ERROR(check_positions(a.height, a.width));
  RUTILE_RETURN_IF_ERROR(check_indices(call.in(1)));
  return check_shape(call.in(1), call.in(0).shape, "indices");
}

Status infer_avg_pool(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& x = call.in(0);
  const auto& a = call.as<AvgPool2dAttrs>();
  RUTILE_RETURN_IF_ERROR(check_image(x, "x"));
  RUTILE_RETURN_IF_ERROR(check_float(x, "x"));
  RUTILE_RETURN_IF_ERROR(check_pixels(x));
  int64_t rows = 0, columns = 0;
  RUTILE_RETURN_IF_ERROR(pooled(a, x.dim(x.rank() - 2), x.dim(x.rank() - 1), &rows, &columns));
  return resize(x, rows, columns, out);
}

Status infer_avg_pool_grad(const CallMeta& call, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_float(call.in(0), "dy"));
  return infer_grad<AvgPool2dGradAttrs>(call, out);
}

Status infer_global(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& x = call.in(0);
  RUTILE_RETURN_IF_ERROR(check_image(x, "x"));
  RUTILE_RETURN_IF_ERROR(check_float(x, "x"));
  RUTILE_RETURN_IF_ERROR(check_pixels(x));
  return resize(x, 1, 1, out);
}

Status infer_global_grad(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& dy = call.in(0);
  const auto& a = call.as<PlaneSizeAttrs>();
  RUTILE_RETURN_IF_ERROR(check_image(dy, "dy"));
  RUTILE_RETURN_IF_ERROR(check_float(dy, "dy"));
  RUTILE_RETURN_IF_ERROR(check_plane(a.height, a.width));
  RUTILE_RETURN_IF_ERROR(check_shape(dy, resized_shape(dy, 1, 1), "dy"));
  RUTILE_RETURN_IF_ERROR(resize(dy, a.height, a.width, out));
  if (a.channels_last && dy.rank() == 4 && out[0].layout == kStrided) {
    out[0].strides = ordered_strides(out[0].shape, {0, 2, 3, 1});
  }
  return Status();
}

Status infer_adaptive(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& x = call.in(0);
  const Int2 size = call.as<AdaptiveAvgPool2dAttrs>().output_size;
  RUTILE_RETURN_IF_ERROR(check_image(x, "x"));
  RUTILE_RETURN_IF_ERROR(check_float(x, "x"));
  RUTILE_RETURN_IF_ERROR(check_pixels(x));
  RUTILE_RETURN_IF_ERROR(check_sizes(entries(size), "output_size"));
  return resize(x, size.h, size.w, out);
}

Status infer_adaptive_grad(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& dy = call.in(0);
  const auto& a = call.as<PlaneSizeAttrs>();
  RUTILE_RETURN_IF_ERROR(check_image(dy, "dy"));
  RUTILE_RETURN_IF_ERROR(check_float(dy, "dy"));
  RUTILE_RETURN_IF_ERROR(check_pixels(dy));
  RUTILE_RETURN_IF_ERROR(check_plane(a.height, a.width));
  return resize(dy, a.height, a.width, out);
}

// ---- Gradients ----

int64_t height_of(const TensorMeta& x) { return x.dim(x.rank() - 2); }
int64_t width_of(const TensorMeta& x) { return x.dim(x.rank() - 1); }

MaxPool2dAttrs forward_attrs(const MaxPool2dGradAttrs& a) {
  return {a.kernel, a.stride, a.pad, a.dilation, a.ceil_mode};
}
MaxPool2dGradAttrs backward_attrs(const MaxPool2dAttrs& a, const TensorMeta& x) {
  return {height_of(x), width_of(x), a.kernel, a.stride, a.pad, a.dilation, a.ceil_mode};
}

GradResult grad_max_pool(GradCtx& ctx) {
  if (!ctx.grad(0).defined()) return {Tensor()};
  return {max_pool2d_grad(ctx.grad(0), ctx.out(1),
                          backward_attrs(ctx.attrs<MaxPool2dAttrs>(), ctx.in_meta(0)))};
}

GradResult grad_max_pool_grad(GradCtx& ctx) {
  return {max_pool2d_gather(ctx.grad(0), ctx.in(1), forward_attrs(ctx.attrs<MaxPool2dGradAttrs>())),
          Tensor()};
}

GradResult grad_max_pool_gather(GradCtx& ctx) {
  return {max_pool2d_grad(ctx.grad(0), ctx.in(1),
                          backward_attrs(ctx.attrs<MaxPool2dAttrs>(), ctx.in_meta(0))),
          Tensor()};
}

GradResult grad_avg_pool(GradCtx& ctx) {
  const auto& a = ctx.attrs<AvgPool2dAttrs>();
  const TensorMeta& x = ctx.in_meta(0);
  return {avg_pool2d_grad(ctx.grad(0), {height_of(x), width_of(x), a.kernel, a.stride, a.pad,
                                        a.ceil_mode, a.count_include_pad, a.divisor_override})};
}

GradResult grad_avg_pool_grad(GradCtx& ctx) {
  const auto& a = ctx.attrs<AvgPool2dGradAttrs>();
  return {avg_pool2d(ctx.grad(0), {a.kernel, a.stride, a.pad, a.ceil_mode, a.count_include_pad,
                                   a.divisor_override})};
}

GradResult grad_global(GradCtx& ctx) {
  const TensorMeta& x = ctx.in_meta(0);
  return {global_avg_pool_grad(ctx.grad(0), {height_of(x), width_of(x), x.is_channels_last()})};
}

GradResult grad_global_grad(GradCtx& ctx) { return {global_avg_pool(ctx.grad(0))}; }

GradResult grad_adaptive(GradCtx& ctx) {
  const PlaneSizeAttrs a{height_of(ctx.in_meta(0)), width_of(ctx.in_meta(0))};
  return {call1(kAdaptiveAvgPool2dGrad, &a, {ctx.grad(0)})};
}

GradResult grad_adaptive_grad(GradCtx& ctx) {
  const AdaptiveAvgPool2dAttrs a{Int2(height_of(ctx.in_meta(0)), width_of(ctx.in_meta(0)))};
  return {call1(kAdaptiveAvgPool2d, &a, {ctx.grad(0)})};
}

}  // namespace

Status pooled_size(const PoolAxis& a, bool ceil_mode, const char* name, int64_t* size) {
  const auto bad = [](int64_t v) { return v < 1 || v > kLargestSize; };
  if (bad(a.kernel)) return value_error(cat(outside("kernel", a.kernel, 1), " (", name, ")"));
  if (bad(a.stride)) {  // 0 has become the kernel's size
    return value_error(cat(outside("stride", a.stride, 0), " (", name, ")"));
  }
  if (bad(a.dilation)) {
    return value_error(cat(outside("dilation", a.dilation, 1), " (", name, ")"));
  }
  if (a.pad < 0 || a.pad > a.kernel / 2) {
    return value_error(cat("pad must lie in [0, kernel / 2], got ", a.pad, " for a kernel of ",
                           a.kernel, " (", name, ")"));
  }
  const int64_t room = a.size + 2 * a.pad - a.dilation * (a.kernel - 1) - 1;
  if (room < 0) {
    return value_error(cat("the window is larger than the padded image: ", name, " ",
                           a.size + 2 * a.pad, ", window ", a.dilation * (a.kernel - 1) + 1));
  }
  *size = (room + (ceil_mode ? a.stride - 1 : 0)) / a.stride + 1;
  if (ceil_mode && (*size - 1) * a.stride >= a.size + a.pad) --*size;
  return Status();
}

namespace {
template <class Attrs>
double pool_flops(const CallMeta& c) {
  const Int2 k = c.as<Attrs>().kernel;
  return elements(c.out()) * static_cast<double>(k.h) * static_cast<double>(k.w);
}
double pool_grad_flops(const CallMeta& c) {
  const Int2 k = c.as<AvgPool2dGradAttrs>().kernel;
  return elements(c.in(0)) * static_cast<double>(k.h) * static_cast<double>(k.w);
}
}  // namespace

constinit const OpDef kMaxPool2d = define({
    .name = "max_pool2d",
    .inputs = {"x"},
    .outputs = {"y", "indices"},
    .attrs = attrs_of<MaxPool2dAttrs>(),
    .infer = infer_max_pool,
    .flops = pool_flops<MaxPool2dAttrs>,
    .grad = grad_max_pool,
    .saves = {"indices"},
    .doc = "Maximum over windows of the last two dimensions, and where it was.",
});

constinit const OpDef kMaxPool2dGrad = define({
    .name = "max_pool2d_grad",
    .inputs = {"dy", "indices"},
    .outputs = {"dx"},
    .attrs = attrs_of<MaxPool2dGradAttrs>(),
    .infer = infer_max_pool_grad,
    .flops = flops_per_input<1>,
    .grad = grad_max_pool_grad,
    .saves = {"indices"},
    .doc = "Gradient of max_pool2d: dy added up where the maxima were; an index outside its window "
           "adds nothing.",
});

constinit const OpDef kMaxPool2dGather = define({
    .name = "max_pool2d_gather",
    .inputs = {"x", "indices"},
    .attrs = attrs_of<MaxPool2dAttrs>(),
    .infer = infer_max_pool_gather,
    .bytes = bytes_of_lookup<0>,
    .grad = grad_max_pool_gather,
    .saves = {"indices"},
    .doc = "The element of each window that max_pool2d's indices name.",
});

constinit const OpDef kAvgPool2d = define({
    .name = "avg_pool2d",
    .inputs = {"x"},
    .attrs = attrs_of<AvgPool2dAttrs>(),
    .infer = infer_avg_pool,
    .flops = pool_flops<AvgPool2dAttrs>,
    .grad = grad_avg_pool,
    .doc = "Mean over windows of the last two dimensions.",
});

constinit const OpDef kAvgPool2dGrad = define({
    .name = "avg_pool2d_grad",
    .inputs = {"dy"},
    .outputs = {"dx"},
    .attrs = attrs_of<AvgPool2dGradAttrs>(),
    .infer = infer_avg_pool_grad,
    .flops = pool_grad_flops,
    .grad = grad_avg_pool_grad,
    .doc = "Gradient of avg_pool2d.",
});

constinit const OpDef kGlobalAvgPool = define({
    .name = "global_avg_pool",
    .inputs = {"x"},
    .infer = infer_global,
    .flops = flops_per_input<1>,
    .grad = grad_global,
    .doc = "Mean over the last two dimensions, which become 1.",
});

constinit const OpDef kGlobalAvgPoolGrad = define({
    .name = "global_avg_pool_grad",
    .inputs = {"dy"},
    .outputs = {"dx"},
    .attrs = attrs_of<PlaneSizeAttrs>(),
    .infer = infer_global_grad,
    .flops = flops_per_input<1>,
    .grad = grad_global_grad,
    .doc = "Gradient of global_avg_pool.",
});

constinit const OpDef kAdaptiveAvgPool2d = define({
    .name = "adaptive_avg_pool2d",
    .inputs = {"x"},
    .attrs = attrs_of<AdaptiveAvgPool2dAttrs>(),
    .infer = infer_adaptive,
    .flops = flops_per_input<1>,
    .grad = grad_adaptive,
    .doc = "Mean over windows chosen so that the result has the given size.",
});

constinit const OpDef kAdaptiveAvgPool2dGrad = define({
    .name = "adaptive_avg_pool2d_grad",
    .inputs = {"dy"},
    .outputs = {"dx"},
    .attrs = attrs_of<PlaneSizeAttrs>(),
    .infer = infer_adaptive_grad,
    .flops = flops_per_output<1>,
    .grad = grad_adaptive_grad,
    .doc = "Gradient of adaptive_avg_pool2d.",
});

namespace {

// A window sum's gradient spreads every pixel over the window.
Status spread(const TensorMeta& x, const UpsampleNearest2dAttrs& a, AvgPool2dGradAttrs* to) {
  if (x.rank() != 3 && x.rank() != 4) {
    return value_error(cat("x expects rank 3 or 4, got ", x.rank()));
  }
  constexpr int64_t kMost = int64_t{1} << 24;
  for (const int64_t s : {a.scale.h, a.scale.w}) {
    if (s < 1 || s > kMost) return value_error(cat("scale expects 1 to ", kMost, ", got ", s));
  }
  for (const int64_t size : {height_of(x), width_of(x)}) {
    if (size > kMost) return value_error(cat("x is too large: ", x.shape));
  }
  *to = {height_of(x) * a.scale.h, width_of(x) * a.scale.w, a.scale, a.scale, 0, false, true, 1};
  return Status();
}

Status infer_upsample(const CallMeta& c, TensorMeta* out) {
  AvgPool2dGradAttrs a;
  RUTILE_RETURN_IF_ERROR(spread(c.in(0), c.as<UpsampleNearest2dAttrs>(), &a));
  return infer_avg_pool_grad(CallMeta{&kAvgPool2dGrad, &a, c.inputs, {}}, out);
}

TensorList compose_upsample(const void* attrs, std::span<const Tensor> in) {
  AvgPool2dGradAttrs a;
  throw_if_error(spread(in[0].meta(), *static_cast<const UpsampleNearest2dAttrs*>(attrs), &a));
  return {avg_pool2d_grad(in[0], a)};
}

}  // namespace

constinit const OpDef kUpsampleNearest2d = define({
    .name = "upsample_nearest2d",
    .inputs = {"x"},
    .attrs = attrs_of<UpsampleNearest2dAttrs>(),
    .infer = infer_upsample,
    .flops = flops_per_output<1>,
    .compose = compose_upsample,
    .doc = "Every pixel becomes a rectangle of equal ones.",
});

Tensor upsample_nearest2d(Arg x, Int2 scale) {
  const UpsampleNearest2dAttrs a{scale};
  return call1(kUpsampleNearest2d, &a, {x.tensor}, x.where);
}

Tensor max_pool2d(Arg x, MaxPool2dAttrs attrs) {
  Tensor out[2];
  call(kMaxPool2d, &attrs, {&x.tensor, 1}, out, x.where);
  return out[0];
}

MaxPool2dResult max_pool2d_with_indices(Arg x, MaxPool2dAttrs attrs) {
  Tensor out[2];
  call(kMaxPool2d, &attrs, {&x.tensor, 1}, out, x.where);
  return {out[0], out[1]};
}

Tensor max_pool2d_grad(Arg dy, const Tensor& indices, MaxPool2dGradAttrs attrs) {
  return call1(kMaxPool2dGrad, &attrs, {dy.tensor, indices}, dy.where);
}

Tensor max_pool2d_gather(Arg x, const Tensor& indices, MaxPool2dAttrs attrs) {
  return call1(kMaxPool2dGather, &attrs, {x.tensor, indices}, x.where);
}

Tensor avg_pool2d(Arg x, AvgPool2dAttrs attrs) {
  return call1(kAvgPool2d, &attrs, {x.tensor}, x.where);
}

Tensor avg_pool2d_grad(Arg dy, AvgPool2dGradAttrs attrs) {
  return call1(kAvgPool2dGrad, &attrs, {dy.tensor}, dy.where);
}

Tensor global_avg_pool(Arg x) { return call1(kGlobalAvgPool, nullptr, {x.tensor}, x.where); }

Tensor global_avg_pool_grad(Arg dy, PlaneSizeAttrs attrs) {
  return call1(kGlobalAvgPoolGrad, &attrs, {dy.tensor}, dy.where);
}

Tensor adaptive_avg_pool2d(Arg x, Int2 output_size) {
  const TensorMeta& m = x.tensor.meta();
  const Int2 s = output_size;
  if (s == Int2(1)) return global_avg_pool(x);
  if ((m.rank() == 3 || m.rank() == 4) && s.h > 0 && s.w > 0 && height_of(m) >= s.h &&
      width_of(m) >= s.w && height_of(m) % s.h == 0 && width_of(m) % s.w == 0) {
    return avg_pool2d(x, {.kernel = Int2(height_of(m) / s.h, width_of(m) / s.w)});
  }
  const AdaptiveAvgPool2dAttrs a{s};
  return call1(kAdaptiveAvgPool2d, &a, {x.tensor}, x.where);
}

}  // namespace rutile::ops

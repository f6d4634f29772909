// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/conv.h"

#include <algorithm>

#include "rutile/ops/cost.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {

namespace {

constexpr int64_t kMaxAttr = (int64_t{1} << 31) - 1;

template <class To, class From>
To copy_geometry(const From& a) {
  To to;
  to.stride = a.stride;
  to.pad = a.pad;
  to.dilation = a.dilation;
  to.groups = a.groups;
  return to;
}

// Size of the result along one spatial dimension.
Status output_size(const char* dim, int64_t in, int64_t kernel, int64_t stride, int64_t pad,
                   int64_t dilation, int64_t* out) {
  if (stride < 1 || stride > kMaxAttr)
    return value_error(cat("stride expects at least 1, got ", stride));
  if (pad < 0 || pad > kMaxAttr) return value_error(cat("pad expects at least 0, got ", pad));
  if (dilation < 1 || dilation > kMaxAttr) {
    return value_error(cat("dilation expects at least 1, got ", dilation));
  }
  if (kernel < 1 || kernel > kMaxAttr) {
    return value_error(cat("weight expects a kernel of at least 1, got ", kernel));
  }
  const int64_t span = dilation * (kernel - 1) + 1;
  if (span > in + 2 * pad) {
    return value_error(
        cat("the kernel spans ", span, " in ", dim, ", the padded input only ", in + 2 * pad));
  }
  *out = (in + 2 * pad - span) / stride + 1;
  return Status();
}

// The shape of conv2d's result for x and weight.
Status conv_shape(const Shape& x, const Shape& w, const Conv2dAttrs& a, Shape* y) {
  if (x.rank() != 4) return value_error(cat("x expects rank 4 (NCHW), got ", x.rank()));
  if (w.rank() != 4) return value_error(cat("weight expects rank 4 (OIHW), got ", w.rank()));
  if (a.groups < 1 || a.groups > kMaxAttr) {
    return value_error(cat("groups expects at least 1, got ", a.groups));
  }
  for (int i = 0; i < 4; ++i) {
    if (x[i] < 0 || w[i] < 0) return value_error("negative dimension");
  }
  if (w[0] == 0 || w[1] == 0) return value_error(cat("weight has no channels: ", w));
  if (w[1] > kMaxAttr || w[1] * a.groups != x[1]) {
    return value_error(cat("weight expects ", w[1] * a.groups, " input channels, got ", x[1]));
  }
  if (w[0] % a.groups != 0) {
    return value_error(cat("groups ", a.groups, " does not divide ", w[0], " output channels"));
  }
  int64_t oh = 0, ow = 0;
  RUTILE_RETURN_IF_ERROR(output_size("height", x[2], w[2], a.stride.h, a.pad.h, a.dilation.h, &oh));
  RUTILE_RETURN_IF_ERROR(output_size("width", x[3], w[3], a.stride.w, a.pad.w, a.dilation.w, &ow));
  *y = {x[0], w[0], oh, ow};
  int64_t numel = 0;
  return checked_numel(*y, &numel);
}

Status check_dtypes(const CallMeta& c) {
  const DType t = c.in(0).dtype;
  if (!is_floating(t)) return type_error(cat("expects a floating dtype, got ", t));
  for (int i = 1; i < c.num_inputs(); ++i) {
    if (c.has(i) && c.in(i).dtype != t) {
      return type_error(cat("expects one dtype, got ", t, " and ", c.in(i).dtype));
    }
  }
  return Status();
}

Status check_out_dtype(const OptionalDType& t) {
  if (t.set && !is_floating(t.value)) {
    return type_error(cat("out_dtype expects a floating dtype, got ", t.value));
  }
  return Status();
}

// An image beside another one: blocked like it, otherwise channels-last.
TensorMeta image_like(const Shape& shape, DType dtype, const TensorMeta& like) {
  TensorMeta m(shape, dtype, like.device);
  if (channel_block(like.layout)) {
    m.layout = like.layout;
  } else {
    m.strides = ordered_strides(shape, {0, 2, 3, 1});
  }
  return m;
}

Status infer_conv2d(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_dtypes(c));
  const TensorMeta &x = c.in(0), &w = c.in(1);
  Shape y;
  RUTILE_RETURN_IF_ERROR(conv_shape(x.shape, w.shape, c.as<Conv2dAttrs>(), &y));
  if (c.has(2) && !(c.in(2).shape == Shape{y[1]})) {
    return value_error(cat("bias expects shape [", y[1], "], got ", c.in(2).shape));
  }
  *out = image_like(y, x.dtype, x);
  return Status();
}

GradResult grad_conv2d(GradCtx& ctx) {
  const auto& a = ctx.attrs<Conv2dAttrs>();
  const Tensor& g = ctx.grad();
  const TensorMeta &x = ctx.in_meta(0), &w = ctx.in_meta(1);
  const DType wide = is_low_precision(x.dtype) ? DType::kF32 : x.dtype;
  GradResult r;
  r.resize(ctx.num_inputs());
  if (ctx.needs(0)) {
    auto to = copy_geometry<Conv2dInputGradAttrs>(a);
    to.input_shape = x.shape;
    r[0] = conv2d_input_grad(g, ctx.in(1), to);
  }
  if (ctx.needs(1)) {
    auto to = copy_geometry<Conv2dWeightGradAttrs>(a);
    to.weight_shape = w.shape;
    to.out_dtype = wide;
    r[1] = conv2d_weight_grad(g, ctx.in(0), to);
  }
  if (ctx.num_inputs() > 2 && ctx.needs(2)) r[2] = sum(g, {.axes = {0, 2, 3}, .dtype = wide});
  return r;
}

// Each gradient reads the other factor.
uint32_t saves_other_factor(uint32_t needs) {
  return (needs & 1u ? 2u : 0u) | (needs & 2u ? 1u : 0u);
}

Status check_dy(const Shape& dy, const Shape& y) {
  if (dy == y) return Status();
  return value_error(cat("dy expects shape ", y, ", got ", dy));
}

Status infer_input_grad(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_dtypes(c));
  const auto& a = c.as<Conv2dInputGradAttrs>();
  RUTILE_RETURN_IF_ERROR(check_out_dtype(a.out_dtype));
  Shape y;
  RUTILE_RETURN_IF_ERROR(
      conv_shape(a.input_shape, c.in(1).shape, copy_geometry<Conv2dAttrs>(a), &y));
  RUTILE_RETURN_IF_ERROR(check_dy(c.in(0).shape, y));
  const DType t = a.out_dtype.set ? a.out_dtype.value : c.in(0).dtype;
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(a.input_shape, &numel));
  *out = image_like(a.input_shape, t, c.in(0));
  return Status();
}

GradResult grad_input_grad(GradCtx& ctx) {
  const auto& a = ctx.attrs<Conv2dInputGradAttrs>();
  GradResult r;
  r.resize(2);
  if (ctx.needs(0)) r[0] = conv2d(ctx.grad(), ctx.in(1), {}, copy_geometry<Conv2dAttrs>(a));
  if (ctx.needs(1)) {
    auto to = copy_geometry<Conv2dWeightGradAttrs>(a);
    to.weight_shape = ctx.in_meta(1).shape;
    if (is_low_precision(ctx.in_meta(1).dtype)) to.out_dtype = DType::kF32;
    r[1] = conv2d_weight_grad(ctx.in(0), ctx.grad(), to);
  }
  return r;
}

Status infer_weight_grad(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_dtypes(c));
  const auto& a = c.as<Conv2dWeightGradAttrs>();
  RUTILE_RETURN_IF_ERROR(check_out_dtype(a.out_dtype));
  Shape y;
  RUTILE_RETURN_IF_ERROR(
      conv_shape(c.in(1).shape, a.weight_shape, copy_geometry<Conv2dAttrs>(a), &y));
  RUTILE_RETURN_IF_ERROR(check_dy(c.in(0).shape, y));
  const DType t = a.out_dtype.set ? a.out_dtype.value : c.in(0).dtype;
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(a.weight_shape, &numel));
  *out = TensorMeta(a.weight_shape, t, c.in(0).device);
  return Status();
}

GradResult grad_weight_grad(GradCtx& ctx) {
  const auto& a = ctx.attrs<Conv2dWeightGradAttrs>();
  GradResult r;
  r.resize(2);
  if (ctx.needs(0)) r[0] = conv2d(ctx.in(1), ctx.grad(), {}, copy_geometry<Conv2dAttrs>(a));
  if (ctx.needs(1)) {
    auto to = copy_geometry<Conv2dInputGradAttrs>(a);
    to.input_shape = ctx.in_meta(1).shape;
    r[1] = conv2d_input_grad(ctx.in(0), ctx.grad(), to);
  }
  return r;
}

// Two for each multiplication with an addition: each pixel of the result (dy, backward) meets each
// weight of its group.
double products(const TensorMeta& pixels, const TensorMeta& weight) {
  return 2 * elements(pixels) * static_cast<double>(weight.dim(1) * weight.dim(2) * weight.dim(3));
}
double conv_flops(const CallMeta& c) {
  return products(c.out(), c.in(1)) + (c.has(2) ? elements(c.out()) : 0);
}
double input_grad_flops(const CallMeta& c) { return products(c.in(0), c.in(1)); }
double weight_grad_flops(const CallMeta& c) { return products(c.in(0), c.out()); }
double transpose_flops(const CallMeta& c) {
  return products(c.in(0), c.in(1)) + (c.has(2) ? elements(c.out()) : 0);
}

Status transposed_size(const char* dim, int64_t in, int64_t kernel, int64_t stride, int64_t pad,
                       int64_t output_pad, int64_t dilation, int64_t* out) {
  for (const int64_t v : {stride, output_pad, dilation, kernel}) {
    if (v > kMaxAttr) return value_error(cat("an attribute or kernel is too large: ", v));
  }
  if (pad < 0 || pad > kMaxAttr) return value_error(cat("pad expects at least 0, got ", pad));
  if (kernel < 1) return value_error(cat("weight expects a kernel of at least 1, got ", kernel));
  if (stride < 1) return value_error(cat("stride expects at least 1, got ", stride));
  if (dilation < 1) return value_error(cat("dilation expects at least 1, got ", dilation));
  if (output_pad < 0 || output_pad >= std::max(stride, dilation)) {
    return value_error(
        cat("output_pad expects 0 or more, below stride or dilation, got ", output_pad));
  }
  if (in < 1) return value_error(cat("x expects at least one pixel in ", dim, ", got ", in));
  if (in > kMaxAttr) return value_error(cat("x is too large in ", dim, ": ", in));
  *out = (in - 1) * stride - 2 * pad + dilation * (kernel - 1) + 1 + output_pad;
  if (*out < 1) return value_error(cat("the result would have ", *out, " pixels in ", dim));
  return Status();
}

// What the transposed convolution is the gradient of.
Status backward_of(const Shape& x, const Shape& w, const ConvTranspose2dAttrs& a,
                   Conv2dInputGradAttrs* to) {
  if (x.rank() != 4) return value_error(cat("x expects rank 4 (NCHW), got ", x.rank()));
  if (w.rank() != 4) return value_error(cat("weight expects rank 4 (IOHW), got ", w.rank()));
  if (x[1] != w[0]) return value_error(cat("weight expects ", w[0], " input channels, got ", x[1]));
  if (a.groups < 1 || a.groups > kMaxAttr) {
    return value_error(cat("groups expects at least 1, got ", a.groups));
  }
  if (w[1] > kMaxAttr) return value_error(cat("weight has too many channels: ", w));
  *to = copy_geometry<Conv2dInputGradAttrs>(a);
  to->input_shape = {x[0], w[1] * a.groups, 0, 0};
  RUTILE_RETURN_IF_ERROR(transposed_size("height", x[2], w[2], a.stride.h, a.pad.h, a.output_pad.h,
                                         a.dilation.h, &to->input_shape[2]));
  RUTILE_RETURN_IF_ERROR(transposed_size("width", x[3], w[3], a.stride.w, a.pad.w, a.output_pad.w,
                                         a.dilation.w, &to->input_shape[3]));
  Shape y;
  return conv_shape(to->input_shape, w, copy_geometry<Conv2dAttrs>(a), &y);
}

Status infer_conv_transpose2d(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_dtypes(c));
  Conv2dInputGradAttrs a;
  RUTILE_RETURN_IF_ERROR(
      backward_of(c.in(0).shape, c.in(1).shape, c.as<ConvTranspose2dAttrs>(), &a));
  if (c.has(2) && !(c.in(2).shape == Shape{a.input_shape[1]})) {
    return value_error(cat("bias expects shape [", a.input_shape[1], "], got ", c.in(2).shape));
  }
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(a.input_shape, &numel));
  *out = image_like(a.input_shape, c.in(0).dtype, c.in(0));
  return Status();
}

GradResult grad_conv_transpose2d(GradCtx& ctx) {
  const auto& a = ctx.attrs<ConvTranspose2dAttrs>();
  const Tensor& g = ctx.grad();
  const DType type = ctx.in_meta(0).dtype;
  const DType wide = is_low_precision(type) ? DType::kF32 : type;
  GradResult r;
  r.resize(ctx.num_inputs());
  if (ctx.needs(0)) r[0] = conv2d(g, ctx.in(1), {}, copy_geometry<Conv2dAttrs>(a));
  if (ctx.needs(1)) {
    auto to = copy_geometry<Conv2dWeightGradAttrs>(a);
    to.weight_shape = ctx.in_meta(1).shape;
    to.out_dtype = wide;
    r[1] = conv2d_weight_grad(ctx.in(0), g, to);
  }
  if (ctx.num_inputs() > 2 && ctx.needs(2)) r[2] = sum(g, {.axes = {0, 2, 3}, .dtype = wide});
  return r;
}

TensorList compose_conv_transpose2d(const void* attrs, std::span<const Tensor> in) {
  Conv2dInputGradAttrs a;
  throw_if_error(backward_of(in[0].shape(), in[1].shape(),
                             *static_cast<const ConvTranspose2dAttrs*>(attrs), &a));
  const Tensor y = conv2d_input_grad(in[0], in[1], a);
  if (in.size() < 3 || !in[2].defined()) return {y};
  return {y + reshape(in[2], {in[2].dim(0), 1, 1})};
}

}  // namespace

constinit const OpDef kConv2d = define({
    .name = "conv2d",
    .inputs = {"x", "weight", "bias?"},
    .attrs = attrs_of<Conv2dAttrs>(),
    .infer = infer_conv2d,
    .flops = conv_flops,
    .grad = grad_conv2d,
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
    .infer = infer_input_grad,
    .flops = input_grad_flops,
    .grad = grad_input_grad,
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
    .infer = infer_weight_grad,
    .flops = weight_grad_flops,
    .grad = grad_weight_grad,
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
    .infer = infer_conv_transpose2d,
    .flops = transpose_flops,
    .grad = grad_conv_transpose2d,
    .saves = {"x", "weight"},
    .saves_if = saves_other_factor,
    .compose = compose_conv_transpose2d,
    .amp = Amp::kLow,
    .promote = true,
    .doc = "Transposed 2-D convolution of NCHW images.",
});

Tensor conv_transpose2d(Arg x, Arg weight, const Tensor& bias, ConvTranspose2dAttrs attrs) {
  if (!bias.defined()) return call1(kConvTranspose2d, &attrs, {x.tensor, weight.tensor}, x.where);
  return call1(kConvTranspose2d, &attrs, {x.tensor, weight.tensor, bias}, x.where);
}

}  // namespace rutile::ops

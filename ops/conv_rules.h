// SPDX-License-Identifier: Apache-2.0
// What convolutions of one, two and three spatial dimensions share: rules for shapes, gradients,
// costs. conv.cc, conv1d.cc and conv3d.cc describe themselves by a Family: the types Attrs,
// InputGradAttrs, WeightGradAttrs and TransposeAttrs, and the functions conv, input_grad and
// weight_grad of two tensors and attributes.
#pragma once

#include "rutile/ops/complex.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/image_meta.h"
#include "rutile/ops/op_def.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops::conv_rules {

// One entry per spatial dimension.
struct Geometry {
  Dims stride, pad, dilation;
  int64_t groups = 1;
};

template <class A>
Geometry geometry(const A& a) {
  return {entries(a.stride), entries(a.pad), entries(a.dilation), a.groups};
}

template <class To, class From>
To copy_geometry(const From& a) {
  To to;
  to.stride = a.stride;
  to.pad = a.pad;
  to.dilation = a.dilation;
  to.groups = a.groups;
  return to;
}

// The shape of the convolution of x with w.
Status output_shape(const Shape& x, const Shape& w, const Geometry& a, Shape* y);
// The shape of the transposed convolution of x with w.
Status transposed_shape(const Shape& x, const Shape& w, const Geometry& a, const Dims& output_pad,
                        Shape* y);
Status check_dtypes(const CallMeta& c);
Status check_out_dtype(const OptionalDType& t, DType in);
Status check_bias(const CallMeta& c, int64_t channels);
Status check_dy(const Shape& dy, const Shape& y);
// An image beside another one: blocked like it, otherwise channels-last.
TensorMeta image_like(const Shape& shape, DType dtype, const TensorMeta& like);
// Each gradient reads the other factor.
uint32_t saves_other_factor(uint32_t needs);

double conv_flops(const CallMeta& c);
double input_grad_flops(const CallMeta& c);
double weight_grad_flops(const CallMeta& c);
double transpose_flops(const CallMeta& c);

// ---- The convolution ----

template <class Family>
Status infer_conv(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_dtypes(c));
  const TensorMeta& x = c.in(0);
  Shape y;
  RUTILE_RETURN_IF_ERROR(
      output_shape(x.shape, c.in(1).shape, geometry(c.as<typename Family::Attrs>()), &y));
  RUTILE_RETURN_IF_ERROR(check_bias(c, y[1]));
  *out = image_like(y, x.dtype, x);
  return Status();
}

// Sum over all dimensions but the channels'.
inline Tensor bias_grad(const Tensor& g, DType dtype) {
  SumAttrs a;
  a.dtype = dtype;
  a.axes = {0};
  for (int i = 2; i < g.rank(); ++i) a.axes.push_back(i);
  return sum(g, a);
}

// Of complex numbers the gradient by one factor takes the conjugate of the other.
template <class Family>
GradResult grad_conv(GradCtx& ctx) {
  const auto& a = ctx.attrs<typename Family::Attrs>();
  const Tensor& g = ctx.grad();
  const DType weight_type = wide(ctx.in_meta(0).dtype);
  GradResult r;
  r.resize(ctx.num_inputs());
  if (ctx.needs(0)) {
    auto to = copy_geometry<typename Family::InputGradAttrs>(a);
    to.input_shape = ctx.in_meta(0).shape;
    r[0] = Family::input_grad(g, conj(ctx.in(1)), to);
  }
  if (ctx.needs(1)) {
    auto to = copy_geometry<typename Family::WeightGradAttrs>(a);
    to.weight_shape = ctx.in_meta(1).shape;
    if (!is_complex(weight_type)) to.out_dtype = weight_type;
    r[1] = Family::weight_grad(g, conj(ctx.in(0)), to);
  }
  if (ctx.num_inputs() > 2 && ctx.needs(2)) r[2] = bias_grad(g, weight_type);
  return r;
}

// ---- Its gradients ----

template <class Family>
Status infer_input_grad(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_dtypes(c));
  const auto& a = c.as<typename Family::InputGradAttrs>();
  RUTILE_RETURN_IF_ERROR(check_out_dtype(a.out_dtype, c.in(0).dtype));
  Shape y;
  RUTILE_RETURN_IF_ERROR(output_shape(a.input_shape, c.in(1).shape, geometry(a), &y));
  RUTILE_RETURN_IF_ERROR(check_dy(c.in(0).shape, y));
  const DType t = a.out_dtype.set ? a.out_dtype.value : c.in(0).dtype;
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(a.input_shape, &numel));
  *out = image_like(a.input_shape, t, c.in(0));
  return Status();
}

template <class Family>
GradResult grad_input_grad(GradCtx& ctx) {
  const auto& a = ctx.attrs<typename Family::InputGradAttrs>();
  GradResult r;
  r.resize(2);
  if (ctx.needs(0)) {
    r[0] = Family::conv(ctx.grad(), conj(ctx.in(1)), copy_geometry<typename Family::Attrs>(a));
  }
  if (ctx.needs(1)) {
    auto to = copy_geometry<typename Family::WeightGradAttrs>(a);
    to.weight_shape = ctx.in_meta(1).shape;
    if (is_low_precision(ctx.in_meta(1).dtype)) to.out_dtype = DType::kF32;
    r[1] = Family::weight_grad(conj(ctx.in(0)), ctx.grad(), to);
  }
  return r;
}

template <class Family>
Status infer_weight_grad(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_dtypes(c));
  const auto& a = c.as<typename Family::WeightGradAttrs>();
  RUTILE_RETURN_IF_ERROR(check_out_dtype(a.out_dtype, c.in(0).dtype));
  Shape y;
  RUTILE_RETURN_IF_ERROR(output_shape(c.in(1).shape, a.weight_shape, geometry(a), &y));
  RUTILE_RETURN_IF_ERROR(check_dy(c.in(0).shape, y));
  const DType t = a.out_dtype.set ? a.out_dtype.value : c.in(0).dtype;
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(a.weight_shape, &numel));
  *out = TensorMeta(a.weight_shape, t, c.in(0).device);
  return Status();
}

template <class Family>
GradResult grad_weight_grad(GradCtx& ctx) {
  const auto& a = ctx.attrs<typename Family::WeightGradAttrs>();
  GradResult r;
  r.resize(2);
  if (ctx.needs(0)) {
    r[0] = Family::conv(conj(ctx.in(1)), ctx.grad(), copy_geometry<typename Family::Attrs>(a));
  }
  if (ctx.needs(1)) {
    auto to = copy_geometry<typename Family::InputGradAttrs>(a);
    to.input_shape = ctx.in_meta(1).shape;
    r[1] = Family::input_grad(conj(ctx.in(0)), ctx.grad(), to);
  }
  return r;
}

// ---- The transposed convolution ----

template <class Family>
Status infer_transpose(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_dtypes(c));
  const auto& a = c.as<typename Family::TransposeAttrs>();
  Shape y;
  RUTILE_RETURN_IF_ERROR(
      transposed_shape(c.in(0).shape, c.in(1).shape, geometry(a), entries(a.output_pad), &y));
  RUTILE_RETURN_IF_ERROR(check_bias(c, y[1]));
  *out = image_like(y, c.in(0).dtype, c.in(0));
  return Status();
}

// Where output_pad reaches the stride, a convolution of the result gives more pixels than x has:
// the pixels that x lacks are zero. Empty widths: it has them all.
template <class A>
Dims lacking_pixels(const A& a) {
  const Dims stride = entries(a.stride), extra = entries(a.output_pad);
  Dims after{0, 0};
  bool any = false;
  for (int i = 0; i < stride.rank(); ++i) {
    after.push_back(extra[i] / stride[i]);
    any = any || after[i + 2] > 0;
  }
  return any ? after : Dims();
}

inline Tensor with_pixels(const Tensor& x, const Dims& after) {
  return after.empty() ? x : pad(x, Dims::filled(x.rank(), 0), after);
}

template <class Family>
GradResult grad_transpose(GradCtx& ctx) {
  const auto& a = ctx.attrs<typename Family::TransposeAttrs>();
  const Tensor& g = ctx.grad();
  const TensorMeta& x = ctx.in_meta(0);
  const DType weight_type = wide(x.dtype);
  const Dims lacking = lacking_pixels(a);
  GradResult r;
  r.resize(ctx.num_inputs());
  if (ctx.needs(0)) {
    r[0] = Family::conv(g, conj(ctx.in(1)), copy_geometry<typename Family::Attrs>(a));
    if (!lacking.empty()) r[0] = slice(r[0], Dims::filled(x.rank(), 0), x.shape);
  }
  if (ctx.needs(1)) {
    auto to = copy_geometry<typename Family::WeightGradAttrs>(a);
    to.weight_shape = ctx.in_meta(1).shape;
    if (!is_complex(weight_type)) to.out_dtype = weight_type;
    r[1] = Family::weight_grad(with_pixels(conj(ctx.in(0)), lacking), g, to);
  }
  if (ctx.num_inputs() > 2 && ctx.needs(2)) r[2] = bias_grad(g, weight_type);
  return r;
}

template <class Family>
TensorList compose_transpose(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const typename Family::TransposeAttrs*>(attrs);
  auto to = copy_geometry<typename Family::InputGradAttrs>(a);
  throw_if_error(transposed_shape(in[0].shape(), in[1].shape(), geometry(a), entries(a.output_pad),
                                  &to.input_shape));
  const Tensor y = Family::input_grad(with_pixels(in[0], lacking_pixels(a)), in[1], to);
  if (in.size() < 3 || !in[2].defined()) return {y};
  Shape channels = Shape::filled(y.rank() - 1, 1);
  channels[0] = in[2].dim(0);
  return {y + reshape(in[2], channels)};
}

// ---- Definitions ----

template <class Family>
consteval OpDef conv_op(const char* name, const char* doc, ComposeFn compose = nullptr) {
  return define({
      .name = name,
      .inputs = {"x", "weight", "bias?"},
      .attrs = attrs_of<typename Family::Attrs>(),
      .infer = infer_conv<Family>,
      .flops = conv_flops,
      .grad = grad_conv<Family>,
      .saves = {"x", "weight"},
      .saves_if = saves_other_factor,
      .compose = compose,
      .amp = Amp::kLow,
      .promote = true,
      .doc = doc,
  });
}

template <class Family>
consteval OpDef input_grad_op(const char* name, const char* doc) {
  return define({
      .name = name,
      .inputs = {"dy", "weight"},
      .outputs = {"dx"},
      .attrs = attrs_of<typename Family::InputGradAttrs>(),
      .infer = infer_input_grad<Family>,
      .flops = input_grad_flops,
      .grad = grad_input_grad<Family>,
      .saves = {"dy", "weight"},
      .saves_if = saves_other_factor,
      .amp = Amp::kLow,
      .promote = true,
      .doc = doc,
  });
}

template <class Family>
consteval OpDef weight_grad_op(const char* name, const char* doc) {
  return define({
      .name = name,
      .inputs = {"dy", "x"},
      .outputs = {"dweight"},
      .attrs = attrs_of<typename Family::WeightGradAttrs>(),
      .infer = infer_weight_grad<Family>,
      .flops = weight_grad_flops,
      .grad = grad_weight_grad<Family>,
      .saves = {"dy", "x"},
      .saves_if = saves_other_factor,
      .amp = Amp::kLow,
      .promote = true,
      .doc = doc,
  });
}

template <class Family>
consteval OpDef transpose_op(const char* name, const char* doc,
                             ComposeFn compose = compose_transpose<Family>) {
  return define({
      .name = name,
      .inputs = {"x", "weight", "bias?"},
      .attrs = attrs_of<typename Family::TransposeAttrs>(),
      .infer = infer_transpose<Family>,
      .flops = transpose_flops,
      .grad = grad_transpose<Family>,
      .saves = {"x", "weight"},
      .saves_if = saves_other_factor,
      .compose = compose,
      .amp = Amp::kLow,
      .promote = true,
      .doc = doc,
  });
}

// conv_op and transpose_op, called with the inputs that there are.
inline Tensor call_conv(const OpDef& op, const void* attrs, Arg x, Arg weight, const Tensor& bias) {
  if (!bias.defined()) return call1(op, attrs, {x.tensor, weight.tensor}, x.where);
  return call1(op, attrs, {x.tensor, weight.tensor, bias}, x.where);
}

}  // namespace rutile::ops::conv_rules

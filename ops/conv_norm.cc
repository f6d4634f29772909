// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/conv_norm.h"

#include "rutile/ops/conv_rules.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/index.h"

namespace rutile::ops {

using namespace conv_rules;

namespace {

constexpr const char kFormed[] = "the compiler forms it in training steps, behind differentiation";

constexpr int kRank = 4;  // of images

Status check_channels(const CallMeta& c, int i, int64_t channels, DType t) {
  const TensorMeta& m = c.in(i);
  if (m.shape == Shape{channels} && m.dtype == t) return Status();
  return value_error(
      cat(c.op->input_name(i), " expects ", t, "[", channels, "], got ", m.dtype, m.shape));
}
Status check_images(const CallMeta& c, int i) {
  const TensorMeta& x = c.in(i);
  if (x.rank() == 4 && is_floating(x.dtype)) return Status();
  return value_error(cat(c.op->input_name(i), " expects floating images [N,C,H,W], got ", x));
}

// relu(x * scale + shift), rounded as what a convolution reads.
Tensor normalised(const Tensor& x, const Tensor& scale, const Tensor& shift) {
  if (!scale.defined()) return x;
  const Tensor z = wide(x) * per_channel(wide(scale), kRank) + per_channel(wide(shift), kRank);
  return cast(relu(z), x.dtype());
}

// ---- conv2d_stats -------------------------------------------------------------------------------

Status infer_stats(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_images(c, 0));
  RUTILE_RETURN_IF_ERROR(check_dtypes(c));
  const TensorMeta& x = c.in(0);
  if (c.has(2) != c.has(3)) return value_error("scale and shift come together");
  for (int i = 2; i < 4 && c.has(i); ++i) {
    RUTILE_RETURN_IF_ERROR(check_channels(c, i, x.dim(1), x.dtype));
  }
  Shape y;
  RUTILE_RETURN_IF_ERROR(output_shape(x.shape, c.in(1).shape, geometry(c.as<Conv2dAttrs>()), &y));
  out[0] = image_like(y, x.dtype, x);
  out[1] = out[2] = TensorMeta({y[1]}, wide(x.dtype), x.device);
  return Status();
}

TensorList compose_stats(const void* attrs, std::span<const Tensor> in) {
  const Tensor u = normalised(in[0], operand(in, 2), operand(in, 3));
  const Tensor y = conv2d(u, in[1], {}, *static_cast<const Conv2dAttrs*>(attrs));
  const Tensor z = wide(y);
  return {y, channel_sum(z), channel_sum(z * z)};
}

// ---- conv2d_norm_weight_grad --------------------------------------------------------------------

Status infer_norm_weight_grad(const CallMeta& c, TensorMeta* out) {
  for (int i = 0; i < 2; ++i) RUTILE_RETURN_IF_ERROR(check_images(c, i));
  const TensorMeta& x = c.in(1);
  for (int i = 2; i < 4; ++i) RUTILE_RETURN_IF_ERROR(check_channels(c, i, x.dim(1), x.dtype));
  const CallMeta conv{&kConv2dWeightGrad, c.attrs, c.inputs.subspan(0, 2), {}};
  return kConv2dWeightGrad.infer(conv, out);
}

TensorList compose_norm_weight_grad(const void* attrs, std::span<const Tensor> in) {
  return {conv2d_weight_grad(in[0], normalised(in[1], in[2], in[3]),
                             *static_cast<const Conv2dWeightGradAttrs*>(attrs))};
}

// ---- conv2d_norm_input_grad ---------------------------------------------------------------------

Conv2dInputGradAttrs input_grad_attrs(const Conv2dAttrs& a, const Shape& x) {
  auto to = copy_geometry<Conv2dInputGradAttrs>(a);
  to.input_shape = x;
  return to;
}

Status infer_norm_input_grad(const CallMeta& c, TensorMeta* out) {
  for (const int i : {0, 1, 2}) RUTILE_RETURN_IF_ERROR(check_images(c, i));
  const TensorMeta& x = c.in(2);
  const DType t = wide(x.dtype);
  for (int i = 3; i < 7; ++i) RUTILE_RETURN_IF_ERROR(check_channels(c, i, x.dim(1), t));
  const Conv2dInputGradAttrs a = input_grad_attrs(c.as<Conv2dAttrs>(), x.shape);
  const CallMeta conv{&kConv2dInputGrad, &a, c.inputs.subspan(0, 2), {}};
  RUTILE_RETURN_IF_ERROR(kConv2dInputGrad.infer(conv, out));
  if (out[0].dtype != x.dtype) {
    return type_error(cat("dy expects x's dtype ", x.dtype, ", got ", out[0].dtype));
  }
  out[1] = out[2] = TensorMeta({x.dim(1)}, t, x.device);
  return Status();
}

TensorList compose_norm_input_grad(const void* attrs, std::span<const Tensor> in) {
  const Tensor& x = in[2];
  const auto& a = *static_cast<const Conv2dAttrs*>(attrs);
  const Tensor dz = conv2d_input_grad(in[0], in[1], input_grad_attrs(a, x.shape()));
  const Tensor normal = (wide(x) - per_channel(in[3], kRank)) * per_channel(in[4], kRank);
  const Tensor z = normal * per_channel(in[5], kRank) + per_channel(in[6], kRank);
  const Tensor d = where(greater(z, 0.0), dz, zeros_like(dz)), w = wide(d);
  return {d, channel_sum(w * normal), channel_sum(w)};
}

double stats_flops(const CallMeta& c) {
  return conv_flops(c) + 3 * elements(c.out()) + (c.has(2) ? 3 * elements(c.in(0)) : 0);
}
double norm_weight_grad_flops(const CallMeta& c) {
  return weight_grad_flops(c) + 3 * elements(c.in(1));
}
double norm_input_grad_flops(const CallMeta& c) {
  return input_grad_flops(c) + 8 * elements(c.out());
}

}  // namespace

constinit const OpDef kConv2dStats = define({
    .name = "conv2d_stats",
    .inputs = {"x", "weight", "scale?", "shift?"},
    .outputs = {"y", "sum", "square_sum"},
    .attrs = attrs_of<Conv2dAttrs>(),
    .infer = infer_stats,
    .flops = stats_flops,
    .compose = compose_stats,
    .no_grad = kFormed,
    .doc = "2-D convolution of relu(x * scale + shift), and its sums for a batch norm behind it.",
});

constinit const OpDef kConv2dNormWeightGrad = define({
    .name = "conv2d_norm_weight_grad",
    .inputs = {"dy", "x", "scale", "shift"},
    .outputs = {"dweight"},
    .attrs = attrs_of<Conv2dWeightGradAttrs>(),
    .infer = infer_norm_weight_grad,
    .flops = norm_weight_grad_flops,
    .compose = compose_norm_weight_grad,
    .no_grad = kFormed,
    .doc = "Gradient of a 2-D convolution of relu(x * scale + shift) by its weight.",
});

constinit const OpDef kConv2dNormInputGrad = define({
    .name = "conv2d_norm_input_grad",
    .inputs = {"dy", "weight", "x", "mean", "rstd", "gamma", "beta"},
    .outputs = {"d", "dgamma", "dbeta"},
    .attrs = attrs_of<Conv2dAttrs>(),
    .infer = infer_norm_input_grad,
    .flops = norm_input_grad_flops,
    .compose = compose_norm_input_grad,
    .no_grad = kFormed,
    .doc = "Gradient of a 2-D convolution by its input, through the ReLU before it, and the sums "
           "that the norm before that needs.",
});

Conv2dStats conv2d_stats(Arg x, Arg weight, const Tensor& scale, const Tensor& shift,
                         Conv2dAttrs attrs) {
  const Tensor in[] = {x.tensor, weight.tensor, scale, shift};
  Tensor out[3];
  call(kConv2dStats, &attrs, {in, scale.defined() ? 4u : 2u}, out, x.where);
  return {out[0], out[1], out[2]};
}

Tensor conv2d_norm_weight_grad(Arg dy, Arg x, const Tensor& scale, const Tensor& shift,
                               Conv2dWeightGradAttrs attrs) {
  return call1(kConv2dNormWeightGrad, &attrs, {dy.tensor, x.tensor, scale, shift}, dy.where);
}

Conv2dNormInputGrad conv2d_norm_input_grad(Arg dy, Arg weight, const Tensor& x, const Tensor& mean,
                                           const Tensor& rstd, const Tensor& gamma,
                                           const Tensor& beta, Conv2dAttrs attrs) {
  const Tensor in[] = {dy.tensor, weight.tensor, x, mean, rstd, gamma, beta};
  Tensor out[3];
  call(kConv2dNormInputGrad, &attrs, in, out, dy.where);
  return {out[0], out[1], out[2]};
}

}  // namespace rutile::ops

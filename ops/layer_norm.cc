// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/layer_norm.h"

#include <cmath>

#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {
namespace {

Shape leading(const Shape& s, int64_t axes) {
  Shape out;
  for (int i = 0; i < s.rank() - axes; ++i) out.push_back(s[i]);
  return out;
}
Shape trailing(const Shape& s, int64_t axes) {
  Shape out;
  for (int i = s.rank() - static_cast<int>(axes); i < s.rank(); ++i) out.push_back(s[i]);
  return out;
}

Status check_x(const TensorMeta& x, const LayerNormAttrs& a) {
  if (!is_floating(x.dtype)) return type_error(cat("x expects a floating dtype, got ", x.dtype));
  if (a.axes < 1 || a.axes > x.rank()) {
    return value_error(cat("axes expects 1 to ", x.rank(), ", the rank of x, got ", a.axes));
  }
  if (!std::isfinite(a.eps)) return value_error(cat("eps must be a finite number, got ", a.eps));
  return Status();
}

Status check_scale(const CallMeta& c, int i, const TensorMeta& x, const LayerNormAttrs& a) {
  if (!c.has(i)) return Status();
  const TensorMeta& w = c.in(i);
  const Shape row = trailing(x.shape, a.axes);
  if (!(w.shape == row)) {
    return value_error(cat(c.op->input_name(i), " expects shape ", row, ", got ", w.shape));
  }
  if (w.dtype != x.dtype && w.dtype != wide(x.dtype)) {
    return type_error(cat(c.op->input_name(i), " expects ", wide(x.dtype), ", got ", w.dtype));
  }
  return Status();
}

Status check_stat(const CallMeta& c, int i, const TensorMeta& x, const LayerNormAttrs& a) {
  const TensorMeta& s = c.in(i);
  if (s.shape == leading(x.shape, a.axes) && s.dtype == wide(x.dtype)) return Status();
  return value_error(
      cat(c.op->input_name(i), " expects ", wide(x.dtype), leading(x.shape, a.axes), ", got ", s));
}

Status check_grad(const TensorMeta& g, const TensorMeta& x) {
  if (g.shape == x.shape && g.dtype == x.dtype) return Status();
  return value_error(cat("grad and x must agree, got ", g, " and ", x));
}

Status infer_layer_norm(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  const auto& a = c.as<LayerNormAttrs>();
  RUTILE_RETURN_IF_ERROR(check_x(x, a));
  RUTILE_RETURN_IF_ERROR(check_scale(c, 1, x, a));
  RUTILE_RETURN_IF_ERROR(check_scale(c, 2, x, a));
  out[0] = TensorMeta(x.shape, x.dtype, x.device);
  out[1] = out[2] = TensorMeta(leading(x.shape, a.axes), wide(x.dtype), x.device);
  return Status();
}

Status infer_layer_norm_grad(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(1);
  const auto& a = c.as<LayerNormAttrs>();
  RUTILE_RETURN_IF_ERROR(check_x(x, a));
  RUTILE_RETURN_IF_ERROR(check_grad(c.in(0), x));
  RUTILE_RETURN_IF_ERROR(check_stat(c, 2, x, a));
  RUTILE_RETURN_IF_ERROR(check_stat(c, 3, x, a));
  RUTILE_RETURN_IF_ERROR(check_scale(c, 4, x, a));
  out[0] = TensorMeta(x.shape, x.dtype, x.device);
  out[1] = out[2] = TensorMeta(trailing(x.shape, a.axes), wide(x.dtype), x.device);
  return Status();
}

Status infer_rms_norm(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  const auto& a = c.as<LayerNormAttrs>();
  RUTILE_RETURN_IF_ERROR(check_x(x, a));
  RUTILE_RETURN_IF_ERROR(check_scale(c, 1, x, a));
  out[0] = TensorMeta(x.shape, x.dtype, x.device);
  out[1] = TensorMeta(leading(x.shape, a.axes), wide(x.dtype), x.device);
  return Status();
}

Status infer_rms_norm_grad(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(1);
  const auto& a = c.as<LayerNormAttrs>();
  RUTILE_RETURN_IF_ERROR(check_x(x, a));
  RUTILE_RETURN_IF_ERROR(check_grad(c.in(0), x));
  RUTILE_RETURN_IF_ERROR(check_stat(c, 2, x, a));
  RUTILE_RETURN_IF_ERROR(check_scale(c, 3, x, a));
  out[0] = TensorMeta(x.shape, x.dtype, x.device);
  out[1] = TensorMeta(trailing(x.shape, a.axes), wide(x.dtype), x.device);
  return Status();
}

// Tensors as [rows, width], [rows, 1] and [1, width], in the dtype of the statistics.
struct Rows {
  int64_t rows = 1, width = 1;
  Rows(const Shape& x, int64_t axes)
      : rows(leading(x, axes).numel()), width(trailing(x, axes).numel()) {}
  Tensor all(const Tensor& t) const { return wide(reshape(t, {rows, width})); }
  Tensor column(const Tensor& t) const { return reshape(t, {rows, 1}); }
  Tensor row(const Tensor& t) const { return wide(reshape(t, {1, width})); }
};

Tensor row_mean(const Tensor& t) { return mean(t, {.axes = {1}, .keepdims = true}); }

// The share of x's gradient that comes through the outputs mean and rstd: d mean/dx = 1/n,
// d rstd/dx = -rstd^3 (x - mean)/n.
Tensor through_stats(const Rows& r, const Tensor& x, const Tensor& centre, const Tensor& rstd,
                     const Tensor& gmean, const Tensor& grstd) {
  Tensor d;
  if (grstd.defined()) {
    const Tensor k = r.column(grstd * rstd * rstd * rstd) * (-1.0 / static_cast<double>(r.width));
    d = k * (centre.defined() ? r.all(x) - r.column(centre) : r.all(x));
  }
  if (gmean.defined()) {
    const Tensor m = r.column(gmean) * (1.0 / static_cast<double>(r.width));
    d = d.defined() ? d + m : broadcast_to(m, {r.rows, r.width});
  }
  return d.defined() ? cast(reshape(d, x.shape()), x.dtype()) : d;
}

Tensor plus(const Tensor& a, const Tensor& b) {
  return !a.defined() ? b : !b.defined() ? a : a + b;
}

GradResult grad_layer_norm(GradCtx& ctx) {
  const Tensor &x = ctx.in(0), &mean = ctx.out(1), &rstd = ctx.out(2);
  const auto& a = ctx.attrs<LayerNormAttrs>();
  GradResult d;
  d.resize(ctx.num_inputs());
  if (ctx.grad(0).defined()) {
    const Tensor weight = ctx.has_in(1) ? ctx.in(1) : Tensor();
    const Tensor in[] = {ctx.grad(0), x, mean, rstd, weight};
    const TensorList g = call_n(kLayerNormGrad, &a, {in, weight.defined() ? 5u : 4u});
    d[0] = g[0];
    if (ctx.has_in(1)) d[1] = g[1];
    if (ctx.has_in(2)) d[2] = g[2];
  }
  d[0] =
      plus(d[0], through_stats(Rows(x.shape(), a.axes), x, mean, rstd, ctx.grad(1), ctx.grad(2)));
  return d;
}

GradResult grad_rms_norm(GradCtx& ctx) {
  const Tensor &x = ctx.in(0), &rstd = ctx.out(1);
  const auto& a = ctx.attrs<LayerNormAttrs>();
  GradResult d;
  d.resize(ctx.num_inputs());
  if (ctx.grad(0).defined()) {
    const Tensor weight = ctx.has_in(1) ? ctx.in(1) : Tensor();
    const Tensor in[] = {ctx.grad(0), x, rstd, weight};
    const TensorList g = call_n(kRmsNormGrad, &a, {in, weight.defined() ? 4u : 3u});
    d[0] = g[0];
    if (ctx.has_in(1)) d[1] = g[1];
  }
  d[0] = plus(d[0], through_stats(Rows(x.shape(), a.axes), x, {}, rstd, {}, ctx.grad(1)));
  return d;
}

TensorList compose_layer_norm(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const LayerNormAttrs*>(attrs);
  const Rows r(in[0].shape(), a.axes);
  const Tensor x = r.all(in[0]);
  const Tensor m = row_mean(x), centred = x - m;
  const Tensor rstd = rsqrt(row_mean(square(centred)) + a.eps);
  Tensor y = centred * rstd;
  if (in.size() > 1 && in[1].defined()) y = y * r.row(in[1]);
  if (in.size() > 2 && in[2].defined()) y = y + r.row(in[2]);
  const Shape stats = leading(in[0].shape(), a.axes);
  return {cast(reshape(y, in[0].shape()), in[0].dtype()), reshape(m, stats), reshape(rstd, stats)};
}

TensorList compose_layer_norm_grad(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const LayerNormAttrs*>(attrs);
  const Shape& shape = in[1].shape();
  const Rows r(shape, a.axes);
  const Tensor g = r.all(in[0]), rstd = r.column(in[3]);
  const Tensor xhat = (r.all(in[1]) - r.column(in[2])) * rstd;
  const Tensor gw = in.size() > 4 && in[4].defined() ? g * r.row(in[4]) : g;
  const Tensor dx = rstd * (gw - row_mean(gw) - xhat * row_mean(gw * xhat));
  const Shape row = trailing(shape, a.axes);
  return {cast(reshape(dx, shape), in[1].dtype()), reshape(sum(g * xhat, {.axes = {0}}), row),
          reshape(sum(g, {.axes = {0}}), row)};
}

TensorList compose_rms_norm(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const LayerNormAttrs*>(attrs);
  const Rows r(in[0].shape(), a.axes);
  const Tensor x = r.all(in[0]);
  const Tensor rstd = rsqrt(row_mean(square(x)) + a.eps);
  Tensor y = x * rstd;
  if (in.size() > 1 && in[1].defined()) y = y * r.row(in[1]);
  return {cast(reshape(y, in[0].shape()), in[0].dtype()),
          reshape(rstd, leading(in[0].shape(), a.axes))};
}

TensorList compose_rms_norm_grad(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const LayerNormAttrs*>(attrs);
  const Shape& shape = in[1].shape();
  const Rows r(shape, a.axes);
  const Tensor g = r.all(in[0]), rstd = r.column(in[2]);
  const Tensor xhat = r.all(in[1]) * rstd;
  const Tensor gw = in.size() > 3 && in[3].defined() ? g * r.row(in[3]) : g;
  const Tensor dx = rstd * (gw - xhat * row_mean(gw * xhat));
  return {cast(reshape(dx, shape), in[1].dtype()),
          reshape(sum(g * xhat, {.axes = {0}}), trailing(shape, a.axes))};
}

}  // namespace

constinit const OpDef kLayerNorm = define({
    .name = "layer_norm",
    .inputs = {"x", "weight?", "bias?"},
    .outputs = {"y", "mean", "rstd"},
    .attrs = attrs_of<LayerNormAttrs>(),
    .infer = infer_layer_norm,
    .flops = flops_per_input<7>,
    .grad = grad_layer_norm,
    .saves = {"x", "weight", "mean", "rstd"},
    .compose = compose_layer_norm,
    .doc =
        "Normalises rows of the last dimensions to mean 0 and deviation 1, then scales and shifts.",
});

constinit const OpDef kLayerNormGrad = define({
    .name = "layer_norm_grad",
    .inputs = {"grad", "x", "mean", "rstd", "weight?"},
    .outputs = {"dx", "dweight", "dbias"},
    .attrs = attrs_of<LayerNormAttrs>(),
    .infer = infer_layer_norm_grad,
    .flops = flops_per_input<13>,
    .saves = {"grad", "x", "mean", "rstd", "weight"},
    .compose = compose_layer_norm_grad,
    .doc = "Gradients of layer_norm's x, weight and bias.",
});

constinit const OpDef kRmsNorm = define({
    .name = "rms_norm",
    .inputs = {"x", "weight?"},
    .outputs = {"y", "rstd"},
    .attrs = attrs_of<LayerNormAttrs>(),
    .infer = infer_rms_norm,
    .flops = flops_per_input<4>,
    .grad = grad_rms_norm,
    .saves = {"x", "weight", "rstd"},
    .compose = compose_rms_norm,
    .doc = "Divides rows of the last dimensions by their root mean square, then scales.",
});

constinit const OpDef kRmsNormGrad = define({
    .name = "rms_norm_grad",
    .inputs = {"grad", "x", "rstd", "weight?"},
    .outputs = {"dx", "dweight"},
    .attrs = attrs_of<LayerNormAttrs>(),
    .infer = infer_rms_norm_grad,
    .flops = flops_per_input<9>,
    .saves = {"grad", "x", "rstd", "weight"},
    .compose = compose_rms_norm_grad,
    .doc = "Gradients of rms_norm's x and weight.",
});

LayerNormResult layer_norm_with_stats(Arg x, const Tensor& weight, const Tensor& bias,
                                      LayerNormAttrs a) {
  const Tensor in[] = {x.tensor, weight, bias};
  const TensorList y = call_n(kLayerNorm, &a, in, x.where);
  return {y[0], y[1], y[2]};
}

Tensor layer_norm(Arg x, const Tensor& weight, const Tensor& bias, LayerNormAttrs a) {
  return layer_norm_with_stats(x, weight, bias, a).y;
}

Tensor rms_norm(Arg x, const Tensor& weight, LayerNormAttrs a) {
  const Tensor in[] = {x.tensor, weight};
  return call_n(kRmsNorm, &a, in, x.where)[0];
}

}  // namespace rutile::ops

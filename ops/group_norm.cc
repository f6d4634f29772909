// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/group_norm.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "rutile/ops/cost.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/image_meta.h"
#include "rutile/ops/norm.h"
#include "rutile/ops/pool.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {

namespace {

int64_t groups_of(const GroupNormAttrs& a, const Shape&) { return a.num_groups; }
int64_t groups_of(const InstanceNormAttrs&, const Shape& x) { return std::max<int64_t>(1, x[1]); }

// An instance norm of [n,c] would be of single numbers: an image without its batch.
template <class A>
Status check_rank(const TensorMeta& x) {
  if (!std::is_same_v<A, InstanceNormAttrs> || x.rank() > 2) return Status();
  return value_error(cat("x must have shape [n,c,l,...], got ", x.shape));
}

Status check_x(const TensorMeta& x) {
  if (x.rank() < 2) return value_error(cat("x must have shape [n,c,...], got ", x.shape));
  return check_floating(x, "x");
}

Status check_groups(const TensorMeta& x, int64_t groups, double eps) {
  if (!(std::fabs(eps) < 1e30)) return value_error(cat("eps must be a finite number, got ", eps));
  if (groups < 1) return value_error(cat("num_groups must be positive, got ", groups));
  if (x.dim(1) % groups == 0) return Status();
  return value_error(cat("num_groups ", groups, " does not divide ", x.dim(1), " channels"));
}

// weight or bias.
Status check_scale(const CallMeta& c, int i, const TensorMeta& x) {
  if (!c.has(i)) return Status();
  const TensorMeta& w = c.in(i);
  if (!(w.shape == Shape{x.dim(1)})) {
    return value_error(cat(c.op->input_name(i), " expects shape [", x.dim(1),
                           "] (the channels of x), got ", w.shape));
  }
  if (w.dtype == x.dtype || w.dtype == wide(x.dtype)) return Status();
  return type_error(cat(c.op->input_name(i), " expects ", wide(x.dtype), ", got ", w.dtype));
}

TensorMeta like(const TensorMeta& x) {
  return x.is_channels_last() ? x : TensorMeta(x.shape, x.dtype, x.device);
}

template <class A>
Status infer_norm(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  RUTILE_RETURN_IF_ERROR(check_rank<A>(x));
  RUTILE_RETURN_IF_ERROR(check_x(x));
  const int64_t groups = groups_of(c.as<A>(), x.shape);
  RUTILE_RETURN_IF_ERROR(check_groups(x, groups, c.as<A>().eps));
  RUTILE_RETURN_IF_ERROR(check_scale(c, 1, x));
  RUTILE_RETURN_IF_ERROR(check_scale(c, 2, x));
  out[0] = like(x);
  out[1] = out[2] = TensorMeta({x.dim(0), groups}, wide(x.dtype), x.device);
  return Status();
}

Status infer_grad(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &dy = c.in(0), &x = c.in(1);
  const auto& a = c.as<GroupNormAttrs>();
  RUTILE_RETURN_IF_ERROR(check_x(x));
  RUTILE_RETURN_IF_ERROR(check_groups(x, a.num_groups, a.eps));
  if (!(dy.shape == x.shape) || dy.dtype != x.dtype) {
    return value_error(cat("dy and x must agree, got ", dy, " and ", x));
  }
  for (int i = 2; i < 4; ++i) {
    if (!(c.in(i).shape == Shape{x.dim(0), a.num_groups}) || c.in(i).dtype != wide(x.dtype)) {
      return value_error(cat(c.op->input_name(i), " expects ", wide(x.dtype), "[", x.dim(0), ",",
                             a.num_groups, "], got ", c.in(i)));
    }
  }
  RUTILE_RETURN_IF_ERROR(check_scale(c, 4, x));
  out[0] = like(x);
  out[1] = out[2] = TensorMeta({x.dim(1)}, wide(x.dtype), x.device);
  return Status();
}

// ---- Definitions in other ops ----

// Tensors as [n, groups, channels of a group, pixels] in the dtype of the statistics.
struct Split {
  Shape full, shape;
  int64_t groups;
  Split(const Shape& x, int64_t g)
      : full(x), shape{x[0], g, x[1] / g, product(x, 2, x.rank())}, groups(g) {}
  Tensor image(const Tensor& t) const { return wide(reshape(t, shape)); }
  Tensor stat(const Tensor& t) const { return reshape(t, {shape[0], groups, 1, 1}); }
  Tensor scale(const Tensor& t) const { return wide(reshape(t, {1, groups, shape[2], 1})); }
  Tensor mean(const Tensor& t) const {
    const double n = static_cast<double>(std::max<int64_t>(1, shape[2] * shape[3]));
    return sum(t, {.axes = {2, 3}, .keepdims = true}) / n;
  }
  Tensor channels(const Tensor& t) const {
    return reshape(sum(t, {.axes = {0, 3}}), {shape[1] * shape[2]});
  }
};

TensorList normalized(std::span<const Tensor> in, int64_t groups, double eps) {
  const Split s(in[0].shape(), groups);
  const Tensor x = s.image(in[0]);
  const Tensor mean = s.mean(x), centred = x - mean;
  const Tensor rstd = rsqrt(s.mean(square(centred)) + eps);
  Tensor y = centred * rstd;
  if (operand(in, 1).defined()) y = y * s.scale(in[1]);
  if (operand(in, 2).defined()) y = y + s.scale(in[2]);
  const Shape stats{s.shape[0], groups};
  return {cast(reshape(y, s.full), in[0].dtype()), reshape(mean, stats), reshape(rstd, stats)};
}

TensorList compose_group_norm(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const GroupNormAttrs*>(attrs);
  return normalized(in, a.num_groups, a.eps);
}

TensorList compose_instance_norm(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const InstanceNormAttrs*>(attrs);
  const GroupNormAttrs to{groups_of(a, in[0].shape()), a.eps};
  return call_n(kGroupNorm, &to, in);
}

TensorList compose_grad(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const GroupNormAttrs*>(attrs);
  const Split s(in[1].shape(), a.num_groups);
  const Tensor g = s.image(in[0]), rstd = s.stat(in[3]);
  const Tensor xhat = (s.image(in[1]) - s.stat(in[2])) * rstd;
  const Tensor gw = operand(in, 4).defined() ? g * s.scale(in[4]) : g;
  const Tensor dx = rstd * (gw - s.mean(gw) - xhat * s.mean(gw * xhat));
  return {cast(reshape(dx, s.full), in[1].dtype()), s.channels(g * xhat), s.channels(g)};
}

// What reaches x through mean and rstd: d mean/dx = 1/n, d rstd/dx = -rstd^3 (x - mean)/n.
Tensor through_stats(const Split& s, const Tensor& x, const Tensor& mean, const Tensor& rstd,
                     const Tensor& gmean, const Tensor& grstd) {
  const double n = static_cast<double>(std::max<int64_t>(1, s.shape[2] * s.shape[3]));
  Tensor d;
  if (grstd.defined()) {
    d = s.stat(grstd * rstd * rstd * rstd) * (-1.0 / n) * (s.image(x) - s.stat(mean));
  }
  if (gmean.defined()) {
    const Tensor m = s.stat(gmean) * (1.0 / n);
    d = d.defined() ? d + m : broadcast_to(m, s.shape);
  }
  return d.defined() ? cast(reshape(d, s.full), x.dtype()) : d;
}

template <class A>
GradResult grad_norm(GradCtx& ctx) {
  const Tensor &x = ctx.in(0), &mean = ctx.out(1), &rstd = ctx.out(2);
  const auto& a = ctx.attrs<A>();
  const GroupNormAttrs to{groups_of(a, x.shape()), a.eps};
  GradResult d;
  d.resize(ctx.num_inputs());
  if (ctx.grad(0).defined()) {
    const Tensor weight = ctx.has_in(1) ? ctx.in(1) : Tensor();
    const Tensor in[] = {ctx.grad(0), x, mean, rstd, weight};
    const TensorList g = call_n(kGroupNormGrad, &to, {in, weight.defined() ? 5u : 4u});
    d[0] = g[0];
    if (ctx.has_in(1)) d[1] = g[1];
    if (ctx.has_in(2)) d[2] = g[2];
  }
  const Tensor more =
      through_stats(Split(x.shape(), to.num_groups), x, mean, rstd, ctx.grad(1), ctx.grad(2));
  if (more.defined()) d[0] = d[0].defined() ? d[0] + more : more;
  return d;
}

// ---- local_response_norm ----

Status infer_local(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  const auto& a = c.as<LocalResponseNormAttrs>();
  if (x.rank() < 3 || x.rank() > 5) {
    return value_error(cat("x must have rank 3 to 5, got ", x.shape));
  }
  RUTILE_RETURN_IF_ERROR(check_floating(x, "x"));
  if (a.size < 1 || a.size > 1 << 20) {
    return value_error(cat("size must be 1 to 2^20, got ", a.size));
  }
  *out = TensorMeta(x.shape, x.dtype, x.device);
  return Status();
}

TensorList compose_local(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const LocalResponseNormAttrs*>(attrs);
  const Tensor x = wide(in[0]);
  if (x.numel() == 0) return {in[0] + in[0]};
  const Shape& s = x.shape();
  const Tensor channels = reshape(square(x), {s[0], 1, s[1], product(s, 2, s.rank())});
  const Tensor padded = pad(channels, {0, 0, a.size / 2, 0}, {0, 0, (a.size - 1) / 2, 0});
  const Tensor means = reshape(avg_pool2d(padded, {.kernel = {a.size, 1}, .stride = 1}), s);
  return {cast(x / pow(means * a.alpha + a.k, a.beta), in[0].dtype())};
}

}  // namespace

constinit const OpDef kGroupNorm = define({
    .name = "group_norm",
    .inputs = {"x", "weight?", "bias?"},
    .outputs = {"y", "mean", "rstd"},
    .attrs = attrs_of<GroupNormAttrs>(),
    .infer = infer_norm<GroupNormAttrs>,
    .flops = flops_per_input<7>,
    .grad = grad_norm<GroupNormAttrs>,
    .saves = {"x", "weight", "mean", "rstd"},
    .compose = compose_group_norm,
    .doc = "Normalises groups of channels to mean 0 and deviation 1, then scales and shifts.",
});

constinit const OpDef kGroupNormGrad = define({
    .name = "group_norm_grad",
    .inputs = {"dy", "x", "mean", "rstd", "weight?"},
    .outputs = {"dx", "dweight", "dbias"},
    .attrs = attrs_of<GroupNormAttrs>(),
    .infer = infer_grad,
    .flops = flops_per_input<13>,
    .saves = {"dy", "x", "mean", "rstd", "weight"},
    .compose = compose_grad,
    .doc = "Gradients of group_norm's x, weight and bias.",
});

constinit const OpDef kInstanceNorm = define({
    .name = "instance_norm",
    .inputs = {"x", "weight?", "bias?"},
    .outputs = {"y", "mean", "rstd"},
    .attrs = attrs_of<InstanceNormAttrs>(),
    .infer = infer_norm<InstanceNormAttrs>,
    .flops = flops_per_input<7>,
    .grad = grad_norm<InstanceNormAttrs>,
    .saves = {"x", "weight", "mean", "rstd"},
    .compose = compose_instance_norm,
    .doc = "Normalises every channel of every image, then scales and shifts.",
});

constinit const OpDef kLocalResponseNorm = define({
    .name = "local_response_norm",
    .inputs = {"x"},
    .attrs = attrs_of<LocalResponseNormAttrs>(),
    .infer = infer_local,
    .flops = flops_per_input<8>,
    .compose = compose_local,
    .amp = Amp::kHigh,
    .doc = "Divides by a power of the mean square of neighbouring channels.",
});

GroupNormResult group_norm_with_stats(Arg x, const Tensor& weight, const Tensor& bias,
                                      GroupNormAttrs attrs) {
  const Tensor in[] = {x.tensor, weight, bias};
  const TensorList y = call_n(kGroupNorm, &attrs, in, x.where);
  return {y[0], y[1], y[2]};
}

Tensor group_norm(Arg x, const Tensor& weight, const Tensor& bias, GroupNormAttrs attrs) {
  return group_norm_with_stats(x, weight, bias, attrs).y;
}

GroupNormResult instance_norm_with_stats(Arg x, const Tensor& weight, const Tensor& bias,
                                         InstanceNormAttrs attrs) {
  const Tensor in[] = {x.tensor, weight, bias};
  const TensorList y = call_n(kInstanceNorm, &attrs, in, x.where);
  return {y[0], y[1], y[2]};
}

Tensor instance_norm(Arg x, const Tensor& weight, const Tensor& bias, InstanceNormAttrs attrs) {
  return instance_norm_with_stats(x, weight, bias, attrs).y;
}

void instance_norm_update_stats(State& running_mean, State& running_var, const Tensor& mean,
                                const Tensor& rstd, int64_t pixels, double momentum, double eps) {
  const Tensor var = reciprocal(square(rstd)) - eps;
  const Tensor batch_mean = ops::mean(mean, {.axes = {0}});
  const Tensor batch_rstd = rsqrt(ops::mean(var, {.axes = {0}}) + eps);
  batch_norm_update_stats(running_mean, running_var, batch_mean, batch_rstd,
                          {.momentum = momentum, .eps = eps, .count = pixels});
}

Tensor local_response_norm(Arg x, LocalResponseNormAttrs attrs) {
  return call1(kLocalResponseNorm, &attrs, {x.tensor}, x.where);
}

}  // namespace rutile::ops

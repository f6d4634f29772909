// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/norm.h"

#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {

namespace {

Status check_x(const TensorMeta& x) {
  if (x.rank() < 2 || x.rank() > 5) {
    return value_error(cat("x must have rank 2 to 5, got ", x.shape));
  }
  if (!is_floating(x.dtype)) return type_error(cat("x must be floating point, got ", x.dtype));
  return Status();
}

// A per-channel operand [c] in the statistics' type.
Status check_channels(const CallMeta& call, int i, const TensorMeta& x) {
  if (!call.has(i)) return Status();
  const TensorMeta& m = call.in(i);
  const std::string_view name = call.op->input_name(i);
  if (m.rank() != 1 || m.dim(0) != x.dim(1)) {
    return value_error(
        cat(name, " expects shape [", x.dim(1), "] (the channels of x), got ", m.shape));
  }
  if (m.dtype != wide(x.dtype)) {
    return type_error(
        cat(name, " expects ", wide(x.dtype), " for x of ", x.dtype, ", got ", m.dtype));
  }
  return Status();
}

Status check_like_x(const CallMeta& call, int i, const TensorMeta& x) {
  const TensorMeta& m = call.in(i);
  if (m.shape == x.shape && m.dtype == x.dtype) return Status();
  return value_error(
      cat(call.op->input_name(i), " expects ", x.dtype, x.shape, " as x, got ", m.dtype, m.shape));
}

Status check_eps(double eps) {
  if (eps >= 0 && eps < 1e30) return Status();
  return value_error(cat("eps must be >= 0, got ", eps));
}

// As x where it lies densely, else row-major.
TensorMeta like(const TensorMeta& x) {
  if (x.layout != kStrided || x.is_channels_last()) return x;
  return TensorMeta(x.shape, x.dtype, x.device);
}

// Forward ops: x, then `extra` operands like x, then weight and bias.
template <int kExtra>
Status infer_forward(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& x = call.in(0);
  RUTILE_RETURN_IF_ERROR(check_x(x));
  RUTILE_RETURN_IF_ERROR(check_eps(call.as<BatchNormAttrs>().eps));
  for (int i = 1; i <= kExtra; ++i) RUTILE_RETURN_IF_ERROR(check_like_x(call, i, x));
  RUTILE_RETURN_IF_ERROR(check_channels(call, kExtra + 1, x));
  RUTILE_RETURN_IF_ERROR(check_channels(call, kExtra + 2, x));
  out[0] = like(x);
  out[1] = out[2] = TensorMeta({x.dim(1)}, wide(x.dtype), x.device);
  return Status();
}

// Backward ops: dy, x, (y), then per-channel operands.
template <bool kHasY>
Status infer_backward(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& x = call.in(1);
  RUTILE_RETURN_IF_ERROR(check_x(x));
  RUTILE_RETURN_IF_ERROR(check_like_x(call, 0, x));
  if (kHasY) RUTILE_RETURN_IF_ERROR(check_like_x(call, 2, x));
  for (int i = kHasY ? 3 : 2; i < call.num_inputs() && i < 6; ++i) {
    RUTILE_RETURN_IF_ERROR(check_channels(call, i, x));
  }
  if (call.has(6)) RUTILE_RETURN_IF_ERROR(check_like_x(call, 6, x));
  const TensorMeta channel({x.dim(1)}, wide(x.dtype), x.device);
  int o = 0;
  out[o++] = like(x);
  if (kHasY) out[o++] = like(x);
  out[o++] = channel;
  out[o++] = channel;
  return Status();
}

// ---- Definitions in other ops ----

// Elements per channel.
Scalar channel_count(const Tensor& x) {
  const int64_t c = std::max<int64_t>(1, x.dim(1));
  return static_cast<double>(std::max<int64_t>(1, x.numel() / c));
}

struct Normalized {
  Tensor z, mean, rstd;  // z in the statistics' type
};

Normalized normalize(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  const int rank = x.rank();
  const Tensor w = wide(x);
  const Scalar count = channel_count(x);
  Normalized r;
  r.mean = channel_sum(w) / count;
  const Tensor centred = w - per_channel(r.mean, rank);
  r.rstd = rsqrt(channel_sum(square(centred)) / count + Scalar(eps));
  r.z = centred * per_channel(r.rstd, rank);
  if (weight.defined()) r.z = r.z * per_channel(weight, rank);
  if (bias.defined()) r.z = r.z + per_channel(bias, rank);
  return r;
}

TensorList compose_batch_norm(const void* attrs, std::span<const Tensor> in) {
  const double eps = static_cast<const BatchNormAttrs*>(attrs)->eps;
  Normalized r = normalize(in[0], operand(in, 1), operand(in, 2), eps);
  return {cast(r.z, in[0].dtype()), r.mean, r.rstd};
}

TensorList compose_batch_norm_relu(const void* attrs, std::span<const Tensor> in) {
  const double eps = static_cast<const BatchNormAttrs*>(attrs)->eps;
  Normalized r = normalize(in[0], operand(in, 1), operand(in, 2), eps);
  return {cast(relu(r.z), in[0].dtype()), r.mean, r.rstd};
}

TensorList compose_batch_norm_add_relu(const void* attrs, std::span<const Tensor> in) {
  const double eps = static_cast<const BatchNormAttrs*>(attrs)->eps;
  Normalized r = normalize(in[0], operand(in, 2), operand(in, 3), eps);
  return {cast(relu(r.z + wide(in[1])), in[0].dtype()), r.mean, r.rstd};
}

// dz is the gradient behind any ReLU, in the statistics' type.
TensorList gradients(const Tensor& dz, const Tensor& x, const Tensor& mean_of_x, const Tensor& rstd,
                     const Tensor& weight) {
  const int rank = x.rank();
  const Tensor r = per_channel(rstd, rank);
  const Tensor xhat = (wide(x) - per_channel(mean_of_x, rank)) * r;
  const Tensor dbias = channel_sum(dz);
  const Tensor dweight = channel_sum(dz * xhat);
  const Scalar count = channel_count(x);
  Tensor dx = dz - (per_channel(dbias, rank) + xhat * per_channel(dweight, rank)) / count;
  dx = dx * (weight.defined() ? r * per_channel(weight, rank) : r);
  return {cast(dx, x.dtype()), dweight, dbias};
}

TensorList compose_grad(const void*, std::span<const Tensor> in) {
  return gradients(wide(in[0]), in[1], in[2], in[3], operand(in, 4));
}

TensorList compose_relu_grad(const void*, std::span<const Tensor> in) {
  const int rank = in[1].rank();
  Tensor z = (wide(in[1]) - per_channel(in[2], rank)) * per_channel(in[3], rank);
  if (operand(in, 4).defined()) z = z * per_channel(in[4], rank);
  if (operand(in, 5).defined()) z = z + per_channel(in[5], rank);
  const Tensor dy = wide(in[0]);
  const Tensor dz = where(greater(z, Scalar(0)), dy, scalar_like(dy, Scalar(0)));
  return gradients(dz, in[1], in[2], in[3], operand(in, 4));
}

TensorList compose_add_relu_grad(const void*, std::span<const Tensor> in) {
  Tensor dy = wide(in[0]);
  if (operand(in, 6).defined()) dy = dy + wide(in[6]);
  const Tensor dz = where(greater(in[2], Scalar(0)), dy, scalar_like(dy, Scalar(0)));
  TensorList g = gradients(dz, in[1], in[3], in[4], operand(in, 5));
  return {g[0], cast(dz, in[1].dtype()), g[1], g[2]};
}

// ---- Gradient rules ----

// What gradients of the outputs mean and rstd add to dx.
Tensor statistics_gradient(GradCtx& ctx, const Tensor& x, const Tensor& mean_of_x,
                           const Tensor& rstd) {
  const int rank = x.rank();
  const Scalar count = channel_count(x);
  Tensor dx;
  if (ctx.grad(1).defined()) {
    dx = broadcast_to(per_channel(ctx.grad(1), rank) / count, x.shape());
  }
  if (ctx.grad(2).defined()) {
    const Tensor factor = ctx.grad(2) * rstd * rstd * rstd / Scalar(-count.f);
    const Tensor d = (wide(x) - per_channel(mean_of_x, rank)) * per_channel(factor, rank);
    dx = dx.defined() ? dx + d : d;
  }
  return dx.defined() ? cast(dx, x.dtype()) : dx;
}

Tensor plus(const Tensor& a, const Tensor& b) {
  if (!a.defined()) return b;
  return b.defined() ? a + b : a;
}

GradResult grad_batch_norm(GradCtx& ctx) {
  const Tensor& x = ctx.in(0);
  const Tensor weight = ctx.has_in(1) ? ctx.in(1) : Tensor();
  Tensor dx, dw, db;
  if (ctx.grad(0).defined()) {
    const Tensor in[] = {cast(ctx.grad(0), x.dtype()), x, ctx.out(1), ctx.out(2), weight};
    TensorList g = call_n(kBatchNormGrad, nullptr, in);
    dx = g[0], dw = g[1], db = g[2];
  }
  return {plus(dx, statistics_gradient(ctx, x, ctx.out(1), ctx.out(2))),
          ctx.has_in(1) ? dw : Tensor(), ctx.has_in(2) ? db : Tensor()};
}

GradResult grad_batch_norm_relu(GradCtx& ctx) {
  const Tensor& x = ctx.in(0);
  const Tensor weight = ctx.has_in(1) ? ctx.in(1) : Tensor();
  const Tensor bias = ctx.has_in(2) ? ctx.in(2) : Tensor();
  Tensor dx, dw, db;
  if (ctx.grad(0).defined()) {
    const Tensor in[] = {cast(ctx.grad(0), x.dtype()), x, ctx.out(1), ctx.out(2), weight, bias};
    TensorList g = call_n(kBatchNormReluGrad, nullptr, in);
    dx = g[0], dw = g[1], db = g[2];
  }
  return {plus(dx, statistics_gradient(ctx, x, ctx.out(1), ctx.out(2))),
          ctx.has_in(1) ? dw : Tensor(), ctx.has_in(2) ? db : Tensor()};
}

GradResult grad_batch_norm_add_relu(GradCtx& ctx) {
  const Tensor& x = ctx.in(0);
  const Tensor weight = ctx.has_in(2) ? ctx.in(2) : Tensor();
  Tensor dx, dres, dw, db;
  if (ctx.grad(0).defined()) {
    const Tensor in[] = {
        cast(ctx.grad(0), x.dtype()), x, ctx.out(0), ctx.out(1), ctx.out(2), weight};
    TensorList g = call_n(kBatchNormAddReluGrad, nullptr, in);
    dx = g[0], dres = g[1], dw = g[2], db = g[3];
  }
  return {plus(dx, statistics_gradient(ctx, x, ctx.out(1), ctx.out(2))), dres,
          ctx.has_in(2) ? dw : Tensor(), ctx.has_in(3) ? db : Tensor()};
}

Status infer_inference(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& x = call.in(0);
  RUTILE_RETURN_IF_ERROR(check_x(x));
  RUTILE_RETURN_IF_ERROR(check_eps(call.as<BatchNormAttrs>().eps));
  for (int i = 1; i < 5; ++i) RUTILE_RETURN_IF_ERROR(check_channels(call, i, x));
  out[0] = like(x);
  return Status();
}

TensorList compose_inference(const void* attrs, std::span<const Tensor> in) {
  const double eps = static_cast<const BatchNormAttrs*>(attrs)->eps;
  const int rank = in[0].rank();
  Tensor scale = rsqrt(in[2] + Scalar(eps));
  if (operand(in, 3).defined()) scale = scale * in[3];
  Tensor shift = neg(in[1] * scale);
  if (operand(in, 4).defined()) shift = shift + in[4];
  return {cast(wide(in[0]) * per_channel(scale, rank) + per_channel(shift, rank), in[0].dtype())};
}

Status infer_apply(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& x = call.in(0);
  RUTILE_RETURN_IF_ERROR(check_x(x));
  for (int i = 1; i < 5; ++i) RUTILE_RETURN_IF_ERROR(check_channels(call, i, x));
  if (call.has(5)) RUTILE_RETURN_IF_ERROR(check_like_x(call, 5, x));
  out[0] = like(x);
  return Status();
}

TensorList compose_apply(const void* attrs, std::span<const Tensor> in) {
  const int rank = in[0].rank();
  Tensor z = (wide(in[0]) - per_channel(in[1], rank)) * per_channel(in[2], rank);
  if (operand(in, 3).defined()) z = z * per_channel(in[3], rank);
  if (operand(in, 4).defined()) z = z + per_channel(in[4], rank);
  if (operand(in, 5).defined()) z = z + wide(in[5]);
  if (static_cast<const BatchNormApplyAttrs*>(attrs)->relu) z = relu(z);
  return {cast(z, in[0].dtype())};
}

Status infer_update(const CallMeta& call, TensorMeta* out) {
  const auto& a = call.as<BatchNormStatsAttrs>();
  const TensorMeta& m = call.in(0);
  for (int i = 0; i < 4; ++i) {
    if (call.in(i).rank() != 1 || !(call.in(i).shape == m.shape) || call.in(i).dtype != m.dtype) {
      return value_error(cat(call.op->input_name(i), " expects ", m.dtype, "[channels] as ",
                             call.op->input_name(0), ", got ", call.in(i).dtype, call.in(i).shape));
    }
  }
  if (m.dtype != DType::kF32 && m.dtype != DType::kF64) {
    return type_error(cat("statistics must be f32 or f64, got ", m.dtype));
  }
  if (!(a.momentum >= 0 && a.momentum <= 1)) {
    return value_error(cat("momentum must lie in [0, 1], got ", a.momentum));
  }
  if (a.count < 1) return value_error(cat("count must be positive, got ", a.count));
  out[0] = out[1] = TensorMeta(m.shape, m.dtype, m.device);
  return Status();
}

}  // namespace

constinit const OpDef kBatchNorm = define({
    .name = "batch_norm",
    .inputs = {"x", "weight?", "bias?"},
    .outputs = {"y", "mean", "rstd"},
    .attrs = attrs_of<BatchNormAttrs>(),
    .infer = infer_forward<0>,
    .flops = flops_per_input<5>,
    .grad = grad_batch_norm,
    .saves = {"x", "weight", "mean", "rstd"},
    .compose = compose_batch_norm,
    .doc = "Batch normalisation over all dimensions but the second, with the batch's statistics.",
});

constinit const OpDef kBatchNormRelu = define({
    .name = "batch_norm_relu",
    .inputs = {"x", "weight?", "bias?"},
    .outputs = {"y", "mean", "rstd"},
    .attrs = attrs_of<BatchNormAttrs>(),
    .infer = infer_forward<0>,
    .flops = flops_per_input<6>,
    .grad = grad_batch_norm_relu,
    .saves = {"x", "weight", "bias", "mean", "rstd"},
    .compose = compose_batch_norm_relu,
    .doc = "relu(batch_norm(x)).",
});

constinit const OpDef kBatchNormAddRelu = define({
    .name = "batch_norm_add_relu",
    .inputs = {"x", "residual", "weight?", "bias?"},
    .outputs = {"y", "mean", "rstd"},
    .attrs = attrs_of<BatchNormAttrs>(),
    .infer = infer_forward<1>,
    .flops = flops_per_input<7>,
    .grad = grad_batch_norm_add_relu,
    .saves = {"x", "y", "weight", "mean", "rstd"},
    .compose = compose_batch_norm_add_relu,
    .doc = "relu(batch_norm(x) + residual).",
});

constinit const OpDef kBatchNormGrad = define({
    .name = "batch_norm_grad",
    .inputs = {"dy", "x", "mean", "rstd", "weight?"},
    .outputs = {"dx", "dweight", "dbias"},
    .infer = infer_backward<false>,
    .flops = flops_per_input<9>,
    .compose = compose_grad,
    .doc = "Gradient of batch_norm.",
});

constinit const OpDef kBatchNormReluGrad = define({
    .name = "batch_norm_relu_grad",
    .inputs = {"dy", "x", "mean", "rstd", "weight?", "bias?"},
    .outputs = {"dx", "dweight", "dbias"},
    .infer = infer_backward<false>,
    .flops = flops_per_input<12>,
    .compose = compose_relu_grad,
    .doc = "Gradient of batch_norm_relu.",
});

constinit const OpDef kBatchNormAddReluGrad = define({
    .name = "batch_norm_add_relu_grad",
    .inputs = {"dy", "x", "y", "mean", "rstd", "weight?", "dy2?"},
    .outputs = {"dx", "dresidual", "dweight", "dbias"},
    .infer = infer_backward<true>,
    .flops = flops_per_input<11>,
    .compose = compose_add_relu_grad,
    .doc = "Gradient of batch_norm_add_relu.",
});

constinit const OpDef kBatchNormInference = define({
    .name = "batch_norm_inference",
    .inputs = {"x", "mean", "var", "weight?", "bias?"},
    .attrs = attrs_of<BatchNormAttrs>(),
    .infer = infer_inference,
    .flops = flops_per_input<2>,
    .compose = compose_inference,
    .doc = "Batch normalisation with given statistics.",
});

constinit const OpDef kBatchNormApply = define({
    .name = "batch_norm_apply",
    .inputs = {"x", "mean", "rstd", "weight?", "bias?", "residual?"},
    .attrs = attrs_of<BatchNormApplyAttrs>(),
    .infer = infer_apply,
    .flops = flops_per_input<3>,
    .compose = compose_apply,
    .doc = "The result of batch_norm from its statistics, with a residual and a ReLU if asked.",
});

constinit const OpDef kBatchNormUpdateStats = define({
    .name = "batch_norm_update_stats",
    .inputs = {"running_mean", "running_var", "mean", "rstd"},
    .outputs = {"new_mean", "new_var"},
    .attrs = attrs_of<BatchNormStatsAttrs>(),
    .infer = infer_update,
    .flops = flops_per_output<3>,
    .alias_of = {"running_mean", "running_var"},
    .mutates = {"running_mean", "running_var"},
    .no_grad = "running statistics are not differentiated",
    .doc = "Exponential moving average of mean and unbiased variance, in place.",
});

namespace {
BatchNormResult forward(const OpDef& op, const BatchNormAttrs& attrs, std::span<const Tensor> in,
                        std::source_location where) {
  TensorList r = call_n(op, &attrs, in, where);
  return {r[0], r[1], r[2]};
}
}  // namespace

BatchNormResult batch_norm(Arg x, const Tensor& weight, const Tensor& bias, BatchNormAttrs attrs) {
  const Tensor in[] = {x.tensor, weight, bias};
  return forward(kBatchNorm, attrs, in, x.where);
}

BatchNormResult batch_norm_relu(Arg x, const Tensor& weight, const Tensor& bias,
                                BatchNormAttrs attrs) {
  const Tensor in[] = {x.tensor, weight, bias};
  return forward(kBatchNormRelu, attrs, in, x.where);
}

BatchNormResult batch_norm_add_relu(Arg x, const Tensor& residual, const Tensor& weight,
                                    const Tensor& bias, BatchNormAttrs attrs) {
  const Tensor in[] = {x.tensor, residual, weight, bias};
  return forward(kBatchNormAddRelu, attrs, in, x.where);
}

Tensor batch_norm_inference(Arg x, const Tensor& mean, const Tensor& var, const Tensor& weight,
                            const Tensor& bias, BatchNormAttrs attrs) {
  return call1(kBatchNormInference, &attrs, {x.tensor, mean, var, weight, bias}, x.where);
}

void batch_norm_update_stats(State& running_mean, State& running_var, const Tensor& mean,
                             const Tensor& rstd, BatchNormStatsAttrs attrs) {
  State* states[] = {&running_mean, &running_var};
  const Tensor rest[] = {mean, rstd};
  State::update(kBatchNormUpdateStats, &attrs, states, rest);
}

}  // namespace rutile::ops

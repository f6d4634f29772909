// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/optim.h"

#include "rutile/core/complex.h"
#include "rutile/ops/complex.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::ops {
namespace {

constexpr const char kNoGrad[] = "it updates state in place, after the gradients are taken";

}  // namespace

// ---- assign
// ---------------------------------------------------------------------------------------

namespace {

Status infer_assign(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &s = c.in(0), &v = c.in(1);
  if (!(s.shape == v.shape) || s.dtype != v.dtype) {
    return value_error(cat("value expects ", s.dtype, s.shape, " as the state, got ", v));
  }
  out[0] = s;
  return Status();
}

Status infer_assign_add(const CallMeta& c, TensorMeta* out) {
  const DType t = c.in(0).dtype;
  if (t == DType::kBool) return type_error("expects numbers, got bool");
  return infer_assign(c, out);
}

double assign_bytes(const CallMeta& c) { return touched_bytes(c.in(1)) + touched_bytes(c.out()); }

}  // namespace

constinit const OpDef kAssign = define({
    .name = "assign",
    .inputs = {"state", "value"},
    .outputs = {"new_state"},
    .infer = infer_assign,
    .bytes = assign_bytes,
    .alias_of = {"state"},
    .mutates = {"state"},
    .no_grad = kNoGrad,
    .doc = "Replaces the elements of a state.",
});

constinit const OpDef kAssignAdd = define({
    .name = "assign_add",
    .inputs = {"state", "value"},
    .outputs = {"new_state"},
    .infer = infer_assign_add,
    .flops = flops_per_output<1>,
    .alias_of = {"state"},
    .mutates = {"state"},
    .no_grad = kNoGrad,
    .doc = "Adds to the elements of a state.",
});

// ---- Loss scaling
// ---------------------------------------------------------------------------------

namespace {

Status check_scale(const TensorMeta& s) {
  if (s.dtype == DType::kF32 && s.numel() == 1) return Status();
  return value_error(cat("scale expects one f32, got ", s));
}

int count_unscaled(const CallMeta& c) { return c.num_inputs(); }

Status infer_unscale(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_scale(c.in(0)));
  out[0] = TensorMeta({}, DType::kBool, c.in(0).device);
  for (int i = 1; i < c.num_inputs(); ++i) {
    const TensorMeta& g = c.in(i);
    if (!is_differentiable(g.dtype)) {
      return type_error(cat("grads[", i - 1, "] expects a floating dtype, got ", g.dtype));
    }
    const DType dtype = is_low_precision(g.dtype) ? DType::kF32 : g.dtype;
    out[i] = TensorMeta(g.shape, dtype, g.device);
    if (g.is_dense()) out[i].strides = g.strides;
  }
  return Status();
}

Status infer_update_loss_scale(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_scale(c.in(0)));
  const TensorMeta &good = c.in(1), &overflow = c.in(2);
  if (good.dtype != DType::kI64 || good.numel() != 1) {
    return value_error(cat("good_steps expects one i64, got ", good));
  }
  if (overflow.dtype != DType::kBool || overflow.numel() != 1) {
    return value_error(cat("overflow expects one bool, got ", overflow));
  }
  const auto& a = c.as<LossScaleAttrs>();
  if (!(a.growth >= 1 && a.backoff > 0 && a.backoff <= 1 && a.interval >= 1)) {
    return value_error(cat("expects growth >= 1, 0 < backoff <= 1 and interval >= 1, got ",
                           a.growth, ", ", a.backoff, " and ", a.interval));
  }
  out[0] = c.in(0);
  out[1] = good;
  return Status();
}

}  // namespace

constinit const OpDef kUnscaleAndCheck = define({
    .name = "unscale_and_check",
    .inputs = {"scale", "grads*"},
    .outputs = {"overflow", "outs*"},
    .infer = infer_unscale,
    .flops = flops_per_output<2>,
    .count_outputs = count_unscaled,
    .no_grad = "it prepares gradients for an update",
    .doc = "Divides gradients by the loss scale and says whether any element is inf or NaN.",
});

constinit const OpDef kUpdateLossScale = define({
    .name = "update_loss_scale",
    .inputs = {"scale", "good_steps", "overflow"},
    .outputs = {"new_scale", "new_good_steps"},
    .attrs = attrs_of<LossScaleAttrs>(),
    .infer = infer_update_loss_scale,
    .flops = flops_per_output<1>,
    .alias_of = {"scale", "good_steps"},
    .mutates = {"scale", "good_steps"},
    .no_grad = kNoGrad,
    .doc = "Shrinks the loss scale after an overflow, grows it after many good steps.",
});

Unscaled unscale_and_check(std::span<const Tensor> grads, Arg scale) {
  std::vector<Tensor> in{scale.tensor};
  in.insert(in.end(), grads.begin(), grads.end());
  const TensorList out = call_n(kUnscaleAndCheck, nullptr, in, scale.where);
  return {out[0], {out.begin() + 1, out.end()}};
}

// ---- Norms
// ----------------------------------------------------------------------------------------

namespace {

Status infer_global_norm(const CallMeta& c, TensorMeta* out) {
  DType dtype = DType::kF32;
  Device device = kCpu;
  for (int i = 0; i < c.num_inputs(); ++i) {
    const TensorMeta& x = c.in(i);
    if (!is_differentiable(x.dtype)) {
      return type_error(cat("xs[", i, "] expects a floating dtype, got ", x.dtype));
    }
    if (real_dtype(x.dtype) == DType::kF64) dtype = DType::kF64;
    device = x.device;
  }
  *out = TensorMeta({}, dtype, device);
  return Status();
}

// d norm / dx = x / norm; at the origin 0, as PyTorch has it.
GradResult grad_global_norm(GradCtx& ctx) {
  const Tensor& norm = ctx.out();
  const Tensor zero = norm * 0.0;
  const Tensor k = where(greater(norm, 0.0), ctx.grad() / norm, zero);
  GradResult d;
  for (int i = 0; i < ctx.num_inputs(); ++i) {
    const Tensor& x = ctx.in(i);
    const bool pairs = is_complex(x.dtype());
    d.push_back(pairs ? x * cast(k, x.dtype()) : cast(cast(x, norm.dtype()) * k, x.dtype()));
  }
  return d;
}

TensorList compose_global_norm(const void*, std::span<const Tensor> in) {
  DType dtype = DType::kF32;
  for (const Tensor& x : in) dtype = real_dtype(x.dtype()) == DType::kF64 ? DType::kF64 : dtype;
  Tensor total = full({}, 0, dtype);
  for (const Tensor& x : in) {
    const Tensor real = is_complex(x.dtype()) ? view_as_real(x) : x;
    total = total + sum(square(cast(real, dtype)));
  }
  return {sqrt(total)};
}

}  // namespace

constinit const OpDef kGlobalNorm = define({
    .name = "global_norm",
    .inputs = {"xs*"},
    .infer = infer_global_norm,
    .flops = flops_per_operand<2>,
    .grad = grad_global_norm,
    .saves = {"xs", "y"},
    .compose = compose_global_norm,
    .doc = "Root of the sum of the squares of all elements of all tensors.",
});

Tensor global_norm(std::span<const Tensor> xs) {
  Tensor out;
  call(kGlobalNorm, nullptr, xs, {&out, 1});
  return out;
}

Clipped clip_by_global_norm(std::span<const Tensor> xs, double max_norm) {
  Clipped result;
  result.norm = global_norm(xs);
  const Tensor k = minimum(max_norm / (result.norm + 1e-6), 1.0);
  for (const Tensor& x : xs) result.tensors.push_back(mul(x, cast(k, x.dtype())));
  return result;
}

}  // namespace rutile::ops

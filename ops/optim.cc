// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/optim.h"

#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::ops {
namespace {

constexpr const char kNoGrad[] = "it updates state in place, after the gradients are taken";

// ---- Checks of inputs by their role
// ---------------------------------------------------------------

Status check_param(const TensorMeta& p) {
  if (p.dtype == DType::kF32 || p.dtype == DType::kF64) return Status();
  return type_error(cat("param expects f32 or f64, got ", p.dtype));
}

Status check_slot(const char* name, const TensorMeta& s, const TensorMeta& p) {
  if (s.shape == p.shape && s.dtype == p.dtype) return Status();
  return value_error(cat(name, " expects ", p.dtype, p.shape, " as param, got ", s));
}

Status check_grad(const TensorMeta& g, const TensorMeta& p) {
  if (!(g.shape == p.shape)) {
    return value_error(cat("grad expects shape ", p.shape, ", got ", g.shape));
  }
  if (g.dtype == p.dtype || is_low_precision(g.dtype)) return Status();
  return type_error(cat("grad expects ", p.dtype, ", bf16 or f16, got ", g.dtype));
}

Status check_lr(const TensorMeta& lr) {
  if (lr.numel() != 1) return value_error(cat("lr expects one element, got ", lr.shape));
  if (lr.dtype == DType::kF32 || lr.dtype == DType::kF64) return Status();
  return type_error(cat("lr expects f32 or f64, got ", lr.dtype));
}

Status check_step(const TensorMeta& s) {
  if (s.numel() != 1) return value_error(cat("step expects one element, got ", s.shape));
  if (s.dtype == DType::kF32 || s.dtype == DType::kF64 || s.dtype == DType::kI32 ||
      s.dtype == DType::kI64) {
    return Status();
  }
  return type_error(cat("step expects f32, f64, i32 or i64, got ", s.dtype));
}

Status check_skip(const CallMeta& c, int i) {
  if (!c.has(i)) return Status();
  const TensorMeta& s = c.in(i);
  if (s.dtype == DType::kBool && s.numel() == 1) return Status();
  return value_error(cat("skip expects one bool, got ", s));
}

Status check_momentum(double momentum, double dampening, bool nesterov, bool has_step) {
  if (nesterov && (momentum <= 0 || dampening != 0)) {
    return value_error("nesterov needs a momentum above 0 and no dampening");
  }
  if (dampening != 0 && !has_step) return value_error("dampening needs step");
  return Status();
}

Status check_betas(double beta1, double beta2, double eps) {
  if (beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1 && eps >= 0) return Status();
  return value_error(cat("expects 0 <= beta < 1 and eps >= 0, got beta1 ", beta1, ", beta2 ", beta2,
                         ", eps ", eps));
}

// ---- One parameter
// --------------------------------------------------------------------------------

Status infer_sgd(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_param(c.in(0)));
  RUTILE_RETURN_IF_ERROR(check_grad(c.in(1), c.in(0)));
  RUTILE_RETURN_IF_ERROR(check_lr(c.in(2)));
  RUTILE_RETURN_IF_ERROR(check_skip(c, 3));
  out[0] = c.in(0);
  return Status();
}

Status infer_momentum(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<MomentumAttrs>();
  const TensorMeta& p = c.in(0);
  RUTILE_RETURN_IF_ERROR(check_momentum(a.momentum, a.dampening, a.nesterov, c.has(4)));
  RUTILE_RETURN_IF_ERROR(check_param(p));
  RUTILE_RETURN_IF_ERROR(check_slot("velocity", c.in(1), p));
  RUTILE_RETURN_IF_ERROR(check_grad(c.in(2), p));
  RUTILE_RETURN_IF_ERROR(check_lr(c.in(3)));
  if (c.has(4)) RUTILE_RETURN_IF_ERROR(check_step(c.in(4)));
  RUTILE_RETURN_IF_ERROR(check_skip(c, 5));
  out[0] = p;
  out[1] = c.in(1);
  return Status();
}

Status infer_adam(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<AdamAttrs>();
  const TensorMeta& p = c.in(0);
  RUTILE_RETURN_IF_ERROR(check_betas(a.beta1, a.beta2, a.eps));
  RUTILE_RETURN_IF_ERROR(check_param(p));
  RUTILE_RETURN_IF_ERROR(check_slot("m", c.in(1), p));
  RUTILE_RETURN_IF_ERROR(check_slot("v", c.in(2), p));
  RUTILE_RETURN_IF_ERROR(check_step(c.in(3)));
  RUTILE_RETURN_IF_ERROR(check_grad(c.in(4), p));
  RUTILE_RETURN_IF_ERROR(check_lr(c.in(5)));
  RUTILE_RETURN_IF_ERROR(check_skip(c, 6));
  for (int i = 0; i < 3; ++i) out[i] = c.in(i);
  return Status();
}

}  // namespace

constinit const OpDef kSgd = define({
    .name = "sgd",
    .inputs = {"param", "grad", "lr", "skip?"},
    .outputs = {"new_param"},
    .attrs = attrs_of<SgdAttrs>(),
    .infer = infer_sgd,
    .flops = flops_per_output<2>,
    .alias_of = {"param"},
    .mutates = {"param"},
    .no_grad = kNoGrad,
    .doc = "Step of stochastic gradient descent: param -= lr * (grad + weight_decay * param).",
});

constinit const OpDef kMomentum = define({
    .name = "momentum",
    .inputs = {"param", "velocity", "grad", "lr", "step?", "skip?"},
    .outputs = {"new_param", "new_velocity"},
    .attrs = attrs_of<MomentumAttrs>(),
    .infer = infer_momentum,
    .flops = flops_per_output<2>,
    .alias_of = {"param", "velocity"},
    .mutates = {"param", "velocity"},
    .no_grad = kNoGrad,
    .doc = "Step of gradient descent with momentum, optionally Nesterov's.",
});

constinit const OpDef kAdam = define({
    .name = "adam",
    .inputs = {"param", "m", "v", "step", "grad", "lr", "skip?"},
    .outputs = {"new_param", "new_m", "new_v"},
    .attrs = attrs_of<AdamAttrs>(),
    .infer = infer_adam,
    .flops = flops_per_output<4>,
    .alias_of = {"param", "m", "v"},
    .mutates = {"param", "m", "v"},
    .no_grad = kNoGrad,
    .doc = "Step of Adam; weight decay is added to the gradient.",
});

constinit const OpDef kAdamW = define({
    .name = "adamw",
    .inputs = {"param", "m", "v", "step", "grad", "lr", "skip?"},
    .outputs = {"new_param", "new_m", "new_v"},
    .attrs = attrs_of<AdamAttrs>(),
    .infer = infer_adam,
    .flops = flops_per_output<4>,
    .alias_of = {"param", "m", "v"},
    .mutates = {"param", "m", "v"},
    .no_grad = kNoGrad,
    .doc = "Step of Adam with decoupled weight decay.",
});

// ---- Many parameters
// ------------------------------------------------------------------------------

namespace {

// `tensors` of a multi op: params, slots and grads of `count` parameters from input `first` on.
Status check_groups(const CallMeta& c, int64_t count, int first, int slots, TensorMeta* out) {
  const int64_t n = c.num_inputs() - first;
  if (count < 0 || n % (slots + 2) != 0 || n / (slots + 2) != count) {
    return value_error(
        cat("tensors expects ", slots + 2, " of each of ", count, " parameters, got ", n));
  }
  for (int i = 0; i < count; ++i) {
    const TensorMeta& p = c.in(first + i);
    Status s = check_param(p);
    for (int k = 1; s.ok() && k <= slots; ++k) {
      s = check_slot("a slot", c.in(first + static_cast<int>(k * count) + i), p);
    }
    if (s.ok()) s = check_grad(c.in(first + static_cast<int>((slots + 1) * count) + i), p);
    if (!s.ok()) return Status(s.code(), cat("parameter ", i, ": ", s.message()));
  }
  for (int i = 0; i < count * (slots + 1); ++i) out[i] = c.in(first + i);
  return Status();
}

template <class Attrs, int kParts>
int count_multi(const CallMeta& c) {
  const int64_t n = c.as<Attrs>().count;
  return n < 0 || n > c.num_inputs() ? -1 : static_cast<int>(n) * kParts;
}

Status infer_sgd_multi(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_lr(c.in(0)));
  RUTILE_RETURN_IF_ERROR(check_skip(c, 1));
  return check_groups(c, c.as<SgdMultiAttrs>().count, 2, 0, out);
}

Status infer_momentum_multi(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<MomentumMultiAttrs>();
  RUTILE_RETURN_IF_ERROR(check_momentum(a.momentum, a.dampening, a.nesterov, c.has(1)));
  RUTILE_RETURN_IF_ERROR(check_lr(c.in(0)));
  if (c.has(1)) RUTILE_RETURN_IF_ERROR(check_step(c.in(1)));
  RUTILE_RETURN_IF_ERROR(check_skip(c, 2));
  return check_groups(c, a.count, 3, 1, out);
}

Status infer_adam_multi(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<AdamMultiAttrs>();
  RUTILE_RETURN_IF_ERROR(check_betas(a.beta1, a.beta2, a.eps));
  RUTILE_RETURN_IF_ERROR(check_lr(c.in(0)));
  RUTILE_RETURN_IF_ERROR(check_step(c.in(1)));
  RUTILE_RETURN_IF_ERROR(check_skip(c, 2));
  return check_groups(c, a.count, 3, 2, out);
}

}  // namespace

constinit const OpDef kSgdMulti = define({
    .name = "sgd_multi",
    .inputs = {"lr", "skip?", "tensors*"},
    .outputs = {"new_tensors*"},
    .attrs = attrs_of<SgdMultiAttrs>(),
    .infer = infer_sgd_multi,
    .flops = flops_per_output<2>,
    .count_outputs = count_multi<SgdMultiAttrs, 1>,
    .alias_of = {"tensors"},
    .mutates = {"tensors"},
    .no_grad = kNoGrad,
    .doc = "sgd for many parameters in one kernel.",
});

constinit const OpDef kMomentumMulti = define({
    .name = "momentum_multi",
    .inputs = {"lr", "step?", "skip?", "tensors*"},
    .outputs = {"new_tensors*"},
    .attrs = attrs_of<MomentumMultiAttrs>(),
    .infer = infer_momentum_multi,
    .flops = flops_per_output<2>,
    .count_outputs = count_multi<MomentumMultiAttrs, 2>,
    .alias_of = {"tensors"},
    .mutates = {"tensors"},
    .no_grad = kNoGrad,
    .doc = "momentum for many parameters in one kernel.",
});

constinit const OpDef kAdamMulti = define({
    .name = "adam_multi",
    .inputs = {"lr", "step", "skip?", "tensors*"},
    .outputs = {"new_tensors*"},
    .attrs = attrs_of<AdamMultiAttrs>(),
    .infer = infer_adam_multi,
    .flops = flops_per_output<4>,
    .count_outputs = count_multi<AdamMultiAttrs, 3>,
    .alias_of = {"tensors"},
    .mutates = {"tensors"},
    .no_grad = kNoGrad,
    .doc = "adam for many parameters in one kernel.",
});

constinit const OpDef kAdamWMulti = define({
    .name = "adamw_multi",
    .inputs = {"lr", "step", "skip?", "tensors*"},
    .outputs = {"new_tensors*"},
    .attrs = attrs_of<AdamMultiAttrs>(),
    .infer = infer_adam_multi,
    .flops = flops_per_output<4>,
    .count_outputs = count_multi<AdamMultiAttrs, 3>,
    .alias_of = {"tensors"},
    .mutates = {"tensors"},
    .no_grad = kNoGrad,
    .doc = "adamw for many parameters in one kernel.",
});

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
  if (t == DType::kBool || is_complex(t)) {
    return type_error(cat("expects a real number type, got ", t));
  }
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
    if (!is_floating(g.dtype)) {
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
    if (!is_floating(x.dtype)) {
      return type_error(cat("xs[", i, "] expects a floating dtype, got ", x.dtype));
    }
    if (x.dtype == DType::kF64) dtype = DType::kF64;
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
    d.push_back(cast(cast(x, norm.dtype()) * k, x.dtype()));
  }
  return d;
}

TensorList compose_global_norm(const void*, std::span<const Tensor> in) {
  DType dtype = DType::kF32;
  for (const Tensor& x : in) dtype = x.dtype() == DType::kF64 ? DType::kF64 : dtype;
  Tensor total = full({}, 0, dtype);
  for (const Tensor& x : in) total = total + sum(square(cast(x, dtype)));
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

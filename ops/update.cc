// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/update.h"

#include "rutile/core/complex.h"
#include "rutile/ops/cost.h"

namespace rutile::ops {
namespace {

constexpr const char kNoGrad[] = "it updates state in place, after the gradients are taken";

// ---- Checks of inputs by their role -------------------------------------------------------------

Status check_param(const TensorMeta& p) {
  const DType t = real_dtype(p.dtype);
  if (t == DType::kF32 || t == DType::kF64) return Status();
  return type_error(cat("param expects f32 or f64, got ", p.dtype));
}

Status check_slot(std::string_view name, const TensorMeta& s, const TensorMeta& p) {
  if (s.shape == p.shape && s.dtype == p.dtype) return Status();
  return value_error(cat(name, " expects ", p.dtype, p.shape, " as param, got ", s));
}

Status check_copy(const TensorMeta& m, const TensorMeta& p) {
  if (m.shape == p.shape && is_low_precision(m.dtype) && !is_complex(p.dtype)) return Status();
  return value_error(cat("a copy expects bf16 or f16 and shape ", p.shape, ", got ", m));
}

Status check_grad(const TensorMeta& g, const TensorMeta& p) {
  if (!(g.shape == p.shape)) {
    return value_error(cat("grad expects shape ", p.shape, ", got ", g.shape));
  }
  if (g.dtype == p.dtype) return Status();
  if (is_complex(p.dtype)) return type_error(cat("grad expects ", p.dtype, ", got ", g.dtype));
  if (is_low_precision(g.dtype)) return Status();
  return type_error(cat("grad expects ", p.dtype, ", bf16 or f16, got ", g.dtype));
}

Status check_number(const char* name, const TensorMeta& m, bool or_integer) {
  if (m.numel() != 1) return value_error(cat(name, " expects one element, got ", m.shape));
  if (m.dtype == DType::kF32 || m.dtype == DType::kF64) return Status();
  if (or_integer && (m.dtype == DType::kI32 || m.dtype == DType::kI64)) return Status();
  return type_error(
      cat(name, " expects f32", or_integer ? ", f64, i32 or i64" : " or f64", ", got ", m.dtype));
}

// lr, step, skip and grad_scale, from input `first` on.
Status check_scalars(const CallMeta& c, int first) {
  RUTILE_RETURN_IF_ERROR(check_number("lr", c.in(first), false));
  if (c.has(first + 1)) RUTILE_RETURN_IF_ERROR(check_number("step", c.in(first + 1), true));
  if (c.has(first + 2)) {
    const TensorMeta& s = c.in(first + 2);
    if (s.dtype != DType::kBool || s.numel() != 1) {
      return value_error(cat("skip expects one bool, got ", s));
    }
  }
  if (!c.has(first + 3)) return Status();
  return check_number("grad_scale", c.in(first + 3), false);
}

// ---- Checks of attributes -----------------------------------------------------------------------

Status check_beta(const char* name, double beta) {
  if (beta >= 0 && beta < 1) return Status();
  return value_error(cat(name, " expects 0 <= ", name, " < 1, got ", beta));
}
Status check_at_least_zero(const char* name, double v) {
  if (v >= 0) return Status();
  return value_error(cat(name, " expects a number of at least 0, got ", v));
}
template <class A>
Status check_betas(const A& a) {
  RUTILE_RETURN_IF_ERROR(check_beta("beta1", a.beta1));
  return check_beta("beta2", a.beta2);
}
template <class A>
Status check_adam(const A& a) {
  RUTILE_RETURN_IF_ERROR(check_betas(a));
  return check_at_least_zero("eps", a.eps);
}

Status check(const SgdAttrs&, bool) { return Status(); }
Status check(const MomentumAttrs& a, bool has_step) {
  if (a.nesterov && (a.momentum <= 0 || a.dampening != 0)) {
    return value_error("nesterov needs a momentum above 0 and no dampening");
  }
  if (a.dampening != 0 && !has_step) return value_error("dampening needs step");
  return Status();
}
Status check(const AdamAttrs& a, bool) { return check_adam(a); }
Status check(const NAdamAttrs& a, bool) { return check_adam(a); }
Status check(const RAdamAttrs& a, bool) { return check_adam(a); }
Status check(const AdagradAttrs& a, bool) {
  RUTILE_RETURN_IF_ERROR(check_at_least_zero("lr_decay", a.lr_decay));
  return check_at_least_zero("eps", a.eps);
}
Status check(const AdadeltaAttrs& a, bool) {
  RUTILE_RETURN_IF_ERROR(check_beta("rho", a.rho));
  return check_at_least_zero("eps", a.eps);
}
Status check(const RmspropAttrs& a, bool) {
  RUTILE_RETURN_IF_ERROR(check_beta("alpha", a.alpha));
  return check_at_least_zero("eps", a.eps);
}
Status check(const RpropAttrs& a, bool) {
  if (!(a.eta_minus > 0 && a.eta_minus < 1 && a.eta_plus > 1)) {
    return value_error(
        cat("expects 0 < eta_minus < 1 < eta_plus, got ", a.eta_minus, " and ", a.eta_plus));
  }
  if (a.min_step > 0 && a.min_step <= a.max_step) return Status();
  return value_error(
      cat("expects 0 < min_step <= max_step, got ", a.min_step, " and ", a.max_step));
}
Status check(const AsgdAttrs& a, bool) { return check_at_least_zero("lambd", a.lambd); }
Status check(const FtrlAttrs& a, bool) {
  RUTILE_RETURN_IF_ERROR(check_at_least_zero("l1", a.l1));
  RUTILE_RETURN_IF_ERROR(check_at_least_zero("l2", a.l2));
  if (a.lr_power <= 0) return Status();
  return value_error(cat("lr_power expects a number of at most 0, got ", a.lr_power));
}
Status check(const LionAttrs& a, bool) { return check_betas(a); }
Status check(const LambAttrs& a, bool) { return check_adam(a); }
Status check(const LarsAttrs& a, bool) {
  RUTILE_RETURN_IF_ERROR(check_at_least_zero("coefficient", a.coefficient));
  return check_at_least_zero("eps", a.eps);
}

// ---- infer --------------------------------------------------------------------------------------

template <class A, int kSlots>
Status infer_single(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& p = c.in(0);
  RUTILE_RETURN_IF_ERROR(check(c.as<A>(), c.has(kSlots + 3)));
  RUTILE_RETURN_IF_ERROR(check_param(p));
  for (int k = 1; k <= kSlots; ++k) {
    RUTILE_RETURN_IF_ERROR(check_slot(c.op->input_name(k), c.in(k), p));
  }
  RUTILE_RETURN_IF_ERROR(check_grad(c.in(kSlots + 1), p));
  RUTILE_RETURN_IF_ERROR(check_scalars(c, kSlots + 2));
  for (int k = 0; k <= kSlots; ++k) out[k] = c.in(k);
  return Status();
}

// Parameters and slots are wide, so the first tensor in low precision is a copy or a gradient. It
// is a copy where there are more tensors than parameters, slots and gradients.
UpdateOperands operands_of_multi(const CallMeta& c, int slots) {
  UpdateOperands u{.slots = slots, .multi = true};
  const int n = c.num_inputs() - kUpdateScalars;
  u.count = n / (slots + 2);
  int low = 0;
  while (low < n &&
         !(c.has(kUpdateScalars + low) && is_low_precision(c.in(kUpdateScalars + low).dtype))) {
    ++low;
  }
  const int count = low / (slots + 1), more = n - (slots + 2) * count;
  if (low % (slots + 1) == 0 && more >= 1 && more <= count) {
    u.count = count;
    u.copies = more;
  }
  return u;
}

template <int kSlots>
int count_multi(const CallMeta& c) {
  const UpdateOperands u = operands_of_multi(c, kSlots);
  return u.count * (kSlots + 1) + u.copies;
}

template <class A, int kSlots>
Status infer_multi(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check(c.as<A>(), c.has(1)));
  RUTILE_RETURN_IF_ERROR(check_scalars(c, 0));
  const int n = c.num_inputs() - kUpdateScalars;
  const UpdateOperands u = operands_of_multi(c, kSlots);
  if (u.copies == 0 && n % (kSlots + 2) != 0) {
    return value_error(cat("tensors expects ", kSlots + 2, " for each parameter, got ", n));
  }
  for (int i = 0; i < u.count; ++i) {
    const TensorMeta& p = c.in(u.tensor(0, i));
    Status s = check_param(p);
    for (int k = 1; s.ok() && k <= kSlots; ++k) s = check_slot("a slot", c.in(u.tensor(k, i)), p);
    if (s.ok() && i < u.copies) s = check_copy(c.in(u.copy(i)), p);
    if (s.ok()) s = check_grad(c.in(u.grad(i)), p);
    if (!s.ok()) return Status(s.code(), cat("parameter ", i, ": ", s.message()));
  }
  for (int i = 0; i < u.count * (kSlots + 1) + u.copies; ++i) out[i] = c.in(kUpdateScalars + i);
  return Status();
}

// ---- Definitions --------------------------------------------------------------------------------

struct Names {
  const char* slots[3] = {};
  const char* news[3] = {};
};

// Adds step where the rule needs it, as optional where not.
consteval OpSpec single(const char* name, Names n, const AttrsInfo* attrs, bool step, InferFn infer,
                        CostFn flops, const char* doc) {
  OpSpec s{.name = name, .attrs = attrs, .infer = infer, .flops = flops};
  s.no_grad = kNoGrad;
  s.doc = doc;
  int i = 0;
  auto state = [&](const char* in, const char* out) {
    s.inputs[i] = s.alias_of[i] = s.mutates[i] = in;
    s.outputs[i++] = out;
  };
  state("param", "new_param");
  for (int k = 0; k < 3 && n.slots[k]; ++k) state(n.slots[k], n.news[k]);
  for (const char* in : {"grad", "lr", step ? "step" : "step?", "skip?", "grad_scale?"}) {
    s.inputs[i++] = in;
  }
  return s;
}

consteval OpSpec multi(const char* name, const AttrsInfo* attrs, bool step, CountFn count,
                       InferFn infer, CostFn flops) {
  OpSpec s{.name = name,
           .inputs = {"lr", step ? "step" : "step?", "skip?", "grad_scale?", "tensors*"},
           .outputs = {"new_tensors*"},
           .attrs = attrs,
           .infer = infer,
           .flops = flops,
           .count_outputs = count};
  s.alias_of[0] = s.mutates[0] = "tensors";
  s.no_grad = kNoGrad;
  s.doc = "The update of many parameters in one kernel.";
  return s;
}

constexpr bool kStep = true, kNoStep = false;

}  // namespace

#define RUTILE_DEFINE_UPDATE(constant, name, Attrs, kSlots, step, flops_each, doc, ...)            \
  constinit const OpDef constant =                                                                 \
      define(single(name, Names __VA_ARGS__, attrs_of<Attrs>(), step, infer_single<Attrs, kSlots>, \
                    flops_per_output<flops_each>, doc));                                           \
  constinit const OpDef constant##Multi =                                                          \
      define(multi(name "_multi", attrs_of<Attrs>(), step, count_multi<kSlots>,                    \
                   infer_multi<Attrs, kSlots>, flops_per_output<flops_each>));

RUTILE_DEFINE_UPDATE(
    kSgd, "sgd", SgdAttrs, 0, kNoStep, 2,
    "Step of stochastic gradient descent: param -= lr * (grad + weight_decay * param).", {})
RUTILE_DEFINE_UPDATE(kMomentum, "momentum", MomentumAttrs, 1, kNoStep, 2,
                     "Step of gradient descent with momentum, optionally Nesterov's.",
                     {{"velocity"}, {"new_velocity"}})
RUTILE_DEFINE_UPDATE(kAdam, "adam", AdamAttrs, 2, kStep, 4,
                     "Step of Adam; weight decay is added to the gradient.",
                     {{"m", "v"}, {"new_m", "new_v"}})
RUTILE_DEFINE_UPDATE(kAdamW, "adamw", AdamAttrs, 2, kStep, 4,
                     "Step of Adam with decoupled weight decay.", {{"m", "v"}, {"new_m", "new_v"}})
RUTILE_DEFINE_UPDATE(kAdamAmsgrad, "adam_amsgrad", AdamAttrs, 3, kStep, 4,
                     "Step of Adam that divides by the largest second moment so far.",
                     {{"m", "v", "vmax"}, {"new_m", "new_v", "new_vmax"}})
RUTILE_DEFINE_UPDATE(kAdamWAmsgrad, "adamw_amsgrad", AdamAttrs, 3, kStep, 4,
                     "Step of AdamW that divides by the largest second moment so far.",
                     {{"m", "v", "vmax"}, {"new_m", "new_v", "new_vmax"}})
RUTILE_DEFINE_UPDATE(kAdamax, "adamax", AdamAttrs, 2, kStep, 4,
                     "Step of Adam with the largest gradients in place of their squares.",
                     {{"m", "u"}, {"new_m", "new_u"}})
RUTILE_DEFINE_UPDATE(kNAdam, "nadam", NAdamAttrs, 2, kStep, 5,
                     "Step of Adam with Nesterov momentum.", {{"m", "v"}, {"new_m", "new_v"}})
RUTILE_DEFINE_UPDATE(kRAdam, "radam", RAdamAttrs, 2, kStep, 4,
                     "Step of Adam with a rectified variance.", {{"m", "v"}, {"new_m", "new_v"}})
RUTILE_DEFINE_UPDATE(kAdagrad, "adagrad", AdagradAttrs, 1, kNoStep, 4, "Step of Adagrad.",
                     {{"sum"}, {"new_sum"}})
RUTILE_DEFINE_UPDATE(kAdadelta, "adadelta", AdadeltaAttrs, 2, kNoStep, 5, "Step of Adadelta.",
                     {{"square_avg", "acc_delta"}, {"new_square_avg", "new_acc_delta"}})
RUTILE_DEFINE_UPDATE(kRmsprop, "rmsprop", RmspropAttrs, 1, kNoStep, 4, "Step of RMSProp.",
                     {{"square_avg"}, {"new_square_avg"}})
RUTILE_DEFINE_UPDATE(kRmspropMomentum, "rmsprop_momentum", RmspropAttrs, 2, kNoStep, 4,
                     "Step of RMSProp with momentum.",
                     {{"square_avg", "buf"}, {"new_square_avg", "new_buf"}})
RUTILE_DEFINE_UPDATE(kRmspropCentered, "rmsprop_centered", RmspropAttrs, 2, kNoStep, 4,
                     "Step of RMSProp by the variance of the gradient.",
                     {{"square_avg", "grad_avg"}, {"new_square_avg", "new_grad_avg"}})
RUTILE_DEFINE_UPDATE(kRmspropCenteredMomentum, "rmsprop_centered_momentum", RmspropAttrs, 3,
                     kNoStep, 4, "Step of RMSProp by the variance of the gradient, with momentum.",
                     {{"square_avg", "grad_avg", "buf"},
                      {"new_square_avg", "new_grad_avg", "new_buf"}})
RUTILE_DEFINE_UPDATE(kRprop, "rprop", RpropAttrs, 2, kNoStep, 3,
                     "Step of resilient backpropagation: sizes of steps follow the signs.",
                     {{"prev", "step_size"}, {"new_prev", "new_step_size"}})
RUTILE_DEFINE_UPDATE(kAsgd, "asgd", AsgdAttrs, 1, kStep, 4,
                     "Step of averaged stochastic gradient descent.", {{"ax"}, {"new_ax"}})
RUTILE_DEFINE_UPDATE(kFtrl, "ftrl", FtrlAttrs, 2, kNoStep, 6,
                     "Step of follow the regularized leader.",
                     {{"accum", "linear"}, {"new_accum", "new_linear"}})
RUTILE_DEFINE_UPDATE(kLion, "lion", LionAttrs, 1, kNoStep, 4,
                     "Step of Lion: by the sign of an interpolated momentum.", {{"m"}, {"new_m"}})
RUTILE_DEFINE_UPDATE(kLamb, "lamb", LambAttrs, 2, kStep, 6,
                     "Step of Adam, scaled to each parameter's norm.",
                     {{"m", "v"}, {"new_m", "new_v"}})
RUTILE_DEFINE_UPDATE(kLars, "lars", LarsAttrs, 1, kNoStep, 6,
                     "Step of momentum with a rate by the norms of each parameter and gradient.",
                     {{"velocity"}, {"new_velocity"}})

#undef RUTILE_DEFINE_UPDATE

namespace {
#define RUTILE_UPDATE(constant, rule) kIndexOf_##constant,
enum FamilyIndex {
#include "rutile/ops/update_list.inc"
  kNumFamilies
};
#undef RUTILE_UPDATE
}  // namespace

std::span<const UpdateFamily> update_families() {
#define RUTILE_UPDATE(constant, rule) \
  {&constant, &constant##Multi, constant.num_outputs - 1, kIndexOf_##constant},
  static const UpdateFamily families[] = {
#include "rutile/ops/update_list.inc"
  };
#undef RUTILE_UPDATE
  return families;
}

const UpdateFamily* find_update(const OpDef* op) {
  for (const UpdateFamily& f : update_families()) {
    if (f.single == op || f.multi == op) return &f;
  }
  return nullptr;
}

UpdateOperands update_operands(const CallMeta& c) {
  const UpdateFamily& f = *find_update(c.op);
  UpdateOperands u{.slots = f.slots};
  if (c.op == f.multi) u = operands_of_multi(c, f.slots);
  u.family = f.index;
  return u;
}

}  // namespace rutile::ops

// SPDX-License-Identifier: Apache-2.0
// Updates of optimizers, in place on States (State::update). Definitions as PyTorch's, where it has
// them.
//
//   AdamAttrs a{.weight_decay = 0.05};
//   State* states[] = {p, m, v};
//   Tensor rest[] = {grad, lr, step};
//   State::update(kAdamW, &a, states, rest);
//
// Every update is (param, slots.., grad, lr, step, skip?, grad_scale?) -> (param, slots..). param,
// its slots and the arithmetic are f32 or f64; grad has the shape of param and its dtype, or is
// bf16 or f16. Complex parameters, with slots and grad of their dtype, are updated as tensors of
// real and imaginary parts. lr is a floating 0-d tensor, step a 0-d tensor (f32, f64, i32, i64)
// that counts from 1, for some updates optional. Where `skip` (0-d bool) is true nothing changes.
// `grad_scale` (0-d, f32 or f64) is multiplied into the gradient as it is read: unscaling a loss
// scale and clipping by a norm cost no pass of their own. Slots start at zero unless said
// otherwise.
//
// Of all attributes: weight_decay is added to the gradient as weight_decay * param (L2) unless said
// otherwise, lr_scale multiplies lr, maximize turns the gradient round. Below g is the gradient
// with all this done, p the parameter, t the step.
//
// The same for many parameters in one kernel is <name>Multi: (lr, step?, skip?, grad_scale?,
// tensors*) with all params, then each slot of all, then all grads: for adamw p0 .. pn, m0 .. mn,
// v0 .. vn, g0 .. gn. Outputs are the new params and slots in this order; those inputs change in
// place, the grads do not. Between slots and grads there may be copies of the first parameters in
// bf16 or f16: they become the new values, rounded, in the same pass.
#pragma once

#include <span>

#include "rutile/ops/call.h"

namespace rutile::ops {

struct SgdAttrs {
  double weight_decay = 0;
  double lr_scale = 1;
  bool maximize = false;
  RUTILE_REFLECT(weight_decay, lr_scale, maximize)
};
// No slots: p -= lr g
extern RUTILE_API const OpDef kSgd;

struct MomentumAttrs {
  double momentum = 0.9, dampening = 0;
  bool nesterov = false;
  double weight_decay = 0;
  double lr_scale = 1;
  bool maximize = false;
  RUTILE_REFLECT(momentum, dampening, nesterov, weight_decay, lr_scale, maximize)
};
// velocity: v = momentum v + (1 - dampening) g, p -= lr v, or with nesterov p -= lr (g + momentum
// v). The first step takes g whole, so dampening needs `step`.
extern RUTILE_API const OpDef kMomentum;

struct AdamAttrs {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0;
  double lr_scale = 1;
  bool maximize = false;
  RUTILE_REFLECT(beta1, beta2, eps, weight_decay, lr_scale, maximize)
};
// m, v: m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2, p -= lr m' / (sqrt(v') + eps),
// m' = m / (1 - beta1^t), v' = v / (1 - beta2^t) (Kingma and Ba, 2015). adamw multiplies p by 1 -
// lr weight_decay instead of adding to g (Loshchilov and Hutter, 2019). The amsgrad forms have a
// third slot, vmax, the largest v so far, and divide by that (Reddi et al., 2018).
extern RUTILE_API const OpDef kAdam, kAdamW, kAdamAmsgrad, kAdamWAmsgrad;
// m, u: u = max(beta2 u, |g| + eps), p -= lr / (1 - beta1^t) m / u (Kingma and Ba, section 7).
extern RUTILE_API const OpDef kAdamax;

struct NAdamAttrs {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double momentum_decay = 4e-3;
  bool decoupled_weight_decay = false;  // p *= 1 - lr weight_decay instead
  double weight_decay = 0;
  double lr_scale = 1;
  bool maximize = false;
  RUTILE_REFLECT(beta1, beta2, eps, momentum_decay, decoupled_weight_decay, weight_decay, lr_scale,
                 maximize)
};
// m, v: Adam with Nesterov momentum (Dozat, 2016).
extern RUTILE_API const OpDef kNAdam;

struct RAdamAttrs {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  bool decoupled_weight_decay = false;
  double weight_decay = 0;
  double lr_scale = 1;
  bool maximize = false;
  RUTILE_REFLECT(beta1, beta2, eps, decoupled_weight_decay, weight_decay, lr_scale, maximize)
};
// m, v: Adam with a rectified variance (Liu et al., "On the variance of the adaptive learning
// rate", 2020).
extern RUTILE_API const OpDef kRAdam;

struct AdagradAttrs {
  double lr_decay = 0, eps = 1e-10;
  double weight_decay = 0;
  double lr_scale = 1;
  bool maximize = false;
  RUTILE_REFLECT(lr_decay, eps, weight_decay, lr_scale, maximize)
};
// sum: s += g^2, p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps) (Duchi et al., 2011).
extern RUTILE_API const OpDef kAdagrad;

struct AdadeltaAttrs {
  double rho = 0.9, eps = 1e-6;
  double weight_decay = 0;
  double lr_scale = 1;
  bool maximize = false;
  RUTILE_REFLECT(rho, eps, weight_decay, lr_scale, maximize)
};
// square_avg, acc_delta: s = rho s + (1 - rho) g^2, d = sqrt(a + eps) / sqrt(s + eps) g, a = rho a
// + (1 - rho) d^2, p -= lr d (Zeiler, 2012).
extern RUTILE_API const OpDef kAdadelta;

struct RmspropAttrs {
  double alpha = 0.99, eps = 1e-8;
  double momentum = 0;  // of the forms with momentum
  double weight_decay = 0;
  double lr_scale = 1;
  bool maximize = false;
  RUTILE_REFLECT(alpha, eps, momentum, weight_decay, lr_scale, maximize)
};
// square_avg: s = alpha s + (1 - alpha) g^2, p -= lr d with d = g / (sqrt(s) + eps) (Tieleman and
// Hinton, 2012). Centered: a second slot grad_avg: a = alpha a + (1 - alpha) g, and s - a^2 under
// the root (Graves, 2013). Momentum: a last slot buf: b = momentum b + d, p -= lr b.
extern RUTILE_API const OpDef kRmsprop, kRmspropMomentum, kRmspropCentered,
    kRmspropCenteredMomentum;

struct RpropAttrs {
  double eta_minus = 0.5, eta_plus = 1.2;
  double min_step = 1e-6, max_step = 50;
  double weight_decay = 0;
  double lr_scale = 1;
  bool maximize = false;
  RUTILE_REFLECT(eta_minus, eta_plus, min_step, max_step, weight_decay, lr_scale, maximize)
};
// prev, step_size (which starts as lr): the size of a step grows by eta_plus where g has the sign
// of prev, shrinks by eta_minus where not, and there g counts as 0; p -= sign(g) step_size
// (Riedmiller and Braun, 1993). lr itself is not read.
extern RUTILE_API const OpDef kRprop;

struct AsgdAttrs {
  double lambd = 1e-4, alpha = 0.75, t0 = 1e6;
  double weight_decay = 0;
  double lr_scale = 1;
  bool maximize = false;
  RUTILE_REFLECT(lambd, alpha, t0, weight_decay, lr_scale, maximize)
};
// ax: with e = lr / (1 + lambd lr (t - 1))^alpha: p = p (1 - lambd e) - e g; ax is p until step t0
// and from then on their average (Polyak and Juditsky, 1992).
extern RUTILE_API const OpDef kAsgd;

struct FtrlAttrs {
  double l1 = 0, l2 = 0;
  double lr_power = -0.5;  // at most 0
  double weight_decay = 0;
  double lr_scale = 1;
  bool maximize = false;
  RUTILE_REFLECT(l1, l2, lr_power, weight_decay, lr_scale, maximize)
};
// accum (which starts positive), linear: with q = lr_power, n' = n + g^2: z += g - (n'^-q - n^-q) /
// lr p; p = (sign(z) l1 - z) / (n'^-q / lr + 2 l2) where |z| > l1, else 0 (McMahan et al., "Ad
// click prediction", 2013; l2 as TensorFlow and MindSpore count it).
extern RUTILE_API const OpDef kFtrl;

struct LionAttrs {
  double beta1 = 0.9, beta2 = 0.99;
  double weight_decay = 0;  // decoupled
  double lr_scale = 1;
  bool maximize = false;
  RUTILE_REFLECT(beta1, beta2, weight_decay, lr_scale, maximize)
};
// m: p *= 1 - lr weight_decay, p -= lr sign(beta1 m + (1 - beta1) g), m = beta2 m + (1 - beta2) g
// (Chen et al., 2023).
extern RUTILE_API const OpDef kLion;

struct LambAttrs {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-6;
  double weight_decay = 0;  // within the norm
  double lr_scale = 1;
  bool maximize = false;
  RUTILE_REFLECT(beta1, beta2, eps, weight_decay, lr_scale, maximize)
};
// m, v as adam's; with u = m' / (sqrt(v') + eps) + weight_decay p: p -= lr |p| / |u| u, norms over
// the whole parameter, the factor 1 where one of them is 0 (You et al., 2020).
extern RUTILE_API const OpDef kLamb;

struct LarsAttrs {
  double momentum = 0.9;
  double coefficient = 0.001, eps = 0;
  double weight_decay = 0;  // within the norm
  double lr_scale = 1;
  bool maximize = false;
  RUTILE_REFLECT(momentum, coefficient, eps, weight_decay, lr_scale, maximize)
};
// velocity: with r = coefficient |p| / (|g| + weight_decay |p| + eps), 1 where a norm is 0: v =
// momentum v + lr r (g + weight_decay p), p -= v (You et al., "Large batch training", 2017).
extern RUTILE_API const OpDef kLars;

#define RUTILE_UPDATE(constant, rule) extern RUTILE_API const OpDef constant##Multi;
#include "rutile/ops/update_list.inc"
#undef RUTILE_UPDATE

// An update's two ops, for passes and kernels. Inputs of `single` behind param and slots: grad, lr,
// step, skip, grad_scale; of `multi`: lr, step, skip, grad_scale, tensors.
struct UpdateFamily {
  const OpDef* single = nullptr;
  const OpDef* multi = nullptr;
  int slots = 0;
  int index = 0;  // in update_list.inc
};
inline constexpr int kUpdateScalars = 4;
// Where a call of one of a family's ops keeps its operands.
struct UpdateOperands {
  int slots = 0, count = 1, copies = 0, family = 0;
  bool multi = false;
  // Tensor k of parameter i: itself, then its slots.
  int tensor(int k, int i) const { return multi ? kUpdateScalars + k * count + i : k; }
  // The copy of parameter i, of those that have one.
  int copy(int i) const { return kUpdateScalars + (slots + 1) * count + i; }
  int grad(int i) const { return multi ? copy(copies) + i : slots + 1; }
  int lr() const { return multi ? 0 : slots + 2; }
  int step() const { return lr() + 1; }
  int skip() const { return lr() + 2; }
  int grad_scale() const { return lr() + 3; }
  // Output of the tensor or copy that is input `in`.
  int output(int in) const { return multi ? in - kUpdateScalars : in; }
};
RUTILE_API UpdateOperands update_operands(const CallMeta& c);
RUTILE_API std::span<const UpdateFamily> update_families();
// The family of one of its ops; null for another op.
RUTILE_API const UpdateFamily* find_update(const OpDef* op);

}  // namespace rutile::ops
